"""Reports reach a receiver signed and in order; a bad receiver harms nobody."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from livekit.protocol import agent, agent_dispatch, models, rtc
from structlog.testing import capture_logs

from app.protocol.token import VideoGrant, issue_token, verify_claims
from app.server.api import webhook_delivery
from app.server.api.webhook_delivery import MAX_CONNECTIONS
from app.server.config import ServerConfig
from app.server.room.moving import move_participant
from app.server.service import SfuService
from tests.support.raw_signal import RawSignal
from tests.support.raw_worker import RawWorker
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
async def reporting_to(url: str, **options: Any) -> AsyncIterator[SfuService]:
    settings: dict[str, Any] = {"webhooks": (f"{url}/hook",), **options}
    config = ServerConfig(
        keys={KEY: SECRET, "second": "another-secret-of-32-characters!"},
        port=0,
        rtc_port=0,
        **settings,
    )
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


async def test_an_agents_job_is_reported_from_its_start_to_its_end() -> None:
    events: list[dict[str, Any]] = []

    async def receive(request: web.Request) -> web.Response:
        events.append(json.loads(await request.read()))
        return web.Response()

    def of_jobs() -> list[dict[str, Any]]:
        return [event for event in events if event["event"].startswith("agent_job")]

    grant = VideoGrant(agent=True)
    far_token = issue_token(
        api_key=KEY, api_secret=SECRET, identity="", now_s=time.time(), grant=grant
    )
    async with receiving(receive) as url, reporting_to(url) as service:
        async with RawWorker(service.url, far_token) as far:
            await far.register()
            async with RawSignal(service.url, token("ada")):
                first = (await far.take()).job
                await eventually(of_jobs)
                done = agent.UpdateJobStatus(job_id=first.id, status=agent.JobStatus.JS_SUCCESS)
                await far.send(update_job=done)
                await eventually(lambda: len(of_jobs()) == 2)
                service.rooms.live["room"].agents.dispatch(
                    agent_name="",
                    metadata="",
                    restart_policy=agent_dispatch.JobRestartPolicy.JRP_NEVER,
                    deployment="",
                    attributes={},
                )
                second = (await far.take()).job
                await eventually(lambda: len(of_jobs()) == 3)
                service.rooms.close_room("room", 5)
        await eventually(lambda: events[-1]["event"] == "room_finished")
    told = [(event["event"], event["job"]["id"]) for event in of_jobs()]
    assert told == [
        ("agent_job_started", first.id),
        ("agent_job_ended", first.id),
        ("agent_job_started", second.id),
        ("agent_job_ended", second.id),
    ]
    assert {event["job"]["state"]["status"] for event in of_jobs()[1::2]} == {"JS_SUCCESS"}


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
        move_participant(mover, room, side)
        await eventually(lambda: len(events.get("room", ())) == 4)
        await eventually(lambda: len(events.get("side", ())) == 2)
    assert events["room"][:4] == [
        "room_started",
        "track_published",
        "track_unpublished",
        "participant_connection_aborted",
    ]
    assert events["side"][:2] == ["room_started", "track_published"]


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come after hundredths of the seconds they take."""
    monkeypatch.setattr(webhook_delivery, "RETRY_WAITS_S", (0.01, 0.02, 0.04, 0.08))


async def test_what_failed_is_tried_again_with_the_same_id_and_holds_back_the_rest(
    hurry: None,
) -> None:
    seen: list[tuple[str, str]] = []

    async def stumble(request: web.Request) -> web.Response:
        event = json.loads(await request.read())
        seen.append((event["event"], event["id"]))
        return web.Response(status=503 if len(seen) <= 2 else 200)

    with capture_logs() as lines:
        async with receiving(stumble) as url, reporting_to(url) as service:
            await come_and_go(service)
            await eventually(lambda: len(seen) >= 4)
            counts = service.webhooks.counts
            assert (counts.retried, counts.failed, counts.dropped) == (2, 0, 0)
    names = [name for name, _ in seen[:4]]
    assert names == ["room_started"] * 3 + ["participant_connection_aborted"]
    assert len({event_id for _, event_id in seen[:3]}) == 1
    tried = [line for line in lines if line["event"] == "webhook refused"]
    assert [(line["why"], line["again_in_s"]) for line in tried] == [(503, 0.01), (503, 0.02)]


async def test_a_refusal_is_final_and_the_next_report_comes(hurry: None) -> None:
    seen: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        seen.append(json.loads(await request.read())["event"])
        return web.Response(status=404)

    with capture_logs():
        async with receiving(refuse) as url, reporting_to(url) as service:
            await come_and_go(service)
            await eventually(lambda: service.webhooks.counts.failed >= 2)
    assert seen[:2] == ["room_started", "participant_connection_aborted"]


async def test_after_the_last_attempt_it_is_lost_and_counted(hurry: None) -> None:
    tries = 0

    async def fail(_request: web.Request) -> web.Response:
        nonlocal tries
        tries += 1
        return web.Response(status=500)

    with capture_logs():
        async with receiving(fail) as url, reporting_to(url) as service:
            await come_and_go(service)
            await eventually(lambda: service.webhooks.counts.failed >= 1)
            assert tries >= 5


async def test_what_waited_too_long_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    answer = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        seen.append(json.loads(await request.read())["event"])
        await answer.wait()
        return web.Response()

    with capture_logs() as lines:
        async with receiving(slow) as url, reporting_to(url) as service:
            await come_and_go(service)
            await eventually(lambda: seen and service.webhooks.waiting >= 2)
            # From now on, everything that waits has waited too long.
            monkeypatch.setattr(webhook_delivery, "MAX_AGE_S", -1.0)
            answer.set()
            await eventually(lambda: service.webhooks.counts.dropped >= 1)
    assert seen == ["room_started"]
    assert {line["reason"] for line in lines if line["event"] == "webhook dropped"} == {
        "waited too long"
    }


async def test_one_room_never_blocks_another(hurry: None) -> None:
    told: set[str] = set()

    async def half(request: web.Request) -> web.Response:
        room = json.loads(await request.read())["room"]["name"]
        if room == "stuck":
            await asyncio.sleep(3600)
        told.add(room)
        return web.Response()

    with capture_logs():
        async with receiving(half) as url, reporting_to(url) as service:
            for room in ("stuck", "free"):
                async with RawSignal(service.url, token("alice", room=room)) as client:
                    await client.send(leave=rtc.LeaveRequest())
            await eventually(lambda: "free" in told)
    assert told == {"free"}


async def test_a_receiver_that_hangs_keeps_nothing_from_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook_delivery, "ATTEMPT_TIMEOUT_S", 3_600.0)
    waiting, told = 0, set()

    async def hang(_request: web.Request) -> web.Response:
        nonlocal waiting
        waiting += 1
        await asyncio.sleep(3600)
        raise AssertionError

    async def receive(request: web.Request) -> web.Response:
        told.add(json.loads(await request.read())["room"]["name"])
        return web.Response()

    with capture_logs():
        async with receiving(hang) as bad, receiving(receive) as good:
            options = {"webhooks": (f"{bad}/hook", f"{good}/hook")}
            async with reporting_to(bad, **options) as service:
                names = {f"room-{number}" for number in range(MAX_CONNECTIONS)}
                for name in names:
                    service.rooms.get_or_create(name)
                await eventually(lambda: waiting == MAX_CONNECTIONS)
                told.clear()
                for name in names:
                    service.rooms.close_room(name, 5)
                await eventually(lambda: told >= names)


async def test_only_wanted_events_are_sent_and_the_chosen_key_signs() -> None:
    seen: list[tuple[str, str]] = []

    async def receive(request: web.Request) -> web.Response:
        claims = verify_claims(
            request.headers["Authorization"],
            {"second": "another-secret-of-32-characters!"},
            now_s=time.time(),
        )
        seen.append((json.loads(await request.read())["event"], claims["iss"]))
        return web.Response()

    options = {"webhook_api_key": "second", "webhook_exclude": ("room_started",)}
    async with receiving(receive) as url, reporting_to(url, **options) as service:
        await come_and_go(service)
        await eventually(lambda: len(seen) >= 1)
        service.rooms.close_room("room", 5)
        await eventually(lambda: len(seen) >= 2)
    assert seen == [("participant_connection_aborted", "second"), ("room_finished", "second")]
