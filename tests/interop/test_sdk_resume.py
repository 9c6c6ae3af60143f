"""Official SDKs whose signalling breaks while media goes on, and who resume at our server."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.sdk_peer import SdkPeer
from tests.support.server_process import ServerProcess, token_for
from tests.support.tcp_relay import TcpRelay

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("network")]

# What a client sees when somebody, or a track, comes or goes.
CHURN = {
    "track_published",
    "track_unpublished",
    "track_subscribed",
    "track_unsubscribed",
    "participant_connected",
    "participant_disconnected",
    "disconnected",
}


@pytest_asyncio.fixture
async def relay(server: ServerProcess) -> AsyncIterator[TcpRelay]:
    """Alice's way to the signalling port."""
    async with TcpRelay(int(server.url.rsplit(":", 1)[1])) as relay:
        yield relay


@pytest_asyncio.fixture
async def joined(
    server: ServerProcess, relay: TcpRelay, alice: SdkPeer, bob: SdkPeer
) -> dict[str, Any]:
    """Alice through the relay, Bob directly; both in the room."""
    welcome = await alice.connect(relay.url, token_for("alice"))
    await bob.connect(server.url, token_for("bob"))
    return welcome


async def numbers_heard(peer: SdkPeer) -> list[int]:
    return [
        int(base64.b64decode(event["data"]))
        for event in await peer.call("events")
        if event["event"] == "data_received" and event["topic"] == "n"
    ]


async def wait_numbers(peer: SdkPeer, count: int) -> list[int]:
    last = str(count - 1).encode()
    await peer.wait_event("data_received", topic="n", data=base64.b64encode(last).decode())
    return await numbers_heard(peer)


async def churn(peer: SdkPeer) -> list[str]:
    return [e["event"] for e in await peer.call("events") if e["event"] in CHURN]


async def test_a_cut_socket_is_resumed_with_every_track_and_every_packet(
    joined: dict[str, Any], relay: TcpRelay, alice: SdkPeer, bob: SdkPeer
) -> None:
    tone = await alice.call("publish_tone", freq_hz=440.0)
    other = await bob.call("publish_tone", freq_hz=880.0)
    picture = await alice.call("publish_video", colour=[200, 40, 40])
    await bob.wait_media("tone", sid=tone, freq_hz=440.0)
    await bob.wait_media("frames", sid=picture, frames=5)
    await alice.wait_media("tone", sid=other, freq_hz=880.0)
    await asyncio.sleep(0.2)
    before = await churn(alice), await churn(bob)

    await alice.call("publish_numbers", topic="n", count=20, interval_s=0.002)
    relay.cut()
    await alice.call("publish_numbers", topic="n", first=20, count=60, interval_s=0.01)
    await alice.wait_event("reconnected")
    await alice.call("publish_numbers", topic="n", first=80, count=20, interval_s=0.002)

    assert await wait_numbers(bob, 100) == list(range(100))
    await bob.call("publish_numbers", topic="n", count=20, interval_s=0.002)
    assert await wait_numbers(alice, 20) == list(range(20))
    shown = await bob.wait_media("frames", sid=picture, frames=5)
    await bob.wait_media("frames", sid=picture, frames=shown["counters"] + 10)
    await bob.wait_media("tone", sid=tone, freq_hz=440.0)
    await alice.wait_media("tone", sid=other, freq_hz=880.0)
    assert (await churn(alice), await churn(bob)) == before
    people = await bob.call("people")
    assert [person["sid"] for person in people] == [joined["sid"]]


async def test_a_file_under_way_does_not_notice_a_cut_socket(
    joined: dict[str, Any], relay: TcpRelay, alice: SdkPeer, bob: SdkPeer
) -> None:
    await bob.call("listen", topic="files")
    sending = asyncio.ensure_future(alice.call("send_file", topic="files", size=5_000_000))
    # Once: the wheel gives a session up whose resume fails, as a second cut would let it.
    await asyncio.sleep(0.2)
    relay.cut()
    digest = await sending
    items = await bob.call("wait_inbox", count=1, within_s=30)
    assert [(item["size"], item["sha256"]) for item in items] == [(5_000_000, digest)]
    await alice.wait_event("reconnected")
    assert "disconnected" not in await churn(alice)


async def test_what_happened_while_the_socket_was_away_is_known_after_the_resume(
    joined: dict[str, Any],
    server: ServerProcess,
    relay: TcpRelay,
    alice: SdkPeer,
    bob: SdkPeer,
) -> None:
    gone = await bob.call("publish_tone", freq_hz=880.0)
    await alice.wait_media("tone", sid=gone, freq_hz=880.0)
    async with SdkPeer("carol") as carol, SdkPeer("dave") as dave:
        await carol.connect(server.url, token_for("carol"))
        await alice.wait_event("participant_connected", identity="carol")

        await alice.call("simulate", scenario="SIGNAL_RECONNECT")
        await bob.call("unpublish", sid=gone)
        new = await bob.call("publish_tone", freq_hz=660.0)
        await bob.call("set_attributes", attributes={"hand": "1"})
        await carol.call("disconnect")
        await dave.connect(server.url, token_for("dave"))
        await alice.wait_event("reconnected")

        await alice.wait_event("track_unsubscribed", sid=gone)
        await alice.wait_media("tone", sid=new, freq_hz=660.0)
        await alice.wait_event("participant_disconnected", identity="carol")
        await alice.wait_event("participant_connected", identity="dave")
        await alice.wait_event("participant_attributes_changed", identity="bob")
        people = {person["identity"] for person in await alice.call("people")}
        assert people == {"bob", "dave"}


async def test_a_track_published_while_the_socket_is_away_is_there_after_the_resume(
    joined: dict[str, Any], relay: TcpRelay, alice: SdkPeer, bob: SdkPeer
) -> None:
    relay.cut()
    # What the wheel wrote into the socket before it noticed would be lost.
    await alice.wait_event("reconnecting")
    sid = await alice.call("publish_tone", freq_hz=440.0)
    await bob.wait_media("tone", sid=sid, freq_hz=440.0)
    assert "disconnected" not in await churn(alice)


@pytest.mark.parametrize("scenario", ["FULL_RECONNECT", "NODE_FAILURE", "MIGRATION"])
async def test_a_session_that_cannot_be_resumed_is_joined_anew_with_its_tracks(
    joined: dict[str, Any], alice: SdkPeer, bob: SdkPeer, scenario: str
) -> None:
    sid = await alice.call("publish_tone", freq_hz=440.0)
    await bob.wait_media("tone", sid=sid, freq_hz=440.0)
    await alice.call("simulate", scenario=scenario)
    await alice.wait_event("reconnected")
    await bob.wait_event("track_unsubscribed", sid=sid)
    again = await bob.wait_media("tone", identity="alice", freq_hz=440.0)
    assert again["sid"] != sid
    people = await bob.call("people")
    assert [person["identity"] for person in people] == ["alice"]
    assert people[0]["sid"] != joined["sid"]


async def test_a_simulated_speaker_speaks_and_falls_silent(
    joined: dict[str, Any], alice: SdkPeer
) -> None:
    await alice.call("simulate", scenario="SPEAKER")
    await alice.wait_event("active_speakers_changed", speakers=["alice"])
    await alice.wait_event("active_speakers_changed", speakers=[])


async def test_data_tracks_go_on_in_both_directions_after_a_resume(
    joined: dict[str, Any], relay: TcpRelay, alice: SdkPeer, bob: SdkPeer
) -> None:
    sids = {}
    for peer, other, name in ((alice, bob, "a"), (bob, alice, "b")):
        sids[name] = await peer.call("publish_data_track", name=name)
        await other.wait_event("data_track_published", sid=sids[name])
        await other.call("subscribe_data_track", name=name)
        await peer.call("push_frames", name=name, count=20)
        await other.call("data_frames", name=name, count=1)
    relay.cut()
    await alice.wait_event("reconnecting")
    await alice.wait_event("reconnected")
    for peer, other, name in ((alice, bob, "a"), (bob, alice, "b")):
        await peer.call("push_frames", name=name, count=50, first=1_000)
        await peer.call("push_frames", name=name, count=1, first=2_000)
        got = await other.call("data_frames", name=name, count=21)
        assert max(got["numbers"]) >= 1_000
        assert got["ends"] == []
        assert await peer.call("local_data_track", name=name) == {
            "sid": sids[name],
            "published": True,
        }
