"""A lock between programs on one computer that dies with the program that holds it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import ModuleType

try:
    import fcntl as _fcntl
except ImportError:  # Windows
    _fcntl = None  # type: ignore[assignment]

fcntl: ModuleType | None = _fcntl


class Claim:
    """The right to write something; `take` says whether nobody else has it.

    On Windows the open file cannot be deleted by anybody else, which says the same.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def take(self) -> bool:
        """Claim it, if nobody has."""
        if self._handle is not None:
            return True
        if fcntl is None:
            with contextlib.suppress(FileNotFoundError):
                try:
                    self._path.unlink()
                except PermissionError:
                    return False
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(handle)
                return False
        self._handle = handle
        return True

    def release(self) -> None:
        """Give it back; nothing happens when it was never taken."""
        if self._handle is None:
            return
        # Unlinked while it is still locked: who opens it now makes a new one.
        if fcntl is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = None
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
