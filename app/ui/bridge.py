"""The one place where the Qt thread and the engine thread meet.

Events: the engine wakes the bridge once per non-empty queue; one queued signal takes the
whole queue on the Qt thread and emits `eventPosted` for each, in order. Commands: slots start
coroutines with `run`, which keeps the task and hands a `WorldError` to somebody who can say it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from PySide6.QtCore import QObject, Qt, Signal, Slot

from app.engine.client import EngineClient
from app.runtime.errors import WorldError
from app.runtime.tasks import TaskOwner

log = structlog.get_logger(__name__)

OnError = Callable[[WorldError], None]


class Bridge(QObject):
    """Engine events as Qt signals, coroutines from slots; lives on the Qt thread."""

    eventPosted = Signal(object)
    commandFailed = Signal(object)
    """A `WorldError` that the slot's own `on_error` did not take."""

    _woken = Signal()

    def __init__(self, engine: EngineClient, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._engine = engine
        self._tasks = TaskOwner("ui")
        self._closed = False
        self._woken.connect(self._on_woken, Qt.ConnectionType.QueuedConnection)
        engine.on_events = self._wake

    def run(
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        on_error: OnError | None = None,
        on_done: Callable[[Any], None] | None = None,
        name: str = "command",
    ) -> None:
        """Run `coro` from a slot; its result goes to `on_done`, a `WorldError` to `on_error`.

        After `aclose` nothing runs any more. Any other exception is a fault of ours: the
        task fails and its traceback is logged once.
        """
        if self._closed:
            coro.close()
            return
        self._tasks.spawn(self._guarded(coro, on_error, on_done), name=name)

    async def aclose(self) -> None:
        """Cancel what is running and stop listening to the engine."""
        self._closed = True
        self._engine.on_events = None
        await self._tasks.close()

    async def _guarded(
        self,
        coro: Coroutine[Any, Any, Any],
        on_error: OnError | None,
        on_done: Callable[[Any], None] | None,
    ) -> None:
        try:
            result = await coro
        except WorldError as error:
            log.info("command refused", reason=str(error.reason), detail=error.detail)
            if on_error is not None:
                on_error(error)
            else:
                self.commandFailed.emit(error)
            return
        if on_done is not None:
            on_done(result)

    def _wake(self) -> None:
        # On the engine thread. The window may be going down at this moment, and with it the
        # C++ half of this object; an event nobody can see any more is no loss.
        try:
            self._woken.emit()
        except RuntimeError:
            self._engine.on_events = None

    @Slot()
    def _on_woken(self) -> None:
        for event in self._engine.take_events():
            if self._closed:
                return
            self.eventPosted.emit(event)
