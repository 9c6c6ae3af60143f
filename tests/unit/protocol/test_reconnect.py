from __future__ import annotations

import pytest
from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.protocol.reconnect import LONGEST_WAIT_S, End, Rejoin, RejoinLadder, after_leave


def test_the_first_attempt_is_immediate_and_the_waits_grow_to_a_limit() -> None:
    ladder = RejoinLadder(attempts=10)
    waits = [ladder.next_wait_s(1.0) for _ in range(10)]

    assert waits[0] == 0.0
    assert waits[1:5] == [0.3, 0.6, 1.2, 2.4]
    assert waits[-1] == LONGEST_WAIT_S
    assert ladder.next_wait_s(1.0) is None


def test_jitter_spreads_a_wait_over_its_upper_quarter() -> None:
    ladder = RejoinLadder(attempts=3)
    ladder.next_wait_s(0.0)

    assert ladder.next_wait_s(0.0) == pytest.approx(0.225)


def test_ten_attempts_last_about_half_a_minute() -> None:
    for jitter in (0.0, 1.0):
        ladder = RejoinLadder(attempts=10)
        assert 27 < sum(ladder.next_wait_s(jitter) or 0.0 for _ in range(10)) < 39


def test_a_rejoin_that_worked_starts_the_ladder_anew() -> None:
    ladder = RejoinLadder(attempts=2)
    ladder.next_wait_s(0.5)
    ladder.next_wait_s(0.5)
    ladder.reset()

    assert ladder.next_wait_s(0.5) == 0.0
    assert ladder.made == 1


def test_a_leave_that_disconnects_ends_the_stay_with_its_reason() -> None:
    reasons = lk_models.DisconnectReason
    leave = lk_rtc.LeaveRequest(
        action=lk_rtc.LeaveRequest.DISCONNECT, reason=reasons.DUPLICATE_IDENTITY
    )

    assert after_leave(leave) == End(reasons.DUPLICATE_IDENTITY)


def test_leaves_that_allow_a_return_lead_to_a_fresh_join() -> None:
    for action in (lk_rtc.LeaveRequest.RECONNECT, lk_rtc.LeaveRequest.RESUME):
        assert after_leave(lk_rtc.LeaveRequest(action=action)) == Rejoin()
    assert after_leave(lk_rtc.LeaveRequest(can_reconnect=True)) == Rejoin()
