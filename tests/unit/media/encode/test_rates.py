"""Which layers fit a bit rate, and when a rebuild is worth its keyframe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.media.encode.rates import LEAST_BITRATE_BPS, LayerSpec, RebuildGate, share_bitrate

LAYERS = (
    LayerSpec(320, 180, 150_000, 20),
    LayerSpec(640, 360, 500_000, 20),
    LayerSpec(1280, 720, 1_700_000, 30),
)


@pytest.mark.parametrize(
    ("target_bps", "shares"),
    [
        (5_000_000, (150_000, 500_000, 1_700_000)),
        (2_000_000, (150_000, 500_000, 1_350_000)),
        (1_000_000, (150_000, 500_000, 0)),
        (450_000, (150_000, 300_000, 0)),
        (200_000, (150_000, 0, 0)),
        (100_000, (100_000, 0, 0)),
        (10_000, (LEAST_BITRATE_BPS, 0, 0)),
    ],
)
def test_small_layers_come_first(target_bps: int, shares: tuple[int, ...]) -> None:
    assert share_bitrate(LAYERS, target_bps) == shares


def test_the_order_of_the_layers_does_not_matter() -> None:
    assert share_bitrate(LAYERS[::-1], 1_000_000) == (0, 500_000, 150_000)


@given(st.integers(0, 10_000_000))
def test_the_smallest_layer_is_always_sent_and_none_gets_more_than_it_wants(target: int) -> None:
    shares = share_bitrate(LAYERS, target)

    assert shares[0] > 0
    assert all(0 <= s <= layer.bitrate_bps for s, layer in zip(shares, LAYERS, strict=True))
    assert sum(shares) <= max(target, LEAST_BITRATE_BPS)


def test_the_gate_wants_a_quarter_and_two_seconds() -> None:
    gate = RebuildGate(1_000_000)

    assert not gate.offer(800_000, now_s=0)
    assert gate.offer(700_000, now_s=0)
    assert not gate.offer(1_000_000, now_s=1.9)
    assert gate.offer(1_000_000, now_s=2.0)
