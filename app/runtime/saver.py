"""Save small files without making the caller wait for the disk.

A window's thread must not wait for an fsync, which takes as long as the disk likes. `Saver.save`
hands the content to a thread that lives only while there is something to write; of several
contents for one path the newest wins. What cannot be written is logged: the choice still counts
for this run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from app.runtime.paths import write_atomically

log = structlog.get_logger(__name__)

# How a file gets to the disk: at once (`save_now`), or behind the caller (`Saver.save`).
Save = Callable[[Path, bytes], None]


def save_now(path: Path, data: bytes) -> None:
    """Write `path` on the calling thread; a failure is logged."""
    try:
        write_atomically(path, data)
    except OSError as error:
        log.warning("file not saved", file=path.name, error=type(error).__name__)


class Saver:
    """Writes on a thread of its own; `save` never waits. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[Path, bytes] = {}
        self._thread: threading.Thread | None = None

    def save(self, path: Path, data: bytes) -> None:
        """Write `data` to `path` soon, in place of anything older that still waits."""
        with self._lock:
            self._pending[path] = data
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="saver")
                self._thread.start()

    def flush(self) -> None:
        """Wait until everything saved so far is on the disk. Blocks: not for the Qt thread."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _write(self) -> None:
        while True:
            with self._lock:
                if not self._pending:
                    self._thread = None
                    return
                path = next(iter(self._pending))
                data = self._pending.pop(path)
            save_now(path, data)
