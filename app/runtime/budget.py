"""How much somebody may use at once and over time. Sans-IO: the clock is the caller's."""

from __future__ import annotations


class Budget:
    """A bucket that refills by `rate` a second up to `burst`; spending may overdraw it."""

    __slots__ = ("_at_s", "_burst", "_left", "_rate")

    def __init__(self, *, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at_s: float | None = None

    def _refill(self, now_s: float) -> None:
        if self._at_s is not None:
            self._left = min(self._burst, self._left + (now_s - self._at_s) * self._rate)
        self._at_s = now_s

    def spend(self, amount: float, now_s: float) -> float:
        """Take the amount and return how long to wait until nothing is owed."""
        self._refill(now_s)
        self._left -= amount
        return max(0.0, -self._left / self._rate)

    def allow(self, now_s: float) -> bool:
        """Take one if there is one."""
        self._refill(now_s)
        if self._left < 1:
            return False
        self._left -= 1
        return True
