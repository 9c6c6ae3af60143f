"""Files on their way, both directions, over byte streams.

A file is read and written in blocks on a worker thread, hashed on the way, and never held in
memory. The SHA-256 travels in the trailer, so that sending starts at once. Received files are
written beside their place under a temporary name and renamed when hash and length are right.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import mimetypes
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

import structlog

from app.engine.events import Event, Transfer, TransferChanged, TransferState
from app.engine.safe_names import free_path, safe_file_name
from app.protocol.errors import ProtocolError
from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

FILE_TOPIC = "lanai.file"
SHA256_ATTRIBUTE = "lanai.sha256"
CANCELLED = "cancelled"
MAX_FILE_BYTES = 5_000_000_000
_BLOCK_BYTES = 256 * 1024
_PROGRESS_S = 0.25
_RATE_WINDOW_S = 3.0
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ByteSink(Protocol):
    """The writing end of a byte stream."""

    async def write(self, data: bytes) -> None:
        """Send `data`; waits while too much is on its way already."""

    async def aclose(self, *, reason: str = "", attributes: dict[str, str] | None = None) -> None:
        """End the stream; a `reason` tells the reader that it is not whole."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What the header of an outgoing stream says."""

    stream_id: str
    name: str
    size_bytes: int
    mime_type: str
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A byte stream that somebody opened towards us.

    Iterating `chunks` raises `ProtocolError` or `WorldError` when the stream breaks off;
    `attributes` is called after its end, when the trailer's are among them.
    """

    id: str
    name: str
    size_bytes: int | None
    identity: str
    peer_name: str
    chunks: AsyncIterator[bytes]
    attributes: Callable[[], Mapping[str, str]]


OpenSink = Callable[[Offer], Awaitable[ByteSink]]


@dataclass(slots=True)
class _Running:
    """The changing side of one transfer; `Transfer` is its snapshot."""

    id: str
    file_name: str
    size_bytes: int
    outgoing: bool
    peer_name: str
    identity: str = ""
    to: tuple[str, ...] = ()
    source: Path | None = None
    path: Path | None = None
    state: TransferState = TransferState.RUNNING
    done_bytes: int = 0
    sha256: str = ""
    error: Reason | None = None
    started_at_ms: int = 0
    task: asyncio.Task[None] | None = None
    is_cancelled: bool = False
    told_at_s: float = 0.0
    marks: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, size_bytes: int, now_s: float) -> None:
        self.done_bytes += size_bytes
        self.marks.append((now_s, self.done_bytes))
        while now_s - self.marks[0][0] > _RATE_WINDOW_S and len(self.marks) > 2:
            self.marks.popleft()

    def snapshot(self) -> Transfer:
        rate = 0.0
        if self.state is TransferState.RUNNING and len(self.marks) > 1:
            (from_s, from_bytes), (to_s, to_bytes) = self.marks[0], self.marks[-1]
            rate = (to_bytes - from_bytes) / (to_s - from_s) if to_s > from_s else 0.0
        return Transfer(
            id=self.id,
            file_name=self.file_name,
            size_bytes=self.size_bytes,
            done_bytes=self.done_bytes,
            outgoing=self.outgoing,
            peer_name=self.peer_name,
            state=self.state,
            rate_bps=rate,
            path=self.path,
            sha256=self.sha256,
            error=self.error,
            started_at_ms=self.started_at_ms,
            peer_identity=self.identity,
            to=self.to,
        )


class Transfers:
    """All transfers of one meeting; belongs to the engine thread."""

    def __init__(
        self,
        *,
        post: Callable[[Event], None],
        open_sink: OpenSink,
        folder: Callable[[], Path],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._post = post
        self._now_s = now_s
        self._open_sink = open_sink
        self._folder = folder
        self._owner = TaskOwner("transfers")
        self._all: dict[str, _Running] = {}
        self.files_saved = 0

    async def send(self, path: Path, *, to: tuple[str, ...], peer_name: str) -> str:
        """Start to send `path`; FILE_GONE, TOO_LARGE."""
        size_bytes = await asyncio.to_thread(_readable_size, path)
        transfer = _Running(
            id=str(uuid.uuid4()),
            file_name=path.name,
            size_bytes=size_bytes,
            outgoing=True,
            peer_name=peer_name,
            to=to,
            source=path,
            path=path,
        )
        self._all[transfer.id] = transfer
        self._start_sending(transfer)
        return transfer.id

    def receive(self, incoming: Incoming) -> None:
        """Start to save a stream; a repeated id is ignored."""
        known = self._all.get(incoming.id)
        if known is not None and known.state is not TransferState.FAILED:
            log.info("file offered twice")
            return
        transfer = _Running(
            id=incoming.id,
            file_name=safe_file_name(incoming.name),
            size_bytes=incoming.size_bytes or 0,
            outgoing=False,
            peer_name=incoming.peer_name,
            identity=incoming.identity,
        )
        self._all[transfer.id] = transfer
        self._begin(transfer)
        transfer.task = spawn(self._receive(transfer, incoming), name="receive", owner=self._owner)

    async def cancel(self, transfer_id: str) -> None:
        """Stop a transfer; one that has ended, or is unknown, is left alone."""
        transfer = self._all.get(transfer_id)
        if transfer is None or transfer.state is not TransferState.RUNNING:
            return
        # The task sees this at its next block, tells the peer, and drains what still comes.
        transfer.is_cancelled = True
        self._finish(transfer, TransferState.CANCELLED)

    async def retry(self, transfer_id: str) -> None:
        """Send a failed or cancelled file again under its id."""
        transfer = self._all.get(transfer_id)
        if transfer is None or transfer.source is None:
            return
        if transfer.state in (TransferState.RUNNING, TransferState.DONE):
            return
        if transfer.task is not None:
            await asyncio.wait([transfer.task])
        transfer.size_bytes = await asyncio.to_thread(_readable_size, transfer.source)
        transfer.is_cancelled = False
        self._start_sending(transfer)

    async def pause(self, transfer_id: str) -> None:
        """Hold a transfer."""
        raise NotImplementedError("pausing a transfer")

    async def resume(self, transfer_id: str) -> None:
        """Go on with a transfer that was paused here."""
        raise NotImplementedError("pausing a transfer")

    async def accept(self, transfer_id: str) -> None:
        """Take what was offered."""
        raise NotImplementedError("asking before accepting a transfer")

    async def decline(self, transfer_id: str) -> None:
        """Refuse what was offered."""
        raise NotImplementedError("asking before accepting a transfer")

    def handle_connection_lost(self) -> None:
        """Fail what is being sent: its readers are gone, though the writes would go on.

        A rejoined session carries the rest of a stream whose beginning nobody there has seen.
        """
        for transfer in self._all.values():
            if transfer.outgoing and transfer.state is TransferState.RUNNING:
                transfer.is_cancelled = True
                self._fail(transfer, Reason.PEER_GONE)

    def stats(self) -> dict[str, object]:
        """Count the transfers by state."""
        states = [transfer.state for transfer in self._all.values()]
        return {str(state): states.count(state) for state in TransferState}

    async def aclose(self) -> None:
        """End what is running; half-received files are deleted."""
        running = [t for t in self._all.values() if t.state is TransferState.RUNNING]
        await self._owner.close()
        for transfer in running:
            if transfer.state is TransferState.RUNNING:
                self._finish(transfer, TransferState.FAILED, Reason.PEER_GONE)

    # -- sending ----------------------------------------------------------------------------

    def _start_sending(self, transfer: _Running) -> None:
        self._begin(transfer)
        transfer.task = spawn(self._send(transfer), name="send", owner=self._owner)

    async def _send(self, transfer: _Running) -> None:
        assert transfer.source is not None
        # A new stream id for every attempt: what is left of the old one must not mix in.
        offer = Offer(
            stream_id=str(uuid.uuid4()),
            name=transfer.file_name,
            size_bytes=transfer.size_bytes,
            mime_type=mimetypes.guess_type(transfer.file_name)[0] or "application/octet-stream",
            to=transfer.to,
        )
        sink: ByteSink | None = None
        try:
            with await asyncio.to_thread(_open, transfer.source) as file:
                sink = await self._open_sink(offer)
                digest = await self._pump(transfer, file, sink)
            if digest is None:
                await sink.aclose(reason=CANCELLED)
                return
            await sink.aclose(attributes={SHA256_ATTRIBUTE: digest})
        except (WorldError, ProtocolError, OSError) as error:
            self._fail(transfer, _reason_of(error, Reason.FILE_GONE))
            if sink is not None:
                with contextlib.suppress(WorldError, ProtocolError, OSError):
                    await sink.aclose(reason="error")
            return
        transfer.sha256 = digest
        self._finish(transfer, TransferState.DONE)

    async def _pump(self, transfer: _Running, file: BinaryIO, sink: ByteSink) -> str | None:
        """Send the whole file and return its hash, or None when it was cancelled."""
        digest = hashlib.sha256()
        while transfer.done_bytes < transfer.size_bytes:
            block = await asyncio.to_thread(_read_block, file, transfer, digest)
            await sink.write(block)
            # A cancel that came while reading or writing ends it here.
            if transfer.is_cancelled:
                return None
            self._progress(transfer, len(block))
        return digest.hexdigest()

    # -- receiving --------------------------------------------------------------------------

    async def _receive(self, transfer: _Running, incoming: Incoming) -> None:
        saving = _Saving(self._folder(), transfer.file_name)
        failure: Reason | None = None
        try:
            await self._save(transfer, incoming, saving)
        except ProtocolError as error:
            log.info("file broke off", reason=error.reason)
            failure = Reason.PEER_GONE
        except WorldError as error:
            failure = error.reason
        except OSError as error:
            failure = _reason_of(error, Reason.DENIED)
        finally:
            # Before anybody is told: who looks into the folder then finds nothing half.
            saving.drop()
        if failure is not None:
            self._fail(transfer, failure)
        elif transfer.path is not None:
            transfer.file_name = transfer.path.name
            self.files_saved += 1
            self._finish(transfer, TransferState.DONE)
        # What still comes has nowhere to go, but it must not fill a queue either.
        with contextlib.suppress(ProtocolError, WorldError):
            async for _ in incoming.chunks:
                pass

    async def _save(self, transfer: _Running, incoming: Incoming, saving: _Saving) -> None:
        await asyncio.to_thread(saving.open, transfer.size_bytes)
        await self._save_all(transfer, incoming, saving)
        if transfer.is_cancelled:
            return
        transfer.sha256 = saving.digest.hexdigest()
        wanted = incoming.attributes().get(SHA256_ATTRIBUTE, "")
        if wanted and wanted.lower() != transfer.sha256:
            raise WorldError(Reason.DAMAGED)
        transfer.path = await asyncio.to_thread(saving.keep)

    async def _save_all(self, transfer: _Running, incoming: Incoming, saving: _Saving) -> None:
        waiting: list[bytes] = []
        waiting_bytes = 0
        async for chunk in incoming.chunks:
            if transfer.is_cancelled:
                continue
            waiting.append(chunk)
            waiting_bytes += len(chunk)
            if transfer.done_bytes + waiting_bytes > MAX_FILE_BYTES:
                raise WorldError(Reason.TOO_LARGE)
            if waiting_bytes >= _BLOCK_BYTES:
                await asyncio.to_thread(saving.write, b"".join(waiting))
                self._progress(transfer, waiting_bytes)
                waiting, waiting_bytes = [], 0
        if waiting and not transfer.is_cancelled:
            await asyncio.to_thread(saving.write, b"".join(waiting))
            self._progress(transfer, waiting_bytes)

    # -- telling ----------------------------------------------------------------------------

    def _begin(self, transfer: _Running) -> None:
        transfer.state = TransferState.RUNNING
        transfer.error = None
        transfer.done_bytes = 0
        transfer.started_at_ms = time.time_ns() // 1_000_000
        now_s = self._now_s()
        transfer.marks.clear()
        transfer.marks.append((now_s, 0))
        self._tell(transfer, now_s)

    def _progress(self, transfer: _Running, size_bytes: int) -> None:
        now_s = self._now_s()
        transfer.note(size_bytes, now_s)
        if now_s - transfer.told_at_s >= _PROGRESS_S and not transfer.is_cancelled:
            self._tell(transfer, now_s)

    def _fail(self, transfer: _Running, reason: Reason) -> None:
        if transfer.state is TransferState.RUNNING:
            log.info("transfer failed", outgoing=transfer.outgoing, reason=str(reason))
            self._finish(transfer, TransferState.FAILED, reason)

    def _finish(
        self, transfer: _Running, state: TransferState, error: Reason | None = None
    ) -> None:
        if transfer.state is not TransferState.RUNNING:
            return
        transfer.state = state
        transfer.error = error
        self._tell(transfer, self._now_s())

    def _tell(self, transfer: _Running, now_s: float) -> None:
        transfer.told_at_s = now_s
        self._post(TransferChanged(transfer.snapshot()))


class _Saving:
    """A file that is being written. Its methods block.

    `drop` may come from another thread while a method runs, or before one that was on its way
    to a worker thread: whatever comes after it does nothing and leaves nothing behind.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._file: BinaryIO | None = None
        self._temporary: Path | None = None
        self._lock = threading.Lock()
        self._dropped = False
        self.digest = hashlib.sha256()

    def open(self, size_bytes: int) -> None:
        if size_bytes > MAX_FILE_BYTES:
            raise WorldError(Reason.TOO_LARGE)
        self._folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self._folder).free < size_bytes:
            raise WorldError(Reason.DISK_FULL)
        with self._lock:
            if self._dropped:
                return
            handle, name = tempfile.mkstemp(prefix=".lanai-", suffix=".part", dir=self._folder)
            self._temporary = Path(name)
            self._file = os.fdopen(handle, "wb")

    def write(self, data: bytes) -> None:
        with self._lock:
            if self._file is not None:
                self._file.write(data)
                self.digest.update(data)

    def keep(self) -> Path:
        with self._lock:
            return self._keep()

    def _keep(self) -> Path:
        if self._file is None or self._temporary is None:
            raise WorldError(Reason.PEER_GONE, detail="dropped")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        path = free_path(self._folder, self._name)
        # mkstemp made it 0600; a received file is like any other one of this person.
        mask = os.umask(0)
        os.umask(mask)
        self._temporary.chmod(0o666 & ~mask)
        self._temporary.replace(path)
        self._temporary = None
        return path

    def drop(self) -> None:
        with self._lock:
            self._dropped = True
            if self._file is not None:
                with contextlib.suppress(OSError):
                    self._file.close()
                self._file = None
            if self._temporary is not None:
                self._temporary.unlink(missing_ok=True)
                self._temporary = None


def _readable_size(path: Path) -> int:
    try:
        with _open(path) as file:
            size_bytes = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise WorldError(Reason.FILE_GONE, detail=type(error).__name__) from error
    if size_bytes > MAX_FILE_BYTES:
        raise WorldError(Reason.TOO_LARGE)
    return size_bytes


def _open(path: Path) -> BinaryIO:
    # A folder, a pipe or a device is no file that ends.
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no regular file")
    return path.open("rb")


def _read_block(file: BinaryIO, transfer: _Running, digest: hashlib._Hash) -> bytes:
    block = file.read(min(_BLOCK_BYTES, transfer.size_bytes - transfer.done_bytes))
    # POSIX keeps a deleted file readable while it is open; whoever deleted it while it was on
    # its way did not want it to arrive, and on a network drive it ends in the middle anyway.
    if not block or os.fstat(file.fileno()).st_nlink == 0:
        raise WorldError(Reason.FILE_GONE)
    digest.update(block)
    return block


def _reason_of(error: Exception, otherwise: Reason) -> Reason:
    if isinstance(error, WorldError):
        return error.reason
    if isinstance(error, ProtocolError):
        return Reason.PEER_GONE
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return Reason.DISK_FULL
    return otherwise
