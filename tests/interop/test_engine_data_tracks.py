"""Data tracks between our engine and an official SDK, and between two engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.engine import rtc
from app.engine.data_track import PublishDataTrackError
from tests.support.engine_peer import DEADLINE_S, EnginePeer
from tests.support.engine_server import (
    NAMED_SERVER,
    ServerUnderTest,
    named_server,
    our_server,
)
from tests.support.sdk_peer import SdkPeer
from tests.support.session_room import eventually

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("network")]


@pytest.fixture(params=["our server", "named server"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[ServerUnderTest]:
    if request.param == "our server":
        async with our_server() as ours:
            yield ours
        return
    named = named_server()
    if named is None:
        pytest.skip(f"{NAMED_SERVER} names no server")
    yield named


@pytest.fixture
async def sdk(server: ServerUnderTest) -> AsyncIterator[SdkPeer]:
    async with SdkPeer("sally") as peer:
        await peer.connect(server.url, server.token("sally"))
        yield peer


@pytest.fixture
async def engine(server: ServerUnderTest, sdk: SdkPeer) -> AsyncIterator[EnginePeer]:
    async with EnginePeer("ernie") as peer:
        await peer.room.connect(server.url, server.token("ernie"))
        await sdk.wait_event("participant_connected", identity="ernie")
        yield peer


async def remote_track(peer: EnginePeer, name: str) -> rtc.RemoteDataTrack:
    def find() -> rtc.RemoteDataTrack | None:
        tracks = [values[0] for event, values in peer.events if event == "data_track_published"]
        return next((track for track in reversed(tracks) if track.info.name == name), None)

    found: rtc.RemoteDataTrack = await peer.wait_for(find)
    return found


async def read(stream: rtc.DataTrackStream, count: int) -> list[rtc.DataTrackFrame]:
    frames: list[rtc.DataTrackFrame] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(frames) < count:
            frame = await stream.read()
            assert frame is not None
            frames.append(frame)
    return frames


async def read_while_pushing(
    sdk: SdkPeer, *streams: rtc.DataTrackStream, count: int, first: int = 0
) -> list[list[rtc.DataTrackFrame]]:
    """Let the SDK push numbered frames until so many have come on each stream.

    Those before the subscription stands are rightly lost, and who knows how many that is.
    """
    reading = asyncio.gather(*(read(stream, count) for stream in streams))
    try:
        while not reading.done():
            await sdk.call("push_frames", name="sensor", count=20, first=first)
            first += 20
        return reading.result()
    finally:
        reading.cancel()


def numbers_of(frames: list[rtc.DataTrackFrame]) -> list[int]:
    return [int(bytes(frame.payload).rstrip(b".")) for frame in frames]


async def test_the_engine_reads_what_the_sdk_pushes(sdk: SdkPeer, engine: EnginePeer) -> None:
    sid = await sdk.call("publish_data_track", name="sensor")
    track = await remote_track(engine, "sensor")
    assert (track.info.sid, track.publisher_identity, track.info.uses_e2ee) == (
        sid,
        "sally",
        False,
    )
    stream = track.subscribe(buffer_size=1_000)
    (frames,) = await read_while_pushing(sdk, stream, count=60)
    numbers = numbers_of(frames)
    assert numbers == sorted(set(numbers))
    assert [frame.user_timestamp for frame in frames] == numbers
    await sdk.call(
        "push_frames", name="sensor", count=10, size=100_000, stamped=False, interval_s=0.1
    )
    big = None
    async with asyncio.timeout(DEADLINE_S):
        while big is None or len(big.payload) < 1_000:
            big = await stream.read()
            assert big is not None
    assert len(big.payload) == 100_000
    assert big.user_timestamp is None

    await sdk.call("unpublish_data_track", name="sensor")
    await engine.wait_for(lambda: ("data_track_unpublished", (sid,)) in engine.events)
    assert not track.is_published()
    async with asyncio.timeout(DEADLINE_S):
        while await stream.read() is not None:
            pass


async def test_the_sdk_reads_what_the_engine_pushes(sdk: SdkPeer, engine: EnginePeer) -> None:
    local = engine.room.local_participant
    track = await local.publish_data_track(name="pose")
    await sdk.wait_event(
        "data_track_published", track_name="pose", identity="ernie", sid=track.info.sid
    )
    with pytest.raises(PublishDataTrackError, match="name"):
        await local.publish_data_track(name="pose")
    with pytest.raises(PublishDataTrackError, match="name"):
        await local.publish_data_track(name="")
    await sdk.call("subscribe_data_track", name="pose")
    number = 0
    got: dict[str, list[int]] = {"numbers": []}
    async with asyncio.timeout(DEADLINE_S):
        # Those before the subscription stands are rightly lost.
        while len(got["numbers"]) < 60:
            for _ in range(20):
                track.try_push(rtc.DataTrackFrame(str(number).encode(), user_timestamp=number))
                number += 1
                await asyncio.sleep(0.005)
            got = await sdk.call("data_frames", name="pose", count=0)
    assert got["numbers"] == sorted(set(got["numbers"]))
    assert got["stamps"] == got["numbers"]
    # A server may let the first big ones go until it has seen how fast the way is.
    async with asyncio.timeout(DEADLINE_S):
        while 100_000 not in got["sizes"]:
            track.try_push(rtc.DataTrackFrame(str(number).encode().ljust(100_000, b".")))
            number += 1
            await asyncio.sleep(0.2)
            got = await sdk.call("data_frames", name="pose", count=0)
    await track.unpublish()
    assert not track.is_published()
    with pytest.raises(rtc.PushFrameError):
        track.try_push(rtc.DataTrackFrame(b"x"))
    await sdk.wait_event("data_track_unpublished", sid=track.info.sid)


async def test_closing_the_last_stream_ends_the_subscription(
    sdk: SdkPeer, engine: EnginePeer
) -> None:
    await sdk.call("publish_data_track", name="sensor")
    track = await remote_track(engine, "sensor")
    first, second = track.subscribe(), track.subscribe()
    one, other = await read_while_pushing(sdk, first, second, count=5)
    assert numbers_of(one) == numbers_of(other)
    first.close()
    assert await first.read() is None
    second.close()
    third = track.subscribe()
    (late,) = await read_while_pushing(sdk, third, count=1, first=50_000)
    assert numbers_of(late)[0] >= 50_000


async def test_tracks_come_back_after_a_full_reconnect(
    server: ServerUnderTest, sdk: SdkPeer, engine: EnginePeer
) -> None:
    pose = await engine.room.local_participant.publish_data_track(name="pose")
    old_sid = pose.info.sid
    await sdk.call("publish_data_track", name="sensor")
    heard = (await remote_track(engine, "sensor")).subscribe(buffer_size=1_000)
    async with EnginePeer("erna") as other:
        await other.room.connect(server.url, server.token("erna"))
        seen = await remote_track(other, "pose")
        stream = seen.subscribe(buffer_size=1_000)
        await engine.room.simulate_scenario(rtc.SimulateScenarioKind.Value("SIMULATE_NODE_FAILURE"))
        await engine.wait_for(lambda: any(name == "reconnected" for name, _ in engine.events))
        await eventually(lambda: pose.info.sid != old_sid)
        assert pose.is_published()

        # The other engine's stream goes on under the new sid, the SDK sees a new track.
        async with asyncio.timeout(DEADLINE_S):
            reading = asyncio.ensure_future(stream.read())
            while not reading.done():
                pose.try_push(rtc.DataTrackFrame(b"7"))
                await asyncio.sleep(0.05)
        frame = reading.result()
        assert frame is not None
        assert frame.payload == b"7"
        assert seen.info.sid == pose.info.sid
        await sdk.wait_event("data_track_published", track_name="pose", sid=pose.info.sid)

        # And what the reconnected engine reads is asked for again.
        while heard._frames:
            await heard.read()
        (late,) = await read_while_pushing(sdk, heard, count=1, first=50_000)
        assert numbers_of(late)[0] >= 50_000
