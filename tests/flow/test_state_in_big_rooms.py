"""Attributes in rooms of more than twenty: fewer messages, the same end."""

from __future__ import annotations

from contextlib import AsyncExitStack

from livekit.protocol import models, rtc

from tests.support.raw_signal import RawSignal
from tests.support.session_room import serving, token

PEOPLE = 24


async def next_of(raw: RawSignal, identity: str) -> tuple[models.ParticipantInfo, int]:
    """Return the next word on somebody, and how many it came with."""
    while True:
        infos = (await raw.receive("update")).update.participants
        for info in infos:
            if info.identity == identity:
                return info, len(infos)


async def test_changes_of_a_moment_arrive_together_and_ones_own_at_once() -> None:
    async with serving() as service, AsyncExitStack() as stack:
        raws = [
            await stack.enter_async_context(RawSignal(service.url, token(f"p{number}")))
            for number in range(PEOPLE)
        ]
        first, second, watcher = raws[0], raws[1], raws[-1]
        own = first.joined.participant
        for raw in (first, second):
            await raw.round_trip()
        for step in ("1", "2", "3"):
            for raw in (first, second):
                update = rtc.UpdateParticipantMetadata(attributes={"step": step})
                await raw.send(update_metadata=update)
        # Before its answer each of one's own changes is there.
        steps: list[str] = []
        while len(steps) < 3:
            own, _ = await next_of(first, "p0")
            if own.attributes["step"]:
                steps.append(own.attributes["step"])
        assert steps == ["1", "2", "3"]
        answer = (await first.receive("request_response")).request_response
        assert answer.reason == rtc.RequestResponse.OK
        # The others hear the newest of both in one message, unless the moment fell between.
        heard = 0
        seen: dict[str, models.ParticipantInfo] = {}
        while {seen[i].attributes["step"] if i in seen else "" for i in ("p0", "p1")} != {"3"}:
            infos = (await watcher.receive("update")).update.participants
            for info in infos:
                if info.identity in ("p0", "p1") and info.attributes["step"]:
                    assert info.version > seen.get(info.identity, models.ParticipantInfo()).version
                    seen[info.identity] = info
            heard += any(info.attributes["step"] for info in infos)
        assert heard <= 2
        assert seen["p0"].version == own.version


async def test_a_track_takes_along_what_waits_and_does_not_wait_itself() -> None:
    async with serving() as service, AsyncExitStack() as stack:
        raws = [
            await stack.enter_async_context(RawSignal(service.url, token(f"p{number}")))
            for number in range(PEOPLE)
        ]
        first, watcher = raws[0], raws[-1]
        await first.send(update_metadata=rtc.UpdateParticipantMetadata(attributes={"a": "b"}))
        await first.send(
            add_track=rtc.AddTrackRequest(
                cid="c1",
                type=models.TrackType.AUDIO,
                source=models.TrackSource.MICROPHONE,
                muted=True,
            )
        )
        sid = (await first.receive("track_published")).track_published.track.sid
        room = service.rooms.live["room"]
        publisher = room.by_identity("p0")
        assert publisher is not None
        publisher._announce(publisher.publisher.publications[sid])
        while True:
            info, _ = await next_of(watcher, "p0")
            if info.tracks:
                break
        assert dict(info.attributes) == {"a": "b"}
