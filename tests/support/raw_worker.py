"""An agent worker that speaks its socket by hand, so that it can say what no worker would."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

import aiohttp
from google.protobuf import json_format
from livekit.protocol import agent

DEADLINE_S = 30.0


class RawWorker:
    """One socket to `/agent`; an async context manager."""

    def __init__(self, url: str, token: str, *, as_json: bool = False) -> None:
        self._url = url
        self._token = token
        self._as_json = as_json
        self._session = aiohttp.ClientSession()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self.worker_id = ""

    @property
    def socket(self) -> aiohttp.ClientWebSocketResponse:
        """The open socket."""
        assert self._socket is not None
        return self._socket

    async def __aenter__(self) -> Self:
        try:
            self._socket = await self._session.ws_connect(
                f"{self._url}/agent", headers={"Authorization": f"Bearer {self._token}"}
            )
        except aiohttp.ClientError:
            await self._session.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            await self._socket.close()
        await self._session.close()

    async def register(self, name: str = "", **facts: Any) -> None:
        """Register and wait until it is done."""
        await self.send(register=agent.RegisterWorkerRequest(agent_name=name, **facts))
        self.worker_id = (await self.receive("register")).register.worker_id

    async def send(self, **variant: Any) -> None:
        """Send one message, named as in `WorkerMessage`."""
        message = agent.WorkerMessage(**variant)
        if self._as_json:
            await self.socket.send_str(json_format.MessageToJson(message))
        else:
            await self.socket.send_bytes(message.SerializeToString())

    async def receive(self, variant: str) -> agent.ServerMessage:
        """Return the next message of this kind, skipping others."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                message = await self.socket.receive()
                response = agent.ServerMessage()
                if message.type is aiohttp.WSMsgType.TEXT and self._as_json:
                    json_format.Parse(message.data, response)
                else:
                    assert message.type is aiohttp.WSMsgType.BINARY, f"{variant}: {message}"
                    response.ParseFromString(message.data)
                if response.WhichOneof("message") == variant:
                    return response

    async def take(self) -> agent.JobAssignment:
        """Accept the next job that is offered and return its assignment."""
        offer = await self.receive("availability")
        answer = agent.AvailabilityResponse(job_id=offer.availability.job.id, available=True)
        await self.send(availability=answer)
        return (await self.receive("assignment")).assignment

    async def decline(self) -> agent.Job:
        """Refuse the next job that is offered."""
        job = (await self.receive("availability")).availability.job
        await self.send(availability=agent.AvailabilityResponse(job_id=job.id, available=False))
        return job

    async def round_trip(self) -> None:
        """Return when everything sent so far has been acted on."""
        await self.send(ping=agent.WorkerPing(timestamp=7))
        assert (await self.receive("pong")).pong.last_timestamp == 7

    async def closed(self) -> None:
        """Return when the server has hung up."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                message = await self.socket.receive()
                if message.type not in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
                    return
