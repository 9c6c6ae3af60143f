"""Data tracks between official SDKs through our server."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from livekit import api
from livekit.protocol import models

from tests.support.sdk_peer import SdkPeer, SdkPeerError
from tests.support.server_process import KEY, SECRET, ServerProcess, token_for

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("network")]


FRAMES = 5_000


@pytest_asyncio.fixture
async def pair(
    server: ServerProcess, alice: SdkPeer, bob: SdkPeer
) -> AsyncIterator[tuple[SdkPeer, SdkPeer]]:
    await alice.connect(server.url, token_for("alice"))
    await bob.connect(server.url, token_for("bob"))
    yield alice, bob


async def push_until(
    peer: SdkPeer, other: SdkPeer, name: str, count: int, first: int = 0
) -> dict[str, Any]:
    """Push numbered frames until so many have come, and tell which.

    Those before the subscription stands are rightly lost, and who knows how many that is.
    """
    got: dict[str, Any] = {"numbers": []}
    for number in range(first, first + FRAMES, 20):
        await peer.call("push_frames", name=name, count=20, first=number)
        got = await other.call("data_frames", name=name, count=0)
        if len(got["numbers"]) >= count:
            return got
    raise AssertionError(f"only {len(got['numbers'])} of {FRAMES} frames came")


async def test_frames_arrive_in_order_with_their_timestamps(pair: tuple[SdkPeer, SdkPeer]) -> None:
    alice, bob = pair
    sid = await alice.call("publish_data_track", name="sensor")
    await bob.wait_event("data_track_published", identity="alice", track_name="sensor", sid=sid)
    await bob.call("subscribe_data_track", name="sensor")
    got = await push_until(alice, bob, "sensor", 200)
    assert got["numbers"] == sorted(set(got["numbers"]))
    assert got["stamps"] == got["numbers"]
    assert got["ends"] == []


async def test_frames_of_many_packets_arrive_whole(pair: tuple[SdkPeer, SdkPeer]) -> None:
    alice, bob = pair
    await alice.call("publish_data_track", name="big")
    await bob.wait_event("data_track_published", track_name="big")
    await bob.call("subscribe_data_track", name="big")
    # How many of them the publisher's own SDK lets go depends on the machine; each is whole.
    await alice.call(
        "push_frames", name="big", count=20, size=100_000, stamped=False, interval_s=0.1
    )
    got = await bob.call("data_frames", name="big", count=5)
    assert got["sizes"] == [100_000]
    assert got["numbers"] == sorted(set(got["numbers"]))
    assert set(got["stamps"]) == {None}


async def test_both_directions_and_several_tracks_at_once(pair: tuple[SdkPeer, SdkPeer]) -> None:
    alice, bob = pair
    for peer, names in ((alice, ("a1", "a2")), (bob, ("b1",))):
        for name in names:
            await peer.call("publish_data_track", name=name)
    for peer, names in ((bob, ("a1", "a2")), (alice, ("b1",))):
        for name in names:
            await peer.wait_event("data_track_published", track_name=name)
            await peer.call("subscribe_data_track", name=name)
    tracks = ((alice, bob, "a1"), (alice, bob, "a2"), (bob, alice, "b1"))
    for first, (peer, other, name) in zip(itertools.count(0, FRAMES), tracks, strict=False):
        await push_until(peer, other, name, 20, first)
    for first, (_, other, name) in zip(itertools.count(0, FRAMES), tracks, strict=False):
        numbers = (await other.call("data_frames", name=name, count=20))["numbers"]
        assert set(numbers) <= set(range(first, first + FRAMES))
        assert numbers == sorted(numbers)


async def test_unsubscribing_stops_frames_and_unpublishing_ends_streams(
    pair: tuple[SdkPeer, SdkPeer],
) -> None:
    alice, bob = pair
    sid = await alice.call("publish_data_track", name="sensor")
    await bob.wait_event("data_track_published", sid=sid)
    await bob.call("subscribe_data_track", name="sensor")
    await push_until(alice, bob, "sensor", 1)
    await bob.call("close_data_stream", name="sensor")
    await bob.call("subscribe_data_track", name="sensor")
    numbers = (await push_until(alice, bob, "sensor", 1, FRAMES))["numbers"]
    assert min(numbers) >= FRAMES
    await alice.call("unpublish_data_track", name="sensor")
    event = await bob.wait_event("data_track_unpublished", sid=sid)
    assert event["sid"] == sid
    assert await bob.call("data_stream_ends", name="sensor") == ["end"]
    assert not (await bob.call("remote_data_tracks"))["sensor"]["published"]
    # The name is free again.
    assert await alice.call("publish_data_track", name="sensor") != sid


async def test_refusals_reach_the_publisher_as_errors_of_its_sdk(
    server: ServerProcess, pair: tuple[SdkPeer, SdkPeer]
) -> None:
    alice, _ = pair
    await alice.call("publish_data_track", name="sensor")
    with pytest.raises(SdkPeerError, match="already taken"):
        await alice.call("publish_data_track", name="sensor")
    with pytest.raises(SdkPeerError, match="name invalid"):
        await alice.call("publish_data_track", name="n" * 300)
    async with SdkPeer("mute") as mute:
        await mute.connect(server.url, token_for("mute", can_publish_data=False))
        with pytest.raises(SdkPeerError, match="unauthorized"):
            await mute.call("publish_data_track", name="sensor")


async def test_revoking_the_right_to_publish_data_takes_the_tracks_away(
    server: ServerProcess, pair: tuple[SdkPeer, SdkPeer]
) -> None:
    alice, bob = pair
    sid = await alice.call("publish_data_track", name="sensor")
    await bob.wait_event("data_track_published", sid=sid)
    allowed = models.ParticipantPermission(can_subscribe=True, can_publish=True)
    async with api.LiveKitAPI(server.http_url, KEY, SECRET) as manager:
        await manager.room.update_participant(
            api.UpdateParticipantRequest(room="room", identity="alice", permission=allowed)
        )
    await bob.wait_event("data_track_unpublished", sid=sid)
    async with asyncio.timeout(30):
        while True:
            track = await alice.call("local_data_track", name="sensor")
            if not track["published"]:
                break
            await asyncio.sleep(0.05)
    with pytest.raises(SdkPeerError, match="unauthorized"):
        await alice.call("publish_data_track", name="other")


async def test_who_comes_later_learns_of_tracks_and_leaving_ends_them(
    server: ServerProcess, pair: tuple[SdkPeer, SdkPeer]
) -> None:
    alice, bob = pair
    sid = await alice.call("publish_data_track", name="sensor")
    async with SdkPeer("carol") as carol:
        await carol.connect(server.url, token_for("carol"))
        await carol.wait_event("data_track_published", sid=sid)
        await carol.call("subscribe_data_track", name="sensor")
        await push_until(alice, carol, "sensor", 5)
    await bob.wait_event("participant_disconnected", identity="carol")
    await alice.call("disconnect")
    await bob.wait_event("data_track_unpublished", sid=sid)
