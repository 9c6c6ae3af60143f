"""Opus packets are what a browser expects."""

from __future__ import annotations

import numpy as np
import pytest

from app.media.decode.opus import packet_samples
from app.media.encode.audio import OpusEncoder
from tests.support.voices import steady_tone


def test_each_20_ms_gives_one_packet_of_20_ms_near_the_bit_rate() -> None:
    encoder, sound = OpusEncoder(bitrate_bps=32_000), steady_tone(4)
    packets = [encoder.encode(sound[n : n + 960]) for n in range(0, sound.shape[0], 960)]

    assert all(packet_samples(packet) == 960 for packet in packets)
    assert 0.7 <= sum(map(len, packets)) * 8 / 4 / 32_000 <= 1.2


def test_another_length_or_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="20 ms"):
        OpusEncoder().encode(np.zeros((480, 1), np.int16))
    with pytest.raises(ValueError, match="20 ms"):
        OpusEncoder().encode(np.zeros((960, 2), np.int16))


def test_what_is_not_built_is_named() -> None:
    with pytest.raises(NotImplementedError, match="DTX"):
        OpusEncoder(dtx=True)
