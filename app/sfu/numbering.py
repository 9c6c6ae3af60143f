"""Number one layer's packets so that removed and inserted ones leave no hole.

Padding probes and muted media are removed, silence is inserted; both move the offset between
incoming and outgoing numbers. A late packet is mapped with the offset of its own time, so a
hole in the source stays the same hole. Hot path: `map` runs once per packet.
"""

from __future__ import annotations

_MAX_RANGES = 100


class Numbering:
    """Incoming to outgoing extended sequence numbers of one layer."""

    __slots__ = ("_offset", "_ranges", "highest")

    def __init__(self) -> None:
        self.highest = -1
        self._offset = 0
        # (first incoming number, offset from there on), oldest first.
        self._ranges: list[tuple[int, int]] = []

    def map(self, ext_seq: int) -> int | None:
        """Return the outgoing number; None when the packet is too old to place."""
        if ext_seq > self.highest:
            if self.highest < 0:
                self._ranges.append((ext_seq, self._offset))
            self.highest = ext_seq
            return ext_seq - self._offset
        for start, offset in reversed(self._ranges):
            if ext_seq >= start:
                return ext_seq - offset
        return None

    def drop(self, ext_seq: int) -> bool:
        """Leave a packet out; False when it is too late for that without a hole."""
        if ext_seq <= self.highest:
            return False
        self.highest = ext_seq
        self._offset += 1
        self._start_range(ext_seq + 1, merge=True)
        return True

    def insert(self) -> int | None:
        """Return the number for a packet of our own behind the newest; None before any."""
        if self.highest < 0:
            return None
        self._offset -= 1
        self._start_range(self.highest + 1, merge=False)
        return self.highest - self._offset

    def _start_range(self, start: int, *, merge: bool) -> None:
        ranges = self._ranges
        # A probe is thousands of packets in a row: keep one range for the run. The numbers
        # inside it were dropped, so none of them is looked up with the wrong offset.
        if ranges and (ranges[-1][0] == start or (merge and ranges[-1][0] == start - 1)):
            ranges[-1] = (start, self._offset)
            return
        ranges.append((start, self._offset))
        if len(ranges) > _MAX_RANGES:
            del ranges[0]
