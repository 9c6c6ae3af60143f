"""Looks at what came out: which tone, which colour, which picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.media.capture.pattern import read_cells, read_counter
from app.media.frames import SAMPLE_RATE_HZ, Pcm, Picture

__all__ = [
    "TonePeak",
    "colour_distance",
    "level_db",
    "picture_colour",
    "pixels_colour",
    "read_cells",
    "read_counter",
    "snr_db",
    "tone_level_db",
    "tone_peak",
]

LOWEST_HZ = 50.0


@dataclass(frozen=True, slots=True)
class TonePeak:
    """The strongest frequency and how far it stands above the median of the spectrum."""

    freq_hz: float
    over_median_db: float

    def is_tone(self, freq_hz: float, within_hz: float = 5.0, least_db: float = 15.0) -> bool:
        """Whether this is the tone that was sent."""
        return abs(self.freq_hz - freq_hz) <= within_hz and self.over_median_db >= least_db


def _mono(pcm: NDArray[np.int16]) -> NDArray[np.float64]:
    samples = np.asarray(pcm, np.float64)
    return samples if samples.ndim == 1 else samples.mean(axis=1)


def tone_peak(pcm: NDArray[np.int16], rate_hz: int = SAMPLE_RATE_HZ) -> TonePeak:
    """Find the strongest tone; half a second of sound or more gives a resolution of 2 Hz."""
    samples = _mono(pcm)
    window = np.hanning(samples.size)
    spectrum = np.abs(np.fft.rfft(samples * window))
    first = int(LOWEST_HZ * samples.size / rate_hz) + 1
    peak = first + int(np.argmax(spectrum[first:]))
    median = float(np.median(spectrum[first:]))
    offset = 0.0
    if 0 < peak < spectrum.size - 1:
        # The true peak lies between bins: fit a parabola through the three logarithms.
        a, b, c = np.log(np.maximum(spectrum[peak - 1 : peak + 2], 1e-9))
        if a - 2 * b + c != 0:
            offset = float(0.5 * (a - c) / (a - 2 * b + c))
    over_db = 20 * np.log10(max(float(spectrum[peak]), 1e-9) / max(median, 1e-9))
    return TonePeak((peak + offset) * rate_hz / samples.size, float(over_db))


def tone_level_db(pcm: NDArray[np.int16], freq_hz: float, rate_hz: int = SAMPLE_RATE_HZ) -> float:
    """Return the level of one frequency against full scale."""
    samples = _mono(pcm)
    phase = np.exp(-2j * np.pi * freq_hz / rate_hz * np.arange(samples.size))
    amplitude = 2 * abs(complex(np.mean(samples * phase)))
    return float(20 * np.log10(max(amplitude, 1e-6) / 32_768))


def level_db(pcm: NDArray[np.int16]) -> float:
    """Return the level against full scale."""
    power = float(np.mean(_mono(pcm) ** 2))
    return float(10 * np.log10(max(power, 1e-6) / 32_768**2))


def snr_db(reference: Pcm, measured: Pcm) -> float:
    """Return how far the difference lies below the reference; both must be aligned."""
    wanted, got = _mono(reference), _mono(measured)
    noise = float(np.mean((wanted - got) ** 2))
    return float(10 * np.log10(max(float(np.mean(wanted**2)), 1e-9) / max(noise, 1e-9)))


def picture_colour(picture: Picture) -> tuple[int, int, int]:
    """Return the colour that most of a picture has: red, green, blue."""
    y, u, v = (float(np.median(plane)) for plane in picture.planes())
    red = 1.164 * (y - 16) + 1.596 * (v - 128)
    green = 1.164 * (y - 16) - 0.392 * (u - 128) - 0.813 * (v - 128)
    blue = 1.164 * (y - 16) + 2.017 * (u - 128)
    r, g, b = (int(min(255, max(0, round(channel)))) for channel in (red, green, blue))
    return r, g, b


def pixels_colour(bgra: NDArray[np.uint8]) -> tuple[int, int, int]:
    """Return the same for blue, green, red, alpha pixels of shape `[h, w, 4]`."""
    b, g, r = (int(np.median(bgra[:, :, channel])) for channel in range(3))
    return r, g, b


def colour_distance(a: tuple[int, int, int], b: tuple[int, int, int]) -> int:
    """Return the largest difference of one channel."""
    return max(abs(x - y) for x, y in zip(a, b, strict=True))
