"""The reconnect banner: lies over the stage, so that no tile moves because of it."""

from __future__ import annotations

import time

from PySide6.QtCore import QRectF, QTimer, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.ui.theme import Radius, TypeStyle, color, fill_rounded, stroke_rounded
from app.ui.widgets import Button, ElidedLabel, Spinner, TextLabel

HEIGHT_PX = 48


class ReconnectBanner(QWidget):
    """Says that the connection dropped, for how long, and offers to try now or to leave."""

    retryRequested = Signal()
    leaveRequested = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("bannerReconnect")
        self.setAccessibleName("Reconnecting")
        self.setFixedHeight(HEIGHT_PX)
        self._since_s = 0.0
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 0, 8, 0)
        row.setSpacing(12)
        row.addWidget(Spinner(18, "warn_text"))
        row.addWidget(TextLabel("Reconnecting…", TypeStyle.BODY_STRONG, "warn"))
        self._text = ElidedLabel(
            "Your connection dropped. Your place is kept while we try again.",
            TypeStyle.NOTE,
            "text2",
        )
        row.addWidget(self._text, 1)
        self._elapsed = TextLabel("", TypeStyle.NOTE, "text2", tabular=True)
        row.addWidget(self._elapsed)
        self.retry = Button("Try now", size="small")
        self.retry.setObjectName("bannerRetry")
        self.retry.clicked.connect(self.retryRequested)
        row.addWidget(self.retry)
        leave = Button("Leave", tone="ghost", size="small")
        leave.setObjectName("bannerLeave")
        leave.clicked.connect(self.leaveRequested)
        row.addWidget(leave)
        self._timer = QTimer(self)
        self._timer.setInterval(1000)
        self._timer.timeout.connect(self._on_second)
        self.hide()

    def start(self) -> None:
        """Appear and count."""
        self._since_s = time.monotonic()
        self._on_second()
        self._timer.start()
        self.show()
        self.raise_()

    def stop(self) -> None:
        """Go away."""
        self._timer.stop()
        self.hide()

    def place(self, stage_width_px: int, padding_px: int) -> None:
        """Take the stage's width."""
        self.setGeometry(padding_px, padding_px, stage_width_px - 2 * padding_px, HEIGHT_PX)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the plate."""
        painter = QPainter(self)
        box = QRectF(self.rect())
        fill_rounded(painter, box, Radius.TILE, color("warn_soft"))
        edge = QColor(color("warn_text"))
        edge.setAlphaF(0.35)
        stroke_rounded(painter, box, Radius.TILE, edge, 1)

    def _on_second(self) -> None:
        self._elapsed.setText(f"{int(time.monotonic() - self._since_s)} s")
