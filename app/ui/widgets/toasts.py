"""Short messages at the top right of the stage; they never move what lies under them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QObject, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QHBoxLayout, QVBoxLayout, QWidget

from app.ui.theme import TypeStyle, color, fill_rounded, paint_shadow, stroke_rounded
from app.ui.widgets.avatars import Avatar
from app.ui.widgets.buttons import Button, IconButton
from app.ui.widgets.labels import IconLabel, TextLabel

_LOOKS = {
    "success": ("check-circle-fill", "success"),
    "info": ("info", "info"),
    "warn": ("warning", "warn_text"),
    "danger": ("warning-circle", "danger_text"),
    "joined": ("user-plus", "accent"),
}
_SHADE = 12
_WIDTH_PX, _WIDE_PX = 320, 360
_MARGIN_PX = 20


@dataclass(frozen=True, slots=True)
class Question:
    """What a toast may ask about a person: the answer that is meant, and another one."""

    person: str
    answer: str
    on_answer: Callable[[], None]
    other: str
    on_other: Callable[[], None]


class Toast(QWidget):
    """One message: icon, title, an optional sentence, an optional action."""

    closed = Signal()

    def __init__(
        self,
        title: str,
        text: str = "",
        *,
        tone: str = "info",
        action: str = "",
        on_action: Callable[[], None] | None = None,
        stays: bool = False,
        question: Question | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.title = title
        self.setAccessibleName(f"{title}. {text}" if text else title)
        self.setFixedWidth((_WIDE_PX if question else _WIDTH_PX) + 2 * _SHADE)
        self.setMinimumHeight(56 + 2 * _SHADE)
        row = QHBoxLayout(self)
        row.setContentsMargins(16 + _SHADE, 10 + _SHADE, 12 + _SHADE, 10 + _SHADE)
        row.setSpacing(12)
        icon, token = _LOOKS[tone]
        row.addWidget(Avatar(question.person, 28) if question else IconLabel(icon, 20, token))
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addStretch(1)
        words.addWidget(TextLabel(title, TypeStyle.LABEL_STRONG, wrap=True))
        if text:
            words.addWidget(TextLabel(text, TypeStyle.CAPTION, "text2", wrap=True))
        words.addStretch(1)
        row.addLayout(words, 1)
        if question is not None:
            row.setSpacing(8)
            self.other_button = self._add_button(row, question.other, question.on_other, "")
            self.action_button = self._add_button(
                row, question.answer, question.on_answer, "primary"
            )
        elif action and on_action is not None:
            self.action_button = self._add_button(row, action, on_action, "")
        if stays and question is None:
            close = IconButton("x", "Dismiss", side_px=28, icon_px=14)
            close.clicked.connect(self.dismiss)
            row.addWidget(close)

    def _add_button(
        self, row: QHBoxLayout, text: str, on_click: Callable[[], None], tone: str
    ) -> Button:
        button = Button(text, tone=tone, size="small")
        button.clicked.connect(on_click)
        button.clicked.connect(self.dismiss)
        row.addWidget(button)
        return button

    def wanted_height(self) -> int:
        """Return the height that the words need at the fixed width, shadow included."""
        layout = self.layout()
        height = layout.heightForWidth(self.width()) if layout is not None else 0
        return max(height, self.minimumHeight())

    def dismiss(self) -> None:
        """Go away; `closed` follows once."""
        self.hide()
        self.closed.emit()

    def setVisible(self, visible: bool) -> None:
        """Before going, leave the keyboard with what lies below: Qt would pick the next control."""
        area = self.parentWidget()
        host = area.parentWidget() if area is not None else None
        focused = QApplication.focusWidget()
        if not visible and host is not None and focused is not None and self.isAncestorOf(focused):
            host.setFocus(Qt.FocusReason.OtherFocusReason)
        super().setVisible(visible)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint shadow and plate."""
        painter = QPainter(self)
        box = QRectF(self.rect()).adjusted(_SHADE, _SHADE, -_SHADE, -_SHADE)
        paint_shadow(painter, box, 12, offset=4, blur=16, alpha=color("shadow").alpha())
        fill_rounded(painter, box, 12, color("surface2"))
        stroke_rounded(painter, box, 12, color("border"), 1)


class ToastArea(QWidget):
    """Stacks at most three toasts over `host`'s top right corner, newest at the bottom.

    Give every toast an id: a second one with the same id replaces the first. Ordinary toasts
    leave after 5 s; warnings about something lost (`stays`) wait to be dismissed.
    """

    MOST = 3
    LIFE_MS = 5000

    def __init__(self, host: QWidget, *, margin: int = _MARGIN_PX) -> None:
        super().__init__(host)
        self.setObjectName("toastArea")
        self._margin = margin
        self._top_px = 0
        self._toasts: dict[str, Toast] = {}
        host.installEventFilter(self)
        self.hide()

    def show_toast(
        self,
        toast_id: str,
        title: str,
        text: str = "",
        *,
        tone: str = "info",
        action: str = "",
        on_action: Callable[[], None] | None = None,
        stays: bool = False,
        question: Question | None = None,
    ) -> Toast:
        """Show a message; tones: info, success, warn, danger, joined. A question waits."""
        stays = stays or question is not None
        self._drop(toast_id)
        if len(self._toasts) >= self.MOST:
            self._drop(next(iter(self._toasts)))
        toast = Toast(
            title,
            text,
            tone=tone,
            action=action,
            on_action=on_action,
            stays=stays,
            question=question,
            parent=self,
        )
        toast.setObjectName(f"toast_{toast_id}")
        if question is not None:
            toast.other_button.setObjectName(f"toastOther_{toast_id}")
        if action or question is not None:
            toast.action_button.setObjectName(f"toastAction_{toast_id}")
        self._toasts[toast_id] = toast
        toast.closed.connect(lambda: self._drop(toast_id, toast))
        if not stays:
            QTimer.singleShot(self.LIFE_MS, toast, toast.dismiss)
        toast.show()
        self.show()
        self._place()
        return toast

    def set_top(self, top_px: int) -> None:
        """Begin this much lower: something else lies at the top of the host."""
        self._top_px = top_px
        self._place()

    def titles(self) -> list[str]:
        """Return what is shown, oldest first."""
        return [toast.title for toast in self._toasts.values()]

    def dismiss(self, toast_id: str) -> None:
        """Take a message away if it is still there."""
        self._drop(toast_id)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the host's size."""
        if event.type() in (QEvent.Type.Resize, QEvent.Type.Show):
            self._place()
        return super().eventFilter(watched, event)

    def _drop(self, toast_id: str, only: Toast | None = None) -> None:
        toast = self._toasts.get(toast_id)
        if toast is None or (only is not None and toast is not only):
            return
        del self._toasts[toast_id]
        toast.hide()
        toast.deleteLater()
        self._place()

    def _place(self) -> None:
        host = self.parentWidget()
        if host is None or not self._toasts:
            self.hide()
            return
        top = 0
        right_to_left = self.layoutDirection() is Qt.LayoutDirection.RightToLeft
        width = max(toast.width() for toast in self._toasts.values())
        for toast in self._toasts.values():
            toast.move(0 if right_to_left else width - toast.width(), top)
            toast.resize(toast.width(), toast.wanted_height())
            top += toast.height() + 8 - 2 * _SHADE
        self.resize(width, top - 8 + 2 * _SHADE)
        edge = self._margin - _SHADE
        left = edge if right_to_left else host.width() - self.width() - edge
        self.move(left, edge + self._top_px)
        self.raise_()
