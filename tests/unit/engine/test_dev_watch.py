"""The developer panel's side of a meeting: what it counts, and how a call ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from livekit.protocol import models as lk
from livekit.protocol import rtc as lk_rtc

from app.engine import room as room_module
from app.engine import rtc
from app.engine.dev_watch import DevWatch, as_number
from app.engine.developer import RpcRequest, WatchedTrack
from app.protocol.data_track.packetizer import Packetizer
from app.runtime.errors import WorldError
from app.runtime.tasks import TaskOwner
from tests.support.fake_session import FakeSession, person

Published = lk_rtc.DataTrackSubscriberHandles.PublishedDataTrack


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[DevWatch, FakeSession]]:
    monkeypatch.setattr(room_module, "Session", FakeSession)
    monkeypatch.setattr(FakeSession, "people", (person("anna", attributes={"b": "2", "a": "1"}),))
    owner = TaskOwner("test")
    room = rtc.Room()
    watch = DevWatch(room, owner)
    assert watch.view().people == ()
    await room.connect("ws://here", "token")
    await asyncio.sleep(0)
    yield watch, FakeSession.last
    await room.disconnect()
    await owner.close()


def publish(session: FakeSession, sid: str = "DTR_1") -> None:
    info = lk.DataTrackInfo(pub_handle=1, sid=sid, name="pose")
    anna = person("anna", version=2)
    anna.data_tracks.append(info)
    session.observer.on_update([anna])


def arrive(session: FakeSession, *payloads: bytes, sid: str = "DTR_1") -> None:
    handles = {9: Published(track_sid=sid)}
    session.data_tracks.handle_signal(lk_rtc.DataTrackSubscriberHandles(sub_handles=handles))
    packetizer = Packetizer(9, base=0)
    for number, payload in enumerate(payloads):
        for data in packetizer.packetize(payload, number / 10):
            session.data_tracks.remote.handle_packet(data)


async def track(watch: DevWatch) -> WatchedTrack:
    for _ in range(5):
        await asyncio.sleep(0)
    (found,) = watch.view().tracks
    return found


async def test_people_are_described_with_their_attributes(
    watched: tuple[DevWatch, FakeSession],
) -> None:
    me, anna = watched[0].view().people
    assert me.is_me
    assert (anna.identity, anna.kind) == ("anna", "standard")
    assert anna.attributes == (("a", "1"), ("b", "2"))


async def test_a_watched_track_is_counted_and_an_unwatched_one_costs_nothing(
    watched: tuple[DevWatch, FakeSession],
) -> None:
    watch, session = watched
    publish(session)
    assert not (await track(watch)).is_watched
    assert not session.signals
    watch.watch("anna", "pose", True)
    arrive(session, b"1.5", b"two", b"-3", bytes(50_000))
    seen = await track(watch)
    assert (seen.frames, seen.numbers) == (4, (1.5, -3.0))
    assert (seen.size_bytes, len(seen.last)) == (50_000, 4_096)
    assert seen.frames_per_s == 2.0
    watch.watch("anna", "pose", False)
    assert session.signals[-1].update_data_subscription.updates[0].subscribe is False
    assert not (await track(watch)).is_watched


async def test_a_track_published_again_is_watched_on(
    watched: tuple[DevWatch, FakeSession],
) -> None:
    watch, session = watched
    publish(session)
    watch.watch("anna", "pose", True)
    session.observer.on_update([person("anna", version=3)])
    assert watch.view().tracks == ()
    anna = person("anna", version=5)
    anna.data_tracks.append(lk.DataTrackInfo(pub_handle=1, sid="DTR_3", name="pose"))
    session.observer.on_update([anna])
    arrive(session, b"5", sid="DTR_3")
    assert (await track(watch)).numbers == (5.0,)


async def test_what_is_not_there_cannot_be_watched(
    watched: tuple[DevWatch, FakeSession],
) -> None:
    with pytest.raises(WorldError):
        watched[0].watch("anna", "nothing", True)


async def test_an_error_of_a_call_is_an_answer_with_its_code(
    watched: tuple[DevWatch, FakeSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, _ = watched

    async def refuse(**_: object) -> str:
        raise rtc.RpcError(1400, "Method not supported at destination", "more")

    monkeypatch.setattr(watch._room.local_participant, "perform_rpc", refuse)
    answer = await watch.call(RpcRequest("anna", "greet"))
    assert (answer.code, answer.data) == (1400, "more")


@pytest.mark.parametrize(
    ("payload", "number"),
    [(b"1e3", 1000.0), (b"", None), (b"nan", None), (b"\xff", None), (b"1" * 41, None)],
)
def test_only_a_finite_number_is_one(payload: bytes, number: float | None) -> None:
    assert as_number(payload) == number
