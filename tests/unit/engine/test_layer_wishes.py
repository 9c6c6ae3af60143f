from __future__ import annotations

from app.engine.layer_wishes import PATIENCE_S, LayerWish, LayerWishes

SMALL, LARGE = (320, 180), (1280, 720)


def settled(size: tuple[int, int] | None) -> LayerWishes:
    wishes = LayerWishes()
    wishes.handle_demand("T", size, 0.0)
    wishes.handle_demand("T", size, PATIENCE_S)
    return wishes


def test_a_smaller_tile_asks_for_less_once_it_has_stayed_small() -> None:
    wishes = LayerWishes()

    assert wishes.handle_demand("T", SMALL, 0.0) is None
    assert wishes.handle_demand("T", SMALL, PATIENCE_S) == LayerWish("T", SMALL)
    assert wishes.handle_demand("T", SMALL, 9.0) is None


def test_a_larger_tile_asks_for_more_at_once() -> None:
    assert settled(SMALL).handle_demand("T", LARGE, 9.0) == LayerWish("T", LARGE)


def test_nobody_looking_stops_the_video_and_a_look_brings_it_back_at_once() -> None:
    wishes = settled(None)

    assert wishes.handle_demand("T", SMALL, 9.0) == LayerWish("T", SMALL)
    assert wishes.handle_demand("T", None, 10.0) is None
    assert wishes.handle_demand("T", None, 10.0 + PATIENCE_S) == LayerWish("T", None)


def test_a_panel_that_opens_and_closes_costs_nothing() -> None:
    wishes = settled(LARGE)

    assert wishes.handle_demand("T", SMALL, 10.0) is None
    assert wishes.handle_demand("T", LARGE, 11.0) is None
    assert wishes.handle_demand("T", SMALL, 12.5) is None


def test_a_few_pixels_make_no_difference() -> None:
    assert settled(LARGE).handle_demand("T", (1300, 700), 9.0) is None


def test_a_track_that_went_is_forgotten() -> None:
    wishes = settled(None)
    wishes.forget_all_but(set())

    assert wishes.handle_demand("T", LARGE, 9.0) is None
