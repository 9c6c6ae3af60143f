"""The bridge between the engine thread and Qt: order, wake-ups, errors."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator

import pytest
import structlog
from PySide6.QtCore import QThread
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from qasync import QEventLoop  # type: ignore[import-untyped]  # ships no types

from app.engine.client import EngineClient
from app.engine.events import Event, LevelChanged
from app.runtime.errors import Reason, WorldError
from app.runtime.settings import Settings
from app.ui.bridge import Bridge

pytestmark = pytest.mark.gui

DEADLINE_MS = 30_000


@pytest.fixture
def loop(qapp: QApplication) -> Iterator[QEventLoop]:
    loop = QEventLoop(qapp)
    asyncio.set_event_loop(loop)
    yield loop
    loop.close()
    asyncio.set_event_loop(None)
    # A closed loop's timers must go on this thread, not on the next test's engine thread.
    gc.collect()


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - signals and log lines raise no event
            await asyncio.sleep(0)


def test_events_of_another_thread_arrive_in_order_on_the_qt_thread(qtbot: QtBot) -> None:
    engine = EngineClient(Settings())
    bridge = Bridge(engine)
    seen: list[Event] = []
    threads: set[bool] = set()

    def on_event(event: Event) -> None:
        seen.append(event)
        threads.add(QThread.isMainThread())

    bridge.eventPosted.connect(on_event)
    sent = [LevelChanged(number / 1000) for number in range(1000)]

    def post() -> None:
        for event in sent:
            engine._outbox.post(event)

    thread = threading.Thread(target=post)
    thread.start()
    qtbot.waitUntil(lambda: len(seen) == len(sent), timeout=DEADLINE_MS)
    thread.join()

    assert seen == sent
    assert threads == {True}


def test_many_events_cost_one_wake_up(qtbot: QtBot) -> None:
    engine = EngineClient(Settings())
    bridge = Bridge(engine)
    wakes: list[int] = []
    seen: list[Event] = []
    bridge._woken.connect(lambda: wakes.append(1))
    bridge.eventPosted.connect(seen.append)

    for number in range(50):
        engine._outbox.post(LevelChanged(number))

    qtbot.waitUntil(lambda: len(seen) == 50, timeout=DEADLINE_MS)
    assert len(wakes) == 1


def test_a_refusal_goes_to_the_slot_or_else_to_everybody(loop: QEventLoop) -> None:
    async def refused() -> None:
        raise WorldError(Reason.FULL)

    async def answer() -> int:
        return 42

    async def scenario() -> tuple[list[Reason], list[Reason], list[int]]:
        bridge = Bridge(EngineClient(Settings()))
        own: list[Reason] = []
        everybodys: list[Reason] = []
        results: list[int] = []
        bridge.commandFailed.connect(lambda error: everybodys.append(error.reason))
        bridge.run(refused(), on_error=lambda error: own.append(error.reason))
        bridge.run(refused())
        bridge.run(answer(), on_done=results.append)
        await wait_until(lambda: bool(own and everybodys and results))
        await bridge.aclose()
        return own, everybodys, results

    assert loop.run_until_complete(scenario()) == ([Reason.FULL], [Reason.FULL], [42])


def test_a_fault_of_ours_is_logged_once_and_nothing_runs_after_closing(loop: QEventLoop) -> None:
    ran: list[int] = []

    async def broken() -> None:
        raise KeyError("ours")

    async def late() -> None:
        ran.append(1)

    async def scenario() -> list[str]:
        bridge = Bridge(EngineClient(Settings()))
        with structlog.testing.capture_logs() as entries:
            bridge.run(broken())
            await wait_until(lambda: bool(entries))
        await bridge.aclose()
        bridge.run(late())
        await asyncio.sleep(0)
        return [entry["event"] for entry in entries]

    assert loop.run_until_complete(scenario()) == ["task failed"]
    assert ran == []


def test_the_engine_starts_answers_and_ends_under_qts_loop(loop: QEventLoop) -> None:
    async def scenario() -> dict[str, object]:
        engine = EngineClient(Settings())
        stats = await engine.stats()
        await engine.aclose()
        return stats

    assert loop.run_until_complete(scenario()) == {"voices": {}}
