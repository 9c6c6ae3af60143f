from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from app.protocol.sdp import parse_candidate
from app.rtc import ice_agent, ice_checklist
from app.rtc.ice_agent import IceAgent
from app.runtime.tasks import TaskOwner
from tests.support.link import CAFE_WIFI, PERFECT, Conditions, UdpRelay
from tests.support.session_room import (
    MediaSource,
    counter_of,
    eventually,
    joined,
    publish_camera,
    publish_microphone,
    serving,
)

SEED = 20_261_120


@asynccontextmanager
async def media_through(
    monkeypatch: pytest.MonkeyPatch, rtc_port: int, up: Conditions, down: Conditions
) -> AsyncIterator[UdpRelay]:
    """Sessions opened inside find the server's media port behind a bad link."""
    async with UdpRelay(("127.0.0.1", rtc_port), up=up, down=down, seed=SEED) as relay:
        take = IceAgent.add_remote_candidate

        def detour(self: IceAgent, line: str) -> None:
            candidate = parse_candidate(line)
            if candidate.address == "127.0.0.1":
                line = line.replace(f" {candidate.port} ", f" {relay.address[1]} ")
                take(self, line)

        with monkeypatch.context() as patch:
            patch.setattr(IceAgent, "add_remote_candidate", detour)
            patch.setattr(ice_agent, "local_addresses", lambda _: ["127.0.0.1"])
            yield relay


@pytest.fixture
async def source() -> AsyncIterator[MediaSource]:
    owner = TaskOwner("source")
    yield MediaSource(owner)
    await owner.close()


async def test_lost_packets_are_asked_for_and_frames_stay_whole_and_in_order(
    monkeypatch: pytest.MonkeyPatch, source: MediaSource
) -> None:
    down = replace(CAFE_WIFI, jitter_s=0.01)
    async with serving() as server, joined(server.url, "ada") as (ada, _):
        sid, video = await publish_camera(ada)
        source.play(None, video)
        async with (
            media_through(monkeypatch, server.rtc_port, PERFECT, down) as relay,
            joined(server.url, "bob") as (bob, seen),
        ):
            await eventually(lambda: len(seen.frames.get(sid, ())) >= 200)
            stats = (await bob.get_stats()).receivers[0]

            counters = [counter_of(frame) for frame in seen.frames[sid]]
            assert counters == sorted(set(counters))
            assert relay.down.lost > 5
            assert stats.recovered_packets > 5
            # What was not repaired in time is skipped as a whole, up to a keyframe.
            for before, after in itertools.pairwise(seen.frames[sid]):
                if counter_of(after) != counter_of(before) + 1:
                    assert after.keyframe


async def test_the_sender_repairs_what_the_uplink_loses(
    monkeypatch: pytest.MonkeyPatch, source: MediaSource
) -> None:
    up = replace(CAFE_WIFI, jitter_s=0.01)
    async with (
        serving() as server,
        joined(server.url, "bob") as (_, seen),
        media_through(monkeypatch, server.rtc_port, up, PERFECT),
        joined(server.url, "ada") as (ada, _w),
    ):
        sid, video = await publish_camera(ada)
        source.play(None, video)
        await eventually(lambda: len(seen.frames.get(sid, ())) >= 200)
        assert sum(stats.resent_packets for stats in video.stats) > 5


async def test_sound_keeps_arriving_and_its_loss_is_known(
    monkeypatch: pytest.MonkeyPatch, source: MediaSource
) -> None:
    async with serving() as server, joined(server.url, "ada") as (ada, _):
        sid, sound = await publish_microphone(ada)
        source.play(sound, None)
        async with (
            media_through(monkeypatch, server.rtc_port, CAFE_WIFI, CAFE_WIFI),
            joined(server.url, "bob") as (bob, heard),
        ):
            await eventually(lambda: len(heard.packets.get(sid, ())) >= 200)
            stats = (await bob.get_stats()).receivers[0]
            assert stats.jitter_s > 0.002


async def test_a_media_path_that_dies_is_noticed_and_found_again_in_the_same_session(
    monkeypatch: pytest.MonkeyPatch, source: MediaSource
) -> None:
    monkeypatch.setattr(ice_checklist, "CONSENT_INTERVAL_S", 0.1)
    monkeypatch.setattr(ice_checklist, "CONSENT_TIMEOUT_S", 1.0)
    async with (
        serving() as server,
        joined(server.url, "bob") as (_, seen),
        media_through(monkeypatch, server.rtc_port, PERFECT, PERFECT) as relay,
        joined(server.url, "ada") as (ada, witness),
    ):
        sid, video = await publish_camera(ada)
        source.play(None, video)
        await eventually(lambda: seen.frames.get(sid))

        relay.up.conditions = relay.down.conditions = replace(PERFECT, loss=1.0)
        await eventually(lambda: witness.count("on_reconnecting") == 1)
        relay.up.conditions = relay.down.conditions = PERFECT
        await eventually(lambda: witness.count("on_reconnected") == 1)
        count = len(seen.frames[sid])
        await eventually(lambda: len(seen.frames[sid]) > count + 10)
        assert witness.count("on_joined") == 1
        assert seen.count("on_track_removed") == 0
