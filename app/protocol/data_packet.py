"""Which data packets go out, under which number, and which of those that come in are new.

The sequence number belongs to a packet from the moment it is queued: it is resent under the
same number after a resume, and only a new participant sid starts again at 1. The receiving side
forgets a sender 30 s after its last packet, as the official clients do.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from livekit.protocol.models import DataPacket

from app.protocol.errors import ProtocolError

MAX_PACKET_BYTES = 64_000
RECEIVE_STATE_TTL_S = 30.0


class PacketTooLargeError(ValueError):
    """A serialised packet is longer than any peer accepts; nothing was numbered or sent."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"data packet of {size_bytes} bytes exceeds {MAX_PACKET_BYTES}")
        self.size_bytes = size_bytes


def parse_packet(data: bytes) -> DataPacket:
    """Read a message of `_reliable` or `_lossy`; raise `ProtocolError` for anything else."""
    try:
        return DataPacket.FromString(data)
    except (DecodeError, ValueError) as error:
        raise ProtocolError("data packet does not parse") from error


def encode_lossy(packet: DataPacket) -> bytes:
    """Serialise an unnumbered packet, or raise `PacketTooLargeError`."""
    packet.sequence = 0
    data = packet.SerializeToString()
    if len(data) > MAX_PACKET_BYTES:
        raise PacketTooLargeError(len(data))
    return data


@dataclass(frozen=True, slots=True)
class SentPacket:
    """A numbered packet as it went to the transport."""

    sequence: int
    data: bytes


class ReliableOutbox:
    """Numbers reliable packets and keeps those that the transport may still lose.

    One per participant sid: a new sid needs a new outbox, because numbers start again at 1.
    """

    def __init__(self) -> None:
        self._last = 0
        self._kept: deque[SentPacket] = deque()
        self._kept_bytes = 0

    @property
    def last_sequence(self) -> int:
        """The number given out last, 0 before the first."""
        return self._last

    def number(self, packet: DataPacket) -> bytes:
        """Give `packet` the next number and return its bytes; too large ones take no number."""
        packet.sequence = self._last + 1
        data = packet.SerializeToString()
        if len(data) > MAX_PACKET_BYTES:
            packet.sequence = 0
            raise PacketTooLargeError(len(data))
        self._last += 1
        self._kept.append(SentPacket(self._last, data))
        self._kept_bytes += len(data)
        return data

    def trim(self, buffered_bytes: int) -> None:
        """Forget what has left: all but the newest packets that sum to `buffered_bytes`."""
        while self._kept and self._kept_bytes - len(self._kept[0].data) >= buffered_bytes:
            self._kept_bytes -= len(self._kept.popleft().data)

    def unacknowledged(self, last_received: int) -> list[bytes]:
        """Return what a resume has to send again, in order, under the original numbers."""
        while self._kept and self._kept[0].sequence <= last_received:
            self._kept_bytes -= len(self._kept.popleft().data)
        return [sent.data for sent in self._kept]


class ReliableInbox:
    """Remembers the newest number of each sender, so that a repeated packet is seen once."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, float]] = {}

    def is_new(self, packet: DataPacket, now_s: float) -> bool:
        """Say whether `packet` has not been delivered yet, and remember that it is now.

        Unnumbered packets and those of no sender are always new: nobody counts them.
        """
        if packet.sequence == 0 or not packet.participant_sid:
            return True
        known = self._last.get(packet.participant_sid)
        is_fresh = known is not None and now_s - known[1] <= RECEIVE_STATE_TTL_S
        if known is not None and is_fresh and packet.sequence <= known[0]:
            return False
        self._last[packet.participant_sid] = (packet.sequence, now_s)
        return True

    def receive_states(self, now_s: float) -> list[tuple[str, int]]:
        """Return (sender sid, newest number) for a resume, without those long silent."""
        for sid in [s for s, (_, at) in self._last.items() if now_s - at > RECEIVE_STATE_TTL_S]:
            del self._last[sid]
        return [(sid, sequence) for sid, (sequence, _) in self._last.items()]
