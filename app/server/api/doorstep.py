"""Who may keep a connection open: not too many from one address, and none that says nothing.

aiohttp waits for ever for a request that does not end, and every connection costs a file
descriptor: without a bound one machine could take them all. A connection has a few seconds to
bring its request, and serves only that one; signalling sockets live as long as they like.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import cast

import structlog

from app.runtime.budget import Budget

log = structlog.get_logger(__name__)

REQUEST_TIMEOUT_S = 10.0
MAX_CONNECTIONS = 2_000
MAX_PER_ADDRESS = 256


class Doorstep:
    """Counts the connections of one server; lives on its loop."""

    def __init__(
        self,
        *,
        limit: int = MAX_CONNECTIONS,
        per_address: int = MAX_PER_ADDRESS,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self.timeout_s = timeout_s
        self._limit = limit
        self._per_address = per_address
        self._open: Counter[str] = Counter()
        self._waiting: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}
        self._lines = Budget(rate=0.2, burst=5)

    @property
    def count(self) -> int:
        """How many connections are open."""
        return self._open.total()

    def factory(self, make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Return a protocol factory that lets in only what is allowed."""
        return lambda: _Visitor(self, make())

    def enter(self, transport: asyncio.Transport, address: str) -> bool:
        """Count a new connection; False when it has to go."""
        if self.count >= self._limit or self._open[address] >= self._per_address:
            loop = asyncio.get_running_loop()
            if self._lines.allow(loop.time()):
                log.warning("too many connections", count=self.count)
            return False
        self._open[address] += 1
        loop = asyncio.get_running_loop()
        self._waiting[transport] = loop.call_later(self.timeout_s, transport.abort)
        return True

    def note_request(self, transport: asyncio.BaseTransport | None) -> None:
        """The connection has said what it wants."""
        timer = self._waiting.pop(transport, None) if transport is not None else None
        if timer is not None:
            timer.cancel()

    def leave(self, transport: asyncio.BaseTransport, address: str) -> None:
        """A connection that was let in is closed."""
        self.note_request(transport)
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


class _Visitor(asyncio.Protocol):
    """Passes everything on to aiohttp's protocol, once it has been let in."""

    def __init__(self, doorstep: Doorstep, inner: asyncio.Protocol) -> None:
        self._doorstep = doorstep
        self._inner = inner
        self._transport: asyncio.BaseTransport | None = None
        self._address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername") or ("",)
        stream = cast(asyncio.Transport, transport)
        if not self._doorstep.enter(stream, address_group(str(peer[0]))):
            stream.abort()
            return
        self._address = address_group(str(peer[0]))
        self._transport = transport
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._transport is not None else None

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is None:
            return
        self._doorstep.leave(self._transport, self._address)
        self._transport = None
        self._inner.connection_lost(exc)


def address_group(address: str) -> str:
    """Return what counts as one address: of IPv6 the /64, which belongs to one household."""
    if ":" not in address or address.startswith("::ffff:"):
        return address
    host = address.partition("%")[0]
    head = host.split("::")[0].split(":")
    if "::" in host:
        head += ["0"] * 4
    return ":".join(head[:4]) + "::/64"
