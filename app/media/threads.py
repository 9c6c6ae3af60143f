"""Starting and stopping media threads."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

JOIN_TIMEOUT_S = 10.0


class MediaThread:
    """A named thread that ends when its owner stops it, even from one of its own callbacks.

    `run` gets this object and returns soon after `stopping` is set. A failure is logged once,
    with its traceback, and ends the thread.
    """

    def __init__(self, name: str, run: Callable[[MediaThread], None]) -> None:
        self.stopping = threading.Event()
        self._run = run
        # Daemon, so that a blocked driver cannot keep a process alive that wants to end.
        self._thread = threading.Thread(target=self._guarded, name=f"media-{name}", daemon=True)

    def start(self) -> None:
        """Start running."""
        self._thread.start()

    def _guarded(self) -> None:
        try:
            self._run(self)
        except Exception:
            log.exception("media thread failed", thread=self._thread.name)

    def is_current(self) -> bool:
        """Whether the caller runs on this thread."""
        return threading.current_thread() is self._thread

    def stop(self, wake: Callable[[], None] | None = None) -> None:
        """Ask the thread to end, wake it, and wait for it unless it is the caller."""
        self.stopping.set()
        if wake is not None:
            wake()
        if self._thread.ident is None or self.is_current():
            return
        self._thread.join(JOIN_TIMEOUT_S)
        if self._thread.is_alive():
            log.warning("media thread did not end", thread=self._thread.name)
