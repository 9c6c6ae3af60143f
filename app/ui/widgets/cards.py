"""Plates that group things: card, inset, empty state, bars."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.ui.theme import TypeStyle
from app.ui.widgets.labels import IconLabel, TextLabel


class Card(QFrame):
    """A rounded plate on the window; fill `body`, a vertical layout."""

    def __init__(self, *, padding: int = 24, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(padding, padding, padding, padding)
        self.body.setSpacing(0)


class Inset(QFrame):
    """A quieter plate inside a card or dialog; fill `body`, a horizontal layout."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "inset")
        self.body = QHBoxLayout(self)
        self.body.setContentsMargins(16, 10, 16, 10)
        self.body.setSpacing(12)


class EmptyState(QWidget):
    """What a list says while it is empty: icon, title, one sentence, and room for a button."""

    def __init__(self, icon: str, title: str, text: str, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        middle = Qt.AlignmentFlag.AlignHCenter
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(16, 16, 16, 16)
        self.body.setSpacing(4)
        self.body.addWidget(IconLabel(icon, 32, "text3"), 0, middle)
        self.body.addSpacing(8)
        heading = TextLabel(title, TypeStyle.BODY_STRONG)
        self.body.addWidget(heading, 0, middle)
        self.sentence = TextLabel(text, TypeStyle.NOTE, "text2", wrap=True)
        self.sentence.setAlignment(middle)
        self.body.addWidget(self.sentence)
