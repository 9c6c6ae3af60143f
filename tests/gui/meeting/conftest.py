"""The meeting page with an engine that only records."""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import pytest
from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QAction
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from app.engine.events import Event, LocalMediaChanged
from app.media.frames import Picture
from app.runtime.settings import Settings
from app.ui.meeting_window import MeetingPage
from app.ui.stage.tile import VideoTile
from app.ui.theme import ThemeChoice, theme
from app.ui.widgets import Menu
from tests.support.fake_engine import DirectBridge, FakeEngine, joined

Found = TypeVar("Found", bound=QObject)


@dataclass
class Meeting:
    """A page, its engine, and short ways to use both."""

    page: MeetingPage
    engine: FakeEngine
    bridge: DirectBridge
    qtbot: QtBot

    def post(self, *events: Event) -> None:
        """Let the engine say something and the page hear it."""
        self.engine.post(*events)
        self.bridge.deliver()
        QApplication.processEvents()

    def find(self, name: str) -> QWidget:
        """The one widget of this name."""
        return self.find_as(name, QWidget)

    def find_as(self, name: str, kind: type[Found]) -> Found:
        """The one object of this name and kind."""
        found = self.page.window().findChildren(kind, name)
        assert len(found) == 1, f"{name}: {len(found)}"
        return found[0]

    def is_shown(self, name: str) -> bool:
        """Whether an object of this name exists and is on screen."""
        return any(one.isVisible() for one in self.page.findChildren(QWidget, name))

    def click(self, name: str) -> None:
        """Press what has this name."""
        QTest.mouseClick(self.find(name), Qt.MouseButton.LeftButton)

    def choose(self, action: str) -> None:
        """Choose an entry of the menu that is open."""
        found = [
            one
            for menu in self.page.findChildren(Menu)
            for one in menu.actions()
            if one.objectName() == action
        ]
        assert len(found) == 1, f"{action}: {[one.text() for one in found]}"
        entry: QAction = found[0]
        entry.trigger()
        for menu in self.page.findChildren(Menu):
            menu.close()
        QApplication.processEvents()

    def tile(self, identity: str) -> VideoTile:
        """Somebody's tile."""
        return self.find_as(f"tile_{identity}", VideoTile)

    def show_picture(self, identity: str, picture: Picture) -> None:
        """Give a tile a picture and wait until it was painted."""
        real = "noa-1" if identity == "" else identity
        before = self.page.stage.record_of(real).frames
        assert self.engine.show_picture(identity, picture)
        self.qtbot.waitUntil(
            lambda: self.page.stage.record_of(real).frames > before, timeout=30_000
        )


MakeMeeting = Callable[..., Meeting]


@pytest.fixture
def make_meeting(qtbot: QtBot, qapp: QApplication) -> Iterator[MakeMeeting]:
    """Open a meeting with so many people in a window of this size."""
    theme.apply_to(qapp, ThemeChoice.DARK)
    made: list[Meeting] = []

    def make(
        count: int = 4,
        *,
        width: int = 1280,
        height: int = 800,
        host: bool = True,
        camera_on: bool = True,
        settings: Settings | None = None,
    ) -> Meeting:
        engine = FakeEngine(settings)
        bridge = DirectBridge(engine)
        page = MeetingPage(engine, bridge)
        qtbot.addWidget(page)
        page.resize(width, height)
        page.show()
        qtbot.waitExposed(page)
        meeting = Meeting(page, engine, bridge, qtbot)
        made.append(meeting)
        meeting.post(
            joined(count, host=host, camera_on=camera_on), LocalMediaChanged(True, camera_on)
        )
        return meeting

    yield make
    for meeting in made:
        meeting.page.close_meeting()


@pytest.fixture
def meeting(make_meeting: MakeMeeting) -> Meeting:
    """A host with three others at 1280x800."""
    return make_meeting()
