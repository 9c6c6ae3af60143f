"""What a token does not allow does not happen, and rooms do not touch each other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from livekit.protocol import models, rtc

from app.protocol.token import sign_claims, verify_claims
from app.server.config import HostedRoom, ServerConfig
from app.server.room import participant as participant_module
from app.server.room.room import Room
from app.server.service import SfuService
from tests.support.raw_signal import RawSignal
from tests.support.session_room import KEY, SECRET, eventually, token

Reasons = rtc.RequestResponse


@pytest.fixture
async def service() -> AsyncIterator[SfuService]:
    service = SfuService(
        ServerConfig(
            keys={KEY: SECRET},
            port=0,
            rtc_port=0,
            door=True,
            rooms=(HostedRoom("room", passcode="1234"), HostedRoom("small", max_people=2)),
        )
    )
    await service.start()
    yield service
    await service.stop()


def client(service: SfuService, identity: str, **grant: Any) -> RawSignal:
    return RawSignal(service.url, token(identity, **grant))


def room_of(service: SfuService, name: str = "room") -> Room:
    room = service.rooms.find(name)
    assert room is not None
    return room


def microphone(cid: str = "c1") -> rtc.AddTrackRequest:
    return rtc.AddTrackRequest(
        cid=cid, type=models.TrackType.AUDIO, source=models.TrackSource.MICROPHONE, muted=True
    )


async def refusal(raw: RawSignal, **request: Any) -> int:
    await raw.send(**request)
    return (await raw.receive("request_response")).request_response.reason


async def test_without_the_right_to_publish_no_track_is_promised(service: SfuService) -> None:
    async with client(service, "eve", can_publish=False) as eve:
        assert await refusal(eve, add_track=microphone()) == Reasons.NOT_ALLOWED
    async with client(service, "eve", can_publish_sources=("camera",)) as eve:
        assert await refusal(eve, add_track=microphone()) == Reasons.NOT_ALLOWED


async def test_without_the_right_to_subscribe_no_track_is_delivered(service: SfuService) -> None:
    async with client(service, "eve", can_subscribe=False) as eve:
        room = room_of(service)
        spy = room.by_identity("eve")
        assert spy is not None
        async with client(service, "alice") as alice:
            await alice.send(add_track=microphone())
            await alice.receive("track_published")
            publisher = room.by_identity("alice")
            assert publisher is not None
            publication = next(iter(publisher.publisher.publications.values()))
            publisher._announce(publication)
            await eve.send(
                subscription=rtc.UpdateSubscription(track_sids=[publication.sid], subscribe=True)
            )
            await eve.round_trip()
            assert not spy.subscriber.track_sids


async def test_names_and_attributes_need_their_right_and_the_role_is_the_servers(
    service: SfuService,
) -> None:
    async with client(service, "eve", can_update_own_metadata=False) as eve:
        wish = rtc.UpdateParticipantMetadata(name="Alice")
        assert await refusal(eve, update_metadata=wish) == Reasons.NOT_ALLOWED
    async with client(service, "eve") as eve:
        wish = rtc.UpdateParticipantMetadata(attributes={"lanai.role": "host"})
        assert await refusal(eve, update_metadata=wish) == Reasons.NOT_ALLOWED
        wish = rtc.UpdateParticipantMetadata(attributes={"lanai.role": ""})
        assert await refusal(eve, update_metadata=wish) == Reasons.NOT_ALLOWED
    join = rtc.JoinRequest(participant_attributes={"lanai.role": "host"})
    async with RawSignal(service.url, token("eve"), join) as eve:
        assert "lanai.role" not in eve.joined.participant.attributes


async def test_a_track_of_another_room_cannot_be_reached(service: SfuService) -> None:
    async with client(service, "alice") as alice, client(service, "eve", room="other") as eve:
        await alice.send(add_track=microphone())
        sid = (await alice.receive("track_published")).track_published.track.sid
        await eve.send(subscription=rtc.UpdateSubscription(track_sids=[sid], subscribe=True))
        await eve.send(mute=rtc.MuteTrackRequest(sid=sid, muted=False))
        assert (await eve.receive("request_response")).request_response.reason == Reasons.NOT_FOUND
        spy = room_of(service, "other").by_identity("eve")
        assert spy is not None
        assert not spy.subscriber.track_sids
        publisher = room_of(service).by_identity("alice")
        assert publisher is not None
        assert publisher.publisher.publications[sid].info.muted


async def test_one_cannot_mute_or_change_the_track_of_another(service: SfuService) -> None:
    async with client(service, "alice") as alice, client(service, "eve") as eve:
        await alice.send(add_track=microphone())
        sid = (await alice.receive("track_published")).track_published.track.sid
        for request in (
            {"mute": rtc.MuteTrackRequest(sid=sid, muted=False)},
            {"update_audio_track": rtc.UpdateLocalAudioTrack(track_sid=sid)},
            {"update_video_track": rtc.UpdateLocalVideoTrack(track_sid=sid)},
        ):
            assert await refusal(eve, **request) == Reasons.NOT_FOUND


async def test_an_invitation_and_a_webhook_token_open_no_session(service: SfuService) -> None:
    now_s = int(time.time())
    times = {"iss": KEY, "nbf": now_s, "exp": now_s + 600}
    invitation = sign_claims({**times, "lanai": {"room": "room"}}, api_secret=SECRET)
    webhook = sign_claims({**times, "sha256": "x"}, api_secret=SECRET)
    for wrong in (invitation, webhook):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with RawSignal(service.url, wrong):
                pass
        assert refused.value.status == 401


async def test_an_access_token_is_no_invitation(service: SfuService) -> None:
    url = service.url.replace("ws://", "http://")
    async with client(service, "alice") as alice:
        refreshed = (await alice.receive("refresh_token")).refresh_token
    assert verify_claims(refreshed, {KEY: SECRET}, now_s=time.time())["sub"] == "alice"
    wish = {"room": "room", "name": "Eve", "invite": refreshed}
    async with aiohttp.request("POST", f"{url}/lanai/v1/join", json=wish) as answer:
        assert answer.status == 401


async def test_guessing_the_passcode_is_slowed_down(service: SfuService) -> None:
    url = service.url.replace("ws://", "http://")
    statuses = []
    for guess in range(8):
        wish = {"room": "room", "name": "Eve", "passcode": str(guess)}
        async with aiohttp.request("POST", f"{url}/lanai/v1/join", json=wish) as answer:
            statuses.append(answer.status)
    assert statuses == [401] * 5 + [429] * 3
    params = {"passcode": "1234"}
    async with aiohttp.request("GET", f"{url}/lanai/v1/rooms/room", params=params) as answer:
        assert answer.status == 429


async def test_who_never_connects_media_is_sent_away(
    service: SfuService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(participant_module, "JOIN_TIMEOUT_S", 0.05)
    async with client(service, "sleeper") as sleeper:
        leave = (await sleeper.receive("leave")).leave
        assert leave.reason == models.DisconnectReason.JOIN_FAILURE
        await eventually(lambda: not room_of(service).participants)


async def test_the_same_identity_many_times_at_once_leaves_one(service: SfuService) -> None:
    clients = [client(service, "alice") for _ in range(20)]
    for one in clients:
        await one.__aenter__()
    people = room_of(service).participants
    assert [p.identity for p in people.values()] == ["alice"]
    for one in clients[:-1]:
        leave = (await one.receive("leave")).leave
        assert leave.reason == models.DisconnectReason.DUPLICATE_IDENTITY
    await clients[-1].round_trip()
    for one in clients:
        await one.close()
    await eventually(lambda: not room_of(service).participants)
    mux = service._mux
    assert mux is not None
    await eventually(lambda: not mux._peers_by_ufrag)


async def test_a_room_takes_no_more_than_it_may_however_many_come_at_once(
    service: SfuService,
) -> None:
    crowd = [client(service, f"p{number}", room="small") for number in range(12)]

    async def enter(one: RawSignal) -> bool:
        try:
            await one.__aenter__()
        except (aiohttp.WSServerHandshakeError, AssertionError):
            return False
        return True

    entered = await asyncio.gather(*(enter(one) for one in crowd))
    assert sum(entered) == 2
    assert len(room_of(service, "small").participants) == 2
    for one in crowd:
        await one.close()
