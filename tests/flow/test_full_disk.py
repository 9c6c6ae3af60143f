"""A disk that really fills while a file comes: what is here stays, and the rest comes later."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from app.engine.events import PersonJoined, TransferState
from app.runtime.errors import Reason
from app.ui.files.model import failure_of, look_of
from tests.flow.test_transfers import Table, listing, moving, sha256, table, until

__all__ = ["table"]

ROOM_LEFT_BYTES = 1_500_000
# Our own reserve of 64 MB has to fit beside the file, or it would be refused before it came.
DISK_BYTES = 84_000_000


class Disk(Protocol):
    """Where the downloads are."""

    folder: Path

    def fill(self) -> None:
        """Leave `ROOM_LEFT_BYTES`, no more."""

    def make_space(self) -> None:
        """Take back what filled it."""


class SmallDisk:
    """A file system of its own, filled by another file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        free = os.statvfs(self.folder)
        with self._filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - ROOM_LEFT_BYTES)

    def make_space(self) -> None:
        self._filler.unlink()


class Quota:
    """The limit that the system sets to each of our files, as a quota does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        (part,) = self.folder.glob("*.part")
        limit = part.stat().st_size + ROOM_LEFT_BYTES
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, self._before[1]))

    def make_space(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)


@pytest.fixture(params=["small disk", "quota"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "cy"
    folder.mkdir()
    if request.param == "quota":
        quota = Quota(folder)
        yield quota
        quota.make_space()
        return
    options = ("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder))
    if subprocess.run(("mount", *options), capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")
    yield SmallDisk(folder)
    subprocess.run(("umount", "--lazy", str(folder)), check=True)


async def test_a_file_that_fills_the_disk_is_kept_in_part_and_goes_on_when_there_is_space(
    table: Table, disk: Disk
) -> None:
    cy, cy_id = await table.guest("Cy", "cy")
    await table.ada.wait(PersonJoined, lambda e: e.person.identity == cy_id)
    path = table.file()
    await table.ada.engine.send_file(path, (cy_id,))
    theirs = (await moving(cy)).id
    await cy.engine.pause_transfer(theirs)
    await until(cy, TransferState.PAUSED)
    disk.fill()
    await cy.engine.resume_transfer(theirs)

    here = await until(cy, TransferState.FAILED)
    there = await until(table.ada, TransferState.FAILED)
    assert (here.error, there.error) == (Reason.DISK_FULL, Reason.DISK_FULL)
    assert (failure_of(here), failure_of(there)) == ("Disk is full", "Cy\u2019s disk is full")
    assert look_of(here).retry == "Go on where it stopped"
    (part,) = disk.folder.glob("*.part")
    held_bytes, inode = part.stat().st_size, part.stat().st_ino
    assert ROOM_LEFT_BYTES < held_bytes < path.stat().st_size
    assert "big.bin" not in listing(disk.folder)

    # Nothing is lost by trying in vain.
    cy.forget()
    await cy.engine.retry_transfer(theirs)
    assert (await until(cy, TransferState.FAILED)).error is Reason.DISK_FULL
    assert part.stat().st_size >= held_bytes

    disk.make_space()
    cy.forget()
    table.ada.forget()
    await cy.engine.retry_transfer(theirs)
    saved = await until(cy, TransferState.DONE)
    sent = await until(table.ada, TransferState.DONE)
    assert saved.path == disk.folder / "big.bin"
    # What begins anew is another file.
    assert saved.path.stat().st_ino == inode
    assert saved.sha256 == sent.sha256 == await asyncio.to_thread(sha256, path)
    assert await asyncio.to_thread(sha256, saved.path) == saved.sha256
    assert listing(disk.folder) == ["big.bin"]
