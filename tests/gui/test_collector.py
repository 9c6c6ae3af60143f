"""Garbage is collected on the Qt thread while a window is open."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.ui.collector import Collector

pytestmark = pytest.mark.gui


class Knot:
    """Refers to itself, so that only the collector can end it."""

    def __init__(self, ended_on: list[str]) -> None:
        self.me = self
        weakref.finalize(self, lambda: ended_on.append(threading.current_thread().name))


def test_a_busy_thread_collects_nothing_and_the_qt_thread_does(
    qapp: QApplication, qtbot: QtBot
) -> None:
    collector = Collector()
    ended_on: list[str] = []
    gc.collect()
    collector.start()
    try:

        def work() -> None:
            for _ in range(5000):
                Knot(ended_on)

        thread = threading.Thread(target=work, name="busy")
        thread.start()
        thread.join()
        assert ended_on == []
        qtbot.waitUntil(lambda: len(ended_on) > 0, timeout=30_000)
    finally:
        collector.stop()
        gc.collect()

    assert set(ended_on) == {threading.main_thread().name}
    assert gc.isenabled()
