"""The window's chat with official clients: what they write is shown right, and ours is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.engine import door
from app.engine.chat import CHAT_TOPIC
from app.engine.client import JoinSpec
from app.engine.events import AttachmentState, ChatHistoryReceived, ChatReceived, PersonJoined
from app.host.hosted import HostedRoom
from tests.support.browser_peer import BrowserPeer, missing_browser
from tests.support.meeting import Attendee, attending, guest_link, host_spec, hosted
from tests.support.sdk_peer import SdkPeer

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("network")]

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360f8cf500f0003860180b4c5d0a10000000049454e44ae426082"
)


@dataclass
class Hosting:
    room: HostedRoom
    host: Attendee
    host_identity: str


@pytest.fixture
async def hosting(tmp_path: Path) -> AsyncIterator[Hosting]:
    """A host in the window's engine, alone in a hosted meeting."""
    async with AsyncExitStack() as stack:
        _, room = await stack.enter_async_context(hosted(tmp_path / "server"))
        host = await stack.enter_async_context(attending(tmp_path / "host", 0))
        me = await host.join(host_spec(room, mic_on=False, camera_on=False))
        yield Hosting(room, host, me.identity)


def guest_spec(room: HostedRoom) -> JoinSpec:
    return JoinSpec(name="Bo", link=guest_link(room), mic_on=False, camera_on=False)


async def whole(host: Attendee, text: str) -> ChatReceived:
    return await host.wait(ChatReceived, lambda e: e.text == text and not e.growing)


async def begun(host: Attendee, text: str) -> ChatReceived:
    return await host.wait(ChatReceived, lambda e: e.text == text and e.growing)


async def picture_file(folder: Path) -> Path:
    path = folder / "beds.png"
    await asyncio.to_thread(path.write_bytes, PNG)
    return path


async def test_what_the_wheel_writes_is_shown_and_it_reads_ours(
    hosting: Hosting, tmp_path: Path
) -> None:
    host = hosting.host
    async with SdkPeer("sally") as sdk, attending(tmp_path / "guest", 1) as guest:
        admission = await door.enter(guest_link(hosting.room), name="Sally")
        await sdk.connect(admission.server_url, admission.token)
        sally = (await host.wait(PersonJoined)).person.identity
        await guest.engine.join(guest_spec(hosting.room))
        await sdk.call("listen", topic=CHAT_TOPIC)

        mine = await host.engine.send_chat("from the window")
        sent = await sdk.call("wait_inbox", count=1, within_s=30)
        await sdk.call("send_text", topic=CHAT_TOPIC, text="an answer", reply_to=mine)
        answer = await whole(host, "an answer")
        await sdk.call(
            "send_text", topic=CHAT_TOPIC, text="psst " * 2_000, to=[hosting.host_identity]
        )
        private = await whole(host, "psst " * 2_000)
        await sdk.call("write_text", topic=CHAT_TOPIC, pieces=["one ", "two ", "three"])
        await whole(host, "one two three")
        await whole(guest, "one two three")

        await host.engine.edit_chat(mine, "from the window, edited")
        path = await picture_file(tmp_path)
        await host.engine.send_chat("the plan", files=(path,))
        inbox = await sdk.call("wait_inbox", count=4, within_s=30)

    assert (sent[0]["text"], sent[0]["id"]) == ("from the window", mine)
    assert answer.quote is not None
    assert (answer.identity, answer.quote.text) == (sally, "from the window")
    assert (private.private, private.to_names) == (True, ())
    assert not [e for e in guest.all(ChatReceived) if e.private]
    # The wheel reads streams side by side: a later one may be whole first.
    others = {item.get("text", ""): item for item in inbox[1:]}
    picture = others.pop("")
    assert {text: item["id"] == mine for text, item in others.items()} == {
        "from the window, edited": True,
        "the plan": False,
    }
    assert (picture["kind"], picture["name"], picture["size"]) == ("file", "beds.png", len(PNG))


async def test_a_text_that_its_sender_breaks_off_is_told_from_a_whole_one(
    hosting: Hosting, tmp_path: Path
) -> None:
    host = hosting.host
    async with SdkPeer("sally") as sdk, attending(tmp_path / "late", 1) as late:
        admission = await door.enter(guest_link(hosting.room), name="Sally")
        await sdk.connect(admission.server_url, admission.token)
        await host.wait(PersonJoined)
        for text, why in (("We could ", "changed my mind"), ("We will ", "")):
            stream = await sdk.call("open_text", topic=CHAT_TOPIC)
            await sdk.call("append_text", stream=stream, piece=text)
            await begun(host, text)
            await sdk.call("close_text", stream=stream, abort=why)
        whole_line = await whole(host, "We will ")
        broken_line = await whole(host, "We could ")
        await late.engine.join(guest_spec(hosting.room))
        history = await late.wait(ChatHistoryReceived)

    assert (broken_line.broken, whole_line.broken) == (True, False)
    assert [(e.text, e.broken) for e in history.lines] == [("We could ", True), ("We will ", False)]


async def test_who_comes_late_asks_the_host_though_a_script_was_here_before(
    hosting: Hosting, tmp_path: Path
) -> None:
    async with SdkPeer("sally") as sdk, attending(tmp_path / "late", 1) as late:
        admission = await door.enter(guest_link(hosting.room), name="Sally")
        await sdk.connect(admission.server_url, admission.token)
        await hosting.host.wait(PersonJoined)
        await sdk.call("send_text", topic=CHAT_TOPIC, text="said by a script")
        await whole(hosting.host, "said by a script")
        await late.engine.join(guest_spec(hosting.room))
        history = await late.wait(ChatHistoryReceived)

    assert [(e.text, e.name) for e in history.lines] == [("said by a script", "Sally")]


@pytest.mark.skipif(bool(missing_browser()), reason=missing_browser() or "present")
async def test_what_a_browser_writes_is_shown_and_it_reads_ours(
    hosting: Hosting, tmp_path: Path
) -> None:
    host = hosting.host
    admission = await door.enter(guest_link(hosting.room), name="Bea")
    async with BrowserPeer(
        admission.server_url, admission.token, page="browser_chat.html"
    ) as browser:
        await browser.expect("connected")
        bea = (await host.wait(PersonJoined)).person.identity
        mine = await host.engine.send_chat("from the window")
        seen = await browser.expect("text", text="from the window")
        await host.engine.edit_chat(mine, "edited")
        edited = await browser.expect("text", text="edited")
        await host.engine.send_chat("the plan", files=(await picture_file(tmp_path),))
        line = await browser.expect("text", text="the plan")
        file = await browser.expect("file")
        await host.engine.delete_chat(hosting.host_identity, mine)
        gone = await browser.expect("text", text="")
        await host.engine.send_chat("go")
        await browser.expect("wrote")

        plain = await whole(host, "plain from the browser")
        picture = await host.wait(
            ChatReceived,
            lambda e: (
                bool(e.attachments)
                and e.identity == bea
                and e.attachments[0].state is AttachmentState.HERE
            ),
        )
        growing = await host.wait(ChatReceived, lambda e: e.growing and e.identity == bea)
        reply = await whole(host, "it grows and ends")
        corrected = await whole(host, "with a mistake")
        older = await whole(host, "older form, edited")

    assert seen["id"] == edited["id"] == gone["id"] == mine
    assert line["attached"] == [file["id"]]
    assert (file["name"], file["mime"], file["size"]) == ("beds.png", "image/png", len(PNG))
    assert (plain.name, plain.edited, plain.private) == ("Bea", False, False)
    assert (picture.text, picture.attachments[0].name) == ("with a picture", "pixel.png")
    assert growing.text == "it grows"
    assert reply.id == growing.id
    # What it answers was deleted meanwhile, and stays so.
    assert reply.quote is not None
    assert reply.quote.text == "Message deleted"
    assert corrected.edited
    assert older.edited
    ids = [e.id for e in host.all(ChatReceived) if e.identity == bea]
    assert len(set(ids)) == 5
