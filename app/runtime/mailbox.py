"""Values that cross a thread: each mailbox has a capacity, a policy, and counts its drops."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestMailbox(Generic[T]):
    """One slot between a media thread and the loop, where the newest value wins.

    A tile that falls behind should show the present, not catch up on the past, so
    `put` overwrites whatever has not been taken yet and counts it in `dropped`.
    `on_ready` is called on the putting thread when the slot turns from empty to full.
    """

    def __init__(self, on_ready: Callable[[], None] | None = None) -> None:
        self._lock = threading.Lock()
        self._value: T | None = None
        self._on_ready = on_ready
        self.dropped = 0

    def put(self, value: T) -> None:
        """Store `value`, replacing one that was never taken."""
        with self._lock:
            was_empty = self._value is None
            self._value = value
            if not was_empty:
                self.dropped += 1
        if was_empty and self._on_ready is not None:
            self._on_ready()

    def take(self) -> T | None:
        """Return the newest value and empty the slot, or None."""
        with self._lock:
            value, self._value = self._value, None
        return value


class DropOldestMailbox(Generic[T]):
    """A bounded queue between threads that forgets its oldest value when it is full."""

    def __init__(self, capacity: int, on_ready: Callable[[], None] | None = None) -> None:
        self._lock = threading.Lock()
        self._values: deque[T] = deque()
        self._capacity = capacity
        self._on_ready = on_ready
        self.dropped = 0

    def put(self, value: T) -> None:
        """Append `value`; `on_ready` is called when the queue was empty before."""
        with self._lock:
            was_empty = not self._values
            if len(self._values) >= self._capacity:
                self._values.popleft()
                self.dropped += 1
            self._values.append(value)
        if was_empty and self._on_ready is not None:
            self._on_ready()

    def take_all(self) -> list[T]:
        """Return every waiting value, oldest first, and empty the queue."""
        with self._lock:
            values = list(self._values)
            self._values.clear()
        return values

    def take(self) -> T | None:
        """Return the oldest value, or None."""
        with self._lock:
            return self._values.popleft() if self._values else None

    def __len__(self) -> int:
        return len(self._values)
