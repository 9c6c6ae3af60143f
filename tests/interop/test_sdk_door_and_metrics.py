"""Official SDKs as those whom the host's door lets in and the metrics count."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from livekit import api

from app.protocol.token import peek_claims
from app.server.config import ServerConfig
from app.server.service import SfuService
from tests.support.door_client import ROOM, hosting, token_as
from tests.support.metrics import Readings, reading, scrape
from tests.support.sdk_peer import SdkPeer, SdkPeerError
from tests.support.session_room import KEY, SECRET, token

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("network")]

HOST = token_as("host", "ada")
PAYLOAD = base64.b64encode(bytes(1_000)).decode()
# What an envelope with names and a topic may add to a payload.
MAX_ENVELOPE_BYTES = 200


def http_url(service: SfuService) -> str:
    return service.url.replace("ws://", "http://")


@pytest.fixture
async def watched() -> AsyncIterator[SfuService]:
    """A server with metrics."""
    config = ServerConfig(keys={KEY: SECRET}, port=0, rtc_port=0, prometheus_port=0)
    service = SfuService(config)
    await service.start()
    yield service
    await service.stop()


async def test_the_metrics_say_what_the_sdks_did(
    watched: SfuService, alice: SdkPeer, bob: SdkPeer
) -> None:
    async with (
        aiohttp.ClientSession() as http,
        api.LiveKitAPI(http_url(watched), KEY, SECRET) as client,
    ):
        for peer in (alice, bob):
            await peer.connect(watched.url, token(peer.identity))
        sound = await alice.call("publish_tone", freq_hz=440.0)
        picture = await alice.call("publish_video", colour=(200, 40, 40))
        answer = await bob.call("publish_tone", freq_hz=880.0)
        await bob.wait_media("tone", sid=sound, freq_hz=440.0)
        await bob.wait_media("frames", sid=picture, frames=5)
        await alice.wait_media("tone", sid=answer, freq_hz=880.0)
        for peer, other, count, reliable in (
            (alice, bob, 7, True),
            (alice, bob, 5, False),
            (bob, alice, 3, True),
        ):
            topic = f"{peer.identity}-{reliable}"
            for _ in range(count):
                await peer.call("publish_data", data=PAYLOAD, topic=topic, reliable=reliable)
            for _ in range(count):
                await other.wait_event("data_received", topic=topic, data=PAYLOAD)
        await alice.call("publish_data_track", name="sensor")
        await bob.wait_event("data_track_published", track_name="sensor")
        await bob.call("subscribe_data_track", name="sensor")
        frames: list[int] = []
        while len(frames) < 5:
            await alice.call("push_frames", name="sensor", count=5, size=1_000, first=len(frames))
            frames = (await bob.call("data_frames", name="sensor", count=0))["numbers"]
        (room,) = (await client.room.list_rooms(api.ListRoomsRequest())).rooms
        with pytest.raises(api.TwirpError):
            await client.room.delete_room(api.DeleteRoomRequest(room="absent"))
        now = await scrape(watched, http)

        assert (room.num_participants, room.num_publishers) == (2, 2)
        assert reading(now, "livekit_room_total") == 1
        assert reading(now, "livekit_participant_total") == 2
        assert reading(now, "lanai_participants_joined_total") == 2
        assert tracks(now, "published") == tracks(now, "subscribed") == {"audio": 2, "video": 1}
        for label, count in (("_reliable", 10), ("_lossy", 5)):
            for direction in ("incoming", "outgoing"):
                where = {"label": label, "direction": direction}
                assert reading(now, "lanai_data_packets_total", **where) == count, where
                size = reading(now, "lanai_data_bytes_total", **where)
                assert 1_000 * count < size < (1_000 + MAX_ENVELOPE_BYTES) * count, where
        # Some are rightly lost before the subscription stands.
        where = {"label": "_data_track", "direction": "outgoing"}
        assert len(frames) <= reading(now, "lanai_data_packets_total", **where)
        assert 1_000 * len(frames) <= reading(now, "lanai_data_bytes_total", **where)
        came = {"label": "_data_track", "direction": "incoming"}
        for name in ("lanai_data_packets_total", "lanai_data_bytes_total"):
            assert reading(now, name, **where) <= reading(now, name, **came)
        assert reading(now, "lanai_data_packets_dropped_total") == 0
        # A second of either voice came in and went out, and no packet is a header alone.
        for direction in ("incoming", "outgoing"):
            packets = reading(now, "livekit_packet_total", direction=direction)
            assert packets > 50
            assert reading(now, "livekit_packet_bytes", direction=direction) > 12 * packets
        assert calls(now, "ListRooms", "200", "") == 1
        assert calls(now, "DeleteRoom", "4xx", "not_found") == 1
        call = {"service": "RoomService", "method": "ListRooms", "status": "200"}
        name = "livekit_node_twirp_request_latency_ms"
        assert spread(now, name, **call) == 1
        assert 0 < reading(now, f"{name}_sum", **call) < 60_000

        await bob.call("disconnect")
        await alice.wait_event("participant_disconnected", identity="bob")
        await alice.call("unpublish", sid=picture)
        then = await until_tracks(watched, http, {"audio": 1, "video": 0})
        assert tracks(then, "subscribed") == {"audio": 0, "video": 0}
        assert reading(then, "livekit_participant_total") == 1
        assert reading(then, "lanai_participants_joined_total") == 2
        assert sessions(then) == 1
        assert spread(then, "livekit_room_duration_seconds") == 0
        await client.room.delete_room(api.DeleteRoomRequest(room="room"))
        await alice.wait_event("disconnected", reason=5)  # ROOM_DELETED
        end = await scrape(watched, http)
        assert reading(end, "livekit_room_total") == reading(end, "livekit_participant_total") == 0
        assert sessions(end) == 2
        assert spread(end, "livekit_room_duration_seconds") == 1


def spread(readings: Readings, name: str, **labels: str) -> float:
    """How many values a histogram counted, by its last bucket as by its count."""
    every = reading(readings, f"{name}_bucket", le="+Inf", **labels)
    assert every == reading(readings, f"{name}_count", **labels)
    return every


def sessions(readings: Readings) -> float:
    name = "livekit_session_duration_ms"
    versions = [
        dict(labels)["protocol_version"]
        for key, labels in readings
        if key == f"{name}_count" and all(int(v) > 10 for k, v in labels if k != "le")
    ]
    return sum(spread(readings, name, protocol_version=version) for version in versions)


def tracks(readings: Readings, what: str) -> dict[str, float]:
    name = f"livekit_track_{what}_total"
    return {kind: reading(readings, name, kind=kind) for kind in ("audio", "video")}


def calls(readings: Readings, method: str, status: str, code: str) -> float:
    name = "livekit_node_twirp_request_status"
    labels = {"service": "RoomService", "method": method, "status": status, "code": code}
    return reading(readings, name, **labels)


async def until_tracks(
    service: SfuService, http: aiohttp.ClientSession, wanted: dict[str, float]
) -> Readings:
    for _ in range(600):
        found = await scrape(service, http)
        if tracks(found, "published") == wanted:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"never published {wanted}")


async def told(peer: SdkPeer, kind: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return what the server has told this SDK on the door's topic."""
    seen: list[dict[str, Any]] = []
    for _ in range(600):
        for event in await peer.call("events"):
            if (event["event"], event.get("topic")) == ("data_received", "lanai.door"):
                assert event["identity"] == ""
                seen.append(json.loads(base64.b64decode(event["data"])))
        if found := [each for each in seen if each["type"] == kind and holds(each)]:
            return found[-1]
        await asyncio.sleep(0.05)
    raise AssertionError(f"no such {kind} in {seen}")


async def may_publish(peer: SdkPeer, sources: list[int]) -> None:
    """Wait until the SDK knows that it may publish these and nothing else."""
    for _ in range(600):
        if (await peer.call("me"))["sources"] == sources:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(await peer.call("me"))


async def test_the_hosts_door_lets_sdks_in_gives_them_roles_and_keeps_them_out(
    alice: SdkPeer, bob: SdkPeer
) -> None:
    async with hosting(lobby=True) as (service, door):
        await alice.connect(service.url, HOST)
        status, waiting = await door.knock("Bob")
        assert status == 202
        await told(
            alice, "knocks", lambda told: [each["name"] for each in told["knocks"]] == ["Bob"]
        )
        assert await door.answer(HOST, waiting["knock_id"], admit=True) == 200
        status, admission = await door.knock(knock_id=waiting["knock_id"])
        held = admission["participant_token"]
        who = peek_claims(held)["sub"]
        await bob.connect(admission["server_url"], held)
        await alice.wait_event("participant_connected", identity=who)
        (guest,) = await alice.call("people")
        assert (guest["name"], guest["attributes"]) == ("Bob", {"lanai.role": "guest"})

        # A role comes with its rights, and with the token of them.
        assert (await door.set_role(HOST, who, "cohost"))[0] == 200
        for peer in (alice, bob):
            changed = {"lanai.role": "cohost"}
            await peer.wait_event("participant_attributes_changed", identity=who, changed=changed)
        await bob.wait_event("token_refreshed")
        assert (await door.set_role(HOST, who, "guest"))[0] == 200

        # What guests may share is a permission of the SDK's.
        assert (await door.patch(HOST, allow={"share": False}))[0] == 200
        for peer in (alice, bob):
            await told(peer, "rules", lambda told: not told["rules"]["allow"]["share"])
        await may_publish(bob, [api.TrackSource.CAMERA, api.TrackSource.MICROPHONE])

        # Removed by the host's own token: the old one lets nobody in any more.
        async with api.LiveKitAPI(http_url(service), token=HOST) as moderator:
            await moderator.room.remove_participant(
                api.RoomParticipantIdentity(room=ROOM, identity=who)
            )
            await bob.wait_event("disconnected", reason=4)  # PARTICIPANT_REMOVED
            await alice.wait_event("participant_disconnected", identity=who)
            async with SdkPeer("again") as again, SdkPeer("late") as late:
                with pytest.raises(SdkPeerError):
                    await again.connect(service.url, held)

                # Behind the lock nobody comes, whoever signed the token.
                assert (await door.patch(HOST, locked=True, lobby=False))[0] == 200
                with pytest.raises(SdkPeerError):
                    await late.connect(service.url, token_as("guest", "late"))
                assert await door.knock("Late") == (403, {"error": "locked"})
                assert (await door.patch(HOST, locked=False))[0] == 200
                await late.connect(service.url, token_as("guest", "late"))
                await alice.wait_event("participant_connected", identity="late")
                assert [person["identity"] for person in await alice.call("people")] == ["late"]

                # And the host ends it for all.
                await moderator.room.delete_room(api.DeleteRoomRequest(room=ROOM))
                for peer in (alice, late):
                    await peer.wait_event("disconnected", reason=5)  # ROOM_DELETED
