"""The one place for colours, sizes and type styles; the QSS and the painters both read it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from PySide6.QtGui import QColor


@dataclass(frozen=True, slots=True)
class Tokens:
    """Colours of one theme, by meaning. Text colours hold their contrast on every surface."""

    name: str
    stage: str
    window: str
    surface1: str
    surface2: str
    surface3: str
    border: str
    control: str
    text1: str
    text2: str
    text3: str
    accent: str
    accent_hover: str
    on_accent: str
    accent_soft: str
    accent_text: str
    danger: str
    danger_hover: str
    on_danger: str
    danger_soft: str
    danger_text: str
    warn_soft: str
    warn_text: str
    agent_soft: str
    agent: str
    info: str
    success: str
    shadow: str
    # Equal in both themes: they lie over video, over the painted band, or mean one thing.
    warn: str = "#FFB84D"
    on_warn: str = "#2B1A00"
    on_video: str = "#EDF4F3"
    video_pill: str = "#C7080D0F"
    scrim: str = "#A805090A"
    veil: str = "#9E000000"

    @property
    def is_dark(self) -> bool:
        """Whether this is the dark theme."""
        return self.name == "dark"

    def color(self, token: str) -> QColor:
        """Return the colour that `token` (a field's name) stands for; #AARRGGBB is understood."""
        return QColor(getattr(self, token))


DARK: Final = Tokens(
    name="dark",
    stage="#0A1012",
    window="#0E1518",
    surface1="#141D20",
    surface2="#1C272B",
    surface3="#26343A",
    border="#2B3940",
    control="#667C84",
    text1="#EDF4F3",
    text2="#B4C3C6",
    text3="#91A3A8",
    accent="#3ECFBB",
    accent_hover="#5ADBC9",
    on_accent="#04211D",
    accent_soft="#12383A",
    accent_text="#7FE3D5",
    danger="#D8383F",
    danger_hover="#C92F36",
    on_danger="#FFFFFF",
    danger_soft="#3D1B20",
    danger_text="#FF8F93",
    warn_soft="#3A2B12",
    warn_text="#FFC976",
    agent_soft="#2B2547",
    agent="#BCA6FF",
    info="#7CBDFF",
    success="#5FD39A",
    shadow="#80000000",
)

LIGHT: Final = Tokens(
    name="light",
    stage="#E4EBEA",
    window="#F3F7F6",
    surface1="#FFFFFF",
    surface2="#EEF3F2",
    surface3="#DFE8E6",
    border="#CFDAD8",
    control="#748583",
    text1="#10201F",
    text2="#40524F",
    text3="#566866",
    accent="#0A7468",
    accent_hover="#086459",
    on_accent="#FFFFFF",
    accent_soft="#D2F0EB",
    accent_text="#075E54",
    danger="#C4262E",
    danger_hover="#AD1F27",
    on_danger="#FFFFFF",
    danger_soft="#FCE3E3",
    danger_text="#B01F27",
    warn_soft="#FFF0D6",
    warn_text="#7A4A00",
    agent_soft="#EAE4FF",
    agent="#5B3FD0",
    info="#0B5CAD",
    success="#11734A",
    shadow="#38000000",
)


@dataclass(frozen=True, slots=True)
class BandColors:
    """The painted veranda on the start page and in the app icon: an evening in both themes."""

    frame: str = "#0B1A1F"
    sky_top: str = "#16434B"
    sky_middle: str = "#2F6468"
    sky_low: str = "#E0946A"
    hill: str = "#143B42"
    sea_top: str = "#1F6B6B"
    sea_low: str = "#0F3F46"
    sun: str = "#F3C775"
    glow: str = "#F0B765"
    glint: str = "#E3BD7F"
    rail: str = "#0E2A30"
    slat: str = "#154A51"
    text: str = "#FFFFFF"
    text_soft: str = "#DCE9E7"
    shade: str = "#0B1B20"
    chip: str = "#D90B1519"


BAND: Final = BandColors()

QR_DARK: Final = "#0B1A1F"
QR_LIGHT: Final = "#FFFFFF"

# Discs behind initials and the gradients behind them, chosen by a hash of the identity.
AVATARS: Final[tuple[tuple[str, str], ...]] = (
    ("#2F6F95", "#1D3A4A"),
    ("#7A4FA3", "#33244A"),
    ("#A3623B", "#45291B"),
    ("#2F7D6B", "#173F38"),
    ("#A0476B", "#44202F"),
    ("#5A6FB0", "#262F50"),
    ("#3F7F58", "#1D3B2A"),
    ("#8B5A5A", "#3A2727"),
)
ON_AVATAR: Final = "#FFFFFF"


class Space:
    """Distances in logical pixels."""

    XXS: Final = 4
    XS: Final = 8
    S: Final = 12
    M: Final = 16
    L: Final = 20
    XL: Final = 24
    XXL: Final = 32
    HUGE: Final = 40


class Radius:
    """Corner radii in logical pixels."""

    SMALL: Final = 8
    INPUT: Final = 10
    TILE: Final = 12
    CARD: Final = 16
    FULL: Final = 999


class Motion:
    """Durations in milliseconds; `app.ui.theme.duration_ms` makes them 0 for reduced motion."""

    HOVER: Final = 80
    TOGGLE: Final = 120
    MENU: Final = 140
    PANEL: Final = 180
    TILE: Final = 200


class TypeStyle(StrEnum):
    """Names of the text styles."""

    DISPLAY = "display"
    TITLE = "title"
    HEADING = "heading"
    BODY = "body"
    LABEL = "label"
    NOTE = "note"
    CAPTION = "caption"
    MICRO = "micro"
    CAPTIONS_BAR = "captions_bar"
    BODY_STRONG = "body_strong"
    LABEL_STRONG = "label_strong"
    LEAD = "lead"


# (size px, line height px, weight)
TYPE: Final[dict[TypeStyle, tuple[int, int, int]]] = {
    TypeStyle.DISPLAY: (28, 36, 700),
    TypeStyle.TITLE: (20, 28, 600),
    TypeStyle.HEADING: (16, 24, 600),
    TypeStyle.BODY: (14, 20, 400),
    TypeStyle.LABEL: (13, 18, 500),
    TypeStyle.NOTE: (13, 18, 400),
    TypeStyle.CAPTION: (12, 16, 400),
    TypeStyle.MICRO: (11, 14, 500),
    TypeStyle.CAPTIONS_BAR: (18, 26, 400),
    TypeStyle.BODY_STRONG: (14, 20, 600),
    TypeStyle.LABEL_STRONG: (13, 18, 600),
    TypeStyle.LEAD: (15, 22, 400),
}
