"""The product's own picture: window icon and logo."""

from __future__ import annotations

import functools
from importlib.resources import files

from PySide6.QtCore import QRectF
from PySide6.QtGui import QIcon, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QWidget

_SIDES_PX = (32, 64, 128, 256)


@functools.cache
def _pixmap(side_px: int) -> QPixmap:
    pixmap = QPixmap()
    folder = files("resources").joinpath("icons")
    pixmap.loadFromData(folder.joinpath(f"lanai-{side_px}.png").read_bytes())
    return pixmap


def app_icon() -> QIcon:
    """Return the window icon in every size we have."""
    icon = QIcon()
    for side_px in _SIDES_PX:
        icon.addPixmap(_pixmap(side_px))
    return icon


class Logo(QWidget):
    """The logo in a fixed size."""

    def __init__(self, side_px: int = 24, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedSize(side_px, side_px)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Scale down from the next larger picture."""
        need = self.width() * self.devicePixelRatioF()
        side_px = next((side for side in _SIDES_PX if side >= need), _SIDES_PX[-1])
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        pixmap = _pixmap(side_px)
        painter.drawPixmap(QRectF(self.rect()), pixmap, QRectF(pixmap.rect()))
