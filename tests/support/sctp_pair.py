"""Two ends of data channels without DTLS, on a wire and a clock that the test owns.

`VirtualLoop` jumps to the next timer instead of waiting for it, so a minute of retransmission
costs nothing and every run is the same.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal, TypeVar, cast

from app.rtc.data_channels import LOCAL_SCTP_PORT, DataChannels
from app.rtc.dtls import DtlsEndpoint

T = TypeVar("T")

# A wire is given every packet with its sender, and says when it arrives: one delay per copy.
Wire = Callable[[str, bytes], list[float]]

INIT, INIT_ACK = 1, 2


def chunk_type(packet: bytes) -> int:
    """The type of the only chunk that is not data."""
    return packet[12]


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes only when there is nothing else to do."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0

    def time(self) -> float:
        return self.now_s

    def _run_once(self) -> None:
        inner = cast("Any", self)
        while inner._scheduled and inner._scheduled[0]._cancelled:
            heapq.heappop(inner._scheduled)._scheduled = False
            inner._timer_cancelled_count -= 1
        if not inner._ready and inner._scheduled:
            self.now_s = max(self.now_s, inner._scheduled[0]._when)
        inner_run = cast("Any", super())._run_once
        inner_run()


def run_virtually(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario in virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(scenario)
    finally:
        loop.close()


class PlainEndpoint:
    """What SCTP needs of DTLS, without the encryption."""

    def __init__(self, role: Literal["client", "server"], send: Callable[[bytes], None]) -> None:
        self.role = role
        self._send = send
        self._early: list[bytes] = []
        self._receive: Callable[[bytes], None] = self._early.append

    def receive_with(self, receive: Callable[[bytes], None]) -> None:
        self._receive = receive
        for packet in self._early:
            receive(packet)

    def send_data(self, packets: Sequence[bytes]) -> None:
        for packet in packets:
            self._send(packet)

    def feed(self, data: bytes) -> None:
        self._receive(data)


class SctpEnd:
    """One end, with what reached it."""

    def __init__(self, role: Literal["client", "server"], send: Callable[[bytes], None]) -> None:
        self.transport = PlainEndpoint(role, send)
        self.messages: list[bytes] = []
        self.channels = DataChannels(
            cast("DtlsEndpoint", self.transport),
            on_message=lambda _label, data: self.messages.append(data),
            on_open=lambda _label: None,
        )

    def start(self) -> None:
        self.channels.start(LOCAL_SCTP_PORT, 65_535)


class SctpPair:
    """A client that opens `_reliable` and a server, joined by `wire`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.packets = 0
        self.client = SctpEnd("client", lambda data: self._carry("client", data))
        self.server = SctpEnd("server", lambda data: self._carry("server", data))
        self.client.channels.create("_reliable")

    def _carry(self, sender: str, data: bytes) -> None:
        self.packets += 1
        loop = asyncio.get_running_loop()
        to = self.server if sender == "client" else self.client
        for delay_s in self._wire(sender, data):
            # Timers of one moment run in any order; a wire keeps the order of what it carries.
            loop.call_later(delay_s + self.packets * 1e-6, to.transport.feed, data)

    async def until(self, condition: Callable[[], bool], within_s: float) -> float:
        """Wait, and return the seconds that it took; `TimeoutError` when it did not come."""
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110 - the clock jumps, nothing waits
                await asyncio.sleep(0.01)
        return loop.time() - start_s

    async def open(self) -> float:
        self.server.start()
        self.client.start()
        return await self.until(
            lambda: (
                self.client.channels.is_open("_reliable")
                and self.server.channels.is_open("_reliable")
            ),
            within_s=30,
        )

    async def close(self) -> None:
        await self.client.channels.close()
        await self.server.channels.close()
