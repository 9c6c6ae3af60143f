"""What every small window over the page has in common: no frame, and corners that are round.

The corners are what the window leaves transparent. Where nobody blends it into what lies behind,
the window itself gets the shape of its plate; a shadow around the plate is then left away.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QRectF, Qt
from PySide6.QtGui import QBitmap, QColor, QPainter, QRegion
from PySide6.QtWidgets import QWidget

from app.ui.theme import color, fill_rounded
from app.ui.widgets.compositing import is_composited


class Floating(QObject):
    """Makes `window` such a window: its plate is `shade_px` inside, with corners of `radius`.

    A shadow is to be painted only where `has_shadow` says so. A `bare` window shows nothing of
    its own: what lies in it is the plate.
    """

    def __init__(
        self, window: QWidget, *, radius: float, shade_px: int = 0, bare: bool = False
    ) -> None:
        super().__init__(window)
        self._window = window
        self._radius = radius
        self._shade_px = shade_px
        self._bare = bare
        self._is_cut = False
        window.setWindowFlag(Qt.WindowType.FramelessWindowHint)
        window.setWindowFlag(Qt.WindowType.NoDropShadowWindowHint)
        window.setAttribute(Qt.WidgetAttribute.WA_TranslucentBackground)
        window.installEventFilter(self)

    @property
    def plate(self) -> QRectF:
        """The window without the room for its shadow."""
        shade = self._shade_px
        return QRectF(self._window.rect()).adjusted(shade, shade, -shade, -shade)

    @property
    def has_shadow(self) -> bool:
        """Whether there is room for a shadow, and somebody who blends it in."""
        return self._shade_px > 0 and not self._is_cut

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the window's size; look again for a compositor whenever it is shown."""
        if event.type() == QEvent.Type.Show:
            self._is_cut = not is_composited()
            self._cut()
        elif event.type() == QEvent.Type.Resize and self._is_cut:
            self._cut()
        elif event.type() == QEvent.Type.Paint:
            if self._is_cut:
                # The plate's smoothed edge lies on it; without it that would be black as well.
                QPainter(self._window).fillRect(self._window.rect(), color("border"))
            return self._bare
        return super().eventFilter(watched, event)

    def _cut(self) -> None:
        if not self._is_cut:
            self._window.clearMask()
            return
        shape = QBitmap(self._window.size())
        shape.clear()
        painter = QPainter(shape)
        fill_rounded(painter, self.plate, self._radius, QColor(Qt.GlobalColor.color1))
        painter.end()
        self._window.setMask(QRegion(shape))
