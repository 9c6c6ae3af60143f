"""The server API over real HTTP, beside signalling clients that see what it does."""

from __future__ import annotations

import asyncio
import base64
import io
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from livekit.protocol import models, rtc
from structlog.testing import capture_logs

from app.protocol.token import sign_claims, verify_claims
from app.server.api import absent_services
from app.server.config import ServerConfig
from app.server.room.room import Room
from app.server.service import SfuService
from tests.support.management import (
    ADMIN,
    Api,
    announce,
    client,
    microphone,
    signed,
    update_of,
)
from tests.support.raw_signal import RawSignal
from tests.support.session_room import KEY, SECRET, eventually, token
from tests.support.vectors import VectorRecord, read_vector


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


# --- the envelope


async def replay(api: Api, asked: VectorRecord, track_sid: str) -> tuple[int, Any]:
    """Ask what was asked, with a token of ours that says the same."""
    headers = {"Content-Type": asked.json["headers"]["Content-Type"]}
    if asked.json.get("token_claims"):
        secret = "x" * 32 if "signature" in asked.json["case"] else SECRET
        now_s = int(time.time())
        claims = {**asked.json["token_claims"], "iss": KEY, "nbf": now_s, "exp": now_s + 60}
        headers["Authorization"] = f"Bearer {sign_claims(claims, api_secret=secret)}"
    body = asked.raw.replace(b"TR_AM7mR7X5EffTBJ", track_sid.encode())
    url = api.url.removesuffix("/twirp") + asked.type.removeprefix("POST ")
    async with api.session.post(url, data=body, headers=headers) as response:
        if response.content_type == "application/json":
            return response.status, await response.json()
        return response.status, await response.read()


def same_shape(recorded: Any, ours: Any) -> bool:
    """Whether every field of the recorded answer is in ours, in the same form."""
    if isinstance(recorded, dict):
        return isinstance(ours, dict) and all(
            key in ours and same_shape(value, ours[key])
            for key, value in recorded.items()
            # A track without media has no version of its media.
            if value is not None and key != "version"
        )
    if isinstance(recorded, list):
        pairs = zip(recorded[:1], ours[:1], strict=False)
        return isinstance(ours, list) and all(same_shape(a, b) for a, b in pairs)
    return type(recorded) is type(ours)


async def test_every_recorded_request_gets_the_recorded_kind_of_answer(
    service: SfuService, api: Api
) -> None:
    """Calls on an official server, replayed in their order; bob is removed near the end."""
    records = read_vector("twirp_room_service.jsonl")
    replayed = 0
    async with (
        RawSignal(service.url, token("alice", room="vectors-twirp")) as alice,
        RawSignal(service.url, token("bob", room="vectors-twirp")),
    ):
        await alice.send(add_track=microphone())
        sid = (await alice.receive("track_published")).track_published.track.sid
        for asked, told in zip(records[::2], records[1::2], strict=True):
            case = (asked.type, asked.json["case"])
            if "PerformRpc" in asked.type or "not implemented" in case[1]:
                # There is no data channel here to be called by; the others we do implement.
                continue
            replayed += 1
            status, answer = await replay(api, asked, sid)
            assert status == told.json["status"], (case, answer)
            body = told.json["body"]
            if told.fields["encoding"] == "json" and status < 300:
                assert same_shape(body, answer), (case, body, answer)
            elif told.fields["encoding"] == "json":
                assert answer["code"] == body["code"], case
                assert sorted(answer.get("meta", {})) in ([], sorted(body.get("meta", {}))), case
    assert replayed >= 55


async def test_requests_that_are_none_say_so(service: SfuService, api: Api) -> None:
    url = f"{api.url}/livekit.RoomService/ListRooms"
    headers = {"Authorization": f"Bearer {signed({'roomList': True})}"}
    for kind, body, status in (
        ("application/json; charset=utf-8", b"{}", 200),
        ("application/protobuf; x=y", b"", 200),
        ("application/json", b"", 400),
        ("application/json", b"[" * 100_000, 400),
        ("application/json", b"[]", 400),
        ("application/json", b'["names"]', 400),
        ("application/json", b'"names"', 400),
        ("application/json", b"null", 400),
        ("application/json", b'{"names": ["' + b"x" * 5_000_000 + b'"]}', 400),
        ("application/json", b'{"names": ["' + b"\\u00e9" * 262_144 + b'"]}', 200),
        ("application/json", b'{"names": ["\\ud800"]}', 400),
        ("application/protobuf", b"\xff\xff", 400),
        ("", b"{}", 404),
    ):
        sent = {**headers, "Content-Type": kind}
        async with api.session.post(url, data=io.BytesIO(body), headers=sent) as response:
            assert response.status == status, (kind, body[:10], await response.text())
    async with api.session.get(url, headers=headers) as response:
        answer = await response.json()
        assert (response.status, answer["code"]) == (404, "bad_route")
        assert answer["meta"] == {"twirp_invalid_route": "GET /twirp/livekit.RoomService/ListRooms"}
        assert answer["msg"] == 'unsupported method "GET" (only POST is allowed)'
    async with api.session.post(f"{url}/", json={}, headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (404, "bad_route")


async def test_the_type_of_an_answer_is_what_the_official_server_calls_it(
    service: SfuService, api: Api
) -> None:
    url = f"{api.url}/livekit.RoomService/ListRooms"
    headers = {"Authorization": f"Bearer {signed({'roomList': True})}"}
    for sent, status in ((headers, 200), ({}, 401)):
        async with api.session.post(url, json={}, headers=sent) as response:
            assert response.status == status
            assert response.headers["Content-Type"] == "application/json"


async def test_an_address_with_a_slash_at_its_end_is_the_same_address(
    service: SfuService, api: Api
) -> None:
    grants = {"roomList": True}
    assert (await api.call("livekit.RoomService/ListRooms", {}, grants))[0] == 200
    base = service.url.replace("ws://", "http://") + "/"
    headers = {"Authorization": f"Bearer {signed(grants)}"}
    url = f"{base}/twirp/livekit.RoomService/ListRooms"
    async with api.session.post(url, json={}, headers=headers) as response:
        assert response.status == 200
    held = token("alice")
    params = {"access_token": held}
    async with api.session.get(f"{base}/rtc/v1/validate", params=params) as response:
        assert response.status == 400  # a join request is missing, the place is right
    async with RawSignal(f"{service.url}/", held) as alice:
        assert alice.joined.room.name == "room"


async def test_a_strangers_body_is_not_read(service: SfuService, api: Api) -> None:
    url = f"{api.url}/livekit.RoomService/ListRooms"
    never = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await never.wait()

    headers = {"Content-Type": "application/json"}
    async with api.session.post(url, data=body(), headers=headers) as response:
        assert response.status == 401


async def test_a_room_that_cannot_be_recorded_or_has_too_much_to_say_is_not_made(
    service: SfuService, api: Api
) -> None:
    grant = {"roomCreate": True}
    egress = {"name": "r", "egress": {"room": {"layout": "grid"}}}
    status, answer = await api.call("CreateRoom", egress, grant)
    assert (status, answer["code"]) == (501, "unimplemented")
    assert (await api.call("CreateRoom", egress, {"roomList": True}))[0] == 401
    for agent in ({"metadata": "x" * 524_289}, {"attributes": {"a": "x" * 65_536}}):
        status, answer = await api.call("CreateRoom", {"name": "r", "agents": [agent]}, grant)
        assert (status, answer["code"]) == (400, "invalid_argument")
    assert not service.rooms.live


async def test_who_may_not_move_people_is_not_told_more(service: SfuService, api: Api) -> None:
    wish = {"room": "room", "identity": "alice", "destination_room": "room"}
    assert (await api.call("MoveParticipant", wish, ADMIN))[0] == 401
    may = {**ADMIN, "destinationRoom": "room"}
    status, answer = await api.call("MoveParticipant", wish, may)
    assert (status, answer["code"]) == (400, "invalid_argument")


METHODS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "CreateRoom": ({"name": "new"}, {"roomCreate": True}),
    "ListRooms": ({}, {"roomList": True}),
    "ListParticipants": ({"room": "room"}, ADMIN),
    "GetParticipant": ({"room": "room", "identity": "alice"}, ADMIN),
    "MutePublishedTrack": (
        {"room": "room", "identity": "alice", "track_sid": "TR_x", "muted": True},
        ADMIN,
    ),
    "UpdateParticipant": ({"room": "room", "identity": "alice", "name": "A"}, ADMIN),
    "UpdateSubscriptions": ({"room": "room", "identity": "alice"}, ADMIN),
    "SendData": ({"room": "room", "data": "aGk="}, ADMIN),
    "UpdateRoomMetadata": ({"room": "room", "metadata": "m"}, ADMIN),
    "ForwardParticipant": (
        {"room": "room", "identity": "alice", "destination_room": "side"},
        {**ADMIN, "destinationRoom": "side"},
    ),
    "MoveParticipant": (
        {"room": "room", "identity": "alice", "destination_room": "side"},
        {**ADMIN, "destinationRoom": "side"},
    ),
    "RemoveParticipant": ({"room": "room", "identity": "alice"}, ADMIN),
    "DeleteRoom": ({"room": "room"}, {"roomCreate": True}),
}
ALL_GRANTS = {
    "roomJoin": True,
    "roomCreate": True,
    "roomList": True,
    "roomAdmin": True,
    "roomRecord": True,
    "ingressAdmin": True,
}


@pytest.mark.parametrize("method", METHODS)
async def test_each_method_wants_its_grant_and_nothing_else(
    service: SfuService, api: Api, method: str
) -> None:
    body, needed = METHODS[method]
    async with client(service, "alice"):
        wrong: list[dict[str, Any] | None] = [None, {}, {"roomJoin": True, "room": "room"}]
        if needed.get("roomAdmin"):
            wrong += [
                {**ALL_GRANTS, **needed, "room": "other"},
                {**ALL_GRANTS},
                {**ALL_GRANTS, **needed, "roomAdmin": False},
            ]
            if "destinationRoom" in needed:
                wrong += [{**ALL_GRANTS, **ADMIN}, {**needed, "destinationRoom": "other"}]
        else:
            wrong.append({**ALL_GRANTS, "room": "room", next(iter(needed)): False})
        for grant in wrong:
            status, answer = await api.call(method, body, grant)
            assert (status, answer["code"]) == (401, "unauthenticated"), grant
        status, answer = await api.call(method, body, needed)
        assert status == 200, answer


@pytest.mark.parametrize(
    ("service_name", "method", "claims", "video"),
    [
        ("Egress", "StartRoomCompositeEgress", {}, {"roomRecord": True}),
        ("Egress", "ListEgress", {}, {"roomRecord": True}),
        ("Ingress", "CreateIngress", {}, {"ingressAdmin": True}),
        ("Ingress", "ListIngress", {}, {"ingressAdmin": True}),
        ("SIP", "CreateSIPInboundTrunk", {"sip": {"admin": True}}, {}),
        ("SIP", "ListSIPDispatchRule", {"sip": {"admin": True}}, {}),
        ("SIP", "CreateSIPParticipant", {"sip": {"call": True}}, {}),
    ],
)
async def test_services_that_are_not_here_say_so_to_those_who_may_ask(
    service: SfuService,
    api: Api,
    service_name: str,
    method: str,
    claims: dict[str, Any],
    video: dict[str, Any],
) -> None:
    path = f"livekit.{service_name}/{method}"
    for wrong in ({}, {"roomCreate": True, "roomAdmin": True, "room": "room"}):
        assert (await api.call(path, {}, wrong))[0] == 401
    status, answer = await api.call(path, {}, video, **claims)
    if method.startswith("List"):
        assert (status, answer) == (200, {"items": []})
    else:
        assert (status, answer["code"]) == (501, "unimplemented")
    status, answer = await api.call(f"livekit.{service_name}/Nope", {}, video, **claims)
    assert (status, answer["code"]) == (404, "bad_route")


async def test_a_caller_is_handed_on_by_an_admin_of_the_room_alone(api: Api) -> None:
    path, body, call = "livekit.SIP/TransferSIPParticipant", {"roomName": "room"}, {"call": True}
    for video in ({}, {"roomAdmin": True, "room": "other"}, {"roomAdmin": True}):
        assert (await api.call(path, body, video, sip=call))[0] == 401
    assert (await api.call(path, body, ADMIN))[0] == 401
    status, answer = await api.call(path, body, ADMIN, sip=call)
    assert (status, answer["code"]) == (501, "unimplemented")


# --- what the methods do


async def test_a_room_is_made_once_as_asked_for_and_listed(service: SfuService, api: Api) -> None:
    grant = {"roomCreate": True, "roomList": True}
    wanted = {"name": "r", "emptyTimeout": 60, "max_participants": 1, "metadata": "m"}
    _, made = await api.call("CreateRoom", wanted, grant)
    assert (made["empty_timeout"], made["departure_timeout"]) == (60, 20)
    assert (made["max_participants"], made["metadata"]) == (1, "m")
    assert isinstance(made["creation_time_ms"], str)
    _, again = await api.call("CreateRoom", {"name": "r", "metadata": "other"}, grant)
    assert again == made
    assert (await api.call("CreateRoom", {}, grant))[0] == 400
    assert (await api.call("CreateRoom", {"name": "x" * 257}, grant))[0] == 400
    assert (await api.call("CreateRoom", {"name": "y", "room_preset": "z"}, grant))[0] == 400
    await api.call("CreateRoom", {"name": "s"}, grant)
    _, listed = await api.call("ListRooms", {}, grant)
    assert {room["name"] for room in listed["rooms"]} == {"r", "s"}
    _, listed = await api.call("ListRooms", {"names": ["s", "absent"]}, grant)
    assert [room["name"] for room in listed["rooms"]] == ["s"]


async def test_a_room_takes_no_more_people_than_it_was_made_for(
    service: SfuService, api: Api
) -> None:
    await api.call("CreateRoom", {"name": "room", "max_participants": 1}, {"roomCreate": True})
    async with client(service, "alice"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with client(service, "bob"):
                pass
        assert caught.value.status == 503
        # Whoever comes back takes the own place again; an agent takes none.
        async with client(service, "helper", agent=True), client(service, "alice") as again:
            assert again.joined.room.num_participants == 1
            assert again.joined.room.max_participants == 1


async def test_an_empty_room_closes_by_its_own_time(service: SfuService, api: Api) -> None:
    grant = {"roomCreate": True}
    await api.call("CreateRoom", {"name": "brief", "empty_timeout": 1}, grant)
    await api.call("CreateRoom", {"name": "room", "departure_timeout": 1}, grant)
    async with client(service, "alice"):
        pass
    await eventually(lambda: service.rooms.find("brief") is None)
    await eventually(lambda: service.rooms.find("room") is None)


async def test_who_is_here_can_be_asked_the_hidden_too(service: SfuService, api: Api) -> None:
    assert await api.admin("ListParticipants") == {"participants": []}
    async with client(service, "alice") as alice, client(service, "spy", hidden=True):
        people = (await api.admin("ListParticipants"))["participants"]
        assert [person["identity"] for person in people] == ["alice", "spy"]
        assert people[0]["state"] == "JOINED"
        one = await api.admin("GetParticipant", identity="alice")
        assert one["sid"] == alice.joined.participant.sid
        status, answer = await api.call(
            "GetParticipant", {"room": "room", "identity": "zoe"}, ADMIN
        )
        assert (status, answer["code"]) == (404, "not_found")


async def test_a_removed_participant_is_told_why_and_may_come_back(
    service: SfuService, api: Api
) -> None:
    async with client(service, "alice") as alice, client(service, "bob") as bob:
        await api.admin("RemoveParticipant", identity="alice")
        leave = (await alice.receive("leave")).leave
        assert (leave.reason, leave.action) == (
            models.DisconnectReason.PARTICIPANT_REMOVED,
            rtc.LeaveRequest.DISCONNECT,
        )
        gone = await update_of(bob, "alice")
        assert gone.state == models.ParticipantInfo.DISCONNECTED
        assert gone.disconnect_reason == models.DisconnectReason.PARTICIPANT_REMOVED
        async with client(service, "alice"):
            assert (await update_of(bob, "alice")).state == models.ParticipantInfo.JOINED


async def test_a_track_is_muted_for_everybody_and_its_owner_is_told(
    service: SfuService, api: Api
) -> None:
    async with client(service, "alice") as alice, client(service, "bob") as bob:
        sid = await announce(service, alice, "alice")
        await alice.send(mute=rtc.MuteTrackRequest(sid=sid, muted=False))
        while (await update_of(bob, "alice")).tracks[0].muted:
            pass
        answer = await api.admin("MutePublishedTrack", identity="alice", track_sid=sid, muted=True)
        assert answer["track"]["sid"] == sid
        assert answer["track"]["muted"] is True
        mute = (await alice.receive("mute")).mute
        assert (mute.sid, mute.muted) == (sid, True)
        assert (await update_of(bob, "alice")).tracks[0].muted
        assert await api.admin(
            "MutePublishedTrack", identity="alice", track_sid="TR_none", muted=True
        ) in ({}, {"track": None})
        wish = {"room": "room", "identity": "alice", "track_sid": sid, "muted": False}
        status, answer = await api.call("MutePublishedTrack", wish, ADMIN)
        assert (status, answer["code"]) == (412, "failed_precondition")


async def test_a_participants_own_token_moderates_its_own_room_only(
    service: SfuService, api: Api
) -> None:
    host = {"roomJoin": True, "roomAdmin": True, "roomCreate": True, "room": "room"}
    async with client(service, "alice"):
        wish = {"room": "room", "identity": "alice", "name": "Ada"}
        status, answer = await api.call("UpdateParticipant", wish, host, sub="host")
        assert (status, answer["name"]) == (200, "Ada")
        wish = {"room": "other", "identity": "alice", "name": "Eve"}
        assert (await api.call("UpdateParticipant", wish, host, sub="host"))[0] == 401
        # As at livekit-server, this grant knows no room.
        status, _ = await api.call("DeleteRoom", {"room": "other"}, host, sub="host")
        assert status == 404
        status, _ = await api.call("DeleteRoom", {"room": "room"}, host, sub="host")
        assert status == 200


async def test_names_metadata_and_attributes_are_merged_and_limited(
    service: SfuService, api: Api
) -> None:
    async with client(service, "alice") as alice, client(service, "bob") as bob:
        answer = await api.admin(
            "UpdateParticipant",
            identity="alice",
            name="Ada",
            metadata="m",
            attributes={"a": "1", "b": "2"},
        )
        assert (answer["name"], answer["metadata"]) == ("Ada", "m")
        answer = await api.admin("UpdateParticipant", identity="alice", attributes={"a": ""})
        assert answer["attributes"] == {"b": "2"}
        assert (answer["name"], answer["permission"]["can_publish"]) == ("Ada", True)
        while (seen := await update_of(bob, "alice")).version < answer["version"]:
            pass
        assert (seen.name, seen.metadata, dict(seen.attributes)) == ("Ada", "m", {"b": "2"})
        claims = verify_claims(
            (await alice.receive("refresh_token")).refresh_token, {KEY: SECRET}, now_s=time.time()
        )
        assert claims["video"]["room"] == "room"
        for wish, code in (
            ({"attributes": {"x": "y" * 70_000}}, "invalid_argument"),
            ({"name": "n" * 257}, "invalid_argument"),
            ({"metadata": "m" * (512 * 1024 + 1)}, "invalid_argument"),
            ({"attributes": {"lanai.role": "host"}}, "permission_denied"),
        ):
            body = {"room": "room", "identity": "alice", **wish}
            _, answer = await api.call("UpdateParticipant", body, ADMIN)
            assert answer["code"] == code, wish


async def test_a_permission_replaces_the_set_and_takes_tracks_back(
    service: SfuService, api: Api
) -> None:
    async with client(service, "alice") as alice, client(service, "bob") as bob:
        sid = await announce(service, alice, "alice")
        await update_of(bob, "alice")
        answer = await api.admin(
            "UpdateParticipant", identity="alice", permission={"can_subscribe": True}
        )
        permission = answer["permission"]
        assert permission["can_subscribe"] is True
        assert permission["can_publish"] is False
        assert permission["can_publish_data"] is False
        assert permission["can_update_metadata"] is False
        assert answer["tracks"] == []
        taken = (await alice.receive("track_unpublished")).track_unpublished
        assert taken.track_sid == sid
        while (await update_of(bob, "alice")).tracks:
            pass
        await alice.send(add_track=microphone("c2"))
        refused = (await alice.receive("request_response")).request_response
        assert refused.reason == rtc.RequestResponse.NOT_ALLOWED
        wish = rtc.UpdateParticipantMetadata(name="x")
        await alice.send(update_metadata=wish)
        refused = (await alice.receive("request_response")).request_response
        assert refused.reason == rtc.RequestResponse.NOT_ALLOWED


async def test_the_token_after_a_change_of_rights_says_the_new_ones_and_keeps_the_kind(
    service: SfuService, api: Api
) -> None:
    jwt = signed(
        {"roomJoin": True, "room": "room"},
        sub="bot",
        kind="agent",
        kindDetails=["cloud_agent", "nonsense"],
    )
    async with RawSignal(service.url, jwt) as bot, client(service, "bob") as bob:
        info = bot.joined.participant
        assert info.kind == models.ParticipantInfo.AGENT
        assert list(info.kind_details) == [models.ParticipantInfo.CLOUD_AGENT]
        await api.admin("UpdateParticipant", identity="bot", permission={"can_publish": True})
        while True:
            fresh = (await bot.receive("refresh_token")).refresh_token
            claims = verify_claims(fresh, {KEY: SECRET}, now_s=time.time())
            if claims["video"].get("canSubscribe") is False:
                break
        assert claims["kindDetails"] == ["cloud_agent", "nonsense"]
        assert claims["video"]["canPublish"] is True
        await update_of(bob, "bot")
        async with RawSignal(service.url, fresh) as again:
            assert not again.joined.participant.permission.can_subscribe
            assert again.joined.participant.kind == models.ParticipantInfo.AGENT


async def test_whoever_is_hidden_is_gone_for_the_others_and_back_again(
    service: SfuService, api: Api
) -> None:
    async with client(service, "alice"), client(service, "bob") as bob:
        rights = {"can_subscribe": True, "can_publish": True, "can_publish_data": True}
        await api.admin(
            "UpdateParticipant", identity="alice", permission={**rights, "hidden": True}
        )
        assert (await update_of(bob, "alice")).state == models.ParticipantInfo.DISCONNECTED
        async with client(service, "carol") as carol:
            assert [p.identity for p in carol.joined.other_participants] == ["bob"]
        await api.admin("UpdateParticipant", identity="alice", permission=rights)
        back = await update_of(bob, "alice")
        assert back.state == models.ParticipantInfo.JOINED


async def test_the_right_to_subscribe_is_taken_and_given_back_live(
    service: SfuService, api: Api
) -> None:
    listening = rtc.JoinRequest(
        client_info=models.ClientInfo(protocol=17),
        connection_settings=rtc.ConnectionSettings(auto_subscribe=True),
    )
    async with (
        client(service, "alice") as alice,
        RawSignal(service.url, token("bob"), listening) as bob,
    ):
        sid = await announce(service, alice, "alice")
        room = service.rooms.find("room")
        assert room is not None
        listener = room.by_identity("bob")
        assert listener is not None
        assert listener.subscriber.track_sids == {sid}
        rights = {"can_publish": True, "can_publish_data": True}
        await api.admin("UpdateParticipant", identity="bob", permission=rights)
        update = (
            await bob.receive("subscription_permission_update")
        ).subscription_permission_update
        assert (update.track_sid, update.allowed) == (sid, False)
        assert listener.subscriber.track_sids == set()
        second = await announce(service, alice, "alice", "c2")
        assert listener.subscriber.track_sids == set()
        await api.admin(
            "UpdateParticipant", identity="bob", permission={**rights, "can_subscribe": True}
        )
        assert listener.subscriber.track_sids == {sid, second}
        await api.admin(
            "UpdateSubscriptions", identity="bob", track_sids=[sid, "TR_x"], subscribe=False
        )
        assert listener.subscriber.track_sids == {second}
        # What a subscriber has given up does not come back by somebody's rules.
        await alice.send(subscription_permission=rtc.SubscriptionPermission(all_participants=False))
        await alice.round_trip()
        assert listener.subscriber.track_sids == set()
        await alice.send(subscription_permission=rtc.SubscriptionPermission(all_participants=True))
        await alice.round_trip()
        assert listener.subscriber.track_sids == {second}


async def test_room_metadata_is_told_to_everybody_before_the_call_returns(
    service: SfuService, api: Api
) -> None:
    async with client(service, "alice") as alice:
        answer = await api.admin("UpdateRoomMetadata", metadata="hello")
        assert answer["metadata"] == "hello"
        while (await alice.receive("room_update")).room_update.room.metadata != "hello":
            pass
        body = {"room": "room", "metadata": "m" * (512 * 1024 + 1)}
        assert (await api.call("UpdateRoomMetadata", body, ADMIN))[0] == 400


async def test_data_that_is_too_large_or_for_no_room_is_refused(
    service: SfuService, api: Api
) -> None:
    large = base64.b64encode(bytes(64_000)).decode()
    status, answer = await api.call("SendData", {"room": "room", "data": "aGk="}, ADMIN)
    assert (status, answer["code"]) == (404, "not_found")
    async with client(service, "alice"):
        status, answer = await api.call("SendData", {"room": "room", "data": large}, ADMIN)
        assert (status, answer["code"]) == (400, "invalid_argument")
        await api.admin("SendData", data="aGk=", nonce=base64.b64encode(bytes(16)).decode())


# --- what tokens and the configuration say of rooms


async def test_data_that_is_no_base64_is_refused_whole(service: SfuService, api: Api) -> None:
    async with client(service, "alice"):
        for data in ("%%", "aG k=", "aGk=aGk="):
            status, answer = await api.call("SendData", {"room": "room", "data": data}, ADMIN)
            assert (status, answer["code"]) == (400, "malformed"), data
        for data in ("aGk=", "aGk", "a-_=", "a+/=", ""):
            await api.admin("SendData", data=data)


async def test_the_first_token_says_what_its_room_is_like(service: SfuService) -> None:
    config = {"emptyTimeout": 9, "departureTimeout": 8, "maxParticipants": 2, "metadata": "m"}
    grant = {"roomJoin": True, "room": "room"}
    async with RawSignal(service.url, signed(grant, sub="a", roomConfig=config)) as first:
        room = first.joined.room
        assert (room.empty_timeout, room.departure_timeout) == (9, 8)
        assert (room.max_participants, room.metadata) == (2, "m")
        later = signed(grant, sub="b", roomConfig={"maxParticipants": 9})
        async with RawSignal(service.url, later) as second:
            assert second.joined.room.max_participants == 2
    for claims in ({"roomConfig": {"emptyTimeout": "x"}}, {"roomPreset": "none"}):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with RawSignal(service.url, signed(grant, sub="c", **claims)):
                pass
        assert caught.value.status == 400


async def test_without_auto_create_a_room_has_to_be_made_first() -> None:
    config = ServerConfig(
        keys={KEY: SECRET}, port=0, rtc_port=0, auto_create=False, max_participants=3
    )
    service = SfuService(config)
    await service.start()
    try:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with client(service, "alice"):
                pass
        assert caught.value.status == 404
        async with client(service, "host", room_create=True) as host:
            assert host.joined.room.max_participants == 3
            async with client(service, "alice"):
                pass
    finally:
        await service.stop()


@pytest.mark.parametrize(
    "kind", ["standard", "agent", "sip", "egress", "ingress", "connector", "bridge"]
)
async def test_every_kind_travels_and_only_some_count(service: SfuService, kind: str) -> None:
    details = {"connector": ["connector_whatsapp"], "bridge": ["bridge_rtsp"]}.get(kind, [])
    jwt = signed({"roomJoin": True, "room": "room"}, sub="k", kind=kind, kindDetails=details)
    async with client(service, "bob") as bob, RawSignal(service.url, jwt) as other:
        info = other.joined.participant
        assert info.state == models.ParticipantInfo.JOINING
        seen = await update_of(bob, "k")
        assert seen.state == models.ParticipantInfo.JOINED
        assert seen.version > info.version
        assert models.ParticipantInfo.Kind.Name(seen.kind) == kind.upper()
        names = [models.ParticipantInfo.KindDetail.Name(d).lower() for d in seen.kind_details]
        assert names == details
        counts = 1 if kind in ("agent", "egress") else 2
        assert other.joined.room.num_participants == counts


async def test_the_absent_services_are_those_of_the_protocol() -> None:
    services = absent_services.absent_services()
    assert set(services) == {"Egress", "Ingress", "SIP"}
    assert "StartEgress" in services["Egress"]


async def test_what_changes_nothing_is_told_to_nobody(service: SfuService, api: Api) -> None:
    async with client(service, "alice") as alice, client(service, "bob") as bob:
        await api.admin("UpdateRoomMetadata", metadata="m")
        for one in (alice, bob):
            while (await one.receive("room_update")).room_update.room.metadata != "m":
                pass
            await one.round_trip()
        alice.kinds.clear()
        bob.kinds.clear()
        rights = {
            "can_subscribe": True,
            "can_publish": True,
            "can_publish_data": True,
            "can_update_metadata": True,
        }
        await api.admin("UpdateParticipant", identity="alice")
        await api.admin("UpdateParticipant", identity="alice", permission=rights)
        await api.admin("UpdateRoomMetadata", metadata="m")
        await alice.send(update_metadata=rtc.UpdateParticipantMetadata(request_id=7))
        await alice.receive("request_response")
        await alice.round_trip()
        await bob.round_trip()
        heard = [kind for kind in (*alice.kinds, *bob.kinds) if kind != "pong_resp"]
        assert heard == ["request_response"]


async def test_a_join_request_adds_attributes_and_deletes_none(service: SfuService) -> None:
    held = token("alice", attributes={"kept": "t", "changed": "t"})
    join = rtc.JoinRequest(participant_attributes={"kept": "", "changed": "n", "new": "d"})
    async with RawSignal(service.url, held, join) as alice:
        attributes = dict(alice.joined.participant.attributes)
    assert attributes == {"kept": "t", "changed": "n", "new": "d"}


async def test_when_a_room_ends_nobody_is_told_of_the_others_leaving(
    service: SfuService, api: Api
) -> None:
    async with client(service, "alice") as alice, client(service, "bob") as bob:
        await alice.receive("update")
        await alice.round_trip()
        alice.kinds.clear()
        bob.kinds.clear()
        await api.call("DeleteRoom", {"room": "room"}, {"roomCreate": True})
        for one in (alice, bob):
            leave = (await one.receive("leave")).leave
            assert leave.reason == models.DisconnectReason.ROOM_DELETED
        assert "update" not in (*alice.kinds, *bob.kinds)


async def test_a_refreshed_token_names_who_holds_it_and_what_it_is(service: SfuService) -> None:
    async with client(service, "alice") as alice:
        fresh = (await alice.receive("refresh_token")).refresh_token
    claims = verify_claims(fresh, {KEY: SECRET}, now_s=time.time())
    assert (claims["sub"], claims["identity"], claims["kind"]) == ("alice", "alice", "standard")


async def test_a_fault_of_ours_is_told_in_the_form_of_every_error_and_logged(
    service: SfuService, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Room) -> models.Room:
        raise KeyError("somebody's secret")

    await api.call("CreateRoom", {"name": "r"}, {"roomCreate": True})
    monkeypatch.setattr(Room, "snapshot", broken)
    with capture_logs() as lines:
        status, answer = await api.call("ListRooms", {}, {"roomList": True})
    monkeypatch.undo()
    assert (status, answer) == (500, {"code": "internal", "msg": "internal error"})
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert (line["service"], line["method"], line["exc_info"]) == ("RoomService", "ListRooms", True)
