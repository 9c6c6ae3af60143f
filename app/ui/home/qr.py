"""A QR code painted as squares on white, with a margin of two modules, on a rounded card."""

from __future__ import annotations

import segno
from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app.ui.theme import QR_DARK, QR_LIGHT, fill_rounded

_MARGIN_MODULES = 2
_LEAST_PX = 196
MOST_PX = 264


class QrCode(QWidget):
    """Shows a text as a QR code; error level M survives a photograph."""

    def __init__(self, text: str, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("QR code of the invite link")
        self._rows = [bytes(row) for row in segno.make(text, error="m", micro=False).matrix]
        self.module_px = 0
        self.set_most_px(MOST_PX)

    def set_most_px(self, most_px: int) -> None:
        """Be no larger than this, as long as a module keeps two pixels."""
        count = len(self._rows) + 2 * _MARGIN_MODULES
        # A module of whole pixels scans best; a long link gets a larger card, not smaller ones.
        self.module_px = max(2, min(most_px // count, max(3, -(-_LEAST_PX // count))))
        side_px = max(_LEAST_PX, count * self.module_px)
        self.setFixedSize(side_px, side_px)

    def modules(self) -> int:
        """Return how many modules a side has."""
        return len(self._rows)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint card and modules."""
        painter = QPainter(self)
        fill_rounded(painter, QRectF(self.rect()), 14, QColor(QR_LIGHT))
        module = self.module_px
        start = (self.width() - module * len(self._rows)) // 2
        dark = QColor(QR_DARK)
        for y, row in enumerate(self._rows):
            for x, is_dark in enumerate(row):
                if is_dark:
                    painter.fillRect(start + x * module, start + y * module, module, module, dark)
