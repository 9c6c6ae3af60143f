"""Processes that tests talk to, started ahead of time where somebody asked for that.

Most of what a short test with an official SDK and a server waits for is their start. While one
test runs, `Stock` starts what the next one will want: the same commands, only earlier. A child
serves one test and is never used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
END_S = 5.0
_LOOK_S = 0.01
_MAX_LINE_BYTES = 16 * 1024 * 1024

Command = tuple[str, ...]


class Child:
    """A process with its stdin and stdout on a loop, once `attach` was called on that loop."""

    def __init__(self, command: Command) -> None:
        ours, theirs = socket.socketpair()
        self._stdin = ours
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever ends the child
        with theirs:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                command, cwd=ROOT, stdin=theirs.fileno(), stdout=subprocess.PIPE, stderr=self.stderr
            )
        self.pid = self._process.pid
        self._reader: asyncio.StreamReader | None = None
        self._out: asyncio.ReadTransport | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def returncode(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    @property
    def words(self) -> str:
        """What it wrote to stderr so far; where it writes on is not touched."""
        file = self.stderr.fileno()
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")

    async def attach(self) -> None:
        """Read and write it on the running loop from now on."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_MAX_LINE_BYTES)
        self._reader = reader
        self._out, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self._process.stdout
        )
        _, self._writer = await asyncio.open_connection(sock=self._stdin)

    async def read_line(self) -> bytes:
        """Return the next line of its stdout; empty when there is no more."""
        assert self._reader is not None
        return await self._reader.readline()

    async def write_line(self, line: str) -> None:
        """Write to its stdin."""
        assert self._writer is not None
        self._writer.write(line.encode() + b"\n")
        await self._writer.drain()

    def end_stdin(self) -> None:
        """Let it read the end of its stdin."""
        if self._writer is not None:
            self._writer.close()
        else:
            self._stdin.close()

    async def wait(self) -> int:
        """Return its exit status when it has ended."""
        while (status := self.returncode) is None:  # noqa: ASYNC110 - the end is no event of ours
            await asyncio.sleep(_LOOK_S)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it without a goodbye."""
        self._process.kill()

    def detach(self) -> None:
        """Let the loop forget it; its stdin ends with that."""
        self.end_stdin()
        if self._out is not None:
            self._out.close()

    def end_within(self, seconds: float) -> None:
        """Wait for its end, off any loop; kill it when it does not come."""
        try:
            self._process.wait(max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self.stderr.close()


class Stock:
    """So many children of each command, started before they are wanted."""

    def __init__(self, wanted: Mapping[Command, int]) -> None:
        self._wanted = dict(wanted)
        self._spare: dict[Command, deque[Child]] = {command: deque() for command in wanted}
        self._leaving: deque[tuple[Child, float]] = deque()

    def take(self, command: Command) -> Child:
        """Return a child of this command that nobody else has; it may still be starting."""
        self._bury()
        spare = self._spare.get(command, deque())
        child = None
        while child is None and spare:
            child = spare.popleft()
            if child.returncode is not None:
                child.end_stdin()
                child.end_within(0.0)
                child = None
        # First the one that is wanted now.
        child = child or Child(command)
        while len(spare) < self._wanted.get(command, 0):
            spare.append(Child(command))
        return child

    def let_go(self, child: Child) -> None:
        """Leave a child that reads the end of its stdin to end by itself."""
        child.detach()
        self._leaving.append((child, time.monotonic() + END_S))

    def _bury(self) -> None:
        while self._leaving:
            child, until_s = self._leaving[0]
            if child.returncode is None and time.monotonic() < until_s:
                return
            self._leaving.popleft()
            child.end_within(0.0)

    def close(self) -> None:
        """End all."""
        for spare in self._spare.values():
            for child in spare:
                child.kill()
                child.detach()
                child.end_within(END_S)
        for child, until_s in self._leaving:
            child.end_within(until_s - time.monotonic())


_stocks: list[Stock] = []


@contextlib.contextmanager
def started_ahead(wanted: Mapping[Command, int]) -> Iterator[None]:
    """Keep so many children of each command ready."""
    stock = Stock(wanted)
    _stocks.append(stock)
    try:
        yield
    finally:
        _stocks.remove(stock)
        stock.close()


async def take_child(command: Command) -> Child:
    """Start a process, or take one that was started ahead."""
    child = _stocks[-1].take(command) if _stocks else Child(command)
    await child.attach()
    return child


async def let_go(child: Child) -> None:
    """End a child that ends with its stdin; whoever keeps a stock does not wait for it."""
    if _stocks:
        _stocks[-1].let_go(child)
        return
    child.detach()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            await child.wait()
    child.end_within(0.0)
