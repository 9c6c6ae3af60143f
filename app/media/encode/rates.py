"""Which layers to send for a bit rate, and when an encoder may be rebuilt for one.

An open libvpx encoder ignores a new bit rate and a rebuilt one starts with a keyframe, so whole
layers go first and a rebuild has to be worth it. Pure decisions: time is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEAST_SHARE = 0.5  # a layer below this part of its bit rate looks worse than the one beneath it
LEAST_BITRATE_BPS = 50_000
REBUILD_CHANGE = 0.25
REBUILD_INTERVAL_S = 2.0


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One layer to encode: the box its pictures fit in, bits per second, frames per second."""

    width: int
    height: int
    bitrate_bps: int
    fps: float


def share_bitrate(layers: Sequence[LayerSpec], target_bps: int) -> tuple[int, ...]:
    """Return bits per second for each layer, 0 for one that is left out.

    Smallest layers first, since everybody can use those. The first layer that does not fit
    gets what is left if that is worth looking at; the very smallest is always sent.
    """
    shares = [0] * len(layers)
    left_bps = target_bps
    by_size = sorted(range(len(layers)), key=lambda i: layers[i].width * layers[i].height)
    for rank, index in enumerate(by_size):
        wanted_bps = layers[index].bitrate_bps
        given_bps = min(wanted_bps, left_bps)
        if given_bps < wanted_bps * LEAST_SHARE:
            if rank == 0:
                shares[index] = min(wanted_bps, max(given_bps, LEAST_BITRATE_BPS))
            break
        shares[index] = given_bps
        left_bps -= given_bps
    return tuple(shares)


class RebuildGate:
    """Lets a bit rate through when it differs by a quarter and the last change is 2 s old."""

    def __init__(self, bitrate_bps: int) -> None:
        self.bitrate_bps = bitrate_bps
        self._changed_at_s = float("-inf")

    def offer(self, bitrate_bps: int, now_s: float) -> bool:
        """Return whether to rebuild with `bitrate_bps` now, and remember it if so."""
        change = abs(bitrate_bps - self.bitrate_bps) / self.bitrate_bps
        if change < REBUILD_CHANGE or now_s - self._changed_at_s < REBUILD_INTERVAL_S:
            return False
        self.bitrate_bps = bitrate_bps
        self._changed_at_s = now_s
        return True

    def settle(self, bitrate_bps: int, now_s: float) -> None:
        """Remember a bit rate that took effect for free, with a rebuild for another reason."""
        self.bitrate_bps = bitrate_bps
        self._changed_at_s = now_s
