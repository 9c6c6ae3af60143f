"""How much of one person's writing is shown, and how often while it grows.

Every line, and every piece of one, costs the window a layout; thousands a second would freeze it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import structlog

from app.engine.chat import MAX_TEXT_CHARS
from app.runtime.budget import Budget

log = structlog.get_logger(__name__)

GROWTH_S = 0.1
_LINES_RATE = 10.0
_LINES_BURST = 100.0
_BUDGETS_KEPT = 1_024


class FloodGuard:
    """Lets through as many lines of one person as somebody could want to read; drops the rest."""

    def __init__(self) -> None:
        self._budgets: OrderedDict[str, Budget] = OrderedDict()
        self.dropped = 0

    def allows(self, identity: str, now_s: float) -> bool:
        """Whether one more line of this person is shown."""
        budget = self._budgets.get(identity)
        if budget is None:
            budget = self._budgets[identity] = Budget(rate=_LINES_RATE, burst=_LINES_BURST)
            while len(self._budgets) > _BUDGETS_KEPT:
                self._budgets.popitem(last=False)
        if budget.allow(now_s):
            return True
        self.dropped += 1
        if self.dropped % 1_000 == 1:
            log.info("chat lines dropped", count=self.dropped)
        return False

    def forget(self, identity: str) -> None:
        """Somebody left; coming back in a small meeting brings no new budget."""
        if len(self._budgets) > _BUDGETS_KEPT // 2:
            self._budgets.pop(identity, None)


class Growth:
    """Text that comes in pieces, shown at most ten times a second while it does."""

    def __init__(self, show: Callable[[str], Any]) -> None:
        self._show = show
        self._pieces: list[str] = []
        self._chars = 0
        self._timer: asyncio.TimerHandle | None = None
        self.shown = False

    @property
    def text(self) -> str:
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def add(self, piece: str) -> bool:
        """Take a piece; True when there is more than a line may have."""
        self._pieces.append(piece)
        self._chars += len(piece)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GROWTH_S, self._on_time)
        return self._chars > MAX_TEXT_CHARS

    def _on_time(self) -> None:
        self._timer = None
        self.shown = True
        self._show(self.text)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            if self.shown:
                self._on_time()
