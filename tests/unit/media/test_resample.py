"""Another rate, the same tone, no seam."""

from __future__ import annotations

import numpy as np
import pytest

from app.media.resample import Resampler, to_channels
from tests.support.signals import tone_peak


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(48_000, 16_000), (16_000, 48_000), (44_100, 48_000)]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_tone_in_pieces_stays_one_tone(from_hz: int, to_hz: int, channels: int) -> None:
    resampler = Resampler(from_hz, to_hz, channels)
    wave = (np.sin(2 * np.pi * 440 / from_hz * np.arange(from_hz)) * 8_000).astype(np.int16)
    sound = np.repeat(wave[:, None], channels, axis=1)
    pieces = [resampler.push(sound[n : n + 441]) for n in range(0, from_hz, 441)]
    out = np.concatenate([*pieces, resampler.flush()])

    assert out.shape[1] == channels
    assert abs(out.shape[0] - to_hz) <= to_hz // 500
    assert tone_peak(out, to_hz).is_tone(440, within_hz=1, least_db=50)


def test_the_same_rate_changes_nothing() -> None:
    sound = np.arange(20, dtype=np.int16).reshape(10, 2)

    assert Resampler(48_000, 48_000, 2).push(sound) is sound


def test_channels_are_mixed_down_or_repeated() -> None:
    stereo = np.array([[100, 300], [-100, -300]], np.int16)

    assert to_channels(stereo, 1).tolist() == [[200], [-200]]
    assert to_channels(to_channels(stereo, 1), 2).tolist() == [[200, 200], [-200, -200]]
    assert to_channels(stereo, 2) is stereo
