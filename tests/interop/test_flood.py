"""A peer that sends 5,000 packets a second to a room in which official SDKs talk.

How long a round trip takes meanwhile, and how much sound is made up, is measured by
`tests.bench.data.flood`. Here is what holds on any machine: who floods waits or loses its own
packets, every one of them counted, nothing piles up, and the others' data arrives, in order.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from structlog.testing import capture_logs

from app.server.config import ServerConfig
from app.server.room.data_flow import HIGH_BYTES
from app.server.room.data_router import LOSSY, RELIABLE
from app.server.service import SfuService
from tests.support.metrics import reading, scrape
from tests.support.sdk_peer import OURS, SdkPeer
from tests.support.session_room import KEY, SECRET, token

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("network")]

PER_SECOND = 5_000
ROUND_TRIPS = 100
# Of reliable ones each arrives, at the server's pace: so many that this takes some seconds.
MOST = {LOSSY: 1_000_000, RELIABLE: 2_000}
# What a channel holds for its reader: a lossy one a quarter of a megabyte.
MOST_BYTES = {LOSSY: 300_000, RELIABLE: HIGH_BYTES + 100_000}


class Watch:
    """The most that has waited for anybody in the server."""

    def __init__(self, service: SfuService) -> None:
        self._service = service
        self.most = dict.fromkeys(MOST_BYTES, 0)

    async def run(self) -> None:
        while True:
            for room in self._service.rooms.live.values():
                for person in room.participants.values():
                    for label, most in self.most.items():
                        self.most[label] = max(most, person.transport.data_buffered(label))
            await asyncio.sleep(0.01)


@asynccontextmanager
async def watched() -> AsyncIterator[SfuService]:
    config = ServerConfig(keys={KEY: SECRET}, port=0, rtc_port=0, prometheus_port=0)
    service = SfuService(config)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


def numbers(events: list[dict[str, str]]) -> list[int]:
    return [int(base64.b64decode(e["data"])) for e in events if e.get("topic") == "flood"]


@pytest.mark.parametrize("label", [LOSSY, RELIABLE])
async def test_a_flood_costs_its_sender_and_the_others_are_served(
    alice: SdkPeer, bob: SdkPeer, label: str
) -> None:
    with capture_logs() as entries:
        async with (
            watched() as service,
            SdkPeer("flooder", module=OURS) as flooder,
            aiohttp.ClientSession() as http,
        ):
            for peer in (alice, bob, flooder):
                await peer.connect(service.url, token(peer.identity))
            sid = await alice.call("publish_tone", freq_hz=440.0)
            await bob.wait_media("tone", sid=sid, freq_hz=440.0)
            await alice.call("echo")
            watch = Watch(service)
            watching = asyncio.ensure_future(watch.run())

            is_reliable = label == RELIABLE
            await flooder.call(
                "start_flood", per_second=PER_SECOND, reliable=is_reliable, most=MOST[label]
            )
            await bob.wait_event("data_received", topic="flood")
            trips = await bob.call("ping_peer", count=ROUND_TRIPS, deadline_s=60)
            sent = await flooder.call("stop_flood", deadline_s=60)
            await bob.wait_event("data_received", topic="flood-end")
            watching.cancel()

            assert len(trips) == ROUND_TRIPS
            arrived = numbers(await bob.call("events"))
            now = await scrape(service, http)
            incoming = reading(now, "lanai_data_packets_total", label=label, direction="incoming")
            dropped = reading(now, "lanai_data_packets_dropped_total")
            person = service.rooms.live["room"].by_identity("flooder")
            assert person is not None
            if is_reliable:
                # Not one is lost; the sender waits.
                assert arrived == list(range(sent))
                assert (dropped, person.data_flow.dropped) == (0, 0)
            else:
                outgoing = reading(
                    now, "lanai_data_packets_total", label=label, direction="outgoing"
                )
                assert arrived == sorted(set(arrived))
                assert 0 < dropped == person.data_flow.dropped
                # To two others each that was passed on; no packet is unaccounted for.
                assert incoming == outgoing / 2 + dropped
                assert len(arrived) <= incoming - dropped < incoming <= sent
            for each, most in watch.most.items():
                assert most < MOST_BYTES[each], watch.most
            await bob.wait_media("tone", sid=sid, freq_hz=440.0)
            gone = {"disconnected", "reconnecting", "track_unsubscribed"}
            for peer in (alice, bob):
                assert not [e for e in await peer.call("events") if e["event"] in gone]
    warned = {entry["event"] for entry in entries if entry["log_level"] in ("warning", "error")}
    assert warned <= {"data over budget dropped"}
    assert bool(warned) != (label == RELIABLE)
