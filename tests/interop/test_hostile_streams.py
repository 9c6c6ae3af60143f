"""Forged and malformed streams sent into a real room: whom they are meant for loses them alone.

Mallory is our engine's session with packets of the test's own making. Ernie is our engine in a
process of its own, so that its memory and its log can be looked at; Sally is an official SDK.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from livekit.protocol.models import DataPacket, UserPacket

from app.protocol.streams.assembler import MAX_OPEN_PER_SENDER, StreamFault
from app.protocol.streams.deflate import deflate
from app.protocol.streams.splitter import ByteSplitter, StreamDescription, TextSplitter
from tests.support.engine_peer import DEADLINE_S, EnginePeer
from tests.support.sdk_peer import OURS, SdkPeer
from tests.support.server_process import ServerProcess, token_for

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("network")]

LINE = "x" * 20_000
DROPPED = "stream packet dropped"
# What the allocator keeps and what one step of unpacking takes; one bomb's packet holds more.
MAX_GROWTH_BYTES = 48_000_000
BOMB_PIECE_BYTES = 55_000_000

_numbers = itertools.count()


@dataclass
class Scene:
    """Who is in the room."""

    mallory: EnginePeer
    ernie: SdkPeer
    sally: SdkPeer

    async def send(self, *packets: DataPacket) -> None:
        """Put these on the wire as they are."""
        session = self.mallory.room.session
        assert session is not None
        for packet in packets:
            await session.send_data(packet, reliable=True)

    async def rest_goes_on(self) -> None:
        """All that came before has been dealt with, and everybody is still heard by the others."""
        mark = f"mark {next(_numbers)}"
        await self.send(*text(mark, topic="marks"))
        for peer in (self.ernie, self.sally):
            await received(peer, topic="marks", text=mark, **{"from": "mallory"})
        for writer, reader in ((self.ernie, self.sally), (self.sally, self.ernie)):
            await writer.call("send_text", topic="marks", text=mark)
            await received(reader, topic="marks", text=mark, **{"from": writer.identity})


@pytest.fixture
async def scene(server: ServerProcess) -> AsyncIterator[Scene]:
    async with (
        SdkPeer("sally") as sally,
        SdkPeer("ernie", module=OURS) as ernie,
        EnginePeer("mallory") as mallory,
    ):
        for peer in (sally, ernie):
            await peer.connect(server.url, token_for(peer.identity))
            for topic in ("texts", "files", "marks"):
                await peer.call("listen", topic=topic)
        await mallory.room.connect(server.url, token_for("mallory"))
        for peer in (sally, ernie):
            await peer.wait_event("participant_connected", identity="mallory")
        yield Scene(mallory, ernie, sally)
        assert "Traceback" not in ernie.log, ernie.log


async def received(peer: SdkPeer, **match: Any) -> dict[str, Any]:
    """Return what has come with these facts."""
    item: dict[str, Any] = await peer.call(
        "wait_item", match=match, within_s=DEADLINE_S, deadline_s=DEADLINE_S + 5
    )
    return item


def about(topic: str, total: int | None = None) -> StreamDescription:
    return StreamDescription(f"stream-{next(_numbers)}", topic, 1, "text/plain", total)


def text(content: str, *, topic: str = "texts") -> list[DataPacket]:
    splitter = TextSplitter(about(topic))
    return [splitter.open(), *splitter.write(content), splitter.close()]


def stream(
    *contents: bytes, total: int | None = None, compressed: bool = False
) -> tuple[DataPacket, list[DataPacket], DataPacket]:
    """Header, chunks and trailer of a text."""
    splitter = TextSplitter(about("texts", total))
    header = splitter.open(compressed=compressed)
    return header, list(splitter.cut(contents)), splitter.close()


def changed(packet: DataPacket, **fields: Any) -> DataPacket:
    """The same with other values in its stream message."""
    copy = DataPacket()
    copy.CopyFrom(packet)
    value = getattr(copy, copy.WhichOneof("value") or "")
    for name, content in fields.items():
        setattr(value, name, content)
    return copy


@dataclass
class Attack:
    """What is sent, what our engine makes of it, and how many lines it costs."""

    packets: list[DataPacket]
    fault: StreamFault | None = None
    text: str | None = None
    lines: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


def attacks() -> dict[str, Attack]:
    """Each with a stream of its own."""
    header, chunks, trailer = stream(b"one", b"two")
    found = {
        "an index too far": Attack([header, changed(chunks[0], chunk_index=5)], _F.CHUNK_MISSING)
    }
    header, chunks, trailer = stream(b"one")
    found["a chunk twice"] = Attack([header, *chunks, *chunks, trailer], text="one")
    header, chunks, trailer = stream(b"one")
    revised = changed(chunks[0], version=1, content=b"two")
    found["a chunk in another version"] = Attack([header, *chunks, revised], _F.REVISED)
    header, chunks, trailer = stream(b"four", total=3)
    found["more than announced"] = Attack([header, *chunks], _F.TOO_LONG)
    header, chunks, trailer = stream(b"four", total=5)
    found["less than announced"] = Attack([header, *chunks, trailer], _F.TOO_SHORT)
    header, chunks, trailer = stream(b"\xff\xfe")
    found["bytes that are no text"] = Attack([header, *chunks, trailer], _F.NOT_TEXT)
    header, chunks, trailer = stream(b"\xff\xff\xff", compressed=True)
    found["what does not inflate"] = Attack([header, *chunks], _F.NOT_INFLATABLE)
    header, chunks, trailer = stream(deflate(b"x") + b"more", compressed=True)
    found["bytes behind the end"] = Attack([header, *chunks], _F.NOT_INFLATABLE)
    header, chunks, trailer = stream(deflate(b"cut off" * 99)[:-4], compressed=True)
    found["half of a deflate"] = Attack([header, *chunks, trailer], _F.TOO_SHORT)
    header, chunks, trailer = stream(b"half")
    found["a reason to break off"] = Attack(
        [header, *chunks, changed(trailer, reason="why not")], _F.ABORTED
    )
    header, chunks, trailer = stream(LINE.encode())
    found["a long line in one chunk"] = Attack([header, *chunks, trailer], text=LINE)
    header, chunks, trailer = stream()
    found["a long line in the header"] = Attack(
        [changed(header, inline_content=LINE.encode())], text=LINE
    )
    header, chunks, trailer = stream(b"by sally, as if")
    for packet in (header, *chunks, trailer):
        packet.participant_identity, packet.participant_sid = "sally", "PA_sally"
    found["another's name"] = Attack([header, *chunks, trailer], text="by sally, as if")
    header, chunks, trailer = stream(b"whose")
    found["a stream of nobody"] = Attack([*chunks, trailer])
    found["a stream without an id"] = Attack([changed(header, stream_id="")], lines=1)
    header, chunks, trailer = stream(b"of what?")
    header.stream_header.ClearField("text_header")
    found["a header of no kind"] = Attack([header, *chunks, trailer], lines=1)
    header, chunks, trailer = stream(b"odd")
    header.MergeFromString(b"\x6a\x02\x60\x09")  # compression 9 of the stream header
    found["an unknown compression"] = Attack([header, *chunks, trailer], _F.ENCODING)
    header, chunks, trailer = stream(b"once")
    found["an id in use"] = Attack([header, header, *chunks, trailer], text="once", lines=1)
    return found


_F = StreamFault


async def test_each_forged_stream_is_an_error_of_its_own_and_all_others_arrive(
    scene: Scene,
) -> None:
    lines = 0
    for name, attack in attacks().items():
        await scene.send(*attack.packets)
        await scene.rest_goes_on()

        lines += attack.lines
        assert scene.ernie.log.count(DROPPED) == lines, f"{name}: {scene.ernie.log}"
        if attack.fault is None and attack.text is None:
            continue
        first = attack.packets[0].stream_header
        item = await received(scene.ernie, id=first.stream_id)
        assert item["from"] == "mallory", name
        assert item.get("text") == attack.text, name
        assert (attack.fault or "") in item.get("error", ""), (name, item)


async def test_nobody_puts_words_into_anothers_stream(scene: Scene) -> None:
    header: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    scene.mallory.room.register_text_stream_handler(
        "texts", lambda reader, _: header.set_result(reader.info.stream_id)
    )
    opened = await scene.sally.call("open_text", topic="texts")
    await scene.sally.call("append_text", stream=opened, piece="mine ")
    assert await asyncio.wait_for(header, DEADLINE_S) == opened

    _, chunks, trailer = stream(b"not ", b"hers ")
    for index, chunk in enumerate(chunks, 1):
        await scene.send(changed(chunk, stream_id=opened, chunk_index=index))
    await scene.send(changed(trailer, stream_id=opened, reason="as if she had stopped"))
    await scene.rest_goes_on()
    await scene.sally.call("append_text", stream=opened, piece="alone")
    await scene.sally.call("close_text", stream=opened)

    item = await received(scene.ernie, id=opened)
    assert (item.get("text"), item["from"]) == ("mine alone", "sally")


def bomb(topic: str, pieces: int) -> tuple[list[DataPacket], int]:
    """A thousandfold compressed file, one packet a piece; and its size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    # After a full flush nothing refers back: the same piece again is the same zeros again.
    piece = packer.compress(bytes(BOMB_PIECE_BYTES)) + packer.flush(zlib.Z_FULL_FLUSH)
    splitter = ByteSplitter(about(topic))
    header = splitter.open(name="zeros.bin", compressed=True)
    chunks = splitter.cut([piece] * pieces + [packer.flush()])
    return [header, *chunks, splitter.close()], pieces * BOMB_PIECE_BYTES


async def test_bombs_stay_packed_while_nobody_reads_and_pass_piece_by_piece_when_somebody_does(
    scene: Scene,
) -> None:
    await scene.ernie.call("hold", topic="held")
    await scene.rest_goes_on()
    before = (await scene.ernie.call("memory"))["now"]

    for _ in range(4):
        await scene.send(*bomb("held", pieces=4)[0])
    await scene.rest_goes_on()
    held = await scene.ernie.call("memory")
    assert held["peak"] - before < MAX_GROWTH_BYTES, (before, held)

    packets, size = bomb("files", pieces=2)
    await scene.send(*packets)
    item = await received(scene.ernie, name="zeros.bin", topic="files")
    passed = await scene.ernie.call("memory")
    assert (item.get("size"), item.get("error")) == (size, None)
    assert item["sha256"] == hashlib.sha256(bytes(size)).hexdigest()
    assert passed["peak"] - before < MAX_GROWTH_BYTES, (before, passed)
    await scene.rest_goes_on()
    assert scene.ernie.log.count(DROPPED) == 0


async def test_streams_that_never_end_are_few_and_end_with_their_sender(scene: Scene) -> None:
    opened = [stream(b"on and on") for _ in range(MAX_OPEN_PER_SENDER + 50)]
    for header, chunks, _ in opened:
        await scene.send(header, *chunks)
    # Of those that are refused nothing is kept, however long they go on.
    endless = TextSplitter(about("texts"))
    await scene.send(endless.open(), *endless.cut([bytes(60_000)] * 100))
    await scene.send(DataPacket(user=UserPacket(payload=b"last", topic="sync")))
    await scene.ernie.wait_event("data_received", topic="sync")
    assert scene.ernie.log.count(DROPPED) == 51
    await scene.sally.call("send_text", topic="texts", text="others may")
    assert (await received(scene.ernie, text="others may"))["from"] == "sally"

    await scene.mallory.room.disconnect()

    for header, _, _ in opened[:MAX_OPEN_PER_SENDER]:
        item = await received(scene.ernie, id=header.stream_header.stream_id)
        assert item["error"] == StreamFault.SENDER_LEFT
    await scene.sally.call("send_text", topic="marks", text="afterwards")
    await received(scene.ernie, text="afterwards")
