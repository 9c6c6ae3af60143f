"""A QR code painted as squares on white, with a margin of two modules, on a rounded card."""

from __future__ import annotations

import segno
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app.ui.theme import QR_DARK, QR_LIGHT, fill_rounded

_MARGIN_MODULES = 2


class QrCode(QWidget):
    """Shows a text as a QR code; error level M survives a photograph."""

    def __init__(self, text: str, side_px: int = 196, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedSize(side_px, side_px)
        self.setAccessibleName("QR code of the invite link")
        self._rows = [bytes(row) for row in segno.make(text, error="m", micro=False).matrix]

    def modules(self) -> int:
        """Return how many modules a side has."""
        return len(self._rows)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint card and modules; each module is a whole number of device pixels wide."""
        painter = QPainter(self)
        fill_rounded(painter, QRectF(self.rect()), 14, QColor(QR_LIGHT))
        ratio = self.devicePixelRatioF()
        count = len(self._rows) + 2 * _MARGIN_MODULES
        module = int(self.width() * ratio / count) / ratio
        start = (self.width() - module * len(self._rows)) / 2
        painter.setPen(Qt.PenStyle.NoPen)
        for y, row in enumerate(self._rows):
            for x, dark in enumerate(row):
                if dark:
                    box = QRectF(start + x * module, start + y * module, module, module)
                    painter.fillRect(box, QColor(QR_DARK))
