"""Who is asked for what was said before, and what is done when nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.engine import rtc
from app.engine.chat import ChatLine
from app.engine.chat_book import ChatBook, Entry
from app.engine.chat_catch_up import CatchUp
from app.engine.chat_history import HistoryKeeper
from app.engine.events import ChatHistoryReceived, Event, Person, Role
from app.runtime.tasks import TaskOwner

PEOPLE = {
    "guest": Person("guest", "Guest"),
    "robot": Person("robot", "Robot", is_agent=True),
    "cohost": Person("cohost", "Co", role=Role.COHOST),
    "host": Person("host", "Host", role=Role.HOST),
}


@dataclass
class Me:
    """Calls the others; only those in `answering` keep a history."""

    answering: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    keeper: HistoryKeeper = field(default_factory=HistoryKeeper)

    def register_rpc_method(self, method: str, handler: object) -> None:
        assert method == "lanai.history"

    async def perform_rpc(self, **call: Any) -> str:
        identity = call["destination_identity"]
        self.asked.append(identity)
        if identity not in self.answering:
            raise rtc.RpcError.built_in(rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD)
        line = Entry("1", "ada", "Ada", "before", 1, is_mine=False)
        own = Entry("2", identity, identity.title(), "own", 2, is_mine=False)
        heard = Entry("3", "ada", "Ada", "hearsay", 3, is_mine=False, told_by="Kai")
        deleted = [("me", "mine"), ("ada", "hers"), (identity, "theirs")]
        lines = [line, own, heard]
        return self.keeper.handle_request("me", call["payload"], lines, deleted, 0.0)


@dataclass
class Latecomer:
    """Somebody who has just come in."""

    me: Me = field(default_factory=Me)
    told: list[Event] = field(default_factory=list)
    owner: TaskOwner = field(default_factory=lambda: TaskOwner("test"))
    book: ChatBook = field(default_factory=lambda: ChatBook(str))

    async def come(self) -> None:
        others = {each: SimpleNamespace(identity=each, joined_at=None) for each in PEOPLE}
        room = SimpleNamespace(local_participant=self.me, remote_participants=others)
        catch_up = CatchUp(
            cast("rtc.Room", room),
            self.book,
            self.owner,
            person=PEOPLE.get,
            post=self.told.append,
            say_again=lambda _: None,
        )
        catch_up.handle_joined()
        async with asyncio.timeout(30):
            await asyncio.gather(*self.owner._tasks)


@pytest.fixture
async def late() -> AsyncIterator[Latecomer]:
    late = Latecomer()
    yield late
    await late.owner.close()


async def test_the_host_is_asked_first_and_the_next_when_there_is_no_answer(
    late: Latecomer,
) -> None:
    late.me.answering = {"cohost", "guest"}

    await late.come()

    assert dict.fromkeys(late.me.asked) == {"host": None, "cohost": None}
    (told,) = late.told
    assert isinstance(told, ChatHistoryReceived)
    assert [line.text for line in told.lines] == ["before", "own", "hearsay"]


@pytest.mark.parametrize(
    ("keeper", "told_by"),
    [
        ("host", ["", "", "Kai"]),
        ("cohost", ["", "", "Kai"]),
        ("guest", ["Guest", "", "Guest"]),
    ],
)
async def test_what_only_a_guest_tells_of_others_is_shown_as_its_word(
    late: Latecomer, keeper: str, told_by: list[str]
) -> None:
    late.me.answering = {keeper}

    await late.come()

    (told,) = late.told
    assert isinstance(told, ChatHistoryReceived)
    assert [line.told_by for line in told.lines] == told_by


async def test_a_line_seen_live_is_not_replaced_by_what_is_told_of_it(late: Latecomer) -> None:
    late.me.answering = {"guest"}
    late.book.handle_line(ChatLine("1", "as it was", 1), "ada", now_ms=1)

    await late.come()

    line = late.book.get("ada", "1")
    assert line is not None
    assert (line.text, line.is_old, line.told_by) == ("as it was", False, "")


async def test_the_authors_own_word_ends_hearsay(late: Latecomer) -> None:
    late.me.answering = {"guest"}
    await late.come()

    changed = late.book.handle_line(ChatLine("1", "what I said", 1), "ada", now_ms=9)

    assert changed is not None
    assert (changed.text, changed.edited, changed.told_by) == ("what I said", True, "")


@pytest.mark.parametrize(
    ("keeper", "gone"), [("host", {"mine", "hers", "theirs"}), ("guest", {"theirs"})]
)
async def test_a_guest_deletes_nobody_elses_lines_by_telling_of_it(
    late: Latecomer, keeper: str, gone: set[str]
) -> None:
    late.book.me = "me"
    late.me.answering = {keeper}
    for who, line_id in (("me", "mine"), ("ada", "hers"), (keeper, "theirs")):
        late.book.handle_line(ChatLine(line_id, "text", 1), who, now_ms=1)

    await late.come()

    assert {each.id for each in late.book.entries if each.deleted} == gone


async def test_where_nobody_keeps_a_history_nothing_is_told(late: Latecomer) -> None:
    await late.come()

    assert late.me.asked == ["host", "cohost", "guest"]
    assert late.told == []
