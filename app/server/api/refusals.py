"""How often one address may be wrong before the door stops listening to it. Sans-IO."""

from __future__ import annotations

from collections import OrderedDict, deque

MAX_REFUSALS = 5
WINDOW_S = 10.0
_MAX_ADDRESSES = 10_000


class RefusalLimiter:
    """Counts refused tries per address; whoever is let in or waits is not counted."""

    def __init__(self, *, limit: int = MAX_REFUSALS, window_s: float = WINDOW_S) -> None:
        self._limit = limit
        self._window_s = window_s
        self._refused_at_s: OrderedDict[str, deque[float]] = OrderedDict()

    def is_blocked(self, address: str, *, now_s: float) -> bool:
        """Whether this address has to wait."""
        times = self._refused_at_s.get(address)
        if times is None:
            return False
        while times and now_s - times[0] >= self._window_s:
            times.popleft()
        if not times:
            del self._refused_at_s[address]
        return len(times) >= self._limit

    def note_refusal(self, address: str, *, now_s: float) -> None:
        """Count a try that was refused."""
        times = self._refused_at_s.setdefault(address, deque(maxlen=self._limit))
        times.append(now_s)
        self._refused_at_s.move_to_end(address)
        if len(self._refused_at_s) > _MAX_ADDRESSES:
            self._refused_at_s.popitem(last=False)
