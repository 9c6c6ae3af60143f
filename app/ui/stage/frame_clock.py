"""Turns pictures that become ready on media threads into at most one repaint per refresh.

Nine people at 30 frames a second are 270 wake-ups; the screen shows 60 of them. A media thread
rings a bell (one slot, newest wins), which becomes one queued signal; the Qt thread then lets
every tile take its newest frame, and not again before the screen has had time to show it.
"""

from __future__ import annotations

import contextlib
import time

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from app.runtime.mailbox import LatestMailbox

_DEFAULT_REFRESH_HZ = 60.0


class FrameClock(QObject):
    """Emits `ticked` on the Qt thread when frames wait and the last tick is a refresh ago."""

    ticked = Signal()
    _rung = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bell: LatestMailbox[bool] = LatestMailbox(on_ready=self._on_bell)
        self._interval_s = 1.0 / _DEFAULT_REFRESH_HZ
        self._last_s = 0.0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._rung.connect(self._on_rung, Qt.ConnectionType.QueuedConnection)

    def set_refresh_rate(self, rate_hz: float) -> None:
        """Follow the screen; a screen that does not say counts as 60 Hz."""
        self._interval_s = 1.0 / (rate_hz if 20.0 <= rate_hz <= 360.0 else _DEFAULT_REFRESH_HZ)

    def ring(self) -> None:
        """A frame waits somewhere (any thread)."""
        self._bell.put(True)

    def _on_bell(self) -> None:
        # A media thread may still hold the callback while the window goes down.
        with contextlib.suppress(RuntimeError):
            self._rung.emit()

    @Slot()
    def _on_rung(self) -> None:
        if self._timer.isActive():
            return
        wait_s = self._last_s + self._interval_s - time.monotonic()
        if wait_s <= 0.001:
            self._tick()
        else:
            self._timer.start(max(1, round(wait_s * 1000)))

    def _tick(self) -> None:
        # Emptied first: a frame that comes during the tick rings again.
        self._bell.take()
        self._last_s = time.monotonic()
        self.ticked.emit()
