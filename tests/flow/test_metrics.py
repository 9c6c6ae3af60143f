"""Metrics and health as somebody who watches a server reads them."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from livekit.protocol import models

from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner
from app.server.config import ServerConfig
from app.server.service import SfuService
from tests.support.metrics import scrape
from tests.support.raw_signal import RawSignal
from tests.support.session_room import KEY, SECRET, eventually, joined, serving, token


def configured(**options: object) -> ServerConfig:
    return ServerConfig(keys={KEY: SECRET}, port=0, rtc_port=0, **options)  # type: ignore[arg-type]


async def test_a_meeting_shows_in_the_numbers() -> None:
    service = SfuService(configured(prometheus_port=0))
    await service.start()
    try:
        async with aiohttp.ClientSession() as http:
            before = await scrape(service, http)
            assert before["livekit_room_total", frozenset()] == 0
            async with (
                joined(service.url, "alice") as (alice, _),
                joined(service.url, "bob") as (_, seen_by_bob),
            ):
                user = models.UserPacket(payload=b"hello", topic="t")
                await alice.send_data(models.DataPacket(user=user), reliable=True)
                await eventually(lambda: seen_by_bob.data)
                async with http.post(
                    service.url.replace("ws", "http", 1) + "/twirp/livekit.RoomService/ListRooms",
                    json={},
                ) as answer:
                    assert answer.status == 401
                now = await scrape(service, http)
                assert now["livekit_room_total", frozenset()] == 1
                assert now["livekit_participant_total", frozenset()] == 2
                assert now["lanai_participants_joined_total", frozenset()] == 2
                incoming = frozenset({("direction", "incoming")})
                assert now["livekit_packet_total", incoming] > 0
                assert now["livekit_packet_bytes", incoming] > 100
                assert now["lanai_signal_messages_total", incoming] >= 2
                outgoing = frozenset({("direction", "outgoing")})
                assert now["lanai_signal_messages_total", outgoing] >= 4
                for direction in ("incoming", "outgoing"):
                    labels = frozenset({("direction", direction), ("label", "_reliable")})
                    assert now["lanai_data_packets_total", labels] == 1
                refused = {
                    ("service", "RoomService"),
                    ("method", "ListRooms"),
                    ("status", "4xx"),
                    ("code", "unauthenticated"),
                }
                name = "livekit_node_twirp_request_status"
                assert now[name, frozenset(refused)] == 1
                assert now["process_resident_memory_bytes", frozenset()] > 1e7
    finally:
        await service.stop()


async def test_metrics_are_off_unless_wanted_and_may_want_a_password() -> None:
    async with serving() as service:
        assert service.metrics is None
    options = {"prometheus_port": 0, "prometheus_username": "u", "prometheus_password": "p"}
    service = SfuService(configured(**options))
    await service.start()
    try:
        assert service.metrics is not None
        url = f"http://127.0.0.1:{service.metrics.port}/metrics"
        async with aiohttp.ClientSession() as http:
            for auth, status in (
                ("", 401),
                ("Basic dTp3cm9uZw==", 401),
                ("Basic dTpw", 200),
            ):
                async with http.get(url, headers={"Authorization": auth}) as answer:
                    assert answer.status == status
    finally:
        await service.stop()


async def test_a_port_that_is_taken_is_said() -> None:
    first = SfuService(configured(prometheus_port=0))
    await first.start()
    try:
        assert first.metrics is not None
        with pytest.raises(WorldError) as raised:
            await SfuService(configured(prometheus_port=first.metrics.port)).start()
    finally:
        await first.stop()
    assert raised.value.reason is Reason.PORT_TAKEN


async def test_a_server_that_stops_says_so_to_who_asks_for_its_health() -> None:
    owner = TaskOwner("test")
    async with serving() as service, aiohttp.ClientSession() as http:
        url = service.url.replace("ws", "http", 1)
        async with RawSignal(service.url, token("alice")), http.get(url) as answer:
            assert (answer.status, await answer.text()) == (200, "OK")
            # Somebody is still to be sent away: the port answers meanwhile.
            stopping = owner.spawn(service.stop(), name="stop")
            await asyncio.sleep(0)
            async with http.get(url) as answer:
                assert answer.status == 406
        await stopping
