"""A bad network on purpose: seeded loss, bursts, reordering, delay, jitter and rate.

`ShapedLink` decides in virtual time what happens to each packet, so tests can replay minutes in
milliseconds. `UdpRelay` puts two of them between real sockets. The seed decides everything:
print it, and the same packets suffer the same fate.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What one direction of a link does to packets.

    `loss` hits packets independently; a burst starts with chance `burst_start` and then takes
    packets until it ends, `burst_packets` long on average. Every packet waits `delay_s`, plus a
    random part of `jitter_s`, unless `keep_order` makes it wait for the one before it. `rate_bps`
    makes packets queue; what would wait longer than `queue_s` is lost. `reorder` is the share of
    packets that are held back for `reorder_s` more.
    """

    name: str
    loss: float = 0.0
    burst_start: float = 0.0
    burst_packets: float = 1.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    keep_order: bool = False
    rate_bps: float | None = None
    queue_s: float = 0.5
    reorder: float = 0.0
    reorder_s: float = 0.030


PERFECT = Conditions("perfect")
HOME = Conditions("home", loss=0.001, delay_s=0.010, jitter_s=0.005, keep_order=True)
CAFE_WIFI = Conditions("cafe_wifi", loss=0.02, delay_s=0.020, jitter_s=0.050)
BURSTY = Conditions("bursty", burst_start=0.005, burst_packets=5, delay_s=0.020, jitter_s=0.020)
NARROW = Conditions("narrow", delay_s=0.030, jitter_s=0.010, keep_order=True, rate_bps=600_000)


class ShapedLink(Generic[T]):
    """One direction of a link, in whatever time the caller passes."""

    def __init__(self, conditions: Conditions, seed: int) -> None:
        self.conditions = conditions
        self._random = random.Random(seed)
        self._in_burst = False
        self._free_at_s = 0.0
        self._last_due_s = 0.0
        self._order = 0
        self._waiting: list[tuple[float, int, T]] = []
        self.sent = 0
        self.lost = 0
        self.delivered = 0

    def send(self, packet: T, now_s: float, size_bytes: int = 0) -> float | None:
        """Put a packet on the link; returns when it will arrive, None if it is lost."""
        link = self.conditions
        self.sent += 1
        # Always the same number of draws, so that one fate does not shift the others'.
        luck = [self._random.random() for _ in range(4)]
        if self._is_lost(luck[0], luck[1]):
            self.lost += 1
            return None
        due_s = now_s
        if link.rate_bps is not None:
            start_s = max(now_s, self._free_at_s)
            if start_s - now_s > link.queue_s:
                self.lost += 1
                return None
            self._free_at_s = due_s = start_s + size_bytes * 8 / link.rate_bps
        due_s += link.delay_s + luck[2] * link.jitter_s
        if luck[3] < link.reorder:
            due_s += link.reorder_s
        if link.keep_order:
            due_s = self._last_due_s = max(due_s, self._last_due_s)
        self._order += 1
        heapq.heappush(self._waiting, (due_s, self._order, packet))
        return due_s

    def _is_lost(self, burst_luck: float, loss_luck: float) -> bool:
        link = self.conditions
        if self._in_burst:
            self._in_burst = burst_luck > 1.0 / link.burst_packets
        elif burst_luck < link.burst_start:
            self._in_burst = True
        return self._in_burst or loss_luck < link.loss

    @property
    def next_s(self) -> float | None:
        """When the next packet arrives, or None while the link is empty."""
        return self._waiting[0][0] if self._waiting else None

    def receive(self, now_s: float) -> list[tuple[float, T]]:
        """Return what has arrived up to `now_s`, each with its time of arrival."""
        arrived: list[tuple[float, T]] = []
        while self._waiting and self._waiting[0][0] <= now_s:
            due_s, _, packet = heapq.heappop(self._waiting)
            arrived.append((due_s, packet))
        self.delivered += len(arrived)
        return arrived


class UdpRelay:
    """A loopback port that forwards to `target` over a bad link, and back.

    Every client address gets a socket of its own towards the target. Use as an async context
    manager; `address` is where clients send.
    """

    def __init__(
        self, target: tuple[str, int], *, up: Conditions, down: Conditions, seed: int
    ) -> None:
        self._target = target
        self._up: ShapedLink[tuple[_Client, bytes]] = ShapedLink(up, seed)
        self._down: ShapedLink[tuple[_Client, bytes]] = ShapedLink(down, seed + 1)
        self._clients: dict[Any, _Client] = {}
        self._front: asyncio.DatagramTransport | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self.address = ("", 0)

    @property
    def up(self) -> ShapedLink[Any]:
        """The link from clients to the target."""
        return self._up

    @property
    def down(self) -> ShapedLink[Any]:
        """The link from the target to clients."""
        return self._down

    async def __aenter__(self) -> UdpRelay:
        loop = asyncio.get_running_loop()
        self._front, _ = await loop.create_datagram_endpoint(
            lambda: _Front(self), local_addr=("127.0.0.1", 0)
        )
        self.address = self._front.get_extra_info("sockname")[:2]
        return self

    async def __aexit__(self, *_: object) -> None:
        for timer in self._timers:
            timer.cancel()
        for client in self._clients.values():
            client.close()
        if self._front is not None:
            self._front.close()
        await asyncio.sleep(0)  # transports close in the next turn of the loop

    def handle_from_client(self, data: bytes, address: Any) -> None:
        client = self._clients.get(address)
        if client is None:
            client = self._clients[address] = _Client(self, address, self._target)
        self._send(self._up, client, data)

    def handle_from_target(self, client: _Client, data: bytes) -> None:
        self._send(self._down, client, data)

    def _send(self, link: ShapedLink[tuple[_Client, bytes]], client: _Client, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        due_s = link.send((client, data), loop.time(), len(data))
        if due_s is None:
            return

        def fire() -> None:
            self._timers.discard(timer)
            # A timer may fire a trifle before its time.
            for _, (receiver, packet) in link.receive(max(due_s, loop.time())):
                self._deliver(link, receiver, packet)

        timer = loop.call_at(due_s, fire)
        self._timers.add(timer)

    def _deliver(
        self, link: ShapedLink[tuple[_Client, bytes]], client: _Client, data: bytes
    ) -> None:
        if link is self._up:
            client.send(data)
        elif self._front is not None and not self._front.is_closing():
            self._front.sendto(data, client.address)


class _Front(asyncio.DatagramProtocol):
    def __init__(self, relay: UdpRelay) -> None:
        self._relay = relay

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._relay.handle_from_client(data, addr)


class _Client(asyncio.DatagramProtocol):
    """One client's own socket towards the target."""

    def __init__(self, relay: UdpRelay, address: Any, target: tuple[str, int]) -> None:
        self.address = address
        self._relay = relay
        self._transport: asyncio.DatagramTransport | None = None
        self._early: list[bytes] = []
        loop = asyncio.get_running_loop()
        self._opening = loop.create_task(
            loop.create_datagram_endpoint(lambda: self, remote_addr=target)
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Python 3.11's selector transport does not derive from DatagramTransport.
        self._transport = cast("asyncio.DatagramTransport", transport)
        for data in self._early:
            self._transport.sendto(data)
        self._early.clear()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._relay.handle_from_target(self, data)

    def send(self, data: bytes) -> None:
        if self._transport is None:
            self._early.append(data)
        elif not self._transport.is_closing():
            self._transport.sendto(data)

    def close(self) -> None:
        self._opening.cancel()
        if self._transport is not None:
            self._transport.close()
