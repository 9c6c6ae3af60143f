"""The pages around a meeting, alone and in a whole window with an engine that only records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from PySide6.QtCore import QObject, QPoint, Qt
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from app.engine.client import JoinSpec, RoomLookup
from app.engine.events import Event
from app.protocol.invite import Link
from app.runtime.errors import WorldError
from app.runtime.paths import Paths
from app.ui.application import Desktop, DesktopOptions
from tests.support.fake_engine import FakeEngine


class HomeEngine(FakeEngine):
    """Answers look-ups, and lets a join wait until the test decides."""

    def __init__(self) -> None:
        super().__init__()
        self.lookup: RoomLookup | WorldError = RoomLookup("Garden club", "Mia", ("Mia", "Kai"))
        self.join_error: list[WorldError] = []

    def handle_call(
        self, name: str, args: tuple[object, ...], options: dict[str, object]
    ) -> object:
        """Record, then answer."""
        answer = super().handle_call(name, args, options)
        if name == "look_up":
            if isinstance(self.lookup, WorldError):
                raise self.lookup
            return self.lookup
        if name == "join" and self.join_error:
            raise self.join_error.pop(0)
        return answer


@dataclass
class Window:
    """A whole window and short ways to use it by object names."""

    desktop: Desktop
    engine: HomeEngine
    qtbot: QtBot
    pages: list[str] = field(default_factory=list)

    def find(self, name: str) -> QWidget:
        """The visible widget of this name."""
        found = [w for w in self.desktop.window.findChildren(QWidget, name) if w.isVisible()]
        assert len(found) == 1, f"{name}: {len(found)} visible"
        return found[0]

    def shows(self, name: str) -> bool:
        """Whether a widget of this name is on screen."""
        return any(w.isVisible() for w in self.desktop.window.findChildren(QWidget, name))

    def click(self, name: str) -> None:
        """Press it."""
        self.qtbot.mouseClick(self.find(name), Qt.MouseButton.LeftButton)
        self.settle()

    def type_into(self, name: str, text: str) -> None:
        """Replace the text of a field by typing."""
        field_ = self.find(name)
        field_.setFocus()
        self.qtbot.keyClick(field_, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        self.qtbot.keyClick(field_, Qt.Key.Key_Delete)
        self.qtbot.keyClicks(field_, text)
        self.settle()

    def joins(self) -> list[JoinSpec]:
        """What the engine was asked to join, in order."""
        return [cast("JoinSpec", args[0]) for args in self.engine.calls("join")]

    def lookups(self) -> list[Link]:
        """Which doors were asked, in order."""
        return [cast("Link", args[0]) for args in self.engine.calls("look_up")]

    @property
    def page(self) -> str:
        """The object name of the page in front."""
        page = self.desktop.window.pages.currentWidget()
        return page.objectName() if page is not None else ""

    def post(self, *events: Event) -> None:
        """Let the engine say something."""
        self.engine.post(*events)
        self.settle()

    def settle(self) -> None:
        """Let queued signals and coroutines run."""
        for _ in range(12):
            QApplication.processEvents()

    def wait_for_page(self, name: str) -> None:
        """Wait until a page is in front."""
        self.qtbot.waitUntil(lambda: self.page == name, timeout=30_000)
        self.settle()

    def box(self, name: str) -> tuple[int, int, int, int]:
        """Where a widget stands in the window: x, y, width, height."""
        widget = self.find(name)
        corner = widget.mapTo(self.desktop.window, QPoint(0, 0))
        return corner.x(), corner.y(), widget.width(), widget.height()


@pytest.fixture
def open_window(
    ui_loop: asyncio.AbstractEventLoop, qtbot: QtBot, tmp_path: Path
) -> Iterator[Callable[..., Window]]:
    """Opens windows; closes them afterwards."""
    opened: list[Window] = []

    def open_(*, name: str = "Noa", size: tuple[int, int] = (1280, 800), link: str = "") -> Window:
        paths = Paths.under(tmp_path)
        engine = HomeEngine()
        options = DesktopOptions(paths=paths, link=link, use_keyring=False)
        desktop = Desktop(options, engine=engine)
        if name:
            desktop.settings.update(name=name)
        window = Window(desktop, engine, qtbot)
        desktop.pageChanged.connect(window.pages.append)
        opened.append(window)
        desktop.window.resize(*size)
        desktop.show()
        qtbot.waitExposed(desktop.window)
        started = ui_loop.create_task(desktop.start())
        qtbot.waitUntil(started.done, timeout=30_000)
        window.settle()
        return window

    yield open_
    for window in opened:
        closing = ui_loop.create_task(window.desktop.aclose())
        qtbot.waitUntil(closing.done, timeout=30_000)
        closing.result()
        delete_now(window.desktop.window)
        delete_now(window.desktop)


def delete_now(thing: QObject) -> None:
    """Delete a Qt object and run its deferred deletions."""
    thing.deleteLater()
    QApplication.processEvents()
    QApplication.sendPostedEvents(None, 52)  # QEvent.DeferredDelete
    QApplication.processEvents()
