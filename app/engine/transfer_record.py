"""One transfer as the interface sees it, and how often it hears of it."""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from app.engine.events import Event, Outcome, Transfer, TransferChanged, TransferState
from app.protocol.errors import ProtocolError
from app.runtime.errors import Reason, WorldError

log = structlog.get_logger(__name__)

_PROGRESS_S = 0.25
_RATE_WINDOW_S = 3.0
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(slots=True)
class Record:
    """The changing side of a transfer; `Transfer` is its snapshot."""

    id: str
    file_name: str
    size_bytes: int
    outgoing: bool
    peer_name: str
    peer_identity: str = ""
    to: tuple[str, ...] = ()
    path: Path | None = None
    is_folder: bool = False
    files: int = 1
    state: TransferState = TransferState.RUNNING
    done_bytes: int = 0
    sha256: str = ""
    error: Reason | None = None
    started_at_ms: int = 0
    pausable: bool = False
    paused_by_me: bool = False
    is_waiting: bool = False
    resumable: bool = False
    receivers: int = 0
    received: int = 0
    outcomes: tuple[Outcome, ...] = ()
    cancelled_by: tuple[str, ...] = ()
    cancelled_by_me: bool = False
    limit_bytes: int = 0
    told_at_s: float = 0.0
    marks: deque[tuple[float, int]] = field(default_factory=deque)

    def snapshot(self) -> Transfer:
        """What is told."""
        rate_bps = 0.0
        if self.state is TransferState.RUNNING and len(self.marks) > 1:
            (from_s, from_bytes), (to_s, to_bytes) = self.marks[0], self.marks[-1]
            rate_bps = (to_bytes - from_bytes) / (to_s - from_s) if to_s > from_s else 0.0
        return Transfer(
            id=self.id,
            file_name=self.file_name,
            size_bytes=self.size_bytes,
            done_bytes=self.done_bytes,
            outgoing=self.outgoing,
            peer_name=self.peer_name,
            state=self.state,
            rate_bps=max(0.0, rate_bps),
            path=self.path,
            sha256=self.sha256,
            error=self.error,
            started_at_ms=self.started_at_ms,
            peer_identity=self.peer_identity,
            to=self.to,
            is_folder=self.is_folder,
            files=self.files,
            pausable=self.pausable,
            paused_by_me=self.paused_by_me,
            is_waiting=self.is_waiting,
            resumable=self.resumable,
            receivers=self.receivers,
            received=self.received,
            outcomes=self.outcomes,
            cancelled_by=self.cancelled_by,
            cancelled_by_me=self.cancelled_by_me,
            limit_bytes=self.limit_bytes,
        )


class Teller:
    """Posts what changed: states at once, progress at most four times a second."""

    def __init__(
        self, post: Callable[[Event], None], now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._post = post
        self._now_s = now_s

    def begin(self, record: Record, state: TransferState, *, done_bytes: int = 0) -> None:
        """Start or start over."""
        record.error = None
        record.cancelled_by, record.cancelled_by_me = (), False
        record.done_bytes = done_bytes
        record.started_at_ms = time.time_ns() // 1_000_000
        self._restart(record)
        record.state = state
        self._tell(record)

    def progress(self, record: Record, done_bytes: int) -> None:
        """Take how far it is by now."""
        now_s = self._now_s()
        if done_bytes < record.done_bytes:
            self._restart(record)
        record.done_bytes = done_bytes
        record.marks.append((now_s, done_bytes))
        while now_s - record.marks[0][0] > _RATE_WINDOW_S and len(record.marks) > 2:
            record.marks.popleft()
        if record.state is TransferState.RUNNING and now_s - record.told_at_s >= _PROGRESS_S:
            self._tell(record)

    def turn(self, record: Record, state: TransferState, error: Reason | None = None) -> None:
        """Take another state; the same one again is not told twice."""
        if (record.state, record.error) == (state, error):
            return
        if error is not None:
            log.info("transfer failed", outgoing=record.outgoing, reason=str(error))
        if state is TransferState.RUNNING:
            self._restart(record)
        record.state, record.error = state, error
        self._tell(record)

    def again(self, record: Record) -> None:
        """Tell something else that changed."""
        self._tell(record)

    def _restart(self, record: Record) -> None:
        record.marks.clear()
        record.marks.append((self._now_s(), record.done_bytes))

    def _tell(self, record: Record) -> None:
        record.told_at_s = self._now_s()
        self._post(TransferChanged(record.snapshot()))


def reason_of(error: Exception, otherwise: Reason) -> Reason:
    """Say in the interface's words why a transfer broke off."""
    if isinstance(error, WorldError):
        return error.reason
    if isinstance(error, ProtocolError):
        return Reason.PEER_GONE
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return Reason.DISK_FULL
    return otherwise
