"""The panel at the right: tabs for chat, people and files over one stack."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetricsF, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QStackedWidget,
    QStyle,
    QVBoxLayout,
    QWidget,
)

from app.ui.stage.control_bar import badge_width, paint_badge
from app.ui.theme import (
    Radius,
    TypeStyle,
    color,
    fill_rounded,
    font_of,
    mirrored,
    paint_icon,
    stroke_rounded,
)
from app.ui.widgets import Hairline, IconButton, ToolButton
from app.ui.widgets.focus import shows_focus

WIDTH_PX = 344


class PanelTab(ToolButton):
    """Icon, word, and a number: quiet (people) or as a badge (unread, running)."""

    def __init__(self, icon: str, text: str, name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setText(text)
        self.setAccessibleName(text)
        self.setCheckable(True)
        self.setAutoExclusive(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFont(font_of(TypeStyle.LABEL_STRONG))
        self._glyph = icon
        self._number, self._badge = "", ""

    def set_number(self, number: str) -> None:
        """Show a quiet number."""
        if number != self._number:
            self._number = number
            self.updateGeometry()
            self.update()

    def set_badge(self, badge: str) -> None:
        """Show an accent badge."""
        if badge != self._badge:
            self._badge = badge
            self.setAccessibleName(f"{self.text()}, {badge}" if badge else self.text())
            self.updateGeometry()
            self.update()

    def sizeHint(self) -> QSize:
        """Fit icon, word and number."""
        width = 10 + 16 + 7 + QFontMetricsF(self.font()).horizontalAdvance(self.text()) + 11
        if self._badge:
            width += 24
        elif self._number:
            width += QFontMetricsF(self.font()).horizontalAdvance(self._number) + 8
        return QSize(round(width), 36)

    def minimumSizeHint(self) -> QSize:
        """Never squeezed."""
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the tab."""
        painter = QPainter(self)
        box = QRectF(self.rect())
        if self.isChecked():
            fill_rounded(painter, box, Radius.SMALL, color("surface3"))
        elif self.underMouse():
            fill_rounded(painter, box, Radius.SMALL, color("surface2"))
        if shows_focus(self):
            stroke_rounded(painter, box, Radius.SMALL, color("accent"), 2)
        ink = color("text1" if self.isChecked() else "text2")
        glyph = mirrored(self, QRectF(10, box.center().y() - 8, 16, 16))
        paint_icon(painter, glyph, self._glyph, ink)
        painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
        painter.setFont(self.font())
        painter.setPen(ink)
        leading = QStyle.visualAlignment(
            self.layoutDirection(), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        )
        leading |= Qt.AlignmentFlag.AlignAbsolute
        text = mirrored(self, QRectF(33, 0, box.width(), box.height()))
        painter.drawText(text, leading, self.text())
        after = 33 + QFontMetricsF(self.font()).horizontalAdvance(self.text()) + 7
        if self._badge:
            width = badge_width(self._badge)
            badge = mirrored(self, QRectF(after, box.center().y() - 9, width, 18))
            paint_badge(painter, badge.x(), badge.y(), self._badge)
        elif self._number:
            painter.setFont(font_of(TypeStyle.LABEL, tabular=True))
            painter.setPen(color("text2"))
            number = mirrored(self, QRectF(after, 0, 40, box.height()))
            painter.drawText(number, leading, self._number)


class SidePanel(QFrame):
    """Shows one of its pages; `tabChosen` and `closeRequested` say what was pressed."""

    tabChosen = Signal(str)
    closeRequested = Signal()

    def __init__(self, pages: dict[str, QWidget], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setProperty("role", "panel")
        self.setAccessibleName("Panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._pages = pages
        column = QVBoxLayout(self)
        column.setContentsMargins(1, 0, 0, 0)
        column.setSpacing(0)
        head = QHBoxLayout()
        head.setContentsMargins(12, 8, 12, 8)
        head.setSpacing(3)
        self.tabs = {
            "chat": PanelTab("chat-circle-text", "Chat", "panelTabChat", self),
            "people": PanelTab("users", "People", "panelTabPeople", self),
            "files": PanelTab("folder-open", "Files", "panelTabFiles", self),
        }
        for key, tab in self.tabs.items():
            tab.clicked.connect(lambda _checked=False, page=key: self.tabChosen.emit(page))
            head.addWidget(tab)
        head.addStretch(1)
        close = IconButton("x", "Close panel", side_px=28, icon_px=16)
        close.setObjectName("panelClose")
        close.set_name("Close panel", "Esc")
        close.clicked.connect(self.closeRequested)
        head.addWidget(close)
        column.addLayout(head)
        column.addWidget(Hairline())
        self._stack = QStackedWidget()
        for page in pages.values():
            self._stack.addWidget(page)
        column.addWidget(self._stack, 1)

    def show_page(self, page: str) -> None:
        """Bring a page to the front."""
        self._stack.setCurrentWidget(self._pages[page])
        self.tabs[page].setChecked(True)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc closes."""
        if event.key() == Qt.Key.Key_Escape:
            self.closeRequested.emit()
        else:
            super().keyPressEvent(event)
