"""Reliable packets for somebody whose data channels are not open yet. Sans-IO."""

from __future__ import annotations

EARLY_DATA_BYTES = 100_000


class EarlyData:
    """Keeps packets until `open`, in their order; what exceeds the limit is dropped."""

    def __init__(self) -> None:
        self.is_open = False
        self._packets: list[bytes] = []
        self._size_bytes = 0

    def keep(self, data: bytes) -> None:
        """Remember a packet; after `open` nothing is kept."""
        if not self.is_open and self._size_bytes + len(data) <= EARLY_DATA_BYTES:
            self._packets.append(data)
            self._size_bytes += len(data)

    def open(self) -> list[bytes]:
        """Return what waited, once."""
        self.is_open = True
        packets, self._packets = self._packets, []
        return packets
