"""What every test is held to: no unexpected log warnings, no thread left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import structlog
import structlog.testing
from hypothesis import HealthCheck, settings

THREAD_END_S = 5.0

# Decided here, so that the public door does not configure it anew in the middle of a test.
structlog.configure()

# How long an example takes says how busy the machine is, nothing about what is tested.
settings.register_profile("lanai", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lanai")


@pytest.fixture(autouse=True)
def _no_unexpected_log_warnings() -> Iterator[None]:
    """A warning or an error in the log fails the test, unless it captures it itself."""
    with structlog.testing.capture_logs() as entries:
        yield
    unexpected = [
        entry for entry in entries if entry["log_level"] in ("warning", "error", "critical")
    ]
    assert not unexpected, f"unexpected log entries: {unexpected}"


@pytest.fixture(autouse=True)
def _no_leaked_threads() -> Iterator[None]:
    """Threads that a test started have ended when it ends."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + THREAD_END_S
    while leaked := [t for t in threading.enumerate() if t not in before and t.is_alive()]:
        if time.monotonic() > deadline:
            break
        # Dummy threads are foreign ones (Qt, PortAudio) that only touched Python once.
        leaked = [t for t in leaked if not isinstance(t, threading._DummyThread)]
        if not leaked:
            break
        leaked[0].join(0.05)
    leaked = [t for t in leaked if not isinstance(t, threading._DummyThread)]
    assert not leaked, f"threads still running: {[thread.name for thread in leaked]}"
