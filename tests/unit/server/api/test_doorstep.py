"""The doorstep: silence is not waited for, and nobody takes every place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from structlog.testing import capture_logs

from app.server.api.doorstep import Doorstep, address_group
from tests.support.session_room import eventually


@asynccontextmanager
async def standing(doorstep: Doorstep) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(
        doorstep.factory(asyncio.Protocol), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_connection_that_says_nothing_is_closed() -> None:
    doorstep = Doorstep(timeout_s=0.01)
    async with standing(doorstep) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
    assert doorstep.count == 0


async def test_one_address_cannot_take_every_place() -> None:
    doorstep = Doorstep(per_address=3)
    with capture_logs() as lines:
        async with standing(doorstep) as port:
            open_ones = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            for _ in range(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                assert await reader.read() == b""
                writer.close()
            assert doorstep.count == 3
            for _, writer in open_ones:
                writer.transport.abort()
            await eventually(lambda: not doorstep.count)
    assert len(lines) == 5


def test_a_household_is_one_address() -> None:
    assert address_group("192.0.2.7") == "192.0.2.7"
    assert address_group("2001:db8:1:2:3:4:5:6") == address_group("2001:db8:1:2::9%eth0")
    assert address_group("2001:db8:1:2::1") != address_group("2001:db8:1:3::1")
    assert address_group("::1") == address_group("::2")
