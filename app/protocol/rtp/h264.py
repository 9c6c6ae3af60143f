"""H.264 in RTP (RFC 6184, packetization mode 1): keyframes, packets, Annex B."""

from __future__ import annotations

from collections.abc import Iterator

from app.protocol.errors import ProtocolError

_IDR = 5
_SPS = 7
_PPS = 8
_STAP_A = 24
_FU_A = 28
_START_CODE = b"\x00\x00\x00\x01"

Buffer = bytes | bytearray | memoryview


def _stap_units(payload: Buffer) -> Iterator[Buffer]:
    at = 1
    while at < len(payload):
        if at + 2 > len(payload):
            raise ProtocolError("H264 STAP-A cut off")
        size = payload[at] << 8 | payload[at + 1]
        at += 2
        if size == 0 or at + size > len(payload):
            raise ProtocolError("H264 STAP-A cut off")
        yield payload[at : at + size]
        at += size


def is_h264_keyframe(payload: Buffer) -> bool:
    """Whether this packet begins a keyframe: a parameter set, or the first of an IDR slice.

    Senders put the parameter sets before every IDR picture, so the parameter set is the
    packet to switch at. Never raises: a malformed packet begins nothing.
    """
    if not payload:
        return False
    kind = payload[0] & 31
    if kind in (_IDR, _SPS):
        return True
    if kind == _STAP_A:
        at = 1
        while at + 2 < len(payload):
            if payload[at + 2] & 31 in (_IDR, _SPS):
                return True
            at += 2 + (payload[at] << 8 | payload[at + 1])
        return False
    return kind == _FU_A and len(payload) > 1 and payload[1] & 0x9F == 0x80 | _IDR


def split_annex_b(frame: bytes) -> list[bytes]:
    """Return the NAL units of an Annex B byte stream, without start codes."""
    units: list[bytes] = []
    start = frame.find(b"\x00\x00\x01")
    while start >= 0:
        start += 3
        end = frame.find(b"\x00\x00\x01", start)
        unit = frame[start:] if end < 0 else frame[start:end]
        # The zero before a four-byte start code is no part of the unit.
        unit = unit.rstrip(b"\x00") if end >= 0 else unit
        if unit:
            units.append(unit)
        start = end
    return units


def packetize_h264(frame: bytes, max_bytes: int) -> list[bytes]:
    """Cut an Annex B frame into RTP payloads: STAP-A for small units, FU-A for large ones."""
    payloads: list[bytes] = []
    group: list[bytes] = []
    group_bytes = 1

    def flush() -> None:
        nonlocal group_bytes
        if len(group) == 1:
            payloads.append(group[0])
        elif group:
            head = max(unit[0] & 0x60 for unit in group) | _STAP_A
            body = b"".join(len(unit).to_bytes(2, "big") + unit for unit in group)
            payloads.append(bytes((head,)) + body)
        group.clear()
        group_bytes = 1

    for unit in split_annex_b(frame):
        if group_bytes + 2 + len(unit) > max_bytes:
            flush()
        if 3 + len(unit) <= max_bytes:
            group.append(unit)
            group_bytes += 2 + len(unit)
        elif len(unit) <= max_bytes:
            payloads.append(unit)
        else:
            payloads.extend(_fragments(unit, max_bytes))
    flush()
    return payloads


def _fragments(unit: bytes, max_bytes: int) -> Iterator[bytes]:
    indicator = unit[0] & 0xE0 | _FU_A
    kind = unit[0] & 31
    step = max_bytes - 2
    body = unit[1:]
    for at in range(0, len(body), step):
        flags = (0x80 if at == 0 else 0) | (0x40 if at + step >= len(body) else 0)
        yield bytes((indicator, flags | kind)) + body[at : at + step]


def depacketize_h264(payloads: list[bytes]) -> bytes:
    """Put the payloads of one frame, in order, back into Annex B; ProtocolError if broken."""
    out = bytearray()
    fragment: bytearray | None = None
    for payload in payloads:
        if not payload:
            raise ProtocolError("H264 payload empty")
        kind = payload[0] & 31
        if kind == _FU_A:
            if len(payload) < 3:
                raise ProtocolError("H264 FU-A too short")
            if payload[1] & 0x80:
                fragment = bytearray((payload[0] & 0xE0 | payload[1] & 31,))
            if fragment is None:
                raise ProtocolError("H264 FU-A without start")
            fragment += payload[2:]
            if payload[1] & 0x40:
                out += _START_CODE + fragment
                fragment = None
        elif kind == _STAP_A:
            for unit in _stap_units(payload):
                out += _START_CODE + bytes(unit)
        elif 1 <= kind <= 23:
            out += _START_CODE + payload
        else:
            raise ProtocolError("H264 packet type not supported")
    if fragment is not None:
        raise ProtocolError("H264 FU-A without end")
    return bytes(out)
