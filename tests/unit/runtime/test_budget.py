"""A budget: bursts are free, what is owed is waited for."""

from __future__ import annotations

import pytest

from app.runtime.budget import Budget


def test_a_burst_costs_no_time_and_what_exceeds_it_is_waited_for() -> None:
    budget = Budget(rate=10, burst=100)

    assert budget.spend(100, now_s=0) == 0
    assert budget.spend(20, now_s=0) == pytest.approx(2)
    assert budget.spend(0, now_s=2) == 0


def test_rest_refills_no_more_than_the_burst() -> None:
    budget = Budget(rate=1, burst=3)

    assert [budget.allow(0) for _ in range(4)] == [True, True, True, False]
    assert [budget.allow(1_000) for _ in range(4)] == [True, True, True, False]
