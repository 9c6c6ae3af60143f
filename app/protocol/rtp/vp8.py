"""The VP8 payload descriptor (RFC 7741 §4.2): read, write, move. Hot path.

With the dependency descriptor negotiated, libwebrtc sends the one-byte form, which has no
picture id: nothing here assumes one.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.protocol.errors import ProtocolError

_EXTENDED = 0x80
_NON_REFERENCE = 0x20
_START = 0x10
_PARTITION = 0x0F
_HAS_PICTURE_ID = 0x80
_HAS_TL0 = 0x40
_HAS_TID = 0x20
_HAS_KEYIDX = 0x10

PICTURE_ID_BITS = 15

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Vp8Descriptor:
    """One descriptor; -1 stands for a field that is absent. `size` is its length in bytes.

    `picture_id_bits` is 7, 15 or 0. `tid` shares its byte with `keyidx` and the layer-sync
    bit; that byte is kept as `tid_key_byte`.
    """

    size: int
    start_of_partition: bool
    partition: int
    non_reference: bool = False
    picture_id: int = -1
    picture_id_bits: int = 0
    tl0_picture_index: int = -1
    tid_key_byte: int = -1
    has_tid: bool = False
    has_keyidx: bool = False

    @property
    def tid(self) -> int:
        """Temporal layer, or -1."""
        return self.tid_key_byte >> 6 if self.has_tid else -1

    @property
    def keyidx(self) -> int:
        """Temporal key-frame index, or -1."""
        return self.tid_key_byte & 31 if self.has_keyidx else -1

    @property
    def starts_frame(self) -> bool:
        """Whether this is the first packet of a picture."""
        return self.start_of_partition and self.partition == 0


def parse_vp8(payload: Buffer) -> Vp8Descriptor:
    """Parse the descriptor at the start of `payload`; ProtocolError when it is cut off."""
    try:
        first = payload[0]
        at = 1
        picture_id = tl0 = tid_key = -1
        bits = flags = 0
        if first & _EXTENDED:
            flags = payload[1]
            at = 2
            if flags & _HAS_PICTURE_ID:
                picture_id = payload[2]
                if picture_id & 0x80:
                    picture_id = (picture_id & 0x7F) << 8 | payload[3]
                    bits, at = 15, 4
                else:
                    bits, at = 7, 3
            if flags & _HAS_TL0:
                tl0 = payload[at]
                at += 1
            if flags & (_HAS_TID | _HAS_KEYIDX):
                tid_key = payload[at]
                at += 1
    except IndexError as error:
        raise ProtocolError("VP8 descriptor cut off") from error
    if at >= len(payload):
        raise ProtocolError("VP8 payload empty")
    return Vp8Descriptor(
        size=at,
        start_of_partition=bool(first & _START),
        partition=first & _PARTITION,
        non_reference=bool(first & _NON_REFERENCE),
        picture_id=picture_id,
        picture_id_bits=bits,
        tl0_picture_index=tl0,
        tid_key_byte=tid_key,
        has_tid=bool(flags & _HAS_TID),
        has_keyidx=bool(flags & _HAS_KEYIDX),
    )


def build_vp8(descriptor: Vp8Descriptor) -> bytes:
    """Return the descriptor's bytes; the picture id keeps its width."""
    first = (
        (_START if descriptor.start_of_partition else 0)
        | (_NON_REFERENCE if descriptor.non_reference else 0)
        | (descriptor.partition & _PARTITION)
    )
    flags = 0
    body = b""
    if descriptor.picture_id_bits == 15:
        flags |= _HAS_PICTURE_ID
        body += (0x8000 | descriptor.picture_id & 0x7FFF).to_bytes(2, "big")
    elif descriptor.picture_id_bits == 7:
        flags |= _HAS_PICTURE_ID
        body += bytes((descriptor.picture_id & 0x7F,))
    if descriptor.tl0_picture_index >= 0:
        flags |= _HAS_TL0
        body += bytes((descriptor.tl0_picture_index & 0xFF,))
    if descriptor.has_tid or descriptor.has_keyidx:
        flags |= (_HAS_TID if descriptor.has_tid else 0) | (
            _HAS_KEYIDX if descriptor.has_keyidx else 0
        )
        body += bytes((max(descriptor.tid_key_byte, 0),))
    if not flags:
        return bytes((first,))
    return bytes((first | _EXTENDED, flags)) + body


def is_vp8_keyframe(payload: Buffer, descriptor_size: int) -> bool:
    """Whether the picture that starts in this packet is a keyframe (RFC 6386 §9.1)."""
    return not payload[descriptor_size] & 1


def vp8_keyframe_size(frame: Buffer) -> tuple[int, int] | None:
    """Return width and height that a keyframe announces, or None for another frame."""
    if len(frame) < 10 or frame[0] & 1 or bytes(frame[3:6]) != b"\x9d\x01\x2a":
        return None
    width = (frame[6] | frame[7] << 8) & 0x3FFF
    height = (frame[8] | frame[9] << 8) & 0x3FFF
    return width, height


def locate_vp8(data: Buffer, at: int, end: int) -> tuple[int, int, int, bool]:
    """Find what forwarding changes: picture id, its width, TL0PICIDX; and keyframes' starts.

    Positions are absolute, 0 where the field is absent. This is what the server
    does per packet instead of `parse_vp8`: no object.
    """
    try:
        first = data[at]
        next_at = at + 1
        picture_at = bits = tl0_at = 0
        if first & _EXTENDED:
            flags = data[next_at]
            next_at += 1
            if flags & _HAS_PICTURE_ID:
                picture_at = next_at
                bits = 15 if data[next_at] & 0x80 else 7
                next_at += 2 if bits == 15 else 1
            if flags & _HAS_TL0:
                tl0_at = next_at
                next_at += 1
            if flags & (_HAS_TID | _HAS_KEYIDX):
                next_at += 1
        if next_at >= end:
            raise ProtocolError("VP8 payload empty")
        is_key = first & 0x1F == _START and not data[next_at] & 1
    except IndexError as error:
        raise ProtocolError("VP8 descriptor cut off") from error
    return picture_at, bits, tl0_at, is_key
