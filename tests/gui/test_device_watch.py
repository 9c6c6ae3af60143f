# ruff: noqa: N802, N815 - Qt's names
from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from PySide6.QtCore import QObject, Qt, Signal
from pytestqt.qtbot import QtBot

from app.engine.events import DeviceInfo, DeviceKind
from app.ui.capture import device_watch
from app.ui.capture.device_watch import DeviceWatch


@dataclass(frozen=True)
class QtLike:
    """A device as Qt describes it."""

    key: str
    words: str
    default: bool = False

    def id(self) -> bytes:
        return self.key.encode()

    def description(self) -> str:
        return self.words

    def isDefault(self) -> bool:
        return self.default


class Source(QObject):
    """Stands in for `QMediaDevices`; `plugged` is what the test calls, from its own thread."""

    audioInputsChanged = Signal()
    audioOutputsChanged = Signal()
    videoInputsChanged = Signal()
    plugged = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.cameras = [QtLike("/dev/video0", "HD webcam", True)]
        self.inputs = [QtLike("mic", "Microphone", True)]
        self.outputs: list[QtLike] = []
        self.asked_by: set[str] = set()
        self.plugged.connect(self.videoInputsChanged, Qt.ConnectionType.QueuedConnection)
        self.plugged.connect(self.audioOutputsChanged, Qt.ConnectionType.QueuedConnection)

    def _answer(self, devices: list[QtLike]) -> list[QtLike]:
        self.asked_by.add(threading.current_thread().name)
        return list(devices)

    def audioInputs(self) -> list[QtLike]:
        return self._answer(self.inputs)

    def audioOutputs(self) -> list[QtLike]:
        return self._answer(self.outputs)

    def videoInputs(self) -> list[QtLike]:
        return self._answer(self.cameras)


class Heard(QObject):
    """A window that listens, on the Qt thread."""

    def __init__(self, watch: DeviceWatch) -> None:
        super().__init__()
        self.reports: list[tuple[DeviceInfo, ...]] = []
        self.threads: set[str] = set()
        watch.changed.connect(self.on_changed)

    def on_changed(self, devices: tuple[DeviceInfo, ...]) -> None:
        self.reports.append(devices)
        self.threads.add(threading.current_thread().name)


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_watch.sys, "platform", "linux")  # type: ignore[attr-defined]  # its import


CAMERA = DeviceInfo(DeviceKind.CAMERA, "/dev/video0", "HD webcam", "/dev/video0", is_default=True)
MICROPHONE = DeviceInfo(DeviceKind.MICROPHONE, "mic", "Microphone", is_default=True)


def watch_with(make: Callable[[], Any], qtbot: QtBot) -> tuple[DeviceWatch, Heard]:
    watch = DeviceWatch(make_source=make)
    return watch, Heard(watch)


def test_cameras_come_first_then_everything_then_what_was_plugged(
    qtbot: QtBot, linux: None
) -> None:
    made: list[Source] = []

    def make() -> Source:
        made.append(Source())
        return made[0]

    watch, heard = watch_with(make, qtbot)
    watch.start()
    watch.start()
    qtbot.waitUntil(lambda: len(heard.reports) == 2, timeout=30_000)
    assert heard.reports == [(CAMERA,), (MICROPHONE, CAMERA)]

    made[0].cameras.clear()
    made[0].outputs.append(QtLike("phones", "Headset"))
    made[0].plugged.emit()
    headset = DeviceInfo(DeviceKind.SPEAKER, "phones", "Headset")
    qtbot.waitUntil(lambda: heard.reports[-1] == (MICROPHONE, headset), timeout=30_000)

    assert heard.threads == {"MainThread"}
    assert made[0].asked_by == {"device watch"}
    del made[:]
    watch.stop()


def test_without_qt_multimedia_nothing_is_reported(qtbot: QtBot) -> None:
    ended = threading.Event()

    def make() -> Source:
        ended.set()
        raise ImportError("libpulse.so.0")

    watch, heard = watch_with(make, qtbot)
    watch.start()
    qtbot.waitUntil(ended.is_set, timeout=30_000)
    watch.stop()

    assert heard.reports == []


def test_a_sound_server_that_does_not_answer_holds_nobody(
    qtbot: QtBot, linux: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_watch, "STOP_DEADLINE_S", 0.05)
    answer = threading.Event()

    class Hanging(Source):
        def audioInputs(self) -> list[QtLike]:
            answer.wait()
            return []

    watch, heard = watch_with(Hanging, qtbot)
    watch.start()
    qtbot.waitUntil(lambda: heard.reports == [(CAMERA,)], timeout=30_000)
    thread = watch._thread
    assert thread is not None
    watch.stop()

    assert thread.is_alive()
    answer.set()
    thread.join(30)
    assert heard.reports == [(CAMERA,)]


def test_the_real_lists_can_be_asked_without_complaints(
    qtbot: QtBot, capfd: pytest.CaptureFixture[str]
) -> None:
    ready = threading.Event()

    def make() -> Any:
        source = pytest.importorskip("PySide6.QtMultimedia").QMediaDevices()
        ready.set()
        return source

    watch, _heard = watch_with(make, qtbot)
    watch.start()
    qtbot.waitUntil(ready.is_set, timeout=30_000)
    watch.stop()

    assert capfd.readouterr().err == ""
