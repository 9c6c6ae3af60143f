"""File transfers as rows: which section, how fast, how long still, in whose words; no widgets.

The engine reports at most four times a second; a row shows the mean over the last three
seconds and changes its figures twice a second, so that they can be read. The time left is
hidden for the first two seconds, when it is a guess. Sizes are bytes, powers of ten.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from app.engine.events import Transfer, TransferState
from app.runtime.errors import Reason
from app.ui.files.receivers import ends_differ, sent_to
from app.ui.home.words import typeset

RATE_WINDOW_S = 3.0
TIME_LEFT_AFTER_S = 2.0
REFRESH_S = 0.5

_UNITS = ("B", "kB", "MB", "GB", "TB")


class Section(StrEnum):
    """The parts of the files panel, in order."""

    SENDING = "Sending"
    RECEIVING = "Receiving"
    SHARED = "Shared in this meeting"


def section_of(transfer: Transfer) -> Section:
    """Finished files are shared; everything else stays where it was started."""
    if transfer.state is TransferState.DONE:
        return Section.SHARED
    return Section.SENDING if transfer.outgoing else Section.RECEIVING


def size_label(size_bytes: int) -> str:
    """A size for people: "412 kB", "1.2 MB", "504 MB"."""
    number, unit = _scaled(size_bytes)
    return f"{number} {unit}"


def progress_label(done_bytes: int, size_bytes: int) -> str:
    """Done and all in one unit: "312 of 504 MB"."""
    _, unit = _scaled(size_bytes)
    divisor = 1000 ** _UNITS.index(unit)
    return f"{_short(min(done_bytes, size_bytes) / divisor)} of {size_label(size_bytes)}"


def _scaled(size_bytes: int) -> tuple[str, str]:
    value, power = float(max(0, size_bytes)), 0
    while value >= 999.5 and power < len(_UNITS) - 1:
        value /= 1000
        power += 1
    return (_short(value) if power else str(int(value))), _UNITS[power]


def _short(value: float) -> str:
    """Two figures that mean something: 0, 1.2, 9.9, 12, 504."""
    if value >= 9.95 or value < 0.05:
        return str(round(value))
    return f"{value:.1f}".removesuffix(".0")


def time_left_label(left_s: float) -> str:
    """Seconds below a minute, else minutes, else hours; never a false precision."""
    if left_s < 60:
        return f"{max(1, round(left_s))} s left"
    if left_s < 3600:
        return f"{round(left_s / 60)} min left"
    return f"{round(left_s / 3600)} h left"


class RateMeter:
    """Bytes per second over the last three seconds of one transfer."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self._started_s: float | None = None

    def handle_progress(self, done_bytes: int, now_s: float) -> None:
        """Note how much has arrived; going backwards (a retry) starts again."""
        if self._samples and done_bytes < self._samples[-1][1]:
            self._samples.clear()
            self._started_s = None
        if self._started_s is None:
            self._started_s = now_s
        self._samples.append((now_s, done_bytes))
        while len(self._samples) > 2 and self._samples[1][0] <= now_s - RATE_WINDOW_S:
            self._samples.popleft()

    def rate_bps(self, now_s: float) -> float:
        """The mean; it falls towards nothing while nothing arrives."""
        if len(self._samples) < 2:
            return 0.0
        first_s, first_bytes = self._samples[0]
        elapsed_s = now_s - first_s
        return (self._samples[-1][1] - first_bytes) / elapsed_s if elapsed_s > 0 else 0.0

    def time_left_s(self, left_bytes: int, now_s: float) -> float | None:
        """None in the first two seconds and while nothing moves."""
        if self._started_s is None or now_s - self._started_s < TIME_LEFT_AFTER_S:
            return None
        rate_bps = self.rate_bps(now_s)
        return left_bytes / rate_bps if rate_bps > 1.0 else None


@dataclass(frozen=True, slots=True)
class RowLook:
    """What a row shows beside its words: the bar's colour ("" for none) and its buttons.

    `retry` and `dismiss` are the buttons' names, "" where there is none.
    """

    bar: str = ""
    accepts: bool = False
    pauses: bool = False
    resumes: bool = False
    retry: str = ""
    dismiss: str = ""
    opens: bool = False


def look_of(transfer: Transfer) -> RowLook:
    """What can be done with a transfer as it stands."""
    match transfer.state:
        case TransferState.OFFERED:
            incoming = not transfer.outgoing
            return RowLook(accepts=incoming, dismiss="Decline" if incoming else "Cancel")
        case TransferState.RUNNING:
            return RowLook("accent", pauses=transfer.pausable, dismiss="Cancel")
        case TransferState.PAUSED:
            return RowLook("control", resumes=transfer.paused_by_me, dismiss="Cancel")
        case TransferState.DONE:
            return RowLook(opens=transfer.path is not None)
        case TransferState.FAILED | TransferState.CANCELLED | TransferState.DECLINED:
            retry = "Send again" if transfer.outgoing else ""
            if transfer.resumable:
                retry = "Go on where it stopped"
            return RowLook(retry=retry, dismiss="Dismiss")


def failure_of(transfer: Transfer) -> str:
    """What a person is told about a transfer that failed."""
    if transfer.error is Reason.TOO_LARGE and not transfer.outgoing:
        if transfer.limit_bytes:
            return f"This file is over the {size_label(transfer.limit_bytes)} limit"
        return "This file is too large to be kept until you accept it"
    if ends_differ(transfer):
        return "Nobody got it"
    if transfer.error is Reason.DISK_FULL and transfer.outgoing:
        whose = f"{transfer.peer_name}'s disk is" if transfer.peer_name else "Their disks are"
        return typeset(f"{whose} full")
    return failure_text(transfer.error, transfer.peer_name)


def failure_text(reason: Reason | None, peer_name: str) -> str:
    """Why a file did not reach `peer_name`, or everyone."""
    match reason:
        case Reason.PEER_GONE:
            return f"{peer_name or 'Everyone'} went offline before it finished"
        case Reason.TIMEOUT:
            return typeset(f"{peer_name or 'Nobody'} can't go on with it now")
        case Reason.DISK_FULL:
            return "Disk is full"
        case Reason.FILE_GONE:
            return "The file was moved or deleted while it was being sent"
        case Reason.TOO_LARGE:
            return "This file is too large to send here"
        case Reason.DAMAGED:
            return "It arrived damaged and was not kept"
        case Reason.DENIED | Reason.REFUSED:
            return "The host has turned off file sharing"
        case _:
            return "It stopped before it finished"


def meta_text(transfer: Transfer, meter: RateMeter, now_s: float, clock: str = "") -> str:
    """The line under a file's name. `clock` is when a finished one was started."""
    size = size_label(transfer.size_bytes)
    if transfer.is_folder:
        size = f"{'1 file' if transfer.files == 1 else f'{transfer.files} files'} · {size}"
    peer = transfer.peer_name
    parts: list[str] = []
    match transfer.state:
        case TransferState.RUNNING:
            parts = [
                *_direction(transfer),
                progress_label(transfer.done_bytes, transfer.size_bytes),
            ]
            rate_bps = meter.rate_bps(now_s)
            if rate_bps >= 1:
                parts.append(f"{size_label(round(rate_bps))}/s")
            left_s = meter.time_left_s(transfer.size_bytes - transfer.done_bytes, now_s)
            # With a name before it the line has no room for the time too.
            if left_s is not None and not peer:
                parts.append(time_left_label(left_s))
        case TransferState.DONE:
            if transfer.outgoing:
                parts = [f"Sent to {sent_to(transfer)}", size]
            else:
                parts = [f"From {peer}", size] if peer else [size]
            # A folder's line has no room for the time after the number of its files.
            if clock and not (peer and transfer.is_folder):
                parts.append(clock)
        case TransferState.OFFERED:
            who = peer or "others"
            parts = [f"Waiting for {who}" if transfer.outgoing else f"From {who}", size]
        case TransferState.PAUSED:
            done = progress_label(transfer.done_bytes, transfer.size_bytes)
            if transfer.is_waiting and not transfer.paused_by_me:
                return f"Waiting for {peer or 'others'} · {done}"
            by = "" if transfer.paused_by_me else f" by {peer or 'others'}"
            parts = [*(_direction(transfer) if not by else ()), f"paused{by} at {done}"]
            parts[0] = parts[0][:1].upper() + parts[0][1:]
        case TransferState.CANCELLED:
            parts = [f"Cancelled{_cancelled_by(transfer)}", size]
        case TransferState.DECLINED:
            who = peer or "Nobody"
            took = "took" if not peer else "did not take"
            parts = [f"{who} {took} it" if transfer.outgoing else "Declined", size]
        case TransferState.FAILED:
            parts = [failure_of(transfer)]
    return " · ".join(parts)


def _direction(transfer: Transfer) -> tuple[str, ...]:
    if not transfer.peer_name:
        return ()
    return (f"{'To' if transfer.outgoing else 'From'} {transfer.peer_name}",)


def _cancelled_by(transfer: Transfer) -> str:
    if transfer.cancelled_by_me:
        return " by you"
    if not transfer.cancelled_by:
        return ""
    first, *others = transfer.cancelled_by
    if not others:
        return f" by {first}"
    return f" by {first} and {others[0] if len(others) == 1 else f'{len(others)} others'}"


_KINDS = {
    "file-pdf": ("pdf",),
    "image": ("png", "jpg", "jpeg", "gif", "webp", "bmp", "svg", "heic", "tif", "tiff"),
    "film-strip": ("mp4", "mov", "mkv", "webm", "avi", "m4v"),
    "archive": ("zip", "gz", "tar", "7z", "rar", "xz", "bz2", "tgz"),
    "file-text": ("txt", "md", "doc", "docx", "odt", "rtf", "csv", "xls", "xlsx", "ods"),
}


def icon_name(file_name: str, *, is_folder: bool = False) -> str:
    """The icon for a file, by the end of its name."""
    if is_folder:
        return "folder-simple"
    ending = PurePath(file_name).suffix.lower().lstrip(".")
    return next((icon for icon, endings in _KINDS.items() if ending in endings), "file")


def plate_tone(icon: str) -> str:
    """The tone of the plate behind a file's icon: the kinds one looks for stand out."""
    return {"file-pdf": "alert", "image": "picture"}.get(icon, "neutral")


class TransferBook:
    """Every transfer of this meeting, with the meter that makes its figures readable."""

    def __init__(self) -> None:
        self._transfers: dict[str, Transfer] = {}
        self._meters: dict[str, RateMeter] = {}

    def handle(self, transfer: Transfer, now_s: float) -> bool:
        """Take the newest state; True when a row must appear or move to another section."""
        old = self._transfers.get(transfer.id)
        self._transfers[transfer.id] = transfer
        self.meter(transfer.id).handle_progress(transfer.done_bytes, now_s)
        return old is None or section_of(old) is not section_of(transfer)

    def get(self, transfer_id: str) -> Transfer:
        """The newest state of one transfer."""
        return self._transfers[transfer_id]

    def meter(self, transfer_id: str) -> RateMeter:
        """The rate of one transfer."""
        return self._meters.setdefault(transfer_id, RateMeter())

    def forget(self, transfer_id: str) -> None:
        """A row was dismissed."""
        self._transfers.pop(transfer_id, None)
        self._meters.pop(transfer_id, None)

    def in_section(self, section: Section) -> list[Transfer]:
        """Its transfers: running ones oldest first, finished ones newest first."""
        found = [t for t in self._transfers.values() if section_of(t) is section]
        return found[::-1] if section is Section.SHARED else found

    @property
    def running(self) -> int:
        """How many are on their way or wait for an answer; the number on the Files tab."""
        return sum(not t.state.is_over for t in self._transfers.values())

    @property
    def is_moving(self) -> bool:
        """Whether any row's figures change by themselves."""
        return any(t.state is TransferState.RUNNING for t in self._transfers.values())
