"""Inter as four static files, and the fonts of the type styles.

Static files because Qt ignores weights below 700 of the variable file and fakes bold above.
Must be called after the QApplication exists; the Qt thread owns everything here.
"""

from __future__ import annotations

import functools
from importlib.resources import files

from PySide6.QtGui import QFont, QFontDatabase

from app.ui.theme.tokens import TYPE, TypeStyle

FAMILY = "Inter"
_FILES = ("Inter-Regular.ttf", "Inter-Medium.ttf", "Inter-SemiBold.ttf", "Inter-Bold.ttf")


@functools.cache
def load_fonts() -> bool:
    """Register the bundled files once; False when Qt refused one and the system font serves."""
    folder = files("resources").joinpath("fonts")
    ids = [
        QFontDatabase.addApplicationFontFromData(folder.joinpath(name).read_bytes())
        for name in _FILES
    ]
    return all(number >= 0 for number in ids)


@functools.cache
def _font(size_px: int, weight: int, tabular: bool) -> QFont:
    font = QFont(FAMILY)
    font.setPixelSize(size_px)
    font.setWeight(QFont.Weight(weight))
    if tabular:
        font.setFeature(QFont.Tag("tnum"), 1)
    return font


def font_of(style: TypeStyle, *, weight: int | None = None, tabular: bool = False) -> QFont:
    """Return the font of a type style; `tabular` for times, counts and bitrates."""
    size_px, _, default = TYPE[style]
    return QFont(_font(size_px, weight or default, tabular))


def font_px(size_px: int, weight: int = 400, *, tabular: bool = False) -> QFont:
    """Return Inter at a size outside the type table (avatars, drop overlay)."""
    return QFont(_font(size_px, weight, tabular))
