"""PySide must not drop references it does not own: 6.12.0 did, and painting killed the app."""

from __future__ import annotations

import sys

from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

PAINTS = 300


class Painted(QWidget):
    """Overrides a virtual method and calls Qt methods that return nothing."""

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        painter = QPainter(self)
        painter.save()
        painter.translate(1, 1)
        painter.drawLine(0, 0, 5, 5)
        painter.restore()
        painter.end()


def test_painting_keeps_the_references_to_none_and_to_the_override(qtbot: QtBot) -> None:
    widget = Painted()
    qtbot.addWidget(widget)
    widget.grab()
    override, nothing = sys.getrefcount(Painted.paintEvent), sys.getrefcount(None)

    for _ in range(PAINTS):
        widget.grab()

    assert sys.getrefcount(Painted.paintEvent) >= override
    # Python 3.12 made None immortal; before, each lost reference brings its end nearer.
    assert sys.getrefcount(None) > nothing - PAINTS
