"""A frame becomes packets: numbers, timestamp, and a split at 16,000 bytes."""

from __future__ import annotations

from app.protocol.data_track.packet import (
    HEADER_BYTES,
    MAX_PACKET_BYTES,
    NO_EXTENSIONS,
    Extensions,
    encode_extensions,
    encode_header,
)

CLOCK_HZ = 90_000
# Receivers give up on a frame of more packets.
MAX_FRAME_PACKETS = 128


class FrameTooLargeError(ValueError):
    """No receiver would put a frame of this size together again; nothing was numbered."""

    def __init__(self, size_bytes: int, max_bytes: int) -> None:
        super().__init__(f"data-track frame of {size_bytes} bytes exceeds {max_bytes}")
        self.size_bytes = size_bytes


class Packetizer:
    """Splits the frames of one track; its numbers begin at 0 and its clock at `base`."""

    def __init__(self, handle: int, *, base: int) -> None:
        self._handle = handle
        self._base = base
        self._sequence = 0
        self._frame = 0

    def packetize(
        self, payload: bytes, now_s: float, extensions: Extensions = NO_EXTENSIONS
    ) -> list[bytes]:
        """Return the packets of a frame in order; none for an empty one.

        `now_s` is of any clock that does not go back. Extensions stand in every packet.
        """
        block = encode_extensions(extensions)
        room = MAX_PACKET_BYTES - HEADER_BYTES - len(block)
        count = -(-len(payload) // room)
        if count > MAX_FRAME_PACKETS:
            raise FrameTooLargeError(len(payload), room * MAX_FRAME_PACKETS)
        timestamp = (self._base + int(now_s * CLOCK_HZ)) & 0xFFFFFFFF
        packets = []
        for index in range(count):
            header = encode_header(
                self._handle,
                self._sequence,
                self._frame,
                timestamp,
                is_start=index == 0,
                is_final=index == count - 1,
                is_extended=bool(block),
            )
            packets.append(header + block + payload[index * room : (index + 1) * room])
            self._sequence = (self._sequence + 1) & 0xFFFF
        if packets:
            self._frame = (self._frame + 1) & 0xFFFF
        return packets
