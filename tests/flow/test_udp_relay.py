"""The relay between real sockets, for tests of whole calls over a bad network."""

from __future__ import annotations

import asyncio
from typing import cast

from tests.support.link import PERFECT, Conditions, UdpRelay


class _Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data, addr)


class _Collect(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.enough = asyncio.Event()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.append(data)
        if len(self.received) >= 150:
            self.enough.set()


async def test_the_relay_shapes_real_datagrams_both_ways() -> None:
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(_Echo, local_addr=("127.0.0.1", 0))
    target = server.get_extra_info("sockname")
    lossy = Conditions("lossy", loss=0.1, delay_s=0.005)
    async with UdpRelay(target, up=lossy, down=PERFECT, seed=5) as relay:
        client, collect = await loop.create_datagram_endpoint(_Collect, remote_addr=relay.address)
        for number in range(200):
            client.sendto(number.to_bytes(2, "big"))
            if number % 20 == 0:
                await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await collect.enough.wait()
        client.close()
        assert relay.up.lost > 0
        assert relay.down.lost == 0
    server.close()
