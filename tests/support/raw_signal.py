"""A client that speaks signalling by hand, so that it can say what no SDK would."""

from __future__ import annotations

import asyncio
import base64
from types import TracebackType
from typing import Any, Self

import aiohttp
from livekit.protocol import models, rtc

DEADLINE_S = 30.0


class RawSignal:
    """One socket to `/rtc/v1`; an async context manager. It has no media.

    A join request with `reconnect` resumes; its first message is the test's to receive.
    """

    def __init__(self, url: str, token: str, join: rtc.JoinRequest | None = None) -> None:
        self._url = url
        self._token = token
        self._join = join or rtc.JoinRequest(client_info=models.ClientInfo(protocol=17))
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self.joined = rtc.JoinResponse()
        self.kinds: list[str | None] = []

    @property
    def socket(self) -> aiohttp.ClientWebSocketResponse:
        """The open socket."""
        assert self._socket is not None
        return self._socket

    async def __aenter__(self) -> Self:
        wrapped = rtc.WrappedJoinRequest(join_request=self._join.SerializeToString())
        parameter = base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()
        self._session = aiohttp.ClientSession()
        try:
            self._socket = await self._session.ws_connect(
                f"{self._url}/rtc/v1",
                params={"join_request": parameter},
                headers={"Authorization": f"Bearer {self._token}"},
                max_msg_size=0,
            )
        except aiohttp.ClientError:
            await self._session.close()
            raise
        if not self._join.reconnect:
            self.joined = (await self.receive("join")).join
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def wait_closed(self) -> None:
        """Return when the server has closed the socket; messages before that are skipped."""
        async with asyncio.timeout(DEADLINE_S):
            while (await self.socket.receive()).type is aiohttp.WSMsgType.BINARY:
                pass

    async def close(self) -> None:
        """Close whatever is open."""
        if self._socket is not None:
            await self._socket.close()
        if self._session is not None:
            await self._session.close()

    async def send(self, **variant: Any) -> None:
        """Send one request, named as in `SignalRequest`."""
        await self.socket.send_bytes(rtc.SignalRequest(**variant).SerializeToString())

    async def receive(self, variant: str) -> rtc.SignalResponse:
        """Return the next message of this kind, skipping others."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                message = await self.socket.receive()
                assert message.type is aiohttp.WSMsgType.BINARY, f"{variant}: {message}"
                response = rtc.SignalResponse()
                response.ParseFromString(message.data)
                self.kinds.append(response.WhichOneof("message"))
                if self.kinds[-1] == variant:
                    return response

    async def round_trip(self) -> None:
        """Return when everything sent so far has been acted on."""
        await self.send(ping_req=rtc.Ping(timestamp=1))
        await self.receive("pong_resp")
