"""Pictures of a track as an async iterator of frames.

Frames are converted on the decoder's thread. Whoever reads too slowly loses the oldest ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from app.engine.enums import TrackSource, VideoBufferType, VideoRotation
from app.engine.frames import VideoFrame
from app.engine.options import FrameMetadata
from app.engine.participant import Participant, RemoteParticipant
from app.engine.publication import RemoteTrackPublication
from app.engine.ring import FrameRing
from app.engine.track import LocalVideoTrack, RemoteVideoTrack, Track
from app.media.frames import Picture

DEFAULT_CAPACITY = 30  # a second; a second of 1080p is 93 MB
TS_MODULUS = 1 << 32

_ROTATIONS = {
    0: VideoRotation.VIDEO_ROTATION_0,
    90: VideoRotation.VIDEO_ROTATION_90,
    180: VideoRotation.VIDEO_ROTATION_180,
    270: VideoRotation.VIDEO_ROTATION_270,
}


@dataclass
class VideoFrameEvent:
    """One frame of a `VideoStream`. `timestamp_us` rises with the sender's clock."""

    frame: VideoFrame
    timestamp_us: int
    rotation: VideoRotation
    metadata: FrameMetadata | None = None


class VideoStream:
    """Frames of one track, or of one source of a participant."""

    def __init__(
        self,
        track: Track,
        loop: asyncio.AbstractEventLoop | None = None,
        capacity: int = 0,
        format: VideoBufferType | int | None = None,
        **kwargs: Any,
    ) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._ring: FrameRing[VideoFrameEvent] = FrameRing(self._loop, capacity or DEFAULT_CAPACITY)
        self._format = VideoBufferType.I420 if format is None else VideoBufferType(format)
        self._closers: list[Callable[[], None]] = []
        self._track: RemoteVideoTrack | None = None
        self._last_ts: int | None = None
        self._ticks = 0
        self._ended = False
        if "participant" in kwargs:
            self._follow(kwargs["participant"], kwargs["track_source"])
        elif isinstance(track, RemoteVideoTrack):
            self._attach(track)
            track.on_end(self._end)
        elif isinstance(track, LocalVideoTrack):
            track.source.add_sink(self._handle_local)
            source = track.source
            self._closers.append(lambda: source.remove_sink(self._handle_local))
        else:
            raise TypeError("a VideoStream needs a video track")

    @classmethod
    def from_participant(
        cls,
        *,
        participant: Participant,
        track_source: TrackSource,
        loop: asyncio.AbstractEventLoop | None = None,
        format: VideoBufferType | int | None = None,
        capacity: int = 0,
    ) -> VideoStream:
        """Stream whatever track the participant has of this source, now and later."""
        return VideoStream(
            track=None,  # type: ignore[arg-type]  # the official signature has no None
            loop=loop,
            capacity=capacity,
            format=format,
            participant=participant,
            track_source=track_source,
        )

    @classmethod
    def from_track(
        cls,
        *,
        track: Track,
        loop: asyncio.AbstractEventLoop | None = None,
        format: VideoBufferType | int | None = None,
        capacity: int = 0,
    ) -> VideoStream:
        """Stream one track."""
        return VideoStream(track=track, loop=loop, capacity=capacity, format=format)

    def _follow(self, participant: Participant, source: TrackSource) -> None:
        if not isinstance(participant, RemoteParticipant):
            raise NotImplementedError("streams of the local participant")

        def handle(publication: RemoteTrackPublication | None) -> None:
            if publication is None:
                self._end()
            elif publication.source == source and isinstance(publication.track, RemoteVideoTrack):
                self._attach(publication.track)

        self._closers.append(participant.watch_subscriptions(handle))
        present = participant.find_publication(source)
        if present is not None and isinstance(present.track, RemoteVideoTrack):
            self._attach(present.track)

    def _attach(self, track: RemoteVideoTrack) -> None:
        self._detach()
        self._track = track
        self._last_ts = None
        track.open_decoder().add_sink(self._handle_picture)

    def _detach(self) -> None:
        track, self._track = self._track, None
        if track is not None and not track.ended:
            track.open_decoder().remove_sink(self._handle_picture)
            track.close_decoder()
            track.close_decoder()

    def _handle_local(self, picture: Picture, time_us: int) -> None:
        self._put(picture, time_us)

    def _handle_picture(self, picture: Picture, ts_rtp: int) -> None:
        step = 0 if self._last_ts is None else (ts_rtp - self._last_ts) % TS_MODULUS
        self._last_ts = ts_rtp
        self._ticks += step if step < TS_MODULUS // 2 else 0
        self._put(picture, self._ticks * 100 // 9)

    def _put(self, picture: Picture, timestamp_us: int) -> None:
        self._ring.put(
            VideoFrameEvent(
                frame=VideoFrame.from_picture(picture, self._format),
                timestamp_us=timestamp_us,
                rotation=_ROTATIONS[picture.rotation],
            )
        )

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._detach()
        for close in self._closers:
            close()
        self._closers.clear()
        self._ring.end()

    async def aclose(self) -> None:
        """Stop."""
        self._end()

    def __aiter__(self) -> AsyncIterator[VideoFrameEvent]:
        return self

    async def __anext__(self) -> VideoFrameEvent:
        return await self._ring.get()
