"""Painted people for screenshots: a face, shoulders and a room, made with QPainter as I420."""

from __future__ import annotations

import zlib

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QLinearGradient, QPainter, QPainterPath

from app.media.frames import Picture

_SKINS = ("#F0C9A4", "#8A5A3C", "#C98B62", "#F2D3BF", "#A8704A", "#6B4127")
_HAIRS = ("#5A2E1B", "#141014", "#2B1A14", "#C9A25A", "#1B1512", "#120D0C")
_SHIRTS = ("#D69A3A", "#3E57A6", "#2F8A7B", "#A3475C", "#55705F", "#6E4FA0", "#C8C1B4", "#DB6A48")
_ROOMS = (("#CDBBA6", "#8B7B6B"), ("#B9C3CC", "#7B8894"), ("#F0B58A", "#2E7F8C"))


def face(name: str, width: int = 1280, height: int = 720) -> Picture:
    """A person of that name, always the same."""
    seed = zlib.crc32(name.encode())
    image = QImage(width, height, QImage.Format.Format_RGB32)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(width / 1280, height / 720)
    _room(painter, seed)
    _person(painter, seed)
    painter.end()
    return to_picture(image)


def _room(painter: QPainter, seed: int) -> None:
    top, low = _ROOMS[seed % len(_ROOMS)]
    wall = QLinearGradient(0, 0, 1280, 720)
    wall.setColorAt(0, QColor(top))
    wall.setColorAt(1, QColor(low))
    painter.fillRect(0, 0, 1280, 720, wall)
    painter.setPen(Qt.PenStyle.NoPen)
    for shelf in range(2):
        y = 150 + shelf * 210
        for book in range(9):
            shade = QColor(_SHIRTS[(seed + book + shelf) % len(_SHIRTS)]).darker(115)
            painter.setBrush(shade)
            tall = 70 + (seed >> (book % 12)) % 50
            x = 60 + book * 34 if shelf == seed % 2 else 900 + book * 34
            painter.drawRoundedRect(QRectF(x, y + 120 - tall, 28, tall), 4, 4)
        painter.setBrush(QColor("#5B4636"))
        painter.drawRect(QRectF(40 if shelf == seed % 2 else 880, y + 120, 360, 12))


def _person(painter: QPainter, seed: int) -> None:
    skin = QColor(_SKINS[seed % len(_SKINS)])
    hair = QColor(_HAIRS[(seed >> 3) % len(_HAIRS)])
    shirt = QColor(_SHIRTS[(seed >> 5) % len(_SHIRTS)])
    shoulders = QPainterPath()
    shoulders.moveTo(250, 720)
    shoulders.cubicTo(280, 540, 480, 540, 640, 530)
    shoulders.cubicTo(800, 540, 1000, 540, 1030, 720)
    painter.setBrush(shirt)
    painter.drawPath(shoulders)
    painter.setBrush(hair)
    painter.drawRoundedRect(QRectF(490, 110, 300, 300 + (seed % 3) * 70), 150, 150)
    painter.setBrush(skin.darker(115))
    painter.drawRoundedRect(QRectF(580, 420, 120, 140), 50, 50)
    painter.setBrush(skin)
    painter.drawEllipse(QRectF(525, 150, 230, 320))
    painter.setBrush(hair)
    fringe = QPainterPath(QPointF(510, 300))
    fringe.cubicTo(520, 120, 760, 120, 770, 300)
    fringe.cubicTo(720, 200, 600, 200, 510, 300)
    painter.drawPath(fringe)
    for x in (585, 695):
        painter.setBrush(QColor("white"))
        painter.drawEllipse(QPointF(x, 305), 22, 15)
        painter.setBrush(QColor("#201814"))
        painter.drawEllipse(QPointF(x, 305), 10, 11)
    painter.setBrush(QColor("#6E2A33"))
    mouth = QPainterPath(QPointF(590, 390))
    mouth.quadTo(640, 440, 690, 390)
    mouth.quadTo(640, 400, 590, 390)
    painter.drawPath(mouth)


def to_picture(image: QImage) -> Picture:
    """Convert RGB to I420 (BT.601, limited range)."""
    import av

    width, height = image.width(), image.height()
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(height, image.bytesPerLine())
    pixels = np.ascontiguousarray(rows[:, : width * 4].reshape(height, width, 4))
    return Picture.from_frame(
        av.VideoFrame.from_ndarray(pixels, format="bgra").reformat(format="yuv420p")
    )
