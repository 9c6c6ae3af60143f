"""Publishing, sending and saying who one is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from livekit.protocol import models as lk

from app.engine import local_participant as module
from app.engine import room as room_module
from app.engine import rtc
from app.media.capture.generated import draw_picture
from app.protocol.streams.assembler import StreamAssembler, StreamEnded, StreamFailed, TextGrew
from app.runtime.errors import Reason, WorldError
from tests.support.fake_session import FakeAudioSender, FakeSession, FakeVideoSender

DEADLINE_S = 30.0


@pytest.fixture
async def room(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[rtc.Room]:
    monkeypatch.setattr(room_module, "Session", FakeSession)
    monkeypatch.setattr(FakeSession, "refuse", None)
    monkeypatch.setattr(FakeSession, "people", [])
    room = rtc.Room()
    await room.connect("ws://server", "token")
    await asyncio.sleep(0)
    yield room
    await room.disconnect()


def tone(samples: int, rate: int = 48_000, channels: int = 1) -> rtc.AudioFrame:
    wave = (8_000 * np.sin(np.arange(samples) * 2 * np.pi * 440 / rate)).astype(np.int16)
    return rtc.AudioFrame(np.repeat(wave, channels).tobytes(), rate, channels, samples)


async def test_sound_is_announced_encoded_and_sent_every_20_ms(room: rtc.Room) -> None:
    source = rtc.AudioSource(48_000, 1)
    track = rtc.LocalAudioTrack.create_audio_track("mic", source)
    published: list[Any] = []
    room.on("local_track_published", lambda *args: published.append(args))
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)

    publication = await room.local_participant.publish_track(track, options)
    await source.capture_frame(tone(4_800))
    await source.wait_for_playout()
    await source.aclose()

    request = FakeSession.last.published[0]
    assert (request.name, request.source, request.type) == (
        "mic",
        lk.TrackSource.MICROPHONE,
        lk.TrackType.AUDIO,
    )
    assert published == [(publication, track)]
    assert track.sid == publication.sid == "TR_1"
    assert room.local_participant.track_publications == {"TR_1": publication}
    sender = FakeSession.last.senders[0]
    assert isinstance(sender, FakeAudioSender)
    await sender.arrivals.until(lambda: len(sender.sent) >= 5)
    steps = {(b[1] - a[1]) % (1 << 32) for a, b in zip(sender.sent, sender.sent[1:], strict=False)}
    assert steps == {960}
    assert [marker for *_, marker in sender.sent[:5]] == [True, False, False, False, False]
    assert sender.sent[1][2] is not None
    assert 10 <= sender.sent[1][2] <= 20


async def test_a_muted_track_sends_nothing_and_says_so(room: rtc.Room) -> None:
    source = rtc.AudioSource(48_000, 1, queue_size_ms=0)
    track = rtc.LocalAudioTrack.create_audio_track("mic", source)
    events: list[str] = []
    room.on("track_muted", lambda who, publication: events.append(f"muted {publication.sid}"))
    room.on("track_unmuted", lambda who, publication: events.append("unmuted"))
    await room.local_participant.publish_track(track)
    sender = FakeSession.last.senders[0]
    assert isinstance(sender, FakeAudioSender)

    track.mute()
    track.mute()
    await source.capture_frame(tone(960))
    await asyncio.sleep(0)
    assert sender.sent == []
    track.unmute()
    await source.capture_frame(tone(960))
    await asyncio.sleep(0)

    assert len(sender.sent) == 1
    assert events == ["muted TR_1", "unmuted"]
    assert FakeSession.last.requests == [("muted", "TR_1", True), ("muted", "TR_1", False)]


async def test_a_moderator_can_mute(room: rtc.Room) -> None:
    track = rtc.LocalAudioTrack.create_audio_track("mic", rtc.AudioSource(48_000, 1, 0))
    publication = await room.local_participant.publish_track(track)

    FakeSession.last.observer.on_mute_request("TR_1", True)

    assert track.muted
    assert publication.muted
    assert FakeSession.last.requests == [("muted", "TR_1", True)]


async def test_video_is_published_in_three_layers_and_encoded(room: rtc.Room) -> None:
    source = rtc.VideoSource(1280, 720)
    track = rtc.LocalVideoTrack.create_video_track("cam", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA)

    publication = await room.local_participant.publish_track(track, options)
    session = FakeSession.last
    request, sender = session.published[0], session.senders[0]
    assert isinstance(sender, FakeVideoSender)
    picture = draw_picture((200, 40, 40), 1280, 720, 7)
    frame = rtc.VideoFrame(1280, 720, rtc.VideoBufferType.I420, bytes(picture.data))
    source.capture_frame(frame, timestamp_us=1_000_000)
    await sender.arrivals.until(lambda: len(sender.sent) >= 3)
    source.capture_frame(frame, timestamp_us=1_040_000)
    await sender.arrivals.until(lambda: len(sender.sent) >= 4)
    await room.local_participant.unpublish_track(publication.sid)

    assert [layer.rid for layer in session.layers] == ["q", "h", "f"]
    assert [(v.quality, v.width, v.height) for v in request.layers] == [
        (lk.VideoQuality.LOW, 320, 180),
        (lk.VideoQuality.MEDIUM, 640, 360),
        (lk.VideoQuality.HIGH, 1280, 720),
    ]
    first = dict(sender.sent[:3])
    assert {(f.width, f.height) for f in first.values()} == {(320, 180), (640, 360), (1280, 720)}
    assert all(f.keyframe for f in first.values())
    assert len({f.ts_rtp for f in first.values()}) == 1
    of_top = [f for layer, f in sender.sent if layer == 2]
    assert (of_top[1].ts_rtp - of_top[0].ts_rtp) % (1 << 32) == 3_600
    assert publication.track is None
    assert session.requests == [("unpublish", "TR_1")]


async def test_what_the_server_removes_is_told(room: rtc.Room) -> None:
    track = rtc.LocalAudioTrack.create_audio_track("mic", rtc.AudioSource(48_000, 1, 0))
    publication = await room.local_participant.publish_track(track)
    removed: list[Any] = []
    room.on("local_track_unpublished", removed.append)

    FakeSession.last.observer.on_local_unpublished("TR_1")

    assert removed == [publication]
    assert room.local_participant.track_publications == {}


async def test_a_republished_track_takes_its_new_sid(room: rtc.Room) -> None:
    track = rtc.LocalAudioTrack.create_audio_track("mic", rtc.AudioSource(48_000, 1, 0))
    publication = await room.local_participant.publish_track(track)
    told: list[Any] = []
    room.on("local_track_republished", lambda *args: told.append(args))

    FakeSession.last.observer.on_local_republished("TR_1", lk.TrackInfo(sid="TR_9", name="mic"))

    assert told == [(publication, "TR_1")]
    assert track.sid == publication.sid == "TR_9"
    assert room.local_participant.track_publications == {"TR_9": publication}


async def test_waiting_for_a_subscriber_ends_with_the_first_one(room: rtc.Room) -> None:
    track = rtc.LocalAudioTrack.create_audio_track("mic", rtc.AudioSource(48_000, 1, 0))
    publication = await room.local_participant.publish_track(track)
    told: list[Any] = []
    room.on("local_track_subscribed", told.append)

    FakeSession.last.observer.on_local_subscribed("TR_1")
    await asyncio.wait_for(publication.wait_for_subscription(), DEADLINE_S)

    assert told == [track]


async def test_a_text_is_header_chunks_and_trailer(room: rtc.Room) -> None:
    text = "Grüße " * 4_000
    info = await room.local_participant.send_text(
        text, topic="t", destination_identities=["anna"], reply_to_id="r", attributes={"k": "v"}
    )

    packets = [packet for packet, _ in FakeSession.last.packets]
    assembler = StreamAssembler()
    outputs = [o for packet in packets for o in assembler.handle_packet(packet)]
    assert "".join(o.text for o in outputs if isinstance(o, TextGrew)) == text
    assert isinstance(outputs[-1], StreamEnded)
    assert all(reliable for _, reliable in FakeSession.last.packets)
    assert all(list(p.destination_identities) == ["anna"] for p in packets)
    assert packets[0].participant_identity == "me"
    assert packets[0].stream_header.text_header.reply_to_stream_id == "r"
    assert info.size == len(text.encode())
    assert info.stream_id == packets[0].stream_header.stream_id


async def test_writers_refuse_what_comes_after_the_end(room: rtc.Room) -> None:
    writer = await room.local_participant.stream_text(topic="t")
    await writer.aclose(reason="interrupted")

    with pytest.raises(RuntimeError):
        await writer.write("late")
    with pytest.raises(RuntimeError):
        await writer.aclose()
    assembler = StreamAssembler()
    outputs = [o for p, _ in FakeSession.last.packets for o in assembler.handle_packet(p)]
    assert isinstance(outputs[-1], StreamFailed)


async def test_a_file_keeps_its_name_type_and_bytes(room: rtc.Room, tmp_path: Path) -> None:
    data = bytes(range(256)) * 1_000
    path = tmp_path / "notes.txt"
    path.write_bytes(data)

    info = await room.local_participant.send_file(str(path), topic="files", compress=False)

    packets = [packet for packet, _ in FakeSession.last.packets]
    header = packets[0].stream_header
    assert (header.byte_header.name, header.mime_type) == ("notes.txt", "text/plain")
    assert header.total_length == info.size == len(data)
    assert b"".join(p.stream_chunk.content for p in packets[1:-1]) == data


async def test_a_file_that_shrinks_meanwhile_breaks_the_stream_off(
    room: rtc.Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(b"x" * 300_000)
    send_data = FakeSession.last.send_data

    async def shrink_then_send(packet: lk.DataPacket, *, reliable: bool) -> None:
        with path.open("r+b") as file:
            file.truncate(1_000)
        await send_data(packet, reliable=reliable)

    monkeypatch.setattr(FakeSession.last, "send_data", shrink_then_send)
    with pytest.raises(rtc.StreamError, match="changed"):
        await room.local_participant.send_file(str(path), topic="files", compress=False)

    assert FakeSession.last.packets[-1][0].stream_trailer.reason == "error"


async def test_a_missing_file_is_a_stream_error(room: rtc.Room, tmp_path: Path) -> None:
    with pytest.raises(rtc.StreamError, match="cannot open"):
        await room.local_participant.send_file(str(tmp_path / "none"), topic="files")
    assert FakeSession.last.packets == []


async def test_a_stream_over_a_lost_connection_is_a_stream_error(room: rtc.Room) -> None:
    FakeSession.last.send_error = WorldError(Reason.NO_ROUTE)

    with pytest.raises(rtc.StreamError):
        await room.local_participant.send_text("hello", topic="t")
    with pytest.raises(module.PublishDataError):
        await room.local_participant.publish_data(b"x")


async def test_data_without_permission_is_refused_here(room: rtc.Room) -> None:
    await room.local_participant.publish_data("text", topic="t", reliable=False)
    packet, reliable = FakeSession.last.packets[0]
    assert (packet.user.payload, packet.user.topic, reliable) == (b"text", "t", False)

    room.local_participant.info.permission.can_publish_data = False
    sent = len(FakeSession.last.packets)
    with pytest.raises(module.PublishDataError, match="permission"):
        await room.local_participant.publish_data(b"x")
    with pytest.raises(rtc.StreamError, match="permission"):
        await room.local_participant.send_text("x", topic="t")
    with pytest.raises(WorldError) as raised:
        await room.local_participant.send_packet(lk.DataPacket(user=lk.UserPacket(payload=b"x")))
    assert raised.value.reason is Reason.DENIED
    assert len(FakeSession.last.packets) == sent
    # The server's own calls are answered all the same.
    await room.local_participant.send_packet(lk.DataPacket(rpc_ack=lk.RpcAck(request_id="1")))
    assert len(FakeSession.last.packets) == sent + 1


async def test_names_metadata_and_attributes_are_passed_on(room: rtc.Room) -> None:
    me = room.local_participant
    await me.set_name("Me")
    await me.set_metadata("m")
    await me.set_attributes({"k": "v"})
    me.set_track_subscription_permissions(
        allow_all_participants=False,
        participant_permissions=[
            rtc.ParticipantTrackPermission(participant_identity="anna", allow_all=True)
        ],
    )

    assert FakeSession.last.requests[:3] == [
        ("metadata", "Me", "", {}),
        ("metadata", "", "m", {}),
        ("metadata", "", "", {"k": "v"}),
    ]
    permission = FakeSession.last.requests[3][1]
    assert permission.track_permissions[0].participant_identity == "anna"
    assert not permission.all_participants


async def test_unknown_tracks_and_unbuilt_codecs_are_refused(room: rtc.Room) -> None:
    with pytest.raises(module.UnpublishTrackError):
        await room.local_participant.unpublish_track("TR_none")
    track = rtc.LocalVideoTrack.create_video_track("cam", rtc.VideoSource(640, 360))
    with pytest.raises(NotImplementedError, match="AV1"):
        await room.local_participant.publish_track(
            track, rtc.TrackPublishOptions(video_codec=rtc.VideoCodec.AV1)
        )
