"""Our server as people run it: `main.py serve` in a process of its own, on free ports."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from types import TracebackType
from typing import Any, Self

from app.protocol.token import VideoGrant, issue_token
from tests.support.child import ROOT, Child, take_child

KEY, SECRET = "test-key", "test-secret-of-more-than-32-characters"
START_DEADLINE_S = 30.0
_SERVE = (sys.executable, str(ROOT / "main.py"), "serve")
BY_FLAGS = (*_SERVE, "--port", "0", "--rtc-port", "0", "--api-key", KEY, "--api-secret", SECRET)
FROM_STDIN = (*_SERVE, "--config-stdin")


class ServerProcess:
    """An async context manager; `log` is everything the server said on stderr."""

    def __init__(self, *arguments: str, config: dict[str, Any] | None = None) -> None:
        self._arguments = arguments
        self._config = config
        self._child: Child | None = None
        self.url = ""
        self.rtc_port = 0
        self.status: int | None = None
        self._was_killed = False

    async def __aenter__(self) -> Self:
        how = FROM_STDIN if self._config is not None else BY_FLAGS
        child = self._child = await take_child((*how, *self._arguments))
        if self._config is not None:
            line = {"port": 0, "rtc_port": 0, "keys": {KEY: SECRET}, **self._config}
            await child.write_line(json.dumps(line))
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                ready = json.loads(await child.read_line())
        except (TimeoutError, ValueError) as error:
            await self.stop()
            words = self._forget()
            raise AssertionError(f"the server did not start:\n{words}") from error
        self.url, self.rtc_port = ready["url"], ready["rtc_port"]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()
        words = self._forget()
        if error is None and not self._was_killed:
            assert self.status == 0, f"the server ended with {self.status}:\n{words}"
            assert "Traceback" not in words, words

    def _forget(self) -> str:
        child = self._running
        words = child.words
        child.detach()
        child.end_within(0.0)
        return words

    @property
    def _running(self) -> Child:
        assert self._child is not None
        return self._child

    @property
    def http_url(self) -> str:
        """The address for plain HTTP."""
        return self.url.replace("ws://", "http://")

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._running.pid

    @property
    def log(self) -> str:
        """Return what the server wrote to stderr so far."""
        return self._running.words

    async def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        child = self._running
        child.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                self.status = await child.wait()
        except TimeoutError:
            child.kill()
            self.status = await child.wait()
        return self.status

    def kill(self) -> None:
        """End it without a goodbye."""
        self._was_killed = True
        self._running.kill()

    async def end_stdin(self) -> int:
        """Close its stdin, as a parent does that dies, and return the exit status."""
        self._running.end_stdin()
        async with asyncio.timeout(START_DEADLINE_S):
            return await self._running.wait()


def token_for(identity: str, room: str = "room", **grant: Any) -> str:
    """Sign a token that this server accepts."""
    return issue_token(
        api_key=KEY,
        api_secret=SECRET,
        identity=identity,
        name=identity.title(),
        now_s=time.time(),
        grant=VideoGrant(room_join=True, room=room, can_update_own_metadata=True, **grant),
    )
