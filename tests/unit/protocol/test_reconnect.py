from __future__ import annotations

import pytest
from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.protocol.reconnect import (
    LONGEST_WAIT_S,
    RESUME_PATIENCE_S,
    Attempt,
    End,
    Rejoin,
    RejoinLadder,
    Resume,
    ReturnLadder,
    after_leave,
)


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
    assert after_leave(lk_rtc.LeaveRequest(action=lk_rtc.LeaveRequest.RECONNECT)) == Rejoin()
    assert after_leave(lk_rtc.LeaveRequest(can_reconnect=True)) == Rejoin()


def test_a_leave_that_wants_a_resume_keeps_the_session() -> None:
    assert after_leave(lk_rtc.LeaveRequest(action=lk_rtc.LeaveRequest.RESUME)) == Resume()


def test_an_unreachable_server_is_asked_to_resume_until_it_has_lost_patience() -> None:
    ladder = ReturnLadder(may_resume=True, now_s=100.0)
    assert ladder.next_attempt(1.0, 100.0) == Attempt(0.0, resumes=True)
    assert ladder.next_attempt(1.0, 100.1) == Attempt(0.3, resumes=True)
    late_s = 100.0 + RESUME_PATIENCE_S
    assert ladder.next_attempt(1.0, late_s - 0.1) == Attempt(0.6, resumes=True)
    assert ladder.next_attempt(1.0, late_s) == Attempt(1.2, resumes=False)


def test_a_refused_resume_becomes_a_fresh_join_at_once() -> None:
    ladder = ReturnLadder(may_resume=True, now_s=0.0)
    ladder.next_attempt(1.0, 0.0)
    ladder.give_up_resuming()
    assert ladder.next_attempt(1.0, 0.1) == Attempt(0.0, resumes=False)
    ladder.give_up_resuming()
    assert ladder.next_attempt(1.0, 0.2) == Attempt(0.6, resumes=False)


def test_what_cannot_be_resumed_is_joined_anew_and_the_attempts_come_to_an_end() -> None:
    ladder = ReturnLadder(2, may_resume=False, now_s=0.0)
    assert ladder.next_attempt(0.0, 0.0) == Attempt(0.0, resumes=False)
    assert ladder.next_attempt(1.0, 0.0) == Attempt(0.3, resumes=False)
    assert ladder.next_attempt(1.0, 0.0) is None
    assert ladder.made == 2
