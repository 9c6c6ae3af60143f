"""Painters for what lies over a tile's picture: name pill, bars, ring, avatar.

The pill and the bars are painted into small pixmaps that a tile keeps, since text costs more
than the blending of a few thousand pixels and a tile repaints with every frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPainterPath, QPixmap

from app.engine.events import Quality
from app.ui.theme import DARK, Radius, Tokens, fill_rounded, font_px, paint_icon

MARGIN_PX = 8
PILL_HEIGHT_PX = 26
BADGE_PX = 26
RING_PX = 3
_PAD_PX = 8
_ICON_PX = 14
_GAP_PX = 6
# Below these tile heights the pill drops the crown, then everything but the microphone.
_CROWN_FROM_PX = 150
_NAME_FROM_PX = 90


@dataclass(frozen=True, slots=True)
class PillContent:
    """All that decides how the name pill looks."""

    name: str
    suffix: str
    muted: bool
    speaking: bool
    host: bool
    agent: bool


@dataclass(frozen=True, slots=True)
class _Icon:
    name: str
    color: str


def render_pill(
    content: PillContent, tile_width_px: int, tile_height_px: int, tokens: Tokens, ratio: float
) -> QPixmap | None:
    """Paint the pill for a tile of this size, or None when nothing would stand in it."""
    icons = []
    if content.muted:
        icons.append(_Icon("microphone-slash-fill", "video_muted"))
    elif content.speaking:
        icons.append(_Icon("microphone-fill", "video_speaking"))
    with_name = tile_height_px >= _NAME_FROM_PX
    if content.host and tile_height_px >= _CROWN_FROM_PX:
        icons.append(_Icon("crown-simple-fill", "warn"))
    if content.agent and with_name:
        icons.append(_Icon("sparkle-fill", "video_agent"))
    if not with_name:
        icons = icons[:1] if content.muted or content.speaking else []
    font, soft = font_px(12, 500), font_px(12, 400)
    metrics, soft_metrics = QFontMetricsF(font), QFontMetricsF(soft)
    icons_px = sum(_ICON_PX + _GAP_PX for _ in icons)
    room_px = tile_width_px - 2 * MARGIN_PX - 2 * _PAD_PX - icons_px
    suffix = content.suffix if with_name else ""
    suffix_px = soft_metrics.horizontalAdvance(suffix) + _GAP_PX if suffix else 0.0
    if suffix_px > room_px / 2:
        suffix, suffix_px = "", 0.0
    name = ""
    if with_name:
        name = metrics.elidedText(
            content.name, Qt.TextElideMode.ElideRight, max(24.0, room_px - suffix_px)
        )
    if not icons and not name:
        return None
    name_px = metrics.horizontalAdvance(name) if name else -_GAP_PX
    width_px = round(2 * _PAD_PX + icons_px + name_px + suffix_px)
    pixmap = _canvas(width_px, PILL_HEIGHT_PX, ratio)
    painter = QPainter(pixmap)
    fill_rounded(
        painter,
        QRectF(0, 0, width_px, PILL_HEIGHT_PX),
        Radius.SMALL,
        tokens.color("video_pill"),
    )
    x = float(_PAD_PX)
    for icon in icons:
        rect = QRectF(x, (PILL_HEIGHT_PX - _ICON_PX) / 2, _ICON_PX, _ICON_PX)
        paint_icon(painter, rect, icon.name, _over_video(tokens, icon.color))
        x += _ICON_PX + _GAP_PX
    painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
    baseline = PILL_HEIGHT_PX / 2 + metrics.capHeight() / 2
    painter.setPen(tokens.color("on_video"))
    painter.setFont(font)
    painter.drawText(QPointF(x, baseline), name)
    if suffix:
        painter.setFont(soft)
        faded = tokens.color("on_video")
        faded.setAlphaF(0.72)
        painter.setPen(_over_video(tokens, "video_agent") if content.agent else faded)
        painter.drawText(QPointF(x + name_px + _GAP_PX, baseline), suffix)
    painter.end()
    return pixmap


def _over_video(tokens: Tokens, what: str) -> QColor:
    """Pills are dark in both themes, so what stands on them takes the dark theme's tone."""
    match what:
        case "video_muted":
            return DARK.color("danger_text")
        case "video_speaking":
            return DARK.color("accent")
        case "video_agent":
            return DARK.color("agent")
        case _:
            return tokens.color(what)


_LEVELS = {Quality.EXCELLENT: 3, Quality.GOOD: 2, Quality.POOR: 1, Quality.LOST: 0}


@lru_cache(maxsize=32)
def render_bars(quality: Quality, tokens: Tokens, ratio: float) -> QPixmap:
    """Three bars in a badge; the lit ones are amber or red when the connection is bad."""
    pixmap = _canvas(BADGE_PX, BADGE_PX, ratio)
    painter = QPainter(pixmap)
    fill_rounded(
        painter, QRectF(0, 0, BADGE_PX, BADGE_PX), Radius.SMALL, tokens.color("video_pill")
    )
    lit = _LEVELS[quality]
    bright = _over_video(tokens, "video_muted" if lit <= 1 else "on_video")
    faded = tokens.color("on_video")
    faded.setAlphaF(0.45)
    for index in range(3):
        height = 5 + index * 4
        rect = QRectF(6.5 + index * 5, 19.5 - height, 3, height)
        fill_rounded(painter, rect, 1.0, bright if index < lit else faded)
    painter.end()
    return pixmap


@lru_cache(maxsize=32)
def render_hand(place: int, tokens: Tokens, ratio: float) -> QPixmap:
    """A raised hand and its place in the queue, on amber."""
    font = font_px(12, 600, tabular=True)
    number = str(place)
    width = 32 + round(QFontMetricsF(font).horizontalAdvance(number))
    pixmap = _canvas(width, PILL_HEIGHT_PX, ratio)
    painter = QPainter(pixmap)
    box = QRectF(0, 0, width, PILL_HEIGHT_PX)
    fill_rounded(painter, box, Radius.SMALL, tokens.color("warn"))
    paint_icon(painter, QRectF(7, 5, 16, 16), "hand-palm", tokens.color("on_warn"))
    painter.setFont(font)
    painter.setPen(tokens.color("on_warn"))
    painter.drawText(box.adjusted(26, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, number)
    painter.end()
    return pixmap


@lru_cache(maxsize=64)
def render_corners(
    radius_px: int, red: int, green: int, blue: int, ratio: float
) -> tuple[QPixmap, ...]:
    """Four masks in the background's colour: rounds a picture without a clip per frame.

    Order: top left, top right, bottom left, bottom right.
    """
    masks: list[QPixmap] = []
    square = QRectF(0, 0, radius_px, radius_px)
    for right in (False, True, False, True):
        bottom = len(masks) >= 2
        pixmap = _canvas(radius_px, radius_px, ratio)
        disc = QRectF(
            -radius_px if right else 0,
            -radius_px if bottom else 0,
            2 * radius_px,
            2 * radius_px,
        )
        outside = QPainterPath()
        outside.addRect(square)
        inside = QPainterPath()
        inside.addEllipse(disc)
        painter = QPainter(pixmap)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillPath(outside.subtracted(inside), QColor(red, green, blue))
        painter.end()
        masks.append(pixmap)
    return tuple(masks)


def paint_corners(painter: QPainter, rect: QRectF, radius_px: int, behind: QColor) -> None:
    """Round the corners of what was just painted into `rect`."""
    ratio = painter.device().devicePixelRatioF()
    masks = render_corners(radius_px, behind.red(), behind.green(), behind.blue(), ratio)
    right, bottom = rect.right() - radius_px, rect.bottom() - radius_px
    painter.drawPixmap(rect.topLeft(), masks[0])
    painter.drawPixmap(QPointF(right, rect.top()), masks[1])
    painter.drawPixmap(QPointF(rect.left(), bottom), masks[2])
    painter.drawPixmap(QPointF(right, bottom), masks[3])


def avatar_diameter_px(width_px: float, height_px: float) -> float:
    """42 % of the short side, between 36 and 112."""
    return min(112.0, max(36.0, 0.42 * min(width_px, height_px)))


def _canvas(width_px: int, height_px: int, ratio: float) -> QPixmap:
    pixmap = QPixmap(QSize(round(width_px * ratio), round(height_px * ratio)))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    return pixmap
