"""A camera through OpenCV, or a video file that plays one in tests.

OpenCV is imported on the capture thread: it is large, and its wheel points Qt at plugins of its
own through two environment variables, which every child would inherit. Both are put back.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import structlog

from app.media.capture.generated import video_ts_rtp
from app.media.frames import Picture
from app.media.threads import MediaThread
from app.runtime.errors import Reason, WorldError

log = structlog.get_logger(__name__)

QT_VARIABLES = ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR")
OPEN_TIMEOUT_S = 15.0
MOST_FAILED_READS = 30
FAILED_READ_WAIT_S = 0.02

_import_lock = threading.Lock()


def load_opencv() -> ModuleType:
    """Import cv2 without letting it redirect Qt; raises WorldError when its libraries lack."""
    with _import_lock:
        before = {name: os.environ.get(name) for name in QT_VARIABLES}
        try:
            import cv2
        except ImportError as error:
            raise WorldError(Reason.DEVICE_GONE, detail=f"OpenCV: {error}") from error
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
        module: ModuleType = cv2
        return module


class CameraCapture:
    """Reads pictures from a camera or a video file.

    `source` is what the operating system opens: a device path, an index, or the path of a video
    file, which is played at its own pace, again and again. `start` waits for the first picture
    and raises WorldError (DEVICE_GONE, DEVICE_BUSY, DEVICE_DENIED); call it on a worker thread.
    `on_picture(picture, ts_rtp)` runs on the capture thread. A camera that stops is reported once
    through `on_failed`.
    """

    def __init__(
        self,
        source: str | int,
        on_picture: Callable[[Picture, int], None],
        *,
        width: int = 1280,
        height: int = 720,
        fps: float = 30.0,
        on_failed: Callable[[WorldError], None] | None = None,
    ) -> None:
        self._source = source
        self._on_picture = on_picture
        self._wanted = (width, height, fps)
        self._on_failed = on_failed
        self._opened = threading.Event()
        self._error: WorldError | None = None
        self._thread = MediaThread("camera", self._run)

    def start(self) -> None:
        """Open the source and wait for its first picture."""
        self._thread.start()
        if not self._opened.wait(OPEN_TIMEOUT_S):
            self.close()
            raise WorldError(Reason.DEVICE_BUSY, retry=True, detail="camera does not answer")
        if self._error is not None:
            self.close()
            raise self._error

    def close(self) -> None:
        """Stop reading and close the source."""
        self._thread.stop()

    def _run(self, thread: MediaThread) -> None:
        capture: Any = None
        try:
            cv2 = load_opencv()
            capture = self._open(cv2)
            self._read(cv2, capture, thread)
        except WorldError as error:
            self._report(error)
        finally:
            if capture is not None:
                capture.release()
            if not self._opened.is_set():
                # Our own fault is about to be logged; the opener must not wait for it.
                self._error = self._error or WorldError(Reason.DEVICE_GONE, detail="capture died")
                self._opened.set()

    def _report(self, error: WorldError) -> None:
        if not self._opened.is_set():
            self._error = error
            self._opened.set()
            return
        log.info("camera stopped", reason=error.reason)
        if self._on_failed is not None:
            self._on_failed(error)

    def _is_file(self) -> bool:
        return isinstance(self._source, str) and Path(self._source).is_file()

    def _open(self, cv2: ModuleType) -> Any:
        self._check_node()
        capture = cv2.VideoCapture(self._source)
        if not capture.isOpened():
            capture.release()
            raise WorldError(Reason.DEVICE_BUSY, retry=True, detail="camera cannot be opened")
        if not self._is_file():
            width, height, fps = self._wanted
            # Most cameras reach 720p at 30 fps only as motion JPEG.
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*"MJPG"))
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
            capture.set(cv2.CAP_PROP_FPS, fps)
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture

    def _check_node(self) -> None:
        """Tell apart what OpenCV only calls "not opened"."""
        path = self._source
        if isinstance(path, int):
            if sys.platform != "linux":
                return
            path = f"/dev/video{path}"
        if sys.platform != "linux" and path.startswith(("\\\\", "@")):
            return  # a Windows device name, no path
        if not Path(path).exists():
            raise WorldError(Reason.DEVICE_GONE, retry=True, detail="no such camera")
        if not os.access(path, os.R_OK):
            raise WorldError(Reason.DEVICE_DENIED, detail="camera may not be read")

    def _read(self, cv2: ModuleType, capture: Any, thread: MediaThread) -> None:
        pace = _FilePace(capture.get(cv2.CAP_PROP_FPS)) if self._is_file() else None
        failed = 0
        while not thread.stopping.is_set():
            ok, pixels = capture.read()
            if not ok:
                failed += 1
                if pace is not None:
                    capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
                if failed > MOST_FAILED_READS:
                    self._raise_dead()
                if thread.stopping.wait(0.0 if pace else FAILED_READ_WAIT_S):
                    return
                continue
            failed = 0
            picture = _picture(cv2, pixels)
            self._opened.set()
            if pace is not None and pace.wait(thread):
                return
            self._on_picture(picture, video_ts_rtp(time.monotonic()))

    def _raise_dead(self) -> None:
        if self._opened.is_set():
            raise WorldError(Reason.DEVICE_GONE, retry=True, detail="camera stopped")
        # It opens but gives nothing: somebody else is using it.
        raise WorldError(Reason.DEVICE_BUSY, retry=True, detail="camera gives no picture")


class _FilePace:
    """Plays a file's frames at the file's rate."""

    def __init__(self, fps: float) -> None:
        self._period_s = 1.0 / (fps if 1.0 <= fps <= 120.0 else 30.0)
        self._due_s = time.monotonic()

    def wait(self, thread: MediaThread) -> bool:
        self._due_s = max(self._due_s + self._period_s, time.monotonic() - self._period_s)
        return thread.stopping.wait(max(0.0, self._due_s - time.monotonic()))


def _picture(cv2: ModuleType, pixels: Any) -> Picture:
    height, width = pixels.shape[0] & ~1, pixels.shape[1] & ~1
    if pixels.ndim == 2:
        code = cv2.COLOR_GRAY2BGR
        pixels = cv2.cvtColor(pixels, code)
    planar = cv2.cvtColor(pixels[:height, :width], cv2.COLOR_BGR2YUV_I420)
    return Picture(width, height, np.ascontiguousarray(planar).reshape(-1))
