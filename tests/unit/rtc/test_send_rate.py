from __future__ import annotations

from app.rtc.rtcp import TransportFeedback
from app.rtc.send_rate import FIRST_BPS, LEAST_BPS, SendRate


def run(
    rate: SendRate, *, seconds: float, loss_every: int = 0, delay_growth: float = 0.0, bps: int
) -> int:
    """Send 1,000-byte packets at `bps` with feedback ten times a second."""
    interval_s = 8_000 / bps
    sent = int(seconds / interval_s)
    base, batch = 0, []
    target = rate.target_bps
    for number in range(sent):
        now_s = number * interval_s
        rate.note_sent(number & 0xFFFF, 1_000, now_s)
        lost = bool(loss_every) and number % loss_every == 0
        delay_s = 0.02 + delay_growth * now_s
        batch.append(None if lost else int((now_s + delay_s) * 1e6))
        if len(batch) * interval_s >= 0.1:
            target = rate.handle_feedback(
                TransportFeedback(base & 0xFFFF, 0, tuple(batch)), now_s + 0.05
            )
            base, batch = number + 1, []
    return target


def test_a_clean_path_that_is_used_lets_the_target_rise() -> None:
    assert run(SendRate(), seconds=10, bps=3_000_000) > FIRST_BPS


def test_a_path_that_is_hardly_used_is_not_guessed_to_carry_more() -> None:
    assert run(SendRate(), seconds=10, bps=300_000) == FIRST_BPS


def test_heavy_loss_brings_the_target_down_to_a_floor() -> None:
    rate = SendRate()
    assert run(rate, seconds=5, loss_every=4, bps=2_000_000) < FIRST_BPS
    assert run(rate, seconds=120, loss_every=2, bps=2_000_000) == LEAST_BPS


def test_a_queue_that_grows_brings_the_target_below_what_arrives() -> None:
    assert run(SendRate(), seconds=10, delay_growth=0.1, bps=2_000_000) < 2_000_000


def test_light_loss_alone_changes_nothing() -> None:
    assert run(SendRate(), seconds=10, loss_every=20, bps=3_000_000) == FIRST_BPS


def test_the_server_s_estimate_bounds_the_target_while_it_is_fresh() -> None:
    rate = SendRate()

    assert rate.handle_remb(500_000, 1.0) == 500_000
    assert rate.handle_loss(0.05, 3.0) == 500_000
    assert rate.handle_loss(0.05, 10.0) == FIRST_BPS


def test_reports_of_loss_count_where_no_other_feedback_comes() -> None:
    rate = SendRate()
    targets = [rate.handle_loss(0.4, float(second)) for second in range(10)]

    assert targets[-1] < FIRST_BPS / 4
