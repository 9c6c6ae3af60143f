"""A server that says what a real one once said, in the same order.

It waits for each message that the recorded client sent, by type, and then goes on. There is no
media behind it: what it proves is signalling and SDP.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp
from aiohttp import web
from livekit.protocol import rtc as lk_rtc

from tests.support.vectors import VectorRecord, read_vector

IGNORED = {"ping", "ping_req", "trickle"}


class RecordedServer:
    """Replays one recorded connection on `/rtc`; `/rtc/v1` is answered 404."""

    def __init__(self, name: str) -> None:
        self._script = [record for record in read_vector(name) if record.kind == "signal"]
        self._runner: web.AppRunner | None = None
        self.received: list[lk_rtc.SignalRequest] = []
        self.paths: list[str] = []
        self.finished = asyncio.Event()
        self.url = ""

    async def __aenter__(self) -> RecordedServer:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"ws://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def sent_by_client(self, kind: str) -> list[VectorRecord]:
        """What the recorded client sent of that kind."""
        return [r for r in self._script if r.type == kind and r.direction == "client>server"]

    def received_of(self, kind: str) -> list[lk_rtc.SignalRequest]:
        """What has come of that kind so far."""
        return [request for request in self.received if request.WhichOneof("message") == kind]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        if request.path != "/rtc":
            return web.Response(status=404)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        pending: Counter[str] = Counter()
        for record in self._script:
            if record.type in IGNORED or record.type == "pong_resp":
                continue
            if record.direction == "server>client":
                await socket.send_bytes(record.raw)
            elif not await self._await_client(socket, record.type, pending):
                break
        else:
            self.finished.set()
        await socket.close()
        return socket

    async def _await_client(
        self, socket: web.WebSocketResponse, kind: str, pending: Counter[str]
    ) -> bool:
        """Wait for a message of this kind; others may come first, their turn will be later."""
        while not pending[kind]:
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                return False
            request = lk_rtc.SignalRequest.FromString(message.data)
            got = request.WhichOneof("message") or ""
            if got not in IGNORED:
                self.received.append(request)
                pending[got] += 1
        pending[kind] -= 1
        return True
