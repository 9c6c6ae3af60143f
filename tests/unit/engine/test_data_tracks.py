"""Our data tracks and those of others without a network: numbers, queues, coming back."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from livekit.protocol import models as lk
from livekit.protocol import rtc as lk_rtc

from app.engine import data_publications, data_subscriptions
from app.engine.data_track import (
    DataTrackFrame,
    DataTrackStream,
    LocalDataTrack,
    PublishDataTrackError,
    PushFrameError,
    RemoteDataTrack,
    SubscribeDataTrackError,
)
from app.engine.data_track_sender import LEAST_BYTES, WAITING_FRAMES, DataTrackSender
from app.engine.data_tracks import DataTracks
from app.protocol.data_track.packet import Encryption, Extensions, parse_packet
from app.protocol.data_track.packetizer import Packetizer
from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner

Published = lk_rtc.DataTrackSubscriberHandles.PublishedDataTrack


class Wire:
    """A `_data_track` channel whose buffer the test empties."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.buffered = 0
        self.keeps_up = True
        self.is_gone = False
        self._drained = asyncio.Event()

    def buffered_bytes(self, label: str) -> int:
        return self.buffered

    async def drain(self, label: str, below_bytes: int) -> None:
        while self.buffered > below_bytes:
            self._drained.clear()
            await self._drained.wait()

    def send_message(self, label: str, data: bytes) -> None:
        if self.is_gone:
            raise WorldError(Reason.NO_ROUTE)
        self.sent.append(data)
        self.buffered += 0 if self.keeps_up else len(data)

    def empty(self) -> None:
        self.buffered = 0
        self._drained.set()


class Desk:
    """Data tracks with everything they ask of the server on record."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.asked: list[lk_rtc.SignalRequest] = []
        self.events: list[tuple[str, Any]] = []
        self.owner = TaskOwner("test")
        self.tracks = DataTracks(self.asked.append, lambda: self.wire, self.owner)
        self.tracks.remote.emit = lambda name, value: self.events.append((name, value))

    def subscriptions(self) -> list[tuple[str, bool]]:
        return [
            (update.track_sid, update.subscribe)
            for request in self.asked
            for update in request.update_data_subscription.updates
        ]

    async def publish(self, name: str = "x", sid: str = "DTR_1") -> LocalDataTrack:
        publishing = asyncio.ensure_future(self.tracks.local.publish(name))
        await asyncio.sleep(0)
        request = self.asked[-1].publish_data_track_request
        info = lk.DataTrackInfo(pub_handle=request.pub_handle, sid=sid, name=request.name)
        self.tracks.handle_signal(lk_rtc.PublishDataTrackResponse(info=info))
        return await publishing

    def remote(self, sid: str = "DTR_1", handle: int = 1) -> RemoteDataTrack:
        self.tracks.remote.handle_person(
            "anna", [lk.DataTrackInfo(pub_handle=handle, sid=sid, name="x")]
        )
        track: RemoteDataTrack = self.events[-1][1]
        return track

    def grant(self, **sids: int) -> None:
        handles = {handle: Published(track_sid=sid) for sid, handle in sids.items()}
        self.tracks.handle_signal(lk_rtc.DataTrackSubscriberHandles(sub_handles=handles))

    def arrive(self, packets: list[bytes]) -> None:
        for data in packets:
            self.tracks.remote.handle_packet(data)


@pytest.fixture
async def desk() -> Any:
    desk = Desk()
    yield desk
    desk.tracks.close()
    await desk.owner.close()


async def frames(stream: DataTrackStream, count: int) -> list[bytes]:
    async with asyncio.timeout(5):
        return [bytes((await stream.__anext__()).payload) for _ in range(count)]


# --- ours


async def test_a_published_track_sends_frames_under_its_handle(desk: Desk) -> None:
    track = await desk.publish()
    track.try_push(DataTrackFrame(b"one", user_timestamp=5))
    (packet,) = map(parse_packet, desk.wire.sent)
    assert (packet.handle, packet.payload) == (1, b"one")
    assert packet.extensions == Extensions(user_timestamp=5)
    with pytest.raises(PushFrameError):
        track.try_push(DataTrackFrame(b"x", user_timestamp=-1))
    with pytest.raises(PushFrameError):
        track.try_push(DataTrackFrame(bytes(3_000_000)))


async def test_a_refused_and_an_unanswered_publication_are_errors(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishing = asyncio.ensure_future(desk.tracks.local.publish("x"))
    await asyncio.sleep(0)
    request = desk.asked[-1].publish_data_track_request
    refusal = lk_rtc.RequestResponse(
        reason=lk_rtc.RequestResponse.NOT_ALLOWED, publish_data_track=request
    )
    assert desk.tracks.handle_signal(refusal)
    with pytest.raises(PublishDataTrackError, match="permission"):
        await publishing
    monkeypatch.setattr(data_publications, "PUBLISH_TIMEOUT_S", 0.01)
    with pytest.raises(PublishDataTrackError, match="did not answer"):
        await desk.tracks.local.publish("y")
    # The promise that comes too late is given back.
    late = lk.DataTrackInfo(pub_handle=2, sid="DTR_2", name="y")
    desk.tracks.handle_signal(lk_rtc.PublishDataTrackResponse(info=late))
    assert desk.asked[-1].unpublish_data_track_request.pub_handle == 2


async def test_tracks_are_published_again_under_handle_and_name(desk: Desk) -> None:
    track = await desk.publish("pose")
    state = lk_rtc.SyncState()
    desk.tracks.describe(state)
    assert [each.info.sid for each in state.publish_data_tracks] == ["DTR_1"]
    desk.tracks.handle_lost()
    with pytest.raises(PushFrameError, match="reconnecting"):
        track.try_push(DataTrackFrame(b"x"))
    assert track.is_published()
    desk.tracks.handle_rejoined()
    again = desk.asked[-1].publish_data_track_request
    assert (again.pub_handle, again.name) == (1, "pose")
    info = lk.DataTrackInfo(pub_handle=1, sid="DTR_9", name="pose")
    desk.tracks.handle_signal(lk_rtc.PublishDataTrackResponse(info=info))
    assert track.info.sid == "DTR_9"
    track.try_push(DataTrackFrame(b"x"))
    desk.tracks.handle_signal(lk_rtc.UnpublishDataTrackResponse(info=info))
    assert not track.is_published()


async def test_a_full_channel_keeps_the_newest_frames_and_drops_old_ones_whole(
    desk: Desk,
) -> None:
    track = await desk.publish()
    desk.wire.keeps_up = False
    track.try_push(DataTrackFrame(bytes(40_000)))
    assert len(desk.wire.sent) == 1
    assert desk.wire.buffered > LEAST_BYTES
    for number in range(100):
        track.try_push(DataTrackFrame(b"%d" % number))
    desk.wire.keeps_up = True
    desk.wire.empty()
    await asyncio.sleep(0.01)
    packets = [parse_packet(data) for data in desk.wire.sent]
    assert b"".join(p.payload for p in packets[:3]) == bytes(40_000)
    assert packets[2].is_final
    kept = [int(p.payload) for p in packets[3:]]
    assert kept == list(range(100 - WAITING_FRAMES, 100))
    assert desk.tracks.sender.dropped_frames == 100 - WAITING_FRAMES


async def test_a_lost_connection_drops_what_waits() -> None:
    wire, owner = Wire(), TaskOwner("test")
    sender = DataTrackSender(lambda: wire, owner)
    wire.buffered = 100_000
    sender.send(1, [b"a"])
    wire.is_gone = True
    wire.empty()
    await asyncio.sleep(0.01)
    wire.is_gone = False
    sender.send(1, [b"b"])
    assert wire.sent == [b"b"]
    await owner.close()


# --- others'


async def test_streams_share_one_subscription_and_the_last_one_ends_it(desk: Desk) -> None:
    track = desk.remote()
    first, second = track.subscribe(), track.subscribe(buffer_size=0)
    assert desk.subscriptions() == [("DTR_1", True)]
    desk.grant(DTR_1=40)
    packetizer = Packetizer(40, base=0)
    desk.arrive([p for n in range(3) for p in packetizer.packetize(b"%d" % n, n / 10)])
    assert await frames(first, 3) == [b"0", b"1", b"2"]
    assert await frames(second, 1) == [b"2"]
    assert second.dropped_frames == 2
    first.close()
    assert desk.subscriptions() == [("DTR_1", True)]
    await second.aclose()
    assert desk.subscriptions() == [("DTR_1", True), ("DTR_1", False)]
    assert await second.read() is None


async def test_a_forgotten_stream_ends_the_subscription(desk: Desk) -> None:
    stream = desk.remote().subscribe()
    del stream
    gc.collect()
    await asyncio.sleep(0)
    assert desk.subscriptions() == [("DTR_1", True), ("DTR_1", False)]


async def test_a_subscription_without_answer_is_an_error(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_subscriptions, "SUBSCRIBE_TIMEOUT_S", 0.01)
    stream = desk.remote().subscribe()
    async with asyncio.timeout(5):
        with pytest.raises(SubscribeDataTrackError):
            await stream.__anext__()
    assert await stream.read() is None
    assert desk.subscriptions()[-1] == ("DTR_1", False)


async def test_a_publisher_who_comes_back_keeps_its_streams(desk: Desk) -> None:
    stream = desk.remote().subscribe()
    desk.grant(DTR_1=40)
    desk.tracks.remote.handle_left("anna", may_return=True)
    desk.tracks.remote.handle_person("anna", [])
    assert [name for name, _ in desk.events] == ["data_track_published"]
    info = lk.DataTrackInfo(pub_handle=1, sid="DTR_2", name="x")
    desk.tracks.remote.handle_person("anna", [info])
    assert desk.subscriptions()[-1] == ("DTR_2", True)
    desk.grant(DTR_2=41)
    desk.arrive(Packetizer(41, base=0).packetize(b"back", 0.0))
    assert await frames(stream, 1) == [b"back"]
    desk.tracks.remote.handle_person("anna", [])
    assert desk.events[-1] == ("data_track_unpublished", "DTR_2")
    assert await stream.read() is None


async def test_a_publisher_who_stays_away_is_given_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_subscriptions, "RETURN_S", 0.01)
    stream = desk.remote().subscribe()
    desk.tracks.remote.handle_left("anna", may_return=True)
    async with asyncio.timeout(5):
        assert await stream.read() is None
    assert desk.events[-1] == ("data_track_unpublished", "DTR_1")
    late = desk.events[0][1].subscribe()
    with pytest.raises(SubscribeDataTrackError):
        await late.__anext__()


async def test_packets_of_nobody_broken_ones_and_encrypted_frames_are_counted(desk: Desk) -> None:
    stream = desk.remote().subscribe()
    desk.grant(DTR_1=40)
    desk.arrive([b"", b"\xff" * 20, *Packetizer(39, base=0).packetize(b"x", 0.0)])
    secret = Extensions(encryption=Encryption(0, bytes(12)))
    desk.arrive(Packetizer(40, base=0).packetize(b"x", 0.0, secret))
    assert desk.tracks.remote.stray_packets == 3
    assert desk.tracks.remote.undecrypted_frames == 1
    assert not stream._frames


async def test_rejoining_asks_for_everything_that_is_read(desk: Desk) -> None:
    stream = desk.remote().subscribe()
    desk.grant(DTR_1=40)
    desk.tracks.handle_lost()
    desk.arrive(Packetizer(40, base=0).packetize(b"old", 0.0))
    desk.tracks.handle_rejoined()
    assert desk.subscriptions() == [("DTR_1", True)] * 2
    desk.grant(DTR_1=3)
    desk.arrive(Packetizer(3, base=0).packetize(b"new", 1.0))
    assert await frames(stream, 1) == [b"new"]
