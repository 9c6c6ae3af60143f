"""The counter in a picture can be read after a codec, a smaller layer and a tile's cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.media.capture.generated import draw_picture
from app.media.capture.pattern import COUNTER_MODULUS, draw_counter, read_cells, read_counter
from app.media.decode.video import VideoDecoder
from app.media.encode.video import LayerEncoder, LayerSpec
from app.media.frames import Picture
from app.media.play.video_slot import VideoSlot
from tests.support.pictures import PictureLog


@example(0, (640, 360))
@example(COUNTER_MODULUS - 1, (160, 90))
@given(st.integers(0, COUNTER_MODULUS - 1), st.sampled_from([(640, 360), (320, 180), (160, 90)]))
def test_every_number_can_be_read_back(counter: int, size: tuple[int, int]) -> None:
    luma = np.full(size[::-1], 90, np.uint8)
    draw_counter(luma, counter)

    assert read_cells(luma, *size) == counter


@pytest.mark.parametrize(
    ("size", "bitrate_bps"),
    [((1280, 720), 1_700_000), ((640, 360), 500_000), ((320, 180), 150_000), ((160, 90), 60_000)],
)
def test_every_layer_of_a_call_carries_it_through_vp8_into_a_tile(
    size: tuple[int, int], bitrate_bps: int
) -> None:
    encoder = LayerEncoder(LayerSpec(*size, bitrate_bps, 15), "VP8")
    decoder, log, slot = VideoDecoder("VP8", lambda: None), PictureLog(), VideoSlot()
    slot.set_target(374, 210)
    decoder.add_sink(log)
    first = 123_456
    for index in range(30):
        picture = draw_picture((230, 120, 20), 1280, 720, first + index)
        frame = encoder.encode(
            encoder.scale(picture.to_frame()),
            index * 6_000,
            force=False,
            bitrate_bps=bitrate_bps,
            now_s=index / 15,
        )
        assert frame is not None
        decoder.submit(frame)
    pictures = log.wait_for(30)
    decoder.close()
    tiled = []
    for picture, ts_rtp in pictures:
        slot.offer(picture, ts_rtp)
        tile = slot.take()
        assert tile is not None
        tiled.append(read_counter(tile))

    assert [read_counter(picture) for picture, _ in pictures] == [first + n for n in range(30)]
    assert tiled == [first + n for n in range(30)]


def test_a_picture_without_cells_or_with_a_wrong_one_has_no_number() -> None:
    assert read_counter(Picture(640, 360, bytes(640 * 360 * 3 // 2))) is None
    luma = np.full((360, 640), 90, np.uint8)
    draw_counter(luma, 1_000)
    cell = luma[217:248, 161:179]
    cell[:] = 251 - cell  # one cell turned from black to white or back

    assert read_cells(luma, 640, 360) is None


def test_a_tile_cut_so_far_that_cells_are_missing_has_no_number() -> None:
    slot = VideoSlot()
    slot.set_target(60, 210)
    slot.offer(draw_picture((10, 200, 10), 640, 360, 5), 0)
    tile = slot.take()

    assert tile is not None
    assert read_counter(tile) is None
