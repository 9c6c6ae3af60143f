"""Events on their way to the interface: one queue, one wake-up per turn."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from app.engine.events import Event


class Outbox:
    """Keeps every event in order until the interface takes them.

    `post` runs on the engine thread, `take` on the Qt thread. `on_ready` is called on the posting
    thread when the queue turns non-empty, so any number of events costs one wake-up. Unlike
    a mailbox it drops nothing: each event is a change that the reader could not guess; the
    sources of frequent ones (levels, progress) are throttled where they arise.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: deque[Event] = deque()
        self.on_ready: Callable[[], None] | None = None

    def post(self, event: Event) -> None:
        """Append `event` and wake the reader if it had nothing to read."""
        with self._lock:
            was_empty = not self._events
            self._events.append(event)
        if was_empty and self.on_ready is not None:
            self.on_ready()

    def take(self) -> list[Event]:
        """Return all waiting events, oldest first."""
        with self._lock:
            events = list(self._events)
            self._events.clear()
        return events
