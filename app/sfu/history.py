"""The last packets of one stream, to answer NACKs from, and how often each may be resent.

Entries are the plaintexts themselves: storing one is a reference, not a copy.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")

RESENDS_PER_PACKET = 3
MIN_RESEND_GAP_S = 0.100
_MAX_REMEMBERED = 512


class History(Generic[T]):
    """A ring of entries by extended sequence number. Hot path: `store`."""

    __slots__ = ("_entries", "_mask", "_numbers")

    def __init__(self, capacity: int = 512) -> None:
        if capacity & (capacity - 1):
            raise ValueError("capacity must be a power of two")
        self._mask = capacity - 1
        self._numbers = [-1] * capacity
        self._entries: list[T | None] = [None] * capacity

    def store(self, ext_seq: int, entry: T) -> None:
        """Keep an entry; the one that many packets older is forgotten."""
        slot = ext_seq & self._mask
        self._numbers[slot] = ext_seq
        self._entries[slot] = entry

    def find(self, ext_seq: int) -> T | None:
        """Return the entry with exactly this number, or None."""
        slot = ext_seq & self._mask
        return self._entries[slot] if self._numbers[slot] == ext_seq else None


class ResendLimiter:
    """How often one subscriber gets one packet again."""

    __slots__ = ("_resent",)

    def __init__(self) -> None:
        self._resent: dict[int, tuple[int, float]] = {}

    def allow(self, ext_seq: int, now_s: float, rtt_s: float) -> bool:
        """Whether a resend may go out now; counts it if so."""
        count, last_s = self._resent.get(ext_seq, (0, -1.0))
        gap_s = min(MIN_RESEND_GAP_S, 2 * rtt_s)
        if count >= RESENDS_PER_PACKET or (count and now_s - last_s < gap_s):
            return False
        self._resent[ext_seq] = (count + 1, now_s)
        if len(self._resent) > _MAX_REMEMBERED:
            del self._resent[next(iter(self._resent))]
        return True
