"""Pictures that a script or a device puts into tracks.

A track is not announced before something of it arrives. So, as in the official SDK, a source whose
track is published shows black ten times a second until its first picture: whoever publishes may
wait for a subscriber before it begins.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from app.engine.enums import VideoRotation
from app.engine.frames import VideoFrame
from app.engine.options import FrameMetadata
from app.media.frames import Picture
from app.media.pixels import turn
from app.media.threads import MediaThread

PictureSink = Callable[[Picture, int], None]

BLACK_INTERVAL_S = 0.1

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
        # Held for black alone, so that none can follow the first picture.
        self._lock = threading.RLock()
        self._has_begun = False
        self._waiting: MediaThread | None = None

    def add_sink(self, sink: PictureSink) -> None:
        """Give every picture to `sink(picture, time_us)`, on the capturing thread."""
        with self._lock:
            self._sinks = (*self._sinks, sink)
            is_first = self._waiting is None and not (self._has_begun or self._closed)
            if is_first and self.width > 0 and self.height > 0:
                self._waiting = MediaThread("video-source", self._show_black)
                self._waiting.start()

    def remove_sink(self, sink: PictureSink) -> None:
        """Stop giving to `sink`."""
        with self._lock:
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
        self._begin()
        if self._sinks and not self._closed:
            picture = frame.to_picture(_DEGREES[VideoRotation(rotation)])
            self.feed_picture(turn(picture), timestamp_us)

    def feed_picture(self, picture: Picture, timestamp_us: int = 0) -> None:
        """Send a picture without copying it. Any thread."""
        if self._closed:
            return
        self._begin()
        time_us = timestamp_us or time.monotonic_ns() // 1000
        for sink in self._sinks:
            sink(picture, time_us)

    async def aclose(self) -> None:
        """End; later frames are ignored."""
        with self._lock:
            self._closed = True
            self._sinks = ()
        if self._waiting is not None:
            self._waiting.stopping.set()

    def _begin(self) -> None:
        if not self._has_begun:
            with self._lock:
                self._has_begun = True
                if self._waiting is not None:
                    self._waiting.stopping.set()

    def _show_black(self, thread: MediaThread) -> None:
        black = Picture.black(self.width, self.height)
        while not thread.stopping.wait(BLACK_INTERVAL_S):
            with self._lock:
                if not self._sinks:
                    # Its track is gone; another one begins anew.
                    self._waiting = None
                    return
                if self._has_begun:
                    return
                for sink in self._sinks:
                    sink(black, time.monotonic_ns() // 1000)
