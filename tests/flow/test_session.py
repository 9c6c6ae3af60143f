from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator

import pytest
from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.engine.session import Session, SessionOptions
from app.protocol import reconnect
from app.protocol.rtp.encoded import EncodedVideoFrame
from app.rtc.data_channels import MAX_SEND_BYTES
from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner
from app.server.service import SfuService
from tests.support.session_room import (
    MediaSource,
    Witness,
    counter_of,
    eventually,
    joined,
    publish_camera,
    publish_microphone,
    serving,
    token,
)
from tests.support.tcp_relay import TcpRelay


@pytest.fixture
async def server() -> AsyncIterator[SfuService]:
    async with serving() as service:
        yield service


@pytest.fixture
async def source() -> AsyncIterator[MediaSource]:
    owner = TaskOwner("source")
    yield MediaSource(owner)
    await owner.close()


async def refused(url: str, pass_: str, options: SessionOptions | None = None) -> WorldError:
    session = Session(Witness())  # type: ignore[arg-type]
    with pytest.raises(WorldError) as caught:
        await session.connect(url, pass_, options)
    assert not session.is_connected
    return caught.value


async def test_sound_and_pictures_of_one_session_arrive_whole_and_in_order_at_another(
    server: SfuService, source: MediaSource
) -> None:
    async with joined(server.url, "ada") as (ada, _), joined(server.url, "bob") as (_, bob):
        sound_sid, sound = await publish_microphone(ada)
        video_sid, video = await publish_camera(ada)
        source.play(sound, video)

        await eventually(lambda: len(bob.frames.get(video_sid, ())) >= 60)
        await eventually(lambda: len(bob.packets.get(sound_sid, ())) >= 60)

        counters = [counter_of(frame) for frame in bob.frames[video_sid]]
        assert counters == list(range(counters[0], counters[0] + len(counters)))
        assert bob.frames[video_sid][0].keyframe
        assert (bob.frames[video_sid][0].width, bob.frames[video_sid][0].height) == (320, 180)
        numbers = [packet.seq for packet in bob.packets[sound_sid]]
        assert all((b - a) & 0xFFFF == 1 for a, b in itertools.pairwise(numbers))
        assert bob.participants["ada"].sid == bob.arguments("on_track")[0]


async def test_of_a_simulcast_video_one_layer_arrives_and_the_subscriber_chooses_it(
    server: SfuService, source: MediaSource
) -> None:
    async with joined(server.url, "ada") as (ada, _), joined(server.url, "bob") as (_b, bob):
        sid, video = await publish_camera(ada, simulcast=True)
        source.play(None, video, layers=2)
        frames = await eventually(lambda: bob.frames.get(sid))

        await eventually(lambda: frames and len(frames[-1].data) == 5_000, what="high layer")
        _b.set_track_settings([sid], quality=lk_models.VideoQuality.LOW)
        await eventually(lambda: len(frames[-1].data) == 2_500, what="low layer")

        counters = [counter_of(frame) for frame in frames]
        assert counters == sorted(counters)
        assert {frame.width for frame in frames if frame.keyframe} == {320, 640}


async def test_reliable_data_arrives_once_and_in_order_and_lossy_data_arrives(
    server: SfuService,
) -> None:
    async with joined(server.url, "ada") as (ada, _), joined(server.url, "bob") as (_, bob):
        for number in range(300):
            packet = lk_models.DataPacket(user=lk_models.UserPacket(payload=b"%d" % number))
            await ada.send_data(packet, reliable=True)
        await eventually(lambda: len(bob.data) == 300)

        lossy = lk_models.DataPacket(user=lk_models.UserPacket(payload=b"lossy"))
        while not any(not is_reliable for _, is_reliable in bob.data):
            await ada.send_data(lossy, reliable=False)
            await asyncio.sleep(0.05)
        reliable = [int(p.user.payload) for p, is_reliable in bob.data if is_reliable]
        assert reliable == list(range(300))
        assert {p.user.payload for p, is_reliable in bob.data if not is_reliable} == {b"lossy"}
        assert {p.participant_identity for p, _ in bob.data} == {"ada"}


async def test_a_packet_that_no_peer_would_take_is_refused_before_it_is_sent(
    server: SfuService,
) -> None:
    async with joined(server.url, "ada") as (ada, _):
        packet = lk_models.DataPacket(user=lk_models.UserPacket(payload=bytes(65_000)))
        for reliable in (True, False):
            with pytest.raises(WorldError) as caught:
                await ada.send_data(packet, reliable=reliable)
            assert caught.value.reason is Reason.TOO_LARGE


async def test_the_largest_packet_that_may_be_sent_arrives(server: SfuService) -> None:
    # What the server writes into it makes it larger than anybody may send.
    identity = "ada" * 50
    async with joined(server.url, identity) as (ada, _), joined(server.url, "bob") as (_, bob):
        for size in (63_960, 0):
            packet = lk_models.DataPacket(
                user=lk_models.UserPacket(payload=bytes(size)), destination_identities=["bob"]
            )
            assert packet.ByteSize() < MAX_SEND_BYTES
            await ada.send_data(packet, reliable=True)
        await eventually(lambda: any(not p.user.payload for p, _ in bob.data))
        assert [len(p.user.payload) for p, _ in bob.data] == [63_960, 0]


async def test_many_megabytes_wait_for_the_network_instead_of_filling_memory(
    server: SfuService,
) -> None:
    async with joined(server.url, "ada") as (ada, _), joined(server.url, "bob") as (_, bob):
        connection = ada._connection
        assert connection is not None
        highest = 0
        for _ in range(400):
            packet = lk_models.DataPacket(user=lk_models.UserPacket(payload=bytes(15_000)))
            await ada.send_data(packet, reliable=True)
            highest = max(highest, connection.buffered_bytes("_reliable"))
        assert highest < (2 << 20) + 20_000
        await eventually(lambda: len(bob.data) == 400)


async def test_unpublishing_ends_the_track_and_publishing_again_brings_a_new_one(
    server: SfuService, source: MediaSource
) -> None:
    async with joined(server.url, "ada") as (ada, _), joined(server.url, "bob") as (_, bob):
        first, video = await publish_camera(ada)
        source.play(None, video)
        await eventually(lambda: bob.frames.get(first))

        await ada.unpublish(first)
        await eventually(lambda: ("on_track_removed", (first,)) in bob.events)
        second, video = await publish_camera(ada)
        assert second != first
        source.play(None, video)
        await eventually(lambda: len(bob.frames.get(second, ())) > 10)


async def test_a_track_given_up_is_gone_and_comes_back_when_asked_for(
    server: SfuService, source: MediaSource
) -> None:
    async with joined(server.url, "ada") as (ada, _), joined(server.url, "bob") as (_b, bob):
        sid, video = await publish_camera(ada)
        source.play(None, video)
        await eventually(lambda: bob.frames.get(sid))
        welcome = ada.join_response
        assert welcome is not None

        _b.set_subscribed(welcome.participant.sid, [sid], False)
        await eventually(lambda: bob.count("on_track_removed") == 1)
        seen = len(bob.frames[sid])
        _b.set_subscribed(welcome.participant.sid, [sid], True)
        await eventually(lambda: bob.count("on_track") == 2)
        await eventually(lambda: len(bob.frames[sid]) > seen + 10)


async def test_eight_publishers_reach_one_late_subscriber(
    server: SfuService, source: MediaSource
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        sids = []
        for number in range(8):
            session, _ = await stack.enter_async_context(joined(server.url, f"p{number}"))
            sid, sound = await publish_microphone(session)
            source.play(sound, None)
            sids.append(sid)
        _, late = await stack.enter_async_context(joined(server.url, "late"))

        await eventually(lambda: all(len(late.packets.get(sid, ())) > 10 for sid in sids))
        assert len(late.receivers) == 8


async def test_mute_and_metadata_are_seen_by_the_others(server: SfuService) -> None:
    async with joined(server.url, "ada") as (ada, _), joined(server.url, "bob") as (_, bob):
        sid, _sound = await publish_microphone(ada)
        ada.set_muted(sid, True)
        await ada.update_metadata(name="Ada L", metadata="m", attributes={"lanai.hand": "1"})

        def seen() -> bool:
            info = bob.participants.get("ada")
            return (
                info is not None
                and info.name == "Ada L"
                and info.attributes["lanai.hand"] == "1"
                and [track.muted for track in info.tracks] == [True]
            )

        await eventually(seen)


async def test_metadata_is_refused_without_the_grant(server: SfuService) -> None:
    session = Session(Witness())  # type: ignore[arg-type]
    await session.connect(server.url, token("ada", can_update_own_metadata=False))
    with pytest.raises(WorldError) as caught:
        await session.update_metadata(name="other")
    assert caught.value.reason is Reason.DENIED
    await session.close()


async def test_the_same_identity_from_elsewhere_ends_the_first_session(
    server: SfuService,
) -> None:
    async with joined(server.url, "ada") as (first, witness), joined(server.url, "ada"):
        await eventually(lambda: witness.count("on_disconnected") == 1)
        reason, _ = witness.arguments("on_disconnected")
        assert reason == lk_models.DisconnectReason.DUPLICATE_IDENTITY
        assert not first.is_connected
        with pytest.raises(WorldError):
            await first.send_data(lk_models.DataPacket(), reliable=True)


async def test_an_expired_token_a_forged_one_and_none_are_told_apart(server: SfuService) -> None:
    assert (await refused(server.url, token("ada", ttl_s=-60))).reason is Reason.EXPIRED
    forged = token("ada")[:-4] + "AAAA"
    assert (await refused(server.url, forged)).reason is Reason.FORGED
    assert (await refused(server.url, "nonsense")).reason is Reason.FORGED


async def test_nobody_listening_and_silence_are_told_apart() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        error = await refused(f"ws://127.0.0.1:{port}", "x")
        assert error.reason is Reason.REFUSED
        assert error.retry
        closed.listen()
        options = SessionOptions(signal_timeout_s=0.2, connect_timeout_s=1.0)
        silent = await refused(f"ws://127.0.0.1:{port}", "x", options)
        assert silent.reason is Reason.TIMEOUT


async def test_a_web_server_that_is_no_livekit_server_is_said_to_be_none() -> None:
    from aiohttp import web

    runner = web.AppRunner(web.Application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    error = await refused(f"ws://127.0.0.1:{runner.addresses[0][1]}", "x")
    assert error.reason is Reason.REFUSED
    await runner.cleanup()


async def test_a_join_can_be_given_up_while_it_waits(server: SfuService) -> None:
    session = Session(Witness())  # type: ignore[arg-type]
    task = asyncio.get_running_loop().create_task(session.connect(server.url, token("ada")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await session.close()


async def test_a_server_that_shuts_down_says_so_and_nobody_tries_to_come_back() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with serving() as server:
            _, witness = await stack.enter_async_context(joined(server.url, "ada"))
        await eventually(lambda: witness.count("on_disconnected") == 1)
        reason, _ = witness.arguments("on_disconnected")
        assert reason == lk_models.DisconnectReason.SERVER_SHUTDOWN
        assert witness.count("on_reconnecting") == 0


async def test_a_server_that_dies_and_comes_back_finds_everybody_again(
    source: MediaSource,
) -> None:
    async with (
        serving() as first,
        serving() as second,
        TcpRelay(first.port) as relay,
        joined(relay.url, "ada") as (ada, heard),
        joined(relay.url, "bob") as (_, bob),
    ):
        old_sid, video = await publish_camera(ada)
        sound_sid, sound = await publish_microphone(ada)
        source.play(sound, video)
        await eventually(lambda: bob.frames.get(old_sid))

        relay.port = second.port
        relay.cut()
        await eventually(lambda: heard.count("on_reconnected") == 1)
        await eventually(lambda: bob.count("on_reconnected") == 1)
        renamed = dict(args for name, args in heard.events if name == "on_local_republished")
        assert set(renamed) == {old_sid, sound_sid}
        assert ("on_track_removed", (old_sid,)) in bob.events

        new_sid = renamed[old_sid].sid
        await eventually(lambda: len(bob.frames.get(new_sid, ())) > 30)
        packet = lk_models.DataPacket(user=lk_models.UserPacket(payload=b"back"))
        await ada.send_data(packet, reliable=True)
        await eventually(lambda: [p.user.payload for p, _ in bob.data] == [b"back"])
        joins = [args[1] for name, args in heard.events if name == "on_joined"]
        assert joins == [False, True]


async def test_a_lost_signal_connection_is_made_again_with_the_newest_token(
    server: SfuService,
) -> None:
    async with (
        TcpRelay(server.port) as relay,
        joined(relay.url, "ada") as (ada, witness),
    ):
        await ada.update_metadata(name="Ada L")
        newest = ada.token
        assert newest != token("ada")
        relay.refuses = True
        relay.cut()
        await eventually(lambda: witness.count("on_reconnecting") == 1)
        await eventually(lambda: relay.accepted >= 3)
        assert not ada.is_connected
        # The session is gone when signalling comes back.
        room = server.rooms.find("room")
        assert room is not None
        gone = room.by_identity("ada")
        assert gone is not None
        room.participant_left(gone, lk_models.DisconnectReason.CONNECTION_TIMEOUT)
        relay.refuses = False
        ada.retry_now()

        await eventually(lambda: witness.count("on_reconnected") == 1)
        welcome = ada.join_response
        assert welcome is not None
        # The name is in the refreshed token alone.
        assert welcome.participant.name == "Ada L"


async def test_data_sent_while_the_connection_is_away_arrives_when_it_is_back(
    server: SfuService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconnect, "RESUME_PATIENCE_S", 0.0)
    async with (
        TcpRelay(server.port) as relay,
        joined(relay.url, "ada") as (ada, witness),
        joined(server.url, "bob") as (_, bob),
    ):
        relay.refuses = True
        relay.cut()
        await eventually(lambda: witness.count("on_rejoining") == 1)
        packet = lk_models.DataPacket(user=lk_models.UserPacket(payload=b"patience"))
        sending = asyncio.get_running_loop().create_task(ada.send_data(packet, reliable=True))
        await asyncio.sleep(0.05)
        assert not sending.done()
        relay.refuses = False
        ada.retry_now()

        await sending
        await eventually(lambda: [p.user.payload for p, _ in bob.data] == [b"patience"])


async def test_who_sends_in_the_moment_of_the_goodbye_waits_for_the_new_join(
    server: SfuService,
) -> None:
    async with joined(server.url, "ada") as (ada, witness), joined(server.url, "bob") as (_, bob):
        assert ada._connection is not None
        leave = lk_rtc.LeaveRequest(action=lk_rtc.LeaveRequest.RECONNECT)
        user = lk_models.UserPacket(payload=b"meanwhile")

        # In the same turn of the loop: nobody has begun to join again.
        ada._connection._on_left(leave)
        await ada.send_data(lk_models.DataPacket(user=user), reliable=True)

        await eventually(lambda: [p.user.payload for p, _ in bob.data] == [b"meanwhile"])
        assert witness.count("on_reconnected") == 1


async def test_a_session_whose_server_stays_away_ends_after_its_attempts(
    server: SfuService,
) -> None:
    async with (
        TcpRelay(server.port) as relay,
        joined(relay.url, "ada", SessionOptions(rejoin_attempts=3)) as (session, witness),
    ):
        relay.refuses = True
        relay.cut()
        await eventually(lambda: witness.count("on_disconnected") == 1)
        assert witness.names()[-2:] == ["on_reconnecting", "on_disconnected"]
        assert witness.arguments("on_disconnected")[0] == lk_models.DisconnectReason.SIGNAL_CLOSE
        with pytest.raises(WorldError):
            await session.publish(lk_rtc.AddTrackRequest(), codec="opus")


async def test_closing_while_rejoining_ends_quietly(server: SfuService) -> None:
    async with (
        TcpRelay(server.port) as relay,
        joined(relay.url, "ada") as (session, witness),
    ):
        relay.refuses = True
        relay.cut()
        await eventually(lambda: witness.count("on_reconnecting") == 1)
        await session.close()
        assert witness.count("on_disconnected") == 0


async def test_h264_arrives_as_it_was_sent(server: SfuService) -> None:
    start = b"\x00\x00\x00\x01"
    sets = start + b"\x67\x42\xe0\x1f\x8c" + start + b"\x68\xce\x3c\x80"
    sent: list[bytes] = []
    async with joined(server.url, "ada") as (ada, _), joined(server.url, "bob") as (_, bob):
        sid, video = await publish_camera(ada, codec="H264")
        wanted = {0}
        video.on_keyframe_request = wanted.add
        while len(bob.frames.get(sid, ())) < 30:
            number = len(sent)
            keyframe = bool(wanted)
            wanted.clear()
            body = (b"\x65" if keyframe else b"\x41") + b"%08d" % number + b"\x55" * 3_000
            data = (sets if keyframe else b"") + start + body
            sent.append(data)
            video.send(0, EncodedVideoFrame("H264", data, 3_000 * number, keyframe))
            await asyncio.sleep(0.01)

        frames = bob.frames[sid]
        assert frames[0].keyframe
        assert {frame.codec for frame in frames} == {"H264"}
        first = sent.index(frames[0].data)
        assert [frame.data for frame in frames] == sent[first : first + len(frames)]
