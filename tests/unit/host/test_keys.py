from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest

from app.host.keys import load_or_make_keys
from app.runtime.paths import Paths


class MemoryRing(keyring.backend.KeyringBackend):
    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # keyring types it half
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password


class LockedRing(MemoryRing):
    def get_password(self, service: str, username: str) -> str | None:
        raise keyring.errors.KeyringLocked("locked")


@pytest.fixture
def ring() -> Iterator[MemoryRing]:
    before = keyring.get_keyring()
    memory = MemoryRing()
    keyring.set_keyring(memory)
    yield memory
    keyring.set_keyring(before)


def test_the_pair_is_made_once_and_kept_by_the_key_ring(ring: MemoryRing, tmp_path: Path) -> None:
    first = load_or_make_keys(Paths.under(tmp_path))
    second = load_or_make_keys(Paths.under(tmp_path))

    assert first == second
    assert first.in_keyring
    assert len(first.api_secret) >= 32
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.usefixtures("ring")
def test_without_a_key_ring_a_file_only_its_owner_reads_keeps_it(tmp_path: Path) -> None:
    keyring.set_keyring(LockedRing())

    first = load_or_make_keys(Paths.under(tmp_path))

    file = Paths.under(tmp_path).config / "server-key"
    assert not first.in_keyring
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_or_make_keys(Paths.under(tmp_path)) == first


def test_two_installations_have_different_keys(tmp_path: Path) -> None:
    one = load_or_make_keys(Paths.under(tmp_path / "1"), use_keyring=False)
    two = load_or_make_keys(Paths.under(tmp_path / "2"), use_keyring=False)

    assert one.api_key != two.api_key
    assert one.api_secret != two.api_secret
    assert one.api_secret not in repr(one)
