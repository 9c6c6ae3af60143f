"""What a settings page may know and do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from app.runtime.paths import Paths
from app.runtime.settings import Settings
from app.ui.theme import ThemeChoice


class SaveSettings(Protocol):
    """Saves changed fields of `Settings` and makes them count."""

    def __call__(self, **changes: str | bool | int) -> None:
        """Save."""


@dataclass(frozen=True, slots=True)
class SettingsContext:
    """The choices now, the ways to change them, and what else the pages lead to."""

    current: Callable[[], Settings]
    save: SaveSettings
    paths: Paths
    choose_theme: Callable[[ThemeChoice], None]
    clear_recents: Callable[[], None]
    open_developer_panel: Callable[[], None]
