"""What somebody who was sent away can do in a room without a lobby, having started the app anew."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from app.host.keys import KeyPair
from app.host.tokens import invitation
from app.protocol.token import peek_claims
from app.server.service import SfuService
from tests.support.door_client import ROOM, DoorClient, hosting, token_as
from tests.support.raw_signal import RawSignal
from tests.support.session_room import KEY, SECRET

HOST = token_as("host", "ada")
ANOTHER_MACHINE = "127.0.0.2"


async def send_away(service: SfuService, held: str) -> None:
    url = service.url.replace("ws", "http", 1) + "/twirp/livekit.RoomService/RemoveParticipant"
    wish = {"room": ROOM, "identity": peek_claims(held)["sub"]}
    headers = {"Authorization": f"Bearer {HOST}"}
    async with (
        RawSignal(service.url, held),
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
