"""Wait for a data channel, whatever becomes of the connection meanwhile.

A script goes on sending while its room joins anew, as with the official SDK: what it sends then
waits for the next connection. Only when none comes, or in time, is it told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from app.runtime.errors import Reason, WorldError

CHANNEL_TIMEOUT_S = 15.0


class HasChannels(Protocol):
    """A connection."""

    async def wait_for_channel(self, label: str) -> None:
        """Wait until data can be sent on a channel; `WorldError` when it never can."""


C = TypeVar("C", bound=HasChannels)


async def open_channel(
    label: str,
    connection_of_now: Callable[[], Awaitable[C]],
    comes_back: Callable[[], Awaitable[bool]],
) -> C:
    """Return the first connection on which this channel opens.

    `comes_back` waits until it is known whether there is another connection than the one lost.
    """
    try:
        async with asyncio.timeout(CHANNEL_TIMEOUT_S):
            while True:
                connection = await connection_of_now()
                try:
                    await connection.wait_for_channel(label)
                except WorldError:
                    if not await comes_back():
                        raise
                else:
                    return connection
    except TimeoutError as error:
        raise WorldError(Reason.TIMEOUT, retry=True, detail="data channel") from error
