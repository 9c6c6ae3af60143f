"""Which theme is on, who chose it, and telling everybody when it changes."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

from app.ui.theme.fonts import font_of, load_fonts
from app.ui.theme.stylesheet import build_stylesheet
from app.ui.theme.tokens import DARK, LIGHT, Tokens, TypeStyle


class ThemeChoice(StrEnum):
    """What a person chose; SYSTEM follows the desktop."""

    SYSTEM = "system"
    DARK = "dark"
    LIGHT = "light"


class Theme(QObject):
    """Holds the tokens in force; `changed` comes after the style sheet was applied.

    Lives on the Qt thread. Where the desktop does not say what it prefers, the theme is dark.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.tokens: Tokens = DARK
        self.choice = ThemeChoice.SYSTEM
        self._app: QApplication | None = None

    def apply_to(self, app: QApplication, choice: ThemeChoice = ThemeChoice.SYSTEM) -> None:
        """Load the fonts, style `app`, and follow its colour scheme from now on."""
        if self._app is not app:
            self._app = app
            load_fonts()
            app.setStyle("Fusion")
            app.setFont(font_of(TypeStyle.BODY))
            app.styleHints().colorSchemeChanged.connect(self._on_scheme)
            self._restyle(self._tokens_for(choice))
        self.choose(choice)

    def choose(self, choice: ThemeChoice) -> None:
        """Follow the system or override it."""
        self.choice = choice
        tokens = self._tokens_for(choice)
        if tokens is not self.tokens:
            self._restyle(tokens)

    def _tokens_for(self, choice: ThemeChoice) -> Tokens:
        if choice is ThemeChoice.SYSTEM and self._app is not None:
            light = self._app.styleHints().colorScheme() is Qt.ColorScheme.Light
            return LIGHT if light else DARK
        return LIGHT if choice is ThemeChoice.LIGHT else DARK

    def _on_scheme(self) -> None:
        self.choose(self.choice)

    def _restyle(self, tokens: Tokens) -> None:
        self.tokens = tokens
        if self._app is not None:
            self._app.setPalette(_palette(tokens))
            self._app.setStyleSheet(build_stylesheet(tokens))
        self.changed.emit()


def _palette(tokens: Tokens) -> QPalette:
    role = QPalette.ColorRole
    palette = QPalette()
    pairs = {
        role.Window: tokens.window,
        role.Base: tokens.surface2,
        role.AlternateBase: tokens.surface1,
        role.Button: tokens.surface3,
        role.WindowText: tokens.text1,
        role.Text: tokens.text1,
        role.ButtonText: tokens.text1,
        role.PlaceholderText: tokens.text3,
        role.ToolTipBase: tokens.surface2,
        role.ToolTipText: tokens.text1,
        role.Highlight: tokens.accent,
        role.HighlightedText: tokens.on_accent,
        role.Link: tokens.accent_text,
    }
    for which, color in pairs.items():
        palette.setColor(which, QColor(color))
    return palette


theme: Final = Theme()


def color(token: str) -> QColor:
    """Return a colour of the theme in force by its token's name."""
    return theme.tokens.color(token)


def reduced_motion() -> bool:
    """Whether the desktop asks for less motion. Qt tells it from 6.12 on."""
    app = QApplication.instance()
    if not isinstance(app, QApplication):
        return False
    hints = getattr(app.styleHints(), "accessibility", lambda: None)()
    preference = getattr(hints, "motionPreference", None)
    return preference is not None and "Reduced" in str(preference())


def duration_ms(milliseconds: int) -> int:
    """Return how long an animation may take: 0 when motion is reduced."""
    return 0 if reduced_motion() else milliseconds
