"""Phosphor icons by name, in a token's colour, sharp at every device pixel ratio.

The glyphs are those of `qtawesome` (MIT): its font file and its table of names are read
directly, because importing the package costs 0.13 s of the 0.6 s a start may take.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from pathlib import Path

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontDatabase,
    QGuiApplication,
    QIcon,
    QPainter,
    QPainterPath,
    QPixmap,
    QTransform,
)

_FONT_FILE = "phosphor-1.3.0.ttf"
_CHARMAP_FILE = "phosphor-charmap-1.3.0.json"
_GLYPH_PX = 256


class UnknownIconError(KeyError):
    """A name that the bundled Phosphor does not have: a mistake in our code."""


@functools.cache
def _charmap() -> dict[str, int]:
    text = (_fonts_folder() / _CHARMAP_FILE).read_text(encoding="utf-8")
    return {name: int(code, 16) for name, code in json.loads(text).items()}


@functools.cache
def _fonts_folder() -> Path:
    spec = importlib.util.find_spec("qtawesome")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("qtawesome")
    return Path(spec.origin).parent / "fonts"


@functools.cache
def _font() -> QFont:
    number = QFontDatabase.addApplicationFont(str(_fonts_folder() / _FONT_FILE))
    font = QFont(QFontDatabase.applicationFontFamilies(number)[0])
    font.setPixelSize(_GLYPH_PX)
    font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
    return font


@functools.cache
def glyph_path(name: str) -> QPainterPath:
    """Return the outline of `name` (without the "ph." prefix), scaled to a unit square."""
    try:
        code = _charmap()[name]
    except KeyError as error:
        raise UnknownIconError(name) from error
    path = QPainterPath()
    path.addText(QPointF(0, 0), _font(), chr(code))
    # The em square is one ascent high and stands on the baseline.
    return QTransform().scale(1 / _GLYPH_PX, 1 / _GLYPH_PX).map(path.translated(0, _GLYPH_PX))


def paint_icon(painter: QPainter, rect: QRectF, name: str, color: QColor) -> None:
    """Draw the icon into the middle of `rect`, as large as its shorter side."""
    side = min(rect.width(), rect.height())
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(rect.center().x() - side / 2, rect.center().y() - side / 2)
    painter.scale(side, side)
    painter.fillPath(glyph_path(name), color)
    painter.restore()


def icon_pixmap(
    name: str, color: QColor, size_px: int, ratio: float = 1.0, *, gap_px: int = 0
) -> QPixmap:
    """Return the icon as a pixmap of `size_px` logical pixels, `gap_px` wider on the right."""
    pixmap = QPixmap(QSize(round((size_px + gap_px) * ratio), round(size_px * ratio)))
    pixmap.fill(Qt.GlobalColor.transparent)
    pixmap.setDevicePixelRatio(ratio)
    painter = QPainter(pixmap)
    paint_icon(painter, QRectF(0, 0, size_px, size_px), name, color)
    painter.end()
    return pixmap


def make_icon(
    name: str,
    color: QColor,
    size_px: int = 20,
    *,
    gap_px: int = 0,
    disabled: QColor | None = None,
) -> QIcon:
    """Return a QIcon for buttons and menus, with one pixmap per screen's pixel ratio.

    `gap_px` widens it on the right: Qt leaves only 4 px between an icon and its text. Disabled it
    fades, or takes the colour `disabled` where another ground than the resting one lies under it.
    """
    icon = QIcon()
    faded = QColor(disabled or color)
    if disabled is None:
        faded.setAlphaF(color.alphaF() * 0.45)
    for ratio in sorted(
        {1.0} | {screen.devicePixelRatio() for screen in QGuiApplication.screens()}
    ):
        icon.addPixmap(icon_pixmap(name, color, size_px, ratio, gap_px=gap_px))
        icon.addPixmap(icon_pixmap(name, faded, size_px, ratio, gap_px=gap_px), QIcon.Mode.Disabled)
    return icon
