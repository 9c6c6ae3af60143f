"""Sound of a track as an async iterator of frames, in real time.

A timer on the loop pulls from a jitter buffer of the stream's own, so frames come evenly however
packets came, with silence in pauses. They begin with the first packet and end with the
subscription; a stream made from a participant waits for that participant's next track instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog

from app.engine.enums import TrackSource
from app.engine.frame_processor import FrameProcessor
from app.engine.frames import AudioFrame
from app.engine.participant import Participant, RemoteParticipant
from app.engine.publication import RemoteTrackPublication
from app.engine.ring import FrameRing
from app.engine.track import LocalAudioTrack, RemoteAudioTrack, Track
from app.media.decode.audio import AudioReceiveStream
from app.media.frames import SAMPLE_RATE_HZ, Pcm
from app.media.resample import Resampler, to_channels

log = structlog.get_logger(__name__)

PULL_S = 0.010
DEFAULT_FRAME_MS = 10
LATE_PULLS = 20  # after a stall of the loop, at most this many pulls make up for it


@dataclass
class AudioFrameEvent:
    """One frame of an `AudioStream`."""

    frame: AudioFrame


@dataclass
class NoiseCancellationOptions:
    """A filter module of the official cloud; not available here."""

    module_id: str
    options: dict[str, Any]


class AudioStream:
    """Frames of one track, or of one source of a participant."""

    def __init__(
        self,
        track: Track,
        loop: asyncio.AbstractEventLoop | None = None,
        capacity: int = 0,
        sample_rate: int = 48000,
        num_channels: int = 1,
        frame_size_ms: int | None = None,
        noise_cancellation: NoiseCancellationOptions | FrameProcessor[AudioFrame] | None = None,
        auto_close_noise_cancellation: bool = True,
        **kwargs: Any,
    ) -> None:
        if isinstance(noise_cancellation, NoiseCancellationOptions):
            raise NotImplementedError("noise cancellation by filter modules")
        self._loop = loop or asyncio.get_running_loop()
        self._ring: FrameRing[AudioFrameEvent] = FrameRing(self._loop, capacity)
        self._framer = _Framer(sample_rate, num_channels, frame_size_ms or DEFAULT_FRAME_MS)
        self._processor = noise_cancellation
        self._auto_close = auto_close_noise_cancellation
        self._closers: list[Callable[[], None]] = []
        self._track: RemoteAudioTrack | None = None
        self._forget_context: Callable[[], None] | None = None
        self._buffer: AudioReceiveStream | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self._has_begun = False
        self._ended = False
        if "participant" in kwargs:
            self._follow(kwargs["participant"], kwargs["track_source"])
        elif isinstance(track, RemoteAudioTrack):
            self._attach(track)
            track.on_end(self._end)
        elif isinstance(track, LocalAudioTrack):
            self._listen_to(track)
        else:
            raise TypeError("an AudioStream needs an audio track")

    @classmethod
    def from_participant(
        cls,
        *,
        participant: Participant,
        track_source: TrackSource,
        loop: asyncio.AbstractEventLoop | None = None,
        capacity: int = 0,
        sample_rate: int = 48000,
        num_channels: int = 1,
        frame_size_ms: int | None = None,
        noise_cancellation: NoiseCancellationOptions | FrameProcessor[AudioFrame] | None = None,
        auto_close_noise_cancellation: bool = True,
    ) -> AudioStream:
        """Stream whatever track the participant has of this source, now and later."""
        return AudioStream(
            track=None,  # type: ignore[arg-type]  # the official signature has no None
            loop=loop,
            capacity=capacity,
            sample_rate=sample_rate,
            num_channels=num_channels,
            frame_size_ms=frame_size_ms,
            noise_cancellation=noise_cancellation,
            auto_close_noise_cancellation=auto_close_noise_cancellation,
            participant=participant,
            track_source=track_source,
        )

    @classmethod
    def from_track(
        cls,
        *,
        track: Track,
        loop: asyncio.AbstractEventLoop | None = None,
        capacity: int = 0,
        sample_rate: int = 48000,
        num_channels: int = 1,
        frame_size_ms: int | None = None,
        noise_cancellation: NoiseCancellationOptions | FrameProcessor[AudioFrame] | None = None,
        auto_close_noise_cancellation: bool = False,
    ) -> AudioStream:
        """Stream one track."""
        return AudioStream(
            track=track,
            loop=loop,
            capacity=capacity,
            sample_rate=sample_rate,
            num_channels=num_channels,
            frame_size_ms=frame_size_ms,
            noise_cancellation=noise_cancellation,
            auto_close_noise_cancellation=auto_close_noise_cancellation,
        )

    def _follow(self, participant: Participant, source: TrackSource) -> None:
        if not isinstance(participant, RemoteParticipant):
            raise NotImplementedError("streams of the local participant")

        def handle(publication: RemoteTrackPublication | None) -> None:
            if publication is None:
                self._end()
            elif publication.source == source and isinstance(publication.track, RemoteAudioTrack):
                self._attach(publication.track)

        self._closers.append(participant.watch_subscriptions(handle))
        present = participant.find_publication(source)
        if present is not None and isinstance(present.track, RemoteAudioTrack):
            self._attach(present.track)

    def _listen_to(self, track: LocalAudioTrack) -> None:
        def feed(pcm: Pcm, position: int) -> None:
            self._loop.call_soon_threadsafe(self._deliver, pcm)

        track.source.add_sink(feed)
        self._tell_processor(track)
        self._closers.append(lambda: track.source.remove_sink(feed))

    def _attach(self, track: RemoteAudioTrack) -> None:
        self._detach()
        self._track = track
        self._tell_processor(track)
        self._buffer = track.open_audio(channels=2 if self._framer.channels > 1 else 1)
        if self._timer is None:
            self._due_s = self._loop.time()
            self._pull()

    def _detach(self) -> None:
        if self._track is not None and self._buffer is not None:
            self._track.close_audio(self._buffer)
        self._track = None
        self._buffer = None
        if self._forget_context is not None:
            self._forget_context()
            self._forget_context = None

    def _tell_processor(self, track: Track) -> None:
        if isinstance(self._processor, FrameProcessor):
            self._forget_context = track.watch_context(self._processor.tell)

    def _pull(self) -> None:
        self._timer = None
        buffer = self._buffer
        if buffer is None or self._ended:
            return
        now_s = self._loop.time()
        if now_s - self._due_s > LATE_PULLS * PULL_S:
            self._due_s = now_s - LATE_PULLS * PULL_S
        while self._due_s <= now_s:
            self._due_s += PULL_S
            pcm = buffer.pull()
            # Silence before the first packet is nobody's.
            self._has_begun = self._has_begun or buffer.stats().received > 0
            if self._has_begun:
                self._deliver(pcm)
        self._timer = self._loop.call_at(self._due_s, self._pull)

    def _deliver(self, pcm: Pcm) -> None:
        if self._ended:
            return
        for frame in self._framer.push(pcm):
            self._ring.put(AudioFrameEvent(self._process(frame)))

    def _process(self, frame: AudioFrame) -> AudioFrame:
        processor = self._processor
        if not isinstance(processor, FrameProcessor) or not processor.enabled:
            return frame
        try:
            return processor.run(frame)
        except Exception:
            log.warning("frame processor failed, the frame passes as it was", exc_info=True)
            return frame

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._detach()
        for close in self._closers:
            close()
        self._closers.clear()
        self._ring.end()

    async def aclose(self) -> None:
        """Stop."""
        self._end()
        if isinstance(self._processor, FrameProcessor) and self._auto_close:
            self._processor.finish()

    def __aiter__(self) -> AsyncIterator[AudioFrameEvent]:
        return self

    async def __anext__(self) -> AudioFrameEvent:
        return await self._ring.get()


class _Framer:
    """48 kHz pieces in, frames of the wanted rate, channels and length out."""

    def __init__(self, sample_rate: int, channels: int, frame_ms: int) -> None:
        self.channels = channels
        self._sample_rate = sample_rate
        self._samples = sample_rate * frame_ms // 1000
        self._resampler = Resampler(SAMPLE_RATE_HZ, sample_rate, min(channels, 2))
        self._kept: Pcm = np.zeros((0, channels), np.int16)

    def push(self, pcm: Pcm) -> list[AudioFrame]:
        resampled = self._resampler.push(to_channels(pcm, min(self.channels, 2)))
        converted = to_channels(resampled, self.channels)
        self._kept = np.concatenate((self._kept, converted)) if len(self._kept) else converted
        frames: list[AudioFrame] = []
        while len(self._kept) >= self._samples:
            frames.append(AudioFrame.from_pcm(self._kept[: self._samples], self._sample_rate))
            self._kept = self._kept[self._samples :]
        return frames
