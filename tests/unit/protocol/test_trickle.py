from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import rtc as lk_rtc

from app.protocol.errors import ProtocolError
from app.protocol.sdp import parse_candidate
from app.protocol.trickle import MAX_CHARS, parse_trickle
from tests.support.vectors import read_vector, vector_names


def test_every_recorded_candidate_of_a_server_can_be_read() -> None:
    seen = 0
    for name in vector_names():
        for record in read_vector(name):
            if record.type != "trickle" or record.direction != "server>client":
                continue
            trickle = lk_rtc.SignalResponse.FromString(record.raw).trickle
            assert parse_candidate(parse_trickle(trickle.candidateInit)).port > 0
            seen += 1
    assert seen > 10


def test_the_end_of_candidates_is_an_empty_line() -> None:
    assert parse_trickle('{"candidate": "", "sdpMid": "0"}') == ""


@pytest.mark.parametrize("text", ["", "[]", "7", '{"candidate": 7}', "x" * (MAX_CHARS + 1)])
def test_what_is_no_candidate_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        parse_trickle(text)


@given(st.text(max_size=300))
def test_any_text_is_a_line_or_a_protocol_error(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        assert isinstance(parse_trickle(text), str)
