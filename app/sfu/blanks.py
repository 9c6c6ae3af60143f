"""Constant media that the server inserts: silence while muted, a blank picture at the end.

A receiver keeps showing the last picture of a stream that stops, and a reused transceiver
would show it under the next person's name. The server never encodes: these bytes were made
once, black, 8 by 8 VP8 and 16 by 16 H.264 (constrained baseline), and are checked by decoding them
in a test.
"""

from __future__ import annotations

OPUS_SILENCE = bytes.fromhex("f8fffe") + bytes(77)
OPUS_FRAME_TS = 960
OPUS_FRAME_S = 0.020
SILENCE_FRAMES = 50

BLANK_FRAMES = 6
BLANK_FRAME_S = 1 / 30
BLANK_FRAME_TS = 3000

VP8_KEYFRAME = bytes.fromhex("1002009d012a080008000047088585889984880202000c0d6000feffab5080")

H264_UNITS = (
    bytes.fromhex("6742c00aa6117a10000003001000000303c8f1226118"),
    bytes.fromhex("68c8420f2c80"),
    bytes.fromhex("658882025e4c50001c51c0"),
)


def blank_vp8(picture_id: int, tl0: int) -> bytes:
    """Return the RTP payload of a blank keyframe; -1 leaves a descriptor field out."""
    if picture_id < 0:
        return b"\x10" + VP8_KEYFRAME
    flags = 0x80 | (0x60 if tl0 >= 0 else 0)
    descriptor = bytes((0x90, flags)) + (0x8000 | picture_id & 0x7FFF).to_bytes(2, "big")
    if tl0 >= 0:
        descriptor += bytes((tl0 & 0xFF, 0))
    return descriptor + VP8_KEYFRAME


def blank_h264() -> bytes:
    """Return the RTP payload (STAP-A) of a blank keyframe."""
    return b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in H264_UNITS)
