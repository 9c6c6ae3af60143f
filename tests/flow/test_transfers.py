"""Files between Lanai apps over the real server: paused, stopped, resumed, and in folders."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from app.engine.client import JoinSpec
from app.engine.events import (
    MeetingEnded,
    PersonJoined,
    PersonLeft,
    Transfer,
    TransferChanged,
    TransferState,
)
from app.host.hosted import HostedRoom
from app.runtime.errors import Reason, WorldError
from tests.support.meeting import Attendee, attending, guest_link, host_spec, hosted

DEADLINE_S = 30.0
BIG = 8_000_000


@dataclass
class Table:
    """Ada hosts; Bo, and Cy where a test wants three, are guests. Nobody has media on."""

    room: HostedRoom
    stack: AsyncExitStack
    folder: Path
    ada: Attendee
    bo: Attendee
    ada_id: str = ""
    bo_id: str = ""

    async def guest(self, name: str, folder: str, **settings: object) -> tuple[Attendee, str]:
        """Let somebody in whose downloads are in `folder`."""
        attendee = await self.stack.enter_async_context(
            attending(self.folder / folder, generated=False)
        )
        attendee.engine.settings = replace(attendee.settings, **settings)  # type: ignore[arg-type]
        link = guest_link(self.room)
        spec = JoinSpec(name=name, link=link, mic_on=False, camera_on=False)
        return attendee, (await attendee.join(spec)).identity

    def file(self, size_bytes: int = BIG, name: str = "big.bin") -> Path:
        path = self.folder / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size_bytes))
        return path


@pytest.fixture
async def table(tmp_path: Path) -> AsyncIterator[Table]:
    async with AsyncExitStack() as stack:
        _, room = await stack.enter_async_context(hosted(tmp_path / "server"))
        ada = await stack.enter_async_context(attending(tmp_path / "ada", generated=False))
        made = Table(room, stack, tmp_path, ada, ada)
        spec = host_spec(room, mic_on=False, camera_on=False)
        made.ada_id = (await ada.join(spec)).identity
        made.bo, made.bo_id = await made.guest("Bo", "bo")
        await ada.wait(PersonJoined, lambda e: e.person.identity == made.bo_id)
        yield made


async def until(
    who: Attendee, *states: TransferState, test: Callable[[Transfer], bool] = lambda _: True
) -> Transfer:
    changed = await who.wait(
        TransferChanged, lambda e: e.transfer.state in states and test(e.transfer)
    )
    return changed.transfer


async def moving(who: Attendee) -> Transfer:
    return await until(who, TransferState.RUNNING, test=lambda t: t.done_bytes > 0)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def listing(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


@pytest.mark.parametrize("who", ["sender", "receiver"])
async def test_a_file_is_paused_by_either_side_and_goes_on(table: Table, who: str) -> None:
    path = table.file()
    mine = await table.ada.engine.send_file(path, (table.bo_id,))
    theirs = (await moving(table.bo)).id
    side, transfer_id = (table.ada, mine) if who == "sender" else (table.bo, theirs)
    other = table.bo if who == "sender" else table.ada

    await side.engine.pause_transfer(transfer_id)
    here = await until(side, TransferState.PAUSED)
    there = await until(other, TransferState.PAUSED)
    assert (here.paused_by_me, there.paused_by_me) == (True, False)
    assert listing(table.folder / "bo") != ["big.bin"]
    await side.engine.resume_transfer(transfer_id)

    saved = await until(table.bo, TransferState.DONE)
    sent = await until(table.ada, TransferState.DONE)
    assert saved.path is not None
    assert saved.sha256 == sent.sha256 == sha256(path) == sha256(saved.path)
    assert listing(table.folder / "bo") == ["big.bin"]


@pytest.mark.parametrize("who", ["sender", "receiver"])
async def test_a_cancel_reaches_the_other_side_and_leaves_nothing(table: Table, who: str) -> None:
    mine = await table.ada.engine.send_file(table.file(), (table.bo_id,))
    theirs = (await moving(table.bo)).id
    side, transfer_id = (table.ada, mine) if who == "sender" else (table.bo, theirs)

    await side.engine.cancel_transfer(transfer_id)

    saved = await until(table.bo, TransferState.CANCELLED)
    sent = await until(table.ada, TransferState.CANCELLED)
    by_sender = who == "sender"
    assert (sent.cancelled_by_me, sent.cancelled_by) == (by_sender, () if by_sender else ("Bo",))
    assert (saved.cancelled_by_me, saved.cancelled_by) == (
        not by_sender,
        ("Ada",) if by_sender else (),
    )
    assert listing(table.folder / "bo") == []
    table.bo.forget()
    await table.ada.engine.retry_transfer(mine)
    await until(table.bo, TransferState.DONE)


async def test_a_person_who_is_asked_takes_or_refuses_before_a_byte_is_sent(table: Table) -> None:
    cy, cy_id = await table.guest("Cy", "cy", ask_before_accepting=True)
    await table.ada.wait(PersonJoined, lambda e: e.person.identity == cy_id)
    path = table.file(1_000_000)

    await table.ada.engine.send_file(path, (cy_id,))
    offered = await until(cy, TransferState.OFFERED)
    waiting = await until(table.ada, TransferState.OFFERED)
    assert (offered.size_bytes, offered.peer_name, waiting.done_bytes) == (1_000_000, "Ada", 0)
    assert not [name for name in listing(table.folder / "cy") if name.endswith(".part")]
    await cy.engine.accept_transfer(offered.id)
    saved = await until(cy, TransferState.DONE)
    await until(table.ada, TransferState.DONE)
    assert saved.sha256 == sha256(path)

    cy.forget()
    again = await table.ada.engine.send_file(table.file(5, "no.txt"), (cy_id,))
    offered = await until(cy, TransferState.OFFERED)
    await cy.engine.decline_transfer(offered.id)
    await until(cy, TransferState.DECLINED)
    declined = await until(table.ada, TransferState.DECLINED)
    assert declined.id == again
    assert listing(table.folder / "cy") == ["big.bin"]


async def test_a_folder_is_one_drop_and_is_recreated(table: Table) -> None:
    folder = table.folder / "out" / "photos"
    contents = {
        "a.txt": b"a" * 10,
        "empty.txt": b"",
        "sub/b.bin": os.urandom(700_000),
        "sub/deep/c.bin": os.urandom(300_000),
        "sub/zero": b"",
    }
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "link").symlink_to("/etc/passwd")

    (sent_id,) = await table.ada.engine.send_files([folder], (table.bo_id,))
    saved = await until(table.bo, TransferState.DONE)
    sent = await until(table.ada, TransferState.DONE)

    assert (sent.id, sent.files, sent.is_folder) == (sent_id, 5, True)
    assert (saved.files, saved.is_folder, saved.path) == (5, True, table.folder / "bo" / "photos")
    assert saved.path is not None
    got = {
        path.relative_to(saved.path).as_posix(): path.read_bytes()
        for path in saved.path.rglob("*")
        if path.is_file()
    }
    assert got == contents
    assert listing(table.folder / "bo") == ["photos"]


async def test_everybody_gets_a_file_and_one_who_pauses_gets_the_rest_later(table: Table) -> None:
    cy, cy_id = await table.guest("Cy", "cy")
    await table.ada.wait(PersonJoined, lambda e: e.person.identity == cy_id)
    path = table.file()

    await table.ada.engine.send_file(path)
    theirs = (await moving(cy)).id
    await cy.engine.pause_transfer(theirs)
    await until(table.bo, TransferState.DONE)
    await until(cy, TransferState.PAUSED)
    await cy.engine.resume_transfer(theirs)
    saved = await until(cy, TransferState.DONE)
    sent = await until(table.ada, TransferState.DONE)

    assert (sent.receivers, sent.received) == (2, 2)
    assert saved.sha256 == sha256(path)
    assert listing(table.folder / "cy") == listing(table.folder / "bo") == ["big.bin"]


async def test_a_receivers_restarted_app_asks_for_the_rest_alone(table: Table) -> None:
    path = table.file()
    await table.ada.engine.send_file(path, (table.bo_id,))
    await until(table.bo, TransferState.RUNNING, test=lambda t: t.done_bytes > 2_000_000)

    await table.bo.engine.leave()
    await table.bo.wait(MeetingEnded)
    await table.ada.wait(PersonLeft)
    kept = [name for name in listing(table.folder / "bo") if name.endswith(".part")]
    assert len(kept) == 1
    partial_bytes = (table.folder / "bo" / kept[0]).stat().st_size
    again, again_id = await table.guest("Bo", "bo")

    assert again_id != table.bo_id
    resumed = await until(again, TransferState.RUNNING)
    saved = await until(again, TransferState.DONE)
    assert resumed.done_bytes == partial_bytes > 2_000_000
    assert saved.sha256 == sha256(path)
    assert listing(table.folder / "bo") == ["big.bin"]


async def test_a_senders_restarted_app_goes_on_when_it_sends_the_file_again(table: Table) -> None:
    path = table.file()
    await table.bo.engine.send_file(path, (table.ada_id,))
    await until(table.ada, TransferState.RUNNING, test=lambda t: t.done_bytes > 2_000_000)

    await table.bo.engine.leave()
    await table.bo.wait(MeetingEnded)
    await until(table.ada, TransferState.PAUSED)
    await table.ada.engine.leave()
    await table.ada.wait(MeetingEnded)
    partial_bytes = next((table.folder / "ada").glob("*.part")).stat().st_size
    ada, ada_id = await table.guest("Ada", "ada")
    bo, _ = await table.guest("Bo", "bo")
    await bo.engine.send_file(path, (ada_id,))

    resumed = await until(ada, TransferState.RUNNING)
    saved = await until(ada, TransferState.DONE)
    assert resumed.done_bytes == partial_bytes > 2_000_000
    assert saved.sha256 == sha256(path)
    assert listing(table.folder / "ada") == ["big.bin"]


async def test_more_than_a_person_takes_is_refused_and_said_on_both_sides(table: Table) -> None:
    cy, cy_id = await table.guest("Cy", "cy", max_receive_mb=1)
    await table.ada.wait(PersonJoined, lambda e: e.person.identity == cy_id)

    await table.ada.engine.send_file(table.file(1_500_000), (cy_id,))

    refused = await until(cy, TransferState.FAILED)
    assert (refused.error, refused.limit_bytes) == (Reason.TOO_LARGE, 1_000_000)
    assert (await until(table.ada, TransferState.FAILED)).error is Reason.TOO_LARGE
    assert listing(table.folder / "cy") == []

    # The limit that was changed in the meeting is the one that the next refusal names.
    cy.forget()
    cy.engine.settings = replace(cy.engine.settings, max_receive_mb=2)
    await table.ada.engine.send_file(table.file(2_500_000), (cy_id,))
    assert (await until(cy, TransferState.FAILED)).limit_bytes == 2_000_000


async def test_a_file_for_nobody_is_not_called_sent(table: Table) -> None:
    await table.bo.engine.leave()
    await table.ada.wait(PersonLeft)

    await table.ada.engine.send_file(table.file(10))

    assert (await until(table.ada, TransferState.FAILED)).error is Reason.PEER_GONE
    with pytest.raises(WorldError):
        await table.ada.engine.send_file(table.folder / "missing")
    await asyncio.sleep(0)
