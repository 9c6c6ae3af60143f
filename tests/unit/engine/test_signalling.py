from __future__ import annotations

import base64
import gzip
import socket
import ssl
import tomllib
from pathlib import Path

import aiohttp
import pytest
from livekit.protocol import rtc as lk_rtc

from app.engine.signalling import (
    VERSION,
    SignalTarget,
    join_parameter,
    refusal,
    resolve,
    signal_url,
    unreachable,
    v0_parameters,
)
from app.runtime.errors import Reason, WorldError
from tests.support.vectors import read_vector


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://h:7880", "ws://h:7880/rtc/v1"),
        ("wss://h", "wss://h/rtc/v1"),
        ("http://h:1/", "ws://h:1/rtc/v1"),
        ("https://h/x/", "wss://h/x/rtc/v1"),
        ("wss://h//x", "wss://h/x/rtc/v1"),
        ("ws://[::1]:7880", "ws://[::1]:7880/rtc/v1"),
        (" ws://h?a=b#c ", "ws://h/rtc/v1"),
    ],
)
def test_a_server_address_becomes_a_signalling_url(url: str, expected: str) -> None:
    assert signal_url(url, "/rtc/v1") == expected


@pytest.mark.parametrize("url", ["", "h:7880", "ftp://h", "ws://", "ws://h:port", "ws://[::1"])
def test_what_is_no_server_address_is_an_invalid_link(url: str) -> None:
    with pytest.raises(WorldError) as caught:
        signal_url(url, "/rtc")
    assert caught.value.reason is Reason.INVALID_LINK


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, "invalid token: token is expired (exp)", Reason.EXPIRED),
        (401, "invalid token: go-jose/go-jose/jwt: validation failed, token is expired (exp)",
         Reason.EXPIRED),
        (401, "invalid token: error in cryptographic primitive", Reason.FORGED),
        (401, "invalid API key: nobody", Reason.FORGED),
        (401, "invalid authorization token", Reason.FORGED),
        (401, "no permissions to access the room", Reason.DENIED),
        (401, "permissions denied", Reason.DENIED),
        (403, "denied", Reason.DENIED),
        (403, "locked", Reason.LOCKED),
        (404, "requested room does not exist", Reason.NOT_FOUND),
        (503, "", Reason.FULL),
        (400, "identity cannot be empty", Reason.REFUSED),
        (429, "", Reason.REFUSED),
        (500, "", Reason.REFUSED),
    ],
)  # fmt: skip
def test_a_refused_handshake_is_told_by_its_status_and_body(
    status: int, body: str, reason: Reason
) -> None:
    assert refusal(status, body).reason is reason


def test_recorded_refusals_of_the_reference_are_all_understood() -> None:
    """Nothing that the reference refuses looks like a network fault."""
    seen = 0
    for record in read_vector("server_refuses.jsonl"):
        answer = record.json
        if record.type != "response" or not isinstance(answer, dict):
            continue
        status, body = answer.get("status", 0), answer.get("body", "")
        if 400 <= status < 600:
            assert refusal(status, str(body)).reason in {
                Reason.EXPIRED,
                Reason.FORGED,
                Reason.DENIED,
                Reason.REFUSED,
                Reason.NOT_FOUND,
            }
            seen += 1
    assert seen


def test_failed_connections_are_told_apart() -> None:
    key = aiohttp.client_reqrep.ConnectionKey("h", 1, False, True, None, None, None)
    refused = aiohttp.ClientConnectorError(key, ConnectionRefusedError())
    assert unreachable(refused).reason is Reason.REFUSED
    assert unreachable(OSError("no route to host")).reason is Reason.NO_ROUTE
    assert unreachable(TimeoutError()).reason is Reason.TIMEOUT
    assert unreachable(ssl.SSLError()).reason is Reason.TLS


async def test_an_unknown_name_is_no_route() -> None:
    with pytest.raises(WorldError) as caught:
        await resolve("ws://no-such-host.invalid:7880")
    assert caught.value.reason is Reason.NO_ROUTE


async def test_an_address_needs_no_lookup() -> None:
    assert await resolve("ws://127.0.0.1:7880") == ["127.0.0.1"]
    if socket.has_ipv6:
        assert await resolve("ws://[::1]:7880") == ["::1"]


def test_the_join_request_carries_the_offer_and_what_we_can_do() -> None:
    target = SignalTarget("ws://h", "token", auto_subscribe=True)
    offer = lk_rtc.SessionDescription(type="offer", sdp="v=0\r\n" * 200, id=1)

    wrapped = lk_rtc.WrappedJoinRequest.FromString(
        base64.urlsafe_b64decode(join_parameter(target, offer))
    )
    assert wrapped.compression == lk_rtc.WrappedJoinRequest.GZIP
    request = lk_rtc.JoinRequest.FromString(gzip.decompress(wrapped.join_request))

    assert request.publisher_offer == offer
    assert request.client_info.protocol == 16
    assert request.client_info.client_protocol == 2
    assert request.connection_settings.auto_subscribe
    assert "token" not in repr(target)


def test_the_older_path_gets_the_same_in_its_query() -> None:
    query = v0_parameters(SignalTarget("ws://h", "token", auto_subscribe=False))

    assert query["protocol"] == "16"
    assert query["auto_subscribe"] == "0"
    assert "access_token" not in query


def test_the_version_that_servers_see_is_the_product_s() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())

    assert project["project"]["version"] == VERSION
