"""Data tracks at the signalling socket: promises, refusals, handles, permissions, the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from livekit.protocol import models, rtc

from app.protocol.data_track.packet import parse_packet
from app.protocol.data_track.packetizer import Packetizer
from app.server.config import ServerConfig
from app.server.room import data_tracks as module
from app.server.room.room import Room
from app.server.service import SfuService
from tests.support.raw_signal import RawSignal
from tests.support.session_room import KEY, SECRET, eventually, token

Reasons = rtc.RequestResponse


@pytest.fixture
async def service() -> AsyncIterator[SfuService]:
    service = SfuService(ServerConfig(keys={KEY: SECRET}, port=0, rtc_port=0))
    await service.start()
    yield service
    await service.stop()


def client(
    service: SfuService, identity: str, join: rtc.JoinRequest | None = None, **grant: Any
) -> RawSignal:
    return RawSignal(service.url, token(identity, **grant), join)


def room_of(service: SfuService) -> Room:
    room = service.rooms.find("room")
    assert room is not None
    return room


async def publish(raw: RawSignal, handle: int = 1, name: str = "sensor", **fields: Any) -> str:
    request = rtc.PublishDataTrackRequest(pub_handle=handle, name=name, **fields)
    await raw.send(publish_data_track_request=request)
    return (await raw.receive("publish_data_track_response")).publish_data_track_response.info.sid


async def refusal(raw: RawSignal, handle: int = 1, name: str = "x", **fields: Any) -> int:
    request = rtc.PublishDataTrackRequest(pub_handle=handle, name=name, **fields)
    await raw.send(publish_data_track_request=request)
    response = (await raw.receive("request_response")).request_response
    assert response.publish_data_track == request
    return response.reason


async def want(raw: RawSignal, sid: str, subscribe: bool = True) -> None:
    updates = [rtc.UpdateDataSubscription.Update(track_sid=sid, subscribe=subscribe)]
    await raw.send(update_data_subscription=rtc.UpdateDataSubscription(updates=updates))


async def handles(raw: RawSignal) -> dict[int, str]:
    response = (await raw.receive("data_track_subscriber_handles")).data_track_subscriber_handles
    return {handle: track.track_sid for handle, track in response.sub_handles.items()}


async def permission(raw: RawSignal) -> tuple[str, bool]:
    update = (await raw.receive("subscription_permission_update")).subscription_permission_update
    return update.track_sid, update.allowed


async def test_a_track_is_promised_and_announced_to_everybody(service: SfuService) -> None:
    async with client(service, "alice") as alice, client(service, "bob") as bob:
        sid = await publish(alice, name="sensor")
        assert sid.startswith("DTR_")
        for raw in (alice, bob):
            (info,) = (await raw.receive("update")).update.participants
            while not info.data_tracks:
                (info,) = (await raw.receive("update")).update.participants
            assert info.identity == "alice"
            assert info.is_publisher
            assert [(t.sid, t.pub_handle, t.name) for t in info.data_tracks] == [(sid, 1, "sensor")]
            assert not info.tracks
        async with client(service, "carol") as carol:
            tracks = [t.sid for p in carol.joined.other_participants for t in p.data_tracks]
            assert tracks == [sid]


async def test_what_cannot_be_published_is_refused_with_its_reason(service: SfuService) -> None:
    custom = models.DataTrackFrameEncoding(custom="e" * 33)
    async with client(service, "alice") as alice:
        await publish(alice, 1, "sensor")
        assert await refusal(alice, 0) == Reasons.INVALID_HANDLE
        assert await refusal(alice, 65_536) == Reasons.INVALID_HANDLE
        assert await refusal(alice, 2, "") == Reasons.INVALID_NAME
        assert await refusal(alice, 2, "n" * 257) == Reasons.INVALID_NAME
        assert await refusal(alice, 1) == Reasons.DUPLICATE_HANDLE
        assert await refusal(alice, 2, "sensor") == Reasons.DUPLICATE_NAME
        assert await refusal(alice, 2, frame_encoding=custom) == Reasons.INVALID_REQUEST
        for handle in range(2, module.MAX_TRACKS + 1):
            await publish(alice, handle, f"sensor {handle}")
        assert await refusal(alice, 1_000) == Reasons.LIMIT_EXCEEDED
    async with client(service, "eve", can_publish_data=False) as eve:
        assert await refusal(eve) == Reasons.NOT_ALLOWED


async def test_subscribing_gives_a_permission_and_all_handles(service: SfuService) -> None:
    async with client(service, "alice") as alice, client(service, "bob") as bob:
        first, second = await publish(alice, 1, "a"), await publish(alice, 2, "b")
        await want(bob, first)
        assert await permission(bob) == (first, True)
        ((handle, sid),) = (await handles(bob)).items()
        assert (handle > 0, sid) == (True, first)
        await want(bob, second)
        assert sorted((await handles(bob)).values()) == sorted([first, second])
        await want(bob, first, subscribe=False)
        assert list((await handles(bob)).values()) == [second]
        await want(bob, first)
        assert handle not in await handles(bob)
        await alice.send(unpublish_data_track_request=rtc.UnpublishDataTrackRequest(pub_handle=2))
        response = await alice.receive("unpublish_data_track_response")
        assert response.unpublish_data_track_response.info.sid == second
        assert list((await handles(bob)).values()) == [first]
        await alice.send(unpublish_data_track_request=rtc.UnpublishDataTrackRequest(pub_handle=2))
        refused = (await alice.receive("request_response")).request_response
        assert refused.reason == Reasons.NOT_FOUND
        await alice.close()
        await eventually(lambda: room_of(service).by_identity("alice") is None)
        assert await handles(bob) == {}


async def test_a_wish_that_came_too_early_or_was_not_allowed_is_kept(service: SfuService) -> None:
    async with client(service, "alice") as alice, client(service, "bob") as bob:
        nobody = rtc.SubscriptionPermission(all_participants=False)
        await alice.send(subscription_permission=nobody)
        sid = await publish(alice)
        await want(bob, sid)
        assert await permission(bob) == (sid, False)
        await alice.send(subscription_permission=rtc.SubscriptionPermission(all_participants=True))
        assert await permission(bob) == (sid, True)
        assert list((await handles(bob)).values()) == [sid]
        await alice.send(subscription_permission=nobody)
        assert await permission(bob) == (sid, False)
        assert await handles(bob) == {}


async def test_an_unknown_track_is_waited_for_a_minute(
    service: SfuService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "fresh_id", lambda prefix: f"{prefix}known")
    async with client(service, "alice") as alice, client(service, "bob") as bob:
        await want(bob, "DTR_known")
        await bob.round_trip()
        await publish(alice)
        assert list((await handles(bob)).values()) == ["DTR_known"]
        monkeypatch.setattr(module, "UNKNOWN_TRACK_S", -1.0)
        await want(bob, "DTR_never")
        await want(bob, "DTR_other")
        await bob.round_trip()
        sid = room_of(service).by_identity("bob")
        assert sid is not None
        assert set(room_of(service).data_tracks._desks[sid.sid].wishes) == {
            "DTR_known",
            "DTR_other",
        }


async def test_wishes_without_end_or_sense_cost_little(service: SfuService) -> None:
    update = rtc.UpdateDataSubscription.Update
    async with client(service, "alice") as alice, client(service, "mallory") as mallory:
        await want(mallory, "DTR_" + "x" * 1_000_000)
        sids = [f"DTR_{number}" for number in range(2_000)]
        # A frame of the largest size, of the shortest wishes.
        sids += [""] * 400_000
        wishes = [update(track_sid=sid, subscribe=True) for sid in sids]
        await mallory.send(update_data_subscription=rtc.UpdateDataSubscription(updates=wishes))
        await mallory.round_trip()
        await alice.round_trip()
        hostile = room_of(service).by_identity("mallory")
        assert hostile is not None
        kept = room_of(service).data_tracks._desks[hostile.sid].wishes
        assert len(kept) == module.MAX_WISHES
        assert sum(map(len, kept)) < 64 * module.MAX_WISHES


async def test_automatic_subscription_is_for_those_who_ask(service: SfuService) -> None:
    settings = rtc.ConnectionSettings(auto_subscribe=True, auto_subscribe_data_track=True)
    wanting = rtc.JoinRequest(connection_settings=settings)
    async with client(service, "alice") as alice, client(service, "bob", wanting) as bob:
        first = await publish(alice, 1, "a")
        assert list((await handles(bob)).values()) == [first]
        async with client(service, "carol", wanting) as carol:
            assert list((await handles(carol)).values()) == [first]
        async with client(service, "dave") as dave:
            await dave.round_trip()
            person = room_of(service).by_identity("dave")
            assert person is not None
            assert not room_of(service).data_tracks._received_by(person)


async def test_revoking_the_right_to_publish_data_removes_the_tracks(service: SfuService) -> None:
    async with client(service, "alice") as alice, client(service, "bob") as bob:
        sid = await publish(alice)
        await want(bob, sid)
        await handles(bob)
        person = room_of(service).by_identity("alice")
        assert person is not None
        person.info.permission.can_publish_data = False
        room_of(service).permissions_changed(person)
        response = await alice.receive("unpublish_data_track_response")
        assert response.unpublish_data_track_response.info.sid == sid
        assert await handles(bob) == {}
        assert not person.snapshot().data_tracks


async def test_packets_travel_under_the_subscribers_handle_and_broken_ones_are_dropped(
    service: SfuService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client(service, "alice") as alice, client(service, "bob") as bob:
        sid = await publish(alice, 9)
        await want(bob, sid)
        ((handle, _),) = (await handles(bob)).items()
        room = room_of(service)
        publisher, receiver = room.by_identity("alice"), room.by_identity("bob")
        assert publisher is not None
        assert receiver is not None
        taken: list[bytes] = []
        waiting = 0
        monkeypatch.setattr(receiver.transport, "data_buffered", lambda _: waiting)

        def take(_: str, data: bytes) -> bool:
            taken.append(data)
            return True

        monkeypatch.setattr(receiver.transport, "send_data", take)
        packetizer = Packetizer(9, base=0)
        packets = packetizer.packetize(bytes(40_000), 0.0)
        for data in (*packets, b"", b"\x18\0\0", packets[0][:12], b"\x1c\0\0\x09" + bytes(8)):
            publisher.on_data("_data_track", data)
        publisher.on_data("_data_track", Packetizer(8, base=0).packetize(b"x", 0.0)[0])
        assert [parse_packet(data).handle for data in taken] == [handle] * 4
        assert b"".join(parse_packet(data).payload for data in taken) == bytes(40_000)
        assert room.services.tally.data_dropped == 4

        # A frame that finds the channel full is dropped whole; one under way goes on.
        taken.clear()
        waiting = 9_000
        for data in packetizer.packetize(bytes(40_000), 0.1):
            publisher.on_data("_data_track", data)
        assert taken == []
        first, second, third = packetizer.packetize(bytes(40_000), 0.2)
        waiting = 0
        publisher.on_data("_data_track", first)
        waiting = 9_000
        publisher.on_data("_data_track", second)
        publisher.on_data("_data_track", third)
        assert len(taken) == 3
        ((_, downlink),) = room.data_tracks._received_by(receiver)
        assert downlink.dropped_frames == 1


async def test_blobs_are_refused(service: SfuService) -> None:
    async with client(service, "alice") as alice:
        await alice.send(store_data_blob_request=rtc.StoreDataBlobRequest(request_id=4))
        response = (await alice.receive("request_response")).request_response
        assert (response.request_id, response.reason) == (4, Reasons.NOT_ALLOWED)
        get = rtc.GetDataBlobRequest(request_id=5, key=models.DataBlobKey())
        await alice.send(get_data_blob_request=get)
        response = (await alice.receive("request_response")).request_response
        assert (response.request_id, response.reason) == (5, Reasons.NOT_FOUND)
