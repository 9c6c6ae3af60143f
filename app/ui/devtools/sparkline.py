"""A small line of the newest numbers of a data track."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QWidget

from app.ui.theme import color

WIDTH_PX, HEIGHT_PX = 160, 36


class Sparkline(QWidget):
    """Paints numbers from left (old) to right; its name tells least, most and newest."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers: Sequence[float] = ()
        self.setFixedSize(WIDTH_PX, HEIGHT_PX)

    def sizeHint(self) -> QSize:
        """Fixed."""
        return QSize(WIDTH_PX, HEIGHT_PX)

    def set_numbers(self, numbers: Sequence[float]) -> None:
        """Show these; fewer than two show nothing."""
        self._numbers = numbers
        self.setVisible(len(numbers) >= 2)
        if len(numbers) >= 2:
            least, most = min(numbers), max(numbers)
            words = f"From {least:g} to {most:g}, now {numbers[-1]:g}"
            self.setAccessibleName(words)
            self.setToolTip(words)
        self.update()

    def points(self) -> list[QPointF]:
        """Where the line runs."""
        numbers = self._numbers
        least, most = min(numbers), max(numbers)
        span = (most - least) or 1.0
        step = (self.width() - 4) / (len(numbers) - 1)
        high = self.height() - 6
        return [
            QPointF(2 + index * step, 3 + high * (1 - (number - least) / span))
            for index, number in enumerate(numbers)
        ]

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the line and a dot at its end."""
        if len(self._numbers) < 2:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        points = self.points()
        painter.setPen(QPen(color("accent"), 1.6))
        painter.drawPolyline(QPolygonF(points))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color("accent"))
        painter.drawEllipse(points[-1], 2.5, 2.5)
