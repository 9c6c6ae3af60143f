"""Files that are opened off the loop."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from app.runtime.opening import open_off_loop


async def test_a_file_is_opened_and_a_missing_one_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with await open_off_loop(path, "xb") as file:
        file.write(b"x")
    with await open_off_loop(path, "rb") as file:
        assert file.read() == b"x"
    with pytest.raises(FileExistsError):
        await open_off_loop(path, "xb")


async def test_a_task_that_is_cancelled_meanwhile_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_open, opened = threading.Event(), list[BinaryIO]()
    plain_open = Path.open

    def slowly(path: Path, *args: Any) -> Any:
        assert may_open.wait(30)
        file = plain_open(path, *args)
        opened.append(file)
        return file

    monkeypatch.setattr(Path, "open", slowly)
    task = asyncio.ensure_future(open_off_loop(tmp_path / "a", "xb"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_open.set()

    async with asyncio.timeout(30):
        while not (opened and opened[0].closed):  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.01)
