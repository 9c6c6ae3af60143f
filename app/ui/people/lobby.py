"""Who waits to be let in: a card above the list of people, for hosts and co-hosts."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.engine.events import Knock
from app.ui.theme import TypeStyle, font_of
from app.ui.widgets import Avatar, Button, ElidedLabel, IconButton, TextLabel

_ROW_HEIGHT_PX = 42


class KnockRow(QWidget):
    """One person who waits; `answered` carries the knock's id and whether to let in."""

    answered = Signal(str, bool)

    def __init__(self, knock: Knock, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(_ROW_HEIGHT_PX)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        row.addWidget(Avatar(knock.name, 32))
        row.addWidget(ElidedLabel(knock.name, TypeStyle.LABEL), 1)
        deny = IconButton("x", f"Do not admit {knock.name}", side_px=32, icon_px=16)
        deny.setProperty("tone", "outline")
        deny.setObjectName(f"lobbyDeny_{knock.id}")
        deny.clicked.connect(lambda: self.answered.emit(knock.id, False))
        row.addWidget(deny)
        admit = self.admit = Button("Admit", tone="primary", size="small")
        admit.setObjectName(f"lobbyAdmit_{knock.id}")
        admit.setAccessibleName(f"Admit {knock.name}")
        admit.clicked.connect(lambda: self.answered.emit(knock.id, True))
        row.addWidget(admit)
        self.setAccessibleName(f"{knock.name} wants to join")


class LobbyCard(QFrame):
    """Everybody who waits, longest first; hidden while nobody does.

    `emptied` tells that the last one, who had the keyboard's focus, went.
    """

    answered = Signal(str, bool)
    allAdmitted = Signal()
    emptied = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("lobbyList")
        self.setProperty("role", "inset")
        self.setProperty("framed", "true")
        self.setAccessibleName("Waiting to join")
        self._rows: dict[str, KnockRow] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(14, 8, 12, 8)
        self._column.setSpacing(0)
        head = QHBoxLayout()
        self._title = TextLabel("Waiting to join", TypeStyle.CAPTION, "text2")
        self._title.setFont(font_of(TypeStyle.CAPTION, weight=600))
        self._title.setFixedHeight(32)
        head.addWidget(self._title)
        head.addStretch(1)
        self._all = Button("Admit all", tone="link", size="small")
        self._all.setObjectName("lobbyAdmitAll")
        self._all.clicked.connect(self.allAdmitted)
        head.addWidget(self._all, 0, Qt.AlignmentFlag.AlignRight)
        self._column.addLayout(head)
        self.hide()

    def set_knocks(self, knocks: tuple[Knock, ...]) -> None:
        """Show who waits now; rows that stay are not made again, so no press is lost."""
        wanted = {knock.id for knock in knocks}
        focused = QApplication.focusWidget()
        had_focus = focused is not None and self.isAncestorOf(focused)
        for knock_id in [known for known in self._rows if known not in wanted]:
            row = self._rows.pop(knock_id)
            self._column.removeWidget(row)
            row.hide()
            row.deleteLater()
        for place, knock in enumerate(knocks, start=1):
            if knock.id not in self._rows:
                row = self._rows[knock.id] = KnockRow(knock)
                row.answered.connect(self.answered)
                self._column.insertWidget(place, row)
        self._title.setText(f"Waiting to join · {len(knocks)}")
        self._all.setVisible(len(knocks) > 1)
        if had_focus and focused is not None and not focused.isVisibleTo(self):
            self._pass_focus_on(knocks)
        self.setVisible(bool(knocks))

    def _pass_focus_on(self, knocks: tuple[Knock, ...]) -> None:
        """The row with the focus went: the next who waits, else the list, not what Qt finds."""
        if knocks:
            self._rows[knocks[0].id].admit.setFocus(Qt.FocusReason.OtherFocusReason)
        else:
            self.emptied.emit()
