"""Colours, type, icons and the style sheet; knows nothing about rooms.

Decides how everything looks. Read tokens.py, then current.py, stylesheet.py, icons.py, paint.py.
Belongs to the Qt thread. What other packages use:

- `theme`: the `Theme` in force (`theme.tokens`, `theme.changed`, `theme.choose(ThemeChoice)`,
  `theme.apply_to(app, choice)`); `color("accent")`: a token as QColor, always of the theme now.
- `Tokens`, `DARK`, `LIGHT`, `Space`, `Radius`, `Motion`, `TypeStyle`: the tables. `duration_ms`
  shortens a motion to 0 where the person asked for less.
- `font_of(TypeStyle.LABEL, weight=600, tabular=True)`, `font_px(32, 600)`: fonts.
- `make_icon(name, QColor, size_px)`, `icon_pixmap(...)`, `paint_icon(painter, rect, name, color)`:
  Phosphor names without the prefix ("microphone-slash-fill"). An icon does not follow a theme
  change by itself: the widgets' buttons do it for you.
- `fill_rounded`, `stroke_rounded`, `rounded_path`, `paint_shadow`, `paint_avatar`,
  `paint_placeholder`, `avatar_colors`, `initial_of`, `mirrored(widget, rect)`: for `paintEvent`.
- `set_property(widget, "tone", "off")` and `repolish(widget)`: states the style sheet selects by.

Roles the sheet knows (dynamic property `role`): QFrame card, inset, bar, topbar, bottombar, panel,
hairline; QWidget page; QToolButton icon, control (tones on, off, raised, problem); QPlainTextEdit
and QTextEdit input; QLabel key. QLabel `tone`: text1, text2, text3, accent, danger, warn, success,
agent. QPushButton `tone`: primary, soft, outline, danger, ghost, link; `extent`: small, large.
"""

from app.ui.theme.current import Theme, ThemeChoice, color, duration_ms, reduced_motion, theme
from app.ui.theme.fonts import FAMILY, font_of, font_px, load_fonts
from app.ui.theme.icons import UnknownIconError, glyph_path, icon_pixmap, make_icon, paint_icon
from app.ui.theme.paint import (
    avatar_colors,
    fill_rounded,
    initial_of,
    mirrored,
    paint_avatar,
    paint_placeholder,
    paint_shadow,
    rounded_path,
    stroke_rounded,
)
from app.ui.theme.stylesheet import build_stylesheet, repolish, set_property
from app.ui.theme.tokens import (
    BAND,
    DARK,
    LIGHT,
    QR_DARK,
    QR_LIGHT,
    TYPE,
    Motion,
    Radius,
    Space,
    Tokens,
    TypeStyle,
)

__all__ = [
    "BAND",
    "DARK",
    "FAMILY",
    "LIGHT",
    "QR_DARK",
    "QR_LIGHT",
    "TYPE",
    "Motion",
    "Radius",
    "Space",
    "Theme",
    "ThemeChoice",
    "Tokens",
    "TypeStyle",
    "UnknownIconError",
    "avatar_colors",
    "build_stylesheet",
    "color",
    "duration_ms",
    "fill_rounded",
    "font_of",
    "font_px",
    "glyph_path",
    "icon_pixmap",
    "initial_of",
    "load_fonts",
    "make_icon",
    "mirrored",
    "paint_avatar",
    "paint_icon",
    "paint_placeholder",
    "paint_shadow",
    "reduced_motion",
    "repolish",
    "rounded_path",
    "set_property",
    "stroke_rounded",
    "theme",
]
