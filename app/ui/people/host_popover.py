"""What a host decides for everybody: lock, waiting room, what guests may do, how many may come.

The switches show the rules as the server has told them; a press asks for a change and the
switch waits for the answer, so that a refused change is never shown as done.
"""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.engine.events import RoomRules
from app.ui.home.words import typeset
from app.ui.theme import (
    Radius,
    TypeStyle,
)
from app.ui.widgets import Button, Hairline, IconButton, IconLabel, Popover, Switch, TextLabel
from app.ui.widgets.focus import give_focus, was_pointed

_SHADE_PX = 16
_WIDTH_PX = 330
_LINE_PX = 44
FEWEST_PEOPLE, MOST_PEOPLE = 2, 500


@dataclass(frozen=True, slots=True)
class _Choice:
    """One switch: the rule's name, its object's name, and its words."""

    rule: str
    name: str
    title: str
    note: str = ""


_CHOICES = (
    _Choice("locked", "hostLock", "Lock the meeting", "Nobody new can join"),
    _Choice("lobby", "hostLobby", "Waiting room", "You admit each person"),
    _Choice("share", "hostAllowShare", "Everyone can share their screen"),
    _Choice("chat", "hostAllowChat", "Everyone can chat"),
    _Choice("files", "hostAllowFiles", "Everyone can send files"),
)


class PeopleStepper(QFrame):
    """How many may be in the meeting, in steps of one; 0 is no limit."""

    stepped = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("hostMaxPeople")
        self.setProperty("role", "stepper")
        self.setFixedSize(112, 34)
        self._most = 0
        self._here = 1
        row = QHBoxLayout(self)
        row.setContentsMargins(2, 2, 2, 2)
        row.setSpacing(0)
        self._less = IconButton("minus", "Fewer people", side_px=28, icon_px=14)
        self._less.setObjectName("hostMaxPeopleLess")
        self._less.clicked.connect(lambda: self.stepped.emit(self._fewer()))
        self._more = IconButton("plus", "More people", side_px=28, icon_px=14)
        self._more.setObjectName("hostMaxPeopleMore")
        self._more.clicked.connect(lambda: self.stepped.emit(self._greater()))
        self._number = TextLabel("", TypeStyle.BODY, tabular=True)
        self._number.setAlignment(Qt.AlignmentFlag.AlignCenter)
        row.addWidget(self._less)
        row.addWidget(self._number, 1)
        row.addWidget(self._more)
        self.set_limit(0, 1)

    def set_limit(self, most: int, here: int) -> None:
        """Show a limit; `here` is how many are in, where a first limit starts."""
        self._most, self._here = most, here
        self._number.setText(str(most) if most else "\u221e")
        self._less.setEnabled(most != FEWEST_PEOPLE)
        self._more.setEnabled(0 < most < MOST_PEOPLE)
        self.setAccessibleName(f"Most people allowed: {most or 'no limit'}")

    def _fewer(self) -> int:
        if not self._most:
            return max(FEWEST_PEOPLE, self._here)
        return max(FEWEST_PEOPLE, self._most - 1)

    def _greater(self) -> int:
        return min(MOST_PEOPLE, self._most + 1)


class HostPopover(Popover):
    """Floats above the Host button; a press outside or Esc closes it.

    `ruleChanged` carries a rule's name (as `EngineClient.change_rules` has it) and its value.
    """

    ruleChanged = Signal(str, object)
    endRequested = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(
            "hostPopover",
            "Host controls",
            shade_px=_SHADE_PX,
            radius=Radius.TILE,
            blur=20,
            parent=parent,
        )
        self.setFixedWidth(_WIDTH_PX + 2 * _SHADE_PX)
        self._rules = RoomRules()
        self._switches: dict[str, Switch] = {}
        self._asked: set[str] = set()
        column = QVBoxLayout(self)
        margin = _SHADE_PX + 16
        column.setContentsMargins(margin, margin, margin, margin)
        column.setSpacing(0)
        head = QHBoxLayout()
        head.setSpacing(10)
        head.addWidget(IconLabel("shield-check", 18, "accent"))
        head.addWidget(TextLabel("Host controls", TypeStyle.HEADING), 1)
        column.addLayout(head)
        column.addSpacing(6)
        for choice in _CHOICES:
            column.addLayout(self._line(choice))
        column.addLayout(self._limit_line())
        self._foot = QWidget()
        foot = QVBoxLayout(self._foot)
        foot.setContentsMargins(0, 12, 0, 0)
        foot.setSpacing(12)
        foot.addWidget(Hairline())
        self._end = Button("End meeting for everyone", "phone-x", tone="danger_soft")
        self._end.setObjectName("hostEndForAll")
        self._end.clicked.connect(self._on_end)
        foot.addWidget(self._end)
        column.addWidget(self._foot)

    def _line(self, choice: _Choice) -> QHBoxLayout:
        row = QHBoxLayout()
        row.addStrut(_LINE_PX)
        row.addLayout(_words(choice.title, choice.note), 1)
        switch = Switch(choice.title)
        switch.setObjectName(choice.name)
        switch.clicked.connect(lambda on, rule=choice.rule: self._on_switch(rule, on))
        self._switches[choice.rule] = switch
        row.addWidget(switch)
        return row

    def _limit_line(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.addStrut(_LINE_PX)
        row.addLayout(_words("Most people allowed", typeset("Those who are in can stay")), 1)
        self.limit = PeopleStepper()
        self.limit.stepped.connect(lambda most: self.ruleChanged.emit("max_people", most))
        row.addWidget(self.limit)
        return row

    def set_rules(self, rules: RoomRules, *, here: int) -> None:
        """Show the rules as they are now."""
        self._rules = rules
        self._asked.clear()
        for rule, switch in self._switches.items():
            switch.setChecked(bool(getattr(rules, rule)))
        self.limit.set_limit(rules.max_people, here)

    def set_can_end(self, can_end: bool) -> None:
        """Only the host ends the meeting; a co-host looks after it."""
        self._foot.setVisible(can_end)

    def _on_switch(self, rule: str, on: bool) -> None:
        switch = self._switches[rule]
        # It shows the rule, not the wish: it moves when the server has said so.
        switch.setChecked(bool(getattr(self._rules, rule)))
        # Until then a second press is no second wish. Disabled, it would lose the keyboard.
        if rule not in self._asked:
            self._asked.add(rule)
            self.ruleChanged.emit(rule, on)

    def _on_end(self) -> None:
        self.close()
        self.endRequested.emit()

    def open_above(self, at: QPoint) -> None:
        """Stand with the lower edge's middle at `at` (global), within the window."""
        self.adjustSize()
        left = at.x() - self.width() // 2
        parent = self.parentWidget()
        if parent is not None:
            origin = parent.window().mapToGlobal(QPoint(0, 0))
            right = origin.x() + parent.window().width() - self.width() + _SHADE_PX
            left = max(origin.x() - _SHADE_PX, min(left, right))
        self.move(left, at.y() - self.height() + _SHADE_PX)
        quiet = was_pointed()
        self.show()
        give_focus(self._switches["locked"], quiet=quiet)


def _words(title: str, note: str) -> QVBoxLayout:
    words = QVBoxLayout()
    words.setSpacing(0)
    words.addStretch(1)
    words.addWidget(TextLabel(title, TypeStyle.LABEL))
    if note:
        words.addWidget(TextLabel(note, TypeStyle.CAPTION, "text3"))
    words.addStretch(1)
    return words
