"""Brings reports to their receivers: one queue per address and room, tried again, bounded.

A queue is delivered in its order, so a report that has to be tried again holds back those behind
it, and those alone. What waited too long, or came when too many waited, is dropped and counted:
a receiver that is gone costs a little memory and never a room's time.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections import deque
from dataclasses import dataclass, field

import aiohttp
import structlog

from app.protocol.token import VideoGrant, issue_token
from app.runtime.budget import Budget
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

ATTEMPT_TIMEOUT_S = 5.0
RETRY_WAITS_S = (1.0, 2.0, 4.0, 8.0)
# However long a receiver asks us to wait: the other reports get old meanwhile.
MAX_RETRY_AFTER_S = 30.0
MAX_QUEUED = 200
MAX_AGE_S = 30.0
# Of all queues together: a report of somebody's metadata may be half a megabyte.
MAX_QUEUED_BYTES = 32 * 1024 * 1024
TOKEN_TTL_S = 300
# To each receiver: one that hangs takes none from the others.
MAX_CONNECTIONS = 100


@dataclass
class DeliveryCounts:
    """What became of reports, per address they were for."""

    delivered: int = 0
    failed: int = 0
    dropped: int = 0
    retried: int = 0


@dataclass(frozen=True)
class Report:
    """One event on its way; the id and the bytes stay the same however often it is tried."""

    id: str
    event: str
    body: bytes = field(repr=False)
    queued_at_s: float = 0.0


def retry_wait_s(attempt: int, status: int, retry_after: str) -> float | None:
    """Say how long to wait after a failed attempt (0 is the first); None gives up.

    `status` 0 means no answer at all, -1 an address that is none. Only what may be better next
    time is tried again.
    """
    may_help = status in (0, 429) or (status >= 500 and status != 501)
    if not may_help or attempt >= len(RETRY_WAITS_S):
        return None
    asked_s = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
    return max(RETRY_WAITS_S[attempt], min(asked_s, MAX_RETRY_AFTER_S))


class Delivery:
    """All queues of one server; lives on its loop."""

    def __init__(self, api_key: str, api_secret: str, tasks: TaskOwner) -> None:
        self.counts = DeliveryCounts()
        self._api_key = api_key
        self._api_secret = api_secret
        self._tasks = tasks
        self._queues: dict[tuple[str, str], deque[Report]] = {}
        self._queued_bytes = 0
        self._workers: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._lines = Budget(rate=0.2, burst=20)

    @property
    def waiting(self) -> int:
        """How many reports are on their way."""
        return sum(len(queue) for queue in self._queues.values())

    def put(self, url: str, room: str, report: Report) -> None:
        """Queue a report; returns at once."""
        key = (url, room)
        queue = self._queues.get(key)
        is_full = self._queued_bytes + len(report.body) > MAX_QUEUED_BYTES
        if is_full or (queue is not None and len(queue) >= MAX_QUEUED):
            self._drop(report, "too many wait")
            return
        if queue is None:
            queue = self._queues[key] = deque()
            worker = spawn(self._run(key, queue), name="webhook", owner=self._tasks)
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        queue.append(report)
        self._queued_bytes += len(report.body)

    async def close(self, *, drain_s: float) -> None:
        """Give what is queued a moment to leave, then stop."""
        if self._workers:
            await asyncio.wait(set(self._workers), timeout=drain_s)
        for worker in list(self._workers):
            worker.cancel()
        if self._workers:
            await asyncio.wait(set(self._workers))
        if self._session is not None:
            await self._session.close()

    async def _run(self, key: tuple[str, str], queue: deque[Report]) -> None:
        try:
            while queue:
                if _now_s() - queue[0].queued_at_s > MAX_AGE_S:
                    self._drop(queue[0], "waited too long")
                else:
                    await self._deliver(key[0], queue[0])
                self._queued_bytes -= len(queue.popleft().body)
        finally:
            # Whatever happens, the next report starts a new worker.
            del self._queues[key]
            for report in queue:
                self._queued_bytes -= len(report.body)
                self._drop(report, "the server stopped")

    async def _deliver(self, url: str, report: Report) -> None:
        attempt = 0
        while True:
            status, retry_after, error = await self._post(url, report.body)
            if 200 <= status < 300:
                self.counts.delivered += 1
                log.debug(
                    "webhook delivered", webhook=report.event, id=report.id, attempts=attempt + 1
                )
                return
            wait_s = retry_wait_s(attempt, status, retry_after)
            what = "webhook refused" if status > 0 else "webhook not delivered"
            fact = status if status > 0 else error
            self._warn(what, webhook=report.event, id=report.id, why=fact, again_in_s=wait_s)
            if wait_s is None:
                self.counts.failed += 1
                return
            self.counts.retried += 1
            attempt += 1
            await asyncio.sleep(wait_s)

    async def _post(self, url: str, body: bytes) -> tuple[int, str, str]:
        """Try once; return status (see `retry_wait_s`), `Retry-After`, and the error's name."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=MAX_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT_S),
            )
        headers = {"Content-Type": "application/webhook+json", "Authorization": self._sign(body)}
        try:
            # A redirect would send what is signed for one address elsewhere.
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as response:
                return response.status, response.headers.get("Retry-After", "").strip(), ""
        except (aiohttp.InvalidURL, ValueError) as error:
            # No address at all: trying again is pointless.
            return -1, "", type(error).__name__
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return 0, "", type(error).__name__

    def _sign(self, body: bytes) -> str:
        return issue_token(
            api_key=self._api_key,
            api_secret=self._api_secret,
            identity="",
            now_s=time.time(),
            ttl_s=TOKEN_TTL_S,
            grant=VideoGrant(),
            sha256=base64.b64encode(hashlib.sha256(body).digest()).decode(),
        )

    def _drop(self, report: Report, reason: str) -> None:
        self.counts.dropped += 1
        self._warn("webhook dropped", webhook=report.event, id=report.id, reason=reason)

    def _warn(self, what: str, **facts: object) -> None:
        """Log, unless a receiver that is down has filled enough lines already."""
        if self._lines.allow(time.monotonic()):
            log.warning(what, **facts)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
