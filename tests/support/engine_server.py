"""A server to test against: ours as a process of its own, or the one that is named.

`LANAI_TEST_SERVER` names a running server (`ws://host:port`), `LANAI_TEST_KEY` and
`LANAI_TEST_SECRET` its key; without them the reference's development key is taken.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from app.protocol.token import VideoGrant, issue_token
from tests.support.server_process import KEY, SECRET, ServerProcess

NAMED_SERVER = "LANAI_TEST_SERVER"


@dataclass(frozen=True)
class ServerUnderTest:
    """Where it is and how to get in; each has a room name of its own."""

    url: str
    api_key: str
    api_secret: str
    room: str
    pid: int = 0

    def token(self, identity: str, *, name: str = "", **grants: Any) -> str:
        """Issue a token for the room."""
        return issue_token(
            api_key=self.api_key,
            api_secret=self.api_secret,
            identity=identity,
            now_s=int(time.time()),
            name=name,
            grant=VideoGrant(room_join=True, room=self.room, can_update_own_metadata=True),
        )


def named_server() -> ServerUnderTest | None:
    """Return the server that the environment names, or None."""
    url = os.environ.get(NAMED_SERVER, "")
    if not url:
        return None
    return ServerUnderTest(
        url,
        os.environ.get("LANAI_TEST_KEY", "devkey"),
        os.environ.get("LANAI_TEST_SECRET", "secret-secret-secret-secret-secret-32"),
        f"test-{uuid.uuid4().hex[:8]}",
    )


@contextlib.asynccontextmanager
async def our_server() -> AsyncIterator[ServerUnderTest]:
    """Run `main.py serve` until the test is over; any failure shows its stderr."""
    async with ServerProcess() as process:
        room = f"test-{uuid.uuid4().hex[:8]}"
        yield ServerUnderTest(process.url, KEY, SECRET, room, process.pid)
