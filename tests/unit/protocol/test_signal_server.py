"""Join requests and frames: recorded ones are read, damaged ones are the client's error."""

from __future__ import annotations

import base64
import contextlib
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import rtc

from app.protocol.errors import ProtocolError
from app.protocol.signal_server import (
    MAX_JOIN_BYTES,
    decode_join_request,
    decode_request,
    encode_response,
)
from tests.support.vectors import VectorRecord, read_vector, vector_names

V1 = [name for name in vector_names() if name.startswith(("python_v1", "chromium_v1"))]


def joins(name: str) -> list[VectorRecord]:
    return [
        record
        for record in read_vector(name)
        if record.kind == "http" and "join_request" in (record.json or {}).get("query", {})
    ]


def wrap(body: bytes, *, packed: bool = False) -> str:
    wrapped = rtc.WrappedJoinRequest(
        compression=rtc.WrappedJoinRequest.GZIP if packed else rtc.WrappedJoinRequest.NONE,
        join_request=gzip.compress(body) if packed else body,
    )
    return base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()


@pytest.mark.parametrize("name", V1)
def test_recorded_join_requests_carry_the_client_and_its_offer(name: str) -> None:
    found = joins(name)
    assert found
    for record in found:
        request = decode_join_request(record.json["query"]["join_request"])
        assert request.client_info.protocol >= 16
        if not request.reconnect:
            assert request.publisher_offer.sdp.startswith("v=0")


@pytest.mark.parametrize("name", vector_names())
def test_recorded_frames_of_clients_are_read_and_written_back(name: str) -> None:
    for record in read_vector(name):
        if record.kind == "signal" and record.message.endswith("SignalRequest"):
            assert decode_request(record.raw).WhichOneof("message") == record.type


def test_padding_may_be_missing_and_packing_is_optional() -> None:
    body = rtc.JoinRequest(metadata="m").SerializeToString()
    assert decode_join_request(wrap(body).rstrip("=")).metadata == "m"
    assert decode_join_request(wrap(body, packed=True)).metadata == "m"


@pytest.mark.parametrize(
    "parameter",
    ["", "%%%", wrap(b"\xff\xff"), wrap(bytes(MAX_JOIN_BYTES + 1), packed=True), "CAESA____w=="],
)
def test_what_is_no_join_request_is_refused(parameter: str) -> None:
    with pytest.raises(ProtocolError):
        decode_join_request(parameter)


@given(st.binary(max_size=300), st.booleans())
def test_any_wrapped_bytes_are_a_request_or_an_error(body: bytes, packed: bool) -> None:
    with contextlib.suppress(ProtocolError):
        decode_join_request(wrap(body, packed=packed))


@given(st.text(max_size=100))
def test_any_parameter_is_a_request_or_an_error(parameter: str) -> None:
    with contextlib.suppress(ProtocolError):
        decode_join_request(parameter)


@given(st.binary(max_size=300) | st.text(max_size=200))
def test_any_frame_is_a_request_or_an_error(frame: bytes | str) -> None:
    with contextlib.suppress(ProtocolError):
        decode_request(frame)


def test_a_client_that_speaks_json_gets_json() -> None:
    assert decode_request('{"ping":"5"}').ping == 5
    response = rtc.SignalResponse(pong=5)
    assert encode_response(response, as_json=True) == '{"pong": "5"}'
    assert encode_response(response, as_json=False) == response.SerializeToString()
