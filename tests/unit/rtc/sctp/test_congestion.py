from __future__ import annotations

from app.rtc.sctp.congestion import LEAST_WINDOW_BYTES, MOST_RTO_S, Congestion
from app.rtc.sctp.outbound import Outbound
from app.rtc.sctp.wire import PacketWriter

MESSAGE = bytes(40_000)


def sending(now_s: float = 0.0) -> Outbound:
    """A sender whose first window is on its way."""
    outbound = Outbound(1, window_bytes=1 << 20, has_forward_tsn=True)
    outbound.queue(0, 53, MESSAGE, ordered=True, max_resends=None)
    write(outbound, now_s)
    return outbound


def write(outbound: Outbound, now_s: float) -> int:
    writer = PacketWriter(5000, 5000, 1)
    outbound.write(writer, now_s, 100)
    return len(writer.packets)


def test_a_timer_that_backs_off_stops_at_a_second() -> None:
    congestion = Congestion()
    for _ in range(8):
        congestion.handle_timeout()

    assert congestion.rto_s == max(MOST_RTO_S, 3 * 0.5)


def test_a_late_answer_undoes_the_timeout_that_it_was_late_for() -> None:
    outbound = sending()
    window_bytes = outbound.congestion.window_bytes
    on_the_way = outbound.last_tsn
    outbound.handle_timer(0.5)
    write(outbound, 0.5)
    assert outbound.congestion.window_bytes == LEAST_WINDOW_BYTES

    outbound.handle_sack(on_the_way, 1 << 20, [], 0.6)

    assert outbound.congestion.window_bytes >= window_bytes


def test_a_loss_is_not_undone() -> None:
    outbound = sending()
    outbound.handle_timer(0.5)
    resent = write(outbound, 0.5)
    outbound.handle_sack(resent, 1 << 20, [], 0.6)
    write(outbound, 0.6)
    outbound.handle_sack(outbound.last_tsn, 1 << 20, [], 0.7)

    assert outbound.congestion.window_bytes < 10 * LEAST_WINDOW_BYTES
    assert outbound.congestion.threshold_bytes < 1 << 20
