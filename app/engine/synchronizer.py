"""Pictures at an even rate beside sound that a source plays."""

from __future__ import annotations

import asyncio
import time
from collections import deque

import structlog

from app.engine.audio_source import AudioSource
from app.engine.frames import AudioFrame, VideoFrame
from app.engine.video_source import VideoSource
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)


class AVSynchronizer:
    """Hands sound to its source at once and pictures at `video_fps`.

    At most `video_queue_size_ms` of pictures wait; then `push` waits. More than
    `_max_delay_tolerance_ms` behind, the schedule starts afresh instead of hurrying.
    """

    def __init__(
        self,
        *,
        audio_source: AudioSource,
        video_source: VideoSource,
        video_fps: float,
        video_queue_size_ms: float = 100,
        _max_delay_tolerance_ms: float = 300,
    ) -> None:
        self._audio_source = audio_source
        self._video_source = video_source
        self._interval_s = 1.0 / video_fps
        self._tolerance_s = _max_delay_tolerance_ms / 1000
        # An empty limit means no limit, as in every asyncio queue.
        waiting = int(video_fps * video_queue_size_ms / 1000)
        capacity = max(1, waiting) if video_queue_size_ms > 0 else 0
        self._queue: asyncio.Queue[tuple[VideoFrame, float | None]] = asyncio.Queue(capacity)
        self._due_s: float | None = None
        self._shown: deque[float] = deque(maxlen=max(2, int(video_fps)))
        self._last_video_time = 0.0
        self._last_audio_time = 0.0
        self._tasks = TaskOwner("av-synchronizer")
        spawn(self._show_all(), name="show", owner=self._tasks)

    async def push(self, frame: VideoFrame | AudioFrame, timestamp: float | None = None) -> None:
        """Add sound or a picture; `timestamp` is where it lies (sound: ends) in the medium."""
        if isinstance(frame, AudioFrame):
            await self._audio_source.capture_frame(frame)
            if timestamp is not None:
                self._last_audio_time = timestamp
        else:
            await self._queue.put((frame, timestamp))

    async def clear_queue(self) -> None:
        """Forget what waits."""
        self._audio_source.clear_queue()
        while not self._queue.empty():
            self._queue.get_nowait()
            self._queue.task_done()

    async def wait_for_playout(self) -> None:
        """Wait until everything has gone out."""
        await asyncio.gather(self._audio_source.wait_for_playout(), self._queue.join())

    def reset(self) -> None:
        """Start the schedule afresh with the next picture."""
        self._due_s = None
        self._shown.clear()

    async def _show_all(self) -> None:
        while True:
            frame, timestamp = await self._queue.get()
            try:
                await self._wait_until_due()
                self._video_source.capture_frame(frame)
            finally:
                self._queue.task_done()
            if timestamp is not None:
                self._last_video_time = timestamp

    async def _wait_until_due(self) -> None:
        now_s = time.perf_counter()
        if self._due_s is None or now_s - self._due_s > self._tolerance_s:
            if self._due_s is not None:
                log.warning("pictures fell behind", late_ms=round((now_s - self._due_s) * 1000))
            self._due_s = now_s
        await asyncio.sleep(max(0.0, self._due_s - now_s))
        self._due_s += self._interval_s
        self._shown.append(time.perf_counter())

    async def aclose(self) -> None:
        """Stop."""
        await self._tasks.close()

    @property
    def actual_fps(self) -> float:
        """Pictures per second over the last second."""
        if len(self._shown) < 2:
            return 0.0
        return (len(self._shown) - 1) / (self._shown[-1] - self._shown[0])

    @property
    def last_video_time(self) -> float:
        """Where the last picture lies in the medium."""
        return self._last_video_time

    @property
    def last_audio_time(self) -> float:
        """Where the sound lies that is heard now."""
        return self._last_audio_time - self._audio_source.queued_duration
