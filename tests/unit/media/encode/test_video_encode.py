"""Encoding on a thread: layers, keyframes, newest picture, bit rate."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from app.media.capture.generated import draw_picture
from app.media.capture.pattern import read_counter
from app.media.decode.video import VideoDecoder
from app.media.encode.video import LayerEncoder, LayerSpec, VideoEncodeThread, fit_box
from app.media.frames import Picture
from app.protocol.rtp.encoded import EncodedVideoFrame
from tests.support.pictures import RED, PictureLog, wait_until

LAYERS = (
    LayerSpec(160, 90, 80_000, 15),
    LayerSpec(320, 180, 200_000, 15),
    LayerSpec(640, 360, 500_000, 15),
)


class Encoded:
    """Collects what the encode thread gives, by layer."""

    def __init__(self) -> None:
        self.frames: dict[int, list[EncodedVideoFrame]] = {}

    def __call__(self, layer: int, frame: EncodedVideoFrame) -> None:
        self.frames.setdefault(layer, []).append(frame)

    def count(self, layer: int) -> int:
        return len(self.frames.get(layer, []))


def feed(
    encoder: VideoEncodeThread, encoded: Encoded, count: int, layer: int, start: int = 0
) -> None:
    """Submit pictures one by one, each after the last was encoded."""
    for index in range(start, start + count):
        before = encoded.count(layer)
        encoder.submit(draw_picture(RED, 640, 360, index), index * 6_000)
        wait_until(lambda before=before: encoded.count(layer) > before)  # type: ignore[misc]


def decoded_counters(codec: str, frames: list[EncodedVideoFrame]) -> list[int | None]:
    decoder, log = VideoDecoder(codec, lambda: None), PictureLog()
    decoder.add_sink(log)
    for frame in frames:
        decoder.submit(frame)
    pictures = log.wait_for(len(frames))
    decoder.close()
    return [read_counter(picture) for picture, _ in pictures]


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_every_layer_carries_the_counter_at_its_own_size(codec: str) -> None:
    encoded = Encoded()
    encoder = VideoEncodeThread(LAYERS, encoded, codec)
    feed(encoder, encoded, 10, layer=0)
    encoder.close()

    for layer, spec in enumerate(LAYERS):
        frames = encoded.frames[layer]
        assert {(f.width, f.height) for f in frames} == {(spec.width, spec.height)}
        assert [f.keyframe for f in frames] == [True] + [False] * 9
        assert [f.ts_rtp for f in frames] == [n * 6_000 for n in range(10)]
        assert decoded_counters(codec, frames) == list(range(10))


def test_a_keyframe_comes_when_forced_and_only_on_that_layer() -> None:
    encoded = Encoded()
    encoder = VideoEncodeThread(LAYERS, encoded)
    feed(encoder, encoded, 3, layer=0)
    encoder.force_keyframe(1)
    feed(encoder, encoded, 3, layer=0, start=3)
    encoder.close()

    assert [f.keyframe for f in encoded.frames[1]] == [True, False, False, True, False, False]
    assert [f.keyframe for f in encoded.frames[2]] == [True] + [False] * 5


def test_a_layer_that_is_switched_off_is_not_encoded_and_comes_back_with_a_keyframe() -> None:
    encoded = Encoded()
    encoder = VideoEncodeThread(LAYERS, encoded)
    feed(encoder, encoded, 2, layer=0)
    encoder.set_layer_enabled(2, False)
    feed(encoder, encoded, 2, layer=0, start=2)
    encoder.set_layer_enabled(2, True)
    feed(encoder, encoded, 2, layer=0, start=4)
    encoder.close()

    assert [f.ts_rtp // 6_000 for f in encoded.frames[2]] == [0, 1, 4, 5]
    assert [f.keyframe for f in encoded.frames[2]] == [True, False, True, False]


def test_little_bandwidth_drops_the_large_layers_first() -> None:
    encoded = Encoded()
    encoder = VideoEncodeThread(LAYERS, encoded)
    feed(encoder, encoded, 2, layer=0)
    encoder.set_target_bitrate(150_000)
    feed(encoder, encoded, 3, layer=0, start=2)
    encoder.close()

    assert [encoded.count(layer) for layer in range(3)] == [5, 2, 2]


def test_a_picture_that_comes_while_two_wait_replaces_the_older() -> None:
    encoded, started, may_go_on = Encoded(), threading.Event(), threading.Event()

    def slow(layer: int, frame: EncodedVideoFrame) -> None:
        encoded(layer, frame)
        started.set()
        assert may_go_on.wait(30)

    encoder = VideoEncodeThread(LAYERS[2:], slow)
    encoder.submit(draw_picture(RED, 640, 360, 0), 0)
    assert started.wait(30)
    for index in (1, 2, 3):
        encoder.submit(draw_picture(RED, 640, 360, index), index * 6_000)
    may_go_on.set()
    wait_until(lambda: encoded.count(0) == 2)
    encoder.close()

    assert [f.ts_rtp // 6_000 for f in encoded.frames[0]] == [0, 3]
    assert encoder.stats().dropped == 2


def test_timestamps_may_wrap_or_repeat() -> None:
    encoded = Encoded()
    encoder = VideoEncodeThread(LAYERS[:1], encoded)
    stamps = [(1 << 32) - 6_000, 0, 0, 6_000, 12_000]
    for number, ts_rtp in enumerate(stamps):
        encoder.submit(draw_picture(RED, 640, 360, number), ts_rtp)
        wait_until(lambda number=number: encoder.stats().submitted == number + 1)  # type: ignore[misc]
        wait_until(lambda: encoded.count(0) > 0)
    wait_until(lambda: encoded.frames[0][-1].ts_rtp == 12_000)
    encoder.close()

    assert encoded.frames[0][0].ts_rtp == stamps[0]


def test_a_picture_of_another_shape_keeps_its_shape() -> None:
    encoded = Encoded()
    encoder = VideoEncodeThread((LayerSpec(640, 360, 500_000, 15),), encoded)
    for number, (width, height) in enumerate([(640, 360), (480, 640), (200, 100)]):
        encoder.submit(Picture(width, height, bytes(width * height * 3 // 2)), number * 6_000)
        wait_until(lambda number=number: encoded.count(0) == number + 1)  # type: ignore[misc]
    encoder.close()

    sizes = [(f.width, f.height) for f in encoded.frames[0]]
    assert sizes == [(640, 360), (270, 360), (200, 100)]
    assert all(f.keyframe for f in encoded.frames[0])


def test_closing_leaves_no_thread_even_from_its_own_callback() -> None:
    closed = threading.Event()

    def close(layer: int, frame: EncodedVideoFrame) -> None:
        encoder.close()
        closed.set()

    encoder = VideoEncodeThread(LAYERS, close)
    encoder.submit(draw_picture(RED, 640, 360, 1), 0)
    assert closed.wait(30)


def encode_seconds(
    encoder: LayerEncoder,
    seconds: float,
    fps: float,
    *,
    bitrate_bps: int = 500_000,
    start_s: float = 0.0,
) -> list[EncodedVideoFrame]:
    frames = []
    for index in range(int(seconds * fps)):
        picture = draw_picture(RED, 640, 360, index)
        at_s = start_s + index / fps
        frame = encoder.encode(
            encoder.scale(picture.to_frame()),
            round(at_s * 90_000),
            force=False,
            bitrate_bps=bitrate_bps,
            now_s=at_s,
        )
        if frame is not None:
            frames.append(frame)
    return frames


@pytest.mark.parametrize(("wanted_fps", "expected"), [(30.0, 60), (15.0, 30), (10.0, 20)])
def test_a_layer_with_a_lower_frame_rate_skips_pictures_evenly(
    wanted_fps: float, expected: int
) -> None:
    encoder = LayerEncoder(LayerSpec(160, 90, 80_000, wanted_fps), "VP8")
    frames = encode_seconds(encoder, 2, 30)

    assert abs(len(frames) - expected) <= 1
    steps = {b.ts_rtp - a.ts_rtp for a, b in pairwise(frames)}
    assert steps == {90_000 // int(wanted_fps)}


def test_an_encoder_is_rebuilt_for_a_quarter_less_but_not_for_a_tenth() -> None:
    encoder = LayerEncoder(LayerSpec(640, 360, 500_000, 15), "VP8")
    encode_seconds(encoder, 1, 15)
    encode_seconds(encoder, 1, 15, bitrate_bps=450_000, start_s=10)
    assert encoder.rebuilds == 0
    frames = encode_seconds(encoder, 1, 15, bitrate_bps=250_000, start_s=20)

    assert encoder.rebuilds == 1
    assert [f.keyframe for f in frames] == [True] + [False] * 14


@pytest.mark.parametrize(
    ("source", "box", "expected"),
    [
        ((1280, 720), (1280, 720), (1280, 720)),
        ((1280, 720), (320, 180), (320, 180)),
        ((1280, 720), (1920, 1080), (1280, 720)),
        ((641, 361), (1280, 720), (640, 360)),
        ((720, 1280), (640, 360), (202, 360)),
        ((1, 1), (640, 360), (2, 2)),
    ],
)
def test_sizes_are_even_and_keep_their_shape(
    source: tuple[int, int], box: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert fit_box(*source, *box) == expected


def test_a_codec_that_is_not_built_is_named() -> None:
    with pytest.raises(NotImplementedError, match="AV1"):
        VideoEncodeThread(LAYERS, Encoded(), "AV1")
