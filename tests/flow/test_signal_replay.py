"""What official SDKs sent to the reference server, sent to ours: every message gets its answer.

The media never connects here (its keys are gone), so tracks that are announced by their first
packet stay unannounced; everything else of signalling has to work from the recording alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import structlog.testing
from livekit.protocol import models, rtc

from app.protocol.sdp import parse_sdp
from app.protocol.token import VideoGrant, issue_token, verify_token
from app.server.config import HostedRoom, ServerConfig
from app.server.service import SfuService
from tests.support.vectors import VectorRecord, read_vector

KEY, SECRET = "test-key", "test-secret-of-more-than-32-characters"
DEADLINE_S = 30.0
ALICE = "python_v1_publish_subscribe.alice.jsonl"
BOB = "python_v1_publish_subscribe.bob.jsonl"
CHROMIUM = "chromium_v1_publish_subscribe.jsonl"


@pytest_asyncio.fixture
async def service() -> AsyncIterator[SfuService]:
    running = SfuService(ServerConfig(keys={KEY: SECRET}, port=0, rtc_port=0))
    await running.start()
    yield running
    await running.stop()


class Replay:
    """One recorded client; its track sids are translated to those that our server gave."""

    def __init__(self, service: SfuService, name: str, identity: str) -> None:
        self.records = [r for r in read_vector(name) if r.direction == "client>server"]
        self.recorded = [r for r in read_vector(name) if r.direction == "server>client"]
        self.received: list[rtc.SignalResponse] = []
        self.sids: dict[str, str] = {}
        self._service = service
        self._identity = identity
        self._news = asyncio.Event()

    async def connect(self, session: aiohttp.ClientSession, **grant: Any) -> None:
        token = issue_token(
            api_key=KEY,
            api_secret=SECRET,
            identity=self._identity,
            now_s=time.time(),
            grant=VideoGrant(room_join=True, room="replay", can_update_own_metadata=True, **grant),
        )
        first = next(r for r in self.records if r.kind == "http")
        self.socket = await session.ws_connect(
            f"{self._service.url}/rtc/v1",
            params={"join_request": first.json["query"]["join_request"], "access_token": token},
        )
        self.reader = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            self.received.append(rtc.SignalResponse.FromString(message.data))
            self._news.set()
        self._news.set()

    def of_kind(self, kind: str) -> list[rtc.SignalResponse]:
        return [r for r in self.received if r.WhichOneof("message") == kind]

    def people(self) -> list[models.ParticipantInfo]:
        """Everybody as told in updates, oldest news first."""
        return [p for response in self.of_kind("update") for p in response.update.participants]

    async def send(self, request: rtc.SignalRequest) -> None:
        await self.socket.send_bytes(request.SerializeToString())

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not is_so():
                self._news.clear()
                await self._news.wait()

    async def wait_for(self, kind: str, count: int = 1) -> rtc.SignalResponse:
        await self.until(lambda: len(self.of_kind(kind)) >= count)
        return self.of_kind(kind)[count - 1]

    async def play(self, *, until: str = "") -> list[str]:
        """Send what was recorded, waiting for the answers an SDK waits for."""
        sent: list[str] = []
        offers = 1  # the one in the join request
        for record in self.records:
            if record.kind != "signal" or record.type == "join_request":
                continue
            if record.type == until:
                break
            await self.socket.send_bytes(self._translated(record))
            sent.append(record.type)
            if record.type == "offer":
                offers += 1
                await self.wait_for("answer", offers)
            elif record.type == "add_track":
                published = await self.wait_for("track_published", sent.count("add_track"))
                self._learn(published.track_published)
        return sent

    def _learn(self, published: rtc.TrackPublishedResponse) -> None:
        for record in self.recorded:
            if record.type == "track_published":
                theirs = record.json["track_published"]
                if theirs["cid"] == published.cid:
                    self.sids[theirs["track"]["sid"]] = published.track.sid

    def _translated(self, record: VectorRecord) -> bytes:
        request = rtc.SignalRequest.FromString(record.raw)
        if request.WhichOneof("message") == "mute":
            request.mute.sid = self.sids.get(request.mute.sid, request.mute.sid)
        return request.SerializeToString()

    async def close(self) -> None:
        await self.socket.close()
        await self.reader


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.mark.parametrize("name", [ALICE, BOB, CHROMIUM])
async def test_a_recorded_client_gets_every_answer(
    service: SfuService, session: aiohttp.ClientSession, name: str
) -> None:
    client = Replay(service, name, "someone")
    with structlog.testing.capture_logs() as log:
        await client.connect(session)
        sent = await client.play()
        async with asyncio.timeout(DEADLINE_S):
            await client.reader
    assert [entry for entry in log if entry["log_level"] in ("warning", "error")] == []
    kinds = [response.WhichOneof("message") for response in client.received]
    assert kinds[:3] == ["join", "refresh_token", "answer"]
    assert kinds.count("answer") == 1 + sent.count("offer")
    assert kinds.count("track_published") == sent.count("add_track")
    assert kinds.count("pong_resp") == sent.count("ping_req")
    assert kinds.count("pong") == sent.count("ping")
    assert "leave" in sent
    assert service.rooms.live["replay"].participants == {}
    await client.close()


@pytest.mark.parametrize("name", [ALICE, CHROMIUM])
async def test_the_join_response_holds_what_sdks_cannot_do_without(
    service: SfuService, session: aiohttp.ClientSession, name: str
) -> None:
    client = Replay(service, name, "someone")
    await client.connect(session)
    join = (await client.wait_for("join")).join
    assert join.room.sid.startswith("RM_")
    assert join.participant.sid.startswith("PA_")
    assert join.participant.identity == "someone"
    assert join.participant.state == models.ParticipantInfo.JOINING
    assert (join.ping_interval, join.ping_timeout) == (5, 15)
    assert join.server_info.version.count(".") == 2
    assert not join.subscriber_primary
    assert join.enabled_publish_codecs[0].mime == "video/VP8"
    assert join.participant.HasField("permission")
    await client.close()


@pytest.mark.parametrize("name", [ALICE, BOB, CHROMIUM])
async def test_answers_keep_the_shape_of_the_recorded_ones(
    service: SfuService, session: aiohttp.ClientSession, name: str
) -> None:
    client = Replay(service, name, "someone")
    await client.connect(session)
    await client.play(until="leave")
    theirs = [r.json["answer"] for r in client.recorded if r.type == "answer"]
    ours = [response.answer for response in client.of_kind("answer")]
    assert len(theirs) == len(ours)
    for reference, answer in zip(theirs, ours, strict=True):
        expected = parse_sdp("\r\n".join(line for line in reference["sdp"] if line) + "\r\n")
        actual = parse_sdp(answer.sdp)
        assert [m.mid for m in actual.media] == [m.mid for m in expected.media]
        assert actual.bundle == expected.bundle
        for wanted, got in zip(expected.media, actual.media, strict=True):
            if wanted.direction == "recvonly":
                assert got.direction == "recvonly"
                assert got.rids == wanted.rids
                assert got.simulcast == wanted.simulcast
        assert answer.id == reference.get("id", 0)
    await client.close()


async def test_a_listener_is_told_of_the_track_before_the_answer_that_carries_it(
    service: SfuService, session: aiohttp.ClientSession
) -> None:
    alice, bob = Replay(service, ALICE, "alice"), Replay(service, BOB, "bob")
    await alice.connect(session)
    await bob.connect(session)
    await alice.wait_for("answer")
    await bob.wait_for("answer")
    await alice.play(until="mute")
    await bob.wait_for("media_sections_requirement")
    offer = next(r for r in bob.records if r.type == "offer")
    await bob.socket.send_bytes(offer.raw)
    answer = (await bob.wait_for("answer", 2)).answer
    microphone = next(
        p.track_published.track.sid
        for p in alice.of_kind("track_published")
        if p.track_published.track.type == models.TrackType.AUDIO
    )
    assert dict(answer.mid_to_track_id) == {"0": microphone}
    section = parse_sdp(answer.sdp).section("0")
    assert section is not None
    assert section.direction == "sendonly"
    assert section.msid is not None
    alice_sid = alice.of_kind("join")[0].join.participant.sid
    assert section.msid == (f"{alice_sid}|{microphone}", microphone)
    announced = [
        index
        for index, response in enumerate(bob.received)
        for person in response.update.participants
        if microphone in [track.sid for track in person.tracks]
    ]
    assert announced[0] < bob.received.index(bob.of_kind("answer")[1])
    await alice.wait_for("track_subscribed")
    mute = rtc.MuteTrackRequest(sid=microphone, muted=True)
    await alice.send(rtc.SignalRequest(mute=mute))
    await bob.until(
        lambda: any(
            track.sid == microphone and track.muted
            for person in bob.people()
            for track in person.tracks
        )
    )
    await alice.close()
    await bob.close()


async def test_somebody_whose_media_never_came_leaves_with_his_socket(
    service: SfuService, session: aiohttp.ClientSession
) -> None:
    alice, bob = Replay(service, ALICE, "alice"), Replay(service, BOB, "bob")
    await alice.connect(session)
    await alice.wait_for("join")
    await bob.connect(session)
    await alice.wait_for("update")
    await bob.close()
    gone = models.ParticipantInfo.DISCONNECTED
    await alice.until(lambda: any(person.state == gone for person in alice.people()))
    await alice.close()


async def joined_pair(
    service: SfuService, session: aiohttp.ClientSession
) -> tuple[Replay, Replay, str]:
    """Alice with an announced microphone, and Bob; the last value is the track's sid."""
    alice, bob = Replay(service, ALICE, "alice"), Replay(service, BOB, "bob")
    await alice.connect(session)
    await bob.connect(session)
    await bob.wait_for("answer")
    await alice.play(until="mute")
    microphone = alice.of_kind("track_published")[0].track_published.track.sid
    await bob.wait_for("media_sections_requirement")
    return alice, bob, microphone


async def test_a_metadata_change_is_an_update_then_a_token_then_the_response(
    service: SfuService, session: aiohttp.ClientSession
) -> None:
    alice, bob, _ = await joined_pair(service, session)
    before = len(alice.received)
    request = rtc.UpdateParticipantMetadata(
        name="Ada", metadata="m", attributes={"a": "1"}, request_id=9
    )
    await alice.send(rtc.SignalRequest(update_metadata=request))
    response = (await alice.wait_for("request_response")).request_response
    assert (response.request_id, response.reason) == (9, rtc.RequestResponse.OK)
    kinds = [r.WhichOneof("message") for r in alice.received[before:]]
    assert [k for k in kinds if k != "room_update"] == [
        "update",
        "update",
        "update",
        "refresh_token",
        "request_response",
    ]
    claims = verify_token(
        alice.of_kind("refresh_token")[-1].refresh_token, {KEY: SECRET}, now_s=time.time()
    )
    assert (claims.name, claims.metadata, claims.attributes) == ("Ada", "m", {"a": "1"})
    await bob.until(lambda: any(p.name == "Ada" for p in bob.people()))
    versions = [p.version for p in bob.people() if p.identity == "alice"]
    assert versions == sorted(set(versions))
    await alice.close()
    await bob.close()


async def test_a_publisher_decides_who_may_subscribe(
    service: SfuService, session: aiohttp.ClientSession
) -> None:
    alice, bob, microphone = await joined_pair(service, session)
    nobody = rtc.SubscriptionPermission(all_participants=False)
    await alice.send(rtc.SignalRequest(subscription_permission=nobody))
    update = (await bob.wait_for("subscription_permission_update")).subscription_permission_update
    assert (update.track_sid, update.allowed) == (microphone, False)
    offer = next(r for r in bob.records if r.type == "offer")
    await bob.socket.send_bytes(offer.raw)
    assert not (await bob.wait_for("answer", 2)).answer.mid_to_track_id
    wish = rtc.UpdateSubscription(track_sids=[microphone], subscribe=True)
    await bob.send(rtc.SignalRequest(subscription=wish))
    await bob.socket.send_bytes(offer.raw)
    assert not (await bob.wait_for("answer", 3)).answer.mid_to_track_id
    everybody = rtc.SubscriptionPermission(all_participants=True)
    await alice.send(rtc.SignalRequest(subscription_permission=everybody))
    given = await bob.wait_for("subscription_permission_update", 2)
    assert given.subscription_permission_update.allowed
    await bob.socket.send_bytes(offer.raw)
    answer = (await bob.wait_for("answer", 4)).answer
    assert dict(answer.mid_to_track_id) == {"0": microphone}
    await alice.close()
    await bob.close()


async def test_an_offer_may_come_before_its_add_track(
    service: SfuService, session: aiohttp.ClientSession
) -> None:
    client = Replay(service, CHROMIUM, "someone")
    await client.connect(session)
    await client.wait_for("answer")
    adds = [r for r in client.records if r.type == "add_track"]
    offers = [r for r in client.records if r.type == "offer" and "a=msid:" in str(r.json)]
    await client.socket.send_bytes(offers[0].raw)
    answer = (await client.wait_for("answer", 2)).answer
    sending = [m for m in parse_sdp(answer.sdp).media if m.direction == "recvonly"]
    assert sending
    await client.socket.send_bytes(adds[0].raw)
    published = (await client.wait_for("track_published")).track_published.track
    if published.type == models.TrackType.AUDIO:
        await client.until(
            lambda: any(
                track.sid == published.sid and track.mid == sending[0].mid
                for person in client.people()
                for track in person.tracks
            )
        )
    await client.close()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (
            rtc.SignalRequest(mute=rtc.MuteTrackRequest(sid="TR_no")),
            rtc.RequestResponse.NOT_FOUND,
        ),
        (
            rtc.SignalRequest(
                publish_data_track_request=rtc.PublishDataTrackRequest(pub_handle=0, name="x")
            ),
            rtc.RequestResponse.INVALID_HANDLE,
        ),
        (
            rtc.SignalRequest(add_track=rtc.AddTrackRequest(cid="", name="x")),
            rtc.RequestResponse.UNSUPPORTED_TYPE,
        ),
        (
            rtc.SignalRequest(
                update_metadata=rtc.UpdateParticipantMetadata(attributes={"lanai.role": "host"})
            ),
            rtc.RequestResponse.NOT_ALLOWED,
        ),
    ],
)
async def test_what_cannot_be_done_is_answered_with_its_reason(
    service: SfuService,
    session: aiohttp.ClientSession,
    request_: rtc.SignalRequest,
    reason: int,
) -> None:
    client = Replay(service, ALICE, "someone")
    await client.connect(session)
    await client.send(request_)
    response = (await client.wait_for("request_response")).request_response
    assert response.reason == reason
    assert response.WhichOneof("request") is not None
    await client.close()


async def test_a_room_outlives_its_people_for_its_departure_timeout_only(
    service: SfuService, session: aiohttp.ClientSession
) -> None:
    client = Replay(service, ALICE, "someone")
    await client.connect(session)
    await client.wait_for("join")
    room = service.rooms.live["replay"]
    now_s = asyncio.get_running_loop().time()
    assert not room.is_over(now_s + 10_000)
    await client.send(rtc.SignalRequest(leave=rtc.LeaveRequest()))
    async with asyncio.timeout(DEADLINE_S):
        await client.reader
    now_s = asyncio.get_running_loop().time()
    assert not room.is_over(now_s + 19)
    assert room.is_over(now_s + 21)
    assert service.rooms.close_room("replay", models.DisconnectReason.ROOM_CLOSED) is not None
    assert service.rooms.find("replay") is None
    await client.close()


async def test_a_full_room_refuses_newcomers_but_not_those_who_return(
    session: aiohttp.ClientSession,
) -> None:
    hosted = HostedRoom("replay", max_people=1)
    config = ServerConfig(keys={KEY: SECRET}, port=0, rtc_port=0, rooms=(hosted,))
    service = SfuService(config)
    await service.start()
    try:
        alice, bob = Replay(service, ALICE, "alice"), Replay(service, BOB, "bob")
        again = Replay(service, ALICE, "alice")
        await alice.connect(session)
        await alice.wait_for("join")
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await bob.connect(session)
        assert caught.value.status == 503
        await again.connect(session)
        await again.wait_for("join")
        leave = (await alice.wait_for("leave")).leave
        assert leave.reason == models.DisconnectReason.DUPLICATE_IDENTITY
        await alice.close()
        await again.close()
    finally:
        await service.stop()


async def test_a_client_that_may_not_subscribe_is_offered_nothing(
    service: SfuService, session: aiohttp.ClientSession
) -> None:
    alice, bob = Replay(service, ALICE, "alice"), Replay(service, BOB, "bob")
    await alice.connect(session)
    await alice.wait_for("answer")
    await alice.play(until="mute")
    await bob.connect(session, can_subscribe=False)
    assert not (await bob.wait_for("answer")).answer.mid_to_track_id
    assert len(bob.of_kind("join")[0].join.other_participants[0].tracks) == 1
    await alice.close()
    await bob.close()
