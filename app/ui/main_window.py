"""The window: a stack of pages, its title, and where it stood last time on which screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeGuard

from PySide6.QtCore import QEvent, QRect, Signal
from PySide6.QtGui import QCloseEvent, QGuiApplication
from PySide6.QtWidgets import QMainWindow, QStackedWidget, QWidget

from app.runtime.saver import save_now
from app.ui.widgets import app_icon

DEFAULT_SIZE = (1280, 800)
MINIMUM_SIZE = (640, 420)
PAGE_MINIMUM_SIZE = (640, 480)


class MainWindow(QMainWindow):
    """Shows one page at a time.

    `firstPainted` is emitted once (and `painted` set), after the first picture reached the
    screen: heavy imports wait for it. Closing only asks (`closeRequested`); the application
    decides.
    """

    firstPainted = Signal()
    closeRequested = Signal()

    def __init__(self, geometry_file: Path) -> None:
        super().__init__()
        self.setObjectName("mainWindow")
        self._geometry_file = geometry_file
        self.painted = False
        self._may_close = False
        self.pages = QStackedWidget()
        self.pages.setProperty("role", "pages")
        self.setCentralWidget(self.pages)
        self.setWindowIcon(app_icon())
        self.setMinimumSize(*PAGE_MINIMUM_SIZE)
        self.set_room("")
        self._restore()

    def set_room(self, room: str) -> None:
        """Name the window after the meeting, or after the product alone."""
        self.setWindowTitle(f"{room} \u2013 Lanai" if room else "Lanai")

    def show_page(self, page: QWidget, *, minimum: tuple[int, int] = PAGE_MINIMUM_SIZE) -> None:
        """Bring a page to the front."""
        if self.pages.indexOf(page) < 0:
            self.pages.addWidget(page)
        self.setMinimumSize(*minimum)
        self.pages.setCurrentWidget(page)

    def bring_up(self) -> None:
        """Come to the front, from the task bar too."""
        if self.isMinimized():
            self.showNormal()
        self.show()
        self.raise_()
        self.activateWindow()

    def close_for_good(self) -> None:
        """Remember the place and close without asking."""
        self._remember()
        self._may_close = True
        self.close()

    def event(self, event: QEvent) -> bool:
        """Notice the first picture."""
        handled = super().event(event)
        if event.type() == QEvent.Type.UpdateRequest and not self.painted:
            self.painted = True
            self.firstPainted.emit()
        return handled

    def closeEvent(self, event: QCloseEvent) -> None:
        """Ask first."""
        if self._may_close:
            event.accept()
        else:
            event.ignore()
            self.closeRequested.emit()

    # -- geometry ------------------------------------------------------------------------------

    def _restore(self) -> None:
        self.resize(*DEFAULT_SIZE)
        screen = QGuiApplication.primaryScreen()
        saved = self._saved()
        name = saved.get("last")
        entry = saved.get(name) if isinstance(name, str) else None
        there = next((s for s in QGuiApplication.screens() if s.name() == name), None)
        if there is not None and _is_rect(entry):
            area = there.availableGeometry()
            wanted = QRect(entry[0], entry[1], entry[2], entry[3])
            wanted.setSize(wanted.size().boundedTo(area.size()))
            if area.intersects(wanted):
                wanted.moveLeft(max(area.left(), min(wanted.left(), area.right() - 200)))
                wanted.moveTop(max(area.top(), min(wanted.top(), area.bottom() - 200)))
                self.setGeometry(wanted)
        elif screen is not None:
            self.resize(self.size().boundedTo(screen.availableSize()))

    def _saved(self) -> dict[str, object]:
        try:
            data = json.loads(self._geometry_file.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    def _remember(self) -> None:
        if self.isFullScreen() or self.isMaximized():
            box = self.normalGeometry()
        else:
            box = self.geometry()
        name = self.screen().name()
        saved = {**self._saved(), "last": name, name: [box.x(), box.y(), box.width(), box.height()]}
        # The window is closing: nothing waits for this thread, and nothing may be written later.
        save_now(self._geometry_file, json.dumps(saved).encode())


def _is_rect(entry: object) -> TypeGuard[list[int]]:
    return (
        isinstance(entry, list)
        and len(entry) == 4
        and all(type(value) is int and abs(value) < 100_000 for value in entry)
        and entry[2] > 0
        and entry[3] > 0
    )
