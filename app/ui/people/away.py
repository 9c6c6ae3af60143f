"""Hosts and co-hosts who left: a card below the list, so that a role can be taken back."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.engine.events import Helper, Role
from app.ui.theme import TypeStyle, font_of
from app.ui.widgets import Avatar, Button, Chip, ElidedLabel, TextLabel

_ROW_HEIGHT_PX = 42
# More would push the people who are here out of sight.
_MOST_ROWS = 4
_WORDS = {Role.HOST: "Host", Role.COHOST: "Co-host"}


class AwayRow(QWidget):
    """One of them; `demoteRequested` asks for the role back."""

    demoteRequested = Signal(object)

    def __init__(self, helper: Helper, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.helper = helper
        self.setFixedHeight(_ROW_HEIGHT_PX)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        row.addWidget(Avatar(helper.name, 32))
        row.addWidget(ElidedLabel(helper.name, TypeStyle.LABEL), 1)
        word = _WORDS.get(helper.role, "")
        row.addWidget(
            Chip(word, tone="warn" if helper.role is Role.HOST else "neutral", small=True)
        )
        demote = Button("Make guest", tone="link", size="small")
        demote.setObjectName(f"awayDemote_{helper.identity}")
        demote.setAccessibleName(f"Make {helper.name} a guest")
        demote.clicked.connect(lambda: self.demoteRequested.emit(helper))
        row.addWidget(demote)
        self.setAccessibleName(f"{helper.name}, {word.lower()}, not here")


class AwayCard(QFrame):
    """Those who left last; hidden while there are none.

    `emptied` tells that a row went which had the keyboard's focus.
    """

    demoteRequested = Signal(object)
    emptied = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("awayList")
        self.setProperty("role", "inset")
        self.setProperty("framed", "true")
        self.setAccessibleName("Not here")
        self._rows: list[AwayRow] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(14, 8, 12, 8)
        self._column.setSpacing(0)
        self._title = TextLabel("Not here", TypeStyle.CAPTION, "text2")
        self._title.setFont(font_of(TypeStyle.CAPTION, weight=600))
        self._title.setFixedHeight(24)
        self._column.addWidget(self._title)
        self.hide()

    def set_helpers(self, helpers: tuple[Helper, ...]) -> None:
        """Show who is away now, last seen first; rows that stay are not made again."""
        shown = list(reversed(helpers))[:_MOST_ROWS]
        self._title.setText(f"Not here · {len(helpers)}")
        focused = QApplication.focusWidget()
        had_focus = focused is not None and self.isAncestorOf(focused)
        known = {row.helper: row for row in self._rows}
        self._rows = [
            known.pop(helper) if helper in known else self._make_row(helper) for helper in shown
        ]
        for row in known.values():
            self._column.removeWidget(row)
            row.hide()
            row.deleteLater()
        for place, row in enumerate(self._rows, start=1):
            self._column.insertWidget(place, row)
        if had_focus and focused is not None and not focused.isVisibleTo(self):
            self.emptied.emit()
        self.setVisible(bool(helpers))

    def _make_row(self, helper: Helper) -> AwayRow:
        row = AwayRow(helper)
        row.demoteRequested.connect(self.demoteRequested)
        return row
