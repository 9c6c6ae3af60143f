"""Encoded pictures to feed decoders with, and a way to wait for media threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from app.media.capture.generated import draw_picture
from app.media.encode.video import LayerEncoder, LayerSpec
from app.media.frames import Picture
from app.protocol.rtp.encoded import EncodedVideoFrame

DEADLINE_S = 30.0
RED = (200, 40, 40)
FRAME_TICKS = 6_000  # 15 fps at 90 kHz


def encoded_frames(
    count: int,
    *,
    codec: str = "VP8",
    size: tuple[int, int] = (640, 360),
    keyframes: tuple[int, ...] = (),
    bitrate_bps: int = 500_000,
) -> list[EncodedVideoFrame]:
    """Encode `count` generated pictures whose counters start at 1."""
    encoder = LayerEncoder(LayerSpec(*size, bitrate_bps, 15), codec)
    frames = []
    for index in range(count):
        picture = draw_picture(RED, *size, index + 1)
        frame = encoder.encode(
            picture.to_frame(),
            index * FRAME_TICKS,
            force=index in keyframes,
            bitrate_bps=bitrate_bps,
            now_s=index / 15,
        )
        assert frame is not None
        frames.append(frame)
    return frames


class PictureLog:
    """A sink that remembers pictures; `wait_for` blocks the test, with a deadline."""

    def __init__(self) -> None:
        self.pictures: list[tuple[Picture, int]] = []
        self._changed = threading.Condition()

    def __call__(self, picture: Picture, ts_rtp: int) -> None:
        with self._changed:
            self.pictures.append((picture, ts_rtp))
            self._changed.notify_all()

    def wait_for(self, count: int) -> list[tuple[Picture, int]]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.pictures) >= count, DEADLINE_S)
            return list(self.pictures)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for another thread, up to the deadline."""
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, "deadline passed"
        time.sleep(0.002)
