"""Pictures in messages, decoded small on a thread of their own.

What is decoded comes from other people: only the kinds that the engine keeps, never more pixels
than a limit, never bigger than it is shown. A picture that cannot be read is an empty image.
The thread lives while there is something to decode.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from PySide6.QtCore import QObject, QSize, Qt, Signal
from PySide6.QtGui import QImage, QImageIOHandler, QImageReader

_MAX_PIXELS = 40_000_000
_MAX_HEIGHT_PX = 2_000
_ALLOCATION_MB = 256
_KEPT = 64
_KEPT_SIZES = 2_000
_MAX_WAITING = 100


class Previews(QObject):
    """Small pictures by path; `ready` tells that one is there (Qt thread)."""

    ready = Signal(str)
    _decoded = Signal(str, QImage, QSize)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._images: OrderedDict[str, QImage] = OrderedDict()
        self._sizes: OrderedDict[str, QSize] = OrderedDict()
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, int] = OrderedDict()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._decoded.connect(self._on_decoded, Qt.ConnectionType.QueuedConnection)

    def size_of(self, path: Path | None) -> QSize | None:
        """The picture's own size, once it was looked at."""
        return self._sizes.get(str(path))

    def picture(self, path: Path | None, width_px: int) -> QImage | None:
        """The picture for this width in device pixels; None while it is being decoded."""
        if path is None:
            return None
        key = str(path)
        image = self._images.get(key)
        if image is not None:
            self._images.move_to_end(key)
            return image
        self._ask(key, width_px)
        return None

    def close(self) -> None:
        """Decode nothing more."""
        with self._lock:
            self._closed = True
            self._waiting.clear()

    def _ask(self, key: str, width_px: int) -> None:
        with self._lock:
            if self._closed or key in self._waiting:
                return
            self._waiting[key] = width_px
            while len(self._waiting) > _MAX_WAITING:
                self._waiting.popitem(last=False)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="previews", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                # The newest first: that is what is looked at.
                key, width_px = next(reversed(self._waiting.items()))
            image, size = decode(key, width_px)
            with self._lock:
                self._waiting.pop(key, None)
                if self._closed:
                    self._thread = None
                    return
            try:
                self._decoded.emit(key, image, size)
            except RuntimeError:
                return  # The window is gone, and with it this object's other half.

    def _on_decoded(self, key: str, image: QImage, size: QSize) -> None:
        self._images[key] = image
        self._sizes[key] = size
        while len(self._images) > _KEPT:
            self._images.popitem(last=False)
        while len(self._sizes) > _KEPT_SIZES:
            self._sizes.popitem(last=False)
        self.ready.emit(key)


def decode(path: str, width_px: int) -> tuple[QImage, QSize]:
    """Read a picture no wider than `width_px`, and its own size (any thread)."""
    reader = QImageReader(path)
    reader.setAutoTransform(True)
    reader.setDecideFormatFromContent(True)
    QImageReader.setAllocationLimit(_ALLOCATION_MB)
    size = reader.size()
    if not size.isValid() or size.width() * size.height() > _MAX_PIXELS:
        return QImage(), QSize()
    turned = bool(reader.transformation() & QImageIOHandler.Transformation.TransformationRotate90)
    shown = size.transposed() if turned else size
    shrink = max(shown.width() / width_px, shown.height() / _MAX_HEIGHT_PX)
    if shrink > 1:
        scaled = QSize(
            max(1, round(shown.width() / shrink)), max(1, round(shown.height() / shrink))
        )
        reader.setScaledSize(scaled.transposed() if turned else scaled)
    return reader.read(), shown
