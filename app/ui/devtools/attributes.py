"""The tab that watches people's attributes and metadata."""

from __future__ import annotations

import time
from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from app.engine.developer import WatchedPerson
from app.ui.theme import TypeStyle
from app.ui.widgets import ElidedLabel, Hairline, IconButton, TextLabel

FRESH_S = 2.0


class PersonBlock(QWidget):
    """One person: who, and every key with its value; what just changed stands out."""

    copyRequested = Signal()

    def __init__(self, person: WatchedPerson) -> None:
        super().__init__()
        self.setObjectName(f"devPerson_{person.identity}")
        self._identity = person.identity
        self._values: dict[str, tuple[str, float]] = {}
        self._labels: dict[str, tuple[ElidedLabel, ElidedLabel]] = {}
        self._is_first = True
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 10, 0, 10)
        column.setSpacing(4)
        top = QHBoxLayout()
        self.title = ElidedLabel("", TypeStyle.BODY_STRONG)
        top.addWidget(self.title, 1)
        copy = IconButton("copy", f"Copy as Python: {person.name}")
        copy.setObjectName(f"devPersonCopy_{person.identity}")
        copy.clicked.connect(self.copyRequested)
        top.addWidget(copy)
        column.addLayout(top)
        self.none = TextLabel("No attributes", TypeStyle.CAPTION, "text3")
        column.addWidget(self.none)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(16)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(1, 1)
        self._grid.setColumnMinimumWidth(0, 180)
        column.addLayout(self._grid)
        column.addWidget(Hairline())
        self.show_person(person)

    def show_person(self, person: WatchedPerson) -> None:
        """Show this moment."""
        you = ", you" if person.is_me else ""
        self.title.setText(f"{person.name}{you} · {person.identity} · {person.kind}")
        now_s = time.monotonic()
        facts = dict(person.attributes)
        if person.metadata:
            facts["metadata"] = person.metadata
        for key in [key for key in self._labels if key not in facts]:
            for label in self._labels.pop(key):
                self._grid.removeWidget(label)
                label.hide()
                label.deleteLater()
            self._values.pop(key, None)
        for key, value in facts.items():
            if key not in self._labels:
                self._add(key)
            old, changed_s = self._values.get(key, (None, 0.0))
            if old != value:
                changed_s = 0.0 if self._is_first else now_s
                self._values[key] = (value, changed_s)
                self._labels[key][1].setText(value)
            is_fresh = changed_s > 0 and now_s - changed_s < FRESH_S
            self._labels[key][1].set_tone("accent" if is_fresh else "text1")
        self.none.setVisible(not facts)
        self._is_first = False

    def _add(self, key: str) -> None:
        row = self._grid.rowCount()
        name = ElidedLabel(key, TypeStyle.CAPTION, "text2")
        value = ElidedLabel("", TypeStyle.CAPTION)
        value.setObjectName(f"devAttribute_{self._identity}_{key}")
        self._grid.addWidget(name, row, 0)
        self._grid.addWidget(value, row, 1)
        self._labels[key] = (name, value)


class AttributesTab(QWidget):
    """Everybody in the meeting, oneself first."""

    copyRequested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "scrolled")
        self._blocks: dict[str, PersonBlock] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 8, 0)
        self._column.setSpacing(0)
        self._column.addStretch(1)

    def show_people(self, people: Sequence[WatchedPerson]) -> None:
        """Show this moment."""
        present = {person.identity: person for person in people}
        for identity in [each for each in self._blocks if each not in present]:
            block = self._blocks.pop(identity)
            self._column.removeWidget(block)
            block.hide()
            block.deleteLater()
        for identity, person in present.items():
            known = self._blocks.get(identity)
            if known is not None:
                known.show_person(person)
                continue
            block = PersonBlock(person)
            block.copyRequested.connect(lambda identity=identity: self.copyRequested.emit(identity))
            self._column.insertWidget(self._column.count() - 1, block)
            self._blocks[identity] = block
