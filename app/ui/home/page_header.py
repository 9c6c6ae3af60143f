"""The bar on top of pre-join, connecting and end pages: logo, and a button on either side."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QWidget

from app.ui.theme import TypeStyle
from app.ui.widgets import Logo, TextLabel


class PageHeader(QFrame):
    """56 px high; the logo stands in the middle, or on the left with `logo_left`."""

    def __init__(self, *, logo_left: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "topbar")
        self.setFixedHeight(56)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(24, 0, 16, 0)
        self._grid.setColumnStretch(0, 1)
        self._grid.setColumnStretch(2, 1)
        logo = QWidget()
        row = QHBoxLayout(logo)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        row.addWidget(Logo(24))
        row.addWidget(TextLabel("Lanai", TypeStyle.BODY_STRONG))
        side = Qt.AlignmentFlag.AlignLeft if logo_left else Qt.AlignmentFlag.AlignHCenter
        self._grid.addWidget(logo, 0, 0 if logo_left else 1, side)

    def set_left(self, widget: QWidget) -> None:
        """Put a button at the left edge."""
        self._grid.addWidget(widget, 0, 0, Qt.AlignmentFlag.AlignLeft)

    def set_right(self, widget: QWidget) -> None:
        """Put a button at the right edge."""
        self._grid.addWidget(widget, 0, 2, Qt.AlignmentFlag.AlignRight)
