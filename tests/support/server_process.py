"""Our server as people run it: `main.py serve` in a process of its own, on free ports."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from app.protocol.token import VideoGrant, issue_token

ROOT = Path(__file__).resolve().parents[2]
KEY, SECRET = "test-key", "test-secret-of-more-than-32-characters"
START_DEADLINE_S = 30.0


class ServerProcess:
    """An async context manager; `log` is everything the server said on stderr."""

    def __init__(self, *arguments: str, config: dict[str, Any] | None = None) -> None:
        self._arguments = arguments
        self._config = config
        self._process: asyncio.subprocess.Process | None = None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __aexit__
        self.url = ""
        self.rtc_port = 0
        self.status: int | None = None
        self._was_killed = False

    async def __aenter__(self) -> Self:
        command = [sys.executable, str(ROOT / "main.py"), "serve"]
        if self._config is not None:
            command.append("--config-stdin")
        else:
            command += ["--port", "0", "--rtc-port", "0", "--api-key", KEY, "--api-secret", SECRET]
        self._process = await asyncio.create_subprocess_exec(
            *command,
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._stderr,
            cwd=ROOT,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if self._config is not None:
            line = {"port": 0, "rtc_port": 0, "keys": {KEY: SECRET}, **self._config}
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                ready = json.loads(await self._process.stdout.readline())
        except (TimeoutError, ValueError) as error:
            await self.stop()
            words = self.log
            self._stderr.close()
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
        words = self.log
        self._stderr.close()
        if error is None and not self._was_killed:
            assert self.status == 0, f"the server ended with {self.status}:\n{words}"
            assert "Traceback" not in words, words

    @property
    def http_url(self) -> str:
        """The address for plain HTTP."""
        return self.url.replace("ws://", "http://")

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """Return what the server wrote to stderr so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    async def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        process = self._process
        assert process is not None
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        assert process.returncode is not None
        self.status = process.returncode
        return self.status

    def kill(self) -> None:
        """End it without a goodbye."""
        self._was_killed = True
        assert self._process is not None
        self._process.kill()

    async def end_stdin(self) -> int:
        """Close its stdin, as a parent does that dies, and return the exit status."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(START_DEADLINE_S):
            return await process.wait()


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
