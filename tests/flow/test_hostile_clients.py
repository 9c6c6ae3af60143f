"""Clients that say what no SDK says: it costs them their own session at most."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from livekit.protocol import models, rtc
from structlog.testing import capture_logs

from app.protocol.token import VideoGrant, issue_token
from app.server.config import HostedRoom, ServerConfig
from app.server.service import SfuService
from tests.support.raw_signal import RawSignal
from tests.support.session_room import KEY, SECRET, eventually, token


@pytest.fixture
async def service() -> AsyncIterator[SfuService]:
    config = ServerConfig(
        keys={KEY: SECRET}, port=0, rtc_port=0, door=True, rooms=(HostedRoom("room"),)
    )
    service = SfuService(config)
    await service.start()
    yield service
    await service.stop()


def raw(service: SfuService, identity: str, **grant: Any) -> RawSignal:
    return RawSignal(service.url, token(identity, **grant))


def writers() -> int:
    """How many sockets are being written to."""
    return sum("signal-writer" in task.get_name() for task in asyncio.all_tasks())


def web_url(service: SfuService) -> str:
    return service.url.replace("ws://", "http://")


async def test_an_invented_reason_for_leaving_is_not_passed_on(service: SfuService) -> None:
    async with raw(service, "alice") as alice, raw(service, "mallory") as mallory:
        await mallory.send(leave=rtc.LeaveRequest(reason=999))  # type: ignore[arg-type]
        while True:
            info = (await alice.receive("update")).update.participants[0]
            if info.state == models.ParticipantInfo.DISCONNECTED:
                break
        assert info.disconnect_reason == models.DisconnectReason.CLIENT_INITIATED


async def test_tracks_without_end_are_refused_and_nobody_waits_for_them(
    service: SfuService,
) -> None:
    async with raw(service, "alice") as alice, raw(service, "mallory") as mallory:
        for number in range(3_000):
            request = rtc.AddTrackRequest(cid=f"c{number}", type=models.TrackType.VIDEO)
            await mallory.send(add_track=request)
        await alice.round_trip()
        refusal = (await mallory.receive("request_response")).request_response
        assert refusal.reason == rtc.RequestResponse.LIMIT_EXCEEDED
        room = service.rooms.find("room")
        assert room is not None
        hostile = room.by_identity("mallory")
        assert hostile is not None
        assert len(hostile.publisher.publications) == 64


async def test_settings_for_tracks_that_do_not_exist_are_not_kept_without_end(
    service: SfuService,
) -> None:
    async with raw(service, "mallory") as mallory:
        for number in range(40):
            sids = [f"TR_{number}_{i}" for i in range(1_000)]
            await mallory.send(track_setting=rtc.UpdateTrackSettings(track_sids=sids))
        await mallory.round_trip()
        room = service.rooms.find("room")
        assert room is not None
        hostile = room.by_identity("mallory")
        assert hostile is not None
        assert hostile.subscriber.remembered <= 1_000


async def test_a_burst_of_large_metadata_cuts_nobody_off(service: SfuService) -> None:
    async with raw(service, "alice") as alice, raw(service, "mallory") as mallory:

        async def burst() -> None:
            for number in range(40):
                text = str(number % 10) * 500_000
                await mallory.send(update_metadata=rtc.UpdateParticipantMetadata(metadata=text))

        async def read() -> None:
            while True:
                await mallory.receive("request_response")

        # Neither ends by itself: the server reads more slowly the more others have to hear.
        hostile = [asyncio.ensure_future(burst()), asyncio.ensure_future(read())]
        for _ in range(10):
            await alice.receive("update")
        await alice.round_trip()
        for task in hostile:
            task.cancel()
        await asyncio.gather(*hostile, return_exceptions=True)


async def test_people_with_a_lot_of_metadata_keep_nobody_out(service: SfuService) -> None:
    async with AsyncExitStack() as stack:
        for number in range(20):
            mallory = await stack.enter_async_context(raw(service, f"m{number}"))
            text = str(number % 10) * 500_000
            await mallory.send(update_metadata=rtc.UpdateParticipantMetadata(metadata=text))
            await mallory.receive("request_response")
            reading = asyncio.ensure_future(mallory.wait_closed())
            stack.callback(reading.cancel)
        async with raw(service, "alice") as alice:
            assert alice.joined.ByteSize() > 8 << 20
            await alice.round_trip()


async def test_simulated_speech_is_ended_by_one_timer_however_often_it_is_asked_for(
    service: SfuService,
) -> None:
    loop = asyncio.get_running_loop()
    before = len(loop._scheduled)  # type: ignore[attr-defined]  # asyncio's own
    async with raw(service, "mallory") as mallory:
        for _ in range(500):
            await mallory.send(simulate=rtc.SimulateScenario(speaker_update=60))
        await mallory.round_trip()
        running = [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        assert len(running) < before + 50


async def test_a_client_that_reads_nothing_is_let_go(service: SfuService) -> None:
    room_of = service.rooms.find
    async with raw(service, "alice") as alice:
        host, port = "127.0.0.1", service.port
        wrapped = "EgIKAA=="  # nothing but an empty client_info
        reader, writer = await asyncio.open_connection(host, port, limit=1)
        writer.write(
            f"GET /rtc/v1?join_request={wrapped} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {token('sleeper')}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own
        room = room_of("room")
        assert room is not None
        await eventually(lambda: room.by_identity("sleeper"))
        sleeper = room.by_identity("sleeper")
        assert sleeper is not None
        filler = rtc.SignalResponse(
            room_update=rtc.RoomUpdate(room=models.Room(metadata="x" * 1_000_000))
        )
        with capture_logs():
            for _ in range(12):
                sleeper.send(filler)
            await eventually(lambda: room.by_identity("sleeper") is None)
            await eventually(lambda: writers() == 1)
        await alice.round_trip()
        writer.close()
        del reader


async def test_garbage_costs_a_handful_of_lines_in_the_log(service: SfuService) -> None:
    with capture_logs() as lines:
        async with raw(service, "mallory") as mallory:
            for number in range(500):
                await mallory.socket.send_bytes(b"\xff" * (number % 50 + 1))
                await mallory.send(offer=rtc.SessionDescription(type="offer", sdp="v=1"))
            await mallory.round_trip()
        await eventually(lambda: not service.rooms.live["room"].participants)
    said = [line for line in lines if line["log_level"] == "warning"]
    assert len(said) == 6
    assert said[-1]["event"] == "malformed input dropped"
    assert said[-1]["count"] == 1_000
    assert "mallory" not in json.dumps(lines, default=str)


async def test_nobody_joins_a_server_that_is_stopping(service: SfuService) -> None:
    async with raw(service, "alice"):
        await service.rooms.close_all(drain_s=0)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with raw(service, "bob"):
                pass
        assert refused.value.status == 503
        assert not service.rooms.live


async def test_the_door_names_nobody_who_is_hidden(service: SfuService) -> None:
    url = f"{web_url(service)}/lanai/v1/rooms/room"
    async with (
        raw(service, "spy", hidden=True),
        raw(service, "alice"),
        aiohttp.request("GET", url) as response,
    ):
        assert len((await response.json())["people"]) == 1


@pytest.mark.parametrize("name", ["\\ud800", "a\\udfffb"])
async def test_half_a_character_is_no_name(service: SfuService, name: str) -> None:
    body = b'{"room": "room", "name": "' + name.encode() + b'"}'
    url = f"{web_url(service)}/lanai/v1/join"
    async with aiohttp.request("POST", url, data=body) as response:
        assert response.status == 400


async def test_a_token_with_half_a_character_is_refused_before_the_upgrade(
    service: SfuService,
) -> None:
    broken = issue_token(
        api_key=KEY,
        api_secret=SECRET,
        identity="a",
        name="\ud800",
        now_s=time.time(),
        grant=VideoGrant(room_join=True, room="elsewhere"),
    )
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with RawSignal(service.url, broken):
            pass
    assert refused.value.status == 401
    assert service.rooms.find("elsewhere") is None


async def test_more_than_an_update_may_set_cannot_be_brought_along(service: SfuService) -> None:
    join = rtc.JoinRequest(metadata="x" * 30_000)
    for number in range(1_000):
        join.participant_attributes[f"k{number}"] = "v" * 100
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with RawSignal(service.url, token("mallory"), join):
            pass
    assert refused.value.status == 400


async def test_a_compressed_body_is_not_inflated(service: SfuService) -> None:
    bomb = zlib.compress(bytes(50_000_000))
    async with aiohttp.request(
        "POST",
        f"{web_url(service)}/lanai/v1/join",
        data=bomb,
        headers={"Content-Encoding": "deflate"},
    ) as response:
        assert response.status == 400


async def test_a_track_without_a_codec_in_common_is_one_line_however_often_it_is_offered(
    service: SfuService,
) -> None:
    sdp = (
        "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:abcd\r\n"
        f"a=ice-pwd:{'p' * 24}\r\na=fingerprint:sha-256 {':'.join(['AA'] * 32)}\r\n"
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=sendonly\r\na=msid:- c1\r\n"
        "a=rtpmap:96 AV9/90000\r\n"
    )
    with capture_logs() as lines:
        async with raw(service, "mallory") as mallory:
            track = rtc.AddTrackRequest(cid="c1", type=models.TrackType.VIDEO)
            await mallory.send(add_track=track)
            for _ in range(20):
                await mallory.send(offer=rtc.SessionDescription(type="offer", sdp=sdp))
                await mallory.receive("answer")
    said = [line["event"] for line in lines if line["log_level"] == "warning"]
    assert said == ["no codec in common for a track"]
