"""RTP header: fields, padding, extensions, malformed packets, recorded packets."""

from __future__ import annotations

import pytest

from app.protocol.errors import ProtocolError
from app.protocol.rtp.header import RtpPacket, build_rtp, parse_rtp
from tests.support.fuzz import assert_only_protocol_errors
from tests.support.vectors import read_vector

EXAMPLE = RtpPacket(96, 7, 8, 9, b"payload", marker=True, extensions={1: b"a", 3: b"bcd"})


def test_what_is_built_is_parsed() -> None:
    assert parse_rtp(build_rtp(EXAMPLE)) == EXAMPLE


def test_long_and_empty_extensions_take_the_two_byte_form() -> None:
    packet = RtpPacket(96, 7, 8, 9, b"x", extensions={1: b"a" * 17, 2: b"", 20: b"z"})
    assert parse_rtp(build_rtp(packet)) == packet


def test_padding_is_no_payload() -> None:
    packet = RtpPacket(96, 7, 8, 9, b"", padding_bytes=255)
    data = build_rtp(packet)
    assert len(data) == 12 + 255
    assert parse_rtp(data) == packet


def test_contributing_sources_are_skipped() -> None:
    data = bytearray(build_rtp(RtpPacket(96, 7, 8, 9, b"xyz")))
    data[0] |= 2
    data[12:12] = bytes(8)
    assert parse_rtp(bytes(data)).payload == b"xyz"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(11),
        bytes(12),
        b"\x8f" + bytes(20),
        b"\x90" + bytes(13),
        b"\x90" + bytes(13) + b"\x00\x09",
        b"\xa0" + bytes(11),
        b"\xa0" + bytes(11) + b"\x00",
        b"\xa0" + bytes(11) + b"\x09",
    ],
)
def test_malformed_headers_are_the_peers_fault(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_rtp(data)


def test_any_bytes_give_a_packet_or_a_protocol_error() -> None:
    two_byte = RtpPacket(96, 7, 8, 9, b"x", extensions={1: b"a" * 17})
    assert_only_protocol_errors(parse_rtp, [build_rtp(EXAMPLE), build_rtp(two_byte)])


@pytest.mark.parametrize("name", ["rtp_uplink.jsonl", "rtp_downlink.jsonl"])
def test_recorded_packets_read_as_they_were_decoded(name: str) -> None:
    count = 0
    for record in read_vector(name):
        if record.kind != "rtp":
            continue
        count += 1
        packet, seen = parse_rtp(record.raw), record.json
        assert packet.payload_type == seen["pt"]
        assert packet.seq == seen["seq"]
        assert packet.ts_rtp == seen["timestamp"]
        assert packet.ssrc == seen["ssrc"]
        assert packet.marker == bool(seen["marker"])
        assert packet.padding_bytes == seen["padding"]
        assert len(packet.payload) == seen["payload_len"]
        assert {str(k): v.hex() for k, v in packet.extensions.items()} == seen["ext"]
    assert count > 100
