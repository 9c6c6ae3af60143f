"""What the developer panel copies runs with the official SDK and with our engine."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from app.engine import rtc
from app.engine.developer import RpcRequest
from app.ui.devtools.snippets import attributes_script, call_script, track_script
from tests.support.engine_peer import DEADLINE_S, EnginePeer
from tests.support.engine_server import ServerUnderTest, our_server

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("network")]

ROOT = Path(__file__).resolve().parents[2]


class Script:
    """A copied script in a process of its own; its lines as they come."""

    def __init__(self, text: str, server: ServerUnderTest, sdk: str) -> None:
        self._text = text if sdk == "livekit" else text.replace("from livekit", "from nowhere")
        self._server = server

    async def __aenter__(self) -> Script:
        environment = {
            **os.environ,
            "LIVEKIT_URL": self._server.url,
            "LIVEKIT_TOKEN": self._server.token("script"),
            "PYTHONUNBUFFERED": "1",
        }
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            self._text,
            env=environment,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        return self

    async def line(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            return (await self._process.stdout.readline()).decode().strip()

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@pytest.mark.parametrize("sdk", ["livekit", "engine"])
async def test_copied_scripts_call_read_and_follow(sdk: str) -> None:
    async with our_server() as server, EnginePeer("robot") as robot:
        await robot.room.connect(server.url, server.token("robot"))
        me = robot.room.local_participant
        me.register_rpc_method("greet", lambda data: f"hello {data.payload}")
        await me.set_attributes({"battery": "81 %"})
        track = await me.publish_data_track(name="pose")

        call = call_script(RpcRequest("robot", "greet", 'No"a', 5.0))
        async with Script(call, server, sdk) as script:
            assert await script.line() == 'hello No"a'
        missing = call_script(RpcRequest("robot", "nothing", "", 5.0))
        async with Script(missing, server, sdk) as script:
            assert (await script.line()).startswith("error 1400 ")

        async with Script(track_script("robot", "pose"), server, sdk) as script:
            reading = asyncio.ensure_future(script.line())
            async with asyncio.timeout(DEADLINE_S):
                while not reading.done():
                    track.try_push(rtc.DataTrackFrame(b"3.5", user_timestamp=7))
                    await asyncio.sleep(0.05)
            assert reading.result() == "7 b'3.5'"

        async with Script(attributes_script("robot"), server, sdk) as script:
            assert await script.line() == "{'battery': '81 %'}"
            await me.set_attributes({"battery": "80 %"})
            assert await script.line() == "{'battery': '80 %'}"
