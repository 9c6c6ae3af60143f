"""The chat: messages above, the field below; says what is to be sent and sends nothing itself.

Scrolled up, the list keeps its place when something new arrives and shows how much was missed.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QPoint, QRectF, QSize, Qt, QUrl, Signal
from PySide6.QtGui import (
    QDesktopServices,
    QFocusEvent,
    QGuiApplication,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QShowEvent,
    QTextOption,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QListView,
    QPlainTextEdit,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from app.engine.events import Event
from app.ui.chat.list import ChatDelegate, ChatModel
from app.ui.chat.model import UnreadCounter
from app.ui.theme import Radius, TypeStyle, color, fill_rounded, font_of, stroke_rounded, theme
from app.ui.widgets import Button, EmptyState, IconButton, Menu

MAX_TEXT_CHARS = 10_000
_MAX_FIELD_PX = 120
_FIELD_PAD_PX = 7


class MessageField(QPlainTextEdit):
    """Grows with its text; Enter sends, Shift+Enter starts a line."""

    submitted = Signal()
    focusChanged = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("chatInput")
        self.setAccessibleName("Write a message")
        self.setPlaceholderText("Write a message")
        self.setFont(font_of(TypeStyle.BODY))
        self.setTabChangesFocus(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAcceptDrops(False)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.viewport().setAutoFillBackground(False)
        self.document().setDocumentMargin(0)
        self.setViewportMargins(0, _FIELD_PAD_PX, 0, _FIELD_PAD_PX)
        self.textChanged.connect(self._grow)
        self._grow()

    def _grow(self) -> None:
        lines = max(1, round(self.document().size().height()))
        wanted = lines * self.fontMetrics().lineSpacing() + 2 * _FIELD_PAD_PX + 2
        height = min(_MAX_FIELD_PX, max(32, wanted))
        self.setFixedHeight(height)
        policy = Qt.ScrollBarPolicy
        self.setVerticalScrollBarPolicy(
            policy.ScrollBarAsNeeded if wanted > _MAX_FIELD_PX else policy.ScrollBarAlwaysOff
        )

    def resizeEvent(self, event: QResizeEvent) -> None:
        """A new width wraps the text anew."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._grow()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter sends."""
        shifted = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not shifted:
            self.submitted.emit()
            return
        super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """The frame around the field shows the focus."""
        super().focusInEvent(event)
        self.focusChanged.emit()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """And loses it."""
        super().focusOutEvent(event)
        self.focusChanged.emit()


class Composer(QWidget):
    """The rounded frame with the field, attach and send."""

    submitted = Signal(str)
    attachRequested = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(13, 5, 5, 5)
        row.setSpacing(2)
        self.field = MessageField(self)
        self.field.submitted.connect(self._submit)
        self.field.focusChanged.connect(self.update)
        self.field.textChanged.connect(self._on_text)
        row.addWidget(self.field, 1, Qt.AlignmentFlag.AlignVCenter)
        self.attach = IconButton("paperclip", "Send a file")
        self.attach.setObjectName("chatAttach")
        self.attach.clicked.connect(self.attachRequested)
        row.addWidget(self.attach, 0, Qt.AlignmentFlag.AlignBottom)
        self.send = IconButton("paper-plane-right-fill", "Send message")
        self.send.setObjectName("chatSend")
        self.send.clicked.connect(self._submit)
        row.addWidget(self.send, 0, Qt.AlignmentFlag.AlignBottom)
        self._on_text()

    def _on_text(self) -> None:
        ready = bool(self.field.toPlainText().strip())
        self.send.setEnabled(ready)
        self.send.set_icon_name("paper-plane-right-fill", "accent_text" if ready else "text3")

    def _submit(self) -> None:
        text = self.field.toPlainText().strip()
        if text:
            self.field.clear()
            self.submitted.emit(text[:MAX_TEXT_CHARS])

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the frame, thicker and in the accent while one writes."""
        painter = QPainter(self)
        box = QRectF(self.rect())
        fill_rounded(painter, box, Radius.INPUT, color("surface2"))
        focused = self.field.hasFocus()
        edge = color("accent" if focused else "control")
        stroke_rounded(painter, box, Radius.INPUT, edge, 2 if focused else 1)

    def mousePressEvent(self, _event: QMouseEvent) -> None:
        """A press anywhere on the frame means the field."""
        self.field.setFocus(Qt.FocusReason.MouseFocusReason)


class ChatPanel(QWidget):
    """Messages and field; `unreadChanged` carries the badge's text."""

    sendRequested = Signal(str)
    attachRequested = Signal()
    unreadChanged = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.unread = UnreadCounter()
        self._last_own = ""
        self.model = ChatModel(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.list = QListView()
        self._set_up_list()
        column.addWidget(self.list, 1)
        self._empty = EmptyState(
            "chat-circle-dots", "Say hello", "Messages reach everyone in the meeting."
        )
        self._empty.setParent(self.list)
        self._line = QFrame()
        self._line.setProperty("role", "hairline")
        self._line.setFixedHeight(1)
        column.addWidget(self._line)
        foot = QVBoxLayout()
        foot.setContentsMargins(12, 12, 12, 12)
        self.composer = Composer(self)
        self.composer.submitted.connect(self._on_submitted)
        self.composer.attachRequested.connect(self.attachRequested)
        foot.addWidget(self.composer)
        column.addLayout(foot)
        self.pill = Button("", tone="primary", size="small", parent=self)
        self.pill.setObjectName("chatNewMessages")
        self.pill.clicked.connect(self.scroll_to_end)
        self.pill.hide()

    def _set_up_list(self) -> None:
        view = self.list
        view.setObjectName("chatList")
        view.setAccessibleName("Messages")
        view.setModel(self.model)
        self._delegate = ChatDelegate(view)
        self._delegate.linkActivated.connect(self._on_link)
        view.setItemDelegate(self._delegate)
        view.setFrameShape(QFrame.Shape.NoFrame)
        view.setResizeMode(QListView.ResizeMode.Adjust)
        view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        view.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        view.setMouseTracking(True)
        view.viewport().setMouseTracking(True)
        view.viewport().installEventFilter(self)
        view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        view.customContextMenuRequested.connect(self._on_menu)
        view.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        theme.changed.connect(view.viewport().update)

    # -- messages ---------------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        """Take a chat event; others are ignored."""
        at_end = self._is_at_end()
        change = self.model.handle(event)
        if change is None:
            return
        self._empty.setVisible(self.model.rowCount() == 0)
        if not change.inserted:
            self.list.scheduleDelayedItemsLayout()
            return
        if at_end or not change.by_others:
            self.scroll_to_end()
        if change.by_others:
            being_read = self.isVisible() and at_end and self._window_is_active()
            self.unread.handle_message(being_read=being_read)
        self._show_unread()

    def focus_field(self) -> None:
        """Let the person write."""
        self.composer.field.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def restore_draft(self, text: str) -> None:
        """Put a line that could not be sent back, unless something was written meanwhile."""
        if not self.composer.field.toPlainText():
            self.composer.field.setPlainText(text)

    def scroll_to_end(self) -> None:
        """Show the newest message."""
        self.list.doItemsLayout()
        self.list.scrollToBottom()
        self._read()

    def showEvent(self, event: QShowEvent) -> None:
        """Opening the chat at its end reads it."""
        super().showEvent(event)
        self._place()
        if self._is_at_end() or self.pill.isHidden():
            self.scroll_to_end()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the pill over the list's end and the end in sight."""
        at_end = self._is_at_end()
        super().resizeEvent(event)
        self._place()
        if at_end:
            self.list.doItemsLayout()
            self.list.scrollToBottom()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """A hand over links; the empty state follows the list's size."""
        if watched is self.list.viewport():
            if event.type() == QEvent.Type.MouseMove and isinstance(event, QMouseEvent):
                self._point_at(event.position().toPoint())
            elif event.type() == QEvent.Type.Resize:
                self._place()
        return super().eventFilter(watched, event)

    def _point_at(self, at: QPoint) -> None:
        index = self.list.indexAt(at)
        over_link = False
        if index.isValid():
            option = QStyleOptionViewItem()
            option.rect = self.list.visualRect(index)
            over_link = bool(self._delegate.link_at(option, index, at.toPointF()))
        shape = Qt.CursorShape.PointingHandCursor if over_link else Qt.CursorShape.ArrowCursor
        self.list.viewport().setCursor(shape)

    def _is_at_end(self) -> bool:
        bar = self.list.verticalScrollBar()
        return bar.value() >= bar.maximum() - 4

    def _window_is_active(self) -> bool:
        # Offscreen and on some desktops no window is ever active: being shown has to do.
        active = QGuiApplication.focusWindow()
        return active is None or self.window().isActiveWindow()

    def _on_scrolled(self) -> None:
        if self.isVisible() and self._is_at_end():
            self._read()

    def _read(self) -> None:
        if self.isVisible():
            self.unread.clear()
            self._show_unread()

    def _show_unread(self) -> None:
        missed = self.unread.count > 0 and not self._is_at_end()
        self.pill.setVisible(missed and self.isVisible())
        if missed:
            self.pill.setText(self.unread.pill)
            self._place()
        self.unreadChanged.emit(self.unread.badge)

    def _place(self) -> None:
        self._empty.setVisible(self.model.rowCount() == 0)
        size = self._empty.sizeHint()
        height = max(120, size.height())
        self._empty.setGeometry(
            0, max(0, (self.list.height() - height) // 2), self.list.width(), height
        )
        hint: QSize = self.pill.sizeHint()
        self.pill.resize(hint.width(), self.pill.height())
        self.pill.move(
            (self.width() - hint.width()) // 2,
            self.list.geometry().bottom() - self.pill.height() - 10,
        )
        self.pill.raise_()

    def _on_submitted(self, text: str) -> None:
        self.sendRequested.emit(text)

    def _on_link(self, url: str) -> None:
        QDesktopServices.openUrl(QUrl(url))

    def _on_menu(self, at: QPoint) -> None:
        index = self.list.indexAt(at)
        if not index.isValid():
            return
        text = self.model.row(index.row()).text
        menu = Menu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.add_item(
            "Copy message",
            lambda: QGuiApplication.clipboard().setText(text),
            icon="copy",
            name="actionCopyMessage",
        )
        menu.popup(self.list.viewport().mapToGlobal(at))
