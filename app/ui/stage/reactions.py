"""Reactions: six glyphs to choose from, and what rises over the stage when somebody uses one.

On the wire a reaction is an emoji; on screen it is one of our glyphs, so that no emoji font is
needed. An emoji that we have no glyph for is shown as the smiling one. With reduced motion a
reaction stands still on its tile for three seconds instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QPoint, QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QFontMetricsF, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.ui.theme import (
    Radius,
    TypeStyle,
    color,
    fill_rounded,
    font_of,
    paint_icon,
    reduced_motion,
)
from app.ui.widgets import IconButton, Popover
from app.ui.widgets.focus import give_focus, was_pointed

RISE_S = 1.8
STAND_S = 3.0
MOST_AT_ONCE = 24
_SHADE_PX = 14
_GLYPH_PX = 36
_FRAME_MS = 16


@dataclass(frozen=True, slots=True)
class Glyph:
    """One reaction: what travels, what is painted, in which colour, and its name."""

    emoji: str
    icon: str
    token: str
    name: str


GLYPHS = (
    Glyph("\u2764\ufe0f", "heart-fill", "danger_text", "heart"),
    Glyph("\U0001f44d", "thumbs-up-fill", "warn", "thumbs-up"),
    Glyph("\U0001f44f", "hands-clapping-fill", "warn", "applause"),
    Glyph("\U0001f604", "smiley-fill", "warn", "smile"),
    Glyph("\u2728", "sparkle-fill", "agent", "sparkle"),
    Glyph("\u2b50", "star-fill", "info", "star"),
)
_ALIKE = {"\u2764": GLYPHS[0], "\U0001f64c": GLYPHS[2], "\U0001f602": GLYPHS[3]}
_BY_EMOJI = {glyph.emoji: glyph for glyph in GLYPHS} | _ALIKE


def glyph_for(emoji: str) -> Glyph:
    """The glyph of an emoji, whatever its skin tone; the smile for all others."""
    return _BY_EMOJI.get(emoji) or _BY_EMOJI.get(emoji[:1]) or GLYPHS[3]


class ReactionPicker(Popover):
    """Six buttons in a row above the React button; keys 1 to 6 choose too."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(
            "reactionPicker",
            "Reactions",
            shade_px=_SHADE_PX,
            radius=Radius.TILE,
            blur=18,
            parent=parent,
        )
        row = QHBoxLayout(self)
        margin = _SHADE_PX + 8
        row.setContentsMargins(margin, margin, margin, margin)
        row.setSpacing(4)
        self._buttons: list[IconButton] = []
        for number, glyph in enumerate(GLYPHS, start=1):
            button = IconButton(
                glyph.icon, glyph.name, side_px=44, icon_px=26, token=glyph.token, parent=self
            )
            button.setObjectName(f"reaction_{glyph.name}")
            button.set_name(glyph.name.capitalize(), str(number))
            button.clicked.connect(lambda _checked=False, emoji=glyph.emoji: self._choose(emoji))
            row.addWidget(button)
            self._buttons.append(button)

    def _choose(self, emoji: str) -> None:
        self.close()
        self.chosen.emit(emoji)

    def open_above(self, at: QPoint) -> None:
        """Stand with the lower edge's middle at `at` (global)."""
        self.adjustSize()
        self.move(at.x() - self.width() // 2, at.y() - self.height() + _SHADE_PX)
        quiet = was_pointed()
        self.show()
        give_focus(self._buttons[0], quiet=quiet)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """1 to 6 choose, arrows move."""
        number = event.key() - Qt.Key.Key_1
        if 0 <= number < len(GLYPHS):
            self._choose(GLYPHS[number].emoji)
        elif event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            self.focusNextPrevChild(event.key() == Qt.Key.Key_Right)
        else:
            super().keyPressEvent(event)


@dataclass(slots=True)
class _Rising:
    glyph: Glyph
    name: str
    identity: str
    begun_s: float
    drift: int


class ReactionLayer(QWidget):
    """Lies over the stage while something rises, and takes no events.

    `place_of` gives a person's tile in the stage's coordinates, None while it is off the page.
    """

    def __init__(
        self,
        stage: QWidget,
        place_of: Callable[[str], QRectF | None],
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(stage)
        self.setObjectName("reactionLayer")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._place_of = place_of
        self._now_s = now_s
        self._rising: list[_Rising] = []
        self._count = 0
        self._timer = QTimer(self)
        self._timer.setInterval(_FRAME_MS)
        self._timer.timeout.connect(self._on_tick)
        self.hide()

    @property
    def showing(self) -> tuple[tuple[str, str], ...]:
        """Who reacts with what at this moment: identity and glyph's name, oldest first."""
        return tuple((one.identity, one.glyph.name) for one in self._rising)

    def show_reaction(self, identity: str, name: str, emoji: str) -> None:
        """Let one rise; the oldest gives way when there are too many."""
        self._count += 1
        drift = (self._count * 37) % 25 - 12
        self._rising.append(_Rising(glyph_for(emoji), name, identity, self._now_s(), drift))
        del self._rising[:-MOST_AT_ONCE]
        stage = self.parentWidget()
        if stage is not None:
            self.setGeometry(stage.rect())
        self.show()
        self.raise_()
        if not self._timer.isActive():
            # What stands still is painted once; the timer only takes it away again.
            self._timer.setInterval(250 if reduced_motion() else _FRAME_MS)
            self._timer.start()
        self.update()

    def clear(self) -> None:
        """Take everything away."""
        self._rising.clear()
        self._timer.stop()
        self.hide()

    def _on_tick(self) -> None:
        life_s = STAND_S if reduced_motion() else RISE_S
        now_s = self._now_s()
        self._rising = [one for one in self._rising if now_s - one.begun_s < life_s]
        if not self._rising:
            self.clear()
            return
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint what is on its way."""
        painter = QPainter(self)
        now_s, still = self._now_s(), reduced_motion()
        for one in self._rising:
            place = self._place_of(one.identity)
            box = place or QRectF(self.width() / 2 - 60, self.height() - 160, 120, 150)
            part = min(1.0, max(0.0, (now_s - one.begun_s) / RISE_S))
            if still:
                centre = QPointF(box.center().x(), box.top() + 8 + _GLYPH_PX)
            else:
                rise = min(box.height() * 0.7, 180.0) * (1 - (1 - part) ** 3)
                centre = QPointF(box.center().x() + one.drift, box.bottom() - 44 - rise)
                painter.setOpacity(1.0 if part < 0.7 else (1 - part) / 0.3)
            self._paint_one(painter, one, centre, with_name=place is None)
            painter.setOpacity(1.0)

    def _paint_one(
        self, painter: QPainter, one: _Rising, centre: QPointF, *, with_name: bool
    ) -> None:
        plate = QRectF(0, 0, _GLYPH_PX + 14, _GLYPH_PX + 14)
        plate.moveCenter(centre)
        fill_rounded(painter, plate, plate.height() / 2, color("video_pill"))
        paint_icon(painter, plate.adjusted(7, 7, -7, -7), one.glyph.icon, color(one.glyph.token))
        if not with_name:
            return
        font = font_of(TypeStyle.CAPTION, weight=500)
        width = min(QFontMetricsF(font).horizontalAdvance(one.name), 160.0) + 16
        words = QRectF(centre.x() - width / 2, plate.bottom() + 4, width, 22)
        fill_rounded(painter, words, Radius.SMALL, color("video_pill"))
        painter.setFont(font)
        painter.setPen(color("on_video"))
        shown = QFontMetricsF(font).elidedText(one.name, Qt.TextElideMode.ElideRight, width - 12)
        painter.drawText(words, Qt.AlignmentFlag.AlignCenter, shown)
