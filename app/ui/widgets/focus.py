"""When the ring of the focus is to be seen: for the keyboard, not for what the mouse pressed.

A button pressed with the mouse has the focus too, and a ring on it would say nothing. It comes
back with the first key, so that whoever goes on with the keyboard sees where they are.
"""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QFocusEvent
from PySide6.QtWidgets import QApplication, QWidget

from app.ui.theme import set_property

_QUIET = "pointed"
# The window came back, or a menu closed: nothing has been decided anew.
_UNCHANGED = (
    Qt.FocusReason.ActiveWindowFocusReason,
    Qt.FocusReason.PopupFocusReason,
    Qt.FocusReason.MenuBarFocusReason,
)


def note_focus(widget: QWidget, event: QFocusEvent) -> None:
    """Call when `widget` gets the focus; the style sheet knows `pointed="true"`."""
    if event.reason() not in _UNCHANGED:
        pointed = event.reason() is Qt.FocusReason.MouseFocusReason
        set_property(widget, _QUIET, "true" if pointed else "false")


def note_key(widget: QWidget) -> None:
    """Call when a key is pressed on `widget`: now the keyboard is in use."""
    set_property(widget, _QUIET, "false")


def shows_focus(widget: QWidget) -> bool:
    """Whether to paint a ring, for those that paint it themselves."""
    return widget.hasFocus() and widget.property(_QUIET) != "true"


def was_pointed() -> bool:
    """Whether the mouse pressed what has the focus now; ask before a popup takes it."""
    focused = QApplication.focusWidget()
    return focused is not None and focused.property(_QUIET) == "true"


def give_focus(widget: QWidget, *, quiet: bool) -> None:
    """Give the focus to what a popup begins with; `quiet` until a key is pressed."""
    set_property(widget, _QUIET, "true" if quiet else "false")
    widget.setFocus(Qt.FocusReason.PopupFocusReason)
