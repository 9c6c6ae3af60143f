"""The WebSocket to the server: which path, which errors, and the driver of `SignalClient`.

`/rtc/v1` is tried first, with the publisher's offer inside the join request. Only a 404 there
(of a server that does not know it) leads to `/rtc`. A refused upgrade carries no readable
reason, so the validate URL is asked for one. Belongs to the engine's loop.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import platform
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit, urlunsplit

import aiohttp
import structlog
from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.protocol.compat import CLIENT_PROTOCOL, DATA_CAPABILITIES, DATA_PROTOCOL
from app.protocol.errors import ProtocolError
from app.protocol.signal_client import (
    MAX_FRAME_BYTES,
    Output,
    Send,
    SignalClient,
    parse_response,
)
from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

VALIDATE_TIMEOUT_S = 3.0
CLOSE_TIMEOUT_S = 1.0
MAX_BODY_BYTES = 4096
# The product's version, as servers show it; a test compares it with pyproject.toml.
VERSION = "0.1.0"
ROOM_MISSING = "requested room does not exist"


@dataclass(frozen=True)
class SignalTarget:
    """Where and as whom to join."""

    url: str
    token: str = field(repr=False)
    auto_subscribe: bool = True
    adaptive_stream: bool = False
    timeout_s: float = 5.0
    ssl_context: ssl.SSLContext | None = None


@dataclass(frozen=True)
class ResumeTicket:
    """Which session to go on with, and why."""

    participant_sid: str
    reason: lk_models.ReconnectReason


class _PathUnknownError(Exception):
    """The server does not know this signalling path."""


# --- addresses -------------------------------------------------------------------------------


def signal_url(url: str, path: str) -> str:
    """Put a path behind the server's URL; a prefix in it is kept (`wss://h/x` → `/x/rtc`)."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise WorldError(Reason.INVALID_LINK, detail="malformed server URL") from error
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.hostname:
        raise WorldError(Reason.INVALID_LINK, detail="server URL needs ws:// or wss://")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    where = host if port is None else f"{host}:{port}"
    prefix = "/" + parts.path.strip("/") if parts.path.strip("/") else ""
    return urlunsplit((scheme, where, f"{prefix}{path}", "", ""))


async def resolve(url: str) -> list[str]:
    """Return the server's addresses; WorldError NO_ROUTE when its name is unknown."""
    parts = urlsplit(signal_url(url, "/rtc"))
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            parts.hostname, port, type=socket.SOCK_STREAM
        )
    except (OSError, UnicodeError) as error:
        raise WorldError(Reason.NO_ROUTE, retry=True, detail="name not found") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def client_info() -> lk_models.ClientInfo:
    """Say what we are. No SDK enum names us: servers treat unknown ones without workarounds."""
    return lk_models.ClientInfo(
        sdk=lk_models.ClientInfo.UNKNOWN,
        version=VERSION,
        protocol=CLIENT_PROTOCOL,
        client_protocol=DATA_PROTOCOL,
        capabilities=DATA_CAPABILITIES,
        os=platform.system(),
        other_sdks=f"lanai:{VERSION}",
    )


def join_parameter(
    target: SignalTarget,
    offer: lk_rtc.SessionDescription | None,
    ticket: ResumeTicket | None = None,
) -> str:
    """Return the `join_request` of v1: base64url of the wrapped, usually gzipped, request."""
    request = lk_rtc.JoinRequest(
        client_info=client_info(),
        connection_settings=lk_rtc.ConnectionSettings(
            auto_subscribe=target.auto_subscribe, adaptive_stream=target.adaptive_stream
        ),
        publisher_offer=offer,
    )
    if ticket is not None:
        request.reconnect = True
        request.participant_sid = ticket.participant_sid
        request.reconnect_reason = ticket.reason
    plain = request.SerializeToString()
    packed = gzip.compress(plain, mtime=0)
    wrapped = (
        lk_rtc.WrappedJoinRequest(compression=lk_rtc.WrappedJoinRequest.GZIP, join_request=packed)
        if len(packed) < len(plain)
        else lk_rtc.WrappedJoinRequest(join_request=plain)
    )
    return base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()


def v0_parameters(target: SignalTarget) -> dict[str, str]:
    """Return the query of `/rtc`."""
    return {
        "sdk": "lanai",
        "version": VERSION,
        "protocol": str(CLIENT_PROTOCOL),
        "client_protocol": str(DATA_PROTOCOL),
        "capabilities": ",".join(DATA_CAPABILITIES),
        "auto_subscribe": "1" if target.auto_subscribe else "0",
        "adaptive_stream": "1" if target.adaptive_stream else "0",
        "os": platform.system().lower(),
    }


# --- errors ----------------------------------------------------------------------------------


def refusal(status: int, body: str) -> WorldError:
    """Turn the server's answer to a handshake into the error that a person is told."""
    text = body.strip().lower()[:200]
    detail = f"HTTP {status}: {text}" if text else f"HTTP {status}"
    if status == 401:
        if "expired" in text or "exp)" in text:
            return WorldError(Reason.EXPIRED, detail=detail)
        if "permission" in text:
            return WorldError(Reason.DENIED, detail=detail)
        return WorldError(Reason.FORGED, detail=detail)
    if status == 403:
        reason = Reason.LOCKED if "locked" in text else Reason.DENIED
        return WorldError(reason, detail=detail)
    if status == 404:
        return WorldError(Reason.NOT_FOUND, detail=detail)
    if status == 503:
        return WorldError(Reason.FULL, retry=True, detail=detail)
    return WorldError(Reason.REFUSED, retry=status == 429 or status >= 500, detail=detail)


def unreachable(error: Exception) -> WorldError:
    """Turn a failed connection into the error that a person is told."""
    detail = type(error).__name__
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return WorldError(Reason.TLS, detail=detail)
    if isinstance(error, TimeoutError):
        return WorldError(Reason.TIMEOUT, retry=True, detail=detail)
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ConnectionRefusedError):
        return WorldError(Reason.REFUSED, retry=True, detail=detail)
    return WorldError(Reason.NO_ROUTE, retry=True, detail=detail)


# --- the socket ------------------------------------------------------------------------------


async def _close_socket(ws: aiohttp.ClientWebSocketResponse) -> None:
    """Close a socket that may be dead; its far end has a second to agree."""
    try:
        await ws.close()
    except (aiohttp.ClientError, OSError) as error:
        log.debug("old socket did not close", error=type(error).__name__)


class SignalLink:
    """One WebSocket with its `SignalClient`; outputs other than `Send` go to `on_output`."""

    def __init__(self, on_output: Callable[[Output], None]) -> None:
        self._on_output = on_output
        self._tasks = TaskOwner("signal")
        self._http: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._closing = TaskOwner("signal-closing")
        self._outgoing: asyncio.Queue[lk_rtc.SignalRequest | None] = asyncio.Queue()
        self._unsent: list[lk_rtc.SignalRequest] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writer: asyncio.Task[None] | None = None
        self.client = SignalClient(time.monotonic())

    async def open(
        self, target: SignalTarget, offer: Callable[[], lk_rtc.SessionDescription]
    ) -> bool:
        """Connect; True on v1. `offer` is asked for the publisher's offer when v1 is tried.

        Raises `WorldError`. The join arrives as an output.
        """
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=target.timeout_s)
        )
        is_v1 = True
        try:
            query = {"join_request": join_parameter(target, offer())}
            self._socket = await self._upgrade(target, "/rtc/v1", query)
        except _PathUnknownError:
            is_v1 = False
            try:
                self._socket = await self._upgrade(target, "/rtc", v0_parameters(target))
            except _PathUnknownError as error:
                raise WorldError(
                    Reason.REFUSED, detail="no LiveKit signalling at this address"
                ) from error
        self.client = SignalClient(time.monotonic())
        self._start(self._socket)
        return is_v1

    def _start(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._writer = spawn(self._write(ws), name="write", owner=self._tasks)
        spawn(self._read(ws), name="read", owner=self._tasks)
        self._schedule()

    async def reopen(self, target: SignalTarget, ticket: ResumeTicket) -> None:
        """Go on over another socket (v1). Raises `WorldError`; `Resumed` comes as an output."""
        await self._drop_socket()
        unsent = self._take_unsent()
        try:
            query = {"join_request": join_parameter(target, None, ticket)}
            self._socket = await self._upgrade(target, "/rtc/v1", query)
        except _PathUnknownError as error:
            raise WorldError(Reason.REFUSED, detail="no LiveKit signalling any more") from error
        finally:
            # Also without a socket: what has not left stays in its place for the next one.
            self.client.resume(time.monotonic(), unsent)
            if self._socket is None:
                self.client.handle_closed()
        self._start(self._socket)

    def _take_unsent(self) -> list[lk_rtc.SignalRequest]:
        unsent, self._unsent = self._unsent, []
        while not self._outgoing.empty():
            request = self._outgoing.get_nowait()
            if request is not None:
                unsent.append(request)
        return unsent

    async def _drop_socket(self) -> None:
        """Forget the old socket without waiting for its far end."""
        ws, self._socket = self._socket, None
        await self._tasks.close()
        self._tasks = TaskOwner("signal")
        if ws is not None:
            spawn(_close_socket(ws), name="close", owner=self._closing)

    def drop(self) -> None:
        """Lose the connection on purpose, as if the network had."""
        if self._socket is not None:
            spawn(_close_socket(self._socket), name="drop", owner=self._closing)
        self.perform(self.client.handle_closed())

    async def _upgrade(
        self, target: SignalTarget, path: str, query: dict[str, str]
    ) -> aiohttp.ClientWebSocketResponse:
        assert self._http is not None
        url = f"{signal_url(target.url, path)}?{urlencode(query)}"
        try:
            async with asyncio.timeout(target.timeout_s):
                return await self._http.ws_connect(
                    url,
                    headers={"Authorization": f"Bearer {target.token}"},
                    max_msg_size=MAX_FRAME_BYTES,
                    ssl=target.ssl_context or True,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
                )
        except aiohttp.WSServerHandshakeError as error:
            status = error.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(error) from error
        validated, body = await self._validate(target, path, query)
        if status == 404 and validated in (404, 0) and ROOM_MISSING not in body:
            raise _PathUnknownError
        raise refusal(status, body)

    async def _validate(
        self, target: SignalTarget, path: str, query: dict[str, str]
    ) -> tuple[int, str]:
        """Ask for the reason of a refused upgrade; status 0 when there is no answer."""
        assert self._http is not None
        url = signal_url(target.url, f"{path}/validate").replace("ws", "http", 1)
        try:
            async with (
                asyncio.timeout(VALIDATE_TIMEOUT_S),
                self._http.get(
                    f"{url}?{urlencode(query)}",
                    headers={"Authorization": f"Bearer {target.token}"},
                    ssl=target.ssl_context or True,
                ) as response,
            ):
                body = await response.content.read(MAX_BODY_BYTES)
                return response.status, body.decode(errors="replace")
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0, ""

    # --- driving -----------------------------------------------------------------------------

    def perform(self, outputs: Sequence[Output]) -> None:
        """Do what the state machine decided."""
        for output in outputs:
            if isinstance(output, Send):
                self._outgoing.put_nowait(output.request)
            else:
                self._on_output(output)
        self._schedule()

    def send(self, request: lk_rtc.SignalRequest) -> None:
        """Send a request, now or after the join."""
        self.perform(self.client.send(request))

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline_s = self.client.deadline_s
        if deadline_s is not None and self._socket is not None:
            wait_s = max(0.0, deadline_s - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.perform(self.client.handle_deadline(time.monotonic()))

    async def _read(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        try:
            async for message in ws:
                if message.type is not aiohttp.WSMsgType.BINARY:
                    continue
                response = parse_response(message.data)
                self.perform(self.client.handle_message(response, time.monotonic()))
        except ProtocolError as error:
            log.warning("signalling broken by the server", reason=error.reason)
        except (aiohttp.ClientError, OSError) as error:
            log.info("signalling lost", error=type(error).__name__)
        self.perform(self.client.handle_closed())

    async def _write(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        while (request := await self._outgoing.get()) is not None:
            try:
                await ws.send_bytes(request.SerializeToString())
            except (aiohttp.ClientError, OSError):
                # The reader sees the end too, and reports it.
                self._unsent.append(request)
                return

    async def close(self) -> None:
        """Say goodbye if there is somebody to say it to, and release the socket. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for output in self.client.leave():
            if isinstance(output, Send):
                self._outgoing.put_nowait(output.request)
        if self._writer is not None and not self._writer.done():
            self._outgoing.put_nowait(None)
            await asyncio.wait([self._writer], timeout=CLOSE_TIMEOUT_S)
        await self._tasks.close()
        if self._socket is not None:
            await self._socket.close()
            self._socket = None
        await self._closing.close()
        if self._http is not None:
            await self._http.close()
            self._http = None
