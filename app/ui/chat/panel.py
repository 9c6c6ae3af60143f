"""The chat: messages above, who is typing, the composer below. It says what is wished.

Scrolled up, the list keeps its place when something new arrives and shows how much was missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QGuiApplication,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QShowEvent,
)
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from app.engine.chat import GLYPHS
from app.engine.events import AttachmentState, ChatState, Event, Person, TypingChanged
from app.ui.chat.composer import Composer, Draft
from app.ui.chat.list import ChatList, ChatModel
from app.ui.chat.model import (
    Change,
    ChatRow,
    Key,
    UnreadCounter,
    glyph_name,
    private_note,
    typing_label,
)
from app.ui.chat.previews import Previews
from app.ui.chat.row_layout import Hit, Target
from app.ui.theme import TypeStyle, color, font_of, paint_avatar
from app.ui.widgets import Button, EmptyState, Menu, TextLabel

_TYPING_PX = 32
_SPOKEN_CHARS = 200


class TypingLine(QWidget):
    """Who is writing now, with the face of the first."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("chatTyping")
        self.setFixedHeight(_TYPING_PX)
        self._people: tuple[tuple[str, str], ...] = ()
        self.hide()

    @property
    def text(self) -> str:
        """The words that are shown."""
        return typing_label([name for _, name in self._people])

    def set_people(self, people: tuple[tuple[str, str], ...]) -> None:
        """Show these people: identities and names."""
        self._people = people
        self.setAccessibleName(self.text)
        self.setVisible(bool(people))
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the line."""
        if not self._people:
            return
        painter = QPainter(self)
        paint_avatar(painter, QRectF(16, 7, 18, 18), self._people[0][1])
        font = font_of(TypeStyle.CAPTION)
        painter.setFont(font)
        painter.setPen(color("text3"))
        box = QRectF(42, 0, self.width() - 58, self.height())
        words = painter.fontMetrics().elidedText(
            self.text, Qt.TextElideMode.ElideRight, round(box.width())
        )
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, words)


class ChatPanel(QWidget):
    """Messages and composer. Signals carry what is wished; rows are `ChatRow`s.

    `sendRequested` a `Draft`, `editRequested` row and text, `deleteRequested` and
    `retryRequested` a row, `reactRequested` row, glyph and whether it is on, `typed` whether one
    writes and to whom, `linkRequested` what stands in the text and the address, `pictureRequested`
    a path, `saveRequested` a path and a name, `moreRequested` where to open a menu, `announced` a
    sentence for a screen reader, `unreadChanged` the badge's text.
    """

    sendRequested = Signal(object)
    editRequested = Signal(object, str)
    deleteRequested = Signal(object)
    retryRequested = Signal(object)
    reactRequested = Signal(object, str, bool)
    attachRequested = Signal()
    typed = Signal(bool, object)
    linkRequested = Signal(str, str)
    pictureRequested = Signal(object)
    saveRequested = Signal(object, str)
    filesRequested = Signal()
    moreRequested = Signal(QPoint)
    announced = Signal(str)
    unreadChanged = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.unread = UnreadCounter()
        self.can_moderate = False
        self._growing: Key | None = None
        self.model = ChatModel(self)
        self.previews = Previews(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.list = ChatList(self.model, self.previews)
        self._wire_list()
        column.addWidget(self.list, 1)
        self._empty = EmptyState(
            "chat-circle-dots", "Say hello", "Messages reach everyone in the meeting."
        )
        self._empty.setParent(self.list)
        self.typing = TypingLine(self)
        column.addWidget(self.typing)
        self._line = QFrame()
        self._line.setProperty("role", "hairline")
        self._line.setFixedHeight(1)
        column.addWidget(self._line)
        self.composer = Composer(self)
        self._wire_composer()
        column.addWidget(self.composer)
        self._refusal = TextLabel(
            "The host has turned off chat", TypeStyle.CAPTION, "text2", wrap=True
        )
        self._refusal.setObjectName("chatRefusal")
        self._refusal.setContentsMargins(16, 14, 16, 14)
        self._refusal.hide()
        column.addWidget(self._refusal)
        self.pill = Button("", tone="primary", size="small", parent=self)
        self.pill.setObjectName("chatNewMessages")
        self.pill.clicked.connect(self.scroll_to_end)
        self.pill.hide()

    def _wire_list(self) -> None:
        view = self.list
        view.delegate.pressed.connect(self._on_pressed)
        view.menuRequested.connect(self._open_menu)
        view.replyRequested.connect(self._reply)
        view.deleteRequested.connect(self._delete)
        view.copyRequested.connect(lambda row: QGuiApplication.clipboard().setText(row.text))
        view.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        view.resized.connect(self._place)

    def _wire_composer(self) -> None:
        self.composer.submitted.connect(self.sendRequested)
        self.composer.edited.connect(self.editRequested)
        self.composer.attachRequested.connect(self.attachRequested)
        self.composer.editLastRequested.connect(self._edit_last)
        self.composer.moreRequested.connect(self.moreRequested)
        self.composer.typed.connect(self.typed)

    # -- messages ---------------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        """Take a chat event; others are ignored."""
        if isinstance(event, TypingChanged):
            self.typing.set_people(event.people)
            return
        at_end, anchor = self.list.is_at_end(), self.list.anchor()
        change = self.model.handle(event)
        if change is None:
            return
        row = None if change.is_old or change.first < 0 else self.model.row(change.first)
        self.list.handle(change, anchor)
        self._empty.setVisible(self.model.rowCount() == 0)
        if row is None:
            if change.is_old:
                one = change.count == 1
                words = "1 earlier message" if one else f"{change.count} earlier messages"
                self.announced.emit(words)
        elif change.inserted:
            self._on_inserted(change, row, at_end=at_end)
        elif row.key == self._growing and not row.growing:
            self._growing = None
            self._announce(row)

    def _on_inserted(self, change: Change, row: ChatRow, *, at_end: bool) -> None:
        if not change.by_others:
            self.scroll_to_end()
        else:
            being_read = self.isVisible() and at_end and self._window_is_active()
            self.unread.handle_message(being_read=being_read)
            if row.growing:
                self._growing = row.key
            else:
                self._announce(row)
        self._show_unread()

    def _announce(self, row: ChatRow) -> None:
        text = row.text or ", ".join(one.name or "picture" for one in row.attachments)
        who = f"{row.name}, {private_note(row)}" if row.private else row.name
        self.announced.emit(f"{who}: {text[:_SPOKEN_CHARS]}")

    def set_people(self, others: Sequence[Person], *, can_moderate: bool) -> None:
        """Who can be written to, and whether one may delete what others wrote."""
        self.composer.set_people(others)
        self.can_moderate = can_moderate

    def set_allowed(self, allowed: bool) -> None:
        """Let the person write, or say who has decided otherwise; a draft stays."""
        self.composer.setVisible(allowed)
        self._refusal.setVisible(not allowed)

    def set_offline(self, offline: bool) -> None:
        """Messages wait while the connection is being restored."""
        self.list.delegate.offline = offline
        self.list.delegate.forget()
        self.list.lay_out()

    def focus_field(self) -> None:
        """Let the person write."""
        self.composer.field.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def write_to(self, person: Person) -> None:
        """Begin a private message."""
        self.composer.choose(person.identity, person.name)
        self.focus_field()

    def restore_draft(self, draft: Draft) -> None:
        """Put a line that could not be sent back, unless something was written meanwhile."""
        self.composer.restore(draft)

    def add_pictures(self, files: Sequence[Path]) -> None:
        """Send these pictures with the next message."""
        self.composer.add_pictures(files)

    def close_chat(self) -> None:
        """The meeting is over: decode nothing more."""
        self.previews.close()
        self.composer.close_chat()

    # -- place ------------------------------------------------------------------------------

    def scroll_to_end(self) -> None:
        """Show the newest message."""
        self.list.scroll_to_end()
        self._read()

    def showEvent(self, event: QShowEvent) -> None:
        """Opening the chat at its end reads it."""
        super().showEvent(event)
        self._place()
        if self.list.is_at_end() or self.pill.isHidden():
            self.scroll_to_end()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the pill over the list's end."""
        super().resizeEvent(event)
        self._place()

    def _window_is_active(self) -> bool:
        # Offscreen and on some desktops no window is ever active: being shown has to do.
        active = QGuiApplication.focusWindow()
        return active is None or self.window().isActiveWindow()

    def _on_scrolled(self) -> None:
        if self.isVisible() and self.list.is_at_end():
            self._read()

    def _read(self) -> None:
        if self.isVisible():
            self.unread.clear()
            self._show_unread()

    def _show_unread(self) -> None:
        missed = self.unread.count > 0 and not self.list.is_at_end()
        self.pill.setVisible(missed and self.isVisible())
        if missed:
            self.pill.setText(self.unread.pill)
            self._place()
        self.unreadChanged.emit(self.unread.badge)

    def _place(self) -> None:
        self._empty.setVisible(self.model.rowCount() == 0)
        height = max(120, self._empty.sizeHint().height())
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

    # -- deeds ------------------------------------------------------------------------------

    def _on_pressed(self, row: ChatRow, hit: Hit) -> None:
        match hit.target:
            case Target.LINK:
                self.linkRequested.emit(hit.shown, hit.value)
            case Target.QUOTE if row.quote is not None:
                self.list.show_message((row.quote.identity, row.quote.id))
            case Target.PICTURE:
                path = _picture_path(row, hit.value)
                if path is not None:
                    self.pictureRequested.emit(path)
            case Target.FILE:
                self.filesRequested.emit()
            case Target.RETRY:
                self.retryRequested.emit(row)
            case Target.REACTION:
                mine = any(one.glyph == hit.value and one.is_mine for one in row.reactions)
                self.reactRequested.emit(row, hit.value, not mine)
            case _:
                pass

    def _edit_last(self) -> None:
        row = self.model.log.last_own()
        if row is not None and not self.composer.is_editing:
            self.composer.start_edit(row)

    def _reply(self, row: ChatRow) -> None:
        if not row.deleted:
            self.composer.start_reply(row)

    def _delete(self, row: ChatRow) -> None:
        if not row.deleted and (row.is_mine or self.can_moderate):
            self.deleteRequested.emit(row)

    def _open_menu(self, row: ChatRow, at: QPoint) -> None:
        if row.deleted:
            return
        menu = Menu(self)
        menu.setObjectName("chatMenu")
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.add_item(
            "Reply", partial(self._reply, row), icon="arrow-bend-up-left", name="actionReply"
        )
        if row.text:
            menu.add_item(
                "Copy message",
                lambda: QGuiApplication.clipboard().setText(row.text),
                icon="copy",
                name="actionCopyMessage",
            )
        for picture in row.attachments:
            if picture.state is AttachmentState.HERE and picture.path is not None:
                menu.add_item(
                    f"Save {picture.name.replace('&', '&&')}",
                    partial(self.saveRequested.emit, picture.path, picture.name),
                    icon="download-simple",
                    name="actionSavePicture",
                )
        if row.is_mine and not row.growing and row.text:
            menu.add_item(
                "Edit",
                partial(self.composer.start_edit, row),
                icon="pencil-simple",
                name="actionEditMessage",
                shortcut="Up",
            )
        if row.state is ChatState.FAILED:
            menu.add_item(
                "Send again",
                partial(self.retryRequested.emit, row),
                icon="arrow-clockwise",
                name="actionRetryMessage",
            )
        if row.state is ChatState.SENT:
            self._add_reactions(menu, row)
        if row.is_mine or self.can_moderate:
            menu.addSeparator()
            menu.add_item(
                "Delete",
                partial(self._delete, row),
                icon="trash",
                name="actionDeleteMessage",
                danger=True,
            )
        menu.popup(at)

    def _add_reactions(self, menu: Menu, row: ChatRow) -> None:
        mine = {one.glyph for one in row.reactions if one.is_mine}
        menu.addSeparator()
        for glyph in GLYPHS:
            on = glyph not in mine
            menu.add_item(
                glyph_name(glyph) if on else f"Take back {glyph_name(glyph).lower()}",
                partial(self.reactRequested.emit, row, glyph, on),
                icon=f"{glyph}-fill",
                name=f"actionReact_{glyph}",
            )


def _picture_path(row: ChatRow, attachment_id: str) -> Path | None:
    return next((one.path for one in row.attachments if one.id == attachment_id), None)
