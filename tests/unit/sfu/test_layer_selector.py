"""Which layer for whom."""

from __future__ import annotations

import pytest

from app.sfu.layer_selector import max_spatial, target_layer

LOW, MEDIUM, HIGH = 0, 1, 2


@pytest.mark.parametrize(
    ("quality", "declared", "count", "expected"),
    [
        (HIGH, (HIGH,), 1, 0),
        (LOW, (HIGH,), 1, 0),
        (LOW, (LOW, MEDIUM, HIGH), 3, 0),
        (MEDIUM, (LOW, MEDIUM, HIGH), 3, 1),
        (HIGH, (LOW, MEDIUM, HIGH), 3, 2),
        (HIGH, (), 3, 2),
        (LOW, (LOW, HIGH), 2, 0),
        (MEDIUM, (LOW, HIGH), 2, 0),
        (MEDIUM, (LOW, MEDIUM), 2, 1),
        (HIGH, (LOW, MEDIUM), 2, 1),
        (LOW, (MEDIUM, HIGH), 2, 0),
        (HIGH, (), 2, 1),
    ],
)
def test_qualities_are_spatial_layers_by_rank(
    quality: int, declared: tuple[int, ...], count: int, expected: int
) -> None:
    assert max_spatial(quality, declared, count) == expected


def test_the_best_living_layer_up_to_the_maximum_is_wanted() -> None:
    assert target_layer(2, {0, 1, 2}, None) == 2
    assert target_layer(1, {0, 1, 2}, 2) == 1
    assert target_layer(2, {0, 1}, 2) == 1


def test_with_only_higher_layers_alive_the_lowest_of_them_is_better_than_nothing() -> None:
    assert target_layer(0, {1, 2}, None) == 1


def test_with_nothing_alive_the_current_layer_stays() -> None:
    assert target_layer(2, set(), 1) == 1
    assert target_layer(2, set(), None) is None
