"""One packet of a data track: header, extensions, payload, all big-endian (hot path).

Byte 0 holds version (3 bits), start, final and extension flags; 2-3 the handle, 4-5 the sequence,
6-7 the frame number, 8-11 a 90 kHz timestamp. The publisher's handle travels up, every subscriber
has one of its own on the way down: `peek_handle` and `with_handle` are all that a server does.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from app.protocol.errors import ProtocolError

HEADER_BYTES = 12
MAX_PACKET_BYTES = 16_000
MAX_HANDLE = 65_535
# What a data channel of the protocol carries at most.
MAX_MESSAGE_BYTES = 65_535

START, FINAL, EXTENDED = 0x10, 0x08, 0x04
_VERSION_SHIFT = 5
_HEADER = struct.Struct(">BxHHHI")
_WORDS = struct.Struct(">H")
_TIMESTAMP = struct.Struct(">Q")

_PADDING, _ENCRYPTION, _USER_TIMESTAMP = 0, 1, 2
_IV_BYTES = 12


@dataclass(frozen=True, slots=True)
class Encryption:
    """How a whole frame was encrypted before it was split."""

    key_index: int
    iv: bytes


@dataclass(frozen=True, slots=True)
class Extensions:
    """What stands behind the header; the first packet's are those of the frame."""

    user_timestamp: int | None = None
    encryption: Encryption | None = None


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet."""

    handle: int
    sequence: int
    frame: int
    timestamp: int
    is_start: bool
    is_final: bool
    payload: bytes
    extensions: Extensions = Extensions()


NO_EXTENSIONS = Extensions()


def peek_handle(data: bytes) -> int:
    """Return the handle of a packet whose lengths make sense; 0 is never a valid one."""
    size = len(data)
    if size < HEADER_BYTES:
        return 0
    if data[0] & EXTENDED and size < HEADER_BYTES + 2:
        return 0
    if data[0] & EXTENDED and size < HEADER_BYTES + ((data[12] << 8 | data[13]) + 1) * 4:
        return 0
    return data[2] << 8 | data[3]


def with_handle(data: bytes, handle: bytes) -> bytes:
    """Return the packet under another handle (two bytes)."""
    return data[:2] + handle + data[4:]


def encode_extensions(extensions: Extensions) -> bytes:
    """Return the block behind the header; empty when there is nothing to say."""
    entries = b""
    if extensions.encryption is not None:
        iv = extensions.encryption.iv
        if len(iv) != _IV_BYTES:
            raise ValueError("an initialisation vector has 12 bytes")
        entries += bytes((_ENCRYPTION, 1 + _IV_BYTES, extensions.encryption.key_index)) + iv
    if extensions.user_timestamp is not None:
        entries += bytes((_USER_TIMESTAMP, _TIMESTAMP.size))
        entries += _TIMESTAMP.pack(extensions.user_timestamp)
    if not entries:
        return b""
    words = -(-(_WORDS.size + len(entries)) // 4)
    return (_WORDS.pack(words - 1) + entries).ljust(words * 4, b"\0")


def encode_header(
    handle: int,
    sequence: int,
    frame: int,
    timestamp: int,
    *,
    is_start: bool,
    is_final: bool,
    is_extended: bool,
) -> bytes:
    """Return the first twelve bytes of a packet."""
    flags = (START if is_start else 0) | (FINAL if is_final else 0)
    flags |= EXTENDED if is_extended else 0
    return _HEADER.pack(flags, handle, sequence, frame, timestamp)


def parse_packet(data: bytes) -> Packet:
    """Read a message of `_data_track`; raise `ProtocolError` for anything else."""
    if not HEADER_BYTES <= len(data) <= MAX_MESSAGE_BYTES:
        raise ProtocolError("data-track packet of impossible size")
    flags, handle, sequence, frame, timestamp = _HEADER.unpack_from(data)
    if flags >> _VERSION_SHIFT:
        raise ProtocolError("data-track packet of an unknown version")
    if not handle:
        raise ProtocolError("data-track packet without handle")
    start, extensions = HEADER_BYTES, NO_EXTENSIONS
    if flags & EXTENDED:
        if len(data) < HEADER_BYTES + _WORDS.size:
            raise ProtocolError("data-track extensions cut off")
        (words,) = _WORDS.unpack_from(data, HEADER_BYTES)
        start += (words + 1) * 4
        if start > len(data):
            raise ProtocolError("data-track extensions cut off")
        extensions = _parse_extensions(data[HEADER_BYTES + _WORDS.size : start])
    return Packet(
        handle,
        sequence,
        frame,
        timestamp,
        bool(flags & START),
        bool(flags & FINAL),
        data[start:],
        extensions,
    )


def _parse_extensions(block: bytes) -> Extensions:
    user_timestamp: int | None = None
    encryption: Encryption | None = None
    at = 0
    while at < len(block):
        kind = block[at]
        if kind == _PADDING:
            at += 1
            continue
        if at + 1 >= len(block):
            raise ProtocolError("data-track extension cut off")
        size = block[at + 1]
        content = block[at + 2 : at + 2 + size]
        if len(content) < size:
            raise ProtocolError("data-track extension cut off")
        if kind == _USER_TIMESTAMP and size == _TIMESTAMP.size:
            (user_timestamp,) = _TIMESTAMP.unpack(content)
        elif kind == _ENCRYPTION and size == 1 + _IV_BYTES:
            encryption = Encryption(content[0], content[1:])
        elif kind in (_USER_TIMESTAMP, _ENCRYPTION):
            raise ProtocolError("data-track extension of a wrong length")
        at += 2 + size
    return Extensions(user_timestamp, encryption)
