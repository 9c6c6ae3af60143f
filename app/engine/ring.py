"""Frames on their way to an async iterator on the loop, from the loop or a media thread."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Generic, TypeVar

from app.runtime.mailbox import DropOldestMailbox

T = TypeVar("T")

DEFAULT_CAPACITY = 3_000  # 30 s of sound in frames of 10 ms


class FrameRing(Generic[T]):
    """A bounded queue that forgets its oldest frame, and an end.

    `capacity` 0 asks for no limit; it gets `DEFAULT_CAPACITY`, because a reader that never
    catches up would otherwise eat all memory. `put` from any thread, `get` and `end` on the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, capacity: int) -> None:
        self._loop = loop
        self._ready = asyncio.Event()
        self._mailbox: DropOldestMailbox[T] = DropOldestMailbox(
            capacity or DEFAULT_CAPACITY, self._wake
        )
        self._ended = False

    @property
    def dropped(self) -> int:
        """How many frames were forgotten."""
        return self._mailbox.dropped

    def put(self, frame: T) -> None:
        """Append a frame."""
        self._mailbox.put(frame)

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # nobody reads on a closed loop
            self._loop.call_soon_threadsafe(self._ready.set)

    def end(self) -> None:
        """Let readers stop after what is there."""
        self._ended = True
        self._ready.set()

    async def get(self) -> T:
        """Return the oldest frame, or raise `StopAsyncIteration` at the end."""
        while True:
            frame = self._mailbox.take()
            if frame is not None:
                return frame
            if self._ended:
                raise StopAsyncIteration
            self._ready.clear()
            if len(self._mailbox):
                continue
            await self._ready.wait()
