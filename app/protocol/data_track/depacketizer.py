"""Packets become frames again, or nothing: never a wrong frame, never one twice.

The channel loses, reorders and may repeat. A frame is given out when every packet from its first
to its last is there; a newer frame pushes the oldest unfinished one out, so memory is bounded by
`max_partial_frames` frames. What belongs to no known frame is dropped and counted, and so is what
comes late: with room for one unfinished frame everything older than the newest one given out,
with room for more as many frames later.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from app.protocol.data_track.packet import Extensions, Packet
from app.protocol.data_track.packetizer import MAX_FRAME_PACKETS
from app.protocol.rtp.wrap import seq_delta

MAX_PARTIAL_FRAMES = 64
# A frame number further back than this is no late frame: the publisher began anew.
LATE_FRAMES = 1_024


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as its publisher pushed it; still encrypted if it says so."""

    payload: bytes
    extensions: Extensions


@dataclass(slots=True)
class _Partial:
    start_sequence: int
    timestamp: int
    extensions: Extensions
    payloads: dict[int, bytes]
    last_offset: int | None = None

    def is_complete(self) -> bool:
        return self.last_offset is not None and len(self.payloads) == self.last_offset + 1


@dataclass(slots=True)
class DropCounts:
    """Why what came did not become a frame."""

    late_frames: int = 0
    incomplete_frames: int = 0
    stray_packets: int = 0
    repeated_packets: int = 0


@dataclass(slots=True)
class Depacketizer:
    """Joins the packets of one subscribed track."""

    max_partial_frames: int = 1
    drops: DropCounts = field(default_factory=DropCounts)
    _partials: dict[int, _Partial] = field(default_factory=dict)
    _newest: int | None = None
    _given: deque[int] = field(default_factory=lambda: deque(maxlen=MAX_PARTIAL_FRAMES))

    @property
    def _limit(self) -> int:
        return min(max(1, self.max_partial_frames), MAX_PARTIAL_FRAMES)

    def push(self, packet: Packet) -> Frame | None:
        """Take a packet; return the frame that it completes."""
        if self._is_late(packet.frame):
            self.drops.late_frames += packet.is_start
            self.drops.stray_packets += not packet.is_start
            return None
        if packet.is_start:
            return self._start(packet)
        return self._continue(packet)

    def _is_late(self, frame: int) -> bool:
        if self._newest is None:
            return False
        delta = seq_delta(frame, self._newest)
        if delta > 0 or delta <= -LATE_FRAMES:
            return False
        return delta <= -self._limit or frame in self._given or self._limit == 1

    def _start(self, packet: Packet) -> Frame | None:
        known = self._partials.get(packet.frame)
        if known is not None:
            if (known.start_sequence, known.timestamp) == (packet.sequence, packet.timestamp):
                self.drops.repeated_packets += 1
                return None
            self._drop(packet.frame)
        while len(self._partials) >= self._limit:
            self._drop(next(iter(self._partials)))
        if packet.is_final:
            return self._give(packet.frame, Frame(packet.payload, packet.extensions))
        self._partials[packet.frame] = _Partial(
            packet.sequence, packet.timestamp, packet.extensions, {0: packet.payload}
        )
        return None

    def _continue(self, packet: Packet) -> Frame | None:
        partial = self._partials.get(packet.frame)
        if partial is None or partial.timestamp != packet.timestamp:
            self.drops.stray_packets += 1
            return None
        offset = (packet.sequence - partial.start_sequence) & 0xFFFF
        if offset in partial.payloads:
            self.drops.repeated_packets += 1
            return None
        if not self._fits(partial, offset, packet.is_final):
            self._drop(packet.frame)
            return None
        partial.payloads[offset] = packet.payload
        if packet.is_final:
            partial.last_offset = offset
        if not partial.is_complete():
            return None
        del self._partials[packet.frame]
        payload = b"".join(partial.payloads[index] for index in range(len(partial.payloads)))
        return self._give(packet.frame, Frame(payload, partial.extensions))

    def _fits(self, partial: _Partial, offset: int, is_final: bool) -> bool:
        if offset >= MAX_FRAME_PACKETS:
            return False
        if is_final:
            return partial.last_offset is None and offset > max(partial.payloads)
        return partial.last_offset is None or offset < partial.last_offset

    def _give(self, number: int, frame: Frame) -> Frame:
        self._given.append(number)
        is_late = self._newest is not None and -LATE_FRAMES < seq_delta(number, self._newest) < 0
        self._newest = self._newest if is_late else number
        for other in [other for other in self._partials if self._is_late(other)]:
            self._drop(other)
        return frame

    def _drop(self, number: int) -> None:
        del self._partials[number]
        self.drops.incomplete_frames += 1
