"""The painted veranda at the top of the start page: an evening by the sea, in both themes."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import (
    QColor,
    QLinearGradient,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPixmap,
    QRadialGradient,
)
from PySide6.QtWidgets import QWidget

from app.ui.theme import BAND, fill_rounded

TALL_PX = 176
LOW_PX = 128


class Band(QWidget):
    """Paints once per size into a pixmap, so that a blinking cursor above it costs nothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._picture = QPixmap()
        self.setFixedHeight(TALL_PX)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Blit the picture, painting it first when the size changed."""
        ratio = self.devicePixelRatioF()
        wanted = self.size() * ratio
        if self._picture.size() != wanted:
            self._picture = QPixmap(wanted)
            self._picture.setDevicePixelRatio(ratio)
            self._picture.fill(QColor(BAND.frame))
            painter = QPainter(self._picture)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            _paint_veranda(painter, float(self.width()), float(self.height()))
            painter.end()
        QPainter(self).drawPixmap(0, 0, self._picture)


def _paint_veranda(painter: QPainter, width: float, height: float) -> None:
    horizon = height - 60 if height > 150 else height - 44
    rail = height - 30
    _paint_sky(painter, width, horizon)
    _paint_hill(painter, width, horizon)
    sun = QPointF(width * 0.8, horizon + (-3 if height > 150 else -2))
    _paint_sun(painter, sun, 32 if height > 150 else 24, horizon)
    _paint_sea(painter, width, horizon, height)
    _paint_glints(painter, sun.x(), horizon)
    _paint_railing(painter, width, rail, height)
    _paint_frame(painter, width, height)
    shade = QLinearGradient(0, 0, width * 0.62, 0)
    dark = QColor(BAND.shade)
    dark.setAlphaF(0.92)
    shade.setColorAt(0, dark)
    dark.setAlphaF(0.55)
    shade.setColorAt(0.55, dark)
    dark.setAlphaF(0.0)
    shade.setColorAt(1, dark)
    painter.fillRect(QRectF(0, 0, width, height), shade)


def _paint_sky(painter: QPainter, width: float, horizon: float) -> None:
    sky = QLinearGradient(0, 16, 0, horizon)
    sky.setColorAt(0, QColor(BAND.sky_top))
    sky.setColorAt(0.55, QColor(BAND.sky_middle))
    sky.setColorAt(1, QColor(BAND.sky_low))
    painter.fillRect(QRectF(0, 16, width, horizon - 16), sky)


def _paint_hill(painter: QPainter, width: float, horizon: float) -> None:
    hill = QPainterPath(QPointF(width * 0.42, horizon))
    hill.cubicTo(
        QPointF(width * 0.48, horizon - 31),
        QPointF(width * 0.57, horizon - 31),
        QPointF(width * 0.65, horizon),
    )
    painter.fillPath(hill, QColor(BAND.hill))


def _paint_sun(painter: QPainter, at: QPointF, radius: float, horizon: float) -> None:
    glow = QRadialGradient(at, radius * 3.4)
    warm = QColor(BAND.glow)
    warm.setAlphaF(0.75)
    glow.setColorAt(0, warm)
    warm.setAlphaF(0.0)
    glow.setColorAt(1, warm)
    painter.save()
    painter.setClipRect(QRectF(0, 16, 100_000, horizon - 16))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(glow)
    painter.drawEllipse(at, radius * 3.4, radius * 3.4)
    painter.setBrush(QColor(BAND.sun))
    painter.drawEllipse(at, radius, radius)
    painter.restore()


def _paint_sea(painter: QPainter, width: float, horizon: float, height: float) -> None:
    sea = QLinearGradient(0, horizon, 0, height)
    sea.setColorAt(0, QColor(BAND.sea_top))
    sea.setColorAt(1, QColor(BAND.sea_low))
    painter.fillRect(QRectF(0, horizon, width, height - horizon), sea)


def _paint_glints(painter: QPainter, middle: float, horizon: float) -> None:
    for index, wide in enumerate((118.0, 86.0, 58.0, 18.0)):
        color = QColor(BAND.glint)
        color.setAlphaF(0.95 - 0.2 * index)
        box = QRectF(middle - wide / 2, horizon + 6 + 9 * index, wide, 3)
        fill_rounded(painter, box, 1.5, color)


def _paint_railing(painter: QPainter, width: float, rail: float, height: float) -> None:
    frame = QColor(BAND.frame)
    painter.fillRect(QRectF(0, rail, width, 7), frame)
    painter.fillRect(QRectF(0, height - 7, width, 7), frame)
    # On the left the words stand: no slats behind them.
    x = width * 0.4
    while x < width:
        painter.fillRect(QRectF(x, rail + 7, 4, height - rail - 14), frame)
        x += 26
    veil = QColor(BAND.rail)
    veil.setAlphaF(0.35)
    painter.fillRect(QRectF(0, rail + 7, width, height - rail - 14), veil)


def _paint_frame(painter: QPainter, width: float, height: float) -> None:
    frame = QColor(BAND.frame)
    painter.fillRect(QRectF(0, 0, width, 16), frame)
    x = -34.0
    while x < width:
        painter.fillRect(QRectF(x, 16, 9, 9), frame)
        x += 64
    for part in (0.62, 0.965):
        painter.fillRect(QRectF(width * part, 0, 14, height), frame)
