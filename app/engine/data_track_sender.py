"""Frames on their way into the `_data_track` channel: whole, in order, and not too many.

The channel is not asked to hold more than 100 ms of what it has lately carried, within 8 and
256 KiB. What does not fit waits here, a few frames of each track, and the oldest gives way as a
whole: a frame of which a packet is missing would only cost bandwidth.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from app.runtime.errors import WorldError
from app.runtime.tasks import TaskOwner, spawn

DATA_TRACK = "_data_track"
LEAST_BYTES = 8 << 10
MOST_BYTES = 256 << 10
BACKLOG_S = 0.1
WINDOW_S = 1.0
WAITING_FRAMES = 16
WAITING_BYTES = 256 << 10


class Channels(Protocol):
    """The data channels of a connection."""

    def buffered_bytes(self, label: str) -> int:
        """Bytes that wait for the network."""

    async def drain(self, label: str, below_bytes: int) -> None:
        """Wait until at most that many bytes wait."""

    def send_message(self, label: str, data: bytes) -> None:
        """Queue a message."""


class DataTrackSender:
    """Sends frames of all our data tracks over the current connection.

    `channels` returns the connection whose `_data_track` channel is open, or None.
    """

    def __init__(self, channels: Callable[[], Channels | None], tasks: TaskOwner) -> None:
        self._channels = channels
        self._tasks = tasks
        self._waiting: deque[tuple[int, Sequence[bytes]]] = deque()
        self._rest: deque[bytes] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._allowed_bytes = LEAST_BYTES
        self._since_s = 0.0
        self._sent_bytes = 0
        self._buffered_then = 0
        self.sent_frames = 0
        self.dropped_frames = 0

    def send(self, track: int, packets: Sequence[bytes]) -> None:
        """Send the packets of a frame, now or as soon as there is room."""
        if not packets:
            return
        self._waiting.append((track, packets))
        self._evict(track)
        if self._pump is None:
            self._flush()

    def forget(self, track: int | None = None) -> None:
        """Drop what waits, of one track or of all."""
        kept = [] if track is None else [each for each in self._waiting if each[0] != track]
        self.dropped_frames += len(self._waiting) - len(kept)
        self._waiting = deque(kept)
        if track is None:
            self._rest.clear()

    def _evict(self, track: int) -> None:
        mine = [each for each in self._waiting if each[0] == track]
        size = sum(len(packet) for _, packets in mine for packet in packets)
        while len(mine) > 1 and (len(mine) > WAITING_FRAMES or size > WAITING_BYTES):
            oldest = mine.pop(0)
            size -= sum(map(len, oldest[1]))
            self._waiting.remove(oldest)
            self.dropped_frames += 1

    def _flush(self) -> None:
        """Send what there is room for, and wait in the background for the rest."""
        channels = self._channels()
        try:
            if channels is None or not self._send_some(channels):
                return
        except WorldError:
            self.forget()
            return
        if self._pump is None:
            self._pump = spawn(self._run(), name="data-track-send", owner=self._tasks)

    def _send_some(self, channels: Channels) -> bool:
        """Send until the channel is full; say whether something is left."""
        while self._rest or self._waiting:
            if self._buffered(channels) > self._allowed_bytes:
                return True
            if not self._rest:
                _, packets = self._waiting.popleft()
                self._rest.extend(packets)
                self.sent_frames += 1
            packet = self._rest.popleft()
            channels.send_message(DATA_TRACK, packet)
            self._sent_bytes += len(packet)
        return False

    def _buffered(self, channels: Channels) -> int:
        buffered = channels.buffered_bytes(DATA_TRACK)
        now_s = asyncio.get_running_loop().time()
        elapsed_s = now_s - self._since_s
        if elapsed_s >= WINDOW_S:
            carried = self._sent_bytes - buffered + self._buffered_then
            backlog = int(max(carried, 0) / elapsed_s * BACKLOG_S)
            self._allowed_bytes = min(max(backlog, LEAST_BYTES), MOST_BYTES)
            self._since_s, self._sent_bytes, self._buffered_then = now_s, 0, buffered
        return buffered

    async def _run(self) -> None:
        try:
            while (channels := self._channels()) is not None:
                await channels.drain(DATA_TRACK, self._allowed_bytes)
                if not self._send_some(channels):
                    return
            self.forget()
        except WorldError:
            # The connection is gone; frames of its time are of no more use.
            self.forget()
        finally:
            self._pump = None
