"""Rooms managed with the official `livekit-api`, and what official SDKs in them make of it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from livekit import api

from app.protocol.token import VideoGrant, issue_token, sign_claims
from tests.support.raw_signal import RawSignal
from tests.support.sdk_peer import SdkPeer
from tests.support.server_process import KEY, SECRET, ServerProcess, token_for

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("network")]

RIGHTS: dict[str, Any] = {"can_subscribe": True, "can_publish": True, "can_publish_data": True}


@pytest_asyncio.fixture
async def client(server: ServerProcess) -> AsyncIterator[api.LiveKitAPI]:
    """The official client, with the server's key: it signs what each method needs."""
    async with api.LiveKitAPI(server.http_url, KEY, SECRET) as client:
        yield client


async def join(server: ServerProcess, *peers: SdkPeer, room: str = "room") -> None:
    for peer in peers:
        await peer.connect(server.url, token_for(peer.identity, room=room))


async def until(peer: SdkPeer, key: str, value: Any) -> dict[str, Any]:
    """Wait until the SDK says this of itself."""
    async with asyncio.timeout(30):
        while True:
            me = dict(await peer.call("me"))
            if me[key] == value:
                return me
            await asyncio.sleep(0.05)


async def until_silent(peer: SdkPeer, sid: str) -> None:
    """Wait until no more of a track arrives."""
    heard, before = 0, -1
    async with asyncio.timeout(30):
        while heard != before:
            await asyncio.sleep(0.5)
            before = heard
            heard = next(m["frames"] for m in await peer.call("media") if m["sid"] == sid)


async def perform_rpc(client: api.LiveKitAPI, request: api.PerformRpcRequest) -> str:
    """What `livekit-api` has no method for yet, over the client of its own."""
    token = api.AccessToken(KEY, SECRET).with_grants(
        api.VideoGrants(room_admin=True, room=request.room)
    )
    headers = {"Authorization": f"Bearer {token.to_jwt()}"}
    answer = await client.room._client.request(
        "RoomService", "PerformRpc", request, headers, api.PerformRpcResponse
    )
    return str(answer.payload)


async def people(peer: SdkPeer) -> dict[str, dict[str, Any]]:
    return {person["identity"]: person for person in await peer.call("people")}


async def test_the_official_client_makes_lists_and_ends_rooms(
    server: ServerProcess, client: api.LiveKitAPI, alice: SdkPeer
) -> None:
    wish = api.CreateRoomRequest(name="room", empty_timeout=60, max_participants=5, metadata="m")
    made = await client.room.create_room(wish)
    again = await client.room.create_room(api.CreateRoomRequest(name="room", metadata="other"))
    assert again == made
    await join(server, alice)
    assert (await alice.call("me"))["room_metadata"] == "m"
    listed = (await client.room.list_rooms(api.ListRoomsRequest(names=["room"]))).rooms
    assert [(room.sid, room.num_participants) for room in listed] == [(made.sid, 1)]
    assert not (await client.room.list_rooms(api.ListRoomsRequest(names=["absent"]))).rooms
    updated = await client.room.update_room_metadata(
        api.UpdateRoomMetadataRequest(room="room", metadata="new")
    )
    assert (updated.sid, updated.metadata) == (made.sid, "new")
    await alice.wait_event("room_metadata_changed", new="new")
    await client.room.delete_room(api.DeleteRoomRequest(room="room"))
    await alice.wait_event("disconnected", reason=5)  # ROOM_DELETED


async def test_people_are_listed_described_and_removed(
    server: ServerProcess, client: api.LiveKitAPI, alice: SdkPeer, bob: SdkPeer
) -> None:
    await join(server, alice, bob)
    listed = await client.room.list_participants(api.ListParticipantsRequest(room="room"))
    assert sorted(person.identity for person in listed.participants) == ["alice", "bob"]
    states = {person.state for person in listed.participants}
    assert states == {api.ParticipantInfo.ACTIVE}
    who = api.RoomParticipantIdentity(room="room", identity="alice")
    assert (await client.room.get_participant(who)).sid == (await alice.call("me"))["sid"]
    told = await client.room.update_participant(
        api.UpdateParticipantRequest(
            room="room", identity="alice", name="Ada", metadata="m", attributes={"a": "1"}
        )
    )
    assert (told.name, told.metadata, dict(told.attributes)) == ("Ada", "m", {"a": "1"})
    for peer in (alice, bob):
        await peer.wait_event("participant_name_changed", identity="alice", new="Ada")
        await peer.wait_event("participant_metadata_changed", identity="alice", new="m")
        await peer.wait_event(
            "participant_attributes_changed", identity="alice", changed={"a": "1"}
        )
    names = [event["event"] for event in await bob.call("events")]
    order = [f"participant_{what}_changed" for what in ("name", "metadata", "attributes")]
    assert [name for name in names if name in order] == order
    await client.room.remove_participant(who)
    await alice.wait_event("disconnected", reason=4)  # PARTICIPANT_REMOVED
    await bob.wait_event("participant_disconnected", identity="alice")
    with pytest.raises(api.TwirpError) as caught:
        await client.room.get_participant(who)
    assert (caught.value.code, caught.value.status) == ("not_found", 404)


async def test_a_muted_microphone_is_silent_and_its_sdk_knows(
    server: ServerProcess, client: api.LiveKitAPI, alice: SdkPeer, bob: SdkPeer
) -> None:
    await join(server, alice, bob)
    sid = await alice.call("publish_tone", freq_hz=440.0)
    await bob.wait_media("tone", sid=sid, freq_hz=440.0)
    wish = api.MuteRoomTrackRequest(room="room", identity="alice", track_sid=sid, muted=True)
    assert (await client.room.mute_published_track(wish)).track.muted
    await alice.wait_event("track_muted", identity="alice", sid=sid)
    await bob.wait_event("track_muted", identity="alice", sid=sid)
    wish.muted = False
    with pytest.raises(api.TwirpError) as caught:
        await client.room.mute_published_track(wish)
    assert (caught.value.code, caught.value.status) == ("failed_precondition", 412)
    # Its owner may speak again.
    await alice.call("mute", sid=sid, muted=False)
    await bob.wait_event("track_unmuted", identity="alice", sid=sid)


async def test_where_the_server_may_unmute_it_does() -> None:
    async with (
        ServerProcess(config={"enable_remote_unmute": True}) as server,
        SdkPeer("alice") as alice,
        api.LiveKitAPI(server.http_url, KEY, SECRET) as client,
    ):
        await join(server, alice)
        sid = await alice.call("publish_tone", freq_hz=440.0)
        for muted in (True, False):
            wish = api.MuteRoomTrackRequest(
                room="room", identity="alice", track_sid=sid, muted=muted
            )
            answer = await client.room.mute_published_track(wish)
            assert answer.track.muted is muted
            await alice.wait_event(f"track_{'' if muted else 'un'}muted", sid=sid)


async def test_taken_rights_end_tracks_and_data_and_given_ones_work_at_once(
    server: ServerProcess, client: api.LiveKitAPI, alice: SdkPeer, bob: SdkPeer
) -> None:
    await join(server, alice, bob)
    sound = await alice.call("publish_tone", freq_hz=440.0)
    picture = await alice.call("publish_video", colour=(200, 30, 30))
    await bob.wait_media("tone", sid=sound, freq_hz=440.0)
    await bob.wait_media("frames", sid=picture, frames=5)

    async def allow(**rights: Any) -> None:
        permission = api.ParticipantPermission(**{**RIGHTS, **rights})
        await client.room.update_participant(
            api.UpdateParticipantRequest(room="room", identity="alice", permission=permission)
        )

    await allow(can_publish_sources=[api.TrackSource.MICROPHONE])
    await bob.wait_event("track_unpublished", identity="alice", sid=picture)
    await alice.wait_event("participant_permissions_changed", identity="alice")
    await bob.wait_media("tone", sid=sound, freq_hz=440.0)
    await allow(can_publish=False, can_publish_data=False)
    await bob.wait_event("track_unpublished", identity="alice", sid=sound)
    await until(alice, "may_publish", False)
    await allow()
    await until(alice, "may_publish", True)
    again = await alice.call("publish_tone", freq_hz=660.0)
    await bob.wait_media("tone", sid=again, freq_hz=660.0)
    await alice.call("publish_data", data=base64.b64encode(b"hi").decode(), topic="t")
    await bob.wait_event("data_received", topic="t", identity="alice")


async def test_subscriptions_are_taken_and_given_from_outside(
    server: ServerProcess, client: api.LiveKitAPI, alice: SdkPeer, bob: SdkPeer
) -> None:
    await join(server, alice, bob)
    sid = await alice.call("publish_tone", freq_hz=440.0)
    await bob.wait_media("tone", sid=sid, freq_hz=440.0)
    for subscribe in (False, True):
        await client.room.update_subscriptions(
            api.UpdateSubscriptionsRequest(
                room="room", identity="bob", track_sids=[sid], subscribe=subscribe
            )
        )
        if not subscribe:
            await until_silent(bob, sid)
    # This SDK notices the end of a track when the next one begins, of any server.
    await bob.wait_event("track_unsubscribed", sid=sid)
    for _ in range(2):
        await bob.wait_event("track_subscribed", sid=sid)
    await bob.wait_media("tone", sid=sid, freq_hz=440.0)
    for allowed in (False, True):
        permission = api.ParticipantPermission(**{**RIGHTS, "can_subscribe": allowed})
        await client.room.update_participant(
            api.UpdateParticipantRequest(room="room", identity="bob", permission=permission)
        )
        if not allowed:
            await until_silent(bob, sid)
    await bob.wait_event("track_subscribed", sid=sid)
    await bob.wait_media("tone", sid=sid, freq_hz=440.0)


async def test_data_from_the_server_reaches_those_it_is_for(
    server: ServerProcess, client: api.LiveKitAPI, alice: SdkPeer, bob: SdkPeer
) -> None:
    await join(server, alice, bob)

    async def send(data: bytes, kind: Any, **options: Any) -> None:
        await client.room.send_data(
            api.SendDataRequest(room="room", data=data, kind=kind, topic="t", **options)
        )

    await send(b"one", api.DataPacket.RELIABLE, destination_identities=["bob", "nobody"])
    await send(b"two", api.DataPacket.RELIABLE)
    await alice.wait_event("data_received", data=base64.b64encode(b"two").decode(), identity="")
    for data in (b"one", b"two"):
        await bob.wait_event("data_received", data=base64.b64encode(data).decode(), topic="t")
    seen = [e["data"] for e in await alice.call("events") if e["event"] == "data_received"]
    assert seen == [base64.b64encode(b"two").decode()]
    await send(b"three", api.DataPacket.LOSSY, destination_sids=[(await bob.call("me"))["sid"]])
    await bob.wait_event("data_received", data=base64.b64encode(b"three").decode())


async def test_a_call_from_the_server_runs_the_handler_once(
    server: ServerProcess, client: api.LiveKitAPI, alice: SdkPeer
) -> None:
    await join(server, alice)
    await alice.call("answer_calls")

    async def call(method: str, payload: str = "", to: str = "alice", timeout_ms: int = 0) -> str:
        return await perform_rpc(
            client,
            api.PerformRpcRequest(
                room="room",
                destination_identity=to,
                method=method,
                payload=payload,
                response_timeout_ms=timeout_ms,
            ),
        )

    assert (await call("echo", "ping")).endswith(":ping")
    assert await call("count") == "1"
    refusals = {
        ("none", 0): ("invalid_argument", 400),
        ("refuse", 0): ("internal", 500),
        ("fail", 0): ("internal", 500),
        # Longer than the reference's three attempts of three seconds would take to repeat.
        ("slow", 4_000): ("canceled", 408),
    }
    for (method, timeout_ms), (code, status) in refusals.items():
        with pytest.raises(api.TwirpError) as caught:
            await call(method, timeout_ms=timeout_ms)
        assert (caught.value.code, caught.value.status) == (code, status), method
        if method == "refuse":
            assert caught.value.message == "RpcError 7: nope: why"
    assert await call("count") == "2"
    assert (await alice.call("me"))["slow_calls"] == 1
    for destination, code in (("", "invalid_argument"), ("zoe", "not_found")):
        with pytest.raises(api.TwirpError) as caught:
            await call("echo", to=destination)
        assert caught.value.code == code


async def test_an_sdk_that_is_moved_speaks_to_the_other_room_over_the_same_connection(
    server: ServerProcess, client: api.LiveKitAPI, alice: SdkPeer, bob: SdkPeer
) -> None:
    async with SdkPeer("carol") as carol:
        await join(server, alice, bob)
        await join(server, carol, room="side")
        sid = await alice.call("publish_tone", freq_hz=440.0)
        there = await carol.call("publish_tone", freq_hz=880.0)
        await bob.wait_media("tone", sid=sid, freq_hz=440.0)
        before = await alice.call("me")
        await client.room.move_participant(
            api.MoveParticipantRequest(room="room", identity="alice", destination_room="side")
        )
        await alice.wait_event("moved")
        await bob.wait_event("participant_disconnected", identity="alice")
        after = await until(alice, "room", "side")
        assert (after["sid"], after["tracks"]) == (before["sid"], before["tracks"])
        assert set(await people(alice)) == {"carol"}
        await carol.wait_event("participant_connected", identity="alice")
        await carol.wait_media("tone", sid=sid, freq_hz=440.0)
        await alice.wait_media("tone", sid=there, freq_hz=880.0)
        await alice.call("publish_data", data=base64.b64encode(b"hi").decode(), topic="t")
        await carol.wait_event("data_received", identity="alice", topic="t")
        # What it publishes now belongs to the new room; the old one hears no more of it.
        fresh = await alice.call("publish_tone", freq_hz=1_200.0, source="SOURCE_UNKNOWN")
        await carol.wait_media("tone", sid=fresh, freq_hz=1_200.0)
        assert not await people(bob)
        events = [event["event"] for event in await alice.call("events")]
        assert "reconnecting" not in events
        assert "disconnected" not in events


async def test_whoever_goes_and_comes_back_is_seen_and_heard_again(
    server: ServerProcess, client: api.LiveKitAPI, alice: SdkPeer, bob: SdkPeer
) -> None:
    async with SdkPeer("carol") as carol:
        await join(server, alice, bob)
        await join(server, carol, room="side")
        sound = await alice.call("publish_tone", freq_hz=440.0)
        picture = await alice.call("publish_video", colour=(200, 30, 30))

        async def seen_by(peer: SdkPeer) -> None:
            for sid in (sound, picture):
                await peer.wait_event("track_subscribed", sid=sid)
            await peer.wait_media("tone", sid=sound, freq_hz=440.0)
            await peer.wait_media("frames", sid=picture, frames=5)

        await seen_by(bob)
        for source, target, peer in (
            ("room", "side", carol),
            ("side", "room", bob),
            ("room", "side", carol),
            ("side", "room", bob),
        ):
            await client.room.move_participant(
                api.MoveParticipantRequest(room=source, identity="alice", destination_room=target)
            )
            await seen_by(peer)
        who = api.RoomParticipantIdentity(room="side", identity="alice")
        for shown in range(2):
            await client.room.forward_participant(
                api.ForwardParticipantRequest(
                    room="room", identity="alice", destination_room="side"
                )
            )
            await seen_by(carol)
            if shown == 0:
                await client.room.remove_participant(who)
                await carol.wait_event("participant_disconnected", identity="alice")


async def test_a_publisher_says_who_may_have_its_tracks(
    server: ServerProcess, alice: SdkPeer, bob: SdkPeer
) -> None:
    async with SdkPeer("carol") as carol:
        await join(server, alice, bob, carol)
        sound = await alice.call("publish_tone", freq_hz=440.0)
        picture = await alice.call("publish_video", colour=(200, 30, 30))
        for peer in (bob, carol):
            await peer.wait_event("track_subscribed", sid=sound)
            await peer.wait_event("track_subscribed", sid=picture)
        # Bob may have both, Carol the voice alone, and a newcomer nothing.
        await alice.call("allow", people={"bob": "all", "carol": [sound]})
        await until_silent(carol, picture)
        await bob.wait_media("frames", sid=picture, frames=5)
        await carol.wait_media("tone", sid=sound, freq_hz=440.0)
        async with SdkPeer("dave") as dave:
            await join(server, dave)
            late = await alice.call("publish_tone", freq_hz=880.0, source="SOURCE_UNKNOWN")
            await bob.wait_media("tone", sid=late, freq_hz=880.0)
            for peer in (carol, dave):
                await peer.wait_event("track_published", sid=late)
            assert await dave.call("media") == []
            assert late not in [media["sid"] for media in await carol.call("media")]
            await alice.call("allow", everyone=True)
            for peer in (carol, dave):
                await peer.wait_media("tone", sid=late, freq_hz=880.0)
                await peer.wait_media("frames", sid=picture, frames=5)


async def test_a_forwarded_sdk_is_seen_and_heard_in_both_rooms(
    server: ServerProcess, client: api.LiveKitAPI, alice: SdkPeer, bob: SdkPeer
) -> None:
    async with SdkPeer("carol") as carol:
        await join(server, alice, bob)
        await join(server, carol, room="side")
        sound = await alice.call("publish_tone", freq_hz=440.0)
        await client.room.forward_participant(
            api.ForwardParticipantRequest(room="room", identity="alice", destination_room="side")
        )
        await carol.wait_event("participant_connected", identity="alice")
        picture = await alice.call("publish_video", colour=(30, 200, 30))
        for listener in (bob, carol):
            await listener.wait_media("tone", sid=sound, freq_hz=440.0)
            await listener.wait_media("frames", sid=picture, frames=10)
        assert (await people(carol))["alice"]["kind_details"] == [1]  # FORWARDED
        assert (await people(bob))["alice"]["kind_details"] == []
        await alice.call("publish_data", data=base64.b64encode(b"hi").decode(), topic="t")
        for listener in (bob, carol):
            await listener.wait_event("data_received", identity="alice", topic="t")
        await alice.call("disconnect")
        for listener in (bob, carol):
            await listener.wait_event("participant_disconnected", identity="alice")


async def test_one_person_may_publish_several_tracks_of_each_source(
    server: ServerProcess, alice: SdkPeer, bob: SdkPeer
) -> None:
    await join(server, alice, bob)
    tones = {
        await alice.call("publish_tone", freq_hz=freq_hz, name=f"mic {freq_hz}"): freq_hz
        for freq_hz in (440.0, 880.0)
    }
    pictures = [
        await alice.call("publish_video", colour=colour, source=source, size=(320, 180))
        for source in ("SOURCE_CAMERA", "SOURCE_SCREENSHARE")
        for colour in ((200, 30, 30), (30, 30, 200))
    ]
    for sid, freq_hz in tones.items():
        await bob.wait_media("tone", sid=sid, freq_hz=freq_hz)
    for sid in pictures:
        await bob.wait_media("frames", sid=sid, frames=3)
    assert len((await people(bob))["alice"]["tracks"]) == 6


async def test_every_kind_of_participant_reaches_the_sdk(
    server: ServerProcess, bob: SdkPeer
) -> None:
    await join(server, bob)
    # The wheel numbers them anew.
    kinds = {"ingress": 1, "egress": 2, "sip": 3, "agent": 4, "connector": 5, "bridge": 6}
    details = {"agent": ["cloud_agent"], "connector": ["connector_twilio"]}
    async with contextlib.AsyncExitStack() as stack:
        for kind in kinds:
            claims = {
                "iss": KEY,
                "sub": kind,
                "exp": int(time.time()) + 600,
                "kind": kind,
                "kindDetails": details.get(kind, []),
                "video": {"roomJoin": True, "room": "room"},
            }
            jwt = sign_claims(claims, api_secret=SECRET)
            await stack.enter_async_context(RawSignal(server.url, jwt))
            await bob.wait_event("participant_connected", identity=kind)
        seen = await people(bob)
    assert {kind: seen[kind]["kind"] for kind in kinds} == kinds
    assert (seen["agent"]["kind_details"], seen["connector"]["kind_details"]) == ([0], [3])


async def test_a_token_of_ones_own_moderates_and_a_guests_does_not(
    server: ServerProcess, alice: SdkPeer
) -> None:
    await join(server, alice)
    who = api.RoomParticipantIdentity(room="room", identity="alice")
    guest, host = (
        issue_token(
            api_key=KEY,
            api_secret=SECRET,
            identity="host",
            now_s=time.time(),
            grant=VideoGrant(room_join=True, room="room", room_admin=is_admin),
        )
        for is_admin in (False, True)
    )
    async with api.LiveKitAPI(server.http_url, token=guest) as client:
        with pytest.raises(api.TwirpError) as caught:
            await client.room.remove_participant(who)
        assert (caught.value.code, caught.value.status) == ("unauthenticated", 401)
    async with api.LiveKitAPI(server.http_url, token=host) as client:
        await client.room.remove_participant(who)
    await alice.wait_event("disconnected", reason=4)
