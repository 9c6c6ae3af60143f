"""Sound that a script or a device puts into tracks.

Scripts capture frames faster than they sound; the source queues up to `queue_size_ms` and a
thread of its own lets 20 ms go every 20 ms. With `queue_size_ms=0` nothing is queued: what comes
in goes out at once, at the pace of whoever captures. The thread ends when nothing has come for a
second and starts again with the next frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from app.engine.frames import AudioFrame
from app.media.frames import SAMPLE_RATE_HZ, Pcm
from app.media.resample import Resampler, to_channels
from app.media.threads import MediaThread

BLOCK_SAMPLES = 960
BLOCK_S = BLOCK_SAMPLES / SAMPLE_RATE_HZ
TAIL_PATIENCE_S = 0.060  # an incomplete block waits this long for the rest
SILENT_BLOCKS = 10  # sent when a queue runs dry, so that receivers do not hear a cut
IDLE_S = 1.0
CATCH_UP_S = 0.100

AudioSink = Callable[[Pcm, int], None]


class AudioSource:
    """A source of sound for `LocalAudioTrack`s."""

    def __init__(
        self,
        sample_rate: int,
        num_channels: int,
        queue_size_ms: int = 1000,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._sample_rate = sample_rate
        self._num_channels = num_channels
        self._channels = min(num_channels, 2)
        self._loop = loop
        self._resampler = Resampler(sample_rate, SAMPLE_RATE_HZ, self._channels)
        self._capacity = queue_size_ms * SAMPLE_RATE_HZ // 1000
        self._condition = threading.Condition()
        self._queue = _SampleQueue(self._channels)
        self._sinks: tuple[AudioSink, ...] = ()
        self._pacer: MediaThread | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._joiners: list[asyncio.Future[None]] = []
        self._position = 0
        self._stopped_at_s: float | None = None
        self._playing_until_s = 0.0
        self._closed = False

    @property
    def sample_rate(self) -> int:
        """Samples per second of the frames that are captured."""
        return self._sample_rate

    @property
    def num_channels(self) -> int:
        """Channels of the frames that are captured."""
        return self._num_channels

    @property
    def channels_sent(self) -> int:
        """1 or 2: what tracks of this source encode."""
        return self._channels

    @property
    def queued_duration(self) -> float:
        """Seconds of sound that wait."""
        with self._condition:
            return len(self._queue) / SAMPLE_RATE_HZ

    def add_sink(self, sink: AudioSink) -> None:
        """Give every 20 ms to `sink(pcm, position)`, on the source's thread."""
        with self._condition:
            self._sinks = (*self._sinks, sink)

    def remove_sink(self, sink: AudioSink) -> None:
        """Stop giving to `sink`."""
        with self._condition:
            self._sinks = tuple(s for s in self._sinks if s != sink)

    async def capture_frame(self, frame: AudioFrame) -> None:
        """Queue a frame; returns when all of it is in the queue."""
        if frame.samples_per_channel == 0 or self._closed:
            return
        if frame.sample_rate != self._sample_rate or frame.num_channels != self._num_channels:
            raise ValueError(
                f"sample_rate and num_channels don't match: {frame.sample_rate} Hz, "
                f"{frame.num_channels} channels into {self._sample_rate} Hz, {self._num_channels}"
            )
        pcm = self._resampler.push(to_channels(frame.to_pcm(), self._channels))
        if self._capacity == 0:
            self._pass_on(pcm)
            return
        start = 0
        while start < len(pcm) and not self._closed:
            waiter: asyncio.Future[None] | None = None
            with self._condition:
                # At least one block fits always, however small the queue was asked to be.
                room = max(self._capacity, BLOCK_SAMPLES) - len(self._queue)
                if room > 0:
                    self._queue.append(pcm[start : start + room].copy())
                    start += room
                    self._start_pacer()
                    self._condition.notify()
                else:
                    self._bind_loop()
                    waiter = asyncio.get_running_loop().create_future()
                    self._waiters.append(waiter)
            if waiter is not None:
                await waiter

    def feed_pcm(self, pcm: Pcm) -> None:
        """Take sound from a device's thread, 48 kHz; it goes out at once, nothing waits."""
        if not self._closed:
            self._pass_on(to_channels(pcm, self._channels))

    def _pass_on(self, pcm: Pcm) -> None:
        with self._condition:
            self._queue.append(pcm.copy())
        while True:
            with self._condition:
                if len(self._queue) < BLOCK_SAMPLES:
                    self._stopped_at_s = time.monotonic()
                    return
                self._account_for_pause()
                block = self._queue.take(BLOCK_SAMPLES)
            self._emit(block)

    def clear_queue(self) -> None:
        """Forget what waits."""
        with self._condition:
            self._queue.clear()
            waiters, self._waiters = self._waiters, []
            joiners, self._joiners = self._joiners, []
            self._condition.notify()
        self._resolve([*waiters, *joiners])

    async def wait_for_playout(self) -> None:
        """Wait until everything has gone out."""
        with self._condition:
            if not len(self._queue) and time.monotonic() >= self._playing_until_s:
                return
            if self._pacer is None:
                return
            self._bind_loop()
            joiner: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._joiners.append(joiner)
        await joiner

    async def aclose(self) -> None:
        """End; later frames are ignored."""
        with self._condition:
            self._closed = True
            self._sinks = ()
            pacer = self._pacer
        self.clear_queue()
        if pacer is not None:
            pacer.stop(self._wake)

    def _bind_loop(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def _start_pacer(self) -> None:
        if self._pacer is None and not self._closed:
            self._bind_loop()
            self._pacer = MediaThread("audio-source", self._pace)
            self._pacer.start()

    def _resolve(self, futures: list[asyncio.Future[None]]) -> None:
        if futures and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # a closed loop waits for nothing
                self._loop.call_soon_threadsafe(_resolve_all, futures)

    def _account_for_pause(self) -> None:
        """Move on by the time in which nothing was sent, in whole blocks."""
        if self._stopped_at_s is not None:
            blocks = int((time.monotonic() - self._stopped_at_s) / BLOCK_S)
            self._position += max(0, blocks - 1) * BLOCK_SAMPLES
            self._stopped_at_s = None

    def _emit(self, block: Pcm) -> None:
        position = self._position
        self._position += BLOCK_SAMPLES
        for sink in self._sinks:
            sink(block, position)

    def _pace(self, thread: MediaThread) -> None:
        due_s = time.monotonic()
        silent = 0
        while not thread.stopping.is_set():
            block = self._next_block(thread, silent < SILENT_BLOCKS)
            if block is None:
                with self._condition:
                    self._stopped_at_s = time.monotonic()
                    if not self._wait_for_sound(thread):
                        self._pacer = None
                        return
                    self._account_for_pause()
                due_s = time.monotonic()
                silent = 0
                continue
            silent = 0 if block.any() else silent + 1
            self._emit(block)
            due_s = max(due_s + BLOCK_S, time.monotonic() - CATCH_UP_S)
            with self._condition:
                self._playing_until_s = due_s
            thread.stopping.wait(max(0.0, due_s - time.monotonic()))

    def _next_block(self, thread: MediaThread, may_be_silent: bool) -> Pcm | None:
        """Return 20 ms, padded with silence where a tail or nothing is left; None to pause."""
        patience_s = TAIL_PATIENCE_S
        with self._condition:
            deadline_s = time.monotonic() + patience_s
            while len(self._queue) < BLOCK_SAMPLES and not thread.stopping.is_set():
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or not len(self._queue):
                    break
                self._condition.wait(left_s)
            waiting = len(self._queue)
            block = self._queue.take(BLOCK_SAMPLES)
            waiters, self._waiters = self._waiters, []
            joiners: list[asyncio.Future[None]] = []
            if not waiting:
                joiners, self._joiners = self._joiners, []
        self._resolve([*waiters, *joiners])
        if not waiting and not may_be_silent:
            return None
        return block

    def _wait_for_sound(self, thread: MediaThread) -> bool:
        until_s = time.monotonic() + IDLE_S
        while not len(self._queue):
            left_s = until_s - time.monotonic()
            if left_s <= 0 or thread.stopping.is_set():
                return False
            self._condition.wait(left_s)
        return True


def _resolve_all(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


class _SampleQueue:
    """Samples in order; not safe by itself."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._pieces: deque[Pcm] = deque()
        self._samples = 0

    def __len__(self) -> int:
        return self._samples

    def append(self, pcm: Pcm) -> None:
        self._pieces.append(pcm)
        self._samples += len(pcm)

    def take(self, samples: int) -> Pcm:
        """Return exactly `samples`, silence where there are fewer."""
        block = np.zeros((samples, self._channels), np.int16)
        filled = 0
        while filled < samples and self._pieces:
            piece = self._pieces[0]
            count = min(len(piece), samples - filled)
            block[filled : filled + count] = piece[:count]
            filled += count
            if count == len(piece):
                self._pieces.popleft()
            else:
                self._pieces[0] = piece[count:]
        self._samples -= filled
        return block

    def clear(self) -> None:
        self._pieces.clear()
        self._samples = 0
