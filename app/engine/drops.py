"""What somebody sends: a file, or a folder as the bytes of its files one after the other.

A folder is one drop with one question, one progress and one hash, and its files are recreated
under one folder at the other end. An archive would need the space twice there, and would be one
more thing that a stranger could fill with traps. Methods block: call them on a worker thread.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from app.protocol.transfers import MAX_FILES, FileOffer
from app.runtime.errors import Reason, WorldError

MAX_DROP_BYTES = 5_000_000_000
_SAMPLE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class DropFile:
    """One file of a drop; `mark` changes when its content does."""

    path: Path
    relative: str
    size_bytes: int
    mark: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Everything that one transfer sends."""

    path: Path
    name: str
    is_folder: bool
    files: tuple[DropFile, ...]
    file_id: str

    @property
    def size_bytes(self) -> int:
        """The whole."""
        return sum(each.size_bytes for each in self.files)

    def offer(self) -> FileOffer:
        """Say it to a receiver."""
        listed = tuple((each.relative, each.size_bytes) for each in self.files)
        return FileOffer(self.file_id, self.name, self.size_bytes, listed if self.is_folder else ())


def gather(path: Path) -> Drop:
    """Look at what is to be sent; FILE_GONE, TOO_LARGE.

    The same content gets the same id, in another run too: that is how a receiver knows what it
    has of it already. Links are not followed.
    """
    try:
        is_folder = path.is_dir()
        found = _walk(path) if is_folder else [(path, path.name)]
        files = tuple(_look_at(each, relative) for each, relative in found)
    except OSError as error:
        raise WorldError(Reason.FILE_GONE, detail=type(error).__name__) from error
    if is_folder and not files:
        raise WorldError(Reason.FILE_GONE, detail="an empty folder")
    drop = Drop(path, path.resolve().name or "folder", is_folder, files, _id_of(path, files))
    if drop.size_bytes > MAX_DROP_BYTES:
        raise WorldError(Reason.TOO_LARGE)
    return drop


def _walk(folder: Path) -> list[tuple[Path, str]]:
    found: list[tuple[Path, str]] = []
    for where, folders, names in os.walk(folder, onerror=_raise):
        folders.sort()
        for name in sorted(names):
            path = Path(where) / name
            if path.is_file() and not path.is_symlink():
                found.append((path, path.relative_to(folder).as_posix()))
            if len(found) > MAX_FILES:
                raise WorldError(Reason.TOO_LARGE, detail="too many files")
    return found


def _raise(error: OSError) -> None:
    raise error


def _look_at(path: Path, relative: str) -> DropFile:
    # A pipe or a device is no file that ends.
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no regular file")
    with path.open("rb") as file:
        about = os.fstat(file.fileno())
    return DropFile(path, relative, about.st_size, about.st_mtime_ns)


def _id_of(path: Path, files: tuple[DropFile, ...]) -> str:
    digest = hashlib.sha256(str(path.absolute()).encode(errors="surrogatepass"))
    for each in files:
        about = f"{each.relative}\0{each.size_bytes}\0{each.mark}\0"
        digest.update(about.encode(errors="surrogatepass"))
    if files:
        try:
            with files[0].path.open("rb") as file:
                digest.update(file.read(_SAMPLE_BYTES))
        except OSError as error:
            raise WorldError(Reason.FILE_GONE, detail=type(error).__name__) from error
    return digest.hexdigest()[:32]


class DropReader:
    """Reads a drop from its beginning and hashes it; FILE_GONE when a file is another by now."""

    def __init__(self, files: tuple[DropFile, ...]) -> None:
        self._files = list(files)
        self._file: BinaryIO | None = None
        self._left = 0
        self._digest = hashlib.sha256()
        # A worker thread reads while the loop may end it.
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def sha256(self) -> str:
        """The hash of what was read so far."""
        return self._digest.hexdigest()

    def skip(self, size_bytes: int) -> str:
        """Read that much without using it; return its hash."""
        while size_bytes > 0:
            block = self.read(min(size_bytes, 1 << 20))
            if not block:
                raise WorldError(Reason.FILE_GONE)
            size_bytes -= len(block)
        return self.sha256

    def read(self, size_bytes: int) -> bytes:
        """Return at most that much of one file; empty at the end of the last."""
        while self._left == 0:
            if not self._open_next():
                return b""
        # A block read that was on its way to a worker thread when its transfer ended.
        if self._file is None:
            raise WorldError(Reason.FILE_GONE)
        block = self._file.read(min(size_bytes, self._left))
        # POSIX keeps a deleted file readable while it is open; whoever deleted it while it was
        # on its way did not want it to arrive, and on a network drive it ends there anyway.
        if not block or os.fstat(self._file.fileno()).st_nlink == 0:
            raise WorldError(Reason.FILE_GONE)
        self._left -= len(block)
        self._digest.update(block)
        return block

    def _open_next(self) -> bool:
        if self._file is not None:
            self._file.close()
            self._file = None
        if not self._files or self._closed.is_set():
            return False
        about = self._files.pop(0)
        try:
            self._file = about.path.open("rb")
            # Whoever ended it meanwhile has not seen this file.
            if self._closed.is_set():
                self._file.close()
                return False
            stat = os.fstat(self._file.fileno())
        except OSError as error:
            raise WorldError(Reason.FILE_GONE, detail=type(error).__name__) from error
        if (stat.st_size, stat.st_mtime_ns) != (about.size_bytes, about.mark):
            raise WorldError(Reason.FILE_GONE, detail="the file has changed")
        self._left = about.size_bytes
        return True
