"""Scripts written for `from livekit import rtc` run with `from app.engine import rtc`.

Each script is run twice, its text unchanged but for that one line, and prints what it saw as
JSON. Both runs have to see the same.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.child import ROOT
from tests.support.engine_server import ServerUnderTest, our_server
from tests.support.signals import colour_distance

pytestmark = pytest.mark.interop

SCRIPTS = Path(__file__).parent / "door_scripts"
THEIR_IMPORT = "from livekit import rtc\n"
OUR_IMPORT = "from app.engine import rtc\n"
DEADLINE_S = 90.0
# The wheel's threads call into Python until the process ends. One that does so while the
# interpreter is being taken down aborts the process (about one run in ten, when all is said and
# done): a run with the wheel ends as soon as its script has.
RUN_AND_END = """
import os, runpy, sys
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture
async def server() -> AsyncIterator[ServerUnderTest]:
    async with our_server() as server:
        yield server


async def run(
    server: ServerUnderTest, folder: Path, name: str, identities: tuple[str, str], line: str
) -> Any:
    """Run a script with one of the two imports and return what it printed."""
    text = (SCRIPTS / name).read_text()
    assert text.count(THEIR_IMPORT) == 1
    path = folder / name
    path.write_text(text.replace(THEIR_IMPORT, line))
    runner = () if line == OUR_IMPORT else ("-c", RUN_AND_END)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", *runner, str(path), server.url, *map(server.token, identities)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        out, words = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    except TimeoutError:
        process.kill()
        out, words = await process.communicate()
    assert process.returncode == 0, words.decode()[-4000:]
    # One line, the script's own: whatever the door has to say does not go to stdout.
    return json.loads(out)


async def both(
    server: ServerUnderTest, folder: Path, name: str, identities: tuple[str, str]
) -> tuple[Any, Any]:
    """Run a script with their import, then with ours."""
    theirs = await run(server, folder, name, identities, THEIR_IMPORT)
    return theirs, await run(server, folder, name, identities, OUR_IMPORT)


async def test_a_script_that_shows_and_plays(server: ServerUnderTest, tmp_path: Path) -> None:
    theirs, ours = await both(server, tmp_path, "see_and_hear.py", ("speaker", "listener"))

    for key in ("colour", "converted"):
        difference = colour_distance(theirs["seen"][key][:3], ours["seen"][key][:3])
        assert difference < 12, (key, theirs["seen"], ours["seen"])
        del theirs["seen"][key], ours["seen"][key]
    assert abs(ours["heard_hz"] - 440) <= 2
    assert ours == theirs


async def test_a_script_that_writes_and_sends(server: ServerUnderTest, tmp_path: Path) -> None:
    theirs, ours = await both(server, tmp_path, "write_and_send.py", ("writer", "reader"))

    assert len(ours) == 14
    assert ours == theirs


async def test_a_script_that_calls_and_watches(server: ServerUnderTest, tmp_path: Path) -> None:
    theirs, ours = await both(server, tmp_path, "call_and_watch.py", ("caller", "callee"))

    assert ours == theirs
