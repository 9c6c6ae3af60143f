"""Numbers in buckets, as the text format of Prometheus wants them."""

from __future__ import annotations

import pytest

from app.server.spread import Spread, growing_buckets
from app.server.tally import Tally


def test_a_bucket_counts_what_is_no_larger_than_its_bound() -> None:
    spread = Spread((5, 10))
    assert spread.buckets() == [("5", 0.0), ("10", 0.0), ("+Inf", 0.0)]
    for value in (0, 5, 5.1, 10, 11, 1e9):
        spread.note(value)
    assert spread.buckets() == [("5", 2.0), ("10", 4.0), ("+Inf", 6.0)]
    assert spread.sum == pytest.approx(1e9 + 31.1)


def test_growing_buckets_start_and_end_where_they_should() -> None:
    bounds = growing_buckets(100, 14_400_000, 15)
    assert (len(bounds), bounds[0]) == (15, 100)
    assert bounds[-1] == pytest.approx(14_400_000)


def test_what_a_client_calls_its_protocol_makes_only_so_many_series() -> None:
    tally = Tally()
    for protocol in range(-5, 5_000):
        tally.note_session(protocol, 1.0)
    assert len(tally.sessions_ms) <= 20
