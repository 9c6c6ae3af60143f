"""DTLS façade: both roles, loss, forgery, goodbye; and aiortc's private names."""

from __future__ import annotations

import asyncio

import pytest
from aiortc import rtcdtlstransport
from hypothesis import given, settings
from hypothesis import strategies as st

from app.protocol.errors import ProtocolError
from app.rtc.dtls import DtlsEndpoint, new_certificate
from app.runtime.errors import Reason, WorldError
from tests.support.dtls_pair import DtlsPair


async def test_both_sides_agree_on_gcm_keys() -> None:
    pair = DtlsPair()
    await pair.connect()

    server, client = pair.server.srtp_keys(), pair.client.srtp_keys()

    assert server.profile.name == client.profile.name == "SRTP_AEAD_AES_128_GCM"
    assert server.tx_key == client.rx_key
    assert server.rx_key == client.tx_key
    assert server.tx_key != server.rx_key
    await pair.close()


async def test_a_lost_flight_is_sent_again() -> None:
    lost: list[bytes] = []

    def lose_the_second(datagram: bytes) -> bool:
        lost.append(datagram)
        return len(lost) == 2

    pair = DtlsPair(lose_the_second)
    await asyncio.wait_for(pair.connect(), 30)
    assert pair.server.is_connected
    await pair.close()


async def test_another_certificate_than_announced_is_refused() -> None:
    pair = DtlsPair()
    client = asyncio.ensure_future(
        pair.client.handshake([("sha-256", pair.server.local_fingerprint)])
    )
    with pytest.raises(ProtocolError, match="fingerprint"):
        await pair.server.handshake([("sha-256", pair.server.local_fingerprint)])
    await client
    await pair.close()


async def test_no_usable_fingerprint_is_refused() -> None:
    endpoint = DtlsEndpoint(new_certificate(), role="server", send=lambda data: None)
    with pytest.raises(ProtocolError):
        await endpoint.handshake([("md5", "00")])
    await endpoint.close()


async def test_a_silent_peer_times_out() -> None:
    endpoint = DtlsEndpoint(new_certificate(), role="client", send=lambda data: None)
    with pytest.raises(WorldError) as caught:
        await endpoint.handshake([("sha-256", "00")], timeout_s=0.05)
    assert caught.value.reason is Reason.TIMEOUT
    await endpoint.close()


async def test_a_goodbye_is_told_to_the_owner() -> None:
    pair = DtlsPair()
    await pair.connect()
    closed = asyncio.Event()
    pair.server.on_closed = closed.set

    await pair.client.close()

    await asyncio.wait_for(closed.wait(), 30)
    assert not pair.server.is_connected
    await pair.close()


def test_garbage_from_the_wire_is_ignored() -> None:
    async def scenario() -> None:
        pair = DtlsPair()
        await pair.connect()

        @settings(max_examples=200, deadline=None)
        @given(st.binary(max_size=200))
        def feed(body: bytes) -> None:
            pair.server.feed(bytes([22]) + body)

        feed()
        assert pair.server.is_connected
        await pair.close()

    asyncio.run(scenario())


def test_the_private_names_that_we_use_exist() -> None:
    transport = rtcdtlstransport.RTCDtlsTransport
    for name in (
        "_set_role",
        "_set_state",
        "_setup_srtp",
        "_send_data",
        "_write_ssl",
        "_register_data_receiver",
        "_unregister_data_receiver",
    ):
        assert hasattr(transport, name), name
    assert {"CONNECTED", "CLOSED", "FAILED"} <= set(rtcdtlstransport.State.__members__)
    profile = rtcdtlstransport.SRTP_AEAD_AES_128_GCM
    assert (profile.key_length, profile.salt_length) == (16, 12)
