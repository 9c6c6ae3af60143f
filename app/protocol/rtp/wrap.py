"""Arithmetic on numbers that wrap: sequence numbers, timestamps, picture ids (hot path).

`ext_*` values are unwrapped: they grow past the field and never jump back to zero.
"""

from __future__ import annotations

SEQ_MASK = 0xFFFF
TS_MASK = 0xFFFFFFFF


def seq_delta(newer: int, older: int) -> int:
    """Return newer minus older as a signed 16-bit distance."""
    return ((newer - older + 0x8000) & 0xFFFF) - 0x8000


def ts_delta(newer: int, older: int) -> int:
    """Return newer minus older as a signed 32-bit distance."""
    return ((newer - older + 0x80000000) & 0xFFFFFFFF) - 0x80000000


def unwrap_seq(ext_last: int, seq: int) -> int:
    """Return the extended number nearest to `ext_last` whose low 16 bits are `seq`."""
    return ext_last + ((seq - ext_last + 0x8000) & 0xFFFF) - 0x8000


def unwrap_bits(ext_last: int, value: int, bits: int) -> int:
    """Return the extended number nearest to `ext_last` whose low `bits` bits are `value`."""
    half = 1 << (bits - 1)
    return ext_last + ((value - ext_last + half) & ((1 << bits) - 1)) - half
