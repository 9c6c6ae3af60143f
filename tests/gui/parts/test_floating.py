"""Small windows over the page have round corners, whether or not somebody blends them in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtGui import QRegion
from PySide6.QtWidgets import QListView, QWidget
from pytestqt.qtbot import QtBot

from app.ui.chat.emoji import EmojiPicker
from app.ui.people.host_popover import HostPopover
from app.ui.stage.reactions import ReactionPicker
from app.ui.theme import color
from app.ui.widgets import ComboBox, Menu, compositing, floating

pytestmark = pytest.mark.gui
ROOT = Path(__file__).parents[3]


def open_menu(page: QWidget) -> QWidget:
    menu = Menu(page)
    menu.add_item("Reply", lambda: None)
    menu.popup(QPoint(50, 50))
    return menu


def open_emoji(page: QWidget) -> QWidget:
    picker = EmojiPicker(page)
    picker.open_above(page)
    return picker


def open_reactions(page: QWidget) -> QWidget:
    picker = ReactionPicker(page)
    picker.open_above(QPoint(300, 300))
    return picker


def open_host(page: QWidget) -> QWidget:
    popover = HostPopover(page)
    popover.open_above(QPoint(300, 380))
    return popover


def open_list(page: QWidget) -> QWidget:
    combo = ComboBox("microphone", parent=page)
    combo.addItems(["Built-in", "Headset"])
    combo.setFixedWidth(200)
    combo.show()
    combo.showPopup()
    return combo.view().window()


OPENERS = (open_menu, open_emoji, open_reactions, open_host, open_list)


@pytest.fixture
def page(qtbot: QtBot, dark: None) -> QWidget:
    page = QWidget()
    qtbot.addWidget(page)
    page.resize(600, 400)
    page.show()
    qtbot.waitExposed(page)
    return page


@pytest.mark.parametrize("opener", OPENERS)
def test_without_a_compositor_the_window_has_the_shape_of_its_plate(
    page: QWidget, monkeypatch: pytest.MonkeyPatch, opener: object
) -> None:
    monkeypatch.setattr(floating, "is_composited", lambda: False)
    assert callable(opener)
    window = opener(page)

    shape: QRegion = window.mask()
    shade = getattr(window, "shade_px", 0)
    plate = window.rect().adjusted(shade, shade, -shade, -shade)
    assert shape.boundingRect() == plate
    assert shape.contains(plate.center())
    corners = (plate.topLeft(), plate.topRight(), plate.bottomLeft(), plate.bottomRight())
    assert not any(shape.contains(corner) for corner in corners)
    # What lies under the smoothed edge is no black either.
    assert window.grab().toImage().pixelColor(plate.topLeft()) == color("border")

    window.setFixedWidth(window.width() + 30)
    assert window.mask().boundingRect().width() == plate.width() + 30
    window.close()


@pytest.mark.parametrize("opener", OPENERS)
def test_with_a_compositor_nothing_is_cut(page: QWidget, opener: object) -> None:
    assert callable(opener)
    window = opener(page)

    assert window.mask().isEmpty()
    assert window.grab().toImage().pixelColor(0, 0).alpha() == 0
    window.close()


def test_a_compositor_that_starts_later_is_found_when_a_popover_opens_again(
    page: QWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floating, "is_composited", lambda: False)
    picker = ReactionPicker(page)
    picker.open_above(QPoint(300, 300))
    assert not picker.mask().isEmpty()
    picker.close()

    monkeypatch.setattr(floating, "is_composited", lambda: True)
    picker.open_above(QPoint(300, 300))
    assert picker.mask().isEmpty()
    picker.close()


@pytest.mark.parametrize(("display", "screen"), [(":0", 0), (":99.1", 1), ("10.0.0.1:10.0", 0)])
def test_the_screen_is_the_displays(display: str, screen: int) -> None:
    assert compositing._screen_number(display) == screen


@pytest.fixture
def x_server() -> Iterator[str]:
    """A display without window manager and compositor."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("Xvfb is not installed")
    server = subprocess.Popen(
        [program, "-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert server.stdout is not None
    with server, server.stdout:
        number = server.stdout.readline().decode().strip()
        try:
            assert number, "Xvfb did not start"
            yield f":{number}"
        finally:
            server.terminate()


def look(display: str, *arguments: str) -> dict[str, object]:
    environment = {**os.environ, "DISPLAY": display, "QT_QPA_PLATFORM": "xcb"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.x_corners", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    seen = json.loads(done.stdout)
    assert isinstance(seen, dict)
    return seen


def test_a_real_screen_shows_the_page_behind_a_menus_corners(x_server: str) -> None:
    seen = look(x_server)

    assert seen["is_composited"] is False
    assert seen["corners"] == [seen["page"]] * 4
    assert seen["inside"] not in (seen["page"], "#000000")


def test_a_compositor_is_found_by_the_selection_that_it_owns(x_server: str) -> None:
    seen = look(x_server, "--compositor")

    assert seen["is_composited"] is True
    # It only claims to blend: this is what the menu would look like without a shape.
    assert seen["corners"] == ["#000000"] * 4


def test_the_rows_of_a_list_are_as_high_as_those_of_a_menu(page: QWidget) -> None:
    window = open_list(page)
    (view,) = window.findChildren(QListView)

    assert view.sizeHintForRow(0) == 36
    window.close()
