"""Fixtures for tests that open Qt windows (offscreen is enough)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QT_API", "pyside6")

import pytest
from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QApplication
from qasync import QEventLoop  # type: ignore[import-untyped]  # ships no types

from app.ui.theme import ThemeChoice, theme


@pytest.fixture
def ui_loop(qapp: QApplication) -> Iterator[asyncio.AbstractEventLoop]:
    """A qasync loop that counts as running: tasks move on whenever the test waits in Qt."""
    loop = QEventLoop(qapp, already_running=True)
    yield loop
    for task in asyncio.all_tasks(loop):
        task.cancel()
    qapp.processEvents()
    asyncio.events._set_running_loop(None)
    loop._QEventLoop__is_running = False
    qapp.aboutToQuit.disconnect(loop._after_run_forever)
    loop.close()


@pytest.fixture(autouse=True)
def _no_widgets_stay() -> Iterator[None]:
    """Delete what a test opened: each later change of theme would style all of it anew."""
    yield
    if not isinstance(QApplication.instance(), QApplication):
        return
    for widget in QApplication.topLevelWidgets():
        widget.close()
        widget.deleteLater()
    # Outside a loop that runs, nothing is deleted unless it is asked for.
    for _ in range(2):
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
        QCoreApplication.processEvents()


@pytest.fixture(params=[ThemeChoice.DARK, ThemeChoice.LIGHT])
def each_theme(request: pytest.FixtureRequest, qapp: QApplication) -> Iterator[ThemeChoice]:
    """Runs the test in both themes."""
    theme.apply_to(qapp, request.param)
    yield request.param
    theme.choose(ThemeChoice.DARK)


@pytest.fixture
def dark(qapp: QApplication) -> None:
    """The dark theme."""
    theme.apply_to(qapp, ThemeChoice.DARK)
