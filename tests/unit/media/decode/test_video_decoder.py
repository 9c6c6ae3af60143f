"""Video decoders: right pictures, keyframes asked for, nothing left running."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.media.capture.pattern import read_counter
from app.media.decode.video import QUEUE_FRAMES, DecodePool, VideoDecoder
from app.media.frames import Picture
from app.media.play.video_slot import VideoSlot
from app.protocol.rtp.encoded import EncodedVideoFrame
from tests.support.pictures import FRAME_TICKS, RED, PictureLog, encoded_frames, wait_until
from tests.support.signals import colour_distance, picture_colour


class Asked:
    """Counts keyframe requests."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def decoder(asked: Asked) -> Iterator[VideoDecoder]:
    decoder = VideoDecoder("VP8", asked)
    yield decoder
    decoder.close()


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_every_picture_comes_out_with_its_counter_colour_and_timestamp(codec: str) -> None:
    decoder, log = VideoDecoder(codec, Asked()), PictureLog()
    decoder.add_sink(log)
    for frame in encoded_frames(20, codec=codec):
        decoder.submit(frame)
    pictures = log.wait_for(20)
    decoder.close()

    assert [read_counter(picture) for picture, _ in pictures] == list(range(1, 21))
    assert [ts for _, ts in pictures] == [n * FRAME_TICKS for n in range(20)]
    assert all(colour_distance(picture_colour(p), RED) <= 12 for p, _ in pictures)
    assert decoder.stats().decoded == 20


def test_before_the_first_keyframe_everything_is_skipped_and_one_is_asked_for(
    decoder: VideoDecoder, asked: Asked
) -> None:
    log = PictureLog()
    decoder.add_sink(log)
    frames = encoded_frames(12, keyframes=(8,))
    for frame in frames[1:]:
        decoder.submit(frame)

    pictures = log.wait_for(4)
    assert [read_counter(picture) for picture, _ in pictures] == [9, 10, 11, 12]
    assert asked.times == 1
    assert decoder.stats().skipped == 7


@pytest.mark.parametrize("broken", [b"", b"\x00", b"\xff" * 500])
def test_a_frame_that_cannot_be_decoded_asks_for_a_keyframe_and_the_stream_recovers(
    decoder: VideoDecoder, asked: Asked, broken: bytes
) -> None:
    log = PictureLog()
    decoder.add_sink(log)
    frames = encoded_frames(6, keyframes=(4,))
    decoder.submit(frames[0])
    log.wait_for(1)
    decoder.submit(EncodedVideoFrame("VP8", broken, 1, keyframe=True))
    wait_until(lambda: asked.times == 1)
    for frame in frames[2:]:
        decoder.submit(frame)

    pictures = log.wait_for(3)
    assert [read_counter(picture) for picture, _ in pictures] == [1, 5, 6]
    assert decoder.stats().errors == 1


def test_a_picture_size_that_changes_at_a_keyframe_is_followed(decoder: VideoDecoder) -> None:
    log = PictureLog()
    decoder.add_sink(log)
    for frame in encoded_frames(2) + encoded_frames(2, size=(320, 180)):
        decoder.submit(frame)

    sizes = [(picture.width, picture.height) for picture, _ in log.wait_for(4)]
    assert sizes == [(640, 360)] * 2 + [(320, 180)] * 2
    assert decoder.stats().width == 320


def test_a_decoder_that_falls_far_behind_starts_again_at_a_keyframe(
    decoder: VideoDecoder, asked: Asked
) -> None:
    started, may_go_on = threading.Event(), threading.Event()
    log = PictureLog()

    def block_first(picture: Picture, ts_rtp: int) -> None:
        if ts_rtp == 0:
            started.set()
            assert may_go_on.wait(30)

    decoder.add_sink(block_first)
    decoder.add_sink(log)
    frames = encoded_frames(QUEUE_FRAMES + 10, keyframes=(QUEUE_FRAMES + 5,))
    decoder.submit(frames[0])
    assert started.wait(30)
    for frame in frames[1:]:
        decoder.submit(frame)
    may_go_on.set()

    pictures = log.wait_for(6)
    assert [ts // FRAME_TICKS for _, ts in pictures] == [
        0,
        *range(QUEUE_FRAMES + 5, QUEUE_FRAMES + 10),
    ]
    assert asked.times == 1


def test_slots_of_a_decoder_that_is_behind_get_only_the_newest(decoder: VideoDecoder) -> None:
    started, may_go_on = threading.Event(), threading.Event()
    log = PictureLog()
    slot = VideoSlot()
    slot.set_target(320, 180)

    def block_first(picture: Picture, ts_rtp: int) -> None:
        if ts_rtp == 0:
            started.set()
            assert may_go_on.wait(30)

    decoder.add_sink(block_first)
    decoder.add_sink(log)
    decoder.add_slot(slot)
    frames = encoded_frames(10)
    decoder.submit(frames[0])
    assert started.wait(30)
    for frame in frames[1:]:
        decoder.submit(frame)
    may_go_on.set()
    log.wait_for(10)
    decoder.close()

    newest = slot.take()
    assert newest is not None
    assert read_counter(newest) == 10
    assert slot.offered == 1


def test_a_sink_that_raises_does_not_stop_the_others(decoder: VideoDecoder) -> None:
    log = PictureLog()

    def broken(picture: Picture, ts_rtp: int) -> None:
        raise ValueError("viewer's fault")

    decoder.add_sink(broken)
    decoder.add_sink(log)
    with capture_logs() as logged:
        for frame in encoded_frames(3):
            decoder.submit(frame)
        log.wait_for(3)
        decoder.close()
    assert [entry["event"] for entry in logged] == ["video sink failed"] * 3


def test_after_close_no_sink_is_called_and_no_thread_is_left() -> None:
    pool = DecodePool(threads=2)
    decoders = [VideoDecoder("VP8", Asked(), pool) for _ in range(5)]
    logs = [PictureLog() for _ in decoders]
    frames = encoded_frames(10)
    for decoder, log in zip(decoders, logs, strict=True):
        decoder.add_sink(log)
        for frame in frames:
            decoder.submit(frame)
    running = [t for t in threading.enumerate() if t.name.startswith("media-decode")]
    for decoder in decoders:
        decoder.close()
        decoder.close()
        decoder.submit(frames[0])
    seen = [len(log.pictures) for log in logs]

    assert len(running) <= 2
    assert not any(t.name.startswith("media-decode") for t in threading.enumerate())
    assert seen == [len(log.pictures) for log in logs]


def test_a_decoder_may_be_closed_from_its_own_sink() -> None:
    decoder = VideoDecoder("VP8", Asked())
    closed = threading.Event()

    def close(picture: Picture, ts_rtp: int) -> None:
        decoder.close()
        closed.set()

    decoder.add_sink(close)
    for frame in encoded_frames(2):
        decoder.submit(frame)
    assert closed.wait(30)


def test_a_codec_that_is_not_built_is_named() -> None:
    with pytest.raises(NotImplementedError, match="AV1"):
        VideoDecoder("AV1", Asked())


@settings(max_examples=60, deadline=None)
@given(
    codec=st.sampled_from(["VP8", "H264"]),
    payloads=st.lists(st.tuples(st.binary(max_size=300), st.booleans()), max_size=8),
)
def test_no_bytes_of_a_peer_stop_the_decoder(
    codec: str, payloads: list[tuple[bytes, bool]]
) -> None:
    decoder, log = VideoDecoder(codec, Asked()), PictureLog()
    good = encoded_frames(1, codec=codec, size=(64, 64))[0]
    marker = EncodedVideoFrame(codec, good.data, 0xFFFF, keyframe=True)
    decoder.add_sink(log)
    for data, keyframe in payloads:
        decoder.submit(EncodedVideoFrame(codec, data, 1, keyframe=keyframe))
    try:
        # A decoder may swallow one frame after garbage, but not every one.
        for _ in range(3):
            decoder.submit(marker)
        wait_until(lambda: any(ts == 0xFFFF for _, ts in log.pictures))
    finally:
        decoder.close()
