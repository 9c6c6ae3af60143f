"""The top bar: which meeting, for how long, and the way to invite somebody."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from app.ui.theme import TypeStyle
from app.ui.widgets import Button, Chip, ElidedLabel, IconButton, IconLabel, Logo, TextLabel

HEIGHT_PX = 48


def clock_text(elapsed_s: float) -> str:
    """Minutes and seconds, hours when there are any."""
    minutes, seconds = divmod(max(0, int(elapsed_s)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"


class TopBar(QFrame):
    """Logo, room name and clock on the left; invite and full screen on the right."""

    inviteRequested = Signal()
    fullScreenRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("topBar")
        self.setProperty("role", "topbar")
        self.setAccessibleName("Meeting")
        self.setFixedHeight(HEIGHT_PX)
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 0, 12, 1)
        row.setSpacing(10)
        row.addWidget(Logo(24))
        self.room = ElidedLabel("", TypeStyle.HEADING)
        self.room.setObjectName("topRoomName")
        row.addWidget(self.room)
        self.lock = Chip("Locked", "lock-key-fill", tone="warn")
        self.lock.setObjectName("topLock")
        self.lock.setToolTip("Nobody new can join")
        self.lock.hide()
        row.addWidget(self.lock)
        row.addWidget(IconLabel("clock", 16, "text2"))
        self.clock = TextLabel("00:00", TypeStyle.NOTE, "text2", tabular=True)
        self.clock.setObjectName("topClock")
        row.addWidget(self.clock)
        self.agent = Chip("Agent in this call", "sparkle-fill", "agent")
        self.agent.setObjectName("topAgent")
        self.agent.setToolTip("An agent takes part: it may hear, see and read what is shared")
        self.agent.hide()
        row.addWidget(self.agent)
        row.addStretch(1)
        self.invite = Button("Invite", "user-plus", size="small")
        self.invite.setObjectName("topInvite")
        self.invite.setToolTip("Invite people (Ctrl+I)")
        self.invite.setAccessibleName("Invite people")
        self.invite.setAccessibleDescription("Ctrl+I")
        self.invite.clicked.connect(self.inviteRequested)
        row.addWidget(self.invite)
        self.full_screen = IconButton("corners-out", "Full screen")
        self.full_screen.setObjectName("topFullScreen")
        self.full_screen.set_name("Full screen", "F11")
        self.full_screen.clicked.connect(self.fullScreenRequested)
        row.addWidget(self.full_screen)

    def set_locked(self, locked: bool) -> None:
        """Say that nobody new can join."""
        self.lock.setVisible(locked)

    def set_elapsed(self, elapsed_s: float) -> None:
        """Show how long this person has been here."""
        text = clock_text(elapsed_s)
        if text != self.clock.text():
            self.clock.setText(text)
