"""Where log lines go: one readable line to stderr, JSON lines to a file.

Records carry sids, never identities, names, addresses, chat text or tokens. A key that could
hold one of them is dropped here as well, so that a slip in a call does not end in a file that
somebody attaches to a bug report.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
from pathlib import Path

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_PRIVATE_KEYS = frozenset(
    {"token", "secret", "api_secret", "password", "passcode", "identity", "name", "text"}
    | {"message", "url", "address", "host", "invite", "link", "ip", "file_name"}
)
_FILE_BYTES = 2_000_000
_FILE_COUNT = 5


def drop_private(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Remove the values that must never be written down."""
    for key in _PRIVATE_KEYS & event.keys():
        event[key] = "…"
    return event


def configure_logging(
    *, json_lines: bool = False, level: str = "info", file: Path | None = None
) -> None:
    """Set up this process's logging once: stderr always, `file` as JSON lines when given.

    `level` is for stderr. The file keeps every change of state (`info`) in any case: a call
    cannot be replayed from memory.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        drop_private,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    as_json: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    as_line: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The rich form prints local variables, and with them tokens and names.
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setLevel(level.upper())
    to_stderr.setFormatter(_formatter(shared, as_json if json_lines else as_line))
    handlers: list[logging.Handler] = [to_stderr]
    if file is not None:
        handlers.append(_file_handler(file, _formatter(shared, as_json)))
    root = logging.getLogger()
    root.handlers = handlers
    root.setLevel(min(to_stderr.level, logging.INFO) if file is not None else to_stderr.level)
    # Libraries write addresses and message bodies at their lower levels.
    for noisy in ("aiortc", "aioice", "aiohttp", "libav", "qasync", "asyncio", "keyring"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def _formatter(shared: list[Processor], last: list[Processor]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last)


def _file_handler(file: Path, formatter: logging.Formatter) -> logging.Handler:
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        file, maxBytes=_FILE_BYTES, backupCount=_FILE_COUNT - 1, encoding="utf-8", delay=True
    )
    handler.setFormatter(formatter)
    return handler
