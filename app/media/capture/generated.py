"""Pictures and tones without devices, for headless people and tests."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from app.media.capture.pattern import draw_counter, read_counter
from app.media.frames import BLOCK_SAMPLES, SAMPLE_RATE_HZ, Pcm, Picture
from app.media.play.clock import BlockClock

__all__ = ["GeneratedTone", "GeneratedVideo", "draw_picture", "read_counter", "tone"]

VIDEO_CLOCK_HZ = 90_000
DEFAULT_SIZE = (640, 360)
DEFAULT_FPS = 15.0
BAR_STEP_PX = 8

PictureSink = Callable[[Picture, int], None]


def video_ts_rtp(at_s: float) -> int:
    """Return the 90 kHz RTP timestamp of a moment of the monotonic clock."""
    return int(at_s * VIDEO_CLOCK_HZ) & 0xFFFFFFFF


def yuv_of(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """Convert red, green, blue (0..255) to BT.601 limited range."""
    r, g, b = colour
    y = 16 + (65.738 * r + 129.057 * g + 25.064 * b) / 256
    u = 128 + (-37.945 * r - 74.494 * g + 112.439 * b) / 256
    v = 128 + (112.439 * r - 94.154 * g - 18.285 * b) / 256
    return round(y), round(u), round(v)


def draw_picture(colour: tuple[int, int, int], width: int, height: int, counter: int) -> Picture:
    """Draw one picture: the colour, a darker bar that moves, and the counter."""
    y, u, v = yuv_of(colour)
    data = np.empty(width * height * 3 // 2, np.uint8)
    luma = data[: width * height].reshape(height, width)
    quarter = width * height // 4
    luma[:] = y
    data[width * height : width * height + quarter] = u
    data[width * height + quarter :] = v
    bar = max(2, width // 16)
    left = counter * BAR_STEP_PX % max(1, width - bar)
    luma[height // 12 : height // 4, left : left + bar] = max(16, y - 60)
    draw_counter(luma, counter)
    return Picture(width, height, data)


class GeneratedVideo:
    """A person's picture: one colour, a moving bar, and a frame counter that survives VP8.

    `on_picture(picture, ts_rtp)` is called on a thread of its own, `fps` times a second.
    """

    def __init__(
        self,
        colour: tuple[int, int, int],
        on_picture: PictureSink,
        size: tuple[int, int] = DEFAULT_SIZE,
        fps: float = DEFAULT_FPS,
    ) -> None:
        if size[0] % 2 or size[1] % 2:
            raise ValueError("odd picture size")
        self._colour = colour
        self._size = size
        self._on_picture = on_picture
        self.counter = 0
        self._clock = BlockClock(self._tick, name="generated-video", period_s=1.0 / fps)

    def start(self) -> None:
        """Start drawing."""
        self._clock.start()

    def close(self) -> None:
        """Stop drawing."""
        self._clock.close()

    def _tick(self) -> None:
        self.counter += 1
        picture = draw_picture(self._colour, *self._size, self.counter)
        self._on_picture(picture, video_ts_rtp(time.monotonic()))


def tone(
    freq_hz: float, samples: int, *, start: int = 0, amplitude: float = 0.25, channels: int = 1
) -> Pcm:
    """Return `samples` of a sine that has been running since sample 0."""
    phase = 2 * np.pi * freq_hz / SAMPLE_RATE_HZ * (start + np.arange(samples))
    mono = np.sin(phase) * (amplitude * 32_767)
    return np.repeat(mono.astype(np.int16)[:, None], channels, axis=1)


class GeneratedTone:
    """A sine, 10 ms at a time; `on_pcm(pcm)` is called on a thread of its own."""

    def __init__(
        self,
        freq_hz: float,
        on_pcm: Callable[[Pcm], None],
        *,
        amplitude: float = 0.25,
        channels: int = 1,
    ) -> None:
        self._freq_hz = freq_hz
        self._amplitude = amplitude
        self._channels = channels
        self._on_pcm = on_pcm
        self._sample = 0
        self._clock = BlockClock(self._tick, name="generated-tone")

    def start(self) -> None:
        """Start sounding."""
        self._clock.start()

    def close(self) -> None:
        """Stop sounding."""
        self._clock.close()

    def _tick(self) -> None:
        pcm = tone(
            self._freq_hz,
            BLOCK_SAMPLES,
            start=self._sample,
            amplitude=self._amplitude,
            channels=self._channels,
        )
        self._sample += BLOCK_SAMPLES
        self._on_pcm(pcm)
