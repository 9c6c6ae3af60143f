"""From one room to another: moved and forwarded participants, and what the rooms know of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from livekit.protocol import models, rtc

from app.protocol.token import verify_claims
from app.server.config import ServerConfig
from app.server.service import SfuService
from tests.support.door_client import DoorClient, hosting, token_as
from tests.support.management import (
    ADMIN,
    LISTENING,
    Api,
    announce,
    announce_in,
    client,
    update_of,
)
from tests.support.raw_signal import RawSignal
from tests.support.session_room import KEY, SECRET, Witness, eventually, joined, token

SIDE = {**ADMIN, "destinationRoom": "side"}
RIGHTS = {"can_subscribe": True, "can_publish": True, "can_publish_data": True}
EVERYTHING = rtc.JoinRequest(
    client_info=models.ClientInfo(protocol=17),
    connection_settings=rtc.ConnectionSettings(auto_subscribe=True, auto_subscribe_data_track=True),
)
SHARE = rtc.AddTrackRequest(
    cid="s", type=models.TrackType.VIDEO, source=models.TrackSource.SCREEN_SHARE, muted=True
)


@pytest.fixture
async def service() -> AsyncIterator[SfuService]:
    service = SfuService(ServerConfig(keys={KEY: SECRET}, port=0, rtc_port=0))
    await service.start()
    yield service
    await service.stop()


@pytest.fixture
async def api(service: SfuService) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(service, session)


async def departure(raw: RawSignal, identity: str) -> None:
    while (await update_of(raw, identity)).state != models.ParticipantInfo.DISCONNECTED:
        pass


async def test_a_moved_participant_is_in_the_other_room_with_everything_it_has(
    service: SfuService, api: Api
) -> None:
    async with (
        RawSignal(service.url, token("alice"), LISTENING) as alice,
        client(service, "bob") as bob,
        RawSignal(service.url, token("carol", room="side"), LISTENING) as carol,
    ):
        sid = await announce(service, alice, "alice")
        wish = {"room": "room", "identity": "alice", "destination_room": "side"}
        assert await api.call("MoveParticipant", wish, SIDE) == (200, {})

        gone = await update_of(bob, "alice")
        while gone.state != models.ParticipantInfo.DISCONNECTED:
            gone = await update_of(bob, "alice")
        left = await update_of(alice, "bob")
        while left.state != models.ParticipantInfo.DISCONNECTED:
            left = await update_of(alice, "bob")
        moved = (await alice.receive("room_moved")).room_moved
        assert moved.room.name == "side"
        assert moved.participant.sid == alice.joined.participant.sid
        assert moved.participant.version > gone.version
        assert [track.sid for track in moved.participant.tracks] == [sid]
        assert [p.identity for p in moved.other_participants] == ["carol"]
        claims = verify_claims(moved.token, {KEY: SECRET}, now_s=time.time())
        assert (claims["sub"], claims["video"]["room"]) == ("alice", "side")

        came = await update_of(carol, "alice")
        assert [track.sid for track in came.tracks] == [sid]
        room, side = service.rooms.find("room"), service.rooms.find("side")
        assert room is not None
        assert side is not None
        assert room.by_identity("alice") is None
        listener, mover = side.by_identity("carol"), side.by_identity("alice")
        assert listener is not None
        assert mover is not None
        assert listener.subscriber.track_sids == {sid}
        # From now on it is a participant of the other room like any other.
        second = await announce_in(side, alice, "alice", "c2")
        assert listener.subscriber.track_sids == {sid, second}
        await alice.send(update_metadata=rtc.UpdateParticipantMetadata(name="Ada"))
        while (await update_of(carol, "alice")).name != "Ada":
            pass
        await alice.close()
        while (await update_of(carol, "alice")).state != models.ParticipantInfo.DISCONNECTED:
            pass


async def test_nobody_is_moved_to_where_the_identity_is_taken_or_no_place_is_left(
    service: SfuService, api: Api
) -> None:
    wish = {"room": "room", "identity": "alice", "destination_room": "side"}
    await api.call("CreateRoom", {"name": "side", "max_participants": 1}, {"roomCreate": True})
    status, answer = await api.call("MoveParticipant", wish, SIDE)
    assert (status, answer["code"]) == (404, "not_found")
    async with client(service, "alice"), client(service, "alice", room="side"):
        for method in ("MoveParticipant", "ForwardParticipant"):
            status, answer = await api.call(method, wish, SIDE)
            assert (status, answer["code"]) == (409, "already_exists")
    async with client(service, "alice"), client(service, "bob", room="side"):
        await eventually(lambda: len(service.rooms.live["side"].participants) == 1)
        status, answer = await api.call("MoveParticipant", wish, SIDE)
        assert (status, answer["code"]) == (429, "resource_exhausted")
        assert service.rooms.live["room"].by_identity("alice") is not None


async def test_a_forwarded_participant_is_seen_in_both_rooms_until_it_leaves(
    service: SfuService, api: Api
) -> None:
    wish = {"room": "room", "identity": "alice", "destination_room": "side"}
    side_admin = {"roomAdmin": True, "room": "side"}
    async with (
        client(service, "alice") as alice,
        RawSignal(service.url, token("bob"), LISTENING) as bob,
        RawSignal(service.url, token("carol", room="side"), LISTENING) as carol,
    ):
        sid = await announce(service, alice, "alice")
        assert (await api.call("ForwardParticipant", wish, SIDE))[0] == 200
        assert (await api.call("ForwardParticipant", wish, SIDE))[0] == 200
        seen = await update_of(carol, "alice")
        assert list(seen.kind_details) == [models.ParticipantInfo.FORWARDED]
        assert [track.sid for track in seen.tracks] == [sid]
        room, side = service.rooms.live["room"], service.rooms.live["side"]
        listener = side.by_identity("carol")
        assert listener is not None
        assert listener.subscriber.track_sids == {sid}
        assert room.by_identity("alice") is not None
        # What changes at home changes here.
        second = await announce(service, alice, "alice", "c2")
        assert listener.subscriber.track_sids == {sid, second}
        await alice.send(update_metadata=rtc.UpdateParticipantMetadata(attributes={"a": "b"}))
        while dict((await update_of(carol, "alice")).attributes) != {"a": "b"}:
            pass
        await alice.send(subscription_permission=rtc.SubscriptionPermission(all_participants=False))
        await alice.round_trip()
        assert listener.subscriber.track_sids == set()
        await alice.send(subscription_permission=rtc.SubscriptionPermission(all_participants=True))
        await alice.round_trip()
        assert listener.subscriber.track_sids == {sid, second}
        # Late comers find it, and so does the API.
        late = client(service, "dave", room="side")
        async with late:
            assert {p.identity for p in late.joined.other_participants} == {"alice", "carol"}
        _, listed = await api.call("ListParticipants", {"room": "side"}, side_admin)
        assert "alice" in {person["identity"] for person in listed["participants"]}
        # Removing it there ends the forwarding, and nothing else.
        body = {"room": "side", "identity": "alice"}
        assert (await api.call("RemoveParticipant", body, side_admin))[0] == 200
        while (await update_of(carol, "alice")).state != models.ParticipantInfo.DISCONNECTED:
            pass
        assert listener.subscriber.track_sids == set()
        hearer = room.by_identity("bob")
        assert hearer is not None
        assert hearer.subscriber.track_sids == {sid, second}
        # And so does its leaving.
        assert (await api.call("ForwardParticipant", wish, SIDE))[0] == 200
        assert listener.subscriber.track_sids == {sid, second}
        await alice.send(leave=rtc.LeaveRequest())
        while (await update_of(carol, "alice")).state != models.ParticipantInfo.DISCONNECTED:
            pass
        assert listener.subscriber.track_sids == set()
        assert not side.guests
        await bob.round_trip()


async def test_a_forwarded_participant_that_hides_is_gone_from_both_rooms(
    service: SfuService, api: Api
) -> None:
    wish = {"room": "room", "identity": "alice", "destination_room": "side"}
    async with (
        client(service, "alice") as alice,
        RawSignal(service.url, token("bob"), EVERYTHING) as bob,
        RawSignal(service.url, token("carol", room="side"), EVERYTHING) as carol,
    ):
        publish = rtc.PublishDataTrackRequest(pub_handle=1, name="sensor")
        await alice.send(publish_data_track_request=publish)
        sid = await announce(service, alice, "alice")
        assert (await api.call("ForwardParticipant", wish, SIDE))[0] == 200
        rooms = [service.rooms.live[name] for name in ("room", "side")]
        listeners = [rooms[0].by_identity("bob"), rooms[1].by_identity("carol")]
        tracks = [next(iter(room.data_tracks._by_sid.values())) for room in rooms]

        def receives() -> list[tuple[bool, bool]]:
            return [
                (sid in listener.subscriber.track_sids, listener.sid in track.downlinks)
                for listener, track in zip(listeners, tracks, strict=True)
                if listener is not None
            ]

        assert receives() == [(True, True)] * 2
        hidden = {**RIGHTS, "hidden": True}
        await api.admin("UpdateParticipant", identity="alice", permission=hidden)
        for raw in (bob, carol):
            await departure(raw, "alice")
        assert receives() == [(False, False)] * 2
        await api.admin("UpdateParticipant", identity="alice", permission=RIGHTS)
        assert receives() == [(True, True)] * 2


async def test_what_was_published_in_hiding_is_received_once_its_owner_shows_itself(
    service: SfuService, api: Api
) -> None:
    async with (
        client(service, "alice", hidden=True) as alice,
        RawSignal(service.url, token("bob"), EVERYTHING),
    ):
        publish = rtc.PublishDataTrackRequest(pub_handle=1, name="sensor")
        await alice.send(publish_data_track_request=publish)
        sid = await announce(service, alice, "alice")
        room = service.rooms.live["room"]
        listener = room.by_identity("bob")
        assert listener is not None
        assert listener.subscriber.track_sids == set()
        await api.admin("UpdateParticipant", identity="alice", permission=RIGHTS)
        assert listener.subscriber.track_sids == {sid}
        (track,) = room.data_tracks._by_sid.values()
        assert set(track.downlinks) == {listener.sid}


async def test_what_a_host_forbids_is_forbidden_in_that_room_only() -> None:
    async with hosting() as (service, door), aiohttp.ClientSession() as session:
        assert (await door.patch(token_as("host", "ada"), allow={"share": False}))[0] == 200
        async with RawSignal(service.url, token("guest")) as guest:
            await guest.send(add_track=SHARE)
            answer = (await guest.receive("request_response")).request_response
            assert answer.reason == rtc.RequestResponse.NOT_ALLOWED
            wish = {"room": "room", "identity": "guest", "destination_room": "side"}
            assert (await Api(service, session).call("MoveParticipant", wish, SIDE))[0] == 200
            moved = (await guest.receive("room_moved")).room_moved
            assert list(moved.participant.permission.can_publish_sources) == []
            await guest.send(add_track=SHARE)
            await guest.receive("track_published")


def lines(witness: Witness) -> list[str]:
    return [packet.user.payload.decode() for packet, _ in witness.data if packet.user.topic]


async def test_a_forwarded_guest_is_heard_by_the_rules_of_the_room_it_is_heard_in() -> None:
    config = ServerConfig(keys={KEY: SECRET}, port=0, rtc_port=0, door=True)
    service = SfuService(config)
    await service.start()
    wish = {"room": "room", "identity": "alice", "destination_room": "side"}
    try:
        async with (
            aiohttp.ClientSession() as http,
            joined(service.url, "alice") as (alice, _),
            joined(service.url, "bob") as (_, bob),
            joined(service.url, "carol", room="side") as (_, carol),
        ):
            assert (await Api(service, http).call("ForwardParticipant", wish, SIDE))[0] == 200
            door = DoorClient(service.url.replace("ws", "http", 1), http)

            async def allow_chat(room: str, allowed: bool) -> None:
                patch = {"allow": {"chat": allowed}}
                held = token_as("host", "ada", room=room)
                assert (await door.ask("PATCH", f"/rooms/{room}", patch, token=held))[0] == 200

            async def say(text: str) -> None:
                for topic, payload in (("lk-chat-topic", text), ("other", f"{text} unruled")):
                    user = models.UserPacket(payload=payload.encode(), topic=topic)
                    await alice.send_data(models.DataPacket(user=user), reliable=True)
                last = f"{text} unruled"
                await eventually(lambda: last in lines(bob) and last in lines(carol))

            await allow_chat("room", False)
            await say("only at the side")
            await allow_chat("room", True)
            await allow_chat("side", False)
            await say("only at home")
            # A host at home is a guest at the side.
            role = {"role": "cohost"}
            held = token_as("host", "ada")
            path = "/rooms/room/people/alice/role"
            assert (await door.ask("POST", path, role, token=held))[0] == 200
            await say("as co-host")
    finally:
        await service.stop()
    assert [text for text in lines(bob) if "unruled" not in text] == ["only at home", "as co-host"]
    assert [text for text in lines(carol) if "unruled" not in text] == ["only at the side"]


async def test_a_moved_session_resumes_though_its_old_room_is_full(
    service: SfuService, api: Api
) -> None:
    await api.call("CreateRoom", {"name": "room", "max_participants": 1}, {"roomCreate": True})
    wish = {"room": "room", "identity": "alice", "destination_room": "side"}
    async with client(service, "alice") as alice:
        participant = service.rooms.live["room"].by_identity("alice")
        assert participant is not None
        participant.was_active = True
        assert (await api.call("MoveParticipant", wish, SIDE))[0] == 200
    await eventually(lambda: not participant.signal.is_attached)
    async with client(service, "bob"):
        again = rtc.JoinRequest(reconnect=True, participant_sid=participant.sid)
        async with RawSignal(service.url, token("alice"), again) as alice:
            await alice.receive("reconnect")


async def test_a_server_that_stops_makes_no_rooms(service: SfuService, api: Api) -> None:
    wish = {"room": "room", "identity": "alice", "destination_room": "side"}
    async with client(service, "alice"):
        service.rooms.is_stopping = True
        calls = [
            await api.call("CreateRoom", {"name": "new"}, {"roomCreate": True}),
            await api.call("MoveParticipant", wish, SIDE),
            await api.call("ForwardParticipant", wish, SIDE),
            await api.call(
                "livekit.AgentDispatchService/CreateDispatch",
                {"room": "new", "agent_name": "a"},
                {"roomAdmin": True, "room": "new"},
            ),
        ]
    assert [(status, answer["code"]) for status, answer in calls] == [(503, "unavailable")] * 4
    assert set(service.rooms.live) == {"room"}
