"""One transfer in the files panel: kind, name, bar, a line of words, and what can be done.

The row decides nothing: `model.look_of` says which buttons a state has, and a press goes out as
`asked` with the name of the command. The truth comes back with the engine's next report.
"""

from __future__ import annotations

import time
from enum import StrEnum

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QWidget

from app.engine.events import Transfer, TransferState
from app.ui.chat.model import clock_label
from app.ui.files.model import (
    REFRESH_S,
    RateMeter,
    RowLook,
    icon_name,
    look_of,
    meta_text,
    plate_tone,
)
from app.ui.files.receivers import who_has_it
from app.ui.theme import TypeStyle
from app.ui.widgets import Button, ElidedLabel, IconButton, IconPlate, Inset, ProgressBar

LEAST_PX = 57


class Wish(StrEnum):
    """What a person wants done with a transfer."""

    ACCEPT = "accept"
    DECLINE = "decline"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"
    DISMISS = "dismiss"
    OPEN = "open"


class TransferRow(Inset):
    """One transfer; `asked` carries its id and a `Wish`."""

    asked = Signal(str, object)

    def __init__(
        self,
        transfer: Transfer,
        meter: RateMeter,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent=parent)
        self._transfer = transfer
        self._look: RowLook | None = None
        self._meter = meter
        self._words_at_s = float("-inf")
        self.setObjectName(f"transfer_{transfer.id}")
        self.body.setContentsMargins(12, 10, 8, 10)
        self._plate = IconPlate(self._kind, 36, tone="neutral", icon_px=20)
        self.body.addWidget(self._plate, 0, Qt.AlignmentFlag.AlignTop)
        self._words = QGridLayout()
        self._words.setHorizontalSpacing(4)
        self._words.setColumnStretch(0, 1)
        self._name = ElidedLabel(transfer.file_name, TypeStyle.LABEL)
        self._bar = ProgressBar()
        self._bar.setObjectName(f"transferProgress_{transfer.id}")
        self._bar.setAccessibleName(f"Progress of {transfer.file_name}")
        self._meta = ElidedLabel("", TypeStyle.CAPTION, "text3")
        self._words.addWidget(self._name, 0, 0)
        self._words.addWidget(self._bar, 1, 0)
        self.body.addLayout(self._words, 1)
        self._make_buttons()
        self.set_transfer(transfer, time.monotonic())

    @property
    def _kind(self) -> str:
        return icon_name(self._transfer.file_name, is_folder=self._transfer.is_folder)

    def _make_buttons(self) -> None:
        self._actions = QWidget()
        self._buttons = QHBoxLayout(self._actions)
        self._buttons.setContentsMargins(0, 0, 0, 0)
        self._buttons.setSpacing(2)
        self._accept = Button("Accept", tone="primary", size="small")
        self._accept.setObjectName(f"transferAccept_{self._transfer.id}")
        self._accept.setAccessibleName(f"Accept: {self._transfer.file_name}")
        self._accept.clicked.connect(lambda: self._ask(Wish.ACCEPT))
        self._buttons.addWidget(self._accept)
        self._pause = self._action("pause", "Pause", "transferPause_", self._on_pause)
        self._retry = self._action(
            "arrow-clockwise", "Send again", "transferRetry_", lambda: self._ask(Wish.RETRY)
        )
        self._cancel = self._action("x", "Cancel", "transferCancel_", self._on_cancel)
        self._open = self._action(
            "folder-open", "Open folder", "transferOpen_", lambda: self._ask(Wish.OPEN)
        )

    def _action(self, icon: str, what: str, prefix: str, on_click: object) -> IconButton:
        button = IconButton(icon, what, side_px=28, icon_px=18)
        button.setObjectName(prefix + self._transfer.id)
        button.set_name(f"{what}: {self._transfer.file_name}")
        button.clicked.connect(on_click)
        self._buttons.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
        return button

    def _arrange(self, *, with_bar: bool) -> None:
        """Let the figures of a running transfer reach under the buttons: they are long."""
        for widget in (self._actions, self._meta):
            self._words.removeWidget(widget)
        middle = Qt.AlignmentFlag.AlignTop if with_bar else Qt.AlignmentFlag.AlignVCenter
        self._words.setVerticalSpacing(6 if with_bar else 0)
        self._words.addWidget(self._actions, 0, 1, 2 if with_bar else 3, 1, middle)
        self._words.addWidget(self._meta, 2, 0, 1, 2 if with_bar else 1)

    def set_transfer(self, transfer: Transfer, now_s: float) -> None:
        """Show the newest report."""
        self._transfer = transfer
        # What is saved beside a namesake is called "Trip (2)" in the end.
        if self._name.full_text() != transfer.file_name:
            self._name.setText(transfer.file_name)
            self._open.set_name(f"Open folder: {transfer.file_name}")
        look = look_of(transfer)
        changed = look != self._look
        if changed:
            self._show_look(look)
        self._bar.set_fraction(transfer.done_bytes / max(1, transfer.size_bytes))
        failed = transfer.state is TransferState.FAILED
        self._plate.set_icon(self._kind, "alert" if failed else plate_tone(self._kind))
        self._meta.set_tone("danger" if failed else "text3")
        if changed or not self.is_running or now_s - self._words_at_s >= REFRESH_S:
            self.refresh_words(now_s)

    def _show_look(self, look: RowLook) -> None:
        if self._look is None or bool(look.bar) != bool(self._look.bar):
            self._arrange(with_bar=bool(look.bar))
        self._look = look
        name = self._transfer.file_name
        self._bar.setVisible(bool(look.bar))
        if look.bar:
            self._bar.set_token(look.bar)
        self._accept.setVisible(look.accepts)
        self._pause.setVisible(look.pauses or look.resumes)
        self._pause.set_icon_name("play" if look.resumes else "pause")
        self._pause.set_name(f"{'Resume' if look.resumes else 'Pause'}: {name}")
        self._retry.setVisible(bool(look.retry))
        self._retry.set_name(f"{look.retry}: {name}")
        self._cancel.setVisible(bool(look.dismiss))
        self._cancel.set_name(f"{look.dismiss}: {name}")
        self._open.setVisible(look.opens)

    def minimumSizeHint(self) -> QSize:
        """A list with more rows than room scrolls: no row gives its own up."""
        return super().minimumSizeHint().expandedTo(QSize(0, LEAST_PX))

    def refresh_words(self, now_s: float) -> None:
        """Say again how much, how fast and how long still."""
        self._words_at_s = now_s
        clock = clock_label(self._transfer.started_at_ms) if self._transfer.started_at_ms else ""
        text = meta_text(self._transfer, self._meter, now_s, clock)
        if text != self._meta.full_text():
            self._meta.setText(text)
        self.setAccessibleName(f"{self._transfer.file_name}, {text}")
        who = who_has_it(self._transfer)
        if who != self.toolTip():
            self.setToolTip(who)
            self.setAccessibleDescription(who)

    @property
    def is_running(self) -> bool:
        """Whether its words change by themselves."""
        return self._transfer.state is TransferState.RUNNING

    def _ask(self, wish: Wish) -> None:
        self.asked.emit(self._transfer.id, wish)

    def _on_pause(self) -> None:
        assert self._look is not None
        self._ask(Wish.RESUME if self._look.resumes else Wish.PAUSE)

    def _on_cancel(self) -> None:
        assert self._look is not None
        if self._transfer.state.is_over:
            self._ask(Wish.DISMISS)
        else:
            self._ask(Wish.DECLINE if self._look.accepts else Wish.CANCEL)
