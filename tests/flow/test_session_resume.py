"""Signalling or the network breaks, and the session goes on as if nothing had been."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.engine.session import Session, SessionOptions
from app.rtc import ice_checklist, ice_lite
from app.runtime.tasks import TaskOwner
from app.server.service import SfuService
from tests.support.session_room import (
    MediaSource,
    Witness,
    counter_of,
    eventually,
    joined,
    publish_camera,
    publish_microphone,
    serving,
    token,
)
from tests.support.tcp_relay import TcpRelay

COMING_AND_GOING = {"on_joined", "on_track", "on_track_removed", "on_local_republished"}


@pytest.fixture
async def server() -> AsyncIterator[SfuService]:
    async with serving() as service:
        yield service


@pytest.fixture
async def source() -> AsyncIterator[MediaSource]:
    owner = TaskOwner("source")
    yield MediaSource(owner)
    await owner.close()


def churn(witness: Witness) -> list[str]:
    return [name for name in witness.names() if name in COMING_AND_GOING]


def numbered(number: int) -> lk_models.DataPacket:
    return lk_models.DataPacket(user=lk_models.UserPacket(payload=b"%d" % number))


def numbers(witness: Witness) -> list[int]:
    return [int(packet.user.payload) for packet, _ in witness.data]


async def back(witness: Witness, times: int = 1) -> None:
    await eventually(lambda: witness.count("on_reconnected") == times, what="reconnected")


async def test_media_and_data_do_not_notice_that_the_socket_was_cut(
    server: SfuService, source: MediaSource
) -> None:
    async with (
        TcpRelay(server.port) as relay,
        joined(relay.url, "ada") as (ada, heard),
        joined(server.url, "bob") as (bob_, bob),
    ):
        _, sound = await publish_microphone(ada)
        video_sid, video = await publish_camera(ada)
        source.play(sound, video)
        other_sid, other = await publish_microphone(bob_)
        source.play(other, None)
        await eventually(lambda: len(bob.frames.get(video_sid, ())) > 20)
        await eventually(lambda: len(heard.packets.get(other_sid, ())) > 20)
        before = churn(heard), churn(bob)
        welcome = ada.join_response

        await ada.send_data(numbered(0), reliable=True)
        relay.refuses = True
        relay.cut()
        await eventually(lambda: heard.count("on_reconnecting") == 1)
        assert not ada.is_connected
        for number in range(1, 200):
            await ada.send_data(numbered(number), reliable=True)
            await bob_.send_data(numbered(number), reliable=True)
        await eventually(lambda: len(bob.data) == 200, what="data without signalling")
        relay.refuses = False
        ada.retry_now()
        await back(heard)
        assert ada.is_connected
        await ada.send_data(numbered(200), reliable=True)

        await eventually(lambda: len(bob.data) == 201)
        assert numbers(bob) == list(range(201))
        assert numbers(heard) == list(range(1, 200))
        seen = len(bob.frames[video_sid])
        await eventually(lambda: len(bob.frames[video_sid]) > seen + 20)
        counters = [counter_of(frame) for frame in bob.frames[video_sid]]
        assert counters == list(range(counters[0], counters[0] + len(counters)))
        assert (churn(heard), churn(bob)) == before
        assert ada.join_response is welcome
        assert heard.count("on_reconnecting") == 1
        assert heard.count("on_rejoining") == 0


async def test_what_was_asked_for_meanwhile_is_done_after_the_resume(
    server: SfuService, source: MediaSource
) -> None:
    async with (
        TcpRelay(server.port) as relay,
        joined(relay.url, "ada") as (ada, heard),
        joined(server.url, "bob") as (_, bob),
    ):
        mic, sound = await publish_microphone(ada)
        await eventually(lambda: bob.participants.get("ada"))
        relay.refuses = True
        relay.cut()
        await eventually(lambda: heard.count("on_reconnecting") == 1)
        ada.set_muted(mic, True)
        publishing = asyncio.get_running_loop().create_task(publish_camera(ada))
        renaming = asyncio.get_running_loop().create_task(ada.update_metadata(name="Ada L"))
        relay.refuses = False
        ada.retry_now()
        await back(heard)

        sid, video = await publishing
        await renaming
        source.play(sound, video)
        await eventually(lambda: len(bob.frames.get(sid, ())) > 5)
        await eventually(lambda: bob.participants["ada"].name == "Ada L")
        muted = {track.sid: track.muted for track in bob.participants["ada"].tracks}
        assert muted == {mic: True, sid: False}


async def test_who_came_went_and_published_meanwhile_is_known_after_the_resume(
    server: SfuService, source: MediaSource
) -> None:
    async with (
        TcpRelay(server.port) as relay,
        joined(relay.url, "ada") as (ada, heard),
        joined(server.url, "bob") as (bob, _),
    ):
        async with joined(server.url, "cid"):
            await eventually(lambda: "cid" in heard.participants)
            relay.refuses = True
            relay.cut()
            await eventually(lambda: heard.count("on_reconnecting") == 1)
        async with joined(server.url, "dee"):
            sid, video = await publish_camera(bob)
            source.play(None, video)
            await bob.update_metadata(attributes={"hand": "1"})
            relay.refuses = False
            ada.retry_now()
            await back(heard)

            await eventually(lambda: len(heard.frames.get(sid, ())) > 5)
            states = {name: info.state for name, info in heard.participants.items()}
            assert states["cid"] == lk_models.ParticipantInfo.DISCONNECTED
            assert states["dee"] == states["bob"] == lk_models.ParticipantInfo.ACTIVE
            assert heard.participants["bob"].attributes["hand"] == "1"


async def test_the_server_says_what_a_simulated_fault_wants(server: SfuService) -> None:
    async with joined(server.url, "ada") as (ada, heard):
        ada.drop_signal()
        await back(heard)
        ada.simulate(lk_rtc.SimulateScenario(disconnect_signal_on_resume=True))
        ada.drop_signal()
        await back(heard, 2)
        ada.simulate(lk_rtc.SimulateScenario(disconnect_signal_on_resume_no_messages=True))
        ada.drop_signal()
        await back(heard, 3)
        assert heard.count("on_joined") == 1
        ada.simulate(lk_rtc.SimulateScenario(node_failure=True))
        await back(heard, 4)
        assert heard.count("on_joined") == 2
        assert heard.count("on_rejoining") == 1


async def test_a_session_that_the_server_has_forgotten_is_joined_anew(
    source: MediaSource,
) -> None:
    async with (
        serving() as first,
        serving() as second,
        TcpRelay(first.port) as relay,
        joined(relay.url, "ada") as (ada, heard),
    ):
        old, _ = await publish_microphone(ada)
        relay.port = second.port
        relay.cut()
        await back(heard)
        assert heard.count("on_rejoining") == 1
        assert heard.arguments("on_local_republished")[0] == old
        assert heard.count("on_reconnecting") == 1


async def test_a_published_track_that_the_server_does_not_know_is_published_anew(
    server: SfuService,
) -> None:
    async with joined(server.url, "ada") as (ada, heard), joined(server.url, "bob") as (_, bob):
        sid, _sound = await publish_microphone(ada)
        publication = ada._publications.get(sid)
        assert publication is not None
        unknown = lk_models.TrackInfo()
        unknown.CopyFrom(publication.track)
        unknown.sid = "TR_unknown"
        assert ada._publications.rename(sid, unknown)

        ada.drop_signal()
        await back(heard)
        assert heard.count("on_rejoining") == 1
        old, track = heard.arguments("on_local_republished")
        assert old == "TR_unknown"
        await eventually(lambda: [t.sid for t in bob.participants["ada"].tracks] == [track.sid])


async def test_a_silent_network_is_left_by_another_way_with_the_same_session(
    server: SfuService, source: MediaSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with joined(server.url, "ada") as (ada, heard), joined(server.url, "bob") as (_, bob):
        sid, video = await publish_camera(ada)
        source.play(None, video)
        await eventually(lambda: bob.frames.get(sid))
        connection = ada._connection
        assert connection is not None
        before = connection._publisher.local()

        connection._publisher.on_transport_interrupted()
        await back(heard)
        after = connection._publisher.local()
        assert after.ufrag != before.ufrag
        assert after.fingerprint == before.fingerprint
        seen = len(bob.frames[sid])
        await eventually(lambda: len(bob.frames[sid]) > seen + 20)
        counters = [counter_of(frame) for frame in bob.frames[sid]]
        assert counters == list(range(counters[0], counters[0] + len(counters)))
        assert heard.count("on_joined") == 1


async def test_the_server_sends_a_silent_client_to_resume_and_gives_it_up_later(
    server: SfuService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ice_lite, "PATH_TIMEOUT_S", 1.0)
    monkeypatch.setattr(ice_lite, "PATH_GRACE_S", 600.0)
    monkeypatch.setattr(ice_checklist, "CONSENT_INTERVAL_S", 600.0)
    async with joined(server.url, "ada") as (ada, heard):
        await back(heard)
        assert heard.count("on_joined") == 1
        assert ada.is_connected


async def test_nobody_takes_over_a_session_that_was_replaced(server: SfuService) -> None:
    async with (
        TcpRelay(server.port) as relay,
        joined(relay.url, "ada") as (first, heard),
    ):
        relay.refuses = True
        relay.cut()
        await eventually(lambda: heard.count("on_reconnecting") == 1)
        async with joined(server.url, "ada") as (second, second_heard):
            relay.refuses = False
            first.retry_now()
            await back(heard)
            # The older session came back as a new one, which ends the one in between.
            assert heard.count("on_joined") == 2
            await eventually(lambda: second_heard.count("on_disconnected") == 1)
            assert not second.is_connected


async def test_a_client_that_stays_away_is_gone_after_the_servers_patience(
    server: SfuService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ice_lite, "PATH_TIMEOUT_S", 2.0)
    monkeypatch.setattr(ice_lite, "PATH_GRACE_S", 1.0)
    async with (
        TcpRelay(server.port) as relay,
        joined(server.url, "bob") as (_, bob),
    ):
        witness = Witness()
        ada = Session(witness)  # type: ignore[arg-type]  # answers to every name
        await ada.connect(relay.url, token("ada"), SessionOptions())
        await eventually(lambda: "ada" in bob.participants)
        connection = ada._connection
        assert connection is not None
        relay.refuses = True
        connection._publisher.transport._ice.close()
        relay.cut()
        gone = lk_models.ParticipantInfo.DISCONNECTED
        await eventually(lambda: bob.participants["ada"].state == gone)
        await ada.close()
