"""One person of an outgoing drop: where it stands there, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from app.engine.events import Outcome, TransferState
from app.protocol.transfers import Refusal
from app.runtime.errors import Reason


class Stage(StrEnum):
    """Where one receiver of a drop stands."""

    OFFERING = "offering"
    ASKED = "asked"
    READY = "ready"
    SENDING = "sending"
    CHECKING = "checking"
    PAUSED = "paused"
    LOST = "lost"
    DONE = "done"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    FAILED = "failed"


OUT = (Stage.DECLINED, Stage.CANCELLED, Stage.FAILED)
OVER = (Stage.DONE, *OUT)
MOVING = (Stage.READY, Stage.SENDING, Stage.CHECKING)
_ENDS = {
    Stage.DONE: TransferState.DONE,
    Stage.DECLINED: TransferState.DECLINED,
    Stage.CANCELLED: TransferState.CANCELLED,
    Stage.FAILED: TransferState.FAILED,
}
_REFUSALS = {
    Refusal.TOO_LARGE: Reason.TOO_LARGE,
    Refusal.DISK_FULL: Reason.DISK_FULL,
    Refusal.DAMAGED: Reason.DAMAGED,
}


@dataclass(slots=True, eq=False)
class Receiver:
    """One person of a drop; the name is kept, for who has left has none any more."""

    identity: str
    name: str
    stage: Stage = Stage.OFFERING
    is_plain: bool = False
    position: int = 0
    prefix_sha256: str = ""
    got_bytes: int = 0
    sent_bytes: int = 0
    tries: int = 0
    leg: object = None
    offer: object = None
    error: Reason | None = None

    def refuse(self, refusal: Refusal) -> None:
        """End it by the receiver's word."""
        self.leg = None
        self.error = _REFUSALS.get(refusal)
        if self.error is not None or refusal in (Refusal.BUSY, Refusal.FAILED):
            self.stage = Stage.FAILED
            self.error = self.error or (
                Reason.TIMEOUT if refusal is Refusal.BUSY else Reason.PEER_GONE
            )
        else:
            self.stage = Stage.DECLINED if refusal is Refusal.DECLINED else Stage.CANCELLED

    def fail(self, reason: Reason) -> None:
        """End it by ours or the world's."""
        self.leg, self.stage, self.error = None, Stage.FAILED, reason


def outcomes(receivers: Iterable[Receiver]) -> tuple[Outcome, ...]:
    """What became of it with those for whom it is over."""
    return tuple(
        Outcome(each.name, _ENDS[each.stage], each.error)
        for each in receivers
        if each.stage in OVER
    )
