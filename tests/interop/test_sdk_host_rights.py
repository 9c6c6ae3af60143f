"""What a host hands out, in the hands of the official client and SDK, over a crash too."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from livekit import api

from app.host.keys import KeyPair
from app.host.tokens import host_token, invitation
from app.protocol.token import peek_claims
from tests.support.door_client import DoorClient
from tests.support.sdk_peer import SdkPeer, SdkPeerError
from tests.support.server_process import KEY, SECRET, ServerProcess, token_for

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("network")]

KEYS = KeyPair(KEY, SECRET)


def hosted(state: Path) -> dict[str, Any]:
    rooms = [{"name": name, "host_name": "Ada"} for name in ("room", "side")]
    return {"door": True, "rooms": rooms, "state_file": str(state)}


async def refusal(call: Any) -> tuple[str, int]:
    with pytest.raises(api.TwirpError) as caught:
        await call
    return caught.value.code, caught.value.status


async def test_rights_of_a_host_end_at_its_room_and_removed_ones_with_a_crash_stay_removed(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state.json"
    host = host_token(KEYS, room="room", name="Ada", now_s=time.time())
    link = invitation(KEYS, room="room", now_s=time.time(), role="cohost")
    denied = ("unauthenticated", 401)
    listing = api.ListParticipantsRequest(room="room")
    async with aiohttp.ClientSession() as http:
        async with (
            ServerProcess(config=hosted(state)) as server,
            SdkPeer("cleo") as cleo,
            # As people write it, with a slash at the end.
            api.LiveKitAPI(f"{server.http_url}/", token=host) as client,
        ):
            door = DoorClient(server.http_url, http)
            held = (await door.knock("Cleo", invite=link))[1]["participant_token"]
            await cleo.connect(f"{server.url}/", held)
            async with api.LiveKitAPI(server.http_url, token=held) as hers:
                (person,) = (await hers.room.list_participants(listing)).participants
                create, delete = (
                    hers.room.create_room(api.CreateRoomRequest(name="other")),
                    client.room.delete_room(api.DeleteRoomRequest(room="side")),
                )
                assert [await refusal(create), await refusal(delete)] == [denied, denied]
                made = client.room.create_room(api.CreateRoomRequest(name="other"))
                assert await refusal(made) == denied
                who = api.RoomParticipantIdentity(room="room", identity=person.identity)
                await client.room.remove_participant(who)
                # The answer is as good as a promise: whatever happens now.
                server.kill()
        async with ServerProcess(config=hosted(state)) as server, SdkPeer("again") as cleo:
            door = DoorClient(server.http_url, http)
            async with api.LiveKitAPI(server.http_url, token=held) as hers:
                assert await refusal(hers.room.list_participants(listing)) == denied
                with pytest.raises(SdkPeerError, match="403"):
                    await cleo.connect(server.url, held)
                status, waiting = await door.knock("Cleo", invite=link, token=held)
                assert status == 202
                assert await door.answer(host, waiting["knock_id"], admit=True) == 200
                waited = {"invite": link, "token": held, "knock_id": waiting["knock_id"]}
                status, admission = await door.knock("Cleo", **waited)
                assert (status, admission["role"]) == (200, "guest")
                assert peek_claims(admission["participant_token"])["sub"] == person.identity
                await cleo.connect(server.url, held)
                assert await refusal(hers.room.list_participants(listing)) == denied
            async with api.LiveKitAPI(server.http_url, KEY, SECRET) as owner:
                await owner.room.create_room(api.CreateRoomRequest(name="other"))
                await owner.room.delete_room(api.DeleteRoomRequest(room="other"))


async def test_an_admin_that_is_moved_moderates_where_it_was_and_not_where_it_is(
    server: ServerProcess, alice: SdkPeer, bob: SdkPeer
) -> None:
    held = token_for("alice", room_admin=True)
    await alice.connect(server.url, held)
    await bob.connect(server.url, token_for("bob", room="side"))
    async with (
        api.LiveKitAPI(server.http_url, KEY, SECRET) as owner,
        api.LiveKitAPI(server.http_url, token=held) as hers,
    ):
        await owner.room.move_participant(
            api.MoveParticipantRequest(room="room", identity="alice", destination_room="side")
        )
        await alice.wait_event("moved")
        bob_there = api.RoomParticipantIdentity(room="side", identity="bob")
        assert await refusal(hers.room.remove_participant(bob_there)) == ("unauthenticated", 401)
        listed = await hers.room.list_participants(api.ListParticipantsRequest(room="room"))
        assert not listed.participants
