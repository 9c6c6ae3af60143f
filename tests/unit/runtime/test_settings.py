from __future__ import annotations

import json
import os
import stat
import tomllib
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from app.runtime.paths import Paths, write_atomically
from app.runtime.settings import Recent, Recents, Settings, SettingsStore, _toml_value


def test_a_choice_survives_a_restart(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path)
    SettingsStore(paths).update(name='Zoë "Z"\n', host_port=9000, mic_on_at_join=False)

    again = SettingsStore(paths).current

    assert (again.name, again.host_port, again.mic_on_at_join) == ('Zoë "Z"\n', 9000, False)


def test_only_what_differs_from_the_default_is_written(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path)
    SettingsStore(paths).update(theme="dark")

    assert tomllib.loads(paths.settings_file.read_text()) == {"theme": "dark"}


def test_a_value_of_the_wrong_type_is_the_default_and_unknown_keys_stay(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path)
    write_atomically(paths.settings_file, b'host_port = "x"\nname = "Bo"\nfrom_the_future = 3\n')

    store = SettingsStore(paths)
    store.update(theme="light")

    assert store.current == Settings(name="Bo", theme="light")
    assert tomllib.loads(paths.settings_file.read_text())["from_the_future"] == 3


def test_an_unreadable_file_is_set_aside(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path)
    write_atomically(paths.settings_file, b"\xff\x00 not toml")

    with structlog.testing.capture_logs():
        store = SettingsStore(paths)

    assert store.current == Settings()
    assert paths.settings_file.with_suffix(".broken").exists()


@given(st.one_of(st.text(), st.booleans(), st.integers(-(2**63), 2**63 - 1)))
def test_every_value_is_written_as_toml(value: str | bool | int) -> None:
    assert tomllib.loads(f"key = {_toml_value(value)}")["key"] == value


def test_recents_keep_the_newest_twenty_and_no_meeting_twice(tmp_path: Path) -> None:
    recents = Recents.load(tmp_path / "recents.json")
    for number in range(25):
        recents.add(Recent(f"room {number}", "10.0.0.1:7880", at_ms=number))
    recents.add(Recent("room 20", "10.0.0.1:7880", at_ms=99))

    again = Recents.load(tmp_path / "recents.json").items

    assert [item.room for item in again][:2] == ["room 20", "room 24"]
    assert len(again) == len({item.room for item in again}) == 20


@pytest.mark.parametrize("text", ["", "{}", "[1, {}]", '[{"room": 1, "address": "", "at_ms": 2}]'])
def test_broken_recents_are_forgotten(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recents.json"
    path.write_text(text)

    with structlog.testing.capture_logs():
        assert Recents.load(path).items == []


def test_recents_hold_no_secret(tmp_path: Path) -> None:
    recents = Recents.load(tmp_path / "recents.json")
    recents.add(Recent("room", "10.0.0.1:7880", at_ms=1))

    written = json.loads((tmp_path / "recents.json").read_text())[0]

    assert set(written) == {
        "room",
        "address",
        "at_ms",
        "host_name",
        "hosted_here",
        "secure",
        "people",
    }


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    write_atomically(tmp_path / "key", b"s", mode=0o600)

    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
