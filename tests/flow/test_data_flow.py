"""A slow reader and a flood, through the real server: nothing reliable is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import pytest
import structlog
from livekit.protocol import models as lk_models

from app.engine.session import Session
from app.server.room.data_flow import BURST, HIGH_BYTES, RATE
from app.server.room.data_router import LOSSY, RELIABLE
from tests.flow.test_session_bad_network import media_through
from tests.support.link import PERFECT
from tests.support.session_room import Witness, eventually, joined, serving

BULK_BYTES = 15_000


def packet(content: bytes, *to: str) -> lk_models.DataPacket:
    return lk_models.DataPacket(
        user=lk_models.UserPacket(payload=content), destination_identities=to
    )


async def send_bulk(session: Session, count: int, *to: str) -> None:
    for number in range(count):
        content = number.to_bytes(4, "big") + bytes(BULK_BYTES - 4)
        await session.send_data(packet(content, *to), reliable=True)


def numbers(data: list[tuple[lk_models.DataPacket, bool]]) -> list[int]:
    return [int.from_bytes(item.user.payload[:4], "big") for item, _ in data]


def has(witness: Witness, count: int) -> bool:
    return len(witness.data) == count


async def test_a_slow_reader_makes_its_sender_wait_and_gets_everything_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = replace(PERFECT, rate_bps=16_000_000, queue_s=0.1)
    async with (
        serving() as server,
        joined(server.url, "ada") as (ada, _),
        media_through(monkeypatch, server.rtc_port, PERFECT, slow),
        joined(server.url, "bob") as (_, bob),
    ):
        reader = server.rooms.live["room"].by_identity("bob")
        assert reader is not None
        await eventually(lambda: reader.transport._channels.is_open(RELIABLE))
        most, was_congested = 0, False
        sending = asyncio.ensure_future(send_bulk(ada, 500))

        def is_done() -> bool:
            nonlocal most, was_congested
            most = max(most, reader.transport.data_buffered(RELIABLE))
            was_congested = was_congested or reader.data_flow.is_congested
            return len(bob.data) >= 500

        await eventually(is_done)
        await sending

        assert numbers(bob.data) == list(range(500))
        assert was_congested
        assert most < HIGH_BYTES + 100_000


async def test_a_flood_is_cut_down_and_others_are_served_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Server and clients share one loop here, which has no time for a flood of the real size.
    for label in (LOSSY, RELIABLE):
        monkeypatch.setitem(RATE, label, 200.0)
        monkeypatch.setitem(BURST, label, 50.0)
    async with (
        serving() as server,
        joined(server.url, "flooder") as (flooder, _),
        joined(server.url, "victim") as (_, victim),
        joined(server.url, "ada") as (ada, at_ada),
        joined(server.url, "bob") as (bob, at_bob),
    ):
        is_over = False

        async def flood() -> int:
            sent = 0
            while not is_over:
                for _ in range(20):
                    await flooder.send_data(packet(b"lossy", "victim"), reliable=False)
                    await flooder.send_data(packet(b"reliable", "victim"), reliable=True)
                    sent += 1
                await asyncio.sleep(0.02)
            return sent

        flooding = asyncio.ensure_future(flood())
        # Not before the flood is over its budget.
        person = server.rooms.live["room"].by_identity("flooder")
        assert person is not None
        await eventually(lambda: person.data_flow.dropped > 0)
        for number in range(30):
            await ada.send_data(packet(number.to_bytes(4, "big"), "bob"), reliable=True)
            await eventually(partial(has, at_bob, number + 1))
            await bob.send_data(packet(number.to_bytes(4, "big"), "ada"), reliable=True)
            await eventually(partial(has, at_ada, number + 1))
        is_over = True
        sent = await flooding
        await eventually(lambda: sum(reliable for _, reliable in victim.data) == sent)

        assert numbers(at_bob.data) == numbers(at_ada.data) == list(range(30))
        assert len(victim.data) < 2 * sent
        assert server._tally.data_dropped == person.data_flow.dropped
        with structlog.testing.capture_logs() as entries:
            await flooder.close()
            await eventually(lambda: len(server.rooms.live["room"].participants) == 3)
        assert "data over budget dropped" in [entry["event"] for entry in entries]
