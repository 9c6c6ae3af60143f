"""What stands under your own picture while nobody else is here."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.ui.home.words import typeset
from app.ui.theme import TypeStyle
from app.ui.widgets import Button, Card, TextLabel

HEIGHT_PX = 128


class AloneCard(Card):
    """Says that one is first, and offers to invite."""

    inviteRequested = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(padding=16, parent=parent)
        self.setObjectName("stageAlone")
        middle = Qt.AlignmentFlag.AlignHCenter
        title = TextLabel(typeset("You're the first one here"), TypeStyle.HEADING)
        text = TextLabel(
            "Send the link and people will appear as they join.", TypeStyle.NOTE, "text2"
        )
        self.body.addWidget(title, 0, middle)
        self.body.addWidget(text, 0, middle)
        self.body.addSpacing(10)
        row = QHBoxLayout()
        invite = Button("Invite people", "user-plus", tone="primary", size="small")
        invite.setObjectName("stageInvite")
        invite.clicked.connect(self.inviteRequested)
        row.addStretch(1)
        row.addWidget(invite)
        row.addStretch(1)
        self.body.addLayout(row)
