"""The chat between two engines over the real server process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.engine.chat import MAX_TEXT_CHARS
from app.engine.client import JoinSpec
from app.engine.events import (
    AttachmentState,
    ChatHistoryReceived,
    ChatReceived,
    ChatState,
    Person,
    PersonJoined,
    TypingChanged,
)
from app.host.hosted import HostedRoom
from app.runtime.errors import Reason, WorldError
from tests.support.meeting import Attendee, attending, guest_link, host_spec, hosted

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360f8cf500f0003860180b4c5d0a10000000049454e44ae426082"
)


@dataclass
class Chat:
    room: HostedRoom
    folder: Path
    host: Attendee
    guest: Attendee
    host_identity: str = ""
    guest_identity: str = ""


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[Chat]:
    """A host and a guest who write to each other."""
    async with AsyncExitStack() as stack:
        _, room = await stack.enter_async_context(hosted(tmp_path / "server"))
        host = await stack.enter_async_context(attending(tmp_path / "host", 0))
        guest = await stack.enter_async_context(attending(tmp_path / "guest", 1))
        made = Chat(room, tmp_path, host, guest)
        spec = host_spec(room, mic_on=False, camera_on=False)
        made.host_identity = (await host.join(spec)).identity
        made.guest_identity = (await join(guest, room, "Bo")).identity
        await host.wait(PersonJoined)
        # The guest has asked for the history and been answered: nothing is on its way.
        await guest.wait(ChatHistoryReceived)
        yield made


async def join(attendee: Attendee, room: HostedRoom, name: str) -> Person:
    return await attendee.join(
        JoinSpec(name=name, link=guest_link(room), mic_on=False, camera_on=False)
    )


async def line(attendee: Attendee, text: str) -> ChatReceived:
    return await attendee.wait(ChatReceived, lambda e: e.text == text and not e.growing)


async def test_a_line_is_told_to_be_sent_and_then_to_have_been(chat: Chat) -> None:
    line_id = await chat.guest.engine.send_chat("hello")
    await line(chat.host, "hello")
    await chat.guest.wait(ChatReceived, lambda e: e.state is ChatState.SENT)

    mine = [e for e in chat.guest.all(ChatReceived) if e.id == line_id]
    assert [e.state for e in mine] == [ChatState.SENDING, ChatState.SENT]


async def test_a_private_line_reaches_one_person_and_no_history(chat: Chat) -> None:
    async with attending(chat.folder / "third", 2) as third:
        await join(third, chat.room, "Cy")
        await chat.guest.engine.send_chat("for you alone", to=(chat.host_identity,))
        await chat.guest.engine.send_chat("for all")
        private = await line(chat.host, "for you alone")
        await line(third, "for all")

        assert (private.private, private.to_names) == (True, ())
        assert [e.text for e in third.all(ChatReceived)] == ["for all"]
        mine = [e for e in chat.guest.all(ChatReceived) if e.private]
        assert mine[0].to_names == ("Ada",)
    async with attending(chat.folder / "late", 2) as late:
        await join(late, chat.room, "Di")
        history = await late.wait(ChatHistoryReceived)
        assert [e.text for e in history.lines] == ["for all"]


async def test_a_line_is_changed_and_deleted_by_its_author(chat: Chat) -> None:
    line_id = await chat.guest.engine.send_chat("helo")
    first = await line(chat.host, "helo")
    await chat.guest.engine.edit_chat(line_id, "hello")
    edited = await line(chat.host, "hello")
    await chat.guest.engine.delete_chat(chat.guest_identity, line_id)
    deleted = await chat.host.wait(ChatReceived, lambda e: e.deleted)

    assert (edited.id, edited.edited, edited.at_ms) == (line_id, True, first.at_ms)
    assert (deleted.id, deleted.identity, deleted.text) == (line_id, chat.guest_identity, "")
    with pytest.raises(WorldError):
        await chat.guest.engine.edit_chat(line_id, "again")


async def test_a_guest_deletes_nobody_elses_line_and_a_host_does(chat: Chat) -> None:
    theirs = await chat.host.engine.send_chat("mine")
    await line(chat.guest, "mine")
    with pytest.raises(WorldError) as raised:
        await chat.guest.engine.delete_chat(chat.host_identity, theirs)
    assert raised.value.reason is Reason.DENIED

    line_id = await chat.guest.engine.send_chat("rude")
    await line(chat.host, "rude")
    await chat.host.engine.delete_chat(chat.guest_identity, line_id)
    gone = await chat.guest.wait(ChatReceived, lambda e: e.deleted)

    assert (gone.id, gone.is_mine) == (line_id, True)


async def test_a_reply_quotes_and_a_reaction_is_counted(chat: Chat) -> None:
    first = await chat.guest.engine.send_chat("who brings the seeds?")
    await line(chat.host, "who brings the seeds?")
    await chat.host.engine.send_chat("me", reply_to=first)
    answer = await line(chat.guest, "me")
    await chat.host.engine.react_to_chat(chat.guest_identity, first, "heart", True)
    liked = await chat.guest.wait(ChatReceived, lambda e: bool(e.reactions))
    chat.guest.forget()
    await chat.host.engine.react_to_chat(chat.guest_identity, first, "heart", False)
    unliked = await chat.guest.wait(ChatReceived, lambda e: e.id == first)

    assert answer.quote is not None
    assert (answer.quote.name, answer.quote.text) == ("Bo", "who brings the seeds?")
    assert (liked.reactions[0].glyph, liked.reactions[0].names) == ("heart", ("Ada",))
    assert unliked.reactions == ()


async def test_a_picture_comes_with_its_line_and_goes_with_the_meeting(chat: Chat) -> None:
    picture = chat.folder / "beds.png"
    await asyncio.to_thread(picture.write_bytes, PNG)

    await chat.guest.engine.send_chat("the plan", files=(picture,))
    shown = await chat.host.wait(
        ChatReceived,
        lambda e: bool(e.attachments) and e.attachments[0].state is AttachmentState.HERE,
    )

    (attachment,) = shown.attachments
    assert (shown.text, attachment.name, attachment.size_bytes) == (
        "the plan",
        "beds.png",
        len(PNG),
    )
    assert attachment.path is not None
    assert await asyncio.to_thread(attachment.path.read_bytes) == PNG
    assert not await asyncio.to_thread(chat.host.folder.exists)  # no file of the transfers
    await chat.host.engine.leave()
    assert not await asyncio.to_thread(attachment.path.exists)


async def test_typing_is_told_forgotten_and_can_be_switched_off(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    await chat.guest.engine.set_typing(True)
    typing = await chat.host.wait(TypingChanged)
    await chat.guest.engine.send_chat("done")
    await line(chat.host, "done")

    assert typing.people == ((chat.guest_identity, "Bo"),)
    assert chat.host.all(TypingChanged)[-1].people == ()

    chat.host.forget()
    chat.guest.engine.settings = type(chat.guest.settings)(typing_notices=False)
    await chat.guest.engine.set_typing(True)
    await chat.guest.engine.send_chat("silent")
    await line(chat.host, "silent")
    assert chat.host.all(TypingChanged) == []


async def test_who_comes_late_reads_what_was_said_and_what_was_deleted_is_not(chat: Chat) -> None:
    first = await chat.host.engine.send_chat("welcome")
    gone = await chat.guest.engine.send_chat("oops")
    await chat.guest.engine.send_chat("long " * 4_000, reply_to=first)
    await line(chat.host, "long " * 4_000)
    await chat.guest.engine.delete_chat(chat.guest_identity, gone)
    await chat.host.wait(ChatReceived, lambda e: e.deleted)

    async with attending(chat.folder / "late", 2) as late:
        await join(late, chat.room, "Cy")
        history = await late.wait(ChatHistoryReceived)
        await chat.guest.engine.send_chat("now")
        await line(late, "now")

    assert [(e.text, e.name, e.is_old) for e in history.lines] == [
        ("welcome", "Ada", True),
        ("long " * 4_000, "Bo", True),
    ]
    quote = history.lines[1].quote
    assert quote is not None
    assert quote.text == "welcome"
    assert [e.text for e in late.all(ChatReceived)] == ["now"]


async def test_who_comes_late_sees_what_others_thought_and_can_think_so_too(chat: Chat) -> None:
    line_id = await chat.guest.engine.send_chat("cake")
    await line(chat.host, "cake")
    await chat.host.engine.react_to_chat(chat.guest_identity, line_id, "heart", True)
    await chat.guest.wait(ChatReceived, lambda e: bool(e.reactions))
    async with attending(chat.folder / "late", 2) as late:
        await join(late, chat.room, "Di")
        history = await late.wait(ChatHistoryReceived)
        await late.engine.react_to_chat(chat.guest_identity, line_id, "heart", True)
        both = await chat.guest.wait(
            ChatReceived, lambda e: bool(e.reactions) and len(e.reactions[0].names) == 2
        )

    assert [(r.glyph, r.names) for r in history.lines[0].reactions] == [("heart", ("Ada",))]
    assert both.reactions[0].names == ("Ada", "Di")


async def test_who_comes_back_finds_the_own_lines_again(chat: Chat) -> None:
    line_id = await chat.guest.engine.send_chat("before")
    await line(chat.host, "before")
    await chat.host.engine.leave()
    chat.host.forget()
    # Without the host in the room the others keep the history.
    await chat.host.join(host_spec(chat.room, mic_on=False, camera_on=False))

    history = await chat.host.wait(ChatHistoryReceived)

    # They are its author's: on nobody else's word.
    assert [(e.id, e.text, e.name, e.told_by) for e in history.lines] == [
        (line_id, "before", "Bo", "")
    ]


async def test_a_line_too_long_is_refused_and_the_longest_arrives(chat: Chat) -> None:
    with pytest.raises(WorldError) as raised:
        await chat.guest.engine.send_chat("x" * (MAX_TEXT_CHARS + 1))
    assert raised.value.reason is Reason.TOO_LARGE

    longest = "é" * MAX_TEXT_CHARS
    await chat.guest.engine.send_chat(longest)
    assert (await line(chat.host, longest)).text == longest
