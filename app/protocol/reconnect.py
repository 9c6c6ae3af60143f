"""What to do after a loss: resume, join anew (when, how often), or end.

A resume keeps the session: the same sid, the same tracks, media that may never have stopped. It
is tried first, and again while the server cannot be reached at all, for as long as the server
keeps a silent participant. A server that refuses it, or a path that does not come back, leaves
the fresh join: a new sid, with the newest token.
"""

from __future__ import annotations

from dataclasses import dataclass

from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

FIRST_STEP_S = 0.3
LONGEST_WAIT_S = 7.0
# The official server keeps a participant for 10 + 5 + 5 s after the last sign of life.
RESUME_PATIENCE_S = 15.0


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
class Attempt:
    """Wait, then try to come back; `resumes` says which way."""

    wait_s: float
    resumes: bool


class ReturnLadder:
    """The attempts of one way back: resumes first, if there is anything to resume."""

    def __init__(self, attempts: int = 10, *, may_resume: bool, now_s: float) -> None:
        self._ladder = RejoinLadder(attempts)
        self._resumes = may_resume
        self._resume_until_s = now_s + RESUME_PATIENCE_S
        self._is_urgent = False

    @property
    def made(self) -> int:
        """Attempts handed out."""
        return self._ladder.made

    def next_attempt(self, jitter: float, now_s: float) -> Attempt | None:
        """Return what to try next, None when there is nothing left. `jitter` is 0..1."""
        wait_s = self._ladder.next_wait_s(jitter)
        if wait_s is None:
            return None
        if now_s >= self._resume_until_s:
            self._resumes = False
        if self._is_urgent:
            wait_s, self._is_urgent = 0.0, False
        return Attempt(wait_s, self._resumes)

    def give_up_resuming(self) -> None:
        """Join anew from here on, the next time without a wait: it is not the network's fault."""
        if self._resumes:
            self._resumes = False
            self._is_urgent = True


@dataclass(frozen=True)
class End:
    """The stay is over."""

    reason: lk_models.DisconnectReason


@dataclass(frozen=True)
class Resume:
    """Go on with the session over another socket."""


@dataclass(frozen=True)
class Rejoin:
    """Join afresh."""


# Servers before protocol 13 sent `can_reconnect` instead of an action.
def after_leave(leave: lk_rtc.LeaveRequest) -> End | Resume | Rejoin:
    """Judge a `leave` from the server."""
    if leave.action == lk_rtc.LeaveRequest.RESUME:
        return Resume()
    if leave.action == lk_rtc.LeaveRequest.DISCONNECT and not leave.can_reconnect:
        return End(leave.reason)
    return Rejoin()
