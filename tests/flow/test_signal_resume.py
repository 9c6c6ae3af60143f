"""A session that goes on over another socket, message by message."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from livekit.protocol import models, rtc

from app.protocol.token import verify_claims
from app.server.room.moving import move_participant
from app.server.room.participant import Participant
from app.server.room.signal_channel import MAX_KEPT
from app.server.service import SfuService
from tests.support.raw_signal import RawSignal
from tests.support.session_room import KEY, SECRET, eventually, serving, token
from tests.support.vectors import read_vector

Leave = rtc.LeaveRequest
MISMATCH = models.DisconnectReason.STATE_MISMATCH


@pytest.fixture
async def service() -> AsyncIterator[SfuService]:
    async with serving() as service:
        yield service


def again(service: SfuService, identity: str, sid: str, *, room: str = "room") -> RawSignal:
    join = rtc.JoinRequest(reconnect=True, participant_sid=sid)
    return RawSignal(service.url, token(identity, room=room), join)


def participant(service: SfuService, identity: str, room: str = "room") -> Participant:
    live = service.rooms.find(room)
    assert live is not None
    found = live.by_identity(identity)
    assert found is not None
    return found


async def lose_socket(service: SfuService, raw: RawSignal, identity: str) -> Participant:
    """Break the socket of somebody whose media is up, as far as the server knows."""
    who = participant(service, identity)
    who.was_active = True
    await raw.close()
    await eventually(lambda: not who.signal.is_attached)
    return who


async def refused(service: SfuService, identity: str, sid: str) -> Leave:
    async with again(service, identity, sid) as raw:
        leave = (await raw.receive("leave")).leave
        assert raw.kinds == ["leave"]
        await raw.wait_closed()
    return leave


async def test_a_resume_is_answered_in_the_order_that_official_sdks_know(
    service: SfuService,
) -> None:
    records = read_vector("python_v1_resume.jsonl")
    start = next(i for i, r in enumerate(records) if r.type == "reconnect")
    recorded = [r.type for r in records[start : start + 4]]
    join = next(
        rtc.JoinRequest.FromString(r.raw)
        for r in reversed(records)
        if r.message == "livekit.JoinRequest"
    )
    assert join.reconnect

    async with (
        RawSignal(service.url, token("bob")),
        RawSignal(service.url, token("alice")) as first,
    ):
        who = await lose_socket(service, first, "alice")
        who.data_sender.last_sequence = 41
        join.participant_sid = first.joined.participant.sid
        async with RawSignal(service.url, token("alice"), join) as second:
            reconnect = (await second.receive("reconnect")).reconnect
            update = (await second.receive("update")).update
            await second.receive("room_update")
            fresh = (await second.receive("refresh_token")).refresh_token
            assert second.kinds == recorded
            assert reconnect.last_message_seq == 41
            assert reconnect.server_info.version
            assert {info.identity for info in update.participants} == {"alice", "bob"}
            me = next(info for info in update.participants if info.identity == "alice")
            assert me.sid == first.joined.participant.sid
            assert verify_claims(fresh, {KEY: SECRET}, now_s=time.time())["sub"] == "alice"
            await second.round_trip()


async def test_a_new_socket_replaces_one_that_seems_alive(service: SfuService) -> None:
    async with RawSignal(service.url, token("alice")) as first:
        sid = first.joined.participant.sid
        async with again(service, "alice", sid) as second:
            await second.receive("reconnect")
            await first.wait_closed()
            await second.round_trip()
            assert participant(service, "alice").sid == sid


async def test_answers_that_nobody_heard_are_given_after_the_resume(service: SfuService) -> None:
    async with RawSignal(service.url, token("alice")) as first:
        request = rtc.AddTrackRequest(cid="c", type=models.TrackType.AUDIO, muted=True)
        await first.send(add_track=request)
        sid = (await first.receive("track_published")).track_published.track.sid
        who = await lose_socket(service, first, "alice")
        late = rtc.MuteTrackRequest(sid=sid, muted=True)
        who.send(rtc.SignalResponse(mute=late))
        async with again(service, "alice", who.sid) as second:
            # The first may have died with the socket: it is said again.
            published = (await second.receive("track_published")).track_published
            assert published.track.sid == sid
            assert (await second.receive("mute")).mute == late
            state = rtc.SyncState()
            state.publish_tracks.add(cid="c").track.sid = sid
            await second.send(sync_state=state)
            await second.round_trip()
            assert participant(service, "alice") is who


async def test_who_left_meanwhile_is_named_before_everybody_else(service: SfuService) -> None:
    async with RawSignal(service.url, token("alice")) as first:
        async with RawSignal(service.url, token("bob")) as bob:
            who = await lose_socket(service, first, "alice")
            bob_sid = bob.joined.participant.sid
        await eventually(lambda: len(service.rooms.live["room"].participants) == 1)
        async with again(service, "alice", who.sid) as second:
            gone = (await second.receive("update")).update.participants
            assert [(i.sid, i.state) for i in gone] == [
                (bob_sid, models.ParticipantInfo.DISCONNECTED)
            ]
            left = (await second.receive("update")).update.participants
            assert [info.identity for info in left] == ["alice"]


async def test_a_session_that_is_unknown_or_not_ones_own_is_joined_anew(
    service: SfuService,
) -> None:
    for sid in ("PA_gone", ""):
        leave = await refused(service, "alice", sid)
        assert (leave.action, leave.reason) == (Leave.RECONNECT, MISMATCH)
    assert not service.rooms.live
    async with (
        RawSignal(service.url, token("alice")) as alice,
        RawSignal(service.url, token("bob")) as bob,
    ):
        leave = await refused(service, "alice", bob.joined.participant.sid)
        assert (leave.action, leave.reason) == (Leave.RECONNECT, MISMATCH)
        leave = await refused(service, "eve", alice.joined.participant.sid)
        assert (leave.action, leave.reason) == (Leave.RECONNECT, MISMATCH)
        await alice.round_trip()
        await bob.round_trip()


async def test_a_client_that_publishes_what_is_not_here_is_sent_round(service: SfuService) -> None:
    async with (
        RawSignal(service.url, token("bob")) as bob,
        RawSignal(service.url, token("alice")) as alice,
    ):
        state = rtc.SyncState()
        state.publish_tracks.add(cid="c").track.sid = "TR_unknown"
        await alice.send(sync_state=state)
        leave = (await alice.receive("leave")).leave
        assert (leave.action, leave.reason) == (Leave.RECONNECT, MISMATCH)
        while True:
            info = (await bob.receive("update")).update.participants[0]
            if info.state == models.ParticipantInfo.DISCONNECTED:
                break
        assert info.identity == "alice"


async def test_what_a_client_wants_of_others_tracks_is_repeated_by_its_state(
    service: SfuService,
) -> None:
    listening = rtc.JoinRequest(
        client_info=models.ClientInfo(protocol=17),
        connection_settings=rtc.ConnectionSettings(auto_subscribe=True),
    )
    async with (
        RawSignal(service.url, token("alice")) as alice,
        RawSignal(service.url, token("bob"), listening) as bob,
    ):
        sids = []
        for cid in ("c1", "c2"):
            track = rtc.AddTrackRequest(cid=cid, type=models.TrackType.AUDIO, muted=True)
            await alice.send(add_track=track)
            sids.append((await alice.receive("track_published")).track_published.track.sid)
            publisher = participant(service, "alice")
            publisher._announce(publisher.publisher.publications[sids[-1]])
        listener = participant(service, "bob")
        assert listener.subscriber.track_sids == set(sids)

        state = rtc.SyncState(
            subscription=rtc.UpdateSubscription(track_sids=sids[:1], subscribe=False),
            track_sids_disabled=sids[1:],
        )
        await bob.send(sync_state=state)
        await bob.round_trip()
        assert listener.subscriber.track_sids == {sids[1]}
        assert listener.subscriber._settings[sids[1]].disabled


async def test_a_move_that_nobody_heard_of_is_told_in_the_new_room(service: SfuService) -> None:
    async with (
        RawSignal(service.url, token("alice")) as first,
        RawSignal(service.url, token("carol", room="side")),
    ):
        who = await lose_socket(service, first, "alice")
        rooms = service.rooms.live
        move_participant(who, rooms["room"], rooms["side"])
        # Its token still names the old room.
        async with again(service, "alice", who.sid) as second:
            moved = (await second.receive("room_moved")).room_moved
            assert moved.room.name == "side"
            assert [info.identity for info in moved.other_participants] == ["carol"]
            await second.round_trip()
    async with RawSignal(service.url, token("alice", room="side")) as other:
        leave = await refused(service, "alice", other.joined.participant.sid)
        assert leave.action == Leave.RECONNECT


async def test_a_client_that_missed_too_much_is_joined_anew(service: SfuService) -> None:
    async with RawSignal(service.url, token("alice")) as first:
        who = await lose_socket(service, first, "alice")
        for _ in range(MAX_KEPT + 1):
            who.send(rtc.SignalResponse(mute=rtc.MuteTrackRequest(sid="TR_1", muted=True)))
        leave = await refused(service, "alice", who.sid)
        assert (leave.action, leave.reason) == (Leave.RECONNECT, MISMATCH)


async def test_a_socket_that_breaks_before_media_was_up_ends_the_session(
    service: SfuService,
) -> None:
    async with RawSignal(service.url, token("bob")) as bob:
        async with RawSignal(service.url, token("alice")):
            pass
        while True:
            info = (await bob.receive("update")).update.participants[0]
            if info.state == models.ParticipantInfo.DISCONNECTED:
                return
