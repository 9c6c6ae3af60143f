"""A thread that ticks every 10 ms, for whatever has no device to pace it."""

from __future__ import annotations

import time
from collections.abc import Callable

from app.media.threads import MediaThread

BLOCK_S = 0.010
MOST_BEHIND_BLOCKS = 20


class BlockClock:
    """Calls `on_tick` once per period, on its own thread, without drifting.

    After a stall it makes up for at most `MOST_BEHIND_BLOCKS` ticks; what lies further back is
    given up and counted in `skipped`.
    """

    def __init__(
        self, on_tick: Callable[[], None], *, name: str = "clock", period_s: float = BLOCK_S
    ) -> None:
        self._on_tick = on_tick
        self._period_s = period_s
        self._thread = MediaThread(name, self._run)
        self.ticks = 0
        self.skipped = 0

    def start(self) -> None:
        """Start ticking."""
        self._thread.start()

    def close(self) -> None:
        """Stop; `on_tick` is not called after this returns."""
        self._thread.stop()

    def _run(self, thread: MediaThread) -> None:
        due_s = time.monotonic()
        while True:
            due_s += self._period_s
            wait_s = due_s - time.monotonic()
            if thread.stopping.wait(max(0.0, wait_s)):
                return
            behind = int(-wait_s / self._period_s) - MOST_BEHIND_BLOCKS
            if behind > 0:
                self.skipped += behind
                due_s += behind * self._period_s
            self._on_tick()
            self.ticks += 1
