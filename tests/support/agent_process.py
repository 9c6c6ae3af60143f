"""An unmodified LiveKit agent worker in its own process and environment, for tests to talk to."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.child import ROOT
from tests.support.server_process import KEY, SECRET

DEADLINE_S = 60.0
PYTHON = Path(ROOT) / ".venv-agents/bin/python"
WHY_NOT = "no .venv-agents: packaging/test makes it from packaging/agents/requirements.lock"


class AgentProcess:
    """`agent_worker.py`, registered as `name`; an async context manager."""

    def __init__(self, url: str, name: str = "", kind: str = "room") -> None:
        self._arguments = [url, KEY, SECRET, name, kind]
        self._process: asyncio.subprocess.Process | None = None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._events: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            str(PYTHON),
            "tests/support/agent_worker.py",
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._stderr,
            cwd=ROOT,
        )
        self._reader = asyncio.get_running_loop().create_task(self._read())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process, reader = self._process, self._reader
        assert process is not None
        assert process.stdin is not None
        assert reader is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await reader
        self._stderr.close()

    def kill(self) -> None:
        """End it without a goodbye."""
        assert self._process is not None
        self._process.kill()

    async def wait_event(self, name: str, **facts: Any) -> dict[str, Any]:
        """Take the first event of this name with these facts, waiting for it."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    for event in self._events:
                        if event["event"] == name and facts.items() <= event.items():
                            self._events.remove(event)
                            return event
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            self._stderr.seek(0)
            words = self._stderr.read().decode(errors="replace")
            raise AssertionError(f"no {name}; saw {self._events}\n{words}") from None

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self._events.append(json.loads(line))
            self._news.set()
