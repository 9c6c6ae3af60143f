"""Dialogs inside the window: a scrim over everything and a card in its middle."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QRectF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QHBoxLayout, QVBoxLayout, QWidget

from app.ui.theme import TypeStyle, color, paint_shadow
from app.ui.widgets.buttons import Button, IconButton
from app.ui.widgets.cards import Card
from app.ui.widgets.labels import TextLabel


class Dialog(QWidget):
    """A scrim that covers `host` and holds a card; Esc closes, focus comes back afterwards.

    Fill `body` (vertical) and `buttons` (horizontal, right-aligned, the default one last).
    `open_()` shows it with the focus on `first`; `close_()` hides and deletes it, `closed` once.
    """

    closed = Signal()

    def __init__(
        self, host: QWidget, title: str, subtitle: str = "", *, width_px: int = 440
    ) -> None:
        super().__init__(host)
        self._before: QWidget | None = None
        self.first: QWidget | None = None
        self._is_closed = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(title)
        self._width_px = width_px
        self.card = Card(padding=28, parent=self)
        self.body = QVBoxLayout()
        self.body.setSpacing(0)
        self.buttons = QHBoxLayout()
        self.buttons.setSpacing(10)
        self.buttons.addStretch(1)
        head = QHBoxLayout()
        head.setSpacing(12)
        words = QVBoxLayout()
        words.setSpacing(0)
        self.title_label = TextLabel(title, TypeStyle.TITLE)
        words.addWidget(self.title_label)
        if subtitle:
            words.addWidget(TextLabel(subtitle, TypeStyle.NOTE, "text2", wrap=True))
        head.addLayout(words, 1)
        self.close_button = IconButton("x", "Close", side_px=32, icon_px=18)
        self.close_button.clicked.connect(self.close_)
        head.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignTop)
        self.card.body.addLayout(head)
        self.card.body.addSpacing(24)
        self.card.body.addLayout(self.body, 1)
        self.card.body.addSpacing(24)
        self.card.body.addLayout(self.buttons)
        host.installEventFilter(self)
        self.hide()

    def open_(self, focus: QWidget | None = None) -> None:
        """Cover the host, remember who had the focus, and give it to `focus`."""
        self._before = QApplication.focusWidget()
        self._place()
        self.show()
        self.raise_()
        (focus or self.first or self.close_button).setFocus(Qt.FocusReason.PopupFocusReason)

    def close_(self) -> None:
        """Go away and give the focus back."""
        if self._is_closed:
            return
        self._is_closed = True
        self.hide()
        if self._before is not None and self._before.isVisible():
            self._before.setFocus(Qt.FocusReason.PopupFocusReason)
        self._before = None
        self.closed.emit()
        self.deleteLater()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the host's size."""
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return super().eventFilter(watched, event)

    def focusNextPrevChild(self, forward: bool) -> bool:
        """Keep the focus inside."""
        inside = [
            widget
            for widget in self.card.findChildren(QWidget)
            if widget.isVisible()
            and widget.isEnabled()
            and widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        ]
        if not inside:
            return True
        order = sorted(inside, key=lambda w: w.mapTo(self, w.rect().topLeft()).toTuple()[::-1])
        now = QApplication.focusWidget()
        at = order.index(now) if now in order else -1
        order[(at + (1 if forward else -1)) % len(order)].setFocus(Qt.FocusReason.TabFocusReason)
        return True

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc closes."""
        if event.key() == Qt.Key.Key_Escape:
            self.close_()
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Swallow presses on the scrim: nothing under it may react."""
        event.accept()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the scrim and the card's shadow."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), color("scrim"))
        box = QRectF(self.card.geometry())
        paint_shadow(painter, box, 16, offset=24, blur=64, alpha=color("shadow").alpha())

    def _place(self) -> None:
        host = self.parentWidget()
        if host is None:
            return
        self.setGeometry(host.rect())
        width = min(self._width_px, host.width() - 32)
        layout = self.card.layout()
        height = layout.heightForWidth(width) if layout is not None else -1
        if height < 0:
            height = self.card.sizeHint().height()
        height = min(max(height, self.card.minimumHeight()), host.height() - 8)
        self.card.setGeometry(
            (host.width() - width) // 2, (host.height() - height) // 2, width, height
        )


def ask(
    host: QWidget,
    title: str,
    text: str,
    yes: str,
    on_yes: Callable[[], None],
    *,
    tone: str = "danger",
    no: str = "Cancel",
) -> Dialog:
    """Open a question over `host`; `on_yes` runs when the person agrees."""
    dialog = Dialog(host, title, width_px=440)
    dialog.setObjectName("confirmDialog")
    dialog.close_button.hide()
    dialog.body.addWidget(TextLabel(text, TypeStyle.BODY, "text2", wrap=True))
    stay = Button(no)
    stay.setObjectName("confirmNo")
    stay.clicked.connect(dialog.close_)
    agree = Button(yes, tone=tone)
    agree.setObjectName("confirmYes")
    agree.clicked.connect(dialog.close_)
    agree.clicked.connect(on_yes)
    dialog.buttons.addWidget(stay)
    dialog.buttons.addWidget(agree)
    dialog.open_(agree)
    return dialog
