"""Start background tasks with an owner that keeps, cancels and awaits them.

asyncio holds only weak references to tasks and reports a failed one when it is collected, if
ever. Here the owner holds the reference, a failure is logged once with its traceback, and
`TaskGroup.close` leaves nothing running.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class TaskOwner:
    """Holds the tasks of one object; belongs to the loop that spawned them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def spawn(self, coro: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run `coro` as a task that this owner keeps; after `close` it is refused."""
        if self._closed:
            coro.close()
            raise RuntimeError(f"{self.name} is closed")
        task = asyncio.get_running_loop().create_task(coro, name=f"{self.name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            log.error("task failed", task=task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Cancel every task and wait for it; the calling task itself is left alone."""
        self._closed = True
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def spawn(coro: Coroutine[Any, Any, Any], *, name: str, owner: TaskOwner) -> asyncio.Task[Any]:
    """Start `coro` in the background, kept by `owner`."""
    return owner.spawn(coro, name=name)
