"""Two official SDKs in one room of our server: media, data, and everybody's comings and goings."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.sdk_peer import SdkPeer
from tests.support.server_process import ServerProcess, token_for

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("network")]

RED, BLUE = [200, 40, 40], [40, 60, 200]


@pytest_asyncio.fixture
async def pair(
    server: ServerProcess, alice: SdkPeer, bob: SdkPeer
) -> AsyncIterator[tuple[SdkPeer, SdkPeer]]:
    """Both in the same room."""
    await alice.connect(server.url, token_for("alice"))
    await bob.connect(server.url, token_for("bob"))
    yield alice, bob


def colour_is_near(found: list[int], wanted: list[int]) -> bool:
    return all(abs(a - b) <= 40 for a, b in zip(found, wanted, strict=True))


async def test_a_tone_is_heard_and_its_speaker_shown(pair: tuple[SdkPeer, SdkPeer]) -> None:
    alice, bob = pair
    sid = await alice.call("publish_tone", freq_hz=440.0)
    report = await bob.wait_media("tone", identity="alice", freq_hz=440.0)
    assert report["sid"] == sid
    await bob.wait_event("active_speakers_changed", speakers=["alice"])
    await alice.wait_event("local_track_subscribed", sid=sid)


@pytest.mark.parametrize("simulcast", [False, True])
async def test_a_counted_picture_arrives_in_its_colour(
    pair: tuple[SdkPeer, SdkPeer], simulcast: bool
) -> None:
    alice, bob = pair
    await alice.call("publish_video", colour=RED, simulcast=simulcast, size=[640, 360])
    report = await bob.wait_media("frames", identity="alice", frames=45)
    assert colour_is_near(report["colour"], RED)
    assert report["restarts"] == 0
    assert report["width"] * 9 == report["height"] * 16


async def test_h264_passes_too(pair: tuple[SdkPeer, SdkPeer]) -> None:
    alice, bob = pair
    await alice.call("publish_video", colour=BLUE, codec="H264")
    report = await bob.wait_media("frames", identity="alice", frames=20)
    assert colour_is_near(report["colour"], BLUE)


async def test_media_published_before_joining_is_received(
    server: ServerProcess, alice: SdkPeer, bob: SdkPeer
) -> None:
    await alice.connect(server.url, token_for("alice"))
    await alice.call("publish_tone", freq_hz=660.0)
    await alice.call("publish_video", colour=RED, simulcast=True)
    await bob.connect(server.url, token_for("bob"))
    await bob.wait_media("frames", identity="alice", frames=20)
    await bob.wait_media("tone", identity="alice", freq_hz=660.0)


async def test_both_ways_at_once(pair: tuple[SdkPeer, SdkPeer]) -> None:
    alice, bob = pair
    for peer, freq_hz, colour in ((alice, 440.0, RED), (bob, 770.0, BLUE)):
        await peer.call("publish_tone", freq_hz=freq_hz)
        await peer.call("publish_video", colour=colour)
    await asyncio.gather(
        bob.wait_media("tone", identity="alice", freq_hz=440.0),
        alice.wait_media("tone", identity="bob", freq_hz=770.0),
    )
    seen = await alice.wait_media("frames", identity="bob", frames=20)
    assert colour_is_near(seen["colour"], BLUE)


async def test_mute_is_shown_and_unmuted_sound_returns(pair: tuple[SdkPeer, SdkPeer]) -> None:
    alice, bob = pair
    sid = await alice.call("publish_tone", freq_hz=440.0)
    await bob.wait_media("tone", identity="alice", freq_hz=440.0)
    await alice.call("mute", sid=sid, muted=True)
    await bob.wait_event("track_muted", sid=sid)
    await alice.call("mute", sid=sid, muted=False)
    await bob.wait_event("track_unmuted", sid=sid)
    await bob.wait_media("tone", identity="alice", freq_hz=440.0)


async def test_a_slot_is_used_again_after_unpublishing(pair: tuple[SdkPeer, SdkPeer]) -> None:
    alice, bob = pair
    for colour in (RED, BLUE, RED):
        sid = await alice.call("publish_video", colour=colour)
        report = await bob.wait_media("frames", sid=sid, frames=10)
        assert colour_is_near(report["colour"], colour)
        await alice.call("unpublish", sid=sid)
        await bob.wait_event("track_unpublished", sid=sid)


async def test_more_tracks_than_slots_all_arrive(pair: tuple[SdkPeer, SdkPeer]) -> None:
    alice, bob = pair
    for number in range(5):
        await alice.call("publish_tone", freq_hz=400.0 + 100 * number, name=f"mic{number}")
    for number in range(5):
        await bob.wait_media("tone", identity="alice", freq_hz=400.0 + 100 * number)


async def test_a_subscription_can_be_given_up_and_taken_again(
    pair: tuple[SdkPeer, SdkPeer],
) -> None:
    alice, bob = pair
    sid = await alice.call("publish_video", colour=RED)
    await bob.wait_media("frames", sid=sid, frames=10)
    await bob.call("subscribe", sid=sid, subscribed=False)
    await bob.wait_event("track_unsubscribed", sid=sid)
    await bob.call("subscribe", sid=sid, subscribed=True)
    await bob.wait_media("frames", sid=sid, frames=10)


async def test_without_auto_subscribe_nothing_comes_unasked(
    server: ServerProcess, alice: SdkPeer, bob: SdkPeer
) -> None:
    await alice.connect(server.url, token_for("alice"))
    sid = await alice.call("publish_tone", freq_hz=440.0)
    await bob.connect(server.url, token_for("bob"), auto_subscribe=False)
    await bob.call("subscribe", sid=sid, subscribed=True)
    await bob.wait_media("tone", sid=sid, freq_hz=440.0)


async def test_text_goes_both_ways_whole(pair: tuple[SdkPeer, SdkPeer]) -> None:
    alice, bob = pair
    long_text = "Grüße, 世界! 🎉 " * 4_000
    for sender, receiver, text in ((alice, bob, long_text), (bob, alice, "short")):
        await receiver.call("listen", topic="lk.chat")
        await sender.call("send_text", topic="lk.chat", text=text)
        inbox = await receiver.call("wait_inbox", count=1, within_s=30)
        assert inbox[0]["text"] == text
        assert inbox[0]["from"] == sender.identity


async def test_a_file_of_five_megabytes_keeps_its_hash(pair: tuple[SdkPeer, SdkPeer]) -> None:
    alice, bob = pair
    for sender, receiver in ((alice, bob), (bob, alice)):
        await receiver.call("listen", topic="files")
        sha256 = await sender.call("send_file", topic="files", size=5_000_000, deadline_s=60)
        inbox = await receiver.call("wait_inbox", count=1, within_s=60, deadline_s=65)
        assert (inbox[0]["sha256"], inbox[0]["size"]) == (sha256, 5_000_000)


async def test_data_packets_go_where_they_are_sent(
    pair: tuple[SdkPeer, SdkPeer], server: ServerProcess
) -> None:
    alice, bob = pair
    payload = base64.b64encode(b"hello").decode()
    async with SdkPeer("carol") as carol:
        await carol.connect(server.url, token_for("carol"))
        for reliable in (True, False):
            topic = f"all-{reliable}"
            await alice.call("publish_data", data=payload, topic=topic, reliable=reliable)
            for peer in (bob, carol):
                packet = await peer.wait_event("data_received", topic=topic)
                assert (packet["identity"], packet["data"]) == ("alice", payload)
        await alice.call("publish_data", data=payload, topic="bob-only", to=["bob"])
        await alice.call("publish_data", data=payload, topic="last")
        await bob.wait_event("data_received", topic="bob-only")
        await carol.wait_event("data_received", topic="last")
        topics = [e["topic"] for e in await carol.call("events") if e["event"] == "data_received"]
        assert "bob-only" not in topics
        own = [e for e in await alice.call("events") if e["event"] == "data_received"]
        assert own == []


async def test_somebody_who_joins_in_the_middle_misses_nothing_from_then_on(
    server: ServerProcess, alice: SdkPeer, bob: SdkPeer
) -> None:
    await alice.connect(server.url, token_for("alice"))
    # These are gone before bob comes: the server keeps nothing for people it does not know.
    await alice.call("publish_numbers", topic="count", count=10, interval_s=0.005)
    last = 509
    sending = alice.call("publish_numbers", topic="count", first=10, count=500, interval_s=0.005)
    _, joined = await asyncio.gather(sending, bob.connect(server.url, token_for("bob")))
    assert joined["seconds"] < 5
    await bob.wait_event("data_received", data=base64.b64encode(str(last).encode()).decode())
    events = await bob.call("events")
    numbers = [
        int(base64.b64decode(event["data"]))
        for event in events
        if event["event"] == "data_received"
    ]
    assert 10 <= numbers[0] < last
    assert numbers == list(range(numbers[0], last + 1))


async def test_names_and_attributes_reach_the_others(pair: tuple[SdkPeer, SdkPeer]) -> None:
    alice, bob = pair
    await alice.call("set_name", name="Ada Lovelace")
    await bob.wait_event("participant_name_changed", identity="alice", new="Ada Lovelace")
    await alice.call("set_attributes", attributes={"lanai.hand": "17"})
    event = await bob.wait_event("participant_attributes_changed", identity="alice")
    assert event["changed"] == {"lanai.hand": "17"}


async def test_the_role_attribute_is_not_for_clients(pair: tuple[SdkPeer, SdkPeer]) -> None:
    alice, bob = pair
    await alice.call("set_attributes", attributes={"lanai.role": "host"})
    await alice.call("set_attributes", attributes={"lanai.hand": "1"})
    await bob.wait_event("participant_attributes_changed", changed={"lanai.hand": "1"})
    assert [p["attributes"] for p in await bob.call("people")] == [{"lanai.hand": "1"}]


async def test_leaving_is_seen_at_once(pair: tuple[SdkPeer, SdkPeer]) -> None:
    alice, bob = pair
    await alice.call("disconnect")
    await bob.wait_event("participant_disconnected", identity="alice", deadline_s=3)


async def test_the_same_identity_ends_the_older_session(
    pair: tuple[SdkPeer, SdkPeer], server: ServerProcess
) -> None:
    alice, bob = pair
    async with SdkPeer("alice") as second:
        joined = await second.connect(server.url, token_for("alice"))
        await alice.wait_event("disconnected")
        people = await bob.call("people")
        assert [(p["identity"], p["sid"]) for p in people] == [("alice", joined["sid"])]
        await second.call("publish_tone", freq_hz=550.0)
        await bob.wait_media("tone", identity="alice", freq_hz=550.0)


async def test_a_client_without_permission_cannot_publish_or_send(
    server: ServerProcess, alice: SdkPeer, bob: SdkPeer
) -> None:
    await alice.connect(server.url, token_for("alice", can_publish=False))
    await bob.connect(server.url, token_for("bob"))
    payload = base64.b64encode(b"x").decode()
    await alice.call("publish_data", data=payload, topic="silenced")
    await bob.call("publish_data", data=payload, topic="mark")
    await alice.wait_event("data_received", topic="mark")
    assert not [e for e in await bob.call("events") if e["event"] == "data_received"]
