"""Captions: the bar under the tiles, its button, and the room that the tiles leave for it.

The bar keeps its place while captions are on, so that tiles do not jump with every sentence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from math import ceil

from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, Qt, QTimer
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetricsF,
    QPainter,
    QPaintEvent,
    QTextCharFormat,
    QTextLayout,
    QTextLine,
    QTextOption,
)
from PySide6.QtWidgets import QWidget

from app.engine.events import Caption
from app.ui.people.model import Roster
from app.ui.stage.caption_lines import CaptionLine, CaptionLines
from app.ui.stage.stage import Stage
from app.ui.theme import Radius, color, fill_rounded, font_px, theme
from app.ui.widgets import ControlButton

MAX_WIDTH_PX = 860
HEIGHT_PX = 106
BOTTOM_PX = 12
_PAD_PX = 13
# The column of the names: a short name leaves it as it is, a long one makes it wider.
_NAME_PX, _MOST_NAME_PX = 92, 188
_NAME_GAP_PX = 12
_SMALL_LINE_PX = 24
_LINE_PX = 26
_EXPIRY_MS = 500
SHORTCUT = "Ctrl+T"
NOTHING_YET = "No captions yet. They come from whoever writes down what is said, like an agent."
NOTHING_NOW = "Captions are on"


class CaptionsBar(QWidget):
    """The last words of two speakers, the latest below and larger."""

    def __init__(self, is_agent: Callable[[str], bool], parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("captionsBar")
        self.setAccessibleName("Captions")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFixedHeight(HEIGHT_PX)
        self._is_agent = is_agent
        self._stage = parent
        # Panels take width from the stage without telling anybody else.
        parent.installEventFilter(self)
        self.lines: list[CaptionLine] = []
        self.hint = NOTHING_YET
        theme.changed.connect(self.update)

    def show_lines(self, lines: list[CaptionLine]) -> None:
        """Show these, oldest first."""
        if lines == self.lines:
            return
        self.lines = lines
        # Between two sentences nobody has to be told where captions come from.
        self.hint = NOTHING_NOW
        spoken = ". ".join(f"{line.name}: {line.text}" for line in lines)
        self.setAccessibleDescription(spoken)
        self.update()

    def place(self) -> None:
        """Stand under the tiles, in the middle."""
        stage = self._stage
        width = min(MAX_WIDTH_PX, stage.width() - 2 * BOTTOM_PX)
        top = stage.height() - HEIGHT_PX - BOTTOM_PX
        self.setGeometry((stage.width() - width) // 2, top, width, HEIGHT_PX)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the stage's size."""
        if event.type() == QEvent.Type.Resize and watched is self._stage:
            self.place()
        return super().eventFilter(watched, event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint plate, names and words."""
        painter = QPainter(self)
        plate = color("video_pill" if theme.tokens.is_dark else "surface1")
        fill_rounded(painter, QRectF(self.rect()), Radius.TILE, plate)
        painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
        if not self.lines:
            painter.setFont(font_px(16, 400))
            painter.setPen(color("text3"))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            box = self.rect().adjusted(_PAD_PX, _PAD_PX, -_PAD_PX, -_PAD_PX)
            painter.drawText(box, flags, self.hint)
            return
        if len(self.lines) > 1:
            self._paint_earlier(painter, self.lines[0])
        self._paint_latest(painter, self.lines[-1])

    def _columns(self) -> tuple[float, float]:
        """Where the words begin, and how wide they may be."""
        metrics = QFontMetricsF(font_px(18, 600))
        widest = max((metrics.horizontalAdvance(line.name) for line in self.lines), default=0.0)
        wanted = max(float(_NAME_PX), min(ceil(widest) + _PAD_PX / 2, _MOST_NAME_PX))
        name_px = min(wanted, self.width() / 4)
        left = name_px + _NAME_GAP_PX
        return left, max(1.0, self.width() - left - 1.5 * _PAD_PX)

    def _paint_name(
        self, painter: QPainter, line: CaptionLine, top: float, height: float, font: QFont
    ) -> None:
        left, _ = self._columns()
        metrics = QFontMetricsF(font)
        room = left - _NAME_GAP_PX - _PAD_PX / 2
        box = QRectF(_PAD_PX / 2, top, room, height)
        painter.setFont(font)
        painter.drawText(
            box,
            Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
            metrics.elidedText(line.name, Qt.TextElideMode.ElideRight, room),
        )

    def _paint_earlier(self, painter: QPainter, line: CaptionLine) -> None:
        left, width = self._columns()
        font = font_px(16, 400)
        painter.setPen(color("agent" if self._is_agent(line.identity) else "text2"))
        self._paint_name(painter, line, _PAD_PX, _SMALL_LINE_PX, font_px(16, 600))
        painter.setFont(font)
        painter.setPen(color("text2"))
        # The end of a sentence says more than its beginning.
        text = QFontMetricsF(font).elidedText(line.text, Qt.TextElideMode.ElideLeft, width)
        painter.drawText(
            QRectF(left, _PAD_PX, width, _SMALL_LINE_PX), Qt.AlignmentFlag.AlignVCenter, text
        )

    def _paint_latest(self, painter: QPainter, line: CaptionLine) -> None:
        left, width = self._columns()
        font = font_px(18, 400)
        layout = QTextLayout(line.text, font)
        option = QTextOption()
        option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        layout.setTextOption(option)
        settled = len(line.settled)
        layout.setFormats(
            [
                _in_colour(0, settled, color("text1")),
                _in_colour(settled, len(line.text) - settled, color("text3")),
            ]
        )
        layout.beginLayout()
        rows: list[QTextLine] = []
        while (row := layout.createLine()).isValid():
            row.setLineWidth(width)
            row.setPosition(QPointF(0, len(rows) * _LINE_PX))
            rows.append(row)
        layout.endLayout()
        top = float(_PAD_PX + _SMALL_LINE_PX + 4)
        is_agent = self._is_agent(line.identity)
        painter.setPen(color("agent" if is_agent else "text1"))
        bold = font_px(18, 600)
        self._paint_name(painter, line, top, QFontMetricsF(bold).lineSpacing(), bold)
        shown = rows[-2:]
        offset = (len(rows) - len(shown)) * _LINE_PX
        for row in shown:
            row.draw(painter, QPointF(left, top - offset))


def _in_colour(start: int, length: int, ink: QColor) -> QTextLayout.FormatRange:
    format_ = QTextCharFormat()
    format_.setForeground(ink)
    part = QTextLayout.FormatRange()
    part.start, part.length, part.format = start, length, format_
    return part


class Captions:
    """Turns captions on and off, and keeps bar, button and stage of one mind.

    They start as `is_on` says; `keep` hears every change a person makes.
    """

    def __init__(
        self,
        stage: Stage,
        button: ControlButton,
        roster: Roster,
        *,
        is_on: bool = False,
        keep: Callable[[bool], None] = lambda _is_on: None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stage = stage
        self._button = button
        self._now_s = now_s
        self._lines = CaptionLines()
        self.bar = CaptionsBar(lambda identity: _is_agent(roster, identity), stage)
        self.bar.hide()
        self._is_on = is_on
        self._keep = keep
        self._timer = QTimer(self.bar)
        self._timer.setInterval(_EXPIRY_MS)
        self._timer.timeout.connect(self._show)
        button.clicked.connect(self.toggle)
        self._follow()

    @property
    def is_on(self) -> bool:
        """Whether the bar is on screen."""
        return self._is_on

    def toggle(self) -> None:
        """Show or hide the bar."""
        self._is_on = not self._is_on
        self._follow()
        self._keep(self._is_on)

    def _follow(self) -> None:
        self._look()
        self.bar.setVisible(self._is_on)
        self._stage.set_reserved(HEIGHT_PX + BOTTOM_PX if self._is_on else 0)
        if self._is_on:
            self._timer.start()
            self.bar.place()
            self._show()
        else:
            self._timer.stop()

    def handle(self, captions: Iterable[Caption]) -> None:
        """Take what was said lately, also while the bar is hidden."""
        self._lines.handle(captions)
        if self._is_on:
            self._show()

    def _show(self) -> None:
        self.bar.show_lines(self._lines.lines(self._now_s()))

    def _look(self) -> None:
        icon = "closed-captioning-fill" if self._is_on else "closed-captioning"
        self._button.set_state(icon, "Captions", "on" if self._is_on else "")
        self._button.setAccessibleName("Hide captions" if self._is_on else "Show captions")
        self._button.set_shortcut_hint(SHORTCUT)


def _is_agent(roster: Roster, identity: str) -> bool:
    person = roster.get(identity)
    return person is not None and person.is_agent
