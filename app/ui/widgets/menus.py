"""Menus with real rounded corners and icons in the theme's colour."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QWidget

from app.ui.theme import Radius, TypeStyle, color, font_of, make_icon
from app.ui.widgets.floating import Floating


class Menu(QMenu):
    """A context or drop-down menu; made when it is needed, so it always has today's colours."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        Floating(self, radius=Radius.TILE)
        self.setFont(font_of(TypeStyle.BODY))

    def add_item(
        self,
        text: str,
        on_chosen: Callable[[], None],
        *,
        icon: str = "",
        name: str = "",
        danger: bool = False,
        checked: bool | None = None,
        shortcut: str = "",
    ) -> QAction:
        """Add an entry; `name` is its object name. A checked one carries a check mark."""
        action = QAction(f"{text}\t{shortcut}" if shortcut else text, self)
        if checked:
            icon = icon or "check"
        if icon:
            token = "danger_text" if danger else "accent_text" if checked else "text2"
            action.setIcon(make_icon(icon, color(token), 18))
        if checked is not None:
            action.setCheckable(True)
            action.setChecked(checked)
        action.setObjectName(name)
        action.triggered.connect(lambda _checked=False: on_chosen())
        self.addAction(action)
        return action
