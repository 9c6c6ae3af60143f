"""Incoming streams on their way to readers: what is packed stays so until it is read."""

from __future__ import annotations

import asyncio

import pytest
from livekit.protocol.models import DataPacket

from app.engine.stream_desk import StreamDesk
from app.engine.streams import ROOM_BELOW, ByteStreamReader, StreamError
from app.protocol.streams.assembler import STEP_BYTES, StreamFault
from app.protocol.streams.deflate import deflate
from app.protocol.streams.splitter import ByteSplitter, StreamDescription

SIZE = 30_000_000


def bomb(total_bytes: int | None = SIZE) -> list[DataPacket]:
    """Thirty million zeros in two chunks."""
    about = StreamDescription("s1", "files", 1, "application/octet-stream", total_bytes)
    splitter = ByteSplitter(about)
    header = splitter.open(name="b", compressed=True)
    return [header, *splitter.write(deflate(b"\0" * SIZE)), splitter.close()]


def receive(packets: list[DataPacket]) -> tuple[StreamDesk, ByteStreamReader]:
    desk, readers = StreamDesk(), list[ByteStreamReader]()
    desk.register_bytes("files", lambda reader, _: readers.append(reader))
    for packet in packets:
        desk.handle_packet(packet)
    (reader,) = readers
    return desk, reader


async def test_a_bomb_that_nobody_reads_stays_packed() -> None:
    desk, reader = receive(bomb())

    assert 0 < reader._waiting <= ROOM_BELOW + STEP_BYTES + 64 * 1024
    desk.handle_disconnect()
    assert reader._waiting <= ROOM_BELOW + STEP_BYTES + 64 * 1024
    reader.close()
    assert len(desk._assembler) == 0


async def test_a_bomb_is_read_whole_and_others_have_their_turns_meanwhile() -> None:
    _, reader = receive(bomb())
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    size = most = 0
    async for piece in reader:
        size += len(piece)
        most = max(most, reader._waiting)
    counting.cancel()

    assert size == SIZE
    assert most <= ROOM_BELOW + STEP_BYTES + 64 * 1024
    assert turns > SIZE // (ROOM_BELOW + STEP_BYTES + 64 * 1024)


async def test_a_bomb_beyond_what_was_announced_ends_there() -> None:
    _, reader = receive(bomb(total_bytes=SIZE // 2))

    sizes: list[int] = []

    async def read() -> None:
        async for piece in reader:
            sizes.append(len(piece))  # noqa: PERF401 - what came before the error counts

    with pytest.raises(StreamError, match=StreamFault.TOO_LONG):
        await read()
    assert 0 < sum(sizes) <= SIZE // 2


async def test_a_stream_that_repeats_an_id_outlives_the_reader_of_the_one_before() -> None:
    desk, readers = StreamDesk(), list[ByteStreamReader]()
    desk.register_bytes("files", lambda reader, _: readers.append(reader))
    packets = []
    for content in (b"mistke", b"mistake"):
        about = StreamDescription("s1", "files", 1, "application/octet-stream", len(content))
        splitter = ByteSplitter(about)
        packets += [splitter.open(name="b"), *splitter.write(content), splitter.close()]
    for packet in packets[:4]:
        desk.handle_packet(packet)
    first, second = readers

    assert b"".join([piece async for piece in first]) == b"mistke"
    for packet in packets[4:]:
        desk.handle_packet(packet)

    async with asyncio.timeout(30):
        assert b"".join([piece async for piece in second]) == b"mistake"
