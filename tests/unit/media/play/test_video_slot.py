"""A tile's slot: right pixels, newest wins, hidden tiles cost nothing."""

from __future__ import annotations

import numpy as np
import pytest

from app.media.capture.generated import draw_picture
from app.media.capture.pattern import read_counter
from app.media.frames import Picture
from app.media.play.video_slot import TileFrame, VideoSlot
from tests.support.signals import colour_distance, pixels_colour

GREEN = (30, 160, 60)


def shown(picture: Picture, width: int, height: int, fit: str = "cover") -> TileFrame:
    slot = VideoSlot()
    slot.set_target(width, height, fit)
    slot.offer(picture, 90)
    frame = slot.take()
    assert frame is not None
    return frame


@pytest.mark.parametrize(
    ("width", "height"), [(374, 210), (640, 360), (320, 240), (200, 190), (161, 91), (1200, 700)]
)
def test_a_tile_shows_the_colour_and_the_counter(width: int, height: int) -> None:
    frame = shown(draw_picture(GREEN, 640, 360, 77), width, height)

    assert frame.width <= width
    assert frame.height <= height
    assert (frame.source_width, frame.source_height, frame.ts_rtp) == (640, 360, 90)
    assert frame.pixels().shape == (frame.height, frame.width, 4)
    assert colour_distance(pixels_colour(frame.pixels()), GREEN) <= 6
    assert read_counter(frame) == 77


def test_the_rows_of_a_tile_are_where_its_stride_says() -> None:
    frame = shown(draw_picture(GREEN, 640, 360, 1), 301, 203)

    assert frame.data.ndim == 1
    assert frame.data.flags.c_contiguous
    assert frame.stride >= frame.width * 4
    assert frame.data.size >= frame.stride * (frame.height - 1) + frame.width * 4
    row = 100
    start = row * frame.stride
    expected = frame.pixels()[row].reshape(-1)
    assert np.array_equal(frame.data[start : start + frame.width * 4], expected)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_rotated_picture_is_shown_upright(rotation: int) -> None:
    # A light corner at the top left, turned against what the viewer then undoes.
    upright = np.full((64, 128), 40, np.uint8)
    upright[:16, :16] = 235
    turned = np.ascontiguousarray(np.rot90(upright, rotation // 90))
    height, width = turned.shape
    chroma = np.full(width * height // 2, 128, np.uint8)
    picture = Picture(width, height, np.concatenate((turned.reshape(-1), chroma)), rotation)

    frame = shown(picture, 128, 64)

    assert (frame.width, frame.height) == (128, 64)
    assert frame.pixels()[:12, :12, 1].min() > 180
    assert frame.pixels()[:, 32:, 1].max() < 60


def test_the_newest_picture_wins_and_the_rest_is_counted() -> None:
    ready = []
    slot = VideoSlot(lambda: ready.append(1))
    slot.set_target(320, 180)
    for counter in (1, 2, 3):
        slot.offer(draw_picture(GREEN, 640, 360, counter), counter)

    frame = slot.take()

    assert frame is not None
    assert read_counter(frame) == frame.counter == 3
    assert slot.take() is None
    assert slot.dropped == 2
    assert ready == [1]


def test_a_hidden_or_closed_tile_costs_nothing() -> None:
    slot = VideoSlot()
    picture = draw_picture(GREEN, 640, 360, 1)
    slot.offer(picture, 0)
    slot.set_target(320, 180)
    slot.set_target(0, 0)
    slot.offer(picture, 0)
    slot.set_target(320, 180)
    slot.close()
    slot.offer(picture, 0)

    assert slot.take() is None
    assert (slot.offered, slot.skipped) == (0, 3)


def test_an_earlier_frame_keeps_its_pixels() -> None:
    slot = VideoSlot()
    slot.set_target(320, 180)
    frames = []
    for counter in range(1, 6):
        slot.offer(draw_picture(GREEN, 640, 360, counter), counter)
        frames.append(slot.take())

    assert [read_counter(frame) for frame in frames if frame] == [1, 2, 3, 4, 5]


def test_pictures_with_odd_edges_are_shown() -> None:
    width, height = 321, 181
    size = width * height + 2 * 161 * 91
    frame = shown(Picture(width, height, np.full(size, 128, np.uint8)), 160, 90)

    assert (frame.width, frame.height) == (160, 90)
