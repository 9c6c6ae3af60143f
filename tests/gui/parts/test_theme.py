"""The tables of colours and icons, and what the design promises about them."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from PySide6.QtGui import QColor, QFontInfo, QImage
from PySide6.QtWidgets import QApplication

from app.ui.theme import (
    DARK,
    LIGHT,
    ThemeChoice,
    Tokens,
    TypeStyle,
    UnknownIconError,
    build_stylesheet,
    font_of,
    glyph_path,
    icon_pixmap,
    theme,
)

UI = Path(__file__).parents[3] / "app" / "ui"
SURFACES = ("window", "surface1", "surface2", "surface3")


def luminance(color: QColor) -> float:
    def linear(value: float) -> float:
        return value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4

    return (
        0.2126 * linear(color.redF())
        + 0.7152 * linear(color.greenF())
        + 0.0722 * linear(color.blueF())
    )


def contrast(tokens: Tokens, front: str, back: str) -> float:
    one, two = sorted((luminance(tokens.color(front)), luminance(tokens.color(back))))
    return (two + 0.05) / (one + 0.05)


@pytest.mark.parametrize("tokens", [DARK, LIGHT], ids=["dark", "light"])
@pytest.mark.parametrize(
    ("front", "backs"),
    [
        ("text1", SURFACES),
        ("text2", SURFACES),
        ("text3", SURFACES[:3]),
        ("on_accent", ("accent", "accent_hover")),
        ("accent_text", ("accent_soft",)),
        ("on_danger", ("danger", "danger_hover")),
        ("danger_text", ("danger_soft", "surface1")),
        ("warn_text", ("warn_soft",)),
        ("on_warn", ("warn",)),
        ("agent", ("agent_soft",)),
        ("info", ("surface2",)),
        ("success", ("surface2",)),
    ],
)
def test_every_text_can_be_read_on_what_lies_under_it(
    tokens: Tokens, front: str, backs: tuple[str, ...]
) -> None:
    for back in backs:
        assert contrast(tokens, front, back) >= 4.5, f"{front} on {back}"


@pytest.mark.parametrize("tokens", [DARK, LIGHT], ids=["dark", "light"])
def test_outlines_of_inputs_can_be_seen(tokens: Tokens) -> None:
    for back in ("surface1", "surface2", "window"):
        assert contrast(tokens, "control", back) >= 3.0


@pytest.mark.parametrize("tokens", [DARK, LIGHT], ids=["dark", "light"])
def test_every_token_is_a_colour(tokens: Tokens) -> None:
    for field in fields(tokens):
        if field.name != "name":
            assert tokens.color(field.name).isValid(), field.name


@pytest.mark.parametrize("tokens", [DARK, LIGHT], ids=["dark", "light"])
def test_the_style_sheet_is_filled_completely(tokens: Tokens) -> None:
    sheet = build_stylesheet(tokens)

    assert "$" not in sheet
    assert sheet.count("{") == sheet.count("}")


def test_colours_are_written_in_one_place_only() -> None:
    hexes = re.compile(r"[\"']#[0-9A-Fa-f]{6,8}[\"']")
    found = [
        path.relative_to(UI).as_posix()
        for path in sorted(UI.rglob("*.py"))
        if hexes.search(path.read_text("utf-8"))
    ]

    assert found == ["theme/tokens.py"]


def test_every_icon_named_in_the_code_exists(qapp: QApplication) -> None:
    names: set[str] = set()
    known = re.compile(
        r"(?:IconLabel|IconPlate|IconButton|paint_icon|make_icon|set_icon_name)\((?:[a-z_]+, )*"
        r"[^\"()=]*\"([a-z-]+)\"|icon=\"([a-z-]+)\""
    )
    for path in UI.rglob("*.py"):
        if path.name == "stylesheet.py":
            continue
        for match in known.finditer(path.read_text("utf-8")):
            names.add(match.group(1) or match.group(2))

    assert len(names) > 10
    for name in names:
        assert not glyph_path(name).isEmpty(), name


def test_an_unknown_icon_is_refused(qapp: QApplication) -> None:
    with pytest.raises(UnknownIconError):
        glyph_path("no-such-icon")


@pytest.mark.parametrize("ratio", [1.0, 1.25, 1.5, 2.0])
def test_icons_are_drawn_in_device_pixels(qapp: QApplication, ratio: float) -> None:
    pixmap = icon_pixmap("microphone", QColor("white"), 20, ratio)

    assert pixmap.width() == round(20 * ratio)
    image = pixmap.toImage().convertToFormat(QImage.Format.Format_ARGB32)
    inked = sum(
        image.pixelColor(x, y).alpha() > 128
        for x in range(image.width())
        for y in range(image.height())
    )
    assert 0.05 < inked / (image.width() * image.height()) < 0.6


def test_the_bundled_font_has_four_real_weights(qapp: QApplication) -> None:
    theme.apply_to(qapp, ThemeChoice.DARK)
    for style, weight in ((TypeStyle.BODY, 400), (TypeStyle.LABEL, 500), (TypeStyle.TITLE, 600)):
        info = QFontInfo(font_of(style))
        assert info.family() == "Inter"
        assert info.exactMatch() or info.weight() == weight


def test_choosing_a_theme_tells_everybody_once(qapp: QApplication) -> None:
    theme.apply_to(qapp, ThemeChoice.DARK)
    heard: list[str] = []
    connection = theme.changed.connect(lambda: heard.append(theme.tokens.name))
    theme.choose(ThemeChoice.LIGHT)
    theme.choose(ThemeChoice.LIGHT)
    theme.choose(ThemeChoice.DARK)
    theme.changed.disconnect(connection)

    assert heard == ["light", "dark"]
