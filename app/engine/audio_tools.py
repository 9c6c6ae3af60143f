"""Tools for scripts that work on sound: another rate, a mix, cleaning, a test tone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import numpy as np
import structlog

from app.engine.enums import AudioResamplerQuality
from app.engine.frames import AudioFrame
from app.media.frames import Pcm
from app.media.resample import Resampler
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

MAX_STALLED_ROUNDS = 10
EMPTY_WAIT_S = 0.010


class AudioResampler:
    """Sound at another rate, piece by piece. All qualities use the same good filter."""

    def __init__(
        self,
        input_rate: int,
        output_rate: int,
        *,
        num_channels: int = 1,
        quality: AudioResamplerQuality = AudioResamplerQuality.MEDIUM,
    ) -> None:
        self._input_rate = input_rate
        self._output_rate = output_rate
        self._num_channels = num_channels
        self._resampler = Resampler(input_rate, output_rate, num_channels)

    def push(self, data: bytearray | AudioFrame) -> list[AudioFrame]:
        """Add sound and return what is ready."""
        if isinstance(data, AudioFrame):
            pcm = data.to_pcm()
        else:
            pcm = np.frombuffer(bytes(data), dtype=np.int16).reshape(-1, self._num_channels)
        return self._frames(self._resampler.push(pcm))

    def flush(self) -> list[AudioFrame]:
        """Return what is still inside."""
        return self._frames(self._resampler.flush())

    def _frames(self, pcm: Pcm) -> list[AudioFrame]:
        return [AudioFrame.from_pcm(pcm, self._output_rate)] if len(pcm) else []


class AudioMixer:
    """Adds several async streams of frames to one.

    A stream that has nothing within `stream_timeout_ms` is left out of that round. At most
    `capacity` frames wait; then mixing waits for the reader.
    """

    def __init__(
        self,
        sample_rate: int,
        num_channels: int,
        *,
        blocksize: int = 0,
        stream_timeout_ms: int = 100,
        capacity: int = 100,
    ) -> None:
        self._sample_rate = sample_rate
        self._num_channels = num_channels
        self._block = blocksize or sample_rate // 10
        self._timeout_s = stream_timeout_ms / 1000
        self._inputs: dict[AsyncIterator[AudioFrame], _MixerInput] = {}
        self._queue: asyncio.Queue[AudioFrame | None] = asyncio.Queue(capacity)
        self._ending = False
        self._tasks = TaskOwner("audio-mixer")
        self._task = spawn(self._mix(), name="mix", owner=self._tasks)

    def add_stream(self, stream: AsyncIterator[AudioFrame]) -> None:
        """Mix this stream in."""
        if self._ending:
            raise RuntimeError("Cannot add stream after mixer has been closed")
        self._inputs.setdefault(stream, _MixerInput(stream, self._num_channels, self._tasks))

    def remove_stream(self, stream: AsyncIterator[AudioFrame]) -> None:
        """Leave this stream out."""
        removed = self._inputs.pop(stream, None)
        if removed is not None:
            removed.cancel()

    def end_input(self) -> None:
        """Finish when the present streams have ended."""
        self._ending = True

    async def aclose(self) -> None:
        """Stop at once."""
        self._ending = True
        await self._tasks.close()

    def __aiter__(self) -> AudioMixer:
        return self

    async def __anext__(self) -> AudioFrame:
        frame = await self._queue.get()
        if frame is None:
            raise StopAsyncIteration
        return frame

    async def _mix(self) -> None:
        while self._inputs or not self._ending:
            if not self._inputs:
                await asyncio.sleep(EMPTY_WAIT_S)
                continue
            inputs = list(self._inputs.values())
            await asyncio.gather(*(each.fill(self._block, self._timeout_s) for each in inputs))
            pieces = [each.take(self._block) for each in inputs if each.has_sound]
            for each in inputs:
                if each.is_over or (self._ending and each.stalled >= MAX_STALLED_ROUNDS):
                    self.remove_stream(each.stream)
            if pieces:
                total = np.sum(np.stack(pieces).astype(np.int32), axis=0)
                mixed = np.clip(total, -32768, 32767).astype(np.int16)
                await self._queue.put(AudioFrame.from_pcm(mixed, self._sample_rate))
        await self._queue.put(None)


class _MixerInput:
    def __init__(self, stream: AsyncIterator[AudioFrame], channels: int, tasks: TaskOwner) -> None:
        self.stream = stream
        self.stalled = 0
        self._channels = channels
        self._tasks = tasks
        self._kept: Pcm = np.zeros((0, channels), np.int16)
        self._reading: asyncio.Task[AudioFrame | None] | None = None
        self._exhausted = False

    @property
    def has_sound(self) -> bool:
        return len(self._kept) > 0

    @property
    def is_over(self) -> bool:
        return self._exhausted and not self.has_sound

    async def fill(self, samples: int, timeout_s: float) -> None:
        """Read until there are `samples`, the stream ends, or it keeps us waiting."""
        while len(self._kept) < samples and not self._exhausted:
            # A read that took too long goes on: cancelling it would end a generator for good.
            if self._reading is None:
                self._reading = spawn(self._read(), name="read", owner=self._tasks)
            done, _ = await asyncio.wait({self._reading}, timeout=timeout_s)
            if not done:
                self.stalled += 1
                return
            self.stalled = 0
            frame, self._reading = self._reading.result(), None
            if frame is None:
                self._exhausted = True
                return
            self._kept = np.concatenate((self._kept, frame.to_pcm()))

    async def _read(self) -> AudioFrame | None:
        try:
            return await anext(self.stream)
        except StopAsyncIteration:
            return None

    def take(self, samples: int) -> Pcm:
        """Return exactly `samples`, silence at the end."""
        block = np.zeros((samples, self._channels), np.int16)
        count = min(samples, len(self._kept))
        block[:count] = self._kept[:count]
        self._kept = self._kept[count:]
        return block

    def cancel(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            with contextlib.suppress(RuntimeError):
                self._reading.cancel()
