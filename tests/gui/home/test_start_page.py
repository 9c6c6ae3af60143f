"""The start page, driven by object names."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QLineEdit, QPushButton

from app.runtime.settings import Recent
from app.ui.home.recents import spoken_day
from tests.gui.home.conftest import Window

Open = Callable[..., Window]


def test_the_join_field_has_the_focus_and_join_waits_for_a_text(open_window: Open) -> None:
    window = open_window()

    assert window.find("startJoinInput").hasFocus()
    assert not window.find("startJoinButton").isEnabled()
    window.type_into("startJoinInput", "192.168.1.24/garden")
    assert window.find("startJoinButton").isEnabled()
    window.type_into("startJoinInput", "   ")
    assert not window.find("startJoinButton").isEnabled()


@pytest.mark.parametrize("text", ["not a link at all", "ftp://host/x", "999.1.1.1/room", "a b c"])
def test_a_mistaken_link_is_told_under_the_field(open_window: Open, text: str) -> None:
    window = open_window()

    window.type_into("startJoinInput", text)
    window.click("startJoinButton")

    note = window.find("startJoinNote")
    assert isinstance(note, QLabel)
    assert note.text() == "That doesn\u2019t look like a link or an address."
    assert window.pages[-1] == "startPage"
    window.type_into("startJoinInput", "other")
    assert note.text().startswith("Works with Lanai and LiveKit")


def test_a_link_leads_to_the_pre_join_page(open_window: Open) -> None:
    window = open_window()

    window.type_into("startJoinInput", "192.168.1.24/Garden%20club")
    window.qtbot.keyClick(window.find("startJoinInput"), Qt.Key.Key_Return)
    window.wait_for_page("prejoinPage")

    assert [link.room for link in window.lookups()] == ["Garden club"]


def test_hosting_options_set_name_passcode_reach_and_waiting_room(open_window: Open) -> None:
    window = open_window()

    window.click("startHostOptions")
    room = window.find("hostRoomName")
    assert isinstance(room, QLineEdit)
    assert room.text() == "Noa's meeting"
    window.type_into("hostRoomName", "Standup")
    window.type_into("hostPasscode", "plum")
    window.click("hostOnNetwork")
    window.click("hostOptionLobby")
    window.click("hostStart")
    window.wait_for_page("prejoinPage")

    host = window.desktop.prejoin_page._destination.host
    assert host is not None
    assert (host.room, host.passcode, host.on_network) == ("Standup", "plum", False)
    assert host.lobby
    assert not window.shows("hostOptions")


def test_the_name_chip_changes_the_name_for_good(open_window: Open) -> None:
    window = open_window()

    window.click("startProfile")
    window.type_into("profileName", "Mia")
    window.click("profileSave")

    assert window.desktop.settings.current.name == "Mia"
    assert window.desktop.start_page.greeting.text().endswith(", Mia")


def test_recent_meetings_lead_back_and_can_be_cleared(open_window: Open) -> None:
    window = open_window()
    now_ms = int(time.time() * 1000)
    window.desktop.recents.add(Recent("Garden club", "192.168.1.24:7880", now_ms))
    window.desktop.show_start()
    window.settle()

    window.click("startRecent_0")
    window.wait_for_page("prejoinPage")
    link = window.lookups()[0]
    assert (link.room, link.address) == ("Garden club", "192.168.1.24:7880")

    window.click("prejoinBack")
    window.click("startRecentClear")
    assert not window.shows("startRecent_0")
    assert window.desktop.recents.items == []


def test_a_meeting_hosted_here_is_hosted_again(open_window: Open) -> None:
    window = open_window()
    now_ms = int(time.time() * 1000)
    window.desktop.recents.add(Recent("Tea", "192.168.1.24:7880", now_ms, hosted_here=True))
    window.desktop.show_start()
    window.settle()

    window.click("startRecent_0")
    window.wait_for_page("prejoinPage")

    host = window.desktop.prejoin_page._destination.host
    assert host is not None
    assert host.room == "Tea"


def test_only_controls_with_a_function_are_shown(open_window: Open) -> None:
    window = open_window()

    for missing in ("startLanList", "startRefresh"):
        assert not window.shows(missing)


def test_how_it_works_explains_and_closes_with_escape(open_window: Open) -> None:
    window = open_window()

    window.click("startHowItWorks")
    dialog = window.find("howItWorksDialog")
    window.qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    window.settle()

    assert not window.shows("howItWorksDialog")
    assert window.find("startHowItWorks").hasFocus()


@pytest.mark.parametrize(
    ("name", "box"),
    [
        ("startJoinCard", (40, 204, 536, 184)),
        ("startJoinInput", (65, 287, 395, 48)),
        ("startJoinButton", (470, 287, 81, 48)),
        ("startHostCard", (40, 408, 536, 166)),
        ("startRecentCard", (608, 204, 632, 456)),
    ],
)
def test_the_start_page_stands_where_the_design_puts_it(
    open_window: Open, name: str, box: tuple[int, int, int, int]
) -> None:
    window = open_window()

    assert window.box(name) == pytest.approx(box, abs=2)


def test_the_small_start_page_stands_where_the_design_puts_it(open_window: Open) -> None:
    window = open_window(size=(960, 600))

    assert window.box("startJoinCard")[:3] == pytest.approx((24, 148, 400), abs=2)
    assert window.box("startRecentCard")[:3] == pytest.approx((444, 148, 492), abs=2)
    assert window.desktop.start_page.band.height() == 128


def test_a_name_from_elsewhere_is_shown_as_plain_text(open_window: Open) -> None:
    window = open_window(name="<b>Noa</b>")

    label = window.desktop.start_page.greeting
    assert label.textFormat() is Qt.TextFormat.PlainText
    assert label.text().endswith("<b>Noa</b>")


def test_days_are_spoken() -> None:
    today = datetime(2026, 11, 20, 12).astimezone()
    at_ms = [int((today.timestamp() - days * 86_400) * 1000) for days in (0, 1, 4, 8, 400)]

    assert [spoken_day(one, today.date()) for one in at_ms] == [
        "Today",
        "Yesterday",
        "Mon",
        "12 Nov",
        "16 Oct 2025",
    ]


def test_the_window_starts_as_small_as_the_design_allows(open_window: Open) -> None:
    window = open_window(size=(640, 480))

    assert window.desktop.window.width() == 640
    assert isinstance(window.find("startJoinButton"), QPushButton)
