"""What the rights of a host's people are worth: in their own room, now, and nowhere else."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from livekit.protocol import models

from app.host.keys import KeyPair
from app.host.tokens import invitation
from app.protocol.token import peek_claims, sign_claims
from app.server.config import HostedRoom, ServerConfig
from app.server.service import SfuService
from tests.support.door_client import ROOM, DoorClient, hosting, token_as
from tests.support.management import Api
from tests.support.raw_signal import RawSignal
from tests.support.session_room import KEY, SECRET, serving, token

HOST = token_as("host", "ada")
COHOST = token_as("cohost", "cleo")


class Twirp:
    """The server API with somebody's own token."""

    def __init__(self, service: SfuService, http: aiohttp.ClientSession) -> None:
        self._url = service.url.replace("ws", "http", 1) + "/twirp/livekit.RoomService/"
        self._http = http

    async def call(self, held: str, method: str, **wish: Any) -> tuple[int, str]:
        """Return status and error code."""
        headers = {"Authorization": f"Bearer {held}"}
        async with self._http.post(self._url + method, json=wish, headers=headers) as answer:
            return answer.status, (await answer.json()).get("code", "")


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def remove(twirp: Twirp, held: str, identity: str) -> tuple[int, str]:
    return await twirp.call(held, "RemoveParticipant", room=ROOM, identity=identity)


async def status_at_the_socket(url: str, held: str) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with RawSignal(url, held):
            pass
    return refused.value.status


async def admit_again(door: DoorClient, held: str, **wish: str) -> dict[str, Any]:
    """Knock with an old token, be let in by the host, and return what the door gives."""
    status, waiting = await door.knock("Cleo", token=held, **wish)
    assert status == 202
    assert await door.answer(HOST, waiting["knock_id"], admit=True) == 200
    status, admission = await door.knock(token=held, knock_id=waiting["knock_id"], **wish)
    assert status == 200
    return admission


async def rights_left(twirp: Twirp, door: DoorClient, held: str) -> list[int]:
    """What somebody who may nothing is told by API and door."""
    return [
        (await twirp.call(held, "ListParticipants", room=ROOM))[0],
        (await twirp.call(held, "DeleteRoom", room=ROOM))[0],
        (await door.patch(held, lobby=False))[0],
        (await door.set_role(held, "cleo", "cohost"))[0],
    ]


NOTHING = [401, 401, 403, 403]


async def test_a_host_made_by_the_door_makes_and_ends_no_other_room(
    http: aiohttp.ClientSession,
) -> None:
    async with hosting() as (service, door):
        twirp = Twirp(service, http)
        async with (
            RawSignal(service.url, HOST),
            RawSignal(service.url, token_as("guest", "bo")) as bo,
            RawSignal(service.url, token("visitor", room="other")),
        ):
            await bo.receive("refresh_token")
            assert (await door.set_role(HOST, "bo", "host"))[0] == 200
            promoted = (await bo.receive("refresh_token")).refresh_token
            for held in (HOST, promoted):
                for method, key in (("CreateRoom", "name"), ("DeleteRoom", "room")):
                    refused = await twirp.call(held, method, **{key: "other"})
                    assert refused == (401, "unauthenticated")
                assert (await twirp.call(held, "CreateRoom", name="new"))[0] == 401
                assert (await twirp.call(held, "CreateRoom", name=ROOM))[0] == 200
            assert set(service.rooms.live) == {ROOM, "other"}
            assert (await twirp.call(promoted, "DeleteRoom", room=ROOM))[0] == 200


async def test_who_holds_the_servers_keys_makes_and_ends_any_room(
    http: aiohttp.ClientSession,
) -> None:
    # As at livekit-server, a participant's token too.
    async with hosting() as (service, _):
        twirp = Twirp(service, http)
        held = token("ada", room_admin=True, room_create=True)
        assert (await twirp.call(held, "CreateRoom", name="new"))[0] == 200
        assert (await twirp.call(held, "DeleteRoom", room="new"))[0] == 200


async def test_a_removed_cohost_has_no_rights_and_comes_back_as_a_guest(
    http: aiohttp.ClientSession,
) -> None:
    async with hosting() as (service, door):
        twirp = Twirp(service, http)
        async with RawSignal(service.url, HOST), RawSignal(service.url, COHOST) as cleo:
            newest = (await cleo.receive("refresh_token")).refresh_token
            assert (await remove(twirp, HOST, "cleo"))[0] == 200
            for held in (COHOST, newest):
                assert await rights_left(twirp, door, held) == NOTHING
                assert await status_at_the_socket(service.url, held) == 403

            admission = await admit_again(door, COHOST)
            assert admission["role"] == "guest"
            fresh = admission["participant_token"]
            for held in (COHOST, newest, fresh):
                assert await rights_left(twirp, door, held) == NOTHING
                async with RawSignal(service.url, held) as back:
                    assert back.joined.participant.attributes["lanai.role"] == "guest"
                    given = (await back.receive("refresh_token")).refresh_token
                    assert "roomAdmin" not in peek_claims(given)["video"]
                    assert await rights_left(twirp, door, given) == NOTHING

            # A host who changes his mind can.
            async with RawSignal(service.url, fresh):
                assert (await door.set_role(HOST, "cleo", "cohost"))[0] == 200
                assert (await twirp.call(fresh, "ListParticipants", room=ROOM))[0] == 200


async def test_a_crash_right_after_a_removal_gives_nothing_back(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    state = tmp_path / "room.json"
    async with hosting(state) as (service, door):
        twirp = Twirp(service, http)
        async with (
            RawSignal(service.url, HOST),
            RawSignal(service.url, COHOST),
            RawSignal(service.url, token_as("cohost", "dan")),
        ):
            assert (await remove(twirp, HOST, "cleo"))[0] == 200
            # What a crash leaves is what was written when the answer came.
            crashed = state.read_bytes()
            assert (await door.set_role(HOST, "dan", "guest"))[0] == 200
            demoted = state.read_bytes()

    for left in (crashed, demoted):
        state.write_bytes(left)
        async with hosting(state) as (service, door):
            twirp = Twirp(service, http)
            assert await rights_left(twirp, door, COHOST) == NOTHING
            assert await status_at_the_socket(service.url, COHOST) == 403
            dan = token_as("cohost", "dan")
            expected = 401 if left is demoted else 200
            assert (await twirp.call(dan, "ListParticipants", room=ROOM))[0] == expected
            await admit_again(door, COHOST)
            assert await rights_left(twirp, door, COHOST) == NOTHING


async def test_a_crash_gives_nothing_back_in_a_room_that_nobody_configured(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    state = tmp_path / "room.json"
    config = ServerConfig(keys={KEY: SECRET}, port=0, rtc_port=0, door=True, state_file=str(state))
    left = b""
    for has_fallen in (False, True):
        if has_fallen:
            state.write_bytes(left)
        service = SfuService(config)
        await service.start()
        try:
            twirp = Twirp(service, http)
            async with RawSignal(service.url, HOST):
                if not has_fallen:
                    async with RawSignal(service.url, COHOST):
                        assert (await remove(twirp, HOST, "cleo"))[0] == 200
                    left = state.read_bytes()
                else:
                    assert await status_at_the_socket(service.url, COHOST) == 403
                listed = await twirp.call(COHOST, "ListParticipants", room=ROOM)
                assert listed[0] == 401
                assert (await twirp.call(HOST, "DeleteRoom", room=ROOM))[0] == 200
            # With the room what was decided in it is over.
            async with RawSignal(service.url, COHOST):
                listed = await twirp.call(COHOST, "ListParticipants", room=ROOM)
                assert listed[0] == 200
        finally:
            await service.stop()


async def test_the_link_that_made_a_cohost_does_so_no_more_once_it_was_taken_back(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    state = tmp_path / "room.json"
    link = invitation(KeyPair(KEY, SECRET), room=ROOM, now_s=time.time(), role="cohost")
    another = invitation(KeyPair(KEY, SECRET), room=ROOM, now_s=time.time(), role="cohost")
    async with hosting(state, lobby=True) as (service, door):
        status, admission = await door.knock("Cleo", invite=link)
        assert (status, admission["role"]) == (200, "cohost")
        held = admission["participant_token"]
        async with RawSignal(service.url, HOST), RawSignal(service.url, held):
            removed = await remove(Twirp(service, http), HOST, peek_claims(held)["sub"])
            assert removed[0] == 200
        # Neither as oneself nor as somebody new: there is a lobby, and a guest's place behind it.
        assert (await door.knock("Cleo", invite=link, token=held))[0] == 202
        assert (await door.knock("Somebody", invite=link))[0] == 202
        assert (await door.knock("Cleo", invite=another, token=held))[0] == 202
        assert (await door.knock("Dan", invite=another))[1]["role"] == "cohost"
    async with hosting(state, lobby=True) as (_, door):
        assert (await door.knock("Somebody", invite=link))[0] == 202
        assert (await admit_again(door, held, invite=link))["role"] == "guest"


async def test_a_link_without_a_number_of_its_own_is_taken_back_too(
    http: aiohttp.ClientSession,
) -> None:
    content = {"lanai": {"room": ROOM, "role": "cohost"}}
    times = {"iss": KEY, "exp": int(time.time()) + 600}
    link = sign_claims({**times, **content}, api_secret=SECRET)
    rewritten = sign_claims({**content, **times}, api_secret=SECRET)
    async with hosting(lobby=True) as (service, door):
        held = (await door.knock("Cleo", invite=link))[1]["participant_token"]
        async with RawSignal(service.url, HOST), RawSignal(service.url, held):
            assert (await door.set_role(HOST, peek_claims(held)["sub"], "guest"))[0] == 200
        for same in (link, rewritten):
            assert (await door.knock("Somebody", invite=same))[0] == 202


async def test_tokens_kept_in_reserve_lose_their_role_with_the_link_and_others_here_keep_theirs(
    http: aiohttp.ClientSession,
) -> None:
    link = invitation(KeyPair(KEY, SECRET), room=ROOM, now_s=time.time(), role="cohost")
    async with hosting() as (service, door):
        twirp = Twirp(service, http)
        held, reserve, dans = [
            (await door.knock(name, invite=link))[1]["participant_token"]
            for name in ("Cleo", "Cleo again", "Dan")
        ]
        listing = ("ListParticipants", {"room": ROOM})
        async with (
            RawSignal(service.url, HOST),
            RawSignal(service.url, held),
            RawSignal(service.url, dans) as dan,
        ):
            assert (await twirp.call(reserve, listing[0], **listing[1]))[0] == 200
            assert (await remove(twirp, HOST, peek_claims(held)["sub"]))[0] == 200
            assert await rights_left(twirp, door, reserve) == NOTHING
            assert (await twirp.call(dans, listing[0], **listing[1]))[0] == 200
            fresh = (await dan.receive("refresh_token")).refresh_token
            assert (await twirp.call(fresh, listing[0], **listing[1]))[0] == 200
        async with RawSignal(service.url, reserve) as sleeper:
            assert sleeper.joined.participant.attributes["lanai.role"] == "guest"


async def test_who_was_let_in_as_a_stranger_is_not_the_one_whose_token_is_shown_then() -> None:
    async with hosting(lobby=True) as (_, door):
        waiting = (await door.knock("Stranger"))[1]["knock_id"]
        assert await door.answer(HOST, waiting, admit=True) == 200
        _, admission = await door.knock("Cleo", knock_id=waiting, token=COHOST)
        claims = peek_claims(admission["participant_token"])
        assert claims["name"] == "Stranger"
        assert claims["sub"].startswith("stranger-")


async def test_who_was_made_cohost_comes_back_as_one(http: aiohttp.ClientSession) -> None:
    async with hosting(lobby=True) as (service, door):
        held = token_as("guest", "bo")
        async with RawSignal(service.url, HOST), RawSignal(service.url, held):
            assert (await door.set_role(HOST, "bo", "cohost"))[0] == 200
        status, admission = await door.knock("Bo", token=held)
        assert (status, admission["role"]) == (200, "cohost")
        listed = await Twirp(service, http).call(held, "ListParticipants", room=ROOM)
        assert listed[0] == 200


async def test_a_cohost_does_not_send_a_host_away(http: aiohttp.ClientSession) -> None:
    async with hosting() as (service, _):
        twirp = Twirp(service, http)
        async with (
            RawSignal(service.url, HOST),
            RawSignal(service.url, COHOST),
            RawSignal(service.url, token_as("cohost", "dan")),
        ):
            about = {"room": ROOM, "identity": "ada"}
            assert await remove(twirp, COHOST, "ada") == (403, "permission_denied")
            muting = await twirp.call(COHOST, "UpdateParticipant", permission={}, **about)
            assert muting == (403, "permission_denied")
            assert (await twirp.call(COHOST, "UpdateParticipant", name="Ada", **about))[0] == 200
            assert (await remove(twirp, COHOST, "dan"))[0] == 200
            # The server's keeper is above both.
            assert (await remove(twirp, token("api", room_admin=True), "ada"))[0] == 200


async def test_a_cohost_does_not_speak_as_the_server(http: aiohttp.ClientSession) -> None:
    async with hosting() as (service, _), RawSignal(service.url, COHOST):
        forged = {"room": ROOM, "data": "e30=", "topic": "lanai.door"}
        twirp = Twirp(service, http)
        assert await twirp.call(COHOST, "SendData", **forged) == (403, "permission_denied")
        assert (await twirp.call(COHOST, "SendData", **{**forged, "topic": "t"}))[0] == 200


async def test_who_is_removed_while_coming_in_stays_out(
    monkeypatch: pytest.MonkeyPatch, http: aiohttp.ClientSession
) -> None:
    async with hosting() as (service, door):
        twirp = Twirp(service, http)
        prepare = web.WebSocketResponse.prepare
        async with RawSignal(service.url, HOST), RawSignal(service.url, COHOST):

            async def removed_meanwhile(self: web.WebSocketResponse, request: web.Request) -> Any:
                monkeypatch.undo()
                assert (await remove(twirp, HOST, "cleo"))[0] == 200
                return await prepare(self, request)

            monkeypatch.setattr(web.WebSocketResponse, "prepare", removed_meanwhile)
            again = RawSignal(service.url, COHOST)
            with pytest.raises(AssertionError):
                async with again:
                    pass
            await again.close()
            assert await rights_left(twirp, door, COHOST) == NOTHING
            assert await status_at_the_socket(service.url, COHOST) == 403


@pytest.mark.parametrize("is_hosted", [False, True])
async def test_the_admin_of_one_room_is_none_where_it_is_moved_to(
    is_hosted: bool, http: aiohttp.ClientSession
) -> None:
    config = ServerConfig(
        keys={KEY: SECRET},
        port=0,
        rtc_port=0,
        door=is_hosted,
        rooms=(HostedRoom(ROOM), HostedRoom("side")) if is_hosted else (),
    )
    service = SfuService(config)
    await service.start()
    held = HOST if is_hosted else token("ada", room_admin=True, room_list=True)
    mover = {"roomAdmin": True, "room": ROOM, "destinationRoom": "side"}
    wish = {"room": ROOM, "identity": "ada", "destination_room": "side"}
    twirp = Twirp(service, http)
    try:
        async with RawSignal(service.url, held) as ada:
            assert (await Api(service, http).call("MoveParticipant", wish, mover))[0] == 200
            moved = (await ada.receive("room_moved")).room_moved
            video = peek_claims(moved.token)["video"]
            assert video["room"] == "side"
            assert not {"roomAdmin", "roomCreate", "destinationRoom"} & set(video)
            assert video.get("roomList", False) is not is_hosted
            assert (await twirp.call(moved.token, "ListParticipants", room="side"))[0] == 401
            # Where it came from it is what it was.
            assert (await twirp.call(held, "ListParticipants", room=ROOM))[0] == 200
            role = moved.participant.attributes.get("lanai.role", "")
            assert role == ("guest" if is_hosted else "")
    finally:
        await service.stop()


async def test_a_moved_admin_is_in_the_other_room_what_that_room_knows_of_it(
    http: aiohttp.ClientSession,
) -> None:
    config = ServerConfig(
        keys={KEY: SECRET},
        port=0,
        rtc_port=0,
        door=True,
        rooms=(HostedRoom(ROOM), HostedRoom("side")),
    )
    service = SfuService(config)
    await service.start()
    mover = {"roomAdmin": True, "room": ROOM, "destinationRoom": "side"}
    wish = {"room": ROOM, "identity": "cleo", "destination_room": "side"}
    try:
        assert service._gates is not None
        side = service._gates.find("side")
        assert side is not None
        side.standing.set_role("cleo", "cohost")
        async with RawSignal(service.url, COHOST) as cleo:
            assert (await Api(service, http).call("MoveParticipant", wish, mover))[0] == 200
            moved = (await cleo.receive("room_moved")).room_moved
            assert moved.participant.attributes["lanai.role"] == "cohost"
            twirp = Twirp(service, http)
            assert (await twirp.call(moved.token, "ListParticipants", room="side"))[0] == 200
    finally:
        await service.stop()


async def test_an_agent_that_was_sent_away_can_be_asked_for_again(
    http: aiohttp.ClientSession,
) -> None:
    # Workers may give all their agents the same identity.
    async with hosting() as (service, _), RawSignal(service.url, HOST):
        for _attempt in range(2):
            async with RawSignal(service.url, token("assistant", agent=True)):
                assert (await remove(Twirp(service, http), HOST, "assistant"))[0] == 200


async def test_a_plain_server_lets_a_removed_participant_come_back_as_it_was(
    http: aiohttp.ClientSession,
) -> None:
    # As livekit-server: only who hosts with Lanai's door keeps such books.
    async with serving() as service:
        twirp = Twirp(service, http)
        held = token("cleo", room_admin=True)
        async with RawSignal(service.url, held) as cleo:
            assert (await remove(twirp, held, "cleo"))[0] == 200
            leave = (await cleo.receive("leave")).leave
            assert leave.reason == models.DisconnectReason.PARTICIPANT_REMOVED
        async with RawSignal(service.url, held):
            assert (await twirp.call(held, "ListParticipants", room=ROOM))[0] == 200
