"""Sound at another sample rate, piece by piece without seams."""

from __future__ import annotations

import av
import numpy as np

from app.media.frames import Pcm


class Resampler:
    """Converts a stream of pieces; the same number of channels comes out."""

    def __init__(self, input_rate_hz: int, output_rate_hz: int, channels: int) -> None:
        if channels not in (1, 2):
            raise ValueError(f"{channels} channels")
        self._input_rate_hz = input_rate_hz
        self._channels = channels
        self._layout = "mono" if channels == 1 else "stereo"
        self._pts = 0
        self._is_plain = input_rate_hz == output_rate_hz
        self._resampler = av.AudioResampler(format="s16", layout=self._layout, rate=output_rate_hz)

    def push(self, pcm: Pcm) -> Pcm:
        """Convert more sound; some of it may stay inside for later."""
        if self._is_plain or not len(pcm):
            return pcm
        packed = np.ascontiguousarray(pcm, dtype=np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=self._layout)
        frame.sample_rate = self._input_rate_hz
        frame.pts = self._pts
        self._pts += len(pcm)
        return self._collect(self._resampler.resample(frame))

    def flush(self) -> Pcm:
        """Return what is still inside."""
        if self._is_plain or self._pts == 0:
            return np.zeros((0, self._channels), np.int16)
        return self._collect(self._resampler.resample(None))

    def _collect(self, frames: list[av.AudioFrame]) -> Pcm:
        pieces = [frame.to_ndarray().reshape(-1, self._channels) for frame in frames]
        if not pieces:
            return np.zeros((0, self._channels), np.int16)
        joined: Pcm = np.concatenate(pieces).astype(np.int16, copy=False)
        return joined


def to_channels(pcm: Pcm, channels: int) -> Pcm:
    """Mix down to mono or repeat to stereo."""
    have = pcm.shape[1]
    if have == channels:
        return pcm
    if channels == 1:
        mixed: Pcm = pcm.astype(np.int32).mean(axis=1, keepdims=True).astype(np.int16)
        return mixed
    if have == 1:
        return np.repeat(pcm, channels, axis=1)
    return np.repeat(to_channels(pcm, 1), channels, axis=1)
