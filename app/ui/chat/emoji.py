"""A small picker for emoji, or for signs that every system can show where no emoji font is."""

from __future__ import annotations

import functools
import unicodedata

from PySide6.QtCore import QPoint, QRectF, Qt, Signal
from PySide6.QtGui import QFont, QFontDatabase, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QToolButton, QWidget

from app.ui.theme import Radius, TypeStyle, color, fill_rounded, font_of, stroke_rounded
from app.ui.widgets import Popover, pressed_by_enter

_EMOJI = (
    "😀😄😁😂🙂😉😊😍😘😎🤔😐😏😴😢😭😅😮😱😡🙄🤗🤝👍👎👏🙌🙏👋💪✋✌❤💔✨⭐🔥🎉🎂☕🌱🌻🍅🍎🌍🌞🚀✅"
)
_SIGNS = "☺☹♥★☆✓✗✎☀☁☂☃☎☕♪♫✌☝☞⚠⚡⚙⚑⌛→←↑↓…•°½€£"
_COLUMNS = 8
_CELL_PX = 34


@functools.cache
def has_emoji_font() -> bool:
    """Whether some font of the system draws emoji."""
    return any("emoji" in family.casefold() for family in QFontDatabase.families())


class EmojiPicker(Popover):
    """A grid over the field; `picked` carries the character, Esc closes."""

    picked = Signal(str)

    def __init__(self, parent: QWidget) -> None:
        super().__init__("chatEmojiPicker", "Emoji", radius=Radius.TILE, parent=parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        grid = QGridLayout(self)
        grid.setContentsMargins(8, 8, 8, 8)
        grid.setSpacing(0)
        self._cells: list[_Cell] = []
        for number, char in enumerate(_EMOJI if has_emoji_font() else _SIGNS):
            cell = _Cell(char, self)
            cell.clicked.connect(lambda _checked=False, c=char: self._pick(c))
            grid.addWidget(cell, number // _COLUMNS, number % _COLUMNS)
            self._cells.append(cell)

    def open_above(self, button: QWidget) -> None:
        """Show it above a button, its right edges aligned."""
        size = self.sizeHint()
        corner = button.mapToGlobal(QPoint(button.width() - size.width(), -size.height() - 10))
        self.move(max(0, corner.x()), max(0, corner.y()))
        self.show()
        self._cells[0].setFocus(Qt.FocusReason.PopupFocusReason)

    def _pick(self, char: str) -> None:
        self.picked.emit(char)
        self.close()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move among the cells."""
        step = {
            Qt.Key.Key_Left: -1,
            Qt.Key.Key_Right: 1,
            Qt.Key.Key_Up: -_COLUMNS,
            Qt.Key.Key_Down: _COLUMNS,
        }.get(Qt.Key(event.key()))
        focused = self.focusWidget()
        if step is None or focused not in self._cells:
            super().keyPressEvent(event)
            return
        at = self._cells.index(focused) + step
        if 0 <= at < len(self._cells):
            self._cells[at].setFocus(Qt.FocusReason.OtherFocusReason)


class _Cell(QToolButton):
    def __init__(self, char: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setText(char)
        self.setFixedSize(_CELL_PX, _CELL_PX)
        self.setAccessibleName(unicodedata.name(char, "sign").capitalize())
        self.setToolTip(self.accessibleName())
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        font = QFont(font_of(TypeStyle.HEADING, weight=400))
        font.setPixelSize(18)
        self.setFont(font)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter presses; arrows belong to the grid."""
        if event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_Down):
            event.ignore()
        elif not pressed_by_enter(self, event):
            super().keyPressEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the character."""
        painter = QPainter(self)
        box = QRectF(self.rect())
        if self.underMouse() or self.hasFocus():
            fill_rounded(painter, box, Radius.SMALL, color("surface3"))
        if self.hasFocus():
            stroke_rounded(painter, box, Radius.SMALL, color("accent"), 2)
        painter.setFont(self.font())
        painter.setPen(color("text1"))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, self.text())
