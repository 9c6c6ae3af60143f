"""Constant frames are what a decoder expects."""

from __future__ import annotations

import av
import pytest

from app.protocol.rtp.h264 import depacketize_h264, is_h264_keyframe
from app.protocol.rtp.vp8 import is_vp8_keyframe, parse_vp8
from app.sfu.blanks import OPUS_SILENCE, blank_h264, blank_vp8


def decode(codec: str, data: bytes) -> av.VideoFrame:
    context = av.CodecContext.create(codec, "r")
    assert isinstance(context, av.VideoCodecContext)
    frames = [*context.decode(av.Packet(data)), *context.decode(None)]
    assert len(frames) == 1
    return frames[0]


@pytest.mark.parametrize(("picture_id", "tl0"), [(-1, -1), (0x7FFF, -1), (5, 255)])
def test_the_blank_vp8_picture_is_black_and_numbered(picture_id: int, tl0: int) -> None:
    payload = blank_vp8(picture_id, tl0)
    descriptor = parse_vp8(payload)
    assert (descriptor.picture_id, descriptor.tl0_picture_index) == (picture_id, tl0)
    assert descriptor.starts_frame
    assert is_vp8_keyframe(payload, descriptor.size)
    frame = decode("vp8", payload[descriptor.size :])
    assert (frame.width, frame.height) == (8, 8)
    assert max(bytes(frame.planes[0])[:8]) <= 20


def test_the_blank_h264_picture_is_black() -> None:
    payload = blank_h264()
    assert is_h264_keyframe(payload)
    frame = decode("h264", depacketize_h264([payload]))
    assert (frame.width, frame.height) == (16, 16)
    assert max(bytes(frame.planes[0])[:16]) <= 20


def test_opus_silence_is_eighty_bytes() -> None:
    assert len(OPUS_SILENCE) == 80
    assert OPUS_SILENCE[:4] == b"\xf8\xff\xfe\x00"
