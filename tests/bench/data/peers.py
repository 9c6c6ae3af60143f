"""What the data benchmarks share: the server under test, tokens, CPU time."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from livekit import api

from tests.support.server_process import KEY, SECRET, ServerProcess


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Let a server be named that is running already."""
    parser.add_argument("--url", default="")
    parser.add_argument("--key", default="devkey")
    parser.add_argument("--secret", default="secret")
    parser.add_argument("--pid", type=int, default=0)


@contextlib.asynccontextmanager
async def server_for(
    options: argparse.Namespace,
) -> AsyncIterator[tuple[str, str, str, int]]:
    """URL, key, secret and process id of the named server, or of ours, started for this."""
    if options.url:
        yield options.url, options.key, options.secret, options.pid or os.getpid()
        return
    async with ServerProcess("--log-level", "warning") as server:
        yield server.url, KEY, SECRET, server.pid


def wheel_token(key: str, secret: str, identity: str, room: str = "bench-data") -> str:
    """Issue a token by the official server SDK."""
    grant = api.VideoGrants(room_join=True, room=room)
    return api.AccessToken(key, secret).with_identity(identity).with_grants(grant).to_jwt()


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentile(values: list[float], share: float) -> float:
    """Return the value below which that share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
