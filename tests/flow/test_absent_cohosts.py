"""A co-host who left and holds a token that is good for hours: a host takes the role back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import aiohttp

from app.engine.client import JoinSpec
from app.engine.events import Helper, HelpersAwayChanged, PersonChanged, PersonLeft, Role
from app.host.keys import KeyPair
from app.host.tokens import invitation
from app.protocol.token import peek_claims
from app.server.service import SfuService
from tests.support.door_client import ROOM, DoorClient, hosting, token_as
from tests.support.meeting import attending, guest_link, host_spec, hosted
from tests.support.raw_signal import RawSignal
from tests.support.session_room import KEY, SECRET

HOST = token_as("host", "ada")
COHOST = token_as("cohost", "cleo")
QUIET: dict[str, Any] = {"mic_on": False, "camera_on": False}


async def listing(service: SfuService, held: str) -> int:
    url = service.url.replace("ws", "http", 1) + "/twirp/livekit.RoomService/ListParticipants"
    headers = {"Authorization": f"Bearer {held}"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, json={"room": ROOM}, headers=headers) as answer,
    ):
        return answer.status


async def test_a_cohost_who_left_has_no_rights_once_demoted_over_a_crash_too(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state.json"
    async with hosting(state) as (service, door), RawSignal(service.url, HOST):
        for held in (COHOST, token_as("cohost", "dan")):
            async with RawSignal(service.url, held):
                pass
            assert await listing(service, held) == 200
        assert await door.set_role(HOST, "cleo", "guest") == (
            200,
            {"identity": "cleo", "role": "guest"},
        )
        crashed = state.read_bytes()
        assert await listing(service, COHOST) == 401
        assert (await door.patch(COHOST, lobby=True))[0] == 403
        async with RawSignal(service.url, COHOST) as back:
            assert back.joined.participant.attributes["lanai.role"] == "guest"
        # Who has none, or was never here, has none to lose.
        assert (await door.set_role(HOST, "cleo", "guest"))[0] == 404
        assert (await door.set_role(HOST, "nobody", "cohost"))[0] == 404
    state.write_bytes(crashed)
    async with hosting(state) as (service, door), RawSignal(service.url, HOST):
        assert await listing(service, COHOST) == 401
        # What is known of the others outlives it as well.
        assert (await door.set_role(HOST, "dan", "guest"))[0] == 200
        assert await listing(service, token_as("cohost", "dan")) == 401


async def test_with_the_role_of_who_left_goes_what_the_link_gives() -> None:
    link = invitation(KeyPair(KEY, SECRET), room=ROOM, now_s=time.time(), role="cohost")
    async with hosting(lobby=True) as (service, door), RawSignal(service.url, HOST):
        held = (await door.knock("Cleo", invite=link))[1]["participant_token"]
        async with RawSignal(service.url, held):
            pass
        assert (await door.set_role(HOST, peek_claims(held)["sub"], "guest"))[0] == 200
        assert (await door.knock("Somebody", invite=link))[0] == 202


async def test_only_hosts_take_a_hosts_role_and_never_the_last_one() -> None:
    second, cohost = token_as("host", "eve"), token_as("cohost", "cleo")
    async with hosting() as (service, door):
        async with RawSignal(service.url, second), RawSignal(service.url, cohost):
            async with RawSignal(service.url, HOST):
                pass
            await _left(door, second)
            assert (await door.set_role(cohost, "ada", "guest"))[0] == 403
            assert (await door.set_role(second, "ada", "guest"))[0] == 200
        async with RawSignal(service.url, cohost):
            # By the token alone, from outside: then nobody would be left who could end it.
            assert (await door.set_role(second, "eve", "guest"))[0] == 409


async def _left(door: DoorClient, held: str) -> None:
    """Return once the host who left is known as absent: a role for nobody changes nothing."""
    status, _ = await door.set_role(held, "ada", "host")
    assert status == 200


async def test_hosts_are_told_who_is_away_and_what_became_of_it(tmp_path: Path) -> None:
    async with hosted(tmp_path) as (_, room), attending(tmp_path) as host:
        await host.join(host_spec(room, **QUIET))
        async with attending(tmp_path, 1) as guest:
            me = await guest.join(JoinSpec("Bo", guest_link(room), **QUIET))
            await host.engine.set_role(me.identity, Role.COHOST)
            await guest.wait(PersonChanged, lambda e: e.person.role is Role.COHOST)
            assert not host.all(HelpersAwayChanged)
            await guest.engine.leave()
            await host.wait(PersonLeft)
            told = await host.wait(HelpersAwayChanged)
            await host.engine.set_role(me.identity, Role.GUEST)
            await host.wait(HelpersAwayChanged, lambda e: not e.helpers)
            assert not guest.all(HelpersAwayChanged)
    assert told.helpers == (Helper(me.identity, "Bo", Role.COHOST),)
