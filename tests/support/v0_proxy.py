"""A server in front of a server that knows only the older signalling path.

Answers 404 to everything below `/rtc/v1` and passes `/rtc` through, so that clients fall back to
v0. It can keep a transcript in the format of the recorded vectors.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
import zlib
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from google.protobuf.json_format import MessageToDict
from livekit.protocol import rtc as lk_rtc

RAW_LIMIT = 400


class V0Proxy:
    """One listening socket on loopback; `upstream` is the real server's ws URL."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None
        self.url = ""
        self.transcripts: list[list[dict[str, Any]]] = []
        self._started_s = time.monotonic()

    async def __aenter__(self) -> V0Proxy:
        app = web.Application()
        app.router.add_get("/rtc/v1", self._refuse)
        app.router.add_get("/rtc/v1/validate", self._refuse)
        app.router.add_get("/rtc", self._pass_on)
        self._http = aiohttp.ClientSession()
        self._runner = web.AppRunner(app, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"ws://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        assert self._http is not None
        await self._http.close()
        await self._runner.cleanup()

    async def _refuse(self, request: web.Request) -> web.Response:
        return web.Response(status=404, headers={"Access-Control-Allow-Origin": "*"})

    async def _pass_on(self, request: web.Request) -> web.WebSocketResponse:
        assert self._http is not None
        query = dict(request.query)
        transcript: list[dict[str, Any]] = []
        self.transcripts.append(transcript)
        self._note_http(
            transcript, "client>server", "GET /rtc", {"websocket": True, "query": query}
        )
        headers = {"Authorization": request.headers.get("Authorization", "")}
        async with self._http.ws_connect(
            f"{self._upstream}/rtc", params=query, headers=headers
        ) as server:
            self._note_http(transcript, "server>client", "response", {"status": 101})
            client = web.WebSocketResponse()
            await client.prepare(request)
            loop = asyncio.get_running_loop()
            copies = [
                loop.create_task(self._copy(client, server, transcript, from_client=True)),
                loop.create_task(self._copy(server, client, transcript, from_client=False)),
            ]
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
            await client.close()
            return client

    async def _copy(
        self, source: Any, sink: Any, transcript: list[dict[str, Any]], *, from_client: bool
    ) -> None:
        async for message in source:
            if message.type is aiohttp.WSMsgType.BINARY:
                self._note(transcript, message.data, from_client)
                with contextlib.suppress(ConnectionError):
                    await sink.send_bytes(message.data)

    # --- the transcript ----------------------------------------------------------------------

    def _note_http(
        self, transcript: list[dict[str, Any]], direction: str, kind: str, value: dict[str, Any]
    ) -> None:
        transcript.append(
            {"t_ms": self._now_ms(), "dir": direction, "kind": "http", "type": kind, "json": value}
        )

    def _note(self, transcript: list[dict[str, Any]], raw: bytes, from_client: bool) -> None:
        cls = lk_rtc.SignalRequest if from_client else lk_rtc.SignalResponse
        message = cls.FromString(raw)
        record = {
            "t_ms": self._now_ms(),
            "dir": "client>server" if from_client else "server>client",
            "kind": "signal",
            "type": message.WhichOneof("message"),
            "message": f"livekit.{cls.__name__}",
        }
        transcript.append(record | {"parsed": message})

    def _now_ms(self) -> int:
        return round((time.monotonic() - self._started_s) * 1000)

    def save(self, index: int, path: Path, header: dict[str, str]) -> None:
        """Write the transcript of one connection."""
        lines = [json.dumps(header)]
        for record in self.transcripts[index]:
            entry = {key: value for key, value in record.items() if key != "parsed"}
            message = record.get("parsed")
            if message is not None:
                if message.WhichOneof("message") == "join":
                    message.join.room.turn_password = "redacted"
                raw = message.SerializeToString()
                packed = zlib.compress(raw, 9)
                key = "raw_z" if len(raw) > RAW_LIMIT else "raw"
                entry[key] = base64.b64encode(packed if key == "raw_z" else raw).decode()
                view = MessageToDict(message, preserving_proto_field_name=True)
                for name in ("offer", "answer"):
                    if name in view:
                        view[name]["sdp"] = view[name]["sdp"].split("\r\n")
                entry["json"] = view
            lines.append(json.dumps(entry))
        path.write_text("\n".join(lines) + "\n")
