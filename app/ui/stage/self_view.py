"""Your own picture in the two-person layout: floats in a corner, can be dragged to another.

Double-click hides it; the stage then shows a small button in the same corner that brings it
back. The corner is remembered for as long as the meeting page lives.
"""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QWidget

from app.engine.events import Person
from app.ui.stage.tile import PaintRecord, VideoTile

_DRAG_FROM_PX = 6


class SelfView(VideoTile):
    """The floating tile; `dropped` says where its middle was let go, in the stage's pixels."""

    dropped = Signal(QPoint)
    hideRequested = Signal()

    def __init__(self, person: Person, record: PaintRecord, parent: QWidget) -> None:
        super().__init__(person, record=record, floating=True, parent=parent)
        self.setObjectName("selfView")
        self.setCursor(Qt.CursorShape.OpenHandCursor)
        self._grip: QPoint | None = None
        self._dragging = False

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._grip = event.position().toPoint()
        super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the pointer inside the stage."""
        stage = self.parentWidget()
        if self._grip is None or stage is None:
            return
        moved = event.position().toPoint() - self._grip
        if not self._dragging and moved.manhattanLength() < _DRAG_FROM_PX:
            return
        self._dragging = True
        self.setCursor(Qt.CursorShape.ClosedHandCursor)
        at = self.pos() + moved
        self.move(
            min(max(0, at.x()), stage.width() - self.width()),
            min(max(0, at.y()), stage.height() - self.height()),
        )

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go: the stage moves it into the nearest corner."""
        super().mouseReleaseEvent(event)
        dragged, self._dragging, self._grip = self._dragging, False, None
        self.setCursor(Qt.CursorShape.OpenHandCursor)
        if dragged:
            self.dropped.emit(self.geometry().center())

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Hide."""
        event.accept()
        self._grip = None
        self.hideRequested.emit()
