"""A million seeded inputs for every parser on the media port."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.protocol.errors import ProtocolError
from app.protocol.rtp.header import RtpPacket, build_rtp, parse_rtp
from app.protocol.rtp.vp8 import parse_vp8
from app.rtc import rtcp
from app.rtc.stun import build_binding_request, parse_stun
from tests.support.fuzz import inputs

RTP = [build_rtp(RtpPacket(96, 1, 2, 3, b"payload", True, {1: b"a", 2: b"bcd"}, 9))]
VP8 = [b"\x90\xe0\x80\x01\x02\x20x"]
RTCP = [
    rtcp.build_nack(1, 2, [3, 9]),
    rtcp.build_remb(1, 10**6, [2]),
    rtcp.build_transport_feedback(1, 2, 3, [0, None, 250], 4),
    rtcp.build_receiver_report(1, [rtcp.ReportBlock(1, 2, 3, 4, 5, 6, 7)]),
]
STUN = [
    build_binding_request(
        b"x" * 12, username="a:b", password="c", priority=1, controlling=True, tie_breaker=2
    )
]


@pytest.mark.soak
@pytest.mark.parametrize(
    ("parse", "examples"),
    [(parse_rtp, RTP), (parse_vp8, VP8), (rtcp.parse_rtcp, RTCP), (parse_stun, STUN)],
)
def test_a_million_inputs_give_values_or_protocol_errors(
    parse: Callable[[bytes], Any], examples: list[bytes]
) -> None:
    for data in inputs(examples, seed=2026, count=1_000_000):
        try:
            parse(data)
        except ProtocolError:
            continue
