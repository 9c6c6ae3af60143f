"""RTCP: what is built is parsed, recordings are read, nothing else than ProtocolError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.errors import ProtocolError
from app.rtc import rtcp
from tests.support.fuzz import assert_only_protocol_errors
from tests.support.vectors import read_vector

BLOCK = rtcp.ReportBlock(5, 30, -7, 100_000, 33, 0x12345678, 65_536)
ARRIVALS = [0, 250, None, 70_000, 69_000, *[None] * 20, *range(80_000, 90_000, 250)]


def examples() -> list[bytes]:
    return [
        rtcp.build_sender_report(rtcp.SenderReport(1, 2 << 40, 3, 4, 5, (BLOCK,))),
        rtcp.build_receiver_report(1, [BLOCK, BLOCK]),
        rtcp.build_cname(1, "someone"),
        rtcp.build_bye([1, 2]),
        rtcp.build_nack(1, 2, [65_534, 65_535, 3, 40]),
        rtcp.build_pli(1, 2),
        rtcp.build_fir(1, 2, 3),
        rtcp.build_remb(1, 2_500_000, [7, 8]),
        rtcp.build_transport_feedback(1, 2, 65_530, ARRIVALS, 9),
        rtcp.build_dlrr(1, 2, 3, 4),
    ]


def test_reports_survive_the_round_trip() -> None:
    report = rtcp.SenderReport(1, 2 << 40, 3, 4, 5, (BLOCK,))
    data = rtcp.build_sender_report(report) + rtcp.build_receiver_report(1, [BLOCK])
    assert rtcp.parse_rtcp(data) == [report, rtcp.ReceiverReport(1, (BLOCK,))]
    assert rtcp.parse_rtcp(rtcp.build_bye([3, 4])) == [rtcp.Goodbye((3, 4))]


def test_many_blocks_take_several_packets() -> None:
    items = rtcp.parse_rtcp(rtcp.build_receiver_report(1, [BLOCK] * 40))
    assert [len(item.blocks) for item in items if isinstance(item, rtcp.ReceiverReport)] == [31, 9]


@given(st.sets(st.integers(0, 0xFFFF), max_size=60))
def test_a_nack_names_exactly_what_is_missing(seqs: set[int]) -> None:
    ordered = sorted(seqs)
    (item,) = rtcp.parse_rtcp(rtcp.build_nack(1, 2, ordered))
    assert isinstance(item, rtcp.Nack)
    assert sorted(item.seqs) == ordered


def test_keyframe_requests_are_the_same_in_both_forms() -> None:
    assert rtcp.parse_rtcp(rtcp.build_pli(1, 2)) == [rtcp.KeyframeRequest(2)]
    assert rtcp.parse_rtcp(rtcp.build_fir(1, 2, 3)) == [rtcp.KeyframeRequest(2)]


def test_an_estimate_keeps_eighteen_bits_of_precision() -> None:
    (item,) = rtcp.parse_rtcp(rtcp.build_remb(1, 2_500_000, [7]))
    assert isinstance(item, rtcp.Remb)
    assert item.ssrcs == (7,)
    assert abs(item.bitrate_bps - 2_500_000) < 20


@given(st.lists(st.none() | st.integers(0, 4_000_000), max_size=300), st.integers(0, 0xFFFF))
def test_arrival_times_are_told_to_a_quarter_millisecond(
    later: list[int | None], base: int
) -> None:
    arrivals: list[int | None] = [
        64_000_000,
        *(None if a is None else 64_000_000 + a for a in later),
    ]
    data = rtcp.build_transport_feedback(1, 2, base, arrivals, 255)
    (item,) = rtcp.parse_rtcp(data)
    assert isinstance(item, rtcp.TransportFeedback)
    assert (item.base_seq, item.feedback_count) == (base, 255)
    assert len(item.arrivals_us) == len(arrivals)
    for told, real in zip(item.arrivals_us, arrivals, strict=True):
        assert (told is None) == (real is None)
        if told is not None and real is not None:
            assert abs(told - real) <= 125


def test_a_gap_of_more_than_eight_seconds_ends_the_feedback() -> None:
    data = rtcp.build_transport_feedback(1, 2, 0, [0, 9_000_000], 0)
    (item,) = rtcp.parse_rtcp(data)
    assert isinstance(item, rtcp.TransportFeedback)
    assert item.arrivals_us == (0,)
    with pytest.raises(ValueError, match="arrived"):
        rtcp.build_transport_feedback(1, 2, 0, [None], 0)


def test_a_receiver_reference_time_is_read() -> None:
    body = b"\x04\x00\x00\x02" + (77 << 32).to_bytes(8, "big")
    data = b"\x80\xcf\x00\x04" + (9).to_bytes(4, "big") + body
    assert rtcp.parse_rtcp(data) == [rtcp.ReferenceTime(9, 77 << 32)]


@pytest.mark.parametrize(
    "data", [b"\x80", b"\x80\xc9\x00\x09", b"\x00\xc9\x00\x00", b"\xa0\xc9\x00\x01\x00\x00\x00\x09"]
)
def test_malformed_compounds_are_the_peers_fault(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        rtcp.parse_rtcp(data)


def test_any_bytes_give_items_or_a_protocol_error() -> None:
    assert_only_protocol_errors(rtcp.parse_rtcp, examples())


@pytest.mark.parametrize("name", ["rtp_uplink.jsonl", "rtp_downlink.jsonl"])
def test_recorded_compounds_are_read(name: str) -> None:
    found: set[str] = set()
    for record in read_vector(name):
        if record.kind == "rtcp":
            found |= {type(item).__name__ for item in rtcp.parse_rtcp(record.raw)}
    assert "SenderReport" in found
    assert found & {"KeyframeRequest", "Remb"}
