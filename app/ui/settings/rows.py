"""What settings pages are made of: rows with words on the left and a control on the right."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.ui.theme import TypeStyle, font_of
from app.ui.widgets import Hairline, Switch, TextLabel


class PageBody(QWidget):
    """A column of rows with hairlines between them."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "scrolled")
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(32, 0, 32, 16)
        self._column.setSpacing(0)
        self._column.addStretch(1)
        self._count = 0

    def add(self, row: QWidget) -> None:
        """Put a row below the others."""
        at = self._column.count() - 1
        if self._count:
            self._column.insertWidget(at, Hairline())
            at += 1
        self._column.insertWidget(at, row)
        self._count += 1

    def add_switch(
        self, name: str, title: str, text: str, on: bool, on_change: Callable[[bool], None]
    ) -> Switch:
        """Put a row with a switch; `name` is its object name."""
        switch = Switch(title)
        switch.setObjectName(name)
        switch.setChecked(on)
        switch.toggled.connect(on_change)
        self.add(Row(title, text, switch))
        return switch


class Row(QWidget):
    """Title and explanation, and what changes the thing."""

    def __init__(self, title: str, text: str, *controls: QWidget) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 10, 0, 10)
        row.setSpacing(16)
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addStretch(1)
        words.addWidget(TextLabel(title, TypeStyle.BODY_STRONG))
        self.explanation = TextLabel(text, TypeStyle.CAPTION, "text2", wrap=True)
        self.explanation.setVisible(bool(text))
        words.addWidget(self.explanation)
        words.addStretch(1)
        row.addLayout(words, 1)
        for control in controls:
            row.addWidget(control, 0, Qt.AlignmentFlag.AlignVCenter)
        self.setMinimumHeight(56)


class Segments(QFrame):
    """A few choices beside each other, one of which is in force."""

    def __init__(
        self,
        name: str,
        choices: Sequence[tuple[str, str]],
        chosen: str,
        on_choice: Callable[[str], None],
    ) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setProperty("role", "segments")
        row = QHBoxLayout(self)
        row.setContentsMargins(3, 3, 3, 3)
        row.setSpacing(2)
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        for value, text in choices:
            button = QToolButton()
            button.setObjectName(f"{name}_{value}")
            button.setProperty("role", "segment")
            button.setText(text)
            button.setAccessibleName(text)
            button.setCheckable(True)
            button.setChecked(value == chosen)
            button.setFont(font_of(TypeStyle.LABEL))
            button.setFixedHeight(32)
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            button.clicked.connect(lambda _checked=False, value=value: on_choice(value))
            self._group.addButton(button)
            row.addWidget(button)
