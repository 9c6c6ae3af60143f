"""How numbers spread over buckets: what Prometheus calls a histogram, counted without a lock."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


def growing_buckets(least: float, most: float, count: int) -> tuple[float, ...]:
    """Return upper bounds from `least` to `most`, each the same factor above the last."""
    factor = (most / least) ** (1 / (count - 1))
    return tuple(least * factor**step for step in range(count))


class Spread:
    """Counts per bucket; `bounds` are their upper ends, which belong to them."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self.sum = 0.0

    def note(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Bound and how many values were no larger, as the text format writes them."""
        total, listed = 0, []
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            listed.append((_written(bound), float(total)))
        return listed


def _written(bound: float) -> str:
    """As Go writes it: "5", not "5.0", or what is added up over servers would not fit."""
    if bound == float("inf"):
        return "+Inf"
    return str(int(bound)) if bound == int(bound) else repr(bound)
