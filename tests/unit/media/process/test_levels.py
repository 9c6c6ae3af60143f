"""Levels for the wire and for the meter."""

from __future__ import annotations

import numpy as np
import pytest

from app.media.capture.generated import tone
from app.media.process.levels import level_dbov, level_unit


@pytest.mark.parametrize(("amplitude", "expected"), [(1.0, 3), (0.5, 9), (0.1, 23), (0.001, 63)])
def test_a_sine_lies_3_db_below_its_amplitude(amplitude: float, expected: int) -> None:
    assert abs(level_dbov(tone(1_000, 4_800, amplitude=amplitude)) - expected) <= 1


def test_silence_and_nothing_are_the_quietest() -> None:
    assert level_dbov(np.zeros((480, 1), np.int16)) == 127
    assert level_dbov(np.zeros((0, 1), np.int16)) == 127
    assert level_unit(np.zeros((480, 1), np.int16)) == 0.0


def test_the_meter_is_full_at_full_scale() -> None:
    square = np.full((480, 2), -32_768, np.int16)

    assert level_dbov(square) == 0
    assert level_unit(square) == 1.0
    assert 0.4 < level_unit(tone(1_000, 4_800, amplitude=0.05)) < 0.6
