"""Files between people in a room without sockets, and with a real disk."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import itertools
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.engine import outgoing_transfer, saving, transfers
from app.engine.drops import gather
from app.engine.events import Outcome, Transfer, TransferState
from app.engine.saving import find_partials
from app.engine.transfer_lanes import Lanes
from app.engine.transfer_wire import Incoming, StreamBrokenError
from app.engine.transfers import CALLS, ReceivePolicy
from app.protocol.errors import ProtocolError
from app.protocol.transfers import (
    MAX_FILES,
    OFFER,
    SHA256_ATTRIBUTE,
    FileOffer,
    PartialFile,
    StreamLabel,
    encode_offer,
    encode_partial,
)
from app.runtime.errors import Reason, WorldError
from app.server.room.data_flow import HIGH_BYTES
from tests.support.transfer_room import DEADLINE_S, Person, TransferRoom

CONTENT = os.urandom(3_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
State = TransferState


@pytest.fixture
async def room() -> AsyncIterator[TransferRoom]:
    room = TransferRoom()
    yield room
    await room.close()


@pytest.fixture
def ada(room: TransferRoom, tmp_path: Path) -> Person:
    return room.add("ada-1", tmp_path / "ada")


@pytest.fixture
def bo(room: TransferRoom, tmp_path: Path) -> Person:
    return room.add("bo-1", tmp_path / "bo")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "picture.png"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def fill(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def tell_everything(*people: Person) -> None:
    """No progress is left out: their clocks are far on whenever they look."""
    for person in people:
        person.transfers._teller._now_s = itertools.count(1.0).__next__


def plain_stream(
    *chunks: bytes | Exception, name: str = "a.bin", size: int | None = None, sha256: str = ""
) -> Incoming:
    """A stream of an official SDK."""

    async def read() -> AsyncIterator[bytes]:
        for chunk in chunks:
            await asyncio.sleep(0)
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    attributes = {SHA256_ATTRIBUTE: sha256} if sha256 else {}
    return Incoming(name, size, "sdk-1", StreamLabel(), read(), lambda: attributes, lambda: None)


async def test_a_file_arrives_whole_with_the_same_hash_on_both_sides(
    ada: Person, bo: Person, source: Path
) -> None:
    await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")
    saved, sent = await bo.ended(), await ada.ended()

    assert (saved.state, saved.path, saved.sha256) == (
        State.DONE,
        bo.folder / "picture.png",
        DIGEST,
    )
    assert (sent.state, sent.done_bytes, sent.sha256) == (State.DONE, len(CONTENT), DIGEST)
    assert (saved.peer_name, sent.peer_name, sent.received) == ("Ada", "Bo", 1)
    assert (bo.folder / "picture.png").read_bytes() == CONTENT
    assert bo.files() == ["picture.png"]
    assert bo.transfers.files_saved == 1


async def test_an_empty_file_arrives_too(ada: Person, bo: Person, source: Path) -> None:
    fill(source, b"")

    await ada.transfers.send(source, to=(), peer_name="")

    assert (await bo.ended()).state is (await ada.ended()).state is State.DONE
    assert (bo.folder / "picture.png").read_bytes() == b""


async def test_a_program_that_is_no_lanai_app_gets_plain_files(
    room: TransferRoom, ada: Person, bo: Person, source: Path
) -> None:
    sdk = room.add_plain("sdk-1")
    (source.parent / "b.txt").write_bytes(b"b")

    await ada.transfers.send(source.parent, to=(), peer_name="")
    sent, saved = await ada.ended(), await bo.ended()

    assert (sent.state, sent.receivers, sent.received) == (State.DONE, 2, 2)
    assert saved.is_folder
    assert {(name, data) for name, data, _, _ in sdk.files} == {
        ("picture.png", CONTENT),
        ("b.txt", b"b"),
    }
    assert {each[3][SHA256_ATTRIBUTE] for each in sdk.files} >= {DIGEST}
    assert sorted(p.name for p in (bo.folder / "out").iterdir()) == ["b.txt", "picture.png"]


async def test_a_lost_stream_goes_on_from_the_last_good_byte(
    room: TransferRoom, ada: Person, bo: Person, source: Path
) -> None:
    blocks = 0

    def cut() -> None:
        nonlocal blocks
        blocks += 1
        if blocks == 6:
            ada.stay_id = "ada-2"
            for stream in room.streams:
                stream.break_off("")
            asyncio.get_running_loop().call_soon(ada.transfers.handle_rejoined)

    room.on_block = cut
    await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")
    saved = await bo.ended()
    sent = await ada.ended()

    first, second = room.heads
    assert (saved.state, sent.state, saved.sha256) == (State.DONE, State.DONE, DIGEST)
    assert first.label.offset == 0
    assert second.label.offset > 0
    assert second.label.offset + second.size_bytes == len(CONTENT)


async def test_what_its_sender_has_paused_stays_paused_for_both_after_a_break(
    room: TransferRoom, ada: Person, bo: Person, source: Path
) -> None:
    pausing: list[asyncio.Task[None]] = []

    def pause() -> None:
        room.on_block = lambda: None
        loop = asyncio.get_running_loop()
        pausing.append(loop.create_task(ada.transfers.pause(ada.told[0].id)))

    room.on_block = pause
    mine = await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")
    await ada.until(State.PAUSED)
    await bo.until(State.PAUSED)
    await pausing[0]
    ada.forget()
    bo.forget()
    ada.stay_id = "ada-2"
    ada.transfers.handle_rejoined()
    # Asked how far it got, the receiver expects the rest; it is told that none comes yet.
    await bo.until(State.RUNNING)
    await bo.until(State.PAUSED)
    assert {told.state for told in ada.told} <= {State.PAUSED}
    assert bo.told[-1].state is State.PAUSED

    await ada.transfers.resume(mine)
    assert (await bo.ended()).sha256 == DIGEST


async def test_another_run_of_the_receiver_goes_on_from_the_disk(
    room: TransferRoom, ada: Person, bo: Person, source: Path
) -> None:
    blocks = 0
    leaving: list[asyncio.Task[None]] = []

    def leave() -> None:
        nonlocal blocks
        blocks += 1
        if blocks == 8:
            leaving.append(asyncio.get_running_loop().create_task(room.leave("bo-1")))

    room.on_block = leave
    await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")
    await ada.until(State.PAUSED)
    await asyncio.gather(*leaving)
    (half,) = await asyncio.to_thread(find_partials, bo.folder)
    again = room.add("bo-2", bo.folder)
    again.transfers.handle_joined_room()

    saved = await again.ended()
    assert (saved.state, saved.sha256, (await ada.ended()).state) == (
        State.DONE,
        DIGEST,
        State.DONE,
    )
    assert room.heads[-1].label.offset == half.offset > 0
    assert again.files() == ["picture.png"]


async def test_a_prefix_of_another_file_is_thrown_away(
    room: TransferRoom, ada: Person, bo: Person, source: Path
) -> None:
    offer = (await asyncio.to_thread(gather, source)).offer()
    bo.folder.mkdir()
    about = PartialFile(offer, "ada-1", "jam", 1_000, hashlib.sha256(b"other").hexdigest(), 1)
    (bo.folder / f".lanai-{offer.file_id}.part").write_bytes(b"x" * 1_000)
    (bo.folder / f".lanai-{offer.file_id}.note").write_bytes(
        encode_partial(replace(about, at_ms=2**40))
    )

    await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")

    assert (await bo.ended()).sha256 == DIGEST
    assert [head.label.offset for head in room.heads] == [0]


async def test_a_file_that_is_damaged_on_the_way_is_deleted_and_said_on_both_sides(
    room: TransferRoom, ada: Person, bo: Person, source: Path
) -> None:
    real = saving.Saving.write

    def flip(self: saving.Saving, data: bytes) -> None:
        real(self, bytes([data[0] ^ 1]) + data[1:])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving.Saving, "write", flip)
        await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")
        saved, sent = await bo.ended(), await ada.ended()

    assert (saved.error, sent.error) == (Reason.DAMAGED, Reason.DAMAGED)
    assert bo.files() == []
    # Nothing is left to go on from, so what comes next is the whole file.
    assert not saved.resumable
    ada.forget()
    bo.forget()
    await ada.transfers.retry(sent.id)
    assert (await bo.ended()).sha256 == (await ada.ended()).sha256 == DIGEST
    assert bo.files() == ["picture.png"]


class _FullDisk:
    """An unbuffered file on a disk with room for so much."""

    room_bytes = 1_000_000

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: memoryview) -> int:
        if _FullDisk.room_bytes <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self._file.write(data[: _FullDisk.room_bytes]) or 0
        _FullDisk.room_bytes -= taken
        return int(taken)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


async def test_a_disk_that_fills_up_is_said_and_the_file_goes_on_when_there_is_room(
    ada: Person, bo: Person, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = saving._open_new
    _FullDisk.room_bytes = 1_000_000
    monkeypatch.setattr(saving, "_open_new", lambda path: _FullDisk(real(path)))
    transfer_id = await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")
    full, sent = await bo.ended(), await ada.ended()

    assert (full.error, sent.error, full.resumable) == (Reason.DISK_FULL, Reason.DISK_FULL, True)
    assert bo.transfers.files_saved == 0
    _FullDisk.room_bytes = 10**9
    bo.forget()
    ada.forget()
    await ada.transfers.retry(transfer_id)
    saved = await bo.ended()
    assert (saved.state, saved.sha256) == (State.DONE, DIGEST)
    assert bo.room.heads[-1].label.offset == 1_000_000


async def test_a_note_that_cannot_be_written_leaves_nothing_behind(
    bo: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    bo.folder.mkdir()
    offer = FileOffer("c" * 32, "a.bin", 10)
    part = saving.Saving(bo.folder, offer, PartialFile(offer, "ada-1", "jam"))
    part.prepare()
    part.start(0)
    part.write(b"12345")

    def full(path: Path, data: bytes) -> int:
        path.open("wb").close()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    part.pause()

    assert [name for name in bo.files() if name.endswith(".tmp")] == []
    part.drop()
    assert bo.files() == []


async def test_what_does_not_fit_is_refused_before_a_byte_is_sent(
    room: TransferRoom, ada: Person, bo: Person, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "DISK_RESERVE_BYTES", 1 << 60)

    await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")

    assert (await bo.ended()).error is Reason.DISK_FULL
    assert (await ada.ended()).error is Reason.DISK_FULL
    assert room.heads == []


async def test_a_stranger_is_held_until_the_person_takes_it(bo: Person) -> None:
    bo.policy = ReceivePolicy(bo.folder, ask=True)
    bo.transfers.receive(plain_stream(b"abc", name="../../nul.txt", size=3))
    offered = await bo.until(State.OFFERED)
    await asyncio.sleep(0.05)
    assert [name for name in bo.files() if not name.startswith(".lanai-")] == []

    await bo.transfers.accept(offered.id)
    saved = await bo.ended()

    assert (saved.state, saved.path) == (State.DONE, bo.folder / "_nul.txt")
    assert bo.files() == ["_nul.txt"]


async def test_a_stranger_that_is_refused_leaves_nothing(bo: Person) -> None:
    bo.policy = ReceivePolicy(bo.folder, ask=True)
    bo.transfers.receive(plain_stream(b"abc", size=3))
    offered = await bo.until(State.OFFERED)

    await bo.transfers.decline(offered.id)

    assert (await bo.ended()).state is State.DECLINED
    assert bo.files() == []


async def test_no_more_of_a_stranger_is_held_than_is_decent(
    bo: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.engine.incoming_transfer.HELD_BYTES", 1_000_000)
    bo.policy = ReceivePolicy(bo.folder, ask=True)

    bo.transfers.receive(plain_stream(*[b"x" * 300_000] * 10))

    ended = await bo.ended()
    assert (ended.error, ended.limit_bytes) == (Reason.TOO_LARGE, 0)
    assert bo.files() == []


async def test_a_stranger_that_never_ends_stops_at_the_limit(bo: Person) -> None:
    bo.policy = ReceivePolicy(bo.folder, max_bytes=2_000_000)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0)
            yield b"x" * 15_000

    closed = asyncio.Event()
    bo.transfers.receive(Incoming("a", None, "sdk-1", StreamLabel(), endless(), dict, closed.set))

    assert (await bo.ended()).error is Reason.TOO_LARGE
    assert closed.is_set()
    assert bo.files() == []


@pytest.mark.parametrize(
    ("chunks", "sha256", "reason"),
    [
        ((b"abc", StreamBrokenError()), "", Reason.PEER_GONE),
        ((b"abc",), "0" * 64, Reason.DAMAGED),
    ],
)
async def test_a_strangers_broken_stream_leaves_no_file(
    bo: Person, chunks: tuple[bytes | Exception, ...], sha256: str, reason: Reason
) -> None:
    bo.transfers.receive(plain_stream(*chunks, sha256=sha256))
    ended = await bo.ended()

    assert (ended.state, ended.error) == (State.FAILED, reason)
    assert bo.files() == []


async def test_a_file_that_vanishes_while_being_sent_is_told_and_can_be_retried(
    room: TransferRoom, ada: Person, bo: Person, source: Path
) -> None:
    room.on_block = lambda: source.unlink(missing_ok=True)

    transfer_id = await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")
    sent, saved = await ada.ended(), await bo.ended()

    assert (sent.error, saved.error) == (Reason.FILE_GONE, Reason.PEER_GONE)
    assert bo.files() == []
    with pytest.raises(WorldError) as raised:
        await ada.transfers.retry(transfer_id)
    assert raised.value.reason is Reason.FILE_GONE
    room.on_block = lambda: None
    fill(source, b"back")
    ada.forget()
    bo.forget()
    await ada.transfers.retry(transfer_id)
    assert (await ada.ended()).state is (await bo.ended()).state is State.DONE
    assert (bo.folder / "picture.png").read_bytes() == b"back"


async def test_a_file_that_shrinks_while_being_sent_is_gone(
    room: TransferRoom, ada: Person, bo: Person, source: Path
) -> None:
    room.on_block = lambda: os.truncate(source, 10)

    await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")

    assert (await ada.ended()).error is Reason.FILE_GONE


@pytest.mark.parametrize("name", ["missing", "empty"])
async def test_what_is_no_file_is_refused_at_once(ada: Person, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(WorldError) as raised:
        await ada.transfers.send(tmp_path / name, to=(), peer_name="")

    assert raised.value.reason is Reason.FILE_GONE
    assert ada.told == []


async def test_nobody_to_send_to_is_a_failure(ada: Person, source: Path) -> None:
    await ada.transfers.send(source, to=(), peer_name="")

    assert (await ada.ended()).error is Reason.PEER_GONE


@pytest.mark.parametrize("by", ["ada", "bo"])
async def test_a_cancel_ends_it_on_both_sides(
    room: TransferRoom, ada: Person, bo: Person, source: Path, by: str
) -> None:
    cancels: list[asyncio.Task[None]] = []
    person = ada if by == "ada" else bo

    def cancel() -> None:
        if not cancels and bo.told and bo.told[-1].state is State.RUNNING:
            work = person.transfers.cancel(person.told[-1].id)
            cancels.append(asyncio.get_running_loop().create_task(work))

    room.on_block = cancel
    await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")

    sent, saved = await ada.ended(), await bo.ended()
    assert sent.state is saved.state is State.CANCELLED
    await asyncio.gather(*cancels)
    assert bo.files() == []
    assert (sent.cancelled_by_me, sent.cancelled_by) == (
        by == "ada",
        () if by == "ada" else ("Bo",),
    )
    assert (saved.cancelled_by_me, saved.cancelled_by) == (
        by == "bo",
        () if by == "bo" else ("Ada",),
    )


async def test_everybody_who_cancelled_is_named_and_a_second_try_starts_without_them(
    room: TransferRoom, ada: Person, bo: Person, source: Path
) -> None:
    cy = room.add("cy-1", source.parent.parent / "cy")
    for person in (bo, cy):
        person.policy = ReceivePolicy(person.folder, ask=True)
    mine = await ada.transfers.send(source, to=(), peer_name="")
    for person in (bo, cy):
        offered = await person.until(State.OFFERED)
        await person.transfers.cancel(offered.id)

    ended = await ada.until(State.CANCELLED)
    assert (ended.cancelled_by_me, ended.cancelled_by) == (False, ("Bo", "Cy"))
    ada.forget()
    await ada.transfers.retry(mine)
    assert ada.told[0].cancelled_by == ()


async def test_it_is_told_who_got_it_and_who_did_not_also_of_who_has_left(
    room: TransferRoom, ada: Person, bo: Person, source: Path
) -> None:
    cy = room.add("cy-1", source.parent.parent / "cy")
    dee = room.add("dee-1", source.parent.parent / "dee")
    for person in (cy, dee):
        person.policy = ReceivePolicy(person.folder, ask=True)
    await ada.transfers.send(source, to=(), peer_name="")
    await bo.until(State.DONE)
    await cy.transfers.decline((await cy.until(State.OFFERED)).id)
    offered = await dee.until(State.OFFERED)
    await room.leave("cy-1")
    await dee.transfers.cancel(offered.id)

    told = await ada.until(State.DONE)
    assert (told.received, told.receivers) == (1, 3)
    assert set(told.outcomes) == {
        Outcome("Bo", State.DONE),
        Outcome("Cy", State.DECLINED),
        Outcome("Dee", State.CANCELLED),
    }
    assert told.cancelled_by == ("Dee",)


async def test_the_senders_figure_never_falls_back_when_a_plain_receiver_is_done_first(
    room: TransferRoom, ada: Person, bo: Person, source: Path
) -> None:
    fill(source, CONTENT * 2)
    room.add_plain("sdk-1")
    tell_everything(ada, bo)
    pauses: list[asyncio.Task[None]] = []

    def pause() -> None:
        if not pauses and bo.told and bo.told[-1].done_bytes:
            work = bo.transfers.pause(bo.told[-1].id)
            pauses.append(asyncio.get_running_loop().create_task(work))

    room.on_block = pause
    await ada.transfers.send(source, to=(), peer_name="")
    # The other has it whole now, and is not waited for.
    await ada.until(State.PAUSED)
    await bo.transfers.resume(bo.told[-1].id)
    await ada.until(State.DONE)

    figures = [told.done_bytes for told in ada.told]
    assert figures == sorted(figures)
    assert figures[-1] == 2 * len(CONTENT)


async def test_the_figure_waits_for_the_others_when_who_was_ahead_stops(
    room: TransferRoom, ada: Person, bo: Person, source: Path
) -> None:
    fill(source, CONTENT * 2)
    room.add_plain("sdk-1")
    tell_everything(ada)
    bo.policy = ReceivePolicy(bo.folder, ask=True)
    left = asyncio.Event()

    def leave() -> None:
        if any(told.done_bytes for told in ada.told) and not left.is_set():
            ada.transfers.handle_person_left("sdk-1")
            left.set()

    room.on_block = leave
    await ada.transfers.send(source, to=(), peer_name="")
    offered = await bo.until(State.OFFERED)
    await asyncio.wait_for(left.wait(), DEADLINE_S)
    await bo.transfers.accept(offered.id)
    await ada.until(State.DONE)

    figures = [told.done_bytes for told in ada.told]
    assert figures == sorted(figures)
    assert figures[-1] == 2 * len(CONTENT)


async def test_a_stream_of_a_file_that_nobody_offered_is_not_taken_for_another(
    bo: Person, ada: Person
) -> None:
    """Another person names a file's id: it gets neither the partial file nor its place."""
    offer = FileOffer("a" * 32, "a.bin", 10)
    await bo.transfers.handle_call("ada-1", OFFER, encode_offer(offer))

    answer = await bo.transfers.handle_call("mallory-1", OFFER, encode_offer(offer))

    assert '"decline"' in answer


async def test_paths_that_lead_out_of_the_folder_stay_in_it(bo: Person, ada: Person) -> None:
    names = ["../../evil", "/etc/passwd", "C:\\x\\y", "a/../../b", "con", "..", "x/\u202egnp"]
    offer = FileOffer("b" * 32, "../up", len(names), tuple((name, 1) for name in names))
    await bo.transfers.handle_call("ada-1", OFFER, encode_offer(offer))

    async def read() -> AsyncIterator[bytes]:
        yield b"x" * len(names)

    label = StreamLabel(offer.file_id, 0)
    bo.transfers.receive(Incoming("a", None, "ada-1", label, read(), dict, lambda: None))

    saved = await bo.ended()
    assert saved.path == bo.folder / "up"
    found = [p for p in (bo.folder / "up").rglob("*") if p.is_file()]
    assert len(found) == len(names)
    assert all(p.resolve().is_relative_to(bo.folder.resolve()) for p in found)
    assert bo.files() == ["up"]
    assert not (bo.folder.parent / "evil").exists()


@pytest.mark.parametrize("method", [*CALLS, "lanai.transfer.other"])
@pytest.mark.parametrize(
    "payload",
    ["", "[]", "{", '{"id": "../x"}', '{"id": 7}', "[" * 100_000, '{"id": "%s"}' % ("a" * 9)],
)
async def test_nonsense_is_a_protocol_error_or_nothing(
    bo: Person, method: str, payload: str
) -> None:
    with contextlib.suppress(ProtocolError):
        await bo.transfers.handle_call("mallory-1", method, payload)
    assert bo.told == []


async def test_progress_is_told_at_most_four_times_a_second(
    room: TransferRoom, ada: Person, bo: Person, source: Path
) -> None:
    fill(source, b"x" * (20 * 256 * 1024))
    now_s = 100.0

    def tick() -> None:
        nonlocal now_s
        now_s += 0.1

    ada.transfers._teller._now_s = lambda: now_s
    room.on_block = tick
    await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")
    await ada.ended()

    # 20 blocks in 2 s: the start, the turns, the end, and at most one every quarter of a second.
    assert len(ada.told) <= 3 + 8


async def test_leaving_the_meeting_ends_what_is_under_way(bo: Person) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    bo.transfers.receive(Incoming("a", None, "sdk-1", StreamLabel(), never(), dict, lambda: None))
    await bo.until(State.RUNNING)
    async with asyncio.timeout(DEADLINE_S):
        await bo.transfers.aclose()

    assert bo.told[-1].error is Reason.PEER_GONE
    assert bo.files() == []


async def test_the_second_of_two_offers_of_one_file_counts(
    room: TransferRoom, ada: Person, bo: Person, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its receiver came back, and then we did: two offers are on their way at once."""
    blocks = offers = 0
    handle_call = bo.transfers.handle_call

    async def handle(identity: str, method: str, payload: str) -> str:
        nonlocal offers
        offers += method == OFFER
        if method == OFFER and offers == 3:
            # The answer to the second one is quicker: what it asked for is coming already.
            for _ in range(20_000):
                if len(room.heads) > 1:
                    break
                await asyncio.sleep(0)
        return await handle_call(identity, method, payload)

    monkeypatch.setattr(bo.transfers, "handle_call", handle)

    def cut() -> None:
        nonlocal blocks
        blocks += 1
        if blocks == 6:
            ada.stay_id = "ada-2"
            for stream in room.streams:
                stream.break_off("")
            ada.transfers.handle_person_left("bo-1")
            ada.transfers.handle_person_joined("bo-1")
            asyncio.get_running_loop().call_soon(ada.transfers.handle_rejoined)

    room.on_block = cut
    await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")

    assert (await bo.ended()).sha256 == DIGEST
    assert (await ada.ended()).state is State.DONE
    assert offers == 3


async def test_an_offer_that_broke_off_with_its_receiver_is_made_again(
    room: TransferRoom, ada: Person, bo: Person, source: Path
) -> None:
    room.silent.add("bo-1")
    await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")
    # The room is told that somebody left before the call to that person fails.
    ada.transfers.handle_person_left("bo-1")
    await ada.until(State.PAUSED)
    await asyncio.sleep(0.01)
    room.silent.clear()
    ada.transfers.handle_person_joined("bo-1")

    assert (await bo.ended()).state is State.DONE
    assert (await ada.ended()).state is State.DONE


def is_named(name: str, told: Transfer) -> bool:
    return told.file_name == name


async def test_a_flood_of_small_drops_does_not_push_out_what_is_under_way(
    bo: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "_MAX_RECORDS", 8)
    slow = encode_offer(FileOffer("slow-slow", "slow.bin", 1_000))
    await bo.transfers.handle_call("ada-1", OFFER, slow)
    (mine,) = bo.told
    for number in range(12):
        name = f"{number}.txt"
        bo.transfers.receive(plain_stream(b"x", name=name, size=1))
        await bo.until(State.DONE, test=partial(is_named, name))

    await bo.transfers.cancel(mine.id)

    assert (await bo.until(State.CANCELLED)).id == mine.id


def test_a_folder_full_of_one_name_is_soon_laid_out(tmp_path: Path) -> None:
    names = tuple(("same.txt", 1) for _ in range(MAX_FILES))
    laid_out = saving._paths_of(FileOffer("many-many", "many", MAX_FILES, names))

    assert len(set(laid_out)) == MAX_FILES
    assert max(len(path.name) for path in laid_out) < 20


async def test_what_a_crash_left_without_a_note_is_deleted_after_a_week(tmp_path: Path) -> None:
    old, young = tmp_path / ".lanai-old-old1.part", tmp_path / ".lanai-young-yo.part"
    for part in (old, young):
        fill(part, b"x")
    os.utime(old, (0, 0))

    assert await asyncio.to_thread(find_partials, tmp_path) == []
    assert [path.name for path in (old, young) if path.exists()] == [young.name]


async def test_a_receiver_that_reads_nothing_holds_up_nobody(
    room: TransferRoom, ada: Person, bo: Person, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing_transfer, "STALL_S", 0.05)
    monkeypatch.setattr(outgoing_transfer, "GRACE_S", 0.05)
    ada.transfers._lanes = Lanes(1)
    stuck = room.add("stuck-1", bo.folder.parent / "stuck")
    monkeypatch.setattr(stuck.transfers, "receive", lambda _stream: None)

    await ada.transfers.send(source, to=("stuck-1",), peer_name="Stuck")
    first = await ada.until(State.FAILED)

    assert first.error is Reason.PEER_GONE
    await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")
    assert (await bo.ended()).state is State.DONE


async def cut_off(room: TransferRoom, ada: Person, bo: Person, source: Path) -> Transfer:
    """Ada's program is killed while it sends; its last report is the half of it that Bo has."""
    tell_everything(bo)
    gone: list[asyncio.Task[None]] = []

    def kill() -> None:
        if not gone and bo.told and bo.told[-1].done_bytes:
            gone.append(asyncio.get_running_loop().create_task(room.leave(ada.identity)))

    room.on_block = kill
    await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")
    waiting = await bo.until(State.PAUSED, test=lambda told: told.is_waiting)
    await asyncio.wait(gone)
    room.on_block = lambda: None
    return waiting


async def test_a_senders_restarted_app_goes_on_while_its_receiver_waits(
    room: TransferRoom, ada: Person, bo: Person, source: Path
) -> None:
    fill(source, CONTENT * 3)
    half = await cut_off(room, ada, bo, source)
    bo.forget()
    again = room.add("ada-2", ada.folder)

    await again.transfers.send(source, to=("bo-1",), peer_name="Bo")
    running = await bo.until(State.RUNNING, test=lambda told: not told.is_waiting)
    done = await bo.until(State.DONE)

    assert done.id == half.id
    assert running.done_bytes >= half.done_bytes > 0
    assert done.sha256 == hashlib.sha256(CONTENT * 3).hexdigest()
    assert bo.files() == ["picture.png"]


async def test_somebody_elses_same_file_does_not_go_on_with_what_another_began(
    room: TransferRoom, ada: Person, bo: Person, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing_transfer, "BUSY_S", 0.05)
    fill(source, CONTENT * 3)
    half = await cut_off(room, ada, bo, source)
    mallory = room.add("mallory-1", ada.folder)

    await mallory.transfers.send(source, to=("bo-1",), peer_name="Bo")
    refused = await mallory.ended()

    assert (refused.state, refused.error) == (State.FAILED, Reason.TIMEOUT)
    assert {told.id for told in bo.told} == {half.id}


async def test_a_restarted_sender_is_taken_as_soon_as_its_old_place_is_given_up(
    room: TransferRoom, ada: Person, bo: Person, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing_transfer, "BUSY_S", 0.05)
    fill(source, CONTENT * 3)
    await cut_off(room, ada, bo, source)
    room.people["ada-1"] = ada  # the server has not noticed yet
    again = room.add("ada-2", ada.folder)

    await again.transfers.send(source, to=("bo-1",), peer_name="Bo")
    await again.until(State.PAUSED, test=lambda told: told.is_waiting)
    del room.people["ada-1"]

    assert (await again.ended()).state is State.DONE


async def test_a_sender_that_does_not_answer_in_time_has_not_gone(
    room: TransferRoom, ada: Person, bo: Person, source: Path
) -> None:
    bo.policy = ReceivePolicy(bo.folder, ask=True)
    await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")
    offered = await bo.until(State.OFFERED)
    room.slow.add("ada-1")

    await bo.transfers.accept(offered.id)

    assert (await bo.ended()).error is Reason.TIMEOUT


async def test_both_sides_are_told_that_a_file_can_be_paused_but_not_by_whom_it_cannot(
    room: TransferRoom, ada: Person, bo: Person, source: Path
) -> None:
    tell_everything(ada, bo)
    await ada.transfers.send(source, to=("bo-1",), peer_name="Bo")
    running = [await who.until(State.RUNNING) for who in (ada, bo)]
    await ada.until(State.DONE)

    assert [told.pausable for told in running] == [True, True]

    room.add_plain("sdk-1")
    ada.forget()
    await ada.transfers.send(source, to=("sdk-1",), peer_name="Sdk")
    unstoppable = await ada.until(State.RUNNING)

    assert not unstoppable.pausable

    bo.forget()
    bo.transfers.receive(plain_stream(b"abc", size=3))

    assert not (await bo.until(State.RUNNING)).pausable


@pytest.mark.parametrize(("drops", "size"), [(1, 4_000_000), (5, 4_000_000), (20, 200_000)])
async def test_files_for_one_who_reads_nothing_stop_before_the_server_lets_their_sender_wait(
    room: TransferRoom,
    ada: Person,
    bo: Person,
    drops: int,
    size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bo.transfers, "receive", lambda _stream: None)
    sent = 0

    def count(size_bytes: int) -> None:
        nonlocal sent
        sent += size_bytes

    room.on_write = count
    for number in range(drops):
        path = ada.folder.parent / f"big-{number}.bin"
        await asyncio.to_thread(fill, path, bytes([number]) * size)
        await ada.transfers.send(path, to=("bo-1",), peer_name="Bo")
    before = -1
    async with asyncio.timeout(DEADLINE_S):
        while not sent or before != sent:
            before = sent
            await asyncio.sleep(0.2)

    # The server counts what the packets carry beside the file too.
    assert 0 < sent * 1.05 < HIGH_BYTES
