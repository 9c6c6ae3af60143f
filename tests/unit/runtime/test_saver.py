"""Small files are saved behind the caller's back, newest content last."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import structlog.testing

from app.runtime import saver as saver_module
from app.runtime.saver import Saver


def test_saving_does_not_wait_for_the_disk_and_the_newest_content_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_is_ready = threading.Event()
    written: list[bytes] = []

    def slow_write(path: Path, data: bytes) -> None:
        assert disk_is_ready.wait(30)
        written.append(data)

    monkeypatch.setattr(saver_module, "write_atomically", slow_write)
    saver = Saver()

    for content in (b"1", b"2", b"3"):
        saver.save(tmp_path / "settings.toml", content)
    disk_is_ready.set()
    saver.flush()

    assert written[-1] == b"3"
    assert len(written) <= 2


def test_what_was_saved_is_there_after_a_flush(tmp_path: Path) -> None:
    saver = Saver()

    saver.save(tmp_path / "a", b"one")
    saver.save(tmp_path / "b", b"two")
    saver.flush()
    saver.save(tmp_path / "a", b"three")
    saver.flush()

    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"three", b"two")


def test_a_disk_that_refuses_is_logged_and_nothing_else(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    saver = Saver()

    with structlog.testing.capture_logs() as logs:
        saver.save(blocked / "settings.toml", b"x")
        saver.flush()

    assert [entry["event"] for entry in logs] == ["file not saved"]
