"""Between pressing Join and being in: how far it got, or that the host has to open the door."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.engine.events import JoinStage
from app.ui.home.page_header import PageHeader
from app.ui.home.words import typeset
from app.ui.theme import TypeStyle
from app.ui.widgets import Button, Card, IconLabel, IconPlate, Spinner, TextLabel

_STAGES = {
    JoinStage.FOUND_SERVER: "Found the server",
    JoinStage.SIGNED_IN: "Signed in",
    JoinStage.MEDIA_READY: "Setting up sound and video",
}


class _StageLine(QWidget):
    """One line: waiting (dim), under way (spinner), done (check)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        self._check = IconLabel("check", 16, "accent")
        self._spinner = Spinner(14)
        self._dot = IconLabel("circle", 12, "text3")
        holder = QWidget()
        holder.setFixedSize(18, 20)
        inside = QHBoxLayout(holder)
        inside.setContentsMargins(0, 0, 0, 0)
        for mark in (self._check, self._spinner, self._dot):
            inside.addWidget(mark, 0, Qt.AlignmentFlag.AlignCenter)
        row.addWidget(holder)
        self.label = TextLabel(text, TypeStyle.NOTE, "text3")
        row.addWidget(self.label, 1)
        self.state = ""
        self.set_state("waiting")

    def set_state(self, state: str) -> None:
        """`waiting`, `now` or `done`."""
        self.state = state
        self._check.setVisible(state == "done")
        self._spinner.setVisible(state == "now")
        self._dot.setVisible(state == "waiting")
        self.label.set_tone("text3" if state == "waiting" else "text1")
        self.setAccessibleName(f"{self.label.text()}: {state}")


class ConnectingPage(QWidget):
    """Shows progress and offers to give up."""

    cancelRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("connectingPage")
        self.setProperty("role", "page")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(PageHeader(logo_left=True))
        card = Card()
        card.setObjectName("connectingCard")
        card.setFixedWidth(396)
        self._spinner = Spinner(46)
        card.body.addWidget(self._spinner)
        self._waits = IconPlate("hourglass", 52, tone="accent", round_=True, icon_px=26)
        card.body.addWidget(self._waits)
        card.body.addSpacing(16)
        self.title = TextLabel("", TypeStyle.HEADING, wrap=True)
        self.title.setObjectName("connectingTitle")
        card.body.addWidget(self.title)
        self.text = TextLabel("", TypeStyle.NOTE, "text2", wrap=True)
        self.text.setObjectName("connectingText")
        card.body.addWidget(self.text)
        card.body.addSpacing(8)
        self._connecting = ""
        self._lines: dict[JoinStage, _StageLine] = {}
        for stage, words in _STAGES.items():
            line = _StageLine(words)
            line.setObjectName(f"connectingStage_{stage.value}")
            self._lines[stage] = line
            card.body.addWidget(line)
        card.body.addSpacing(16)
        self.cancel_button = Button("Cancel", size="small")
        self.cancel_button.setObjectName("connectingCancel")
        # A second Enter, pressed in haste, must not undo the first.
        self.cancel_button.takes_enter = False
        self.cancel_button.clicked.connect(self.cancelRequested)
        card.body.addWidget(self.cancel_button, 0, Qt.AlignmentFlag.AlignLeft)
        column.addStretch(1)
        # A row with stretches: an aligned card would get the height of texts of one line.
        middle = QHBoxLayout()
        middle.addStretch(1)
        middle.addWidget(card)
        middle.addStretch(1)
        column.addLayout(middle)
        column.addStretch(1)

    def begin(self, room: str, *, hosting: bool = False, waiting: str = "") -> None:
        """Start afresh; `waiting` explains why it takes long (the meeting is full)."""
        verb = "Starting" if hosting else "Connecting to"
        self._connecting = f"{verb} {room or 'the meeting'}\u2026"
        self._show_progress()
        self.text.setText(typeset(waiting))
        self.text.setVisible(bool(waiting))
        found = "Started the server" if hosting else _STAGES[JoinStage.FOUND_SERVER]
        self._lines[JoinStage.FOUND_SERVER].label.setText(found)
        states = iter(("now", "waiting", "waiting"))
        for line in self._lines.values():
            line.set_state(next(states))

    def focus_first(self) -> None:
        """Give the focus to Cancel; the page must be in front."""
        self.cancel_button.setFocus(Qt.FocusReason.OtherFocusReason)

    def wait_for_host(self, host: str) -> None:
        """Nothing goes on until the host has answered: that is not a line to check off."""
        self._spinner.hide()
        self._waits.show()
        for line in self._lines.values():
            line.hide()
        self.title.setText("Waiting for the host")
        told = f"{host or 'The host'} has been told you're here."
        self.text.setText(typeset(f"{told} You'll join as soon as they let you in."))
        self.text.show()
        self.cancel_button.setText("Leave")

    def _show_progress(self) -> None:
        self._waits.hide()
        self._spinner.show()
        for line in self._lines.values():
            line.show()
        self.title.setText(self._connecting)
        self.cancel_button.setText("Cancel")

    def reach(self, stage: JoinStage) -> None:
        """Check off everything up to `stage`; the next one is under way."""
        if stage is JoinStage.SIGNED_IN:
            self._show_progress()
            self.text.setVisible(False)
        reached = list(_STAGES).index(stage)
        for index, line in enumerate(self._lines.values()):
            state = "done" if index <= reached else "now" if index == reached + 1 else "waiting"
            line.set_state(state)
