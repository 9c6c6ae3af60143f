"""Pictures that come with lines, in whatever order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.engine import rtc
from app.engine.chat import ChatLine
from app.engine.chat_book import ChatBook
from app.engine.chat_pictures import ChatPictures
from app.engine.events import AttachmentState, ChatAttachment, ChatReceived
from app.protocol.streams.assembler import IncomingStream, StreamKind
from app.runtime.tasks import TaskOwner


class Table:
    """Pictures, and what became of them."""

    def __init__(self) -> None:
        self.owner = TaskOwner("test")
        self.book = ChatBook(str)
        self.told: list[ChatReceived] = []
        self.files: list[str] = []
        self.news = asyncio.Event()
        self.pictures = ChatPictures(
            self.book, self.owner, tell=self.tell, take_line=self.show, take_file=self.take_file
        )

    def tell(self, event: ChatReceived | None) -> None:
        if event is not None:
            self.told.append(event)
            self.news.set()

    def show(self, line: ChatLine, identity: str, pictures: list[ChatAttachment]) -> None:
        self.tell(self.book.handle_line(line, identity, now_ms=1, attachments=pictures))

    def take_file(self, reader: rtc.ByteStreamReader, identity: str) -> None:
        self.files.append(reader.info.name)

    def send(self, stream_id: str, data: bytes, **about: Any) -> None:
        about = {"mime_type": "image/png", "total_bytes": 4, **about}
        stream = IncomingStream(
            stream_id=stream_id,
            kind=StreamKind.BYTES,
            topic="lk.chat",
            timestamp_ms=1,
            sender_identity="ada",
            attributes={},
            name="../a.png",
            **about,
        )
        reader = rtc.ByteStreamReader(stream)
        self.pictures.handle_stream(reader, "ada")
        reader.handle_piece(data)
        reader.handle_end({})

    async def until(self, state: AttachmentState) -> ChatAttachment:
        async with asyncio.timeout(30):
            while True:
                found = [a for e in self.told for a in e.attachments if a.state is state]
                if found:
                    return found[0]
                self.news.clear()
                await self.news.wait()


@pytest.fixture
async def table() -> AsyncIterator[Table]:
    table = Table()
    yield table
    await table.owner.close()
    await table.pictures.aclose()


async def test_a_picture_quicker_than_its_line_is_there_when_it_is_shown(table: Table) -> None:
    table.pictures.expect("ada", "p1", "line")
    table.send("p1", b"1234")
    (coming,) = table.pictures.announced("ada", ["p1"])
    assert coming.state is AttachmentState.COMING

    table.show(ChatLine("line", "look", 1), "ada", [coming])

    here = await table.until(AttachmentState.HERE)
    assert here.path is not None
    assert here.path.read_bytes() == b"1234"
    assert here.path.name == "picture-1.png"


async def test_a_picture_of_no_line_is_one_and_a_short_one_is_said(table: Table) -> None:
    table.send("p1", b"123")

    failed = await table.until(AttachmentState.FAILED)
    assert (failed.id, table.told[0].id) == ("p1", "p1")


async def test_what_is_no_picture_is_a_file(table: Table) -> None:
    table.send("p1", b"1234", mime_type="application/pdf")

    assert table.files == ["../a.png"]
    assert table.told == []
