from __future__ import annotations

import threading

import pytest
from pytestqt.qtbot import QtBot

from app.ui.stage.frame_clock import FrameClock

pytestmark = pytest.mark.gui


def test_a_ring_from_a_media_thread_ticks_on_the_qt_thread(qtbot: QtBot) -> None:
    clock = FrameClock()
    threads: list[threading.Thread] = []
    clock.ticked.connect(lambda: threads.append(threading.current_thread()))
    media = threading.Thread(target=clock.ring)
    media.start()
    media.join()
    qtbot.waitUntil(lambda: bool(threads), timeout=30_000)

    assert threads == [threading.main_thread()]


def test_many_rings_are_one_tick_and_none_is_forgotten(qtbot: QtBot) -> None:
    clock = FrameClock()
    clock.set_refresh_rate(50.0)
    ticks: list[int] = []
    clock.ticked.connect(lambda: ticks.append(1))
    for _ in range(100):
        clock.ring()
    qtbot.waitUntil(lambda: len(ticks) == 1, timeout=30_000)

    clock.ring()
    qtbot.waitUntil(lambda: len(ticks) == 2, timeout=30_000)


def test_a_ring_during_a_tick_is_another_tick(qtbot: QtBot) -> None:
    clock = FrameClock()
    ticks: list[int] = []

    def on_tick() -> None:
        ticks.append(1)
        if len(ticks) < 3:
            clock.ring()

    clock.ticked.connect(on_tick)
    clock.ring()
    qtbot.waitUntil(lambda: len(ticks) == 3, timeout=30_000)
