"""Sound gets shorter or longer and keeps its pitch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from app.media.decode.stretch import LEAST_SAMPLES, best_lag, lengthen, shorten
from app.media.frames import Pcm
from tests.support.signals import tone_peak
from tests.support.voices import steady_tone, voice_like


@pytest.mark.parametrize("freq_hz", [110, 220, 440, 1_000])
@pytest.mark.parametrize(("stretch", "sign"), [(shorten, -1), (lengthen, 1)])
def test_a_stretched_tone_keeps_its_pitch(
    freq_hz: int, stretch: Callable[[Pcm], Pcm], sign: int
) -> None:
    sound = steady_tone(1, freq_hz)
    parts = [stretch(sound[n : n + 960]) for n in range(0, 48_000, 960)]

    assert all((part.shape[0] - 960) * sign > 0 for part in parts)
    assert tone_peak(np.concatenate(parts)).is_tone(freq_hz, within_hz=3, least_db=30)


def test_no_seam_is_louder_than_the_signal_itself() -> None:
    sound = steady_tone(1, 300)
    steepest = int(np.abs(np.diff(sound[:, 0].astype(int))).max())
    for start in range(0, 40_000, 960):
        for stretched in (
            shorten(sound[start : start + 960]),
            lengthen(sound[start : start + 960]),
        ):
            steps = np.abs(np.diff(stretched[:, 0].astype(int)))
            assert steps.max() <= 1.5 * steepest


def test_noise_is_left_alone_unless_it_is_urgent() -> None:
    noise = np.random.default_rng(1).normal(0, 3_000, (960, 1)).astype(np.int16)

    assert shorten(noise).shape == lengthen(noise).shape == (960, 1)
    assert shorten(noise, urgent=True).shape[0] < 960 < lengthen(noise, urgent=True).shape[0]


def test_silence_may_be_cut_anywhere() -> None:
    silence = np.zeros((960, 2), np.int16)

    assert shorten(silence).shape == (480, 2)
    assert lengthen(silence).shape == (1_440, 2)


def test_a_piece_too_short_to_judge_is_left_alone() -> None:
    piece = steady_tone(1)[: LEAST_SAMPLES - 1]

    assert shorten(piece) is piece
    assert lengthen(piece) is piece


def test_the_lag_is_a_period_of_a_voice() -> None:
    voice = voice_like(1)[7_000:7_960]  # about 150 Hz there, so a period has about 320 samples

    lag, likeness = best_lag(voice)

    assert likeness > 0.9
    assert 250 <= lag <= 400
