"""`main.py join`: a participant of its own process, driven by lines."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

import main as program
from app.engine import door
from app.engine.events import (
    ChatReceived,
    PersonChanged,
    PersonLeft,
    TransferChanged,
    TransferState,
)
from app.roles.demo.people import PersonGoneError, SyntheticPerson
from app.roles.join import tone_hz
from tests.support.meeting import (
    DEADLINE_S,
    attending,
    collect_counters,
    guest_link,
    hear,
    host_spec,
    hosted,
)

MAIN = Path(program.__file__)


async def test_a_synthetic_person_shows_sounds_speaks_and_sends(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"notes" * 10_000)
    async with hosted(tmp_path / "server") as (_, room), attending(tmp_path / "host", 0) as host:
        await host.join(host_spec(room))
        person = SyntheticPerson(3, name="Bo")
        admission = await door.enter(guest_link(room), name="Bo")
        person.start(admission.server_url, admission.token)
        try:
            async with asyncio.timeout(DEADLINE_S):
                joined = await person.wait_for("joined")
            me = joined["identity"]
            await host.wait(PersonChanged, lambda e: e.person.identity == me and e.person.camera_on)
            counters = await collect_counters(host, me, 10)
            await hear(host, tone_hz(3))
            person.tell(chat="hello")
            person.tell(file=str(path))
            person.tell(file=str(tmp_path / "missing"))
            await host.wait(ChatReceived, lambda e: e.text == "hello")
            saved = await host.wait(
                TransferChanged, lambda e: e.transfer.state is TransferState.DONE
            )
            await host.engine.send_chat("hello yourself")
            async with asyncio.timeout(DEADLINE_S):
                await person.wait_for("chat", text="hello yourself")
                sent = await person.wait_for("sent", file="notes.txt")
                await person.wait_for("failed", reason="FileNotFoundError")
            person.tell(leave=True)
            await host.wait(PersonLeft, lambda e: e.identity == me)
            async with asyncio.timeout(DEADLINE_S):
                await person.wait_for("left")
        finally:
            await person.stop()

    assert counters == sorted(set(counters))
    assert saved.transfer.sha256 == sent["sha256"]


async def test_a_person_whose_parent_is_gone_leaves(tmp_path: Path) -> None:
    async with hosted(tmp_path / "server") as (_, room), attending(tmp_path / "host", 0) as host:
        await host.join(host_spec(room))
        person = SyntheticPerson(1, name="Bo")
        admission = await door.enter(guest_link(room), name="Bo")
        person.start(admission.server_url, admission.token)
        async with asyncio.timeout(DEADLINE_S):
            await person.wait_for("publishing")
        # Closing its stdin is all that stop does as long as it obeys.
        await person.stop()

        await host.wait(PersonLeft)


async def test_a_refused_token_ends_it_with_the_reason(tmp_path: Path) -> None:
    async with hosted(tmp_path) as (_, room):
        person = SyntheticPerson(1, name="Bo")
        person.start(room.ws_url, "not.a.token")
        async with asyncio.timeout(DEADLINE_S):
            failed = await person.wait_for("failed")
            with pytest.raises(PersonGoneError, match="forged"):
                await person.wait_for("joined")
        await person.stop()

    assert failed["reason"] == "forged"


@pytest.mark.parametrize(
    ("arguments", "status", "last"),
    [
        (["--seconds", "0.2", "--chat", "hello"], 0, "left"),
        (["--seconds", "0.2", "--file", "/nowhere/at/all"], 1, "left"),
    ],
)
async def test_without_stdin_it_does_what_the_flags_say_and_leaves(
    tmp_path: Path, arguments: list[str], status: int, last: str
) -> None:
    async with hosted(tmp_path) as (_, room):
        command = [sys.executable, str(MAIN), "join", room.ws_url, room.token, *arguments]
        result = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )

    events = [json.loads(line)["event"] for line in result.stdout.splitlines()]
    assert (result.returncode, result.stderr) == (status, "")
    assert (events[0], events[-1]) == ("joined", last)
    assert ("failed" in events) == (status != 0)
