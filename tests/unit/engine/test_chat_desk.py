"""What the desk decides by itself, over a room that only notes what is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from livekit.protocol import models as lk

from app.engine import rtc
from app.engine.chat import CHAT_TOPIC, LEGACY_TOPIC
from app.engine.chat_desk import ChatDesk
from app.engine.chat_history import HISTORY_METHOD, HistoryKeeper, request_from
from app.engine.enums import DataPacketKind
from app.engine.events import ChatFailed, ChatReceived, ChatState, Event, Person
from app.runtime.errors import Reason, WorldError


@dataclass
class Me:
    identity: str = "me"
    packets: list[lk.DataPacket] = field(default_factory=list)
    refuses: bool = False
    may_publish_data: bool = True
    history: str = ""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def send_packet(self, packet: lk.DataPacket, *, reliable: bool = True) -> None:
        assert reliable
        if self.refuses:
            raise WorldError(Reason.PEER_GONE)
        if not self.may_publish_data:
            raise WorldError(Reason.DENIED)
        self.packets.append(packet)
        self.news.set()

    def register_rpc_method(self, method: str, handler: object) -> None:
        assert method == HISTORY_METHOD

    async def perform_rpc(self, **call: object) -> str:
        return self.history


@dataclass
class FakeRoom:
    local_participant: Me = field(default_factory=Me)
    remote_participants: dict[str, Any] = field(default_factory=dict)
    handlers: dict[str, Callable[..., None]] = field(default_factory=dict)

    def on(self, event: str, handler: Callable[..., None]) -> None:
        self.handlers[event] = handler

    def register_text_stream_handler(self, topic: str, handler: Callable[..., None]) -> None:
        assert topic == CHAT_TOPIC

    register_byte_stream_handler = register_text_stream_handler


@dataclass
class Somebody:
    identity: str
    joined_at: None = None


@dataclass
class Desk:
    chat: ChatDesk
    room: FakeRoom
    events: list[Event]
    people: dict[str, Person]

    def bring(self, identity: str, *, is_agent: bool = False) -> Somebody:
        self.people[identity] = Person(identity, identity.title(), is_agent=is_agent)
        self.room.remote_participants[identity] = Somebody(identity)
        return self.room.remote_participants[identity]  # type: ignore[no-any-return]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self.room.local_participant.news.clear()
                await self.room.local_participant.news.wait()

    def states(self, line_id: str) -> list[ChatState]:
        return [e.state for e in self.events if isinstance(e, ChatReceived) and e.id == line_id]

    def headers(self) -> list[lk.DataPacket]:
        sent = self.room.local_participant.packets
        return [packet for packet in sent if packet.HasField("stream_header")]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A desk in a room where nobody else is."""
    room, events, people = FakeRoom(), list[Event](), dict[str, Person]()
    connected = asyncio.Event()
    connected.set()

    def post(event: Event) -> None:
        events.append(event)
        room.local_participant.news.set()

    people["me"] = Person("me", "Me", is_me=True)
    chat = ChatDesk(
        room=cast("rtc.Room", room),
        post=post,
        person=people.get,
        connected=connected,
        typing_wished=lambda: True,
        take_file=lambda _reader, _identity: None,
    )
    chat.listen()
    chat.handle_joined()
    yield Desk(chat, room, events, people)
    await chat.aclose()


async def test_a_line_that_fails_can_be_sent_again_under_its_id(desk: Desk) -> None:
    desk.room.local_participant.refuses = True
    line_id = await desk.chat.send("hello")
    await desk.until(lambda: desk.states(line_id)[-1] is ChatState.FAILED)
    desk.room.local_participant.refuses = False
    await desk.chat.retry(line_id)
    await desk.until(lambda: desk.states(line_id)[-1] is ChatState.SENT)

    assert [p.stream_header.stream_id for p in desk.headers()] == [line_id]


async def test_an_agent_is_not_told_an_empty_text_when_a_line_is_deleted(desk: Desk) -> None:
    desk.bring("ada")
    desk.bring("bot", is_agent=True)
    line_id = await desk.chat.send("oops")
    await desk.until(lambda: desk.states(line_id)[-1] is ChatState.SENT)
    await desk.chat.delete("me", line_id)

    told = desk.headers()[-1]
    assert told.stream_header.text_header.operation_type == lk.DataStream.OperationType.DELETE
    assert list(told.destination_identities) == ["ada"]


async def test_what_a_lost_session_swallowed_is_said_again(desk: Desk) -> None:
    desk.bring("ada")
    kept = await desk.chat.send("arrived")
    lost = await desk.chat.send("swallowed")
    private = await desk.chat.send("private", to=("ada",))
    await desk.until(lambda: desk.states(private)[-1:] == [ChatState.SENT])
    await desk.until(lambda: desk.states(lost)[-1] is ChatState.SENT)
    entry = desk.chat._book.get("me", kept)
    assert entry is not None
    desk.room.local_participant.history = HistoryKeeper().handle_request(
        "me", request_from(0), [entry], [], 0.0
    )
    desk.room.local_participant.packets.clear()

    desk.chat.handle_connection_lost()
    desk.chat.handle_reconnected()
    await desk.until(lambda: len(desk.room.local_participant.packets) >= 3)

    assert [p.stream_header.stream_id for p in desk.headers()] == [lost]


async def test_a_resume_asks_nobody_and_repeats_nothing(desk: Desk) -> None:
    desk.bring("ada")
    line_id = await desk.chat.send("hello")
    await desk.until(lambda: desk.states(line_id)[-1] is ChatState.SENT)
    desk.room.local_participant.packets.clear()
    desk.chat.handle_reconnected()
    await asyncio.sleep(0)

    assert desk.room.local_participant.packets == []


async def test_a_flood_is_cut_and_others_are_still_heard(desk: Desk) -> None:
    ada, eve = desk.bring("ada"), desk.bring("eve")

    def legacy(number: int, who: Somebody) -> None:
        line = {"id": f"{number}", "timestamp": 1, "message": f"line {number}"}
        packet = rtc.DataPacket(
            json.dumps(line).encode(),
            DataPacketKind.KIND_RELIABLE,
            cast("rtc.RemoteParticipant", who),
            LEGACY_TOPIC,
        )
        desk.room.handlers["data_received"](packet)

    for number in range(5_000):
        legacy(number, eve)
    legacy(1, ada)

    shown = [e.identity for e in desk.events if isinstance(e, ChatReceived)]
    assert 100 <= shown.count("eve") < 1_000
    assert shown[-1] == "ada"


async def test_without_the_right_to_write_a_line_fails_and_nothing_is_changed(desk: Desk) -> None:
    line_id = await desk.chat.send("hello")
    await desk.until(lambda: ChatState.SENT in desk.states(line_id))
    desk.room.local_participant.may_publish_data = False
    told = len(desk.events)

    for change in (
        desk.chat.edit(line_id, "changed"),
        desk.chat.delete("me", line_id),
        desk.chat.react("me", line_id, "heart", on=True),
    ):
        with pytest.raises(WorldError) as raised:
            await change
        assert raised.value.reason is Reason.DENIED
    assert desk.events[told:] == []
    refused = await desk.chat.send("nobody hears this")
    await desk.until(lambda: ChatState.FAILED in desk.states(refused))
    assert ChatFailed(refused, Reason.DENIED) in desk.events
