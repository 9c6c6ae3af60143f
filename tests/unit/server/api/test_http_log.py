"""A request that is no HTTP is one line, without address or content."""

from __future__ import annotations

import logging

import pytest
from aiohttp.http_exceptions import BadHttpMessage

from app.server.api.http_log import http_logger


def log_of(error: Exception, caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    try:
        raise error
    except type(error):
        http_logger().exception("Error handling request from %s", "192.0.2.7")
    return caplog.records[-1]


def test_a_malformed_request_is_a_warning_without_its_bytes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    record = log_of(BadHttpMessage("secret bytes"), caplog)
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "malformed HTTP request refused: BadHttpMessage"
    assert record.exc_info is None


def test_a_failure_of_ours_keeps_its_traceback_and_loses_the_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    record = log_of(KeyError("x"), caplog)
    assert record.levelno == logging.ERROR
    assert "192.0.2.7" not in record.getMessage()
    assert record.exc_info
