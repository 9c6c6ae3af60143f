"""The field below the messages: text, whom it is for, what it answers, which pictures go along.

Says what is to be sent and sends nothing itself. Somebody chosen as the only receiver stays
chosen when they leave: what was meant for one person must never go to everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QEvent, QMimeData, QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QFocusEvent,
    QFontMetricsF,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QTextCursor,
    QTextOption,
)
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QPlainTextEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.engine.events import Person
from app.ui.chat.emoji import EmojiPicker
from app.ui.chat.model import ChatRow
from app.ui.chat.pasted import may_hold_picture, picture_in
from app.ui.chat.picture_chips import PictureChips
from app.ui.theme import (
    Radius,
    TypeStyle,
    color,
    fill_rounded,
    font_of,
    paint_icon,
    stroke_rounded,
    theme,
)
from app.ui.widgets import ElidedLabel, IconButton, Menu, TextLabel, pressed_by_enter

MAX_TEXT_CHARS = 20_000
MAX_PICTURES = 10
_TELL_LEFT_BELOW = 1_000
_MAX_FIELD_PX = 120
_FIELD_PAD_PX = 7


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be sent: `to` is empty for everybody, `reply_to` for no reply."""

    text: str
    to: tuple[str, ...] = ()
    reply_to: str = ""
    files: tuple[Path, ...] = ()


class MessageField(QPlainTextEdit):
    """Grows with its text; Enter sends, Shift+Enter starts a line, Up edits the last message."""

    submitted = Signal()
    focusChanged = Signal()
    editLastRequested = Signal()
    cancelled = Signal()
    picturePasted = Signal(object)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.can_cancel = False
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

    def event(self, event: QEvent) -> bool:
        """Esc ends an edit or a reply before anything else hears it."""
        if (
            event.type() == QEvent.Type.ShortcutOverride
            and isinstance(event, QKeyEvent)
            and event.key() == Qt.Key.Key_Escape
            and self.can_cancel
        ):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter sends."""
        shifted = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not shifted:
            self.submitted.emit()
        elif event.key() == Qt.Key.Key_Up and not self.toPlainText():
            self.editLastRequested.emit()
        elif event.key() == Qt.Key.Key_Escape and self.can_cancel:
            self.cancelled.emit()
        else:
            super().keyPressEvent(event)

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        """A picture can be pasted too. Asked for a menu: it is not fetched for that."""
        return may_hold_picture(source) or super().canInsertFromMimeData(source)

    def insertFromMimeData(self, source: QMimeData) -> None:
        """Paste."""
        clip = picture_in(source)
        if clip is None:
            super().insertFromMimeData(source)
        else:
            self.picturePasted.emit(clip)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """The frame around the field shows the focus."""
        super().focusInEvent(event)
        self.focusChanged.emit()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """And loses it."""
        super().focusOutEvent(event)
        self.focusChanged.emit()


class RecipientChip(QToolButton):
    """Whom the message is for: "Everyone", or one person in violet."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("chatRecipient")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFont(font_of(TypeStyle.LABEL))
        self._private = False
        self.set_name("Everyone", private=False)

    def set_name(self, name: str, *, private: bool) -> None:
        """Show a receiver."""
        self._private = private
        self.setText(name)
        self.setAccessibleName(f"To {name}, private" if private else f"To {name}")
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Fit the name."""
        width = QFontMetricsF(self.font()).horizontalAdvance(self.text())
        return QSize(min(220, round(width) + 10 + 6 + 12 + 9), 28)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter presses, as Space does."""
        if not pressed_by_enter(self, event):
            super().keyPressEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the pill, less high than what can be pressed."""
        painter = QPainter(self)
        box = QRectF(self.rect()).adjusted(0, 3, 0, -3)
        back = "agent_soft" if self._private else "surface3"
        fill_rounded(painter, box, box.height() / 2, color(back))
        if self.hasFocus():
            stroke_rounded(painter, box, box.height() / 2, color("accent"), 2)
        ink = color("agent" if self._private else "text1")
        painter.setFont(self.font())
        painter.setPen(ink)
        words = box.adjusted(10, 0, -24, 0)
        text = QFontMetricsF(self.font()).elidedText(
            self.text(), Qt.TextElideMode.ElideRight, words.width() + 1
        )
        painter.drawText(words, Qt.AlignmentFlag.AlignVCenter, text)
        arrow = QRectF(box.right() - 20, box.center().y() - 5.5, 11, 11)
        paint_icon(painter, arrow, "caret-down", ink)


class ReplyBar(QFrame):
    """What is being answered or changed, with a way out."""

    cancelled = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("chatReplyBar")
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 3, 3, 3)
        row.setSpacing(6)
        words = QVBoxLayout()
        words.setSpacing(0)
        self.title = ElidedLabel("", TypeStyle.CAPTION, "accent")
        self.text = ElidedLabel("", TypeStyle.CAPTION, "text2")
        words.addWidget(self.title)
        words.addWidget(self.text)
        row.addLayout(words, 1)
        self.cancel = IconButton("x", "Cancel", side_px=28, icon_px=14)
        self.cancel.setObjectName("chatReplyCancel")
        self.cancel.clicked.connect(self.cancelled)
        row.addWidget(self.cancel)
        self.hide()

    def show_words(self, title: str, text: str) -> None:
        """Say what the next message answers or changes."""
        self.title.setText(title)
        self.text.setText(" ".join(text[:300].split()))
        self.setAccessibleName(f"{title}: {self.text.full_text()}")
        self.show()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the plate with its accent edge."""
        painter = QPainter(self)
        box = QRectF(self.rect())
        fill_rounded(painter, box, 6, color("surface2"))
        painter.fillRect(QRectF(0, 0, 3, box.height()), color("accent"))


class Composer(QWidget):
    """Everything below the list. `submitted` carries a `Draft`, `edited` a row and its new text.

    `picturePasted` carries a `Clip`: whoever makes a file of it says so with `expect_picture`
    and brings it with `take_picture`, and nothing is sent in between.
    `typed` says that a character was written for somebody (identities), or that writing stopped.
    """

    submitted = Signal(object)
    edited = Signal(object, str)
    attachRequested = Signal()
    editLastRequested = Signal()
    moreRequested = Signal(QPoint)
    typed = Signal(bool, object)
    picturePasted = Signal(object)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._people: tuple[Person, ...] = ()
        self._to: tuple[str, str] = ("", "")
        self._reply: ChatRow | None = None
        self._editing: ChatRow | None = None
        self._files: list[Path] = []
        self._coming = 0
        self._before_edit = ""
        self._is_filling = False
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 9, 12, 12)
        column.setSpacing(5)
        self._make_head(column)
        self.bar = ReplyBar(self)
        self.bar.cancelled.connect(self.cancel)
        column.addWidget(self.bar)
        self.pictures = PictureChips(self)
        self.pictures.removed.connect(self._remove_picture)
        column.addWidget(self.pictures)
        self.frame = _Frame(self)
        column.addWidget(self.frame)
        self.left = TextLabel("", TypeStyle.CAPTION, "text3")
        self.left.setObjectName("chatCharsLeft")
        self.left.hide()
        column.addWidget(self.left)
        self.field = self.frame.field
        self.send = self.frame.send
        self.attach = self.frame.attach
        self.emoji = self.frame.emoji
        self.field.submitted.connect(self._submit)
        self.field.textChanged.connect(self._on_text)
        self.field.editLastRequested.connect(self.editLastRequested)
        self.field.cancelled.connect(self.cancel)
        self.field.picturePasted.connect(self.picturePasted)
        self.send.clicked.connect(self._submit)
        self.attach.clicked.connect(self.attachRequested)
        self.emoji.clicked.connect(self._pick_emoji)
        self._refresh()

    def _make_head(self, column: QVBoxLayout) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(2, 0, 0, 0)
        head.setSpacing(6)
        head.addWidget(TextLabel("To", TypeStyle.LABEL, "text2"))
        self.recipient = RecipientChip(self)
        self.recipient.clicked.connect(self._choose_recipient)
        head.addWidget(self.recipient)
        head.addStretch(1)
        self.more = IconButton("dots-three-outline", "Chat options", side_px=28, icon_px=14)
        self.more.setObjectName("chatMore")
        self.more.clicked.connect(
            lambda: self.moreRequested.emit(self.more.mapToGlobal(QPoint(0, 0)))
        )
        head.addWidget(self.more)
        column.addLayout(head)

    # -- what is being written --------------------------------------------------------------

    @property
    def to(self) -> tuple[str, ...]:
        """The identities that the message is for; empty for everybody."""
        return (self._to[0],) if self._to[0] else ()

    @property
    def is_editing(self) -> bool:
        """Whether a message that was sent is being changed."""
        return self._editing is not None

    def draft(self) -> Draft:
        """What would be sent now."""
        return Draft(
            self.field.toPlainText().strip(),
            self.to,
            self._reply.id if self._reply is not None else "",
            tuple(self._files),
        )

    def restore(self, draft: Draft) -> None:
        """Put back what could not be sent, unless something was written meanwhile."""
        if not self.field.toPlainText() and not self._files:
            self._fill(draft.text)
            self._set_files(list(draft.files))

    def _fill(self, text: str) -> None:
        """Put a text into the field that nobody types at this moment."""
        self._is_filling = True
        self.field.setPlainText(text)
        self.field.moveCursor(QTextCursor.MoveOperation.End)
        self._is_filling = False

    def add_pictures(self, files: Sequence[Path]) -> None:
        """Send these pictures with the next message."""
        self._set_files([*self._files, *files][:MAX_PICTURES])
        self.field.setFocus(Qt.FocusReason.OtherFocusReason)

    def expect_picture(self) -> None:
        """A picture is being made ready: the message waits for it."""
        self._coming += 1
        self._set_files(self._files)

    def take_picture(self, path: Path | None) -> None:
        """It is here; None when nothing came of it."""
        self._coming -= 1
        if path is None:
            self._set_files(self._files)
        else:
            self.add_pictures([path])

    def close_chat(self) -> None:
        """The meeting is over: decode nothing more."""
        self.pictures.previews.close()

    def start_reply(self, row: ChatRow) -> None:
        """Answer a message; a private one privately."""
        self.cancel()
        self._reply = row
        if row.private and not row.is_mine:
            self.choose(row.identity, row.name)
        elif row.private and row.to:
            self.choose(row.to[0], row.to_names[0] if row.to_names else row.to[0])
        name = "yourself" if row.is_mine else row.name
        self.bar.show_words(f"Replying to {name}", row.text or "Picture")
        self.field.can_cancel = True
        self.field.setFocus(Qt.FocusReason.OtherFocusReason)

    def start_edit(self, row: ChatRow) -> None:
        """Change a message of one's own."""
        self.cancel()
        self._editing = row
        self._before_edit = self.field.toPlainText()
        self.bar.show_words("Editing your message", row.text)
        self.field.can_cancel = True
        self._fill(row.text)
        self.field.setFocus(Qt.FocusReason.OtherFocusReason)
        self.recipient.setEnabled(False)

    def cancel(self) -> None:
        """Neither answer nor change anything."""
        was_editing = self._editing is not None
        self._reply = self._editing = None
        self.field.can_cancel = False
        self.bar.hide()
        self.recipient.setEnabled(True)
        if was_editing:
            self._fill(self._before_edit)
        self._refresh()

    def set_people(self, people: Sequence[Person]) -> None:
        """Who else is here."""
        self._people = tuple(people)
        self._show_recipient()

    def choose(self, identity: str, name: str) -> None:
        """Write to one person, or to everybody for the empty identity."""
        self._to = (identity, name)
        self._show_recipient()

    def _show_recipient(self) -> None:
        identity, name = self._to
        if not identity:
            self.recipient.set_name("Everyone", private=False)
            self.field.setPlaceholderText("Write a message")
        else:
            person = next((p for p in self._people if p.identity == identity), None)
            name = person.name if person is not None else f"{name} (left)"
            self.recipient.set_name(name, private=True)
            self.field.setPlaceholderText(f"Only {name} will see this")
        self._refresh()

    def _receiver_is_here(self) -> bool:
        return not self._to[0] or any(p.identity == self._to[0] for p in self._people)

    def _choose_recipient(self) -> None:
        menu = Menu(self)
        menu.setObjectName("chatRecipientMenu")
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.add_item(
            "Everyone",
            lambda: self._write_to("", ""),
            name="actionToEveryone",
            checked=not self._to[0],
        )
        for person in sorted(self._people, key=lambda p: p.name.casefold()):
            menu.add_item(
                person.name.replace("&", "&&"),
                lambda p=person: self._write_to(p.identity, p.name),  # type: ignore[misc]
                name=f"actionTo_{person.identity}",
                checked=person.identity == self._to[0],
            )
        height = menu.sizeHint().height()
        menu.popup(self.recipient.mapToGlobal(QPoint(0, -height - 4)))

    def _write_to(self, identity: str, name: str) -> None:
        self.choose(identity, name)
        # What is typed next is the message: on the chip a space would open the menu again.
        self.field.setFocus()

    # -- sending ----------------------------------------------------------------------------

    def _on_text(self) -> None:
        self._refresh()
        if not self.is_editing and not self._is_filling:
            self.typed.emit(bool(self.field.toPlainText().strip()), self.to)

    def _refresh(self) -> None:
        text = self.field.toPlainText()
        left = MAX_TEXT_CHARS - len(text)
        ready = bool(text.strip() or (self._files and not self.is_editing))
        ready = ready and left >= 0 and (self.is_editing or self._receiver_is_here())
        ready = ready and (self.is_editing or not self._coming)
        self.frame.set_ready(ready)
        self.left.setVisible(left < _TELL_LEFT_BELOW)
        if left < _TELL_LEFT_BELOW:
            words = f"{left:,} characters left" if left >= 0 else f"{-left:,} characters too many"
            self.left.setText(words)
            self.left.set_tone("text3" if left >= 0 else "danger")

    def _submit(self) -> None:
        if not self.send.isEnabled():
            return
        if self._editing is not None:
            row, text = self._editing, self.field.toPlainText().strip()
            self.cancel()
            if text != row.text:
                self.edited.emit(row, text)
            return
        draft = self.draft()
        self._set_files([])
        self.cancel()
        self.field.clear()
        self.submitted.emit(draft)

    def _set_files(self, files: list[Path]) -> None:
        self._files = files
        self.pictures.show_files(files, coming=self._coming)
        self._refresh()

    def _remove_picture(self, number: int) -> None:
        self._set_files([path for n, path in enumerate(self._files) if n != number])

    def _pick_emoji(self) -> None:
        picker = EmojiPicker(self)
        picker.picked.connect(self._insert)
        picker.open_above(self.emoji)

    def _insert(self, text: str) -> None:
        self.field.insertPlainText(text)
        self.field.setFocus(Qt.FocusReason.OtherFocusReason)


class _Frame(QWidget):
    """The rounded frame with the field, attach, emoji and send."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(13, 5, 5, 5)
        row.setSpacing(2)
        self.field = MessageField(self)
        self.field.focusChanged.connect(self.update)
        row.addWidget(self.field, 1, Qt.AlignmentFlag.AlignVCenter)
        bottom = Qt.AlignmentFlag.AlignBottom
        self.attach = IconButton("paperclip", "Attach a picture or a file", side_px=28)
        self.attach.setObjectName("chatAttach")
        self.attach.setFixedHeight(32)
        row.addWidget(self.attach, 0, bottom)
        self.emoji = IconButton("smiley", "Insert an emoji", side_px=28)
        self.emoji.setObjectName("chatEmoji")
        self.emoji.setFixedHeight(32)
        row.addWidget(self.emoji, 0, bottom)
        row.addSpacing(4)
        self.send = _SendButton(self)
        row.addWidget(self.send, 0, bottom)
        theme.changed.connect(self.update)

    def set_ready(self, ready: bool) -> None:
        """Whether there is something to send."""
        self.send.setEnabled(ready)
        self.send.set_icon_name("paper-plane-right-fill", "on_accent" if ready else "text3")

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


class _SendButton(IconButton):
    """The paper plane on a plate: quiet while there is nothing to send."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__("paper-plane-right-fill", "Send message", parent=parent)
        self.setObjectName("chatSend")

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint plate and plane."""
        painter = QPainter(self)
        box = QRectF(self.rect())
        plate = "accent" if self.isEnabled() else "surface3"
        if self.isEnabled() and self.underMouse():
            plate = "accent_hover"
        fill_rounded(painter, box, Radius.SMALL, color(plate))
        if self.hasFocus():
            stroke_rounded(painter, box, Radius.SMALL, color("text1"), 2)
        ink = color("on_accent" if self.isEnabled() else "text3")
        icon = QRectF(box.center().x() - 9, box.center().y() - 9, 18, 18)
        paint_icon(painter, icon, "paper-plane-right-fill", ink)
