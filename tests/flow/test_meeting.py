"""A meeting through the facade that the window uses, over the real server process."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import structlog

from app.engine.client import JoinSpec
from app.engine.events import (
    ChatReceived,
    DeviceFailed,
    DeviceKind,
    EndCause,
    JoinProgressed,
    JoinStage,
    LocalMediaChanged,
    MeetingEnded,
    MeetingJoined,
    PersonChanged,
    PersonJoined,
    PersonLeft,
    Reconnected,
    ReconnectStarted,
    Role,
    SpeakersChanged,
    TransferChanged,
    TransferState,
)
from app.host.hosted import HostedRoom, HostedServer
from app.media import portaudio
from app.runtime.errors import Reason, WorldError
from tests.support.meeting import (
    Attendee,
    attending,
    collect_counters,
    guest_link,
    hear,
    host_spec,
    hosted,
    tone_of,
)


@dataclass
class Meeting:
    server: HostedServer
    room: HostedRoom
    host: Attendee
    guest: Attendee
    host_identity: str = ""
    guest_identity: str = ""


@pytest.fixture
async def meeting(tmp_path: Path) -> AsyncIterator[Meeting]:
    """A host and a guest who came by invitation, with pictures and tones."""
    async with AsyncExitStack() as stack:
        server, room = await stack.enter_async_context(hosted(tmp_path / "server"))
        host = await stack.enter_async_context(attending(tmp_path / "host", 0))
        guest = await stack.enter_async_context(attending(tmp_path / "guest", 1))
        made = Meeting(server, room, host, guest)
        made.host_identity = (await host.join(host_spec(room))).identity
        made.guest_identity = (
            await guest.join(JoinSpec(name="Bo", link=guest_link(room)))
        ).identity
        yield made


def concerns(kind: DeviceKind, event: DeviceFailed) -> bool:
    return event.kind is kind


async def test_a_guest_by_invitation_and_the_host_see_each_other(meeting: Meeting) -> None:
    joined = await meeting.guest.wait(MeetingJoined)
    came = await meeting.host.wait(PersonJoined)

    assert (joined.room, joined.me, joined.host_name) == ("jam", meeting.guest_identity, "Ada")
    assert {(p.name, p.role, p.is_me) for p in joined.people} == {
        ("Ada", Role.HOST, False),
        ("Bo", Role.GUEST, True),
    }
    assert (came.person.name, came.person.identity) == ("Bo", meeting.guest_identity)
    stages = [e.stage for e in meeting.guest.all(JoinProgressed)]
    assert stages == [stage for stage in JoinStage if stage is not JoinStage.IN_LOBBY]


async def test_both_see_moving_pictures_and_hear_each_others_tone(meeting: Meeting) -> None:
    seen_by_host, seen_by_guest, own = await asyncio.gather(
        collect_counters(meeting.host, meeting.guest_identity, 12),
        collect_counters(meeting.guest, meeting.host_identity, 12),
        collect_counters(meeting.guest, "", 12),
    )
    await asyncio.gather(
        hear(meeting.host, tone_of(1)),
        hear(meeting.guest, tone_of(0)),
    )

    for counters in (seen_by_host, seen_by_guest, own):
        assert counters == sorted(set(counters))


async def test_who_speaks_is_told(meeting: Meeting) -> None:
    told = await meeting.host.wait(
        SpeakersChanged, lambda e: meeting.guest_identity in [who for who, _ in e.speakers]
    )

    assert all(0.0 <= level <= 1.0 for _, level in told.speakers)


async def test_a_line_is_shown_once_to_everybody(meeting: Meeting) -> None:
    line_id = await meeting.guest.engine.send_chat("héllo — 你好")
    theirs = await meeting.host.wait(ChatReceived)
    mine = await meeting.guest.wait(ChatReceived)
    await meeting.host.engine.send_chat("second")
    await meeting.guest.wait(ChatReceived, lambda e: e.text == "second")

    assert (theirs.id, theirs.text, theirs.name, theirs.is_mine) == (
        line_id,
        "héllo — 你好",
        "Bo",
        False,
    )
    assert (mine.id, mine.is_mine) == (line_id, True)
    shown = {e.id: e.text for e in meeting.host.all(ChatReceived)}
    assert list(shown.values()) == ["héllo — 你好", "second"]


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


async def test_a_file_arrives_whole_under_a_safe_name(meeting: Meeting, tmp_path: Path) -> None:
    content = os.urandom(1_000_000)
    # On Linux a legal name; what it would do on Windows is the receiver's worry.
    path = write(tmp_path / "..\\..\\nul.txt", content)

    await meeting.guest.engine.send_file(path, (meeting.host_identity,))
    ended = await meeting.host.wait(
        TransferChanged, lambda e: e.transfer.state is not TransferState.RUNNING
    )
    sent = await meeting.guest.wait(
        TransferChanged, lambda e: e.transfer.state is TransferState.DONE
    )

    saved = ended.transfer.path
    assert saved == meeting.host.folder / "_nul.txt"
    assert await asyncio.to_thread(saved.read_bytes) == content
    assert ended.transfer.sha256 == sent.transfer.sha256 == hashlib.sha256(content).hexdigest()
    assert (ended.transfer.peer_name, sent.transfer.peer_name) == ("Bo", "Ada")


async def test_a_file_that_vanishes_fails_on_both_sides_and_the_meeting_goes_on(
    meeting: Meeting, tmp_path: Path
) -> None:
    path = write(tmp_path / "big.bin", bytes(30_000_000))
    await meeting.guest.engine.send_file(path)
    await meeting.host.wait(TransferChanged, lambda e: e.transfer.done_bytes > 0)

    await asyncio.to_thread(path.unlink)
    ours = await meeting.guest.wait(
        TransferChanged, lambda e: e.transfer.state is TransferState.FAILED
    )
    theirs = await meeting.host.wait(
        TransferChanged, lambda e: e.transfer.state is TransferState.FAILED
    )

    assert (ours.transfer.error, theirs.transfer.error) == (Reason.FILE_GONE, Reason.PEER_GONE)
    assert os.listdir(meeting.host.folder) == []
    await meeting.guest.engine.send_chat("still here")
    await meeting.host.wait(ChatReceived, lambda e: e.text == "still here")


async def test_muting_is_seen_by_the_other(meeting: Meeting) -> None:
    me = meeting.guest_identity
    await meeting.host.wait(
        PersonChanged, lambda e: e.person.identity == me and e.person.mic_on and e.person.camera_on
    )
    meeting.host.forget()

    await meeting.guest.engine.set_microphone(False)
    await meeting.guest.engine.set_camera(False)
    await meeting.host.wait(
        PersonChanged, lambda e: not e.person.mic_on and e.person.has_mic and not e.person.camera_on
    )
    meeting.host.forget()
    await meeting.guest.engine.set_push_to_talk(True)
    await meeting.host.wait(PersonChanged, lambda e: e.person.mic_on)
    await meeting.guest.engine.set_push_to_talk(False)
    await meeting.guest.engine.set_camera(True)

    last = await meeting.host.wait(
        PersonChanged, lambda e: not e.person.mic_on and e.person.camera_on
    )
    assert last.person.identity == me
    assert await collect_counters(meeting.host, me, 5)


async def test_a_new_name_reaches_the_others(meeting: Meeting) -> None:
    await meeting.guest.engine.set_name("Bo the second")

    await meeting.host.wait(PersonChanged, lambda e: e.person.name == "Bo the second")


async def test_a_killed_server_comes_back_and_so_does_everybody(meeting: Meeting) -> None:
    await collect_counters(meeting.host, meeting.guest_identity, 3)
    meeting.host.forget()
    meeting.guest.forget()

    with structlog.testing.capture_logs() as entries:
        os.kill(meeting.server.pid, signal.SIGKILL)
        await meeting.host.wait(ReconnectStarted)
        await meeting.host.engine.send_chat("written while away")
        await meeting.host.wait(Reconnected)
        await meeting.guest.wait(Reconnected)
        joined = PersonJoined if not _lists(meeting) else Reconnected
        await meeting.host.wait(joined)
        counters = await collect_counters(meeting.host, meeting.guest_identity, 10)
        await hear(meeting.host, tone_of(1))

    assert meeting.server.restarts == 1
    assert counters == sorted(counters)
    assert [e["event"] for e in entries if e["log_level"] == "error"] == ["server process died"]
    await meeting.host.engine.send_chat("and back")
    await meeting.guest.wait(ChatReceived, lambda e: e.text == "and back")


def _lists(meeting: Meeting) -> bool:
    """Whether the host's list after the reconnect holds the guest already."""
    people = meeting.host.all(Reconnected)[0].people
    return meeting.guest_identity in [person.identity for person in people]


async def test_a_file_cut_off_by_a_crash_goes_on_where_it_stopped(
    meeting: Meeting, tmp_path: Path
) -> None:
    content = os.urandom(8_000_000)
    path = write(tmp_path / "big.bin", content)
    await meeting.guest.engine.send_file(path)
    await meeting.host.wait(TransferChanged, lambda e: e.transfer.done_bytes > 0)

    with structlog.testing.capture_logs():
        os.kill(meeting.server.pid, signal.SIGKILL)
        await meeting.guest.wait(Reconnected)
        saved = await meeting.host.wait(TransferChanged, lambda e: e.transfer.state.is_over)
        await meeting.guest.wait(TransferChanged, lambda e: e.transfer.state is TransferState.DONE)

    assert saved.transfer.sha256 == hashlib.sha256(content).hexdigest()
    done = [e.transfer.done_bytes for e in meeting.host.all(TransferChanged)]
    assert done == sorted(done)
    assert os.listdir(meeting.host.folder) == ["big.bin"]


async def test_leaving_is_told_to_the_others_with_the_name(meeting: Meeting) -> None:
    await meeting.host.wait(PersonJoined)

    await meeting.guest.engine.leave()

    left = await meeting.host.wait(PersonLeft)
    ended = await meeting.guest.wait(MeetingEnded)
    assert (left.identity, left.name) == (meeting.guest_identity, "Bo")
    assert (ended.cause, ended.room, ended.host_name) == (EndCause.LEFT, "jam", "Ada")
    await meeting.guest.wait(LocalMediaChanged, lambda e: not e.mic_on)


async def test_the_host_ends_it_for_everybody_and_a_guest_may_not(meeting: Meeting) -> None:
    with pytest.raises(WorldError) as raised:
        await meeting.guest.engine.leave(end_for_all=True)
    assert raised.value.reason is Reason.DENIED
    assert meeting.guest.all(MeetingEnded) == []

    await meeting.host.engine.leave(end_for_all=True)

    assert (await meeting.guest.wait(MeetingEnded)).cause is EndCause.ENDED
    assert (await meeting.host.wait(MeetingEnded)).cause is EndCause.ENDED


async def test_a_host_who_quits_takes_the_meeting_along(meeting: Meeting) -> None:
    await meeting.server.stop()

    assert (await meeting.guest.wait(MeetingEnded)).cause is EndCause.HOST_STOPPED


async def test_the_same_seat_on_another_device_ends_this_one(
    meeting: Meeting, tmp_path: Path
) -> None:
    async with attending(tmp_path / "other", 2) as other:
        await other.join(host_spec(meeting.room, mic_on=False, camera_on=False))

        assert (await meeting.host.wait(MeetingEnded)).cause is EndCause.DUPLICATE


async def test_without_devices_one_joins_sees_and_writes(meeting: Meeting, tmp_path: Path) -> None:
    async with attending(tmp_path / "bare", generated=False) as bare:
        with pytest.MonkeyPatch.context() as patch:

            def no_library() -> None:
                raise WorldError(Reason.NO_AUDIO_BACKEND, detail="no PortAudio")

            patch.setattr(portaudio, "load", no_library)
            await bare.join(
                JoinSpec(name="Cy", link=guest_link(meeting.room), camera_id="/dev/none")
            )
            failures = {
                kind: await bare.wait(DeviceFailed, partial(concerns, kind)) for kind in DeviceKind
            }
            await bare.engine.send_chat("no sound here")
            await meeting.host.wait(ChatReceived, lambda e: e.text == "no sound here")
            assert await collect_counters(bare, meeting.guest_identity, 3)
            await hear(bare, tone_of(1))

    assert failures[DeviceKind.MICROPHONE].reason is Reason.NO_AUDIO_BACKEND
    assert failures[DeviceKind.SPEAKER].reason is Reason.NO_AUDIO_BACKEND
    assert failures[DeviceKind.CAMERA].reason is Reason.DEVICE_GONE


async def test_logs_hold_no_names_addresses_lines_or_tokens(
    meeting: Meeting, tmp_path: Path
) -> None:
    with structlog.testing.capture_logs() as entries:
        await meeting.guest.engine.send_chat("a private word")
        await meeting.host.wait(ChatReceived)
        path = write(tmp_path / "private-plans.txt", b"x")
        await meeting.guest.engine.send_file(path)
        await meeting.host.wait(TransferChanged, lambda e: e.transfer.state is TransferState.DONE)
        await meeting.guest.engine.set_name("Renamed")
        await meeting.host.wait(PersonChanged, lambda e: e.person.name == "Renamed")
        await meeting.guest.engine.leave()
        await meeting.host.wait(PersonLeft)
    server_log = await asyncio.to_thread((tmp_path / "server" / "logs" / "server.log").read_text)

    written = server_log + repr(entries)
    assert entries
    assert "participant" in server_log
    for private in (
        meeting.guest_identity,
        meeting.host_identity,
        "Renamed",
        "a private word",
        "private-plans",
        meeting.room.token,
        meeting.room.address,
    ):
        assert private not in written
