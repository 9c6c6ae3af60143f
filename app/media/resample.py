"""Change the rate and the channels of a running sound."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from app.media.frames import SAMPLE_RATE_HZ, Pcm


class Resampler:
    """Converts blocks of any length; keeps its filter's state between them.

    Output comes a little later than input, so one call may return fewer samples than the ratio
    says and the next one more. Used by one thread at a time.
    """

    def __init__(
        self,
        from_hz: int,
        from_channels: int,
        to_hz: int = SAMPLE_RATE_HZ,
        to_channels: int = 1,
    ) -> None:
        self._from_hz = from_hz
        self._from_channels = from_channels
        self._to_channels = to_channels
        self._pts = 0
        self._same = (from_hz, from_channels) == (to_hz, to_channels)
        self._resampler = av.AudioResampler("s16", _layout(to_channels), to_hz)

    def convert(self, pcm: Pcm) -> Pcm:
        """Convert the next block, shape `[samples, channels]`."""
        if self._same or not pcm.size:
            return pcm
        packed = np.ascontiguousarray(pcm, dtype=np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(
            packed, format="s16", layout=_layout(self._from_channels)
        )
        frame.sample_rate = self._from_hz
        frame.pts = self._pts
        frame.time_base = Fraction(1, self._from_hz)
        self._pts += pcm.shape[0]
        parts = [
            converted.to_ndarray().reshape(-1, self._to_channels)
            for converted in self._resampler.resample(frame)
        ]
        if not parts:
            return np.zeros((0, self._to_channels), np.int16)
        return np.concatenate(parts).astype(np.int16, copy=False)


def _layout(channels: int) -> str:
    if channels not in (1, 2):
        raise ValueError(f"{channels} channels")
    return "mono" if channels == 1 else "stereo"
