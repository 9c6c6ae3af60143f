"""Keys that belong to the whole meeting: Space talks while it is held, F6 jumps between regions."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QLineEdit,
    QPlainTextEdit,
    QWidget,
)

from app.ui.stage.tile import VideoTile

_WRITES_OR_CHOOSES = (QLineEdit, QPlainTextEdit, QAbstractItemView)


class PushToTalk(QObject):
    """Space on `page`, while one is muted and nothing that has the focus wants the key."""

    held = Signal(bool)

    def __init__(self, page: QWidget) -> None:
        super().__init__(page)
        self._page = page
        self._is_held = False
        self.is_muted = False
        page.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Watch for the key, and for a window that will never see its release."""
        if isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Space:
            if event.type() == QEvent.Type.KeyPress and self._may_talk():
                if not event.isAutoRepeat():
                    self._hold(True)
                return True
            if event.type() == QEvent.Type.KeyRelease and self._is_held:
                if not event.isAutoRepeat():
                    self._hold(False)
                return True
        elif event.type() == QEvent.Type.ActivationChange and self._is_held:
            self._hold(False)
        return super().eventFilter(watched, event)

    def _hold(self, held: bool) -> None:
        if held != self._is_held:
            self._is_held = held
            self.held.emit(held)

    def _may_talk(self) -> bool:
        if self._is_held:
            return True
        focused = self._page.focusWidget()
        if not self.is_muted or isinstance(focused, _WRITES_OR_CHOOSES):
            return False
        return not isinstance(focused, QAbstractButton) or isinstance(focused, VideoTile)


def focus_next_region(
    regions: Sequence[tuple[QWidget, QWidget]], focused: QWidget | None, step: int
) -> None:
    """Go `step` regions on from the one that has the focus; each comes with its first control."""
    inside = [
        number
        for number, (region, _) in enumerate(regions)
        if focused is not None and (region is focused or region.isAncestorOf(focused))
    ]
    # The stage holds the banner: the innermost region counts.
    at = inside[0] if inside else (-1 if step > 0 else 0)
    regions[(at + step) % len(regions)][1].setFocus(Qt.FocusReason.ShortcutFocusReason)
