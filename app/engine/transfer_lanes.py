"""How many streams of files are written at a time, and how much may be on the way in them.

A server keeps for each receiver what it has not read yet, and when that grows too long it stops
listening to the sender: to its chat and calls too. A receiver whose program was killed is noticed
after a quarter of a minute only, so the files for it stop first, by themselves.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

BLOCK_BYTES = 256 * 1024
# To one receiver, in all streams: less than the 2 MiB at which our server lets a sender wait.
ON_THE_WAY_BYTES = 7 * BLOCK_BYTES
# Receivers tell after every block: of two that are on the way one will be told.
MOST_LANES = ON_THE_WAY_BYTES // (2 * BLOCK_BYTES)


class Way(Protocol):
    """One drop, as the others see it."""

    def is_writing_to(self, identity: str) -> bool:
        """Whether a stream of it goes to this person now."""

    def on_the_way(self, identity: str) -> int:
        """Bytes that were sent to this person and are not told to have arrived."""

    def wake(self) -> None:
        """Something has arrived, or is waited for no longer."""


class Lanes:
    """Whoever holds one of the `places` may write. `ways` are all drops of a meeting."""

    def __init__(self, count: int = MOST_LANES) -> None:
        self.ways: list[Way] = []
        self.places = asyncio.Semaphore(count)

    def has_room(self, way: Way, identity: str) -> bool:
        """Whether one more block of this drop may go to this person."""
        sharing = sum(each.is_writing_to(identity) for each in self.ways)
        together = sum(each.on_the_way(identity) for each in self.ways)
        share = ON_THE_WAY_BYTES // max(1, sharing)
        return (
            together + BLOCK_BYTES <= ON_THE_WAY_BYTES
            and way.on_the_way(identity) + BLOCK_BYTES <= share
        )

    def tell(self) -> None:
        """Let everybody who waits look again."""
        for each in self.ways:
            each.wake()
