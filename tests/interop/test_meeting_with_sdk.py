"""The meeting that the window shows, with an unmodified official SDK as the guest."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from app.engine import door
from app.engine.chat import CHAT_TOPIC, LEGACY_TOPIC
from app.engine.client import JoinSpec
from app.engine.events import (
    ChatReceived,
    EndCause,
    MeetingEnded,
    PersonChanged,
    PersonJoined,
    PersonKind,
    TransferChanged,
    TransferState,
)
from app.engine.transfers import FILE_TOPIC
from app.protocol.token import peek_claims, sign_claims
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
from tests.support.raw_signal import RawSignal
from tests.support.sdk_peer import SdkPeer
from tests.support.server_process import SECRET, ServerProcess, token_for

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("network")]

SDK_TONE_HZ = 880.0


KINDS = {"sip": PersonKind.PHONE, "egress": PersonKind.RECORDER, "ingress": PersonKind.STREAM}


def token_of_kind(kind: str) -> str:
    """A token whose holder is no person, and is called what it is."""
    claims = {**peek_claims(token_for(kind)), "kind": kind}
    return sign_claims(claims, api_secret=SECRET)


def is_of(identity: str, event: PersonJoined) -> bool:
    return event.person.identity == identity


async def test_phones_recorders_and_streams_are_shown_as_what_they_are(
    server: ServerProcess, tmp_path: Path
) -> None:
    async with attending(tmp_path) as ada, AsyncExitStack() as stack:
        spec = JoinSpec(name="Ada", server_url=server.url, token=token_for("ada"), room="room")
        await ada.join(spec)
        for kind, shown in KINDS.items():
            await stack.enter_async_context(RawSignal(server.url, token_of_kind(kind)))
            came = await ada.wait(PersonJoined, partial(is_of, kind))
            # Its media is not there yet, and never comes here.
            assert (came.person.kind, came.person.is_arriving) == (shown, True)
        async with SdkPeer("sip") as phone:
            await phone.connect(server.url, token_of_kind("sip"))
            news = await ada.wait(
                PersonChanged, lambda e: e.person.identity == "sip" and not e.person.is_arriving
            )
            assert news.person.kind is PersonKind.PHONE


async def test_of_two_cameras_the_newer_is_shown_and_the_older_when_that_one_ends(
    server: ServerProcess, tmp_path: Path, alice: SdkPeer
) -> None:
    async with attending(tmp_path) as ada:
        spec = JoinSpec(name="Ada", server_url=server.url, token=token_for("ada"), room="room")
        await ada.join(spec)
        await alice.connect(server.url, token_for("alice"))
        # Their counters tell them apart: the first is far ahead of the second.
        await alice.call("publish_video", colour=(200, 30, 30), fps=30)
        ahead = (await collect_counters(ada, "alice", 60))[-1]
        newer = await alice.call("publish_video", colour=(30, 30, 200), fps=2)
        await sees_alice(ada, lambda counter: counter < ahead)
        await alice.call("unpublish", sid=newer)
        await sees_alice(ada, lambda counter: counter > ahead)


async def sees_alice(attendee: Attendee, is_it: Callable[[int], bool]) -> None:
    """Return when her tile shows such a picture."""
    async with asyncio.timeout(30):
        while not is_it((await collect_counters(attendee, "alice", 1))[0]):
            pass


@dataclass
class Together:
    host: Attendee
    host_identity: str
    sdk: SdkPeer
    sdk_identity: str


@pytest.fixture
async def together(tmp_path: Path) -> AsyncIterator[Together]:
    """A host in the window's engine; an SDK that came through the door with the invitation."""
    async with AsyncExitStack() as stack:
        _, room = await stack.enter_async_context(hosted(tmp_path / "server"))
        host = await stack.enter_async_context(attending(tmp_path / "host", 0))
        sdk = await stack.enter_async_context(SdkPeer("sally"))
        me = await host.join(host_spec(room))
        admission = await door.enter(guest_link(room), name="Sally")
        await sdk.connect(admission.server_url, admission.token)
        came = await host.wait(PersonJoined)
        yield Together(host, me.identity, sdk, came.person.identity)


async def test_the_sdk_is_seen_and_heard_in_the_window(together: Together) -> None:
    await together.sdk.call(
        "publish_video", colour=[200, 40, 40], simulcast=True, size=[640, 360], fps=15
    )
    await together.sdk.call("publish_tone", freq_hz=SDK_TONE_HZ)
    await together.host.wait(PersonChanged, lambda e: e.person.camera_on and e.person.mic_on)

    await hear(together.host, SDK_TONE_HZ)


async def test_the_window_is_seen_and_heard_by_the_sdk(together: Together) -> None:
    me = together.host_identity

    await together.sdk.wait_media("frames", identity=me, frames=10)
    await together.sdk.wait_media("tone", identity=me, freq_hz=tone_of(0))


async def test_lines_go_both_ways_and_the_older_form_is_understood(together: Together) -> None:
    await together.sdk.call("listen", topic=CHAT_TOPIC)
    await together.host.engine.send_chat("from the window")
    await together.sdk.call("send_text", topic=CHAT_TOPIC, text="from the SDK")
    legacy = {"id": "L1", "timestamp": 1, "message": "in the older form"}
    repeated = {"id": "L2", "timestamp": 1, "message": "twice", "ignoreLegacy": True}
    for packet in (repeated, legacy):
        payload = base64.b64encode(json.dumps(packet).encode()).decode()
        await together.sdk.call("publish_data", topic=LEGACY_TOPIC, data=payload, reliable=True)

    inbox = await together.sdk.call("wait_inbox", count=1, within_s=30)
    await together.host.wait(ChatReceived, lambda e: e.text == "in the older form")
    theirs = [e for e in together.host.all(ChatReceived) if not e.is_mine]

    assert inbox[0]["text"] == "from the window"
    assert {(e.text, e.name) for e in theirs} == {
        ("from the SDK", "Sally"),
        ("in the older form", "Sally"),
    }


async def test_files_go_both_ways_whole(together: Together, tmp_path: Path) -> None:
    await together.sdk.call("listen", topic=FILE_TOPIC)
    content = os.urandom(5_000_000)
    path = tmp_path / "photo.jpg"
    await asyncio.to_thread(path.write_bytes, content)

    await together.host.engine.send_file(path)
    inbox = await together.sdk.call("wait_inbox", count=1, within_s=30)
    digest = await together.sdk.call("send_file", topic=FILE_TOPIC, size=5_000_000, name="nul.jpg")
    saved = await together.host.wait(
        TransferChanged,
        lambda e: not e.transfer.outgoing and e.transfer.state is TransferState.DONE,
    )

    assert inbox[0]["sha256"] == hashlib.sha256(content).hexdigest()
    assert saved.transfer.sha256 == digest
    assert saved.transfer.path == together.host.folder / "_nul.jpg"


async def test_ending_for_all_ends_the_sdks_stay(together: Together) -> None:
    await together.host.engine.leave(end_for_all=True)

    assert (await together.host.wait(MeetingEnded)).cause is EndCause.ENDED
    await together.sdk.wait_event("disconnected")
