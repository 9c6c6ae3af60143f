"""The settings dialog: its frame, its pages, and that what is chosen is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QFocusEvent
from PySide6.QtWidgets import QApplication, QFileDialog

from app.runtime.settings import Recent, SettingsStore
from app.ui.settings.pages import PAGES
from app.ui.theme import ThemeChoice, theme
from app.ui.widgets import TextField
from tests.gui.home.conftest import Window

Open = Callable[..., Window]


def open_page(window: Window, name: str) -> None:
    if not window.shows("settingsDialog"):
        window.click("startSettings")
    window.click(f"settingsRail{name}")
    assert window.shows(f"settings{name}")


def test_it_opens_from_the_start_page_where_the_design_puts_it(open_window: Open) -> None:
    window = open_window()
    window.click("startSettings")

    assert window.desktop.settings_opener._dialog is not None
    card = window.desktop.settings_opener._dialog.card
    corner = card.mapTo(window.desktop.window, card.rect().topLeft())
    assert (corner.x(), corner.y(), card.width(), card.height()) == pytest.approx(
        (180, 60, 920, 680), abs=2
    )
    assert window.box("settingsRail")[2] == pytest.approx(216, abs=2)
    window.click("settingsDone")
    assert not window.shows("settingsDialog")
    assert window.desktop.window.focusWidget() is window.find("startSettings")


def test_the_keys_open_it_once_and_escape_closes_it(open_window: Open) -> None:
    window = open_window()
    for _ in range(2):
        window.qtbot.keyClick(
            window.desktop.window, Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier
        )
        window.settle()
    dialog = window.find("settingsDialog")
    window.qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    window.settle()

    assert not window.shows("settingsDialog")


def test_every_page_shows_something_and_fits_a_small_window(open_window: Open) -> None:
    window = open_window(size=(960, 600))
    for spec in PAGES:
        open_page(window, spec.name)
        assert window.desktop.window.rect().contains(
            window.find("settingsDone").mapTo(
                window.desktop.window, window.find("settingsDone").rect().bottomRight()
            )
        )


def test_the_theme_can_be_chosen_and_is_kept(open_window: Open) -> None:
    window = open_window()
    open_page(window, "Appearance")
    window.click("setAppearanceTheme_light")

    assert theme.tokens.name == "light"
    assert window.desktop.settings.current.theme == "light"
    window.desktop.choose_theme(ThemeChoice.DARK)


@pytest.mark.parametrize("wrong", ["0", ""])
def test_a_number_that_was_not_taken_does_not_stay_in_its_field(
    open_window: Open, wrong: str
) -> None:
    window = open_window()
    open_page(window, "Files")
    window.type_into("setFilesLimit", "250")
    window.type_into("setFilesLimit", wrong)
    field = window.find("setFilesLimit")
    assert isinstance(field, TextField)
    assert (field.text(), field.property("tone")) == (wrong, "danger")

    # A window that no window system has made active moves no focus by itself.
    QApplication.sendEvent(field, QFocusEvent(QEvent.Type.FocusOut))

    assert (field.text(), field.property("tone")) == ("250", "")
    assert window.desktop.settings.current.max_receive_mb == 250


def test_choices_are_saved_as_they_are_made(open_window: Open, tmp_path: Path) -> None:
    window = open_window()
    desktop = window.desktop
    open_page(window, "Files")
    window.click("setFilesAsk")
    window.type_into("setFilesLimit", "250")
    open_page(window, "Privacy")
    window.click("setPrivacyMicOff")
    window.click("setPrivacyCameraOff")
    window.click("setPrivacyTyping")
    open_page(window, "Network")
    window.click("setNetworkOpen")
    window.type_into("setNetworkPort", "9000")
    window.type_into("setNetworkMediaPort", "80")

    desktop.saver.flush()
    kept = SettingsStore(desktop.options.paths).current
    assert (kept.ask_before_accepting, kept.max_receive_mb) == (True, 250)
    assert (kept.mic_on_at_join, kept.camera_on_at_join) == (False, False)
    assert kept.typing_notices is False
    assert (kept.host_on_network, kept.host_port) == (False, 9000)
    # Not a port for people: marked, and the last good one stays.
    assert kept.host_rtc_port == 7882
    assert window.find("setNetworkMediaPort").property("tone") == "danger"
    assert desktop.engine.settings == kept


def test_the_folder_is_chosen_in_the_systems_dialog(open_window: Open, tmp_path: Path) -> None:
    window = open_window()
    open_page(window, "Files")
    window.click("setFilesFolder")
    dialog = window.desktop.window.findChild(QFileDialog, "settingsFolderDialog")
    assert dialog is not None
    dialog.fileSelected.emit(str(tmp_path))
    dialog.close()
    window.settle()

    assert window.desktop.settings.current.downloads == tmp_path


def test_recent_meetings_are_cleared(open_window: Open) -> None:
    window = open_window()
    window.desktop.recents.add(Recent("Garden club", "192.0.2.1:7880", 1))
    open_page(window, "Privacy")
    window.click("setPrivacyClear")

    assert window.desktop.recents.items == []
    assert not window.find("setPrivacyClear").isEnabled()


def test_the_developer_panel_opens_beside_the_window(open_window: Open) -> None:
    window = open_window()
    open_page(window, "Advanced")
    window.click("setAdvancedDeveloper")

    assert not window.shows("settingsDialog")
    panel = window.desktop.settings_opener._panel
    assert panel is not None
    assert panel.isVisible()
    assert panel.isWindow()
    assert panel.empty.isVisible()
