"""The RTP header: parse, build, strip (RFC 3550 §5.1). Hot path.

`parse_rtp` serves those who want an object; the server reads fields with `FIXED` and
`payload_bounds` where the packet lies and makes no object at all.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from app.protocol.errors import ProtocolError
from app.protocol.rtp.extensions import build_extensions, read_extensions

FIXED = struct.Struct("!BBHII")
"""First byte, marker and payload type, sequence number, timestamp, SSRC."""

HEADER_BYTES = 12
MARKER = 0x80
HAS_PADDING = 0x20
HAS_EXTENSION = 0x10

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One parsed packet; `payload` is without padding, `extensions` by their local ids."""

    payload_type: int
    seq: int
    ts_rtp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    extensions: Mapping[int, bytes] = field(default_factory=dict)
    padding_bytes: int = 0


def payload_bounds(data: Buffer, at: int, size: int) -> tuple[int, int]:
    """Return where the payload of the packet at `at` starts and ends, without padding.

    ProtocolError when the header does not fit; start equals end for a padding-only packet.
    """
    end = at + size
    if size < HEADER_BYTES:
        raise ProtocolError("RTP too short")
    first = data[at]
    if first >> 6 != 2:
        raise ProtocolError("RTP version")
    start = at + HEADER_BYTES + 4 * (first & 15)
    if first & HAS_EXTENSION:
        if start + 4 > end:
            raise ProtocolError("RTP extension cut off")
        start += 4 + 4 * (data[start + 2] << 8 | data[start + 3])
    if start > end:
        raise ProtocolError("RTP header cut off")
    if first & HAS_PADDING:
        if start == end:
            raise ProtocolError("RTP padding without payload")
        padding = data[end - 1]
        if padding == 0 or padding > end - start:
            raise ProtocolError("RTP padding length")
        end -= padding
    return start, end


def parse_rtp(data: bytes) -> RtpPacket:
    """Parse one packet. ProtocolError when it is malformed."""
    start, end = payload_bounds(data, 0, len(data))
    first, second, seq, ts_rtp, ssrc = FIXED.unpack_from(data)
    extensions: dict[int, bytes] = {}
    if first & HAS_EXTENSION:
        extensions = {
            number: bytes(data[at : at + size])
            for number, at, size in read_extensions(data, HEADER_BYTES + 4 * (first & 15))
        }
    return RtpPacket(
        payload_type=second & 0x7F,
        seq=seq,
        ts_rtp=ts_rtp,
        ssrc=ssrc,
        payload=bytes(data[start:end]),
        marker=bool(second & MARKER),
        extensions=extensions,
        padding_bytes=len(data) - end,
    )


def build_rtp(packet: RtpPacket) -> bytes:
    """Return the packet's bytes, padded if `padding_bytes` says so."""
    first = 0x80
    block = b""
    if packet.extensions:
        first |= HAS_EXTENSION
        block = build_extensions(packet.extensions)
    padding = b""
    if packet.padding_bytes:
        first |= HAS_PADDING
        padding = bytes(packet.padding_bytes - 1) + bytes((packet.padding_bytes,))
    head = FIXED.pack(
        first,
        (MARKER if packet.marker else 0) | packet.payload_type,
        packet.seq & 0xFFFF,
        packet.ts_rtp & 0xFFFFFFFF,
        packet.ssrc,
    )
    return head + block + packet.payload + padding
