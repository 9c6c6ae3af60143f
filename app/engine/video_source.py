"""Pictures that a script or a device puts into tracks."""

from __future__ import annotations

import time
from collections.abc import Callable

from app.engine.enums import VideoRotation
from app.engine.frames import VideoFrame
from app.engine.options import FrameMetadata
from app.media.frames import Picture
from app.media.pixels import turn

PictureSink = Callable[[Picture, int], None]

_DEGREES = {
    VideoRotation.VIDEO_ROTATION_0: 0,
    VideoRotation.VIDEO_ROTATION_90: 90,
    VideoRotation.VIDEO_ROTATION_180: 180,
    VideoRotation.VIDEO_ROTATION_270: 270,
}


class VideoSource:
    """A source of pictures for `LocalVideoTrack`s.

    Frames may have any size; `width` and `height` choose the layers when a track is published.
    """

    def __init__(self, width: int, height: int, *, is_screencast: bool = False) -> None:
        self.width = width
        self.height = height
        self.is_screencast = is_screencast
        self._sinks: tuple[PictureSink, ...] = ()
        self._closed = False

    def add_sink(self, sink: PictureSink) -> None:
        """Give every picture to `sink(picture, time_us)`, on the capturing thread."""
        self._sinks = (*self._sinks, sink)

    def remove_sink(self, sink: PictureSink) -> None:
        """Stop giving to `sink`."""
        self._sinks = tuple(s for s in self._sinks if s != sink)

    def capture_frame(
        self,
        frame: VideoFrame,
        *,
        timestamp_us: int = 0,
        rotation: VideoRotation | int = VideoRotation.VIDEO_ROTATION_0,
        metadata: FrameMetadata | None = None,
    ) -> None:
        """Send a copy of `frame`, turned upright; `timestamp_us` 0 means now. Any thread."""
        if metadata is not None:
            raise NotImplementedError("frame metadata")
        if self._sinks and not self._closed:
            picture = frame.to_picture(_DEGREES[VideoRotation(rotation)])
            self.feed_picture(turn(picture), timestamp_us)

    def feed_picture(self, picture: Picture, timestamp_us: int = 0) -> None:
        """Send a picture without copying it. Any thread."""
        if self._closed:
            return
        time_us = timestamp_us or time.monotonic_ns() // 1000
        for sink in self._sinks:
            sink(picture, time_us)

    async def aclose(self) -> None:
        """End; later frames are ignored."""
        self._closed = True
        self._sinks = ()
