"""Our engine and an unmodified official SDK in one room: sound, picture, text, files, data."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.engine import rtc
from app.engine.client import JoinSpec
from app.engine.events import PersonLeft
from tests.support.engine_peer import DEADLINE_S, EnginePeer
from tests.support.engine_server import (
    NAMED_SERVER,
    ServerUnderTest,
    named_server,
    our_server,
)
from tests.support.meeting import attending
from tests.support.sdk_peer import SdkPeer
from tests.support.signals import colour_distance

pytestmark = pytest.mark.interop

ORANGE = (230, 120, 40)
TEAL = (40, 160, 170)
FILE_BYTES = 5_000_000
COLOUR_TOLERANCE = 24


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


@pytest.mark.parametrize(
    ("simulcast", "size"), [(False, (640, 360)), (True, (1280, 720))], ids=["single", "simulcast"]
)
async def test_the_engine_hears_and_sees_what_the_sdk_publishes(
    sdk: SdkPeer, engine: EnginePeer, simulcast: bool, size: tuple[int, int]
) -> None:
    await sdk.call("publish_tone", freq_hz=440.0)
    await sdk.call(
        "publish_video", colour=ORANGE, size=size, simulcast=simulcast, bitrate_bps=1_500_000
    )

    peak, (colour, counters, _) = await asyncio.gather(engine.hear("sally"), engine.see("sally"))

    assert peak.is_tone(440.0), peak
    assert colour_distance(colour, ORANGE) < COLOUR_TOLERANCE, colour
    assert counters == sorted(counters)
    person = await engine.person("sally")
    video = person.find_publication(rtc.TrackSource.SOURCE_CAMERA)
    assert video is not None
    assert (video.width, video.height) == size
    assert video.simulcasted == simulcast
    assert video.mime_type.lower() == "video/vp8"


async def test_the_sdk_subscribes_to_a_camera_before_its_first_picture(
    sdk: SdkPeer, engine: EnginePeer
) -> None:
    source = rtc.VideoSource(320, 180)
    track = rtc.LocalVideoTrack.create_video_track("cam", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA)
    publication = await engine.room.local_participant.publish_track(track, options)
    await sdk.wait_event("track_subscribed", identity="ernie", sid=publication.sid)
    await source.aclose()


@pytest.mark.parametrize(
    ("simulcast", "size"), [(False, (640, 360)), (True, (1280, 720))], ids=["single", "simulcast"]
)
async def test_the_sdk_hears_and_sees_what_the_engine_publishes(
    sdk: SdkPeer, engine: EnginePeer, simulcast: bool, size: tuple[int, int]
) -> None:
    await engine.publish_tone(440.0)
    await engine.publish_video(TEAL, size=size, simulcast=simulcast)

    tone = await sdk.wait_media("tone", identity="ernie", freq_hz=440.0)
    video = await sdk.wait_media("frames", identity="ernie", frames=30)

    assert tone["over_median_db"] >= 15.0
    assert colour_distance(tuple(video["colour"]), TEAL) < COLOUR_TOLERANCE, video["colour"]
    assert video["restarts"] == 0
    # A subscriber that asks for nothing gets the highest layer in the end.
    if not simulcast:
        assert video["sizes"] == [list(size)]


async def test_h264_goes_both_ways(sdk: SdkPeer, engine: EnginePeer) -> None:
    await sdk.call("publish_video", colour=ORANGE, codec="H264")
    await engine.publish_video(TEAL, codec=rtc.VideoCodec.H264)

    colour, counters, _ = await engine.see("sally")
    video = await sdk.wait_media("frames", identity="ernie", frames=30)

    assert colour_distance(colour, ORANGE) < COLOUR_TOLERANCE, colour
    assert counters == sorted(counters)
    assert colour_distance(tuple(video["colour"]), TEAL) < COLOUR_TOLERANCE, video["colour"]
    publication = (await engine.person("sally")).find_publication(rtc.TrackSource.SOURCE_CAMERA)
    assert publication is not None
    assert publication.mime_type.lower() == "video/h264"


async def test_texts_go_both_ways(sdk: SdkPeer, engine: EnginePeer) -> None:
    long_text = "Grüße aus dem Zug 🚆 " * 3_000
    received: asyncio.Queue[tuple[str, str, rtc.TextStreamInfo]] = asyncio.Queue()
    tasks: list[asyncio.Task[None]] = []

    async def read(reader: rtc.TextStreamReader, identity: str) -> None:
        received.put_nowait((identity, await reader.read_all(), reader.info))

    def handle(reader: rtc.TextStreamReader, identity: str) -> None:
        tasks.append(asyncio.get_running_loop().create_task(read(reader, identity)))

    engine.room.register_text_stream_handler("lk.chat", handle)
    await sdk.call("listen", topic="lk.chat")

    for text in ("hello", long_text, ""):
        await sdk.call("send_text", text=text, topic="lk.chat")
        identity, got, info = await asyncio.wait_for(received.get(), DEADLINE_S)
        assert (identity, got) == ("sally", text)
        assert info.size == len(text.encode())
        sent = await engine.room.local_participant.send_text(text, topic="lk.chat")
        assert sent.size == len(text.encode())
    inbox = await sdk.call("wait_inbox", count=3, within_s=DEADLINE_S)

    # Each text has a reader of its own over there: a short one may be read before a long one.
    assert sorted(item["text"] for item in inbox) == sorted(["hello", long_text, ""])
    assert {item["from"] for item in inbox} == {"ernie"}


async def test_a_text_written_piece_by_piece_arrives_in_pieces(
    sdk: SdkPeer, engine: EnginePeer
) -> None:
    await sdk.call("listen", topic="notes")
    writer = await engine.room.local_participant.stream_text(
        topic="notes", destination_identities=["sally"]
    )
    for piece in ("one ", "two ", "drei €"):
        await writer.write(piece)
    await writer.aclose()

    inbox = await sdk.call("wait_inbox", count=1, within_s=DEADLINE_S)

    assert inbox[0]["text"] == "one two drei €"


async def test_a_file_of_5_mb_goes_both_ways_unchanged(
    sdk: SdkPeer, engine: EnginePeer, tmp_path: Path
) -> None:
    done: asyncio.Future[tuple[str, int, str]] = asyncio.get_running_loop().create_future()
    tasks: list[asyncio.Task[None]] = []

    async def read(reader: rtc.ByteStreamReader) -> None:
        digest, size = hashlib.sha256(), 0
        async for piece in reader:
            digest.update(piece)
            size += len(piece)
        done.set_result((reader.info.name, size, digest.hexdigest()))

    def handle(reader: rtc.ByteStreamReader, identity: str) -> None:
        tasks.append(asyncio.get_running_loop().create_task(read(reader)))

    engine.room.register_byte_stream_handler("files", handle)
    await sdk.call("listen", topic="files")

    theirs = await sdk.call("send_file", size=FILE_BYTES, topic="files", name="theirs.bin")
    assert await asyncio.wait_for(done, DEADLINE_S) == ("theirs.bin", FILE_BYTES, theirs)

    path = tmp_path / "ours.bin"
    data = os.urandom(FILE_BYTES)
    path.write_bytes(data)
    await engine.room.local_participant.send_file(str(path), topic="files")
    inbox = await sdk.call("wait_inbox", count=1, within_s=DEADLINE_S)

    assert inbox[0]["name"] == "ours.bin"
    assert inbox[0]["size"] == FILE_BYTES
    assert inbox[0]["sha256"] == hashlib.sha256(data).hexdigest()


async def test_data_packets_go_both_ways(sdk: SdkPeer, engine: EnginePeer) -> None:
    data = base64.b64encode(b"from the sdk").decode()
    await sdk.call("publish_data", data=data, topic="t")
    (packet,) = await engine.wait_event("data_received")
    await engine.room.local_participant.publish_data("from the engine", topic="u")
    theirs = await sdk.wait_event("data_received", topic="u")

    assert packet.data == b"from the sdk"
    assert packet.topic == "t"
    assert packet.kind == rtc.DataPacketKind.KIND_RELIABLE
    assert packet.participant is not None
    assert packet.participant.identity == "sally"
    assert base64.b64decode(theirs["data"]) == b"from the engine"
    assert theirs["identity"] == "ernie"


async def test_names_and_attributes_are_seen_by_both(sdk: SdkPeer, engine: EnginePeer) -> None:
    await engine.room.local_participant.set_attributes({"lanai.hand": "1"})
    await engine.room.local_participant.set_name("Ernie E.")
    assert engine.room.local_participant.attributes == {"lanai.hand": "1"}
    assert engine.room.local_participant.name == "Ernie E."
    await sdk.wait_event("participant_attributes_changed", changed={"lanai.hand": "1"})
    await sdk.wait_event("participant_name_changed", identity="ernie")

    await sdk.call("set_attributes", attributes={"k": "v"})
    changed, who = await engine.wait_event(
        "participant_attributes_changed", lambda _, person: person.identity == "sally"
    )
    assert changed == {"k": "v"}
    assert who.attributes == {"k": "v"}


async def test_muting_and_unpublishing_are_seen_by_both(sdk: SdkPeer, engine: EnginePeer) -> None:
    ours = await engine.publish_tone(330.0)
    await sdk.wait_media("tone", identity="ernie", freq_hz=330.0)
    assert ours.track is not None
    ours.track.mute()
    await sdk.wait_event("track_muted", identity="ernie")
    ours.track.unmute()
    await sdk.wait_event("track_unmuted", identity="ernie")
    await engine.room.local_participant.unpublish_track(ours.sid)
    await sdk.wait_event("track_unpublished", identity="ernie")

    sid = await sdk.call("publish_tone", freq_hz=440.0)
    await engine.wait_event("track_subscribed", lambda _, publication, __: publication.sid == sid)
    await sdk.call("mute", sid=sid, muted=True)
    _, publication = await engine.wait_event("track_muted", lambda p, _: p.identity == "sally")
    assert publication.muted
    await sdk.call("mute", sid=sid, muted=False)
    await engine.wait_event("track_unmuted", lambda p, _: p.identity == "sally")
    await sdk.call("unpublish", sid=sid)
    _, publication, _ = await engine.wait_event("track_unsubscribed")
    assert publication.sid == sid
    await engine.wait_event("track_unpublished")


async def test_a_subscription_can_be_given_up_and_taken_again(
    sdk: SdkPeer, engine: EnginePeer
) -> None:
    sid = await sdk.call("publish_tone", freq_hz=440.0)
    _, publication, _ = await engine.wait_event("track_subscribed")
    assert publication.sid == sid
    assert publication.subscribed

    publication.set_subscribed(False)
    await engine.wait_event("track_unsubscribed")
    assert not publication.subscribed
    engine.events.clear()
    publication.set_subscribed(True)
    await engine.wait_event("track_subscribed")

    assert (await engine.hear("sally")).is_tone(440.0)


async def test_after_a_full_rejoin_sound_flows_both_ways_again(
    sdk: SdkPeer, engine: EnginePeer
) -> None:
    await sdk.call("publish_tone", freq_hz=440.0)
    await engine.wait_event("track_subscribed")
    ours = await engine.publish_tone(660.0)
    await sdk.wait_media("tone", identity="ernie", freq_hz=660.0)
    old_sid, old_me = ours.sid, engine.room.local_participant.sid
    renamed: list[tuple[rtc.LocalTrackPublication, str]] = []
    engine.room.on("local_track_republished", lambda *args: renamed.append(args))
    engine.events.clear()

    # As if the transport had died: what follows is the real thing.
    assert engine.room.session is not None
    engine.room.session.on_lost("test")
    await engine.wait_event("reconnecting")
    await engine.wait_event("reconnected")

    assert renamed == [(ours, old_sid)]
    assert ours.sid != old_sid
    assert engine.room.local_participant.sid != old_me
    assert engine.room.connection_state == rtc.ConnectionState.CONN_CONNECTED
    assert (await engine.hear("sally")).is_tone(440.0)
    await sdk.wait_media("tone", identity="ernie", freq_hz=660.0, sid=ours.sid)


async def test_the_engine_hears_who_speaks_and_who_leaves(sdk: SdkPeer, engine: EnginePeer) -> None:
    await sdk.call("publish_tone", freq_hz=440.0)
    (speakers,) = await engine.wait_event("active_speakers_changed", bool)
    assert [person.identity for person in speakers] == ["sally"]

    await sdk.call("disconnect")
    (person,) = await engine.wait_event("participant_disconnected")

    assert person.identity == "sally"
    assert person.disconnect_reason == rtc.DisconnectReason.CLIENT_INITIATED
    assert "sally" not in engine.room.remote_participants


async def test_the_sdk_sees_the_engine_leave(sdk: SdkPeer, engine: EnginePeer) -> None:
    await engine.room.disconnect()

    await sdk.wait_event("participant_disconnected", identity="ernie")
    assert not engine.room.isconnected()
    assert engine.events[-1] == ("disconnected", (rtc.DisconnectReason.CLIENT_INITIATED,))


async def test_an_sdk_that_is_killed_is_gone_for_everybody(
    server: ServerUnderTest, sdk: SdkPeer, engine: EnginePeer, tmp_path: Path
) -> None:
    """It could resume for 20 s: all who are to see it go watch the same one."""
    spec = JoinSpec("Wendy", server_url=server.url, token=server.token("wendy"))
    async with SdkPeer("bob") as bob, attending(tmp_path, generated=False) as window:
        await bob.connect(server.url, server.token("bob"))
        await window.join(replace(spec, mic_on=False, camera_on=False))
        sid = await sdk.call("publish_tone", freq_hz=440.0)
        await bob.wait_media("tone", sid=sid, freq_hz=440.0)
        await sdk.call("answer_calls")
        call = {"to": "sally", "method": "slow", "payload": "", "response_timeout": 60.0}
        slow = asyncio.ensure_future(bob.call("call_peer", deadline_s=60, **call))
        async with asyncio.timeout(DEADLINE_S):
            while True:
                if (await sdk.call("me"))["slow_calls"]:
                    break
                await asyncio.sleep(0.05)
        sdk.kill()

        (person,) = await engine.wait_event("participant_disconnected")
        left = await window.wait(PersonLeft)
        answer = await slow
        await bob.wait_event("participant_disconnected", identity="sally")
        others = {person["identity"] for person in await bob.call("people")}

    assert (person.identity, left.identity) == ("sally", "sally")
    assert answer["code"] == 1503  # recipient disconnected
    assert others == {"ernie", "wendy"}
