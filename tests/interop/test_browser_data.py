"""`livekit-client` in Chromium and our engine: streams, calls, attributes and packets."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from app.engine import rtc, stream_sending
from tests.support.browser_peer import BrowserPeer, missing_browser
from tests.support.engine_peer import DEADLINE_S, EnginePeer
from tests.support.engine_server import our_server

pytestmark = [
    pytest.mark.interop,
    pytest.mark.usefixtures("network"),
    pytest.mark.skipif(bool(missing_browser()), reason=missing_browser() or "present"),
]

LONG_TEXT = "Grüße aus dem Zug 🚆 " * 3_000
LARGE_PAYLOAD = "é🚆x" * 20_000


class _Ear:
    """What our engine reads from the browser."""

    def __init__(self, room: rtc.Room) -> None:
        self.texts: asyncio.Queue[tuple[str, rtc.TextStreamInfo]] = asyncio.Queue()
        self.files: asyncio.Queue[tuple[bytes, rtc.ByteStreamInfo]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        room.register_text_stream_handler("chat", lambda reader, _: self._run(self._text(reader)))
        for topic in ("chat", "files"):
            room.register_byte_stream_handler(topic, lambda r, _: self._run(self._file(r)))

    def _run(self, work: Any) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def _text(self, reader: rtc.TextStreamReader) -> None:
        self.texts.put_nowait((await reader.read_all(), reader.info))

    async def _file(self, reader: rtc.ByteStreamReader) -> None:
        self.files.put_nowait((b"".join([piece async for piece in reader]), reader.info))


async def test_a_browser_and_our_engine_exchange_everything_that_is_data(tmp_path: Path) -> None:
    async with our_server() as server, EnginePeer("ernie") as ernie:
        await ernie.room.connect(server.url, server.token("ernie"))
        me, ear = ernie.room.local_participant, _Ear(ernie.room)
        me.register_rpc_method("echo", lambda data: f"{data.caller_identity}:{data.payload}")
        async with BrowserPeer(
            server.url, server.token("browser"), page="browser_data.html"
        ) as browser:
            await browser.expect("connected")
            person = await ernie.person("browser")

            async def ask(deed: str, **wish: Any) -> None:
                await me.send_text(json.dumps({"do": deed, **wish}), topic="do")

            # Texts, short, long and written piece by piece, both ways.
            for text in ("short", LONG_TEXT, ""):
                await me.send_text(text, topic="chat", attributes={"k": "v"})
                got = await browser.expect("text", text=text)
                assert got["attributes"] == {"k": "v"}
                await ask("text", text=text, to=["ernie"], attributes={"a": "b"})
                heard, info = await asyncio.wait_for(ear.texts.get(), DEADLINE_S)
                assert (heard, info.attributes) == (text, {"a": "b"})
            await ask("pieces", pieces=["one ", "two ", "drei €"])
            assert (await asyncio.wait_for(ear.texts.get(), DEADLINE_S))[0] == "one two drei €"

            # Files, and a text with one.
            path = tmp_path / "ours.bin"
            path.write_bytes(os.urandom(1_000_000))
            await me.send_file(str(path), topic="files")
            got = await browser.expect("file", name="ours.bin")
            assert got["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
            await ask("file", size=1_000_000, to=["ernie"])
            sent = await browser.expect("sent")
            data, file_info = await asyncio.wait_for(ear.files.get(), DEADLINE_S)
            assert (hashlib.sha256(data).hexdigest(), len(data)) == (sent["sha256"], sent["size"])
            assert file_info.name == "browser.bin"
            await stream_sending.send_text_with_files(me, "see", [path], topic="chat")
            with_file = await browser.expect("text", text="see")
            attached = await browser.expect("file", id=with_file["attached"][0])
            assert attached["sha256"] == got["sha256"]
            await ask("attach", text="look")
            text, info = await asyncio.wait_for(ear.texts.get(), DEADLINE_S)
            data, file_info = await asyncio.wait_for(ear.files.get(), DEADLINE_S)
            assert (text, data) == ("look", b"attached")
            assert info.attachments == [file_info.stream_id]

            # Calls.
            async def call(method: str, payload: str) -> str:
                return await me.perform_rpc(
                    destination_identity="browser", method=method, payload=payload
                )

            assert await call("echo", "hi") == "ernie:hi"
            with pytest.raises(rtc.RpcError) as refused:
                await call("refuse", "")
            assert (refused.value.code, refused.value.message) == (7, "nope")
            with pytest.raises(rtc.RpcError) as missing:
                await call("missing", "")
            assert missing.value.code == 1400
            if person.info.client_protocol >= 1:
                assert await call("echo", LARGE_PAYLOAD) == f"ernie:{LARGE_PAYLOAD}"
            await ask("call", to="ernie", method="echo", payload="ho")
            assert (await browser.expect("answer", method="echo"))["payload"] == "browser:ho"
            await ask("call", to="ernie", method="none", payload="")
            assert (await browser.expect("refused", method="none"))["code"] == 1400

            # Packets and attributes.
            for reliable in (True, False):
                await me.publish_data(f"to {reliable}", reliable=reliable, topic="t")
                await browser.expect("data", text=f"to {reliable}", topic="t")
                await ask("data", text=f"from {reliable}", reliable=reliable)
                wanted = f"from {reliable}".encode()
                await ernie.wait_event("data_received", lambda p, w=wanted: p.data == w)
            await me.set_attributes({"mood": "good"})
            assert (await browser.expect("attributes", identity="ernie"))["changed"] == {
                "mood": "good"
            }
            await ask("attributes", attributes={"tab": "open"})
            changed, _ = await ernie.wait_event(
                "participant_attributes_changed", lambda c, p: p.identity == "browser"
            )
            assert changed == {"tab": "open"}
