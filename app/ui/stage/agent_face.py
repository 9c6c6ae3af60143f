"""An agent's face: seven bars that rest, listen, think or speak, and the word for it.

The bars move only while somebody can see them and motion is wanted; without motion each state
has its own still picture, and the word is always there. Like every tile, it is dark in both themes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from PySide6.QtCore import QObject, QPointF, QRectF, QTimer
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QRadialGradient
from PySide6.QtWidgets import QWidget

from app.ui.people.model import AGENT_WORDS
from app.ui.stage.overlays import MARGIN_PX, PILL_HEIGHT_PX
from app.ui.theme import DARK, Radius, duration_ms, fill_rounded, font_px, paint_icon, rounded_path

BARS = 7
TICK_MS = 33
# Parts of the tile's height: the tallest bar, and a bar's width.
_TALLEST = 0.345
_WIDTH = 0.034
_PROFILE = (0.34, 0.62, 0.90, 1.0, 0.82, 0.56, 0.30)
_STEP_S = 0.16
_REST_ALPHA = 0.55
# An agent that says it speaks is drawn speaking, however quiet its sentence begins.
_QUIET = 0.45
_ICONS = {
    "initializing": "spinner",
    "idle": "moon",
    "listening": "ear",
    "thinking": "spinner",
    "speaking": "speaker-high",
}


def bar_heights(state: str, level: float, t_s: float) -> list[float]:
    """Heights of the bars, 0 (a dot) to 1."""
    level = min(max(level, 0.0), 1.0)
    match state:
        case "thinking":
            return [0.25] * BARS
        case "speaking":
            swing = [0.82 + 0.18 * math.sin(7.0 * t_s + 1.7 * at) for at in range(BARS)]
            strength = _QUIET + (1 - _QUIET) * level
            return [high * strength * part for high, part in zip(_PROFILE, swing, strict=True)]
        case "listening":
            return [high * level / 3 for high in _PROFILE]
        case _:
            return [0.0] * BARS


def bar_alphas(state: str, t_s: float) -> list[float]:
    """How bright each bar is: three lit ones travel while it thinks."""
    if state == "thinking":
        first = int(t_s / _STEP_S) % BARS
        lit = {(first + step) % BARS for step in range(3)}
        return [1.0 if at in lit else 0.3 for at in range(BARS)]
    moves = state in ("speaking", "listening")
    return [1.0 if moves else _REST_ALPHA] * BARS


class AgentFace(QObject):
    """The moving part of one agent's tile."""

    def __init__(self, tile: QWidget, now_s: Callable[[], float]) -> None:
        super().__init__(tile)
        self._tile = tile
        self._now_s = now_s
        self._state = ""
        self._levels = {"speaking": 0.0, "listening": 0.0}
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._on_tick)

    @property
    def state(self) -> str:
        """What the agent says of itself."""
        return self._state

    @property
    def is_moving(self) -> bool:
        """Whether the bars are repainted by the clock."""
        return self._timer.isActive()

    def set_state(self, state: str) -> None:
        """Show another state."""
        if state != self._state:
            self._state = state
            self.handle_visibility(self._tile.isVisible())
            self._tile.update()

    def set_level(self, state: str, level: float) -> None:
        """How loud the agent speaks, or you to it."""
        self._levels[state] = level

    def handle_visibility(self, visible: bool) -> None:
        """Move only where somebody looks."""
        moves = self._state in ("speaking", "listening", "thinking")
        if visible and moves and duration_ms(1):
            self._timer.start()
        else:
            self._timer.stop()

    def _on_tick(self) -> None:
        self._tile.update()

    def paint(self, painter: QPainter, box: QRectF) -> None:
        """Paint background and bars."""
        t_s = self._now_s() if self.is_moving else 0.0
        middle = DARK.color("agent_soft")
        gradient = QRadialGradient(box.center(), max(box.width(), box.height()) * 0.55)
        gradient.setColorAt(0, middle.lighter(122))
        gradient.setColorAt(1, _blend(middle, DARK.color("stage"), 0.35))
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillPath(rounded_path(box, Radius.TILE), gradient)
        painter.restore()
        width = max(4.0, box.height() * _WIDTH)
        pitch = width * 1.75
        left = box.center().x() - (pitch * (BARS - 1) + width) / 2
        level = self._levels.get(self._state, 0.0)
        heights = bar_heights(self._state, level, t_s)
        alphas = bar_alphas(self._state, t_s)
        ink = DARK.color("agent")
        for at, (part, alpha) in enumerate(zip(heights, alphas, strict=True)):
            ink.setAlphaF(alpha)
            height = max(width, part * _TALLEST * box.height())
            rect = QRectF(left + at * pitch, box.center().y() - height / 2, width, height)
            fill_rounded(painter, rect, width / 2, ink)


def paint_state(painter: QPainter, state: str) -> None:
    """Paint the pill with the state's word at the tile's top left."""
    word = AGENT_WORDS.get(state)
    if word is None:
        return
    font = font_px(12, 500)
    metrics = QFontMetricsF(font)
    width = 8 + 16 + 6 + metrics.horizontalAdvance(word) + 9
    box = QRectF(MARGIN_PX, MARGIN_PX, round(width), PILL_HEIGHT_PX)
    fill_rounded(painter, box, Radius.SMALL, DARK.color("agent_soft"))
    ink = DARK.color("agent")
    icon = QRectF(box.left() + 8, box.top() + (PILL_HEIGHT_PX - 16) / 2, 16, 16)
    paint_icon(painter, icon, _ICONS[state], ink)
    painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
    painter.setFont(font)
    painter.setPen(ink)
    baseline = box.center().y() + metrics.capHeight() / 2
    painter.drawText(QPointF(box.left() + 30, baseline), word)


def _blend(one: QColor, other: QColor, part: float) -> QColor:
    def mix(a: float, b: float) -> float:
        return a * part + b * (1 - part)

    return QColor.fromRgbF(
        mix(one.redF(), other.redF()),
        mix(one.greenF(), other.greenF()),
        mix(one.blueF(), other.blueF()),
    )
