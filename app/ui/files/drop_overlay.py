"""What the stage shows while files are dragged over it; paints only, takes no events."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from app.ui.home.words import typeset
from app.ui.theme import (
    Radius,
    TypeStyle,
    color,
    fill_rounded,
    font_of,
    font_px,
    paint_icon,
    rounded_path,
)

_INSET_PX = 12
_PAD_PX = 14
_WORDS_PX = 102 + 2 * _PAD_PX


class DropOverlay(QWidget):
    """Covers the stage; a tile under the pointer is cut out of the veil."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("dropOverlay")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._detail = ""
        self._name = ""
        self._cut: QRectF | None = None
        self.hide()

    @property
    def title(self) -> str:
        """What a drop would do."""
        return f"Drop to send to {self._name}" if self._name else "Drop to send to everyone"

    def open_(self, detail: str) -> None:
        """Appear over the whole stage."""
        stage = self.parentWidget()
        if stage is not None:
            self.setGeometry(stage.rect())
        self._detail, self._name, self._cut = detail, "", None
        self._say()
        self.show()
        self.raise_()
        messages = stage.findChild(QWidget, "toastArea") if stage is not None else None
        if messages is not None:
            # Half of one would show through where a tile is cut out.
            self.stackUnder(messages)

    def set_detail(self, detail: str) -> None:
        """Say how much it is, as soon as that is known."""
        if detail != self._detail:
            self._detail = detail
            self.update()

    def set_target(self, name: str, tile: QRectF | None) -> None:
        """Somebody's tile is under the pointer; "" means everybody."""
        if (name, tile) != (self._name, self._cut):
            self._name, self._cut = name, tile
            self._say()
            self.update()

    def close_(self) -> None:
        """Go away."""
        self.hide()

    def _say(self) -> None:
        self.setAccessibleName(f"{self.title}, {self._detail}")

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint veil, dashed frame and words."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(_INSET_PX, _INSET_PX, -_INSET_PX, -_INSET_PX)
        veil = color("stage")
        veil.setAlphaF(0.8)
        tint = color("accent_soft")
        tint.setAlphaF(0.3)
        shape = QPainterPath()
        shape.addRect(QRectF(self.rect()))
        if self._cut is not None:
            shape = shape.subtracted(rounded_path(self._cut, Radius.TILE))
        painter.fillPath(shape, veil)
        painter.fillPath(shape.intersected(rounded_path(box, Radius.CARD)), tint)
        pen = QPen(color("accent"), 2)
        pen.setDashPattern([3.5, 2.5])
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(box.adjusted(1, 1, -1, -1), Radius.CARD, Radius.CARD)
        self._paint_words(painter, box)

    def _paint_words(self, painter: QPainter, box: QRectF) -> None:
        middle = box.center().x()
        with_disc = box.height() >= 320 and self._cut is None
        y = box.center().y() - (106 if with_disc else 52)
        if self._cut is not None:
            # Away from the lit tile: below it if there is more room, else above.
            below, above = box.bottom() - self._cut.bottom(), self._cut.top() - box.top()
            room = (self._cut.bottom(), below) if below >= above else (box.top(), above)
            y = room[0] + max(16.0, (room[1] - _WORDS_PX) / 2) + _PAD_PX
        if with_disc:
            disc = QRectF(middle - 44, y, 88, 88)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(color("accent_soft"))
            painter.drawEllipse(disc)
            paint_icon(
                painter, disc.adjusted(24, 24, -24, -24), "file-arrow-up", color("accent_text")
            )
            y += 108
        # Other tiles shine through: with a lit one the words get a ground of their own.
        if self._cut is not None:
            plate = color("stage")
            plate.setAlphaF(0.85)
            fill_rounded(
                painter, QRectF(middle - 230, y - _PAD_PX, 460, _WORDS_PX), Radius.CARD, plate
            )
        self._line(painter, QRectF(box.x(), y, box.width(), 30), self.title, font_px(22, 600))
        painter.setPen(color("text2"))
        painter.setFont(font_of(TypeStyle.BODY))
        align = Qt.AlignmentFlag.AlignCenter
        painter.drawText(QRectF(box.x(), y + 33, box.width(), 22), align, self._detail)
        hint = typeset("Or drop on someone's video to send only to them")
        if self._name:
            hint = "Drop beside the pictures to send to everyone"
        font = font_of(TypeStyle.CAPTION, weight=500)
        width = QFontMetricsF(font).horizontalAdvance(hint) + 28
        chip = QRectF(middle - width / 2, y + 70, width, 32)
        fill_rounded(painter, chip, 16, color("surface3"))
        painter.setFont(font)
        painter.setPen(color("text1"))
        painter.drawText(chip, align, hint)

    def _line(self, painter: QPainter, box: QRectF, text: str, font: QFont) -> None:
        metrics = QFontMetricsF(font)
        shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, box.width() - 40)
        painter.setFont(font)
        painter.setPen(color("text1"))
        left = box.center().x() - metrics.horizontalAdvance(shown) / 2
        painter.drawText(QPointF(left, box.y() + metrics.ascent()), shown)
