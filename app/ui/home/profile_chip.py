"""The dark buttons that lie on the painted band: a person's name, and settings."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from app.ui.theme import (
    BAND,
    TypeStyle,
    color,
    fill_rounded,
    font_of,
    mirrored,
    paint_avatar,
    paint_icon,
    stroke_rounded,
)
from app.ui.widgets import pressed_by_enter

_MOST_TEXT_PX = 160


class BandButton(QAbstractButton):
    """A round button with an icon, on the band."""

    def __init__(self, icon: str, name: str, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon_name = icon
        self.setFixedSize(40, 40)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName(name)
        self.setToolTip(name)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter presses, as Space does."""
        if not pressed_by_enter(self, event):
            super().keyPressEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint disc, icon and focus ring."""
        painter = QPainter(self)
        box = QRectF(self.rect())
        fill_rounded(painter, box, 20, _back(self))
        paint_icon(painter, box.adjusted(10, 10, -10, -10), self._icon_name, QColor(BAND.text))
        if self.hasFocus():
            stroke_rounded(painter, box, 20, color("accent"), 2)


class ProfileChip(QAbstractButton):
    """Shows initial and name; a press asks to change the name."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = ""
        self.setFont(font_of(TypeStyle.BODY_STRONG))
        self.setFixedHeight(40)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.set_name("")

    def set_name(self, name: str) -> None:
        """Show another name; without one it asks for it."""
        self._name = name
        self.setAccessibleName(f"Change your name, now {name}" if name else "Set your name")
        self.setToolTip("Change your name" if name else "Set your name")
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Fit the name."""
        return QSize(42 + self._text_width() + 38, 40)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter presses, as Space does."""
        if not pressed_by_enter(self, event):
            super().keyPressEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint pill, avatar, name, pencil."""
        painter = QPainter(self)
        box = QRectF(self.rect())
        fill_rounded(painter, box, 20, _back(self))
        avatar = mirrored(self, QRectF(6, 6, 28, 28))
        if self._name:
            paint_avatar(painter, avatar, self._name)
        else:
            paint_icon(painter, avatar.adjusted(4, 4, -4, -4), "user", QColor(BAND.text))
        painter.setPen(QColor(BAND.text))
        painter.setFont(self.font())
        words = mirrored(self, QRectF(42, 0, self._text_width() + 2, 40))
        shown = QFontMetrics(self.font()).elidedText(
            self._words(), Qt.TextElideMode.ElideRight, _MOST_TEXT_PX
        )
        painter.drawText(words, Qt.AlignmentFlag.AlignVCenter, shown)
        pencil = mirrored(self, QRectF(box.right() - 30, 12, 16, 16))
        paint_icon(painter, pencil, "pencil-simple", QColor(BAND.text_soft))
        if self.hasFocus():
            stroke_rounded(painter, box, 20, color("accent"), 2)

    def _words(self) -> str:
        return self._name or "Your name"

    def _text_width(self) -> int:
        metrics = QFontMetrics(self.font())
        return min(_MOST_TEXT_PX, metrics.horizontalAdvance(self._words()) + 1)


def _back(button: QAbstractButton) -> QColor:
    back = QColor(BAND.chip)
    if button.isDown() or button.underMouse():
        back.setAlphaF(1.0)
    return back
