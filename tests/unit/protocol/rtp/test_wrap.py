"""Numbers that wrap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.protocol.rtp.wrap import seq_delta, ts_delta, unwrap_bits, unwrap_seq


@given(st.integers(0, 1 << 40), st.integers(-0x7FFF, 0x7FFF))
def test_an_extended_number_is_found_from_its_low_bits(ext: int, step: int) -> None:
    assert unwrap_seq(ext, ext + step & 0xFFFF) == ext + step
    assert unwrap_bits(ext, ext + step & 0xFFFF, 16) == ext + step
    assert seq_delta(ext + step & 0xFFFF, ext & 0xFFFF) == step
    assert ts_delta(ext + step & 0xFFFFFFFF, ext & 0xFFFFFFFF) == step


def test_seven_bits_unwrap_too() -> None:
    assert unwrap_bits(130, 1, 7) == 129
    assert unwrap_bits(127, 0, 7) == 128
