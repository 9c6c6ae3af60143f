"""Reports reach a receiver signed and in order; a bad receiver harms nobody."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from livekit.protocol import models, rtc
from structlog.testing import capture_logs

from app.protocol.token import verify_claims
from app.server.config import ServerConfig
from app.server.room import moderation
from app.server.service import SfuService
from tests.support.raw_signal import RawSignal
from tests.support.session_room import KEY, SECRET, eventually, token

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def receiving(handler: Handler) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@asynccontextmanager
async def reporting_to(url: str) -> AsyncIterator[SfuService]:
    config = ServerConfig(keys={KEY: SECRET}, port=0, rtc_port=0, webhooks=(f"{url}/hook",))
    service = SfuService(config)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


async def come_and_go(service: SfuService, identity: str = "alice") -> None:
    async with RawSignal(service.url, token(identity)) as client:
        await client.send(leave=rtc.LeaveRequest())


async def test_reports_are_signed_and_in_order() -> None:
    events: list[str] = []

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        claims = verify_claims(request.headers["Authorization"], {KEY: SECRET}, now_s=time.time())
        assert claims["sha256"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
        assert "video" not in claims
        # A slow receiver must not be overtaken by the next report.
        await asyncio.sleep(0.01 if len(events) % 2 else 0)
        events.append(json.loads(body)["event"])
        return web.Response()

    async with receiving(receive) as url, reporting_to(url) as service:
        await come_and_go(service)
        await eventually(lambda: len(events) >= 2)
        service.rooms.close_room("room", 5)
        await eventually(lambda: len(events) >= 3)
    assert events == ["room_started", "participant_connection_aborted", "room_finished"]


async def test_a_receiver_that_hangs_slows_nobody() -> None:
    waiting = 0

    async def hang(_request: web.Request) -> web.Response:
        nonlocal waiting
        waiting += 1
        await asyncio.sleep(3600)
        raise AssertionError

    with capture_logs():
        async with receiving(hang) as url, reporting_to(url) as service:
            for number in range(150):
                await come_and_go(service, f"p{number}")
            assert waiting < 10
            # 200 wait at most: the rest is dropped, not kept.
            async with RawSignal(service.url, token("bob")) as bob:
                await bob.round_trip()


async def test_a_redirect_is_not_followed() -> None:
    paths: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        paths.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    with capture_logs():
        async with receiving(redirect) as url, reporting_to(url) as service:
            await come_and_go(service)
            await eventually(lambda: len(paths) >= 2)
    assert set(paths) == {"/hook"}


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ftp://x", "nonsense", "http://[::"])
async def test_an_address_that_leads_nowhere_is_a_warning(url: str) -> None:
    with capture_logs() as lines:
        async with reporting_to(url) as service:
            await come_and_go(service)
            await come_and_go(service, "bob")
            await eventually(
                lambda: sum(line["event"] == "webhook not delivered" for line in lines) >= 3
            )
    assert not [line for line in lines if line["log_level"] == "error"]


async def test_who_moves_leaves_one_room_in_the_reports_and_is_published_in_the_other() -> None:
    events: dict[str, list[str]] = {}

    async def receive(request: web.Request) -> web.Response:
        event = json.loads(await request.read())
        events.setdefault(event["room"]["name"], []).append(event["event"])
        return web.Response()

    async with (
        receiving(receive) as url,
        reporting_to(url) as service,
        RawSignal(service.url, token("alice")) as alice,
    ):
        track = rtc.AddTrackRequest(cid="c1", type=models.TrackType.AUDIO, muted=True)
        await alice.send(add_track=track)
        sid = (await alice.receive("track_published")).track_published.track.sid
        room, side = service.rooms.live["room"], service.rooms.get_or_create("side")
        mover = room.by_identity("alice")
        assert mover is not None
        mover._announce(mover.publisher.publications[sid])
        moderation.move_participant(mover, room, side)
        await eventually(lambda: len(events.get("room", ())) == 4)
        await eventually(lambda: len(events.get("side", ())) == 2)
    assert events["room"][:4] == [
        "room_started",
        "track_published",
        "track_unpublished",
        "participant_connection_aborted",
    ]
    assert events["side"][:2] == ["room_started", "track_published"]
