"""What somebody who was sent away can do in a room without a lobby, having started the app anew."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from app.engine.client import JoinSpec
from app.engine.events import EndCause, JoinProgressed, JoinStage, KnockArrived, MeetingEnded
from app.host.keys import KeyPair
from app.host.tokens import invitation
from app.protocol.token import peek_claims
from app.server.config import ServerConfig
from app.server.service import SfuService
from tests.support.door_client import ROOM, DoorClient, hosting, token_as
from tests.support.meeting import attending, guest_link, host_spec, hosted
from tests.support.raw_signal import RawSignal
from tests.support.session_room import KEY, SECRET

HOST = token_as("host", "ada")
ANOTHER_MACHINE = "127.0.0.2"


async def send_away(service: SfuService, held: str) -> None:
    async with RawSignal(service.url, held):
        await remove(service, peek_claims(held)["sub"])


async def remove(service: SfuService, identity: str) -> None:
    url = service.url.replace("ws", "http", 1) + "/twirp/livekit.RoomService/RemoveParticipant"
    wish = {"room": ROOM, "identity": identity}
    headers = {"Authorization": f"Bearer {HOST}"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, json=wish, headers=headers) as answer,
    ):
        assert answer.status == 200


@asynccontextmanager
async def elsewhere(service: SfuService) -> AsyncIterator[DoorClient]:
    """The door, seen from another machine."""
    connector = aiohttp.TCPConnector(local_addr=(ANOTHER_MACHINE, 0))
    async with aiohttp.ClientSession(connector=connector) as http:
        yield DoorClient(service.url.replace("ws", "http", 1), http)


async def test_who_was_sent_away_has_to_knock_as_a_stranger_too_until_let_in() -> None:
    link = invitation(KeyPair(KEY, SECRET), room=ROOM, now_s=time.time())
    async with hosting() as (service, door), RawSignal(service.url, HOST):
        _, admission = await door.knock("Bo", invite=link)
        _, colleague = await door.knock("Cleo", invite=link)
        await send_away(service, admission["participant_token"])

        # A restarted app has the old link and nothing else.
        status, waiting = await door.knock("Bo", invite=link)
        assert status == 202
        assert [knock["name"] for knock in await door.knocks(HOST)] == ["Bo"]
        again = {"invite": link, "knock_id": waiting["knock_id"]}
        assert (await door.knock("Bo", **again))[0] == 202
        # Others are not asked: who belongs, who comes from elsewhere.
        held = colleague["participant_token"]
        assert (await door.knock("Cleo", token=held))[0] == 200
        async with elsewhere(service) as other_door:
            assert (await other_door.knock("Dan", invite=link))[0] == 200

        assert await door.answer(HOST, waiting["knock_id"], admit=True) == 200
        status, back = await door.knock("Bo", **again)
        assert (status, back["role"]) == (200, "guest")
        async with RawSignal(service.url, back["participant_token"]):
            pass
        assert (await door.knock("Eve", invite=link))[0] == 200


async def test_who_is_denied_stays_out_and_a_cohosts_link_is_not_asked_about() -> None:
    link = invitation(KeyPair(KEY, SECRET), room=ROOM, now_s=time.time(), role="cohost")
    async with hosting() as (service, door), RawSignal(service.url, HOST):
        _, admission = await door.knock("Bo")
        await send_away(service, admission["participant_token"])
        _, waiting = await door.knock("Bo")
        assert await door.answer(HOST, waiting["knock_id"], admit=False) == 200
        assert (await door.knock("Bo", knock_id=waiting["knock_id"])) == (403, {"error": "denied"})
        assert (await door.knock("Bo"))[0] == 202
        assert (await door.knock("Cleo", invite=link))[1]["role"] == "cohost"


async def test_the_first_in_a_room_that_nobody_configured_is_recognised_too() -> None:
    config = ServerConfig(keys={KEY: SECRET}, port=0, rtc_port=0, door=True)
    service = SfuService(config)
    await service.start()
    try:
        async with aiohttp.ClientSession() as http, contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(RawSignal(service.url, token_as("guest", "bo")))
            await stack.enter_async_context(RawSignal(service.url, HOST))
            door = DoorClient(service.url.replace("ws", "http", 1), http)
            assert (await door.knock("Cleo"))[0] == 200
            await remove(service, "bo")
            assert (await door.knock("Bo"))[0] == 202
    finally:
        await service.stop()


async def test_a_restarted_app_waits_for_the_host_where_there_is_no_lobby(tmp_path: Path) -> None:
    quiet: dict[str, Any] = {"mic_on": False, "camera_on": False}
    async with hosted(tmp_path) as (_, room), attending(tmp_path) as host:
        await host.join(host_spec(room, **quiet))
        spec = JoinSpec("Bo", guest_link(room), **quiet)
        async with attending(tmp_path, 1) as guest:
            me = await guest.join(spec)
            await host.engine.remove_person(me.identity)
            ended = await guest.wait(MeetingEnded)
        async with attending(tmp_path, 2) as restarted:
            entering = asyncio.get_running_loop().create_task(restarted.join(spec))
            knock = (await host.wait(KnockArrived)).knock
            assert restarted.all(JoinProgressed)[-1].stage is JoinStage.IN_LOBBY
            await host.engine.answer_knock(knock.id, admit=True)
            await entering
    assert ended.cause is EndCause.REMOVED
    assert knock.name == "Bo"


async def test_a_crash_opens_the_door_to_nobody_and_the_end_of_the_meeting_does(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state.json"
    async with hosting(state) as (service, door), RawSignal(service.url, HOST):
        _, admission = await door.knock("Bo")
        await send_away(service, admission["participant_token"])
        crashed = state.read_bytes()
    state.write_bytes(crashed)
    async with hosting(state) as (service, door):
        assert (await door.knock("Bo"))[0] == 202
        async with RawSignal(service.url, HOST), aiohttp.ClientSession() as http:
            url = service.url.replace("ws", "http", 1) + "/twirp/livekit.RoomService/DeleteRoom"
            headers = {"Authorization": f"Bearer {HOST}"}
            async with http.post(url, json={"room": ROOM}, headers=headers) as answer:
                assert answer.status == 200
        # Addresses are given to others; the token that was taken back is not good again.
        assert (await door.knock("Bo"))[0] == 200
        held = admission["participant_token"]
        assert (await door.knock("Bo", token=held))[0] == 202
