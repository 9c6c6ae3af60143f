"""The card with the meetings a person was in lately."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QFrame,
    QHBoxLayout,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QVBoxLayout,
    QWidget,
)

from app.runtime.settings import Recent
from app.ui.home.words import typeset
from app.ui.theme import (
    TypeStyle,
    color,
    fill_rounded,
    font_of,
    mirrored,
    paint_icon,
    stroke_rounded,
)
from app.ui.widgets import Button, Card, EmptyState, TextLabel, pressed_by_enter

ROW_PX = 54


class RecentsCard(Card):
    """Lists recent meetings; scrolls inside when there are many."""

    chosen = Signal(object)
    clearRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(padding=0, parent=parent)
        self.setObjectName("startRecentCard")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.setMinimumHeight(220)
        self.body.setContentsMargins(1, 11, 1, 8)
        head = QHBoxLayout()
        head.setContentsMargins(15, 0, 8, 0)
        head.addWidget(TextLabel("Recent", TypeStyle.HEADING), 1)
        self.clear_button = Button("Clear", tone="ghost", size="small")
        self.clear_button.setObjectName("startRecentClear")
        self.clear_button.setFont(font_of(TypeStyle.CAPTION))
        self.clear_button.clicked.connect(self.clearRequested)
        head.addWidget(self.clear_button)
        self.body.addLayout(head)
        self.body.addSpacing(4)
        self._empty = EmptyState(
            "clock-counter-clockwise",
            "No meetings yet",
            typeset("Meetings you join or host show up here, so that one press brings you back."),
        )
        self._list = QWidget()
        self._list.setObjectName("startRecentList")
        self._list.setProperty("role", "scrolled")
        self._rows = QVBoxLayout(self._list)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(0)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._scroll.viewport().setAutoFillBackground(False)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidget(self._list)
        self.body.addWidget(self._scroll, 1)
        self._empty.body.insertStretch(0, 1)
        self._empty.body.addStretch(1)
        self.body.addWidget(self._empty, 1)
        self.set_recents(())

    def set_recents(self, recents: Sequence[Recent]) -> None:
        """Show these, newest first."""
        while (item := self._rows.takeAt(0)) is not None:
            if (row := item.widget()) is not None:
                row.deleteLater()
        today = datetime.now().astimezone().date()
        for index, recent in enumerate(recents):
            row = RecentRow(recent, today)
            row.setObjectName(f"startRecent_{index}")
            row.clicked.connect(lambda _checked=False, recent=recent: self.chosen.emit(recent))
            self._rows.addWidget(row)
        self._rows.addStretch(1)
        self._scroll.setVisible(bool(recents))
        self.clear_button.setVisible(bool(recents))
        self._empty.setVisible(not recents)


class RecentRow(QAbstractButton):
    """One meeting: name, where it was, when, and a caret."""

    def __init__(self, recent: Recent, today: date) -> None:
        super().__init__()
        self._recent = recent
        self._when = spoken_day(recent.at_ms, today)
        self._where = "Hosted here" if recent.hosted_here else recent.address
        if recent.host_name and not recent.hosted_here:
            self._where += f" \u00b7 with {recent.host_name}"
        self.setFixedHeight(ROW_PX)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        verb = "Host" if recent.hosted_here else "Join"
        self.setAccessibleName(f"{verb} {recent.room} again, {self._where}, {self._when}")

    def sizeHint(self) -> QSize:
        """A row's height; the width is the list's."""
        return QSize(300, ROW_PX)

    def event(self, event: QEvent) -> bool:
        """Repaint when the pointer comes or goes."""
        if event.type() in (QEvent.Type.HoverEnter, QEvent.Type.Enter, QEvent.Type.Leave):
            self.update()
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter presses, as Space does."""
        if not pressed_by_enter(self, event):
            super().keyPressEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the row."""
        painter = QPainter(self)
        box = QRectF(self.rect()).adjusted(7, 1, -7, -1)
        if self.underMouse() or self.isDown():
            fill_rounded(painter, box, 10, color("surface3" if self.isDown() else "surface2"))
        if self.hasFocus():
            stroke_rounded(painter, box, 10, color("accent"), 2)
        icon = "house-line" if self._recent.hosted_here else "clock-counter-clockwise"
        paint_icon(painter, mirrored(self, QRectF(25, 17, 20, 20)), icon, color("text2"))
        caption = font_of(TypeStyle.CAPTION)
        when_width = QFontMetrics(caption).horizontalAdvance(self._when)
        right = self.width() - 46
        room_width = max(0, right - when_width - 16 - 70)
        align = Qt.AlignmentFlag
        reading = self.layoutDirection()
        leading = QStyle.visualAlignment(reading, align.AlignLeft | align.AlignVCenter)
        trailing = QStyle.visualAlignment(reading, align.AlignRight | align.AlignVCenter)
        elide = Qt.TextElideMode.ElideRight
        strong = font_of(TypeStyle.BODY, weight=500)
        painter.setFont(strong)
        painter.setPen(color("text1"))
        shown = QFontMetrics(strong).elidedText(self._recent.room, elide, room_width)
        painter.drawText(mirrored(self, QRectF(70, 8, room_width + 2, 20)), leading, shown)
        painter.setFont(caption)
        painter.setPen(color("text2"))
        shown = QFontMetrics(caption).elidedText(self._where, elide, room_width)
        painter.drawText(mirrored(self, QRectF(70, 28, room_width + 2, 16)), leading, shown)
        painter.setPen(color("text3"))
        when = mirrored(self, QRectF(right - when_width - 2, 17, when_width + 2, 20))
        painter.drawText(when, trailing, self._when)
        caret = mirrored(self, QRectF(self.width() - 32, 19, 16, 16))
        is_rtl = reading is Qt.LayoutDirection.RightToLeft
        paint_icon(painter, caret, "caret-left" if is_rtl else "caret-right", color("text2"))


def spoken_day(at_ms: int, today: date) -> str:
    """Say when: "Today", "Yesterday", "Mon" within a week, then "12 Nov", "12 Nov 2025"."""
    day = datetime.fromtimestamp(at_ms / 1000).astimezone().date()
    ago = (today - day).days
    if ago <= 0:
        return "Today"
    if ago == 1:
        return "Yesterday"
    if ago < 7:
        return day.strftime("%a")
    text = f"{day.day} {day.strftime('%b')}"
    return text if day.year == today.year else f"{text} {day.year}"
