"""Helpers that painters share: rounded shapes, soft shadows, pills, avatars."""

from __future__ import annotations

import zlib

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QLinearGradient, QPainter, QPainterPath, QPen
from PySide6.QtWidgets import QWidget

from app.ui.theme.fonts import font_px
from app.ui.theme.tokens import AVATARS, ON_AVATAR


def rounded_path(rect: QRectF, radius: float) -> QPainterPath:
    """Return a rounded rectangle as a path (clips, fills)."""
    path = QPainterPath()
    path.addRoundedRect(rect, radius, radius)
    return path


def mirrored(widget: QWidget, rect: QRectF) -> QRectF:
    """Return where `rect` lies in `widget`: as given, or mirrored when it reads right to left."""
    if widget.layoutDirection() is not Qt.LayoutDirection.RightToLeft:
        return rect
    return QRectF(widget.width() - rect.right(), rect.top(), rect.width(), rect.height())


def fill_rounded(painter: QPainter, rect: QRectF, radius: float, color: QColor) -> None:
    """Fill a rounded rectangle without an outline."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(color)
    painter.drawRoundedRect(rect, radius, radius)
    painter.restore()


def stroke_rounded(
    painter: QPainter, rect: QRectF, radius: float, color: QColor, width: float
) -> None:
    """Stroke a rounded rectangle so that the line lies inside `rect`."""
    half = width / 2
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(color, width))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    inner = rect.adjusted(half, half, -half, -half)
    painter.drawRoundedRect(inner, max(0.0, radius - half), max(0.0, radius - half))
    painter.restore()


def paint_shadow(
    painter: QPainter, rect: QRectF, radius: float, *, offset: float, blur: float, alpha: int
) -> None:
    """Draw the soft shadow of a card: layered outlines, since a blur effect costs a pixmap."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    steps = 16
    layer = QColor(Qt.GlobalColor.black)
    base = rect.translated(0, offset)
    for step in range(steps):
        grow = blur / 2 * (1.0 - 2.0 * step / steps)
        # The outer ones are the fainter ones, else the shadow ends in an edge of its own.
        share = 2.0 * (step + 1) / (steps * (steps + 1))
        layer.setAlphaF(1.0 - (1.0 - alpha / 255) ** share)
        painter.setBrush(layer)
        painter.drawRoundedRect(
            base.adjusted(-grow, -grow, grow, grow), radius + grow, radius + grow
        )
    painter.restore()


def avatar_colors(name: str) -> tuple[QColor, QColor]:
    """Return the disc's colour and the dark end of the gradient for a person.

    By the name, the one thing known of a person before, at and behind the door: so they look
    the same in the preview, in the lobby, in the meeting and in what is read later.
    """
    disc, deep = AVATARS[zlib.crc32(name.strip().encode()) % len(AVATARS)]
    return QColor(disc), QColor(deep)


def initial_of(name: str) -> str:
    """Return what stands in the disc: the first letter or digit, else a question mark."""
    return next((char.upper() for char in name if char.isalnum()), "?")


def paint_avatar(painter: QPainter, rect: QRectF, name: str) -> None:
    """Draw a round disc with the initial of `name`, in the colour that belongs to it."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(avatar_colors(name)[0])
    painter.drawEllipse(rect)
    font = font_px(max(9, round(rect.height() * 0.42)), 600)
    painter.setFont(font)
    painter.setPen(QColor(ON_AVATAR))
    _draw_centred(painter, rect, initial_of(name), QFontMetricsF(font))
    painter.restore()


def _draw_centred(painter: QPainter, rect: QRectF, text: str, metrics: QFontMetricsF) -> None:
    # Centre the capital's height, not the line's: a line box puts initials too high.
    x = rect.center().x() - metrics.horizontalAdvance(text) / 2
    y = rect.center().y() + metrics.capHeight() / 2
    painter.drawText(QPointF(x, y), text)


def paint_placeholder(painter: QPainter, rect: QRectF, radius: float, name: str) -> None:
    """Fill the background of a tile without a picture."""
    disc, deep = avatar_colors(name)
    gradient = QLinearGradient(rect.topLeft(), rect.bottomRight())
    gradient.setColorAt(0, disc.darker(190))
    gradient.setColorAt(1, deep.darker(140))
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.fillPath(rounded_path(rect, radius), gradient)
    painter.restore()
