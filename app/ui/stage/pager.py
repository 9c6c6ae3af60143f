"""Round arrows and dots for more people than fit one page."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ui.theme import color, paint_icon
from app.ui.widgets import IconButton


class RoundButton(IconButton):
    """A round plate that stands over the stage."""

    def __init__(self, icon: str, name: str, parent: QWidget) -> None:
        self._glyph = icon
        super().__init__(icon, name, side_px=32, icon_px=16, token="text1", parent=parent)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint disc, icon, and the focus ring."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(color("accent") if self.hasFocus() else color("border"))
        painter.setBrush(color("surface3" if self.underMouse() else "surface2"))
        painter.drawEllipse(QRectF(self.rect()).adjusted(1, 1, -1, -1))
        paint_icon(painter, QRectF(8, 8, 16, 16), self._glyph, color("text1"))


class PageDots(QWidget):
    """One dot per page, the current one long; a click on a dot goes there."""

    pageChosen = Signal(int)
    _STEP_PX = 16

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("pageDots")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._pages = 1
        self._page = 0

    def set_pages(self, page: int, pages: int) -> None:
        """Show where one is."""
        self._page, self._pages = page, pages
        self.setAccessibleName(f"Page {page + 1} of {pages}")
        self.resize(self._STEP_PX * pages + 10, 16)
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go to the page of the dot that is nearest."""
        step = self.width() / self._pages
        self.pageChosen.emit(min(self._pages - 1, max(0, int(event.position().x() / step))))

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the dots."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        x = 5.0
        for index in range(self._pages):
            here = index == self._page
            painter.setBrush(color("accent" if here else "control"))
            wide = 16.0 if here else 6.0
            painter.drawRoundedRect(QRectF(QPointF(x, 5), QPointF(x + wide, 11)), 3, 3)
            x += wide + 8
