"""The demo's other people: `join --synthetic` processes, told what to do line by line.

Plain threads and pipes: this works under whichever loop awaits it, Qt's included.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

NAMES = ("Ana Duarte", "Björn Larsen", "Chidi Okafor", "Dana Weiss", "Emre Kaya", "Farah Noor")
_STOP_TIMEOUT_S = 8.0


class PersonGoneError(Exception):
    """The process ended without reporting what somebody waits for."""


class SyntheticPerson:
    """One process; `wait_for` finds what it reported."""

    def __init__(self, number: int, *, name: str) -> None:
        self.number = number
        self.name = name
        self.identity = ""
        self.reports: list[dict[str, Any]] = []
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._is_gone = False
        self._child: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self, url: str, token: str) -> None:
        """Start the process; its first report is `joined`."""
        main = Path(__file__).resolve().parents[3] / "main.py"
        program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, str(main)]
        arguments = ["join", url, "-", "--synthetic", "--number", str(self.number)]
        # A window's environment would only confuse a process without one.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("QT_")}
        self._child = subprocess.Popen(
            [*program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        self._write(token)
        self._reader = threading.Thread(target=self._read, name="person", daemon=True)
        self._reader.start()

    def tell(self, **command: object) -> None:
        """Send a command: chat=TEXT, file=PATH, leave=True."""
        self._write(json.dumps(command))

    def find(self, event: str, **facts: object) -> dict[str, Any] | None:
        """Return the first report of `event` with these facts."""
        wanted = {"event": event, **facts}
        return next((r for r in self.reports if wanted.items() <= r.items()), None)

    async def wait_for(self, event: str, **facts: object) -> dict[str, Any]:
        """Wait for such a report; the caller sets the deadline.

        `PersonGoneError` when the process has ended without it.
        """
        while (found := self.find(event, **facts)) is None:
            if self._is_gone:
                last = self.reports[-1] if self.reports else "nothing"
                raise PersonGoneError(f"ended without {event}; it reported {last} last")
            self._changed.clear()
            await self._changed.wait()
        return found

    async def stop(self) -> None:
        """Let it leave, and make sure that it is gone."""
        child, reader = self._child, self._reader
        if child is not None and reader is not None:
            self._child = None
            await asyncio.to_thread(_end, child, reader)

    def kill(self) -> None:
        """End it without a word, as a crash would."""
        if self._child is not None:
            self._child.kill()

    def _write(self, line: str) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            # It may have died; what it did not report says so.
            self._child.stdin.write(line + "\n")
            self._child.stdin.flush()

    def _read(self) -> None:
        assert self._child is not None
        assert self._child.stdout is not None
        for line in self._child.stdout:
            try:
                report = json.loads(line)
            except ValueError:
                continue
            self._post(report)
        self._post(None)

    def _post(self, report: dict[str, Any] | None) -> None:
        # The loop may be closed by now; then nobody waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._take, report)

    def _take(self, report: dict[str, Any] | None) -> None:
        """Take a report; None is the end of them."""
        if report is None:
            self._is_gone = True
        else:
            self.reports.append(report)
            if report.get("event") == "joined":
                self.identity = str(report.get("identity", ""))
        self._changed.set()


def _end(child: subprocess.Popen[str], reader: threading.Thread) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(OSError):
        child.stdin.close()
    try:
        child.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    reader.join(_STOP_TIMEOUT_S)
    child.stdout.close()
