"""The developer panel with an engine that answers what the test says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from app.engine.developer import (
    DeveloperView,
    RpcAnswer,
    RpcRequest,
    WatchedPerson,
    WatchedTrack,
)
from app.runtime.errors import Reason, WorldError
from app.ui.devtools.panel import DeveloperPanel
from app.ui.theme import ThemeChoice
from app.ui.widgets import ElidedLabel, Switch
from tests.support.fake_engine import DirectBridge, FakeEngine

W = TypeVar("W", bound=QWidget)

ME = WatchedPerson("noa-1", "Noa", is_me=True)
ROBOT = WatchedPerson("robot-1", "Robot", "agent", attributes=(("battery", "81 %"),))
POSE = WatchedTrack("robot-1", "pose", "DTR_1")
VIEW = DeveloperView("Garden club", (ME, ROBOT), (POSE,))


class DevEngine(FakeEngine):
    """Answers the panel's three commands."""

    def __init__(self) -> None:
        super().__init__()
        self.view = VIEW
        self.answer = RpcAnswer(payload="hello", elapsed_ms=12.0)

    def handle_call(
        self, name: str, args: tuple[object, ...], options: dict[str, object]
    ) -> object:
        answer = super().handle_call(name, args, options)
        if name == "developer_view":
            return self.view
        return self.answer if name == "developer_call" else answer


@pytest.fixture
def engine() -> DevEngine:
    return DevEngine()


@pytest.fixture
def panel(engine: DevEngine, each_theme: ThemeChoice, qtbot: QtBot) -> Iterator[DeveloperPanel]:
    host = QWidget()
    qtbot.addWidget(host)
    panel = DeveloperPanel(engine, DirectBridge(engine), host)
    panel.open_()
    qtbot.waitExposed(panel)
    yield panel
    panel.close()


def find(panel: DeveloperPanel, kind: type[W], name: str) -> W:
    (found,) = panel.findChildren(kind, name)
    return found


def click(panel: DeveloperPanel, name: str) -> None:
    widget = find(panel, QWidget, name)
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=widget.rect().center())
    QApplication.processEvents()


def test_a_call_shows_its_answer_or_its_error_with_the_code(
    panel: DeveloperPanel, engine: DevEngine
) -> None:
    assert not panel.calls.call.isEnabled()
    panel.calls.method.setText("greet")
    panel.calls.payload.setPlainText("Noa")
    panel.calls.timeout.setText("2.5")
    click(panel, "devCallButton")
    assert engine.calls("developer_call") == [(RpcRequest("robot-1", "greet", "Noa", 2.5),)]
    assert panel.calls.answer.toPlainText() == "hello"
    assert panel.calls.state.text() == "Answered in 12 ms"

    engine.answer = RpcAnswer(code=1400, message="Method not supported", data="more")
    click(panel, "devCallButton")
    assert panel.calls.state.text() == "Error 1400: Method not supported · 0 ms"
    assert panel.calls.answer.toPlainText() == "more"

    engine.refusals["developer_call"] = WorldError(Reason.PEER_GONE, detail="not in a meeting")
    click(panel, "devCallButton")
    assert "not in a meeting" in panel.calls.state.text()
    panel.calls.timeout.setText("0")
    assert not panel.calls.call.isEnabled()


def test_the_person_stays_chosen_while_others_come_and_go(
    panel: DeveloperPanel, engine: DevEngine
) -> None:
    kai = WatchedPerson("kai-1", "Kai")
    engine.view = replace(VIEW, people=(ME, kai, ROBOT))
    panel.look()
    assert [panel.calls.person.itemData(i) for i in range(2)] == ["kai-1", "robot-1"]
    assert panel.calls.person.currentData() == "robot-1"


def test_a_track_is_watched_and_its_frames_shown(panel: DeveloperPanel, engine: DevEngine) -> None:
    click(panel, "devTabTracks")
    click(panel, "devTrackWatch_robot-1_pose")
    assert engine.calls("developer_watch") == [("robot-1", "pose", True)]

    numbers = tuple(math.sin(n / 5) for n in range(50))
    watched = replace(
        POSE,
        is_watched=True,
        frames=100,
        frames_per_s=50.0,
        bytes_per_s=200.0,
        size_bytes=4,
        last=b"0.25",
        user_timestamp=7,
        numbers=numbers,
    )
    engine.view = replace(VIEW, tracks=(watched,))
    panel.look()
    assert find(panel, Switch, "devTrackWatch_robot-1_pose").isChecked()
    facts = find(panel, ElidedLabel, "devTrackFacts_robot-1_pose").full_text()
    assert facts == "Robot · 50.0 frames/s · 200 B/s · 100 frames · 4 B · stamp 7"
    assert find(panel, ElidedLabel, "devTrackPayload_robot-1_pose").full_text() == "0.25"
    line = find(panel, QWidget, "devTrackLine_robot-1_pose")
    assert line.isVisible()
    assert f"now {numbers[-1]:g}" in line.accessibleName()

    engine.view = replace(VIEW, tracks=())
    panel.look()
    QApplication.processEvents()
    assert panel.tracks.empty.isVisible()


def test_attributes_are_shown_and_what_changes_stands_out(
    panel: DeveloperPanel, engine: DevEngine
) -> None:
    click(panel, "devTabPeople")
    value = find(panel, ElidedLabel, "devAttribute_robot-1_battery")
    assert (value.full_text(), value.property("tone")) == ("81 %", "text1")
    changed = replace(ROBOT, attributes=(("battery", "80 %"),), metadata="m")
    engine.view = replace(VIEW, people=(ME, changed))
    panel.look()
    assert (value.full_text(), value.property("tone")) == ("80 %", "accent")
    assert find(panel, ElidedLabel, "devAttribute_robot-1_metadata").full_text() == "m"


def test_everything_is_copied_as_python(panel: DeveloperPanel) -> None:
    panel.calls.method.setText("greet")
    click(panel, "devCallCopy")
    assert "perform_rpc" in QGuiApplication.clipboard().text()
    click(panel, "devTabTracks")
    click(panel, "devTrackCopy_robot-1_pose")
    assert "'pose'" in QGuiApplication.clipboard().text()
    click(panel, "devTabPeople")
    click(panel, "devPersonCopy_robot-1")
    assert "participant_attributes_changed" in QGuiApplication.clipboard().text()
    assert panel.note.text() == "Copied as Python"


def test_without_a_meeting_it_says_so(panel: DeveloperPanel, engine: DevEngine) -> None:
    engine.view = DeveloperView()
    panel.look()
    assert panel.empty.isVisible()
    assert not panel.calls.isVisible()
