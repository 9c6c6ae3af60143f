"""Reliable packets for somebody whose data channels are not open yet. Sans-IO.

People see the newcomer as soon as it has joined, and may send a file at once. Its sender has been
told that every packet is taken, so a packet that is not kept here leaves a hole in the file. A
connection that takes a second to come up, on a busy machine, must not: hence room for what the
fastest sender has sent by then, rather than the official server's 100 kB (which keeps numbered
packets apart from that, with their sender).
"""

from __future__ import annotations

EARLY_DATA_BYTES = 16 << 20


class EarlyData:
    """Keeps packets until `open`, in their order; what exceeds the limit is dropped."""

    def __init__(self) -> None:
        self.is_open = False
        self._packets: list[bytes] = []
        self._size_bytes = 0

    def keep(self, data: bytes) -> bool:
        """Remember a packet; False when there is no room. After `open` nothing is kept."""
        if self.is_open or self._size_bytes + len(data) > EARLY_DATA_BYTES:
            return False
        self._packets.append(data)
        self._size_bytes += len(data)
        return True

    def open(self) -> list[bytes]:
        """Return what waited, once."""
        self.is_open = True
        packets, self._packets = self._packets, []
        return packets
