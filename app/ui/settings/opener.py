"""Opens the settings from any page, and the developer panel beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QWidget

from app.engine.client import EngineClient
from app.ui.bridge import Bridge
from app.ui.settings.context import SettingsContext

if TYPE_CHECKING:
    from app.ui.devtools.panel import DeveloperPanel
    from app.ui.settings.dialog import SettingsDialog


class SettingsOpener:
    """One dialog and one panel at a time; Ctrl+, opens the dialog."""

    def __init__(
        self, host: QWidget, context: SettingsContext, engine: EngineClient, bridge: Bridge
    ) -> None:
        self._host = host
        self._context = context
        self._engine = engine
        self._bridge = bridge
        self._dialog: SettingsDialog | None = None
        self._panel: DeveloperPanel | None = None
        shortcut = QShortcut(QKeySequence("Ctrl+,"), host.window())
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.activated.connect(self.open_)

    def open_(self, page: str = "") -> None:
        """Open the dialog, at a page if one is named."""
        # Imported when first asked for: the first picture does not wait for it.
        from app.ui.settings.dialog import SettingsDialog

        if self._dialog is None:
            self._dialog = SettingsDialog(self._host, self._context)
            self._dialog.closed.connect(self._forget_dialog)
            self._dialog.open_()
        if page:
            self._dialog.show_page(page)

    def _forget_dialog(self) -> None:
        self._dialog = None

    def open_developer_panel(self) -> None:
        """Open the panel, which stays beside the meeting, and close the dialog."""
        from app.ui.devtools.panel import DeveloperPanel

        if self._panel is None:
            self._panel = DeveloperPanel(self._engine, self._bridge, self._host.window())
        if self._dialog is not None:
            self._dialog.close_()
        self._panel.open_()

    def close(self) -> None:
        """Take the panel down with the window."""
        if self._panel is not None:
            self._panel.close()
