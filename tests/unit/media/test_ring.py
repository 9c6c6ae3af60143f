"""The ring between a driver and a thread."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.media.ring import PcmRing


def ramp(start: int, count: int) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    return np.arange(start, start + count, dtype=np.int16).reshape(-1, 1)


def test_what_is_missing_is_silence_and_what_is_too_much_goes_first() -> None:
    ring = PcmRing(100, 1)
    out = np.empty((30, 1), np.int16)
    ring.write(ramp(1, 20))
    ring.read_into(out)
    assert out[:20, 0].tolist() == list(range(1, 21))
    assert not out[20:].any()

    ring.write(ramp(1, 90))
    ring.write(ramp(91, 40))
    ring.read_into(out)
    assert out[:, 0].tolist() == list(range(31, 61))
    assert (ring.lacking_samples, ring.dropped_samples) == (10, 30)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 150)), max_size=40))
def test_order_is_kept_whatever_is_written_and_read(steps: list[tuple[bool, int]]) -> None:
    ring = PcmRing(100, 1)
    expected: list[int] = []
    next_value = 1
    for is_write, count in steps:
        if is_write:
            ring.write(ramp(next_value, count))
            expected = (expected + list(range(next_value, next_value + count)))[-100:]
            next_value += count
        else:
            out = np.empty((count, 1), np.int16)
            ring.read_into(out)
            head, expected = expected[:count], expected[count:]
            assert out[:, 0].tolist() == head + [0] * (count - len(head))
        assert ring.level == len(expected)
