"""A plate that floats over the window until one presses elsewhere or Esc."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QHideEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app.ui.theme import color, fill_rounded, paint_shadow, stroke_rounded
from app.ui.widgets.floating import Floating


class Popover(QWidget):
    """A rounded plate in a window of its own; `shade_px` around it is for the shadow."""

    closed = Signal()

    def __init__(
        self,
        name: str,
        title: str,
        *,
        radius: float,
        shade_px: int = 0,
        blur: int = 0,
        parent: QWidget,
    ) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setObjectName(name)
        self.setAccessibleName(title)
        self.shade_px = shade_px
        self._radius = radius
        self._blur = blur
        self._floating = Floating(self, radius=radius, shade_px=shade_px)

    def hideEvent(self, event: QHideEvent) -> None:
        """Tell whoever opened it."""
        super().hideEvent(event)
        self.closed.emit()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint shadow and plate."""
        painter = QPainter(self)
        box = self._floating.plate
        if self._floating.has_shadow:
            alpha = color("shadow").alpha()
            paint_shadow(painter, box, self._radius, offset=4, blur=self._blur, alpha=alpha)
        fill_rounded(painter, box, self._radius, color("surface2"))
        stroke_rounded(painter, box, self._radius, color("border"), 1)
