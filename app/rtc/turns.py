"""Whose datagram is next, when there are more than one turn of the loop should take.

Sound is dealt with as it is read; what carries data waits here, peer by peer, and a turn takes so
much of it. A transfer then costs a packet of sound no more than such a turn, however much of it has
arrived, and the small messages of one peer do not queue behind the large ones of another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

# About two milliseconds of SCTP; fewer cost more acknowledgements.
DATAGRAMS_PER_TURN = 64
# What the window lets a peer send, and more of all peers; beyond it is lost, as on a wire.
MOST_OF_A_PEER = 2_048
MOST_OF_ALL = 8_192

Take = Callable[[bytes], None]


class TakingTurns:
    """Datagrams that wait, in order for each peer. A peer is what takes them. Hot path."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.dropped = 0
        self._loop = loop
        self._waiting: dict[Take, deque[bytes]] = {}
        self._count = 0
        self._next: asyncio.Handle | None = None

    def add(self, take: Take, datagram: bytes) -> None:
        """Let one wait; `run` has to follow."""
        queue = self._waiting.get(take)
        if queue is None:
            queue = self._waiting[take] = deque()
        if len(queue) >= MOST_OF_A_PEER or self._count >= MOST_OF_ALL:
            self.dropped += 1
            return
        queue.append(datagram)
        self._count += 1

    def run(self) -> None:
        """Hand over a turn's worth, unless this turn has had it; the rest in the next ones."""
        if self._next is None and self._count:
            self._take_turn()

    def _take_turn(self) -> None:
        self._next = None
        waiting = self._waiting
        left = DATAGRAMS_PER_TURN
        while left and waiting:
            take = next(iter(waiting))
            queue = waiting[take]
            share = min(left, max(1, DATAGRAMS_PER_TURN // len(waiting)))
            left -= share
            while share and queue:
                share -= 1
                self._count -= 1
                take(queue.popleft())
            left += share
            if waiting.get(take) is queue:
                # Behind the others.
                del waiting[take]
                if queue:
                    waiting[take] = queue
        if self._count:
            self._next = self._loop.call_soon(self._take_turn)

    def forget(self, take: Take) -> None:
        """Drop what waits for one that is gone."""
        queue = self._waiting.pop(take, None)
        if queue is not None:
            self._count -= len(queue)
            queue.clear()

    def close(self) -> None:
        """Drop everything."""
        for take in list(self._waiting):
            self.forget(take)
        if self._next is not None:
            self._next.cancel()
            self._next = None
