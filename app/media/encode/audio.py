"""Opus, 20 ms a packet, with redundancy against loss."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from app.media.frames import SAMPLE_RATE_HZ, Pcm

FRAME_SAMPLES = 960
EXPECTED_LOSS_PERCENT = 10


class OpusEncoder:
    """Encodes 48 kHz sound; used by one thread at a time.

    With `fec` every packet carries a coarse copy of the one before it, sized for
    `EXPECTED_LOSS_PERCENT`: a receiver that lost a packet hears the copy. `dtx` stops sending
    in silence: `encode` then returns packets of at most two bytes, which need not be sent.
    """

    def __init__(
        self, channels: int = 1, bitrate_bps: int = 32_000, fec: bool = True, dtx: bool = False
    ) -> None:
        if dtx:
            raise NotImplementedError("Opus DTX: PyAV's libopus wrapper has no such option")
        self.channels = channels
        self._layout = "mono" if channels == 1 else "stereo"
        context = av.AudioCodecContext.create("libopus", "w")
        assert isinstance(context, av.AudioCodecContext)
        context.sample_rate = SAMPLE_RATE_HZ
        context.layout = self._layout
        context.format = "s16"
        context.bit_rate = bitrate_bps
        context.time_base = Fraction(1, SAMPLE_RATE_HZ)
        context.options = {
            "application": "voip" if channels == 1 else "audio",
            "frame_duration": "20",
            "fec": "1" if fec else "0",
            "packet_loss": str(EXPECTED_LOSS_PERCENT if fec else 0),
            "vbr": "on",
        }
        self._context = context
        self._pts = 0

    def encode(self, pcm: Pcm) -> bytes:
        """Encode exactly 960 samples per channel into one packet."""
        if pcm.shape != (FRAME_SAMPLES, self.channels):
            raise ValueError(f"{pcm.shape} is not 20 ms of {self.channels} channels")
        packed = np.ascontiguousarray(pcm, dtype=np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=self._layout)
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.pts = self._pts
        frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
        self._pts += FRAME_SAMPLES
        return b"".join(bytes(packet) for packet in self._context.encode(frame))
