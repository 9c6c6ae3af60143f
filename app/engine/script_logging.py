"""Where log lines go when a script imports the public door: to the script's own `logging`.

The app configures its logging itself (`runtime/log.py`); then this leaves everything alone. A
script that configures nothing sees warnings on stderr, and its stdout stays its own.
"""

from __future__ import annotations

import structlog

from app.runtime.log import drop_private


def leave_logging_to_the_script() -> None:
    """Send log lines to the standard library's loggers, unless somebody decided already."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            drop_private,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
