"""What to do after a loss: try again (when, how often) or end.

A resume is not offered yet: whatever the server suggests, the way back is a fresh join under a
new sid, with the newest token.
"""

from __future__ import annotations

from dataclasses import dataclass

from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

FIRST_STEP_S = 0.3
LONGEST_WAIT_S = 7.0


class RejoinLadder:
    """Waits that grow between attempts, and an end to them.

    The first attempt is immediate: most losses are a moment of Wi-Fi or a restarted server.
    Then the wait is spread over the upper quarter of min(7 s, 0.3 s · 2^(n-1)), so that a room
    full of people does not come back in one instant. Ten attempts take about half a minute.
    """

    def __init__(self, attempts: int = 10) -> None:
        self._attempts = attempts
        self._made = 0

    @property
    def made(self) -> int:
        """Attempts handed out since the last reset."""
        return self._made

    def next_wait_s(self, jitter: float) -> float | None:
        """Return the wait before the next attempt, None when there is none. `jitter` is 0..1."""
        if self._made >= self._attempts:
            return None
        self._made += 1
        if self._made == 1:
            return 0.0
        step_s = min(LONGEST_WAIT_S, FIRST_STEP_S * 2.0 ** (self._made - 2))
        return step_s * (0.75 + 0.25 * jitter)

    def reset(self) -> None:
        """Start again at the bottom: the last attempt has worked."""
        self._made = 0


@dataclass(frozen=True)
class End:
    """The stay is over."""

    reason: lk_models.DisconnectReason


@dataclass(frozen=True)
class Rejoin:
    """Join afresh."""


# Servers before protocol 13 sent `can_reconnect` instead of an action.
def after_leave(leave: lk_rtc.LeaveRequest) -> End | Rejoin:
    """Judge a `leave` from the server."""
    if leave.action == lk_rtc.LeaveRequest.DISCONNECT and not leave.can_reconnect:
        return End(leave.reason)
    return Rejoin()
