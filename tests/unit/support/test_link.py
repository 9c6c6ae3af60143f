"""The bad network is as bad as it says, and always in the same way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.link import BURSTY, CAFE_WIFI, Conditions, ShapedLink


def run(conditions: Conditions, seed: int, count: int = 5_000) -> list[tuple[float, int]]:
    link: ShapedLink[int] = ShapedLink(conditions, seed)
    for number in range(count):
        link.send(number, number * 0.02, 100)
    return link.receive(1e9)


def test_the_same_seed_gives_the_same_fate_and_another_a_different_one() -> None:
    assert run(CAFE_WIFI, 1) == run(CAFE_WIFI, 1)
    assert run(CAFE_WIFI, 1) != run(CAFE_WIFI, 2)


def test_loss_delay_and_jitter_are_as_named() -> None:
    arrived = run(CAFE_WIFI, 3)
    delays_s = [at_s - number * 0.02 for at_s, number in arrived]

    assert len(arrived) == pytest.approx(5_000 * 0.98, abs=40)
    assert min(delays_s) >= CAFE_WIFI.delay_s
    assert max(delays_s) <= CAFE_WIFI.delay_s + CAFE_WIFI.jitter_s + 1e-6
    assert [n for _, n in arrived] != sorted(n for _, n in arrived)


def test_a_link_that_keeps_order_does() -> None:
    arrived = run(replace(CAFE_WIFI, keep_order=True), 3)

    assert [n for _, n in arrived] == sorted(n for _, n in arrived)


def test_bursts_take_several_packets_in_a_row() -> None:
    arrived = {number for _, number in run(BURSTY, 1, 20_000)}
    lost = [number for number in range(20_000) if number not in arrived]
    bursts = [n for n in lost if n - 1 not in lost]

    assert len(lost) / len(bursts) == pytest.approx(BURSTY.burst_packets, rel=0.3)


def test_a_narrow_link_queues_and_then_drops() -> None:
    narrow = Conditions("narrow", rate_bps=80_000, queue_s=0.1)
    link: ShapedLink[int] = ShapedLink(narrow, 1)
    for number in range(100):
        link.send(number, 0.0, 100)  # 10 ms each
    arrived = link.receive(10.0)

    assert [round(at_s, 3) for at_s, _ in arrived] == [round(0.01 * n, 3) for n in range(1, 12)]
    assert link.lost == 89
