"""Echo cancellation, noise suppression and level for scripts that have both ends of the sound."""

from __future__ import annotations

import numpy as np

from app.engine.frames import AudioFrame
from app.media.frames import Pcm
from app.media.process.module import ProcessingModule


class AudioProcessingModule:
    """Cleans frames of exactly 10 ms in place."""

    def __init__(
        self,
        *,
        echo_cancellation: bool = False,
        noise_suppression: bool = False,
        high_pass_filter: bool = False,
        auto_gain_control: bool = False,
    ) -> None:
        self._processor = ProcessingModule(
            echo_cancellation=echo_cancellation,
            noise_suppression=noise_suppression,
            high_pass_filter=high_pass_filter,
            auto_gain_control=auto_gain_control,
        )

    def process_stream(self, data: AudioFrame) -> None:
        """Clean what the microphone heard."""
        clean = self._processor.process(_ten_ms(data), data.sample_rate)
        data.overwrite(clean)

    def process_reverse_stream(self, data: AudioFrame) -> None:
        """Learn what the speaker plays."""
        self._processor.note_played(_ten_ms(data), data.sample_rate)

    def set_stream_delay_ms(self, delay_ms: int) -> None:
        """Say how far what is played lies behind; the canceller also finds it by itself."""
        self._processor.set_delay_ms(delay_ms)


def _ten_ms(frame: AudioFrame) -> Pcm:
    if frame.samples_per_channel * 100 != frame.sample_rate:
        raise RuntimeError("audio frames must be exactly 10 ms long")
    return np.array(frame.to_pcm())
