"""Published videos get the layers that LiveKit clients choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.layers import choose_layers


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1280, 720), [("q", 320, 180), ("h", 640, 360), ("f", 1280, 720)]),
        ((1920, 1080), [("q", 320, 180), ("h", 640, 360), ("f", 1920, 1080)]),
        ((640, 360), [("q", 320, 180), ("h", 640, 360)]),
        ((640, 480), [("q", 240, 180), ("h", 640, 480)]),
        ((960, 720), [("q", 240, 180), ("h", 480, 360), ("f", 960, 720)]),
        ((320, 180), [("", 320, 180)]),
        ((720, 1280), [("q", 180, 320), ("h", 360, 640), ("f", 720, 1280)]),
    ],
)
def test_simulcast_layers_by_size(
    size: tuple[int, int], expected: list[tuple[str, int, int]]
) -> None:
    layers = choose_layers(*size, simulcast=True)

    assert [
        (p.rid, s.width, s.height) for p, s in zip(layers.parameters, layers.specs, strict=True)
    ] == expected


def test_without_simulcast_there_is_one_layer_without_a_name() -> None:
    layers = choose_layers(1280, 720, simulcast=False, max_bitrate_bps=900_000, max_fps=24)

    assert [(p.rid, p.max_bitrate_bps, p.max_framerate) for p in layers.parameters] == [
        ("", 900_000, 24)
    ]
    assert [v.quality for v in layers.announced] == [2]


def test_a_limit_applies_to_the_largest_layer() -> None:
    layers = choose_layers(1280, 720, simulcast=True, max_bitrate_bps=2_500_000, max_fps=60)

    assert [s.bitrate_bps for s in layers.specs] == [160_000, 450_000, 2_500_000]
    assert layers.specs[-1].fps == 60


def test_a_screen_gets_a_smaller_copy_of_itself() -> None:
    layers = choose_layers(1920, 1080, simulcast=True, is_screencast=True)

    assert [(s.width, s.height) for s in layers.specs] == [(960, 540), (1920, 1080)]


@given(st.integers(1, 8_000), st.integers(1, 8_000), st.booleans(), st.booleans())
def test_layers_rise_keep_their_shape_and_never_exceed_the_source(
    width: int, height: int, simulcast: bool, is_screencast: bool
) -> None:
    layers = choose_layers(width, height, simulcast=simulcast, is_screencast=is_screencast)

    sizes = [spec.width * spec.height for spec in layers.specs]
    assert sizes == sorted(sizes)
    assert (layers.specs[-1].width, layers.specs[-1].height) == (width, height)
    assert all(p.scale_down_by >= 1.0 for p in layers.parameters)
    assert len({p.rid for p in layers.parameters}) == len(layers.parameters) <= 3
    assert all(spec.bitrate_bps > 0 and spec.fps > 0 for spec in layers.specs)
