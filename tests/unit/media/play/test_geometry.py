"""Pictures fit their tiles."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.media.play.geometry import Fit, Geometry, tile_geometry

edges = st.integers(1, 4_000)


def test_a_picture_of_the_tile_s_shape_is_only_scaled() -> None:
    assert tile_geometry(1280, 720, 320, 180, Fit.COVER) == Geometry(320, 180, 0, 0, 320, 180)


def test_covering_cuts_the_sides_of_a_wide_picture() -> None:
    assert tile_geometry(1280, 720, 180, 180, Fit.COVER) == Geometry(320, 180, 70, 0, 180, 180)


def test_fitting_keeps_everything() -> None:
    assert tile_geometry(1280, 720, 180, 180, Fit.FIT) == Geometry(180, 101, 0, 0, 180, 101)


def test_a_picture_smaller_than_its_tile_stays_native_and_is_cut_to_the_tile_s_shape() -> None:
    assert tile_geometry(640, 360, 1000, 1000, Fit.COVER) == Geometry(640, 360, 140, 0, 360, 360)
    assert tile_geometry(640, 360, 1000, 1000, Fit.FIT) == Geometry(640, 360, 0, 0, 640, 360)


@given(edges, edges, edges, edges, st.sampled_from(Fit))
def test_what_is_shown_lies_inside_the_picture_and_the_tile(
    source_width: int, source_height: int, width: int, height: int, fit: Fit
) -> None:
    plan = tile_geometry(source_width, source_height, width, height, fit)

    assert plan.width >= 1
    assert plan.height >= 1
    assert plan.left >= 0
    assert plan.top >= 0
    assert plan.left + plan.width <= plan.scaled_width <= source_width
    assert plan.top + plan.height <= plan.scaled_height <= source_height
    assert plan.width <= width
    assert plan.height <= height
