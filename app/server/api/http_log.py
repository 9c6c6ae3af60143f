"""What aiohttp says about requests that it cannot read, as one line without address or bytes."""

from __future__ import annotations

import logging
import time

from aiohttp.http_exceptions import HttpProcessingError

from app.runtime.budget import Budget


class _Discreet(logging.Filter):
    """Rewrites aiohttp's records: it logs the peer's address and what the peer sent."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = Budget(rate=0.2, burst=20)

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            if not self._lines.allow(time.monotonic()):
                return False
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.exc_info = None
            record.msg, record.args = "malformed HTTP request refused: %s", (type(error).__name__,)
        elif error is not None:
            # A failure of ours: the traceback stays, the address goes.
            record.msg, record.args = "request failed", ()
        return True


def http_logger() -> logging.Logger:
    """Return the logger for aiohttp's server."""
    logger = logging.getLogger("app.server.http")
    if not logger.filters:
        logger.addFilter(_Discreet())
    return logger
