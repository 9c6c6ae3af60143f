"""What one participant's data may cost the others: a budget for what it sends, and patience with
what it does not read.

Reliable data is never dropped: who is over budget, or writes to somebody who has too much unread,
is not listened to for a while. Its messages then wait in its own transport and close its SCTP
window, so it is the sender who waits, and with it all its other readers. A reader who hardly reads
is cut off in the end, so that nobody waits for it for ever; sooner, when its signalling is gone as
well and it reads nothing at all, as of a program that was killed. Lossy messages over budget are
dropped and counted.

A message costs more the more people it goes to. Belongs to the server's loop. Hot path: `admits`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from app.server.room.data_router import DATA_TRACK, LOSSY, RELIABLE

log = structlog.get_logger(__name__)

# Messages a second, and at once. It is the receivers who set the measure: an application in Python
# that is sent a thousand small packets a second does nothing else. Data tracks are asked for.
RATE = {RELIABLE: 500.0, LOSSY: 500.0, DATA_TRACK: 6_000.0}
BURST = {RELIABLE: 250.0, LOSSY: 250.0, DATA_TRACK: 2_000.0}
# The pieces of a transfer are bounded by the windows they go through; they cost a part.
LARGE_BYTES = 4_096
LARGE_COST = 1 / 8
# What a message costs more for each receiver beyond the first.
RECEIVER_COST = 1 / 8

# Unread reliable data of one reader: above, its senders wait, until it is below again.
HIGH_BYTES = 2 << 20
LOW_BYTES = 1 << 20
# Several senders, the server's own packets and what waited for a joiner: still not without end.
MOST_BYTES = 32 << 20
# A reader whom others wait for has to read this much in that time: 210 kbit/s.
PATIENCE_S = 20.0
LEAST_READ_BYTES = 512 << 10
# Whoever lives without its socket reads on, or is back on another one before that: clients try it
# at once and then every few seconds.
GONE_S = 8.0
_LOOK_S = 2.0


class DataTransport(Protocol):
    """The participant's data channels."""

    def data_buffered(self, label: str) -> int:
        """Bytes that wait on a channel."""

    def when_data_below(self, label: str, below: int, callback: Callable[[], None]) -> None:
        """Call back once as soon as no more than that waits, or the channel is shut."""

    def hold_data(self) -> None:
        """Keep reliable messages of the peer back."""

    def release_data(self) -> None:
        """Hand them over again."""


class Bucket:
    """So much a second, and so much at once; may be overdrawn."""

    __slots__ = ("_burst", "_rate", "_since_s", "left")

    def __init__(self, rate: float, burst: float, now_s: float) -> None:
        self.left = burst
        self._rate, self._burst, self._since_s = rate, burst, now_s

    def take(self, cost: float, now_s: float) -> float:
        """Take, and return what is left then."""
        left = self.left + (now_s - self._since_s) * self._rate
        self._since_s = now_s
        self.left = min(left, self._burst) - cost
        return self.left

    def wait_s(self) -> float:
        """Return how long it takes until some of the burst is there again: a little at a time."""
        return max(0.0, (self._burst / 32 - self.left) / self._rate)


class DataFlow:
    """One participant as a sender and as a reader."""

    def __init__(
        self,
        sid: str,
        transport: DataTransport,
        cut_off: Callable[[], None],
        *,
        has_socket: Callable[[], bool] = lambda: True,
    ) -> None:
        """`has_socket` says whether the participant's signalling stands at this moment."""
        self.sid = sid
        self.is_congested = False
        self.dropped = 0
        self._transport = transport
        self._cut_off = cut_off
        self._has_socket = has_socket
        self._loop = asyncio.get_running_loop()
        now_s = self._loop.time()
        self._buckets = {label: Bucket(RATE[label], BURST[label], now_s) for label in RATE}
        self._budget_timer: asyncio.TimerHandle | None = None
        # Whom this sender waits for; itself, when it is over budget.
        self._waits_for: set[str] = set()
        self._waiting: list[DataFlow] = []
        self._patience: asyncio.TimerHandle | None = None
        self._unread_bytes = 0
        self._is_closed = False
        self._asked_since_s = 0.0
        self._least_bytes = 0
        self._read_at_s = 0.0

    # --- as a sender

    def admits(self, label: str, size_bytes: int) -> bool:
        """Whether a message that has arrived is passed on; it counts against the budget."""
        bucket = self._buckets.get(label)
        if bucket is None:
            return False
        cost = 1.0 if size_bytes < LARGE_BYTES else LARGE_COST
        left = bucket.take(cost, self._loop.time())
        if label == RELIABLE:
            if left < 0 and self._budget_timer is None:
                self.wait_for(self.sid)
                self._budget_timer = self._loop.call_later(bucket.wait_s(), self._on_budget)
            return True
        if left >= 0:
            return True
        bucket.left += cost
        self.dropped += 1
        return False

    def note_receivers(self, label: str, count: int) -> None:
        """Charge for more receivers than one."""
        bucket = self._buckets.get(label)
        if bucket is not None and count > 1:
            bucket.left -= (count - 1) * RECEIVER_COST

    def _on_budget(self) -> None:
        self._budget_timer = None
        bucket = self._buckets[RELIABLE]
        if bucket.take(0.0, self._loop.time()) < 0:
            self._budget_timer = self._loop.call_later(bucket.wait_s(), self._on_budget)
        else:
            self.go_on(self.sid)

    def wait_for(self, sid: str) -> None:
        """Be not listened to until `go_on` for everybody who is waited for."""
        if not self._waits_for and not self._is_closed:
            self._transport.hold_data()
        self._waits_for.add(sid)

    def go_on(self, sid: str) -> None:
        """Wait for this one no longer."""
        self._waits_for.discard(sid)
        if not self._waits_for and not self._is_closed:
            self._transport.release_data()

    # --- as a reader

    def note_sent(self, sender: DataFlow | None) -> None:
        """A reliable message was queued for this reader: let its sender wait if that is much."""
        unread = self._transport.data_buffered(RELIABLE)
        if unread <= HIGH_BYTES and not self.is_congested:
            return
        if unread > MOST_BYTES:
            self._give_up(unread)
            return
        if not self.is_congested:
            self.is_congested = True
            self._unread_bytes = self._least_bytes = unread
            self._asked_since_s = self._read_at_s = self._loop.time()
            self._patience = self._loop.call_later(_LOOK_S, self._on_patience)
            self._transport.when_data_below(RELIABLE, LOW_BYTES, self._on_read)
        if sender is not None and self.is_congested and sender not in self._waiting:
            self._waiting.append(sender)
            sender.wait_for(self.sid)

    def _on_read(self) -> None:
        self.is_congested = False
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        waiting, self._waiting = self._waiting, []
        for sender in waiting:
            sender.go_on(self.sid)

    def _on_patience(self) -> None:
        unread, now_s = self._transport.data_buffered(RELIABLE), self._loop.time()
        if unread < self._least_bytes or self._has_socket():
            self._read_at_s = now_s
        self._least_bytes = min(self._least_bytes, unread)
        if now_s - self._read_at_s >= GONE_S:
            self._give_up(unread)
            return
        if now_s - self._asked_since_s >= PATIENCE_S:
            if self._unread_bytes - unread < LEAST_READ_BYTES:
                self._give_up(unread)
                return
            self._unread_bytes, self._asked_since_s = unread, now_s
        self._patience = self._loop.call_later(_LOOK_S, self._on_patience)

    def _give_up(self, unread_bytes: int) -> None:
        if self._is_closed:
            return
        log.warning("participant does not read its data", participant=self.sid, bytes=unread_bytes)
        self.close()
        self._cut_off()

    def close(self) -> None:
        """Let those who wait go on. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._budget_timer is not None:
            self._budget_timer.cancel()
        self._on_read()
        if self.dropped:
            log.warning("data over budget dropped", participant=self.sid, count=self.dropped)
