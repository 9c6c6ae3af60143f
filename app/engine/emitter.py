"""Events by name, with the official SDK's rules.

Handlers run in the order of registration, on the thread that emits. One that takes fewer
arguments than the event has gets the first ones. One that raises is logged and the next one
runs, except for `TypeError`, which reaches the emitter's caller: it is a handler that cannot be
called at all.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)

T_contra = TypeVar("T_contra", contravariant=True)
Handler = Callable[..., Any]


class EventEmitter(Generic[T_contra]):
    """Something with events."""

    def __init__(self) -> None:
        self._events: dict[T_contra, dict[Handler, None]] = {}

    def emit(self, event: T_contra, *args: Any) -> None:
        """Call every handler of `event`."""
        for handler in list(self._events.get(event, ())):
            try:
                handler(*args[: _accepted(handler, len(args))])
            except TypeError:
                raise
            except Exception:
                log.exception("event handler failed", event_name=str(event))

    def on(self, event: T_contra, callback: Handler | None = None) -> Handler:
        """Register `callback`, or return a decorator that does."""
        if callback is None:

            def decorator(decorated: Handler) -> Handler:
                self.on(event, decorated)
                return decorated

            return decorator
        if inspect.iscoroutinefunction(callback):
            raise ValueError(
                "an event handler cannot be async: start a task from a plain function instead"
            )
        self._events.setdefault(event, {})[callback] = None
        return callback

    def once(self, event: T_contra, callback: Handler | None = None) -> Handler:
        """Register `callback` for the next occurrence only, or return a decorator that does."""
        if callback is None:

            def decorator(decorated: Handler) -> Handler:
                self.once(event, decorated)
                return decorated

            return decorator
        wanted = callback

        def called_once(*args: Any, **kwargs: Any) -> None:
            self.off(event, called_once)
            wanted(*args[: _accepted(wanted, len(args))], **kwargs)

        return self.on(event, called_once)

    def off(self, event: T_contra, callback: Handler) -> None:
        """Remove a handler; one that is not there is fine."""
        self._events.get(event, {}).pop(callback, None)


def _accepted(handler: Handler, offered: int) -> int:
    parameters = inspect.signature(handler).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return offered
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return min(offered, len(positional))
