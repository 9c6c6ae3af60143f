from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app.engine import transfers as transfers_module
from app.engine.events import Event, Transfer, TransferChanged, TransferState
from app.engine.transfers import (
    SHA256_ATTRIBUTE,
    ByteSink,
    Incoming,
    Offer,
    Transfers,
)
from app.protocol.errors import ProtocolError
from app.runtime.errors import Reason, WorldError

DEADLINE_S = 30.0
CONTENT = bytes(range(256)) * 4096


class Wire:
    """The far side of a stream: keeps what was written, and can call back at each write."""

    def __init__(self, on_write: Callable[[], None] | None = None) -> None:
        self.offers: list[Offer] = []
        self.content = b""
        self.reason: str | None = None
        self.attributes: dict[str, str] = {}
        self._on_write = on_write

    async def open(self, offer: Offer) -> ByteSink:
        self.offers.append(offer)
        self.content = b""
        return self

    async def write(self, data: bytes) -> None:
        self.content += data
        await asyncio.sleep(0)
        if self._on_write is not None:
            self._on_write()

    async def aclose(self, *, reason: str = "", attributes: dict[str, str] | None = None) -> None:
        self.reason = reason
        self.attributes = attributes or {}


class Desk:
    """Transfers with a place to save, and what they told."""

    def __init__(
        self, folder: Path, wire: Wire | None = None, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.told: list[Transfer] = []
        self.changed = asyncio.Event()
        self.folder = folder
        self.transfers = Transfers(
            post=self._post,
            open_sink=(wire or Wire()).open,
            folder=lambda: self.folder,
            now_s=now_s,
        )

    def _post(self, event: Event) -> None:
        assert isinstance(event, TransferChanged)
        self.told.append(event.transfer)
        self.changed.set()

    async def end(self) -> Transfer:
        async with asyncio.timeout(DEADLINE_S):
            while not self.told or self.told[-1].state is TransferState.RUNNING:
                self.changed.clear()
                await self.changed.wait()
        return self.told[-1]


def incoming(
    *chunks: bytes | Exception, name: str = "a.bin", size: int | None = None, sha256: str = ""
) -> Incoming:
    async def read() -> AsyncIterator[bytes]:
        for chunk in chunks:
            await asyncio.sleep(0)
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    attributes = {SHA256_ATTRIBUTE: sha256} if sha256 else {}
    return Incoming("t1", name, size, "bo-1", "Bo", read(), lambda: attributes)


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def fill(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "picture.png"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


async def test_a_file_is_sent_whole_with_its_hash_at_the_end(source: Path, tmp_path: Path) -> None:
    wire = Wire()
    desk = Desk(tmp_path, wire)

    await desk.transfers.send(source, to=("bo-1",), peer_name="Bo")
    ended = await desk.end()

    digest = hashlib.sha256(CONTENT).hexdigest()
    assert wire.content == CONTENT
    assert (wire.reason, wire.attributes) == ("", {SHA256_ATTRIBUTE: digest})
    assert (ended.state, ended.done_bytes, ended.sha256) == (
        TransferState.DONE,
        len(CONTENT),
        digest,
    )
    offer = wire.offers[0]
    assert (offer.name, offer.size_bytes, offer.mime_type, offer.to) == (
        "picture.png",
        len(CONTENT),
        "image/png",
        ("bo-1",),
    )
    await desk.transfers.aclose()


async def test_a_received_file_lies_under_its_safe_name(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "Lanai")
    digest = hashlib.sha256(CONTENT).hexdigest()
    halves = CONTENT[:700_000], CONTENT[700_000:]

    desk.transfers.receive(
        incoming(*halves, name="../../nul.txt", size=len(CONTENT), sha256=digest)
    )
    ended = await desk.end()

    assert (ended.state, ended.path) == (TransferState.DONE, tmp_path / "Lanai" / "_nul.txt")
    assert (tmp_path / "Lanai" / "_nul.txt").read_bytes() == CONTENT
    assert desk.transfers.files_saved == 1
    assert files_in(tmp_path / "Lanai") == [tmp_path / "Lanai" / "_nul.txt"]
    await desk.transfers.aclose()


@pytest.mark.parametrize(
    ("chunks", "sha256", "reason"),
    [
        ((b"abc", ProtocolError("stream: sender left")), "", Reason.PEER_GONE),
        ((b"abc",), "0" * 64, Reason.DAMAGED),
    ],
)
async def test_a_broken_stream_leaves_no_file(
    tmp_path: Path, chunks: tuple[bytes | Exception, ...], sha256: str, reason: Reason
) -> None:
    desk = Desk(tmp_path)

    desk.transfers.receive(incoming(*chunks, sha256=sha256))
    ended = await desk.end()
    await desk.transfers.aclose()

    assert (ended.state, ended.error) == (TransferState.FAILED, reason)
    assert files_in(tmp_path) == []


async def test_a_file_that_vanishes_while_being_sent_is_told_and_can_be_retried(
    source: Path, tmp_path: Path
) -> None:
    wire = Wire(on_write=lambda: source.unlink(missing_ok=True))
    desk = Desk(tmp_path, wire)

    transfer_id = await desk.transfers.send(source, to=(), peer_name="")
    ended = await desk.end()

    assert (ended.state, ended.error) == (TransferState.FAILED, Reason.FILE_GONE)
    assert wire.reason == "error"
    with pytest.raises(WorldError) as raised:
        await desk.transfers.retry(transfer_id)
    assert raised.value.reason is Reason.FILE_GONE
    fill(source, b"back")
    await desk.transfers.retry(transfer_id)
    ended = await desk.end()
    assert (ended.id, ended.state, wire.content) == (transfer_id, TransferState.DONE, b"back")
    await desk.transfers.aclose()


async def test_a_file_that_shrinks_while_being_sent_is_gone(source: Path, tmp_path: Path) -> None:
    desk = Desk(tmp_path, Wire(on_write=lambda: os.truncate(source, 10)))

    await desk.transfers.send(source, to=(), peer_name="")

    assert (await desk.end()).error is Reason.FILE_GONE
    await desk.transfers.aclose()


@pytest.mark.parametrize("name", ["missing", "."])
async def test_what_is_no_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    desk = Desk(tmp_path)

    with pytest.raises(WorldError) as raised:
        await desk.transfers.send(tmp_path / name, to=(), peer_name="")

    assert raised.value.reason is Reason.FILE_GONE
    assert desk.told == []


async def test_cancelling_tells_the_reader(source: Path, tmp_path: Path) -> None:
    cancels: list[asyncio.Task[None]] = []

    def cancel() -> None:
        transfer_id = desk.told[0].id
        cancels.append(asyncio.get_running_loop().create_task(desk.transfers.cancel(transfer_id)))

    wire = Wire(on_write=cancel)
    desk = Desk(tmp_path, wire)
    await desk.transfers.send(source, to=(), peer_name="")

    assert (await desk.end()).state is TransferState.CANCELLED
    await desk.transfers.aclose()
    await asyncio.gather(*cancels)
    assert len(wire.content) < len(CONTENT)


async def test_a_lost_connection_fails_what_is_sent_even_if_the_writes_would_go_on(
    source: Path, tmp_path: Path
) -> None:
    wire = Wire(on_write=lambda: desk.transfers.handle_connection_lost())
    desk = Desk(tmp_path, wire)

    transfer_id = await desk.transfers.send(source, to=(), peer_name="")
    ended = await desk.end()
    wire._on_write = None
    await desk.transfers.retry(transfer_id)
    again = await desk.end()

    assert (ended.state, ended.error) == (TransferState.FAILED, Reason.PEER_GONE)
    assert (again.state, wire.content) == (TransferState.DONE, CONTENT)
    assert len({offer.stream_id for offer in wire.offers}) == 2
    await desk.transfers.aclose()


async def test_a_cancelled_download_is_deleted_and_drained(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    go_on = asyncio.Event()
    drained = asyncio.Event()

    async def read() -> AsyncIterator[bytes]:
        yield b"x" * 300_000
        await go_on.wait()
        yield b"x"
        drained.set()

    desk.transfers.receive(Incoming("t1", "a", 300_001, "bo-1", "Bo", read(), dict))
    await desk.transfers.cancel("t1")
    go_on.set()

    async with asyncio.timeout(DEADLINE_S):
        await drained.wait()
    assert [transfer.state for transfer in desk.told][-1] is TransferState.CANCELLED
    await desk.transfers.aclose()
    assert files_in(tmp_path) == []


async def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path)

    def full(_self: object, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transfers_module._Saving, "write", full)
    desk.transfers.receive(incoming(b"x", size=1))

    assert (await desk.end()).error is Reason.DISK_FULL
    await desk.transfers.aclose()
    assert files_in(tmp_path) == []


async def test_more_than_the_disk_holds_is_refused_before_it_is_written(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.transfers.receive(incoming(b"x", size=10**13))

    assert (await desk.end()).error is Reason.TOO_LARGE
    await desk.transfers.aclose()


async def test_progress_is_told_at_most_four_times_a_second(source: Path, tmp_path: Path) -> None:
    now_s = 100.0

    def tick() -> None:
        nonlocal now_s
        now_s += 0.1

    desk = Desk(tmp_path, Wire(on_write=tick), now_s=lambda: now_s)
    fill(source, b"x" * (20 * 256 * 1024))

    await desk.transfers.send(source, to=(), peer_name="")
    await desk.end()

    # 20 blocks in 2 s: the start, the end, and not more than one every quarter of a second.
    assert 4 <= len(desk.told) <= 2 + 8
    assert any(t.rate_bps > 0 for t in desk.told)
    await desk.transfers.aclose()


async def test_leaving_the_meeting_ends_what_is_under_way(tmp_path: Path) -> None:
    desk = Desk(tmp_path)

    async def never() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    desk.transfers.receive(Incoming("t1", "a", None, "bo-1", "Bo", never(), dict))
    await asyncio.sleep(0)
    await desk.transfers.aclose()

    assert desk.told[-1].error is Reason.PEER_GONE
    assert files_in(tmp_path) == []
