"""Resends: what is kept, and how often it goes out."""

from __future__ import annotations

import pytest

from app.sfu.history import History, ResendLimiter


def test_the_newest_packets_are_found_and_older_ones_are_not() -> None:
    history: History[str] = History(8)
    for n in range(20):
        history.store(n, f"p{n}")
    assert history.find(19) == "p19"
    assert history.find(12) == "p12"
    assert history.find(11) is None
    assert history.find(20) is None
    with pytest.raises(ValueError, match="power"):
        History(7)


def test_a_packet_is_resent_three_times_and_not_too_often() -> None:
    limiter = ResendLimiter()
    assert limiter.allow(5, 0.0, 0.1)
    assert not limiter.allow(5, 0.05, 0.1)
    assert limiter.allow(5, 0.11, 0.1)
    assert limiter.allow(5, 0.22, 0.1)
    assert not limiter.allow(5, 1.0, 0.1)
    assert limiter.allow(6, 1.0, 0.1)


def test_a_short_round_trip_allows_an_earlier_resend() -> None:
    limiter = ResendLimiter()
    assert limiter.allow(5, 0.0, 0.005)
    assert limiter.allow(5, 0.011, 0.005)


def test_the_memory_is_bounded() -> None:
    limiter = ResendLimiter()
    for n in range(2000):
        limiter.allow(n, 0.0, 0.1)
    assert len(limiter._resent) <= 512
