"""Data channels over an in-memory wire."""

from __future__ import annotations

import asyncio

import pytest
import structlog
from google_crc32c import value as crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from app.protocol.errors import ProtocolError
from app.rtc.data_channels import LOCAL_SCTP_PORT, DataChannels
from app.rtc.dtls import DtlsEndpoint
from app.rtc.sctp.congestion import FIRST_RTO_S
from tests.support.dtls_pair import DtlsPair


class Inbox:
    def __init__(self, dtls: DtlsEndpoint) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.opened: list[str] = []
        self.changed = asyncio.Event()
        self.channels = DataChannels(dtls, on_message=self._on_message, on_open=self._on_open)

    def _on_message(self, label: str, data: bytes) -> None:
        self.messages.append((label, data))
        self.changed.set()

    def _on_open(self, label: str) -> None:
        self.opened.append(label)
        self.changed.set()

    async def until(self, condition: object) -> None:
        async with asyncio.timeout(30):
            while not condition():  # type: ignore[operator]
                self.changed.clear()
                await self.changed.wait()


async def open_pair(pair: DtlsPair) -> tuple[Inbox, Inbox]:
    server, client = Inbox(pair.server), Inbox(pair.client)
    client.channels.create("_reliable")
    client.channels.create("_lossy", ordered=False, max_retransmits=0)
    await pair.connect()
    server.channels.start(LOCAL_SCTP_PORT, 65_535)
    client.channels.start(LOCAL_SCTP_PORT, 65_535)
    await server.until(lambda: len(server.opened) == 2)
    await client.until(lambda: len(client.opened) == 2)
    return server, client


async def close_pair(pair: DtlsPair, *sides: Inbox) -> None:
    for side in sides:
        await side.channels.close()
    await pair.close()


async def test_channels_that_the_client_opened_carry_messages_both_ways() -> None:
    pair = DtlsPair()
    server, client = await open_pair(pair)
    assert sorted(server.opened) == ["_lossy", "_reliable"]

    client.channels.send("_reliable", b"up")
    server.channels.send("_lossy", b"down")
    server.channels.send("_reliable", b"")

    await server.until(lambda: server.messages == [("_reliable", b"up")])
    await client.until(lambda: len(client.messages) == 2)
    assert sorted(client.messages) == [("_lossy", b"down"), ("_reliable", b"")]
    await close_pair(pair, server, client)


async def test_large_messages_arrive_whole_and_in_order_over_a_lossy_wire() -> None:
    count = 0

    def lose(datagram: bytes) -> bool:
        nonlocal count
        count += 1
        return datagram[0] == 23 and count % 50 == 0

    pair = DtlsPair(lose)
    server, client = await open_pair(pair)
    sent = [bytes([i]) * 60_000 for i in range(10)]
    for message in sent:
        client.channels.send("_reliable", message)
    assert client.channels.buffered_amount("_reliable") > 0

    await asyncio.wait_for(client.channels.drain("_reliable", 0), 30)
    await server.until(lambda: len(server.messages) == len(sent))

    assert [data for _, data in server.messages] == sent
    await close_pair(pair, server, client)


async def test_timers_of_a_loop_that_calls_what_is_due_at_once_are_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair = DtlsPair()
    server, client = Inbox(pair.server), Inbox(pair.client)
    client.channels.create("_reliable")
    await pair.connect()
    loop = asyncio.get_running_loop()
    # uvloop: a handle without a time for what is due already.
    monkeypatch.setattr(
        loop, "call_at", lambda _when, callback, *args, **_context: loop.call_soon(callback, *args)
    )
    server.channels.start(LOCAL_SCTP_PORT, 65_535)
    client.channels.start(LOCAL_SCTP_PORT, 65_535)
    for _ in range(2_000):
        if client.opened:
            break
        await asyncio.sleep(0)
    assert client.opened == ["_reliable"]
    monkeypatch.undo()
    await close_pair(pair, server, client)


async def test_what_is_held_back_stops_its_sender_and_comes_in_order() -> None:
    pair = DtlsPair()
    server, client = await open_pair(pair)
    server.channels.hold()
    sent = [number.to_bytes(4, "big") * 4_000 for number in range(300)]
    for message in sent:
        client.channels.send("_reliable", message)
    client.channels.send("_lossy", b"passes")
    await server.until(lambda: server.messages == [("_lossy", b"passes")])
    await asyncio.sleep(0.5)
    assert client.channels.buffered_amount("_reliable") > 2_000_000

    server.channels.release()

    await server.until(lambda: len(server.messages) == 1 + len(sent))
    assert [data for _, data in server.messages[1:]] == sent
    assert client.channels.buffered_amount("_reliable") == 0
    await close_pair(pair, server, client)


async def test_too_large_and_not_open_are_refused() -> None:
    pair = DtlsPair()
    server, client = await open_pair(pair)
    with pytest.raises(ProtocolError):
        client.channels.send("_reliable", bytes(64_001))
    with pytest.raises(ConnectionError):
        client.channels.send("_unknown", b"x")
    assert not client.channels.is_open("_unknown")
    await close_pair(pair, server, client)
    assert not client.channels.is_open("_reliable")


async def test_messages_too_large_are_dropped_and_counted_and_all_others_arrive() -> None:
    pair = DtlsPair()
    server, client = await open_pair(pair)
    client.channels._max_send_bytes = 1 << 30

    for label in ("_reliable", "_lossy"):
        client.channels.send(label, bytes(65_536))
        client.channels.send(label, bytes(3_000_000))
        client.channels.send(label, b"next")
    await server.until(lambda: len(server.messages) == 2)

    assert sorted(server.messages) == [("_lossy", b"next"), ("_reliable", b"next")]
    with structlog.testing.capture_logs() as entries:
        await close_pair(pair, server, client)
    assert [(entry["log_level"], entry["count"]) for entry in entries] == [("warning", 4)]


async def test_writing_to_a_peer_that_has_gone_is_quiet() -> None:
    pair = DtlsPair()
    server, client = await open_pair(pair)
    await pair.client.close()
    server.channels.send("_reliable", bytes(60_000))
    # Past the retransmission timer, which is what used to fail.
    await asyncio.sleep(2 * FIRST_RTO_S)
    server.channels.send("_reliable", b"more")
    await close_pair(pair, server, client)


async def test_sctp_that_arrives_before_the_start_is_kept() -> None:
    pair = DtlsPair()
    server, client = Inbox(pair.server), Inbox(pair.client)
    client.channels.create("_reliable")
    await pair.connect()
    client.channels.start(LOCAL_SCTP_PORT, 65_535)
    for _ in range(5):
        await asyncio.sleep(0)
    assert pair.server.transport.sink.early

    server.channels.start(LOCAL_SCTP_PORT, 65_535)

    await server.until(lambda: server.opened == ["_reliable"])
    await close_pair(pair, server, client)


async def test_sctp_that_comes_in_one_go_with_the_end_of_the_handshake_is_kept() -> None:
    held: list[bytes] = []
    is_holding = False

    def hold(datagram: bytes) -> bool:
        nonlocal is_holding
        # The server's last flight begins with a ChangeCipherSpec record (20).
        is_holding = is_holding or datagram[0] == 20
        if is_holding:
            held.append(datagram)
        return is_holding

    pair = DtlsPair()
    send = pair.server._wire.send
    pair.server._wire.send = lambda data: None if hold(data) else send(data)
    server, client = Inbox(pair.server), Inbox(pair.client)
    shaking = asyncio.ensure_future(
        pair.client.handshake([("sha-256", pair.server.local_fingerprint)])
    )
    await pair.server.handshake([("sha-256", pair.client.local_fingerprint)])
    server.channels.start(LOCAL_SCTP_PORT, 65_535)
    await asyncio.sleep(0)
    assert len(held) == 2

    for datagram in held:
        pair.client.feed(datagram)
    await shaking
    await asyncio.sleep(0)

    assert len(pair.client.transport.sink.early) == 1
    await close_pair(pair, server, client)


@pytest.mark.filterwarnings("ignore")
def test_a_peer_with_the_key_cannot_raise_through_feed() -> None:
    async def scenario() -> None:
        pair = DtlsPair()
        server, client = await open_pair(pair)

        @settings(max_examples=300, deadline=None)
        @given(st.binary(min_size=1, max_size=100), st.integers(0, 255))
        def attack(body: bytes, chunk_type: int) -> None:
            tag = server.channels._association.local_tag
            chunk = bytes([chunk_type, 0]) + (4 + len(body)).to_bytes(2, "big") + body
            packet = b"\x13\x88\x13\x88" + tag.to_bytes(4, "big") + bytes(4) + chunk
            checksum = crc32c(packet)
            packet = packet[:8] + checksum.to_bytes(4, "little") + packet[12:]
            ssl = pair.client.transport._ssl
            assert ssl is not None
            ssl.send(packet)
            pair.server.feed(ssl.bio_read(2000))

        with structlog.testing.capture_logs() as entries:
            attack()
        assert len(entries) <= 1  # a flood of them must not flood the log
        await close_pair(pair, server, client)

    asyncio.run(scenario())
