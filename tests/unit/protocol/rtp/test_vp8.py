"""VP8 payload descriptors: both readers agree with each other and with recordings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.errors import ProtocolError
from app.protocol.rtp.header import parse_rtp
from app.protocol.rtp.vp8 import (
    Vp8Descriptor,
    build_vp8,
    is_vp8_keyframe,
    locate_vp8,
    parse_vp8,
    vp8_keyframe_size,
)
from tests.support.fuzz import assert_only_protocol_errors
from tests.support.vectors import read_vector

FULL = Vp8Descriptor(
    size=6,
    start_of_partition=True,
    partition=0,
    non_reference=True,
    picture_id=0x1234,
    picture_id_bits=15,
    tl0_picture_index=7,
    tid_key_byte=0x61,
    has_tid=True,
    has_keyidx=True,
)


def test_a_full_descriptor_survives_the_round_trip() -> None:
    data = build_vp8(FULL)
    assert parse_vp8(data + b"x") == FULL
    assert (FULL.tid, FULL.keyidx, FULL.starts_frame) == (1, 1, True)


def test_the_one_byte_descriptor_has_no_picture_id() -> None:
    descriptor = parse_vp8(b"\x10\x00")
    assert descriptor.size == 1
    assert descriptor.picture_id == descriptor.tl0_picture_index == descriptor.tid == -1
    assert build_vp8(descriptor) == b"\x10"


@given(
    st.integers(0, 0x7FFF), st.sampled_from([0, 7, 15]), st.integers(-1, 255), st.integers(-1, 255)
)
def test_both_readers_find_the_same(picture_id: int, bits: int, tl0: int, tid_key: int) -> None:
    descriptor = Vp8Descriptor(
        size=1
        + (bits + 1) // 8
        + (tl0 >= 0)
        + (tid_key >= 0)
        + bool(bits or tl0 >= 0 or tid_key >= 0),
        start_of_partition=True,
        partition=0,
        picture_id=picture_id & ((1 << bits) - 1) if bits else -1,
        picture_id_bits=bits,
        tl0_picture_index=tl0,
        tid_key_byte=tid_key,
        has_tid=tid_key >= 0,
    )
    payload = b"head" + build_vp8(descriptor) + b"\x10"
    assert parse_vp8(payload[4:]) == descriptor

    picture_at, found_bits, tl0_at, is_key = locate_vp8(payload, 4, len(payload))

    assert found_bits == bits
    assert is_key
    if bits == 15:
        value = int.from_bytes(payload[picture_at : picture_at + 2], "big") & 0x7FFF
        assert value == descriptor.picture_id
    if tl0 >= 0:
        assert payload[tl0_at] == tl0


@pytest.mark.parametrize("data", [b"", b"\x10", b"\x90", b"\x90\x80\x80", b"\x90\xe0\x80\x01\x02"])
def test_cut_off_descriptors_are_the_peers_fault(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_vp8(data)
    with pytest.raises(ProtocolError):
        locate_vp8(data, 0, len(data))


def test_any_bytes_give_a_descriptor_or_a_protocol_error() -> None:
    assert_only_protocol_errors(parse_vp8, [build_vp8(FULL) + b"xx"])
    assert_only_protocol_errors(lambda data: locate_vp8(data, 0, len(data)), [build_vp8(FULL)])


@pytest.mark.parametrize("name", ["rtp_uplink.jsonl", "rtp_downlink.jsonl"])
def test_recorded_descriptors_read_as_they_were_decoded(name: str) -> None:
    keyframes = 0
    for record in read_vector(name):
        seen = record.json.get("vp8") if record.kind == "rtp" else None
        if not seen:
            continue
        payload = parse_rtp(record.raw).payload
        descriptor = parse_vp8(payload)
        assert descriptor.size == seen["descriptor_len"]
        assert descriptor.start_of_partition == bool(seen["S"])
        if descriptor.starts_frame:
            assert is_vp8_keyframe(payload, descriptor.size) == seen["keyframe"]
            assert locate_vp8(payload, 0, len(payload))[3] == seen["keyframe"]
        if "width" in seen:
            keyframes += 1
            size = vp8_keyframe_size(payload[descriptor.size :])
            assert size == (seen["width"], seen["height"])
    assert keyframes
