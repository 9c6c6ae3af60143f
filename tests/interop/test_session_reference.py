"""Our engine's sessions against a LiveKit server, on v1 and on v0."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from livekit import api
from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.engine.session import Session
from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner
from tests.support.engine_server import NAMED_SERVER, ServerUnderTest, named_server
from tests.support.session_room import (
    MediaSource,
    Witness,
    counter_of,
    eventually,
    publish_camera,
    publish_microphone,
)
from tests.support.tcp_relay import TcpRelay
from tests.support.v0_proxy import V0Proxy

pytestmark = pytest.mark.interop

Join = Callable[[str], Awaitable[tuple[Session, Witness]]]


@pytest.fixture
def server() -> ServerUnderTest:
    named = named_server()
    if named is None:
        pytest.skip(f"{NAMED_SERVER} names no server")
    return named


@pytest.fixture(params=["v1", "v0"])
async def join(request: pytest.FixtureRequest, server: ServerUnderTest) -> AsyncIterator[Join]:
    """Joins people to the room until the end of the test, by the path of the parameter."""
    async with contextlib.AsyncExitStack() as stack:
        url = server.url
        if request.param == "v0":
            url = (await stack.enter_async_context(V0Proxy(server.url))).url

        async def enter(identity: str) -> tuple[Session, Witness]:
            witness = Witness()
            session = Session(witness)  # type: ignore[arg-type]  # answers to every name
            stack.push_async_callback(session.close)
            await session.connect(url, server.token(identity))
            assert session.is_v1 == (request.param == "v1")
            return session, witness

        yield enter


@pytest.fixture
async def source() -> AsyncIterator[MediaSource]:
    owner = TaskOwner("source")
    yield MediaSource(owner)
    await owner.close()


async def test_sound_and_simulcast_video_reach_people_who_are_there_and_who_come_later(
    join: Join, source: MediaSource
) -> None:
    ada, _ = await join("ada")
    _, early = await join("early")
    sound_sid, sound = await publish_microphone(ada)
    video_sid, video = await publish_camera(ada, simulcast=True)
    source.play(sound, video, layers=2)
    await eventually(lambda: len(early.frames.get(video_sid, ())) > 60)
    _, late = await join("late")
    await eventually(lambda: len(late.frames.get(video_sid, ())) > 60)

    for witness in (early, late):
        await eventually(lambda seen=witness: len(seen.packets.get(sound_sid, ())) > 60)  # type: ignore[misc]
        counters = [counter_of(frame) for frame in witness.frames[video_sid]]
        assert counters == sorted(counters)
        assert witness.frames[video_sid][0].keyframe


async def test_data_and_metadata_go_both_ways(join: Join) -> None:
    ada, heard = await join("ada")
    bob, seen = await join("bob")
    for number in range(100):
        packet = lk_models.DataPacket(user=lk_models.UserPacket(payload=b"%d" % number))
        await ada.send_data(packet, reliable=True)
        await bob.send_data(packet, reliable=True)
    await ada.update_metadata(name="Ada L", attributes={"lanai.hand": "1"})

    for witness in (heard, seen):
        await eventually(lambda data=witness.data: len(data) == 100)  # type: ignore[misc]
        assert [int(p.user.payload) for p, _ in witness.data] == list(range(100))
    await eventually(lambda: "ada" in seen.participants and seen.participants["ada"].name)
    assert seen.participants["ada"].attributes["lanai.hand"] == "1"


async def test_tracks_end_and_come_back(join: Join, source: MediaSource) -> None:
    ada, _ = await join("ada")
    bob, seen = await join("bob")
    first, video = await publish_camera(ada)
    source.play(None, video)
    await eventually(lambda: seen.frames.get(first))
    assert ada.join_response is not None
    me = ada.join_response.participant.sid

    bob.set_subscribed(me, [first], False)
    await eventually(lambda: seen.count("on_track_removed") == 1)
    count = len(seen.frames[first])
    bob.set_subscribed(me, [first], True)
    await eventually(lambda: len(seen.frames[first]) > count + 5)
    await ada.unpublish(first)
    await eventually(lambda: seen.count("on_track_removed") == 2)
    second, video = await publish_camera(ada)
    source.play(None, video)
    await eventually(lambda: len(seen.frames.get(second, ())) > 5)


async def test_seven_publishers_need_more_sections_than_there_were(
    join: Join, source: MediaSource
) -> None:
    _, witness = await join("watcher")
    sids = []
    for number in range(7):
        session, _ = await join(f"p{number}")
        sid, sound = await publish_microphone(session)
        source.play(sound, None)
        sids.append(sid)

    await eventually(lambda: all(len(witness.packets.get(sid, ())) > 5 for sid in sids))


async def test_a_closed_room_a_removal_and_a_double_are_told_apart(
    join: Join, server: ServerUnderTest
) -> None:
    reasons = lk_models.DisconnectReason
    _, double = await join("double")
    await join("double")
    _, removed = await join("removed")
    _, last = await join("last")
    async with aiohttp.ClientSession() as http:
        client = api.LiveKitAPI(
            server.url.replace("ws", "http", 1), server.api_key, server.api_secret, session=http
        )
        who = api.RoomParticipantIdentity(room=server.room, identity="removed")
        await client.room.remove_participant(who)
        await eventually(lambda: removed.count("on_disconnected"))
        await client.room.delete_room(api.DeleteRoomRequest(room=server.room))
    await eventually(lambda: double.count("on_disconnected") and last.count("on_disconnected"))

    assert double.arguments("on_disconnected")[0] == reasons.DUPLICATE_IDENTITY
    assert removed.arguments("on_disconnected")[0] == reasons.PARTICIPANT_REMOVED
    assert last.arguments("on_disconnected")[0] == reasons.ROOM_DELETED


async def test_a_cut_socket_is_resumed_with_every_track_and_every_packet(
    server: ServerUnderTest, source: MediaSource
) -> None:
    port = int(server.url.rsplit(":", 1)[1])
    heard, seen = Witness(), Witness()
    ada, bob = Session(heard), Session(seen)  # type: ignore[arg-type]
    async with TcpRelay(port) as relay:
        await ada.connect(relay.url, server.token("ada"))
        await bob.connect(server.url, server.token("bob"))
        sid, video = await publish_camera(ada)
        other, sound = await publish_microphone(bob)
        source.play(sound, video)
        await eventually(lambda: seen.frames.get(sid))
        await eventually(lambda: heard.packets.get(other))
        numbers = iter(range(300))

        async def send(count: int) -> None:
            for number in itertools.islice(numbers, count):
                user = lk_models.UserPacket(payload=b"%d" % number)
                await ada.send_data(lk_models.DataPacket(user=user), reliable=True)

        await send(100)
        relay.refuses = True
        relay.cut()
        await eventually(lambda: heard.count("on_reconnecting") == 1)
        await send(100)
        await eventually(lambda: len(seen.data) == 200)
        relay.refuses = False
        ada.retry_now()
        await eventually(lambda: heard.count("on_reconnected") == 1)
        await send(100)
        await eventually(lambda: len(seen.data) == 300)

        assert [int(packet.user.payload) for packet, _ in seen.data] == list(range(300))
        count, sounds = len(seen.frames[sid]), len(heard.packets[other])
        await eventually(lambda: len(seen.frames[sid]) > count + 30)
        await eventually(lambda: len(heard.packets[other]) > sounds + 30)
        for witness in (heard, seen):
            assert witness.count("on_joined") == 1
            assert witness.count("on_track") == 1
            assert witness.count("on_track_removed") == 0
        again, _ = await publish_microphone(ada)
        await eventually(lambda: again in seen.receivers)
        await ada.close()
        await bob.close()


async def test_a_silent_path_is_replaced_within_the_same_session(
    server: ServerUnderTest, source: MediaSource
) -> None:
    heard, seen = Witness(), Witness()
    ada, bob = Session(heard), Session(seen)  # type: ignore[arg-type]
    await ada.connect(server.url, server.token("ada"))
    await bob.connect(server.url, server.token("bob"))
    sid, video = await publish_camera(ada)
    source.play(None, video)
    await eventually(lambda: seen.frames.get(sid))
    connection = ada._connection
    assert connection is not None
    before = connection._publisher.local().ufrag

    async def restart(times: int) -> None:
        connection._publisher.on_transport_interrupted()
        await eventually(lambda: heard.count("on_reconnected") == times)
        count = len(seen.frames[sid])
        await eventually(lambda: len(seen.frames[sid]) > count + 30)

    await restart(1)
    await restart(2)
    assert connection._publisher.local().ufrag != before
    assert heard.count("on_joined") == 1
    assert seen.count("on_track_removed") == 0
    await ada.close()
    await bob.close()


@pytest.mark.parametrize("fault", ["migration", "node_failure"])
async def test_a_server_that_sends_us_away_gets_us_back(join: Join, fault: str) -> None:
    ada, witness = await join("ada")
    sid, _ = await publish_microphone(ada)
    ada.simulate(lk_rtc.SimulateScenario(**{fault: True}))  # type: ignore[arg-type]

    await eventually(lambda: witness.count("on_reconnected") == 1)
    assert witness.arguments("on_local_republished")[0] == sid


async def test_a_server_that_leaves_ends_the_session(join: Join) -> None:
    ada, witness = await join("ada")
    ada.simulate(lk_rtc.SimulateScenario(server_leave=True))

    await eventually(lambda: witness.count("on_disconnected") == 1)
    reason = witness.arguments("on_disconnected")[0]
    assert reason == lk_models.DisconnectReason.SERVER_SHUTDOWN
    assert witness.count("on_reconnecting") == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [(lambda t: t[:-3] + "AAA", Reason.FORGED), (lambda _: "nonsense", Reason.FORGED)],
)
async def test_bad_tokens_are_refused_with_their_reason(
    server: ServerUnderTest, change: Callable[[str], str], reason: Reason
) -> None:
    session = Session(Witness())  # type: ignore[arg-type]
    with pytest.raises(WorldError) as caught:
        await session.connect(server.url, change(server.token("ada")))
    assert caught.value.reason is reason
