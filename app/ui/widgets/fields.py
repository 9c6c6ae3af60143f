"""Where a person writes and chooses: text field, combo box, switch."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPoint, QRectF, QSize, Qt, QVariantAnimation
from PySide6.QtGui import QFocusEvent, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QLineEdit,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

from app.ui.theme import (
    Motion,
    Radius,
    TypeStyle,
    color,
    duration_ms,
    fill_rounded,
    font_of,
    mirrored,
    paint_icon,
    set_property,
    stroke_rounded,
)
from app.ui.widgets.floating import Floating
from app.ui.widgets.focus import note_focus, note_key, shows_focus

# The style sheet's padding and border, and what Qt leaves before the first letter.
_TEXT_LEFT_PX = 15


class TextField(QLineEdit):
    """A line edit with an optional icon in front; `large` is 48 px high, `small` 36, else 40."""

    def __init__(
        self,
        placeholder: str = "",
        icon: str = "",
        *,
        large: bool = False,
        small: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._icon_name = icon
        self.setPlaceholderText(placeholder)
        self.setProperty("extent", "large" if large else "small" if small else "")
        self.setProperty("tone", "")
        self.setFixedHeight(48 if large else 36 if small else 40)
        self._make_room()
        self.setFont(font_of(TypeStyle.NOTE if small else TypeStyle.BODY))

    def _make_room(self) -> None:
        room = 28 if self._icon_name else 0
        if self.layoutDirection() is Qt.LayoutDirection.RightToLeft:
            self.setTextMargins(0, 0, room, 0)
        else:
            self.setTextMargins(room, 0, 0, 0)

    def changeEvent(self, event: QEvent) -> None:
        """Keep the room for the icon on the side where it stands."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.LayoutDirectionChange:
            self._make_room()

    def set_problem(self, problem: bool) -> None:
        """Outline the field as mistaken; the words stand beside it."""
        set_property(self, "tone", "danger" if problem else "")

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the field, then its icon."""
        super().paintEvent(event)
        if self._icon_name:
            painter = QPainter(self)
            box = QRectF(13, (self.height() - 18) / 2, 18, 18)
            paint_icon(painter, mirrored(self, box), self._icon_name, color("text2"))
        if self.isReadOnly() and not self.hasFocus() and self._is_cut():
            painter = QPainter(self)
            metrics = self.fontMetrics()
            whole = metrics.elidedText(
                self.text(), Qt.TextElideMode.ElideRight, self.width() - _TEXT_LEFT_PX - 14
            )[:-1]
            # From the last letter that is whole: half a letter would look like another one.
            left = _TEXT_LEFT_PX + metrics.horizontalAdvance(whole)
            end = QRectF(left, 4, self.width() - 4 - left, self.height() - 8)
            painter.fillRect(end, color("surface2"))
            painter.setPen(color("text1"))
            painter.drawText(end, Qt.AlignmentFlag.AlignVCenter, "\u2026")

    def _is_cut(self) -> bool:
        return self.fontMetrics().horizontalAdvance(self.text()) > self.width() - 28


class ComboBox(QComboBox):
    """A drop-down with an icon in front and a caret; long names end in "…"."""

    def __init__(self, icon: str, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon_name = icon
        self.setFixedHeight(40)
        self.setFont(font_of(TypeStyle.BODY))
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self._floating: Floating | None = None

    def showPopup(self) -> None:
        """Open the list; its window is made when it is first needed."""
        window = self.view().parentWidget()
        if self._floating is None and isinstance(window, QFrame):
            window.setFrameShape(QFrame.Shape.NoFrame)
            self._floating = Floating(window, radius=Radius.INPUT, bare=True)
            # Qt's own delegate for drop-downs does not know the style sheet's rows.
            self.setItemDelegate(QStyledItemDelegate(self))
        super().showPopup()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the box, the shortened text, icon and caret."""
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        middle = self.height() / 2
        words = mirrored(self, QRectF(41, 0, self.width() - 41 - 36, self.height()))
        painter.setPen(color("text1" if self.isEnabled() else "text3"))
        shown = self.fontMetrics().elidedText(
            self.currentText() or self.placeholderText(),
            Qt.TextElideMode.ElideRight,
            int(words.width()),
        )
        leading = QStyle.visualAlignment(
            self.layoutDirection(), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        )
        painter.drawText(words, leading, shown)
        ink = color("text2" if self.isEnabled() else "text3")
        front = mirrored(self, QRectF(13, middle - 9, 18, 18))
        paint_icon(painter, front, self._icon_name, ink)
        caret = mirrored(self, QRectF(self.width() - 27, middle - 7, 14, 14))
        paint_icon(painter, caret, "caret-down", ink)


class Switch(QCheckBox):
    """A 40x24 switch; `name` is its accessible name, the visible words stand beside it."""

    def __init__(self, name: str, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setFixedSize(44, 28)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self._knob = 0.0
        self._motion = QVariantAnimation(self)
        self._motion.valueChanged.connect(self._on_moved)
        self.toggled.connect(self._on_toggled)

    def sizeHint(self) -> QSize:
        """Room for the focus ring around 40x24."""
        return QSize(44, 28)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Remember whether it was pressed with the mouse."""
        super().focusInEvent(event)
        note_focus(self, event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Show the ring from now on."""
        note_key(self)
        super().keyPressEvent(event)

    def hitButton(self, pos: QPoint) -> bool:
        """Take a press anywhere on it."""
        return self.rect().contains(pos)

    def _on_moved(self, value: float) -> None:
        self._knob = value
        self.update()

    def _on_toggled(self, on: bool) -> None:
        self._motion.stop()
        self._motion.setDuration(duration_ms(Motion.TOGGLE) if self.isVisible() else 0)
        self._motion.setStartValue(self._knob)
        self._motion.setEndValue(1.0 if on else 0.0)
        self._motion.start()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint track, knob and, with focus, a ring."""
        painter = QPainter(self)
        painter.setOpacity(1.0 if self.isEnabled() else 0.45)
        track = QRectF(2, 2, 40, 24)
        if shows_focus(self):
            stroke_rounded(painter, track.adjusted(-2, -2, 2, 2), 14, color("accent"), 1.5)
        on = self.isChecked()
        fill_rounded(painter, track, 12, color("accent" if on else "surface3"))
        if not on:
            stroke_rounded(painter, track, 12, color("control"), 1)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(color("on_accent" if on else "text2"))
        painter.drawEllipse(mirrored(self, QRectF(6 + 16 * self._knob, 6, 16, 16)))
