"""One subscriber's receipt of one data track, and what its channel takes (hot path).

A frame that misses a packet is worth nothing. So room is looked for at a frame's first packet: a
frame is sent as a whole or dropped as a whole, and only a channel that is hopelessly behind cuts
one off. "Room" is 100 ms of what the channel has lately carried, within 8 and 256 KiB, the rule
of official clients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog

from app.protocol.data_track.packet import START
from app.server.room.data_router import DATA_TRACK

log = structlog.get_logger(__name__)

LEAST_BYTES = 8 << 10
MOST_BYTES = 256 << 10
BACKLOG_S = 0.1
WINDOW_S = 1.0


class DataTransport(Protocol):
    """The subscriber's data channels."""

    def send_data(self, label: str, data: bytes) -> bool:
        """Send a message; False when it was not taken."""

    def data_buffered(self, label: str) -> int:
        """Bytes that wait on a channel."""


class ChannelPace:
    """How much may wait on one participant's `_data_track` channel."""

    def __init__(self, transport: DataTransport, clock: Callable[[], float]) -> None:
        self.transport = transport
        self.allowed_bytes = LEAST_BYTES
        self._clock = clock
        self._since_s = clock()
        self._sent_bytes = 0
        self._buffered_then = 0

    def buffered(self) -> int:
        """Return what waits now, and learn from it how fast the channel is."""
        buffered = self.transport.data_buffered(DATA_TRACK)
        elapsed_s = self._clock() - self._since_s
        if elapsed_s >= WINDOW_S:
            carried = self._sent_bytes - buffered + self._buffered_then
            backlog = int(carried / elapsed_s * BACKLOG_S)
            self.allowed_bytes = min(max(backlog, LEAST_BYTES), MOST_BYTES)
            self._since_s += elapsed_s
            self._sent_bytes, self._buffered_then = 0, buffered
        return buffered

    def send(self, data: bytes) -> bool:
        """Send a packet; False when the channel does not take it."""
        if not self.transport.send_data(DATA_TRACK, data):
            return False
        self._sent_bytes += len(data)
        return True


class DataDownlink:
    """Forwards packets of one track under the subscriber's handle."""

    __slots__ = ("_is_sending", "_pace", "dropped_frames", "handle", "sent_packets", "wire_handle")

    def __init__(self, pace: ChannelPace, handle: int) -> None:
        self.handle = handle
        self.wire_handle = handle.to_bytes(2, "big")
        self.sent_packets = 0
        self.dropped_frames = 0
        self._pace = pace
        self._is_sending = False

    def has_room(self, flags: int) -> bool:
        """Decide about a packet by its first byte; a frame that began goes on."""
        if flags & START:
            self._is_sending = self._pace.buffered() <= self._pace.allowed_bytes
            self.dropped_frames += not self._is_sending
        return self._is_sending

    def send(self, packet: bytes) -> bool:
        """Send a packet that there is room for; one not taken (False) ends its frame."""
        if self._pace.send(packet):
            self.sent_packets += 1
            return True
        self._is_sending = False
        self.dropped_frames += 1
        return False

    def close(self) -> None:
        """Say what was lost, once."""
        if self.dropped_frames:
            log.info(
                "data track frames dropped", frames=self.dropped_frames, sent=self.sent_packets
            )
