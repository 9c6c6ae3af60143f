"""Collects garbage on the Qt thread alone.

Python's cyclic collector runs on whichever thread allocates at the wrong moment. When that is the
engine's or a codec's, it destroys widgets and timers off their thread, which Qt forbids and
sometimes answers with a crash. So automatic collection is off while a window is open, and
a timer here does what it would have done, by the same thresholds.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

_PERIOD_MS = 500


class Collector(QObject):
    """Stands in for automatic collection between `start` and `stop`; lives on the Qt thread."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thresholds = gc.get_threshold()
        self._was_enabled = False
        self._timer = QTimer(self)
        self._timer.setInterval(_PERIOD_MS)
        self._timer.timeout.connect(self._collect)

    def start(self) -> None:
        """Take over."""
        self._was_enabled = gc.isenabled()
        gc.disable()
        self._timer.start()

    def stop(self) -> None:
        """Give back."""
        self._timer.stop()
        if self._was_enabled:
            gc.enable()

    def settle(self) -> None:
        """Leave what has been imported out of every later collection: it will not go away."""
        gc.collect()
        gc.freeze()

    def _collect(self) -> None:
        young, middle, old = gc.get_count()
        # Oldest first: collecting a generation takes the younger ones along.
        if old > self._thresholds[2] and middle > self._thresholds[1]:
            gc.collect(2)
        elif middle > self._thresholds[1]:
            gc.collect(1)
        elif young > self._thresholds[0]:
            gc.collect(0)
