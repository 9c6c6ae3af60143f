"""WebRTC's audio processing for scripts that bring both ends of the sound themselves."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from app.media.frames import Pcm

PLAYED_CAPACITY_BLOCKS = 50


class ProcessingModule:
    """Processes 10 ms blocks; the module behind it is made for the first block's format."""

    def __init__(
        self,
        *,
        echo_cancellation: bool,
        noise_suppression: bool,
        high_pass_filter: bool,
        auto_gain_control: bool,
    ) -> None:
        self._options = {
            "echo_cancellation": echo_cancellation,
            "noise_suppression": noise_suppression,
            "high_pass_filter": high_pass_filter,
            "auto_gain_control": auto_gain_control,
        }
        self._delay_ms = 0
        self._module: Any = None
        self._format = (0, 0)
        self._played: deque[Pcm] = deque(maxlen=PLAYED_CAPACITY_BLOCKS)

    def set_delay_ms(self, delay_ms: int) -> None:
        """Say how far what is played lies behind."""
        self._delay_ms = delay_ms
        if self._module is not None:
            self._module.stream_delay_ms = delay_ms

    def note_played(self, pcm: Pcm, sample_rate_hz: int) -> None:
        """Remember a block that is about to be heard."""
        self._open(sample_rate_hz, pcm.shape[1])
        self._played.append(pcm)

    def process(self, pcm: Pcm, sample_rate_hz: int) -> Pcm:
        """Return the cleaned block."""
        self._open(sample_rate_hz, pcm.shape[1])
        played = self._played.popleft() if self._played else np.zeros_like(pcm)
        clean = self._module.process(_flat(pcm), _flat(played))
        return np.asarray(clean, dtype=np.int16).reshape(pcm.shape)

    def _open(self, sample_rate_hz: int, channels: int) -> None:
        if self._format == (sample_rate_hz, channels):
            return
        if self._module is not None:
            raise ValueError("all frames must have one rate and number of channels")
        from pywebrtc_audio import AudioProcessor

        self._module = AudioProcessor(
            sample_rate=sample_rate_hz,
            num_channels=channels,
            stream_delay_ms=self._delay_ms,
            **self._options,
        )
        self._format = (sample_rate_hz, channels)


def _flat(pcm: Pcm) -> Pcm:
    return np.ascontiguousarray(pcm, dtype=np.int16).reshape(-1)
