"""H.264 payloads: cutting and joining, keyframes, malformed ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.errors import ProtocolError
from app.protocol.rtp.h264 import (
    depacketize_h264,
    is_h264_keyframe,
    packetize_h264,
    split_annex_b,
)
from tests.support.fuzz import assert_only_protocol_errors

SPS, PPS = b"\x67\x42\xc0\x1f", b"\x68\xce\x3c\x80"


def annex_b(*units: bytes) -> bytes:
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in units)


@given(
    st.lists(st.binary(min_size=1, max_size=3000).map(lambda b: b"\x65" + b.replace(b"\0", b"\1"))),
    st.integers(50, 1200),
)
def test_units_survive_the_wire(units: list[bytes], max_bytes: int) -> None:
    frame = annex_b(*units)
    payloads = packetize_h264(frame, max_bytes)
    assert all(len(payload) <= max_bytes for payload in payloads)
    assert depacketize_h264(payloads) == frame
    assert split_annex_b(frame) == units


def test_a_keyframe_begins_with_its_parameter_sets() -> None:
    payloads = packetize_h264(annex_b(SPS, PPS, b"\x65" + b"k" * 5000), 1100)
    assert [is_h264_keyframe(p) for p in payloads] == [True, True, *[False] * (len(payloads) - 2)]
    assert not is_h264_keyframe(b"\x41delta")
    assert not is_h264_keyframe(b"")
    assert not is_h264_keyframe(b"\x78\x00")


@pytest.mark.parametrize(
    "payloads",
    [[b""], [b"\x7c\x05x"], [b"\x7c\x85x"], [b"\x7c\x85"], [b"\x78\x00\x09x"], [b"\x00"]],
)
def test_broken_frames_are_the_peers_fault(payloads: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        depacketize_h264(payloads)


def test_any_bytes_give_a_frame_or_a_protocol_error() -> None:
    examples = packetize_h264(annex_b(SPS, PPS, b"\x65" + b"k" * 100), 60)
    assert_only_protocol_errors(lambda data: depacketize_h264([data]), examples)
    assert_only_protocol_errors(is_h264_keyframe, examples, seed=2)
