"""The host's door over real HTTP: lobby, lock, roles, removal, rules, and who may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from livekit.protocol import models, rtc
from structlog.testing import capture_logs

from app.engine.session import Session
from app.protocol.token import peek_claims
from app.server.config import HostedRoom, ServerConfig
from app.server.service import SfuService
from tests.support.door_client import ROOM, DoorClient, hosting, token_as
from tests.support.raw_signal import RawSignal
from tests.support.session_room import KEY, SECRET, Witness, eventually, joined, serving, token

HOST = token_as("host", "ada")


def door_packets(witness: Witness, kind: str) -> list[dict[str, Any]]:
    """What the server has told on its own topic."""
    packets = [packet for packet, reliable in witness.data if reliable]
    assert all(not p.participant_identity and not p.participant_sid for p in packets)
    contents = [json.loads(p.user.payload) for p in packets if p.user.topic == "lanai.door"]
    return [content for content in contents if content["type"] == kind]


async def refusal_at_the_socket(url: str, some_token: str) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        async with RawSignal(url, some_token):
            pass
    return raised.value.status


async def test_a_guest_waits_in_the_lobby_until_the_host_says_yes() -> None:
    async with hosting(lobby=True) as (service, door):
        status, waiting = await door.knock("Bo")
        again = await door.knock("Another name", knock_id=waiting["knock_id"])
        async with joined(service.url, "ada", room_admin=True) as (_, witness):
            await eventually(lambda: door_packets(witness, "knocks"), what="the list on arrival")
            knocks = await door.knocks(HOST)
            assert await door.answer(HOST, knocks[0]["id"], admit=True) == 200
            await eventually(lambda: door_packets(witness, "knocks")[-1]["knocks"] == [])
        entered, admission = await door.knock(knock_id=waiting["knock_id"])
        twice = await door.knock(knock_id=waiting["knock_id"])

    assert (status, waiting["retry_ms"]) == (202, 1000)
    assert again == (202, {"knock_id": waiting["knock_id"], "retry_ms": 1000})
    assert [(knock["id"], knock["name"]) for knock in knocks] == [(waiting["knock_id"], "Bo")]
    claims = peek_claims(admission["participant_token"])
    assert (entered, admission["role"], claims["name"]) == (200, "guest", "Bo")
    assert "roomAdmin" not in claims["video"]
    # An answer lets in once.
    assert twice[0] == 202


async def test_a_denied_guest_is_told_and_cannot_knock_for_ever() -> None:
    async with hosting(lobby=True) as (_, door):
        answers = []
        for _attempt in range(3):
            knock_id = (await door.knock())[1]["knock_id"]
            assert await door.answer(HOST, knock_id, admit=False) == 200
            answers.append(await door.knock(knock_id=knock_id))
        blocked = await door.knock()

    assert answers == [(403, {"error": "denied"})] * 3
    assert blocked == (429, {"error": "too_many_tries"})


async def test_who_stops_asking_leaves_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.server.gate.lobby.SILENCE_S", 0.2)
    async with hosting(lobby=True) as (service, door):
        await door.knock()
        async with joined(service.url, "ada", room_admin=True) as (_, witness):
            await eventually(lambda: door_packets(witness, "knocks"))
            await eventually(lambda: door_packets(witness, "knocks")[-1]["knocks"] == [])
        assert await door.knocks(HOST) == []


async def test_only_so_many_wait_from_one_address() -> None:
    async with hosting(lobby=True) as (_, door):
        statuses = [(await door.knock(f"p{i}"))[0] for i in range(12)]
        answered = await door.ask("POST", f"/rooms/{ROOM}/knocks", {"admit": True}, token=HOST)

    assert statuses == [202] * 10 + [429] * 2
    assert answered == (200, {"answered": 10})


async def test_a_lobby_that_is_opened_lets_the_waiting_in() -> None:
    async with hosting(lobby=True) as (_, door):
        knock_id = (await door.knock())[1]["knock_id"]
        await door.patch(HOST, lobby=False)
        assert (await door.knock(knock_id=knock_id))[0] == 200
        assert await door.knocks(HOST) == []


async def test_behind_a_lock_only_those_who_belong_come_back() -> None:
    async with hosting() as (service, door):
        held = (await door.knock())[1]["participant_token"]
        await door.patch(HOST, locked=True)

        assert await door.knock() == (403, {"error": "locked"})
        assert await refusal_at_the_socket(service.url, token_as("guest", "eve")) == 403
        for some_token in (held, HOST, token_as("cohost", "cleo")):
            async with RawSignal(service.url, some_token) as client:
                await client.round_trip()
        await door.patch(HOST, locked=False)
        assert (await door.knock())[0] == 200


async def test_the_passcode_and_the_size_are_the_hosts_to_change() -> None:
    async with hosting() as (service, door):
        status, rules = await door.patch(HOST, passcode="pst", max_people=1)
        assert (status, rules["passcode"], rules["max_people"]) == (200, True, 1)
        assert await door.knock() == (401, {"error": "passcode"})
        async with RawSignal(service.url, HOST) as client:
            assert client.joined.room.max_participants == 1
            assert await door.knock(passcode="pst") == (503, {"error": "full"})
            assert await refusal_at_the_socket(service.url, token_as("guest", "eve")) == 503


async def test_another_rule_does_not_open_a_room_that_has_a_size() -> None:
    config = ServerConfig(
        keys={KEY: SECRET},
        port=0,
        rtc_port=0,
        door=True,
        max_participants=1,
        rooms=(HostedRoom(ROOM),),
    )
    service = SfuService(config)
    await service.start()
    try:
        base = service.url.replace("ws://", "http://")
        async with aiohttp.ClientSession() as http, RawSignal(service.url, HOST) as client:
            door = DoorClient(base, http)
            assert (await door.patch(HOST, allow={"chat": False}))[1]["max_people"] == 1
            assert client.joined.room.max_participants == 1
            assert await refusal_at_the_socket(service.url, token_as("guest", "eve")) == 503
            assert await door.knock() == (503, {"error": "full"})
            # Unless that is what the host wants.
            await door.patch(HOST, max_people=0)
            assert (await door.knock())[0] == 200
    finally:
        await service.stop()


async def test_a_new_role_comes_with_a_token_and_is_seen_by_all() -> None:
    async with hosting() as (service, door):
        async with (
            RawSignal(service.url, HOST) as ada,
            RawSignal(service.url, token_as("guest", "bo")) as bo,
        ):
            await bo.receive("refresh_token")
            assert await door.set_role(HOST, "bo", "cohost") == (
                200,
                {"identity": "bo", "role": "cohost"},
            )
            token_now = (await bo.receive("refresh_token")).refresh_token
            video = peek_claims(token_now)["video"]
            assert (video["roomAdmin"], video.get("roomCreate")) == (True, None)
            while True:
                (info,) = (await ada.receive("update")).update.participants
                if info.attributes.get("lanai.role") == "cohost":
                    break
            assert (await door.patch(token_now, lobby=True))[0] == 200

            # Made guest again, the token that was good is worth nothing.
            await door.set_role(HOST, "bo", "guest")
            assert await door.patch(token_now, lobby=False) == (403, {"error": "denied"})
            assert await door.set_role(token_now, "bo", "cohost") == (403, {"error": "denied"})
        async with RawSignal(service.url, token_now) as bo:
            assert bo.joined.participant.attributes["lanai.role"] == "guest"


async def test_a_cohost_makes_no_hosts_and_the_last_host_stays() -> None:
    async with hosting() as (service, door):
        cohost = token_as("cohost", "cleo")
        async with (
            RawSignal(service.url, HOST),
            RawSignal(service.url, cohost),
            RawSignal(service.url, token_as("guest", "bo")),
        ):
            assert (await door.set_role(cohost, "bo", "cohost"))[0] == 200
            assert (await door.set_role(cohost, "bo", "host"))[0] == 403
            assert (await door.set_role(cohost, "ada", "guest"))[0] == 403
            assert await door.set_role(HOST, "ada", "guest") == (409, {"error": "last_host"})
            assert (await door.set_role(HOST, "bo", "host"))[0] == 200
            assert (await door.set_role(HOST, "ada", "guest"))[0] == 200
            assert (await door.set_role(HOST, "nobody", "guest"))[0] == 403


async def test_nobody_but_the_server_writes_a_role() -> None:
    async with hosting() as (service, _), RawSignal(service.url, token_as("guest", "bo")) as bo:
        await bo.send(
            update_metadata=rtc.UpdateParticipantMetadata(
                request_id=7, attributes={"lanai.role": "host"}
            )
        )
        answer = (await bo.receive("request_response")).request_response
    assert answer.reason == rtc.RequestResponse.NOT_ALLOWED


async def test_who_was_removed_is_refused_until_admitted_again() -> None:
    async with hosting() as (service, door):
        held = (await door.knock("Bo"))[1]["participant_token"]
        identity = peek_claims(held)["sub"]
        async with RawSignal(service.url, held):
            room = service.rooms.find(ROOM)
            assert room is not None
            person = room.by_identity(identity)
            assert person is not None
            reason = models.DisconnectReason.PARTICIPANT_REMOVED
            person.dismiss(rtc.LeaveRequest.DISCONNECT, reason)
            room.participant_left(person, reason)
        assert await refusal_at_the_socket(service.url, held) == 403

        # With the old token the door knows who comes: there is a lobby for this one.
        status, waiting = await door.knock("Bo", token=held)
        assert status == 202
        assert await door.answer(HOST, waiting["knock_id"], admit=True) == 200
        status, admission = await door.knock(token=held, knock_id=waiting["knock_id"])
        assert (status, peek_claims(admission["participant_token"])["sub"]) == (200, identity)
        async with RawSignal(service.url, held) as back:
            await back.round_trip()


async def test_everybody_is_told_of_the_rules_and_sharing_is_a_permission() -> None:
    async with hosting() as (service, door):
        admission = (await door.knock())[1]
        witness = Witness()
        session = Session(witness)  # type: ignore[arg-type]  # answers to every name
        await session.connect(service.url, admission["participant_token"])
        try:
            await eventually(lambda: door_packets(witness, "rules"))
            await door.patch(HOST, allow={"share": False})
            await eventually(lambda: len(door_packets(witness, "rules")) == 2)
            first, second = (content["rules"] for content in door_packets(witness, "rules"))
            identity = peek_claims(admission["participant_token"])["sub"]
            info = await eventually(lambda: witness.participants.get(identity))
            await eventually(
                lambda: (
                    list(witness.participants[identity].permission.can_publish_sources)
                    == [models.TrackSource.CAMERA, models.TrackSource.MICROPHONE]
                )
            )
            await door.patch(HOST, allow={"share": True})
            await eventually(
                lambda: not witness.participants[identity].permission.can_publish_sources
            )
        finally:
            await session.close()
    assert info is not None
    assert first["allow"] == {"share": True, "chat": True, "files": True}
    assert second["allow"]["share"] is False
    assert second["version"] > first["version"]
    assert first["passcode"] is False


async def test_what_guests_may_not_send_does_not_arrive() -> None:
    async with (
        hosting() as (service, door),
        joined(service.url, "ada", room_admin=True) as (ada, seen_by_host),
        joined(service.url, "bo") as (bo, seen_by_guest),
    ):
        await door.patch(HOST, allow={"chat": False, "files": False})
        for session in (ada, bo):
            for stream_id, topic, name in (
                ("chat", "lk.chat", ""),
                ("file", "lanai.file", "f"),
                ("other", "x", "f"),
            ):
                header = models.DataStream.Header(stream_id=stream_id, topic=topic)
                if name:
                    header.byte_header.name = name
                else:
                    header.text_header.SetInParent()
                chunk = models.DataStream.Chunk(stream_id=stream_id, content=b"x")
                trailer = models.DataStream.Trailer(stream_id=stream_id)
                await session.send_data(models.DataPacket(stream_header=header), reliable=True)
                await session.send_data(models.DataPacket(stream_chunk=chunk), reliable=True)
                await session.send_data(models.DataPacket(stream_trailer=trailer), reliable=True)
            user = models.UserPacket(payload=b"{}", topic="lk-chat-topic")
            await session.send_data(models.DataPacket(user=user), reliable=True)
            forged = models.UserPacket(payload=b"{}", topic="lanai.door")
            await session.send_data(models.DataPacket(user=forged), reliable=True)
            last = models.UserPacket(payload=b"last", topic="end")
            await session.send_data(models.DataPacket(user=last), reliable=True)

        def arrived(witness: Witness) -> list[str]:
            packets = [packet for packet, _ in witness.data]
            sent = [p for p in packets if p.participant_sid]
            return [
                p.stream_header.stream_id
                or p.stream_chunk.stream_id
                or p.stream_trailer.stream_id
                or p.user.topic
                for p in sent
            ]

        await eventually(lambda: "end" in arrived(seen_by_host))
        await eventually(lambda: "end" in arrived(seen_by_guest))
    assert arrived(seen_by_host) == ["other"] * 3 + ["end"]
    everything = ["chat"] * 3 + ["file"] * 3 + ["other"] * 3 + ["lk-chat-topic", "end"]
    assert arrived(seen_by_guest) == everything


@pytest.mark.parametrize(
    ("held", "status"),
    [
        ("", 401),
        ("no.token.really", 401),
        (token("ada", room_admin=True) + "x", 401),
        (token_as("guest", "bo"), 403),
        (token_as("host", "ada", room="another"), 403),
        (token("api", room_create=True, room_list=True), 403),
    ],
)
async def test_every_call_wants_an_admin_of_this_room(held: str, status: int) -> None:
    async with hosting(lobby=True) as (_, door):
        knock_id = (await door.knock())[1]["knock_id"]
        calls: list[tuple[str, str, object]] = [
            ("GET", f"/rooms/{ROOM}/knocks", None),
            ("POST", f"/rooms/{ROOM}/knocks", {"admit": True}),
            ("POST", f"/rooms/{ROOM}/knocks/{knock_id}", {"admit": True}),
            ("PATCH", f"/rooms/{ROOM}", {"lobby": False}),
            ("POST", f"/rooms/{ROOM}/people/bo/role", {"role": "host"}),
        ]
        answers = [await door.ask(method, path, body, token=held) for method, path, body in calls]
        again = await door.ask("GET", f"/rooms/{ROOM}/knocks", token=held)

    assert [answer[0] for answer in answers] == [status] * 5
    # Guessing tokens is guessing.
    assert again[0] == (429 if status == 401 else 403)


@pytest.mark.parametrize(
    "patch",
    [
        {},
        {"lobby": "yes"},
        {"lobby": True, "colour": "red"},
        {"max_people": -1},
        {"max_people": True},
        {"passcode": "x" * 129},
        {"passcode": "\ud800"},
        {"allow": {"share": 1}},
        {"allow": {"fly": True}},
        {"allow": []},
    ],
)
async def test_a_change_that_makes_no_sense_changes_nothing(patch: dict[str, object]) -> None:
    async with hosting() as (_, door):
        assert await door.patch(HOST, **patch) == (400, {"error": "malformed"})
        assert (await door.patch(HOST, lobby=False))[1]["version"] == 1


async def test_a_server_that_is_started_again_knows_the_room(tmp_path: Path) -> None:
    state = tmp_path / "room.json"
    async with hosting(state) as (service, door):
        await door.patch(HOST, locked=True, passcode="pst", allow={"files": False})
        async with (
            RawSignal(service.url, HOST),
            RawSignal(service.url, token_as("cohost", "cleo")),
        ):
            await door.set_role(HOST, "cleo", "guest")
        await eventually(lambda: state.exists() and b"cleo" in state.read_bytes())
    assert state.stat().st_mode & 0o777 == 0o600

    async with hosting(state) as (service, door):
        status, rules = await door.patch(HOST, max_people=9)
        assert (status, rules["locked"], rules["passcode"]) == (200, True, True)
        assert rules["allow"] == {"share": True, "chat": True, "files": False}
        # Demotion and belonging are remembered with it.
        cleo = token_as("cohost", "cleo")
        assert (await door.patch(cleo, locked=False))[0] == 403
        async with RawSignal(service.url, cleo) as back:
            assert back.joined.participant.attributes["lanai.role"] == "guest"


@pytest.mark.parametrize(
    "damage", [b"", b"[]", b'{"rooms": 3}', b'{"rooms": {"room": {"rules": 1}}}']
)
async def test_a_damaged_state_file_is_no_obstacle(tmp_path: Path, damage: bytes) -> None:
    state = tmp_path / "room.json"
    state.write_bytes(damage)
    with capture_logs():
        async with hosting(state) as (_, door):
            assert (await door.knock())[0] == 200


async def test_a_server_without_a_door_has_none_of_it() -> None:
    async with serving() as service, aiohttp.ClientSession() as http:
        door = DoorClient(service.url.replace("ws", "http", 1), http)
        with pytest.raises(aiohttp.ContentTypeError):
            await door.patch(HOST, lobby=True)
