"""A received drop on its way to the disk: under a temporary name, checked, then renamed.

Beside the `.part` lies a small note of what it is a part of and how far it is good, so that this
or a later run of the app asks for the rest alone. Methods block: call them on a worker thread.
`drop` and `keep` may come from another thread while a method runs, or before one that was on its
way to a worker thread: whatever comes after does nothing and leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import structlog

from app.engine.file_claim import Claim
from app.engine.safe_names import free_path, safe_file_name, safe_relative_path
from app.protocol.errors import ProtocolError
from app.protocol.transfers import FileOffer, PartialFile, encode_partial, parse_partial
from app.runtime.errors import Reason, WorldError

log = structlog.get_logger(__name__)

PREFIX = ".lanai-"
NOTE = ".note"
PART = ".part"
MAX_PARTIALS = 20
MAX_PARTIAL_AGE_S = 7 * 24 * 3600
DISK_RESERVE_BYTES = 64_000_000
CHECKPOINT_BYTES = 4 << 20
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Saved:
    """A drop that is whole: where it is and what it hashes to."""

    path: Path
    sha256: str


class Saving:
    """One drop that is being written.

    `about` names the partial file to go on with; without it nothing is kept when it breaks off.
    """

    def __init__(self, folder: Path, offer: FileOffer, about: PartialFile | None = None) -> None:
        self._folder = folder
        self._offer = offer
        self._about = about
        self._part = folder / (PREFIX + offer.file_id + PART)
        self._note = folder / (PREFIX + offer.file_id + NOTE)
        self._claim = Claim(folder / (PREFIX + offer.file_id + ".lock"))
        self._paths = _paths_of(offer)
        self._file: BinaryIO | None = None
        self._index = -1
        self._left_here = 0
        self._digest = hashlib.sha256()
        self._is_digest_whole = True
        self._checked_at = 0
        self._lock = threading.Lock()
        self._is_over = False
        self.position = 0

    def prepare(self) -> None:
        """Find out how much is there already, and whether the rest will fit; DISK_FULL."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._claim.take():
            # Another Lanai on this computer receives the same into the same folder.
            stem = f"{PREFIX}{self._offer.file_id}-{secrets.token_hex(4)}"
            self._part, self._note = self._folder / (stem + PART), self._folder / (stem + NOTE)
            self._about = None
        if self._about is not None:
            known = _read_note(self._note)
            if known is not None and known.offer == self._offer:
                self.position = self._length_of_part(known.offset)
                if self.position == known.offset:
                    self._about = replace(
                        self._about, offset=known.offset, prefix_sha256=known.prefix_sha256
                    )
                else:
                    self.position = 0
        self._is_digest_whole = self.position == 0
        if self.position == 0:
            self._remove_part()
        check_space(self._folder, self._offer.size_bytes - self.position)

    @property
    def prefix_sha256(self) -> str:
        """The hash of what is there, "" when nothing is."""
        if self.position == 0:
            return ""
        if self._is_digest_whole:
            return self._digest.hexdigest()
        return self._about.prefix_sha256 if self._about is not None else ""

    def start(self, offset: int) -> None:
        """Go on at `offset`, which is where it is or before; what lies behind is cut off."""
        with self._lock:
            if self._is_over:
                return
            self._close_file()
            if offset > self.position:
                raise ProtocolError("transfer: begins behind what has arrived")
            if offset != self.position or offset == 0:
                self._is_digest_whole = offset == 0
                self._digest = hashlib.sha256()
            if offset == 0:
                self._remove_part()
            self.position = offset
            self._seek()

    def write(self, data: bytes) -> None:
        """Append; DISK_FULL, and TOO_LARGE when it is more than was offered."""
        with self._lock:
            if self._is_over:
                return
            if self.position // (32 << 20) != (self.position + len(data)) // (32 << 20):
                check_space(self._folder, len(data))
            view = memoryview(data)
            while view:
                view = view[self._write_some(view) :]
            if self.position - self._checked_at >= CHECKPOINT_BYTES:
                self._checkpoint()

    def _write_some(self, view: memoryview) -> int:
        while self._file is None or (self._left_here == 0 and self._offer.files):
            self._open_next()
        count = min(len(view), self._left_here) if self._offer.files else len(view)
        here = view[:count]
        # Unbuffered: what `write` took is what the file holds, on a full disk too.
        taken = self._file.write(here) or 0
        if self._is_digest_whole:
            self._digest.update(here[:taken])
        self._left_here -= taken
        self.position += taken
        return taken

    def finish(self, wanted_sha256: str) -> Saved | None:
        """Check the whole and give it its name; DAMAGED. None when it was given up meanwhile."""
        with self._lock:
            if self._is_over:
                return None
            if self._file is not None:
                os.fsync(self._file.fileno())
            self._close_file()
            self._make_empty_files()
            sha256 = self._digest.hexdigest() if self._is_digest_whole else self._hash_all()
            if wanted_sha256 and wanted_sha256.lower() != sha256:
                self._drop()
                raise WorldError(Reason.DAMAGED)
            path = free_path(self._folder, safe_file_name(self._offer.name))
            self._part.replace(path)
            self._end()
            return Saved(path, sha256)

    def keep(self) -> bool:
        """Stop, and keep what is there for later; False when nothing can be kept."""
        with self._lock:
            if self._is_over:
                return False
            if self._about is None or self.position == 0:
                self._drop()
                return False
            with contextlib.suppress(OSError):
                self._checkpoint()
            self._close_file()
            self._is_over = True
            self._claim.release()
            return True

    def pause(self) -> None:
        """Close the file for now."""
        with self._lock:
            if not self._is_over:
                with contextlib.suppress(OSError):
                    self._checkpoint()
                self._close_file()

    def note_sender(self, sender: str) -> None:
        """Somebody else will send the rest; the note says so from its next writing on."""
        with self._lock:
            if self._about is not None:
                self._about = replace(self._about, sender=sender)

    def drop(self) -> None:
        """Stop, and leave nothing behind."""
        with self._lock:
            if not self._is_over:
                self._drop()

    # -- with the lock held -----------------------------------------------------------------

    def _drop(self) -> None:
        self._close_file()
        with contextlib.suppress(OSError):
            self._remove_part()
        self._end()

    def _end(self) -> None:
        self._is_over = True
        with contextlib.suppress(OSError):
            self._note.unlink(missing_ok=True)
        self._claim.release()

    def _close_file(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
        self._index, self._left_here = -1, 0

    def _remove_part(self) -> None:
        if self._part.is_dir() and not self._part.is_symlink():
            shutil.rmtree(self._part)
        else:
            self._part.unlink(missing_ok=True)

    def _make_empty_files(self) -> None:
        for index, path in enumerate(self._paths):
            if self._offer.files and self._offer.files[index][1]:
                continue
            target = self._part / path if self._offer.files else self._part
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                _open_new(target).close()

    def _target(self, index: int) -> Path:
        return self._part / self._paths[index] if self._offer.files else self._part

    def _open_next(self) -> None:
        index = self._index + 1
        if index >= len(self._paths):
            raise WorldError(Reason.TOO_LARGE, detail="more than was offered")
        if self._file is not None:
            self._file.close()
            self._file = None
        path = self._target(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = _open_new(path)
        self._index = index
        self._left_here = self._offer.files[index][1] if self._offer.files else 0

    def _seek(self) -> None:
        """Open the file in which `position` lies, cut there."""
        if self.position == 0:
            return
        left = self.position
        for index in range(len(self._paths)):
            size = self._offer.files[index][1] if self._offer.files else self._offer.size_bytes
            if left < size or not self._offer.files:
                # Reached only for a file that was begun; otherwise `_open_next` makes it.
                self._index = index - 1
                if left:
                    file = self._target(index).open("r+b", buffering=0)
                    file.truncate(left)
                    file.seek(left)
                    self._file, self._index, self._left_here = file, index, size - left
                return
            left -= size
            self._index = index

    def _length_of_part(self, wanted: int) -> int:
        """How many of the `wanted` bytes are there, in order."""
        if not self._offer.files:
            return min(wanted, _size_of(self._part))
        total = 0
        for path, (_, size) in zip(self._paths, self._offer.files, strict=True):
            if total >= wanted:
                break
            has = min(size, _size_of(self._part / path))
            total += has
            if has < size:
                break
        return min(total, wanted)

    def _hash_all(self) -> str:
        digest = hashlib.sha256()
        for index in range(len(self._paths)):
            with self._target(index).open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()

    def _checkpoint(self) -> None:
        self._checked_at = self.position
        if self._about is None:
            return
        if not self._is_digest_whole:
            # The rest of a resumed drop: the hash up to here is not known without reading all.
            self._digest = hashlib.sha256()
            self._rehash()
        about = replace(
            self._about,
            offset=self.position,
            prefix_sha256=self._digest.hexdigest() if self.position else "",
            at_ms=time.time_ns() // 1_000_000,
        )
        self._about = about
        temporary = self._note.with_suffix(".tmp")
        try:
            temporary.write_bytes(encode_partial(about))
            temporary.replace(self._note)
        except OSError:
            # A full disk: the older note still says something true.
            temporary.unlink(missing_ok=True)
            raise

    def _rehash(self) -> None:
        left = self.position
        for index in range(len(self._paths)):
            if left <= 0:
                break
            with self._target(index).open("rb") as file:
                while left > 0 and (block := file.read(min(1 << 20, left))):
                    self._digest.update(block)
                    left -= len(block)
        self._is_digest_whole = True


def check_space(folder: Path, size_bytes: int, reserve_bytes: int | None = None) -> None:
    """Raise DISK_FULL unless that much fits and something is left for everybody else."""
    reserve = DISK_RESERVE_BYTES if reserve_bytes is None else reserve_bytes
    if shutil.disk_usage(folder).free < size_bytes + reserve:
        raise WorldError(Reason.DISK_FULL)


def find_partials(folder: Path) -> list[PartialFile]:
    """Return what can be gone on with, newest first; what is too old or too much is deleted."""
    found: list[tuple[PartialFile, Path]] = []
    with contextlib.suppress(OSError):
        for note in folder.glob(f"{PREFIX}*{NOTE}"):
            partial = _read_note(note)
            if partial is None or note.name != f"{PREFIX}{partial.offer.file_id}{NOTE}":
                continue
            found.append((partial, note))
        _forget_orphans(folder, {note.with_suffix(PART) for _, note in found})
    found.sort(key=lambda each: -each[0].at_ms)
    now_ms = time.time_ns() // 1_000_000
    kept: list[PartialFile] = []
    for partial, note in found:
        if len(kept) < MAX_PARTIALS and now_ms - partial.at_ms < MAX_PARTIAL_AGE_S * 1000:
            kept.append(partial)
        else:
            _forget(note)
    return kept


def _forget_orphans(folder: Path, known: set[Path]) -> None:
    """Delete what a crash left before its first note was written, once nobody can be at it."""
    oldest_s = time.time() - MAX_PARTIAL_AGE_S
    for part in folder.glob(f"{PREFIX}*{PART}"):
        with contextlib.suppress(OSError):
            if part not in known and part.lstat().st_mtime < oldest_s:
                _forget(part.with_suffix(NOTE))


def _forget(note: Path) -> None:
    part = note.with_suffix(PART)
    with contextlib.suppress(OSError):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
        note.unlink(missing_ok=True)
        log.info("an old half-received file is deleted")


def _read_note(path: Path) -> PartialFile | None:
    try:
        return parse_partial(path.read_bytes()[: 2 << 20])
    except (OSError, ProtocolError):
        return None


def _open_new(path: Path) -> BinaryIO:
    """Make a file nobody else made; never through a link that lies there."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    return os.fdopen(handle, "wb", buffering=0)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size if not path.is_symlink() else 0
    except OSError:
        return 0


def _paths_of(offer: FileOffer) -> list[Path]:
    """Where each file of a drop lies under its part; no two in one place."""
    if not offer.files:
        return [Path()]
    paths: list[Path] = []
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    for relative, _ in offer.files:
        wanted = path = safe_relative_path(relative)
        key = str(wanted).casefold()
        # Counted on from the last one of this name: a list of 2,000 of one name is soon done.
        while str(path).casefold() in taken:
            numbers[key] = numbers.get(key, 1) + 1
            path = wanted.with_name(f"{numbers[key]} {wanted.name}")
        taken.add(str(path).casefold())
        paths.append(path)
    return paths
