"""Our engine in rooms that somebody manages through the server API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from app.engine import rtc
from app.protocol.token import sign_claims
from app.server.config import ServerConfig
from app.server.service import SfuService
from tests.support.session_room import KEY, SECRET, eventually, token

RIGHTS = {"can_subscribe": True, "can_publish": True, "can_publish_data": True}


class Managed:
    """A server, its API, and engines that write down what they are told."""

    def __init__(self, service: SfuService) -> None:
        self.service = service
        self.events: dict[str, list[tuple[str, tuple[Any, ...]]]] = {}

    async def join(self, identity: str, room: str = "room") -> rtc.Room:
        engine = rtc.Room()
        told = self.events[identity] = []
        for name in (
            "track_muted",
            "track_unmuted",
            "local_track_unpublished",
            "participant_permissions_changed",
            "participant_connected",
            "participant_disconnected",
            "room_metadata_changed",
            "moved",
            "data_received",
            "disconnected",
            "reconnecting",
        ):
            engine.on(name, lambda *args, name=name: told.append((name, args)))
        await engine.connect(self.service.url, token(identity, room=room))
        return engine

    async def wait(self, identity: str, name: str, count: int = 1) -> None:
        """Wait until somebody was told this so often."""
        await eventually(lambda: self.count(identity, name) == count, what=name)

    def count(self, identity: str, name: str) -> int:
        return [event for event, _ in self.events[identity]].count(name)

    async def call(self, api_method: str, /, **body: Any) -> Any:
        now_s = int(time.time())
        video = {"roomAdmin": True, "room": "room", "destinationRoom": "side"}
        claims = {"iss": KEY, "exp": now_s + 60, "video": video}
        url = self.service.url.replace("ws://", "http://")
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{url}/twirp/livekit.RoomService/{api_method}",
                json={"room": "room", **body},
                headers={"Authorization": f"Bearer {sign_claims(claims, api_secret=SECRET)}"},
            ) as response,
        ):
            answer = await response.json()
            assert response.status == 200, answer
            return answer


@asynccontextmanager
async def managed(**options: Any) -> AsyncIterator[Managed]:
    service = SfuService(ServerConfig(keys={KEY: SECRET}, port=0, rtc_port=0, **options))
    await service.start()
    try:
        yield Managed(service)
    finally:
        await service.stop()


async def speak(engine: rtc.Room) -> tuple[rtc.LocalTrackPublication, asyncio.Task[None]]:
    """Publish a microphone and send sound through it until the task is cancelled."""
    source = rtc.AudioSource(48_000, 1)
    track = rtc.LocalAudioTrack.create_audio_track("mic", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)

    async def run() -> None:
        while True:
            await source.capture_frame(rtc.AudioFrame(b"\x10\x20" * 480, 48_000, 1, 480))

    task = asyncio.get_running_loop().create_task(run())
    return await engine.local_participant.publish_track(track, options), task


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_engine_obeys_a_mute_and_an_unmute_and_tells_of_both() -> None:
    async with managed(enable_remote_unmute=True) as room:
        alice, bob = await room.join("alice"), await room.join("bob")
        publication, task = await speak(alice)
        for muted, event in ((True, "track_muted"), (False, "track_unmuted")):
            sid = publication.sid
            await room.call("MutePublishedTrack", identity="alice", track_sid=sid, muted=muted)
            for who in ("alice", "bob"):
                await room.wait(who, event)
            assert publication.muted is muted
            remote = bob.remote_participants["alice"].track_publications[sid]
            assert remote.muted is muted
        # It may be muted again by hand, and the server believes it.
        assert publication.track is not None
        publication.track.mute()
        await eventually(lambda: room.count("bob", "track_muted") == 2)
        await stop(task)
        await alice.disconnect()
        await bob.disconnect()


async def test_the_engine_drops_what_it_may_no_longer_publish_and_publishes_again() -> None:
    async with managed() as room:
        alice, bob = await room.join("alice"), await room.join("bob")
        publication, task = await speak(alice)
        await eventually(lambda: bob.remote_participants["alice"].track_publications)
        await room.call("UpdateParticipant", identity="alice", permission={"can_subscribe": True})
        await eventually(lambda: room.count("alice", "local_track_unpublished") == 1)
        await eventually(lambda: room.count("alice", "participant_permissions_changed") == 1)
        assert not alice.local_participant.track_publications
        assert not alice.local_participant.permissions.can_publish
        assert publication.track is None
        await eventually(lambda: not bob.remote_participants["alice"].track_publications)
        await stop(task)
        await room.call("UpdateParticipant", identity="alice", permission=RIGHTS)
        await eventually(lambda: alice.local_participant.permissions.can_publish)
        again, task = await speak(alice)
        await eventually(lambda: again.sid in bob.remote_participants["alice"].track_publications)
        await stop(task)
        await alice.disconnect()
        await bob.disconnect()


async def test_a_moved_engine_has_the_other_rooms_people_tracks_and_token() -> None:
    async with managed() as room:
        alice, bob = await room.join("alice"), await room.join("bob")
        carol = await room.join("carol", "side")
        mine, my_sound = await speak(alice)
        hers, her_sound = await speak(carol)
        await eventually(lambda: bob.remote_participants["alice"].track_publications)
        await room.call("MoveParticipant", identity="alice", destination_room="side")
        await eventually(lambda: room.count("alice", "moved") == 1)
        assert alice.name == "side"
        assert set(alice.remote_participants) == {"carol"}
        assert mine.sid in alice.local_participant.track_publications
        await eventually(lambda: not bob.remote_participants)
        remote = await eventually(
            lambda: (
                (who := alice.remote_participants.get("carol"))
                and who.track_publications.get(hers.sid)
            )
        )
        await eventually(lambda: remote.track is not None)
        there = carol.remote_participants["alice"].track_publications
        await eventually(lambda: there[mine.sid].track is not None)
        await alice.local_participant.publish_data("hi", topic="t")
        await eventually(lambda: room.count("carol", "data_received") == 1)
        assert room.count("bob", "data_received") == 0
        assert room.count("alice", "reconnecting") == room.count("alice", "disconnected") == 0
        # When the connection is lost it comes back to where it is now.
        await alice.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
        await eventually(lambda: room.count("carol", "participant_disconnected") == 1)
        await eventually(lambda: "alice" in carol.remote_participants)
        assert not bob.remote_participants
        for task in (my_sound, her_sound):
            await stop(task)
        for engine in (alice, bob, carol):
            await engine.disconnect()


async def test_a_call_and_data_of_the_server_reach_the_engine_once() -> None:
    async with managed() as room:
        alice = await room.join("alice")
        calls: list[str] = []

        @alice.local_participant.register_rpc_method("shout")
        async def shout(data: rtc.RpcInvocationData) -> str:
            calls.append(data.payload)
            await asyncio.sleep(0.1)
            return data.payload.upper()

        answer = await room.call(
            "PerformRpc", destination_identity="alice", method="shout", payload="ping"
        )
        assert answer == {"payload": "PING"}
        assert calls == ["ping"]
        await room.call("SendData", data="aGk=", topic="t")
        await eventually(lambda: room.count("alice", "data_received") == 1)
        packet = room.events["alice"][-1][1][0]
        assert (packet.data, packet.topic, packet.participant) == (b"hi", "t", None)
        await room.call("UpdateRoomMetadata", metadata="new")
        await eventually(lambda: alice.metadata == "new")
        await alice.disconnect()
