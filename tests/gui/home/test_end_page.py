"""Connecting and end pages, and what their buttons do."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLabel, QPushButton
from pytestqt.qtbot import QtBot

from app.engine.events import EndCause, JoinProgressed, JoinStage, MeetingEnded
from app.runtime.errors import Reason, WorldError
from app.ui import application
from app.ui.home.end_page import EndPage
from app.ui.home.words import Facts
from app.ui.theme import ThemeChoice
from tests.gui.home.conftest import Window
from tests.support.fake_engine import joined

Open = Callable[..., Window]


def at_the_door(open_window: Open) -> Window:
    window = open_window()
    window.desktop.open_link("192.168.1.24/Garden%20club")
    window.wait_for_page("prejoinPage")
    return window


def inside(open_window: Open) -> Window:
    window = at_the_door(open_window)
    window.click("prejoinJoin")
    window.post(joined(2, host=False))
    window.wait_for_page("meetingPage")
    return window


def ended(cause: EndCause, files: int = 0) -> MeetingEnded:
    return MeetingEnded(cause, "Garden club", "Mia", 2530.0, files, Path("/tmp/Downloads"), "why")


def text_of(window: Window, name: str) -> str:
    widget = window.find(name)
    assert isinstance(widget, QLabel | QPushButton)
    return widget.text()


def test_connecting_checks_off_the_stages(open_window: Open) -> None:
    window = at_the_door(open_window)
    window.click("prejoinJoin")
    lines = window.desktop.connecting_page._lines

    assert text_of(window, "connectingTitle") == "Connecting to Garden club\u2026"
    assert [line.state for line in lines.values()] == ["now", "waiting", "waiting"]
    window.post(JoinProgressed(JoinStage.FOUND_SERVER))
    assert [line.state for line in lines.values()] == ["done", "now", "waiting"]
    window.post(JoinProgressed(JoinStage.SIGNED_IN))
    assert [line.state for line in lines.values()] == ["done", "done", "now"]


def test_in_the_waiting_room_it_says_for_whom_one_waits(open_window: Open) -> None:
    window = at_the_door(open_window)
    window.click("prejoinJoin")
    window.post(JoinProgressed(JoinStage.FOUND_SERVER))
    window.post(JoinProgressed(JoinStage.IN_LOBBY))

    assert text_of(window, "connectingTitle") == "Waiting for the host"
    assert text_of(window, "connectingText").startswith("Mia has been told you\u2019re here.")
    assert text_of(window, "connectingCancel") == "Leave"
    assert not window.shows("connectingStage_signed_in")

    window.post(JoinProgressed(JoinStage.SIGNED_IN))
    assert text_of(window, "connectingTitle") == "Connecting to Garden club\u2026"
    assert window.shows("connectingStage_media_ready")


def test_a_second_enter_in_haste_does_not_cancel_the_first(open_window: Open) -> None:
    window = at_the_door(open_window)
    window.click("prejoinJoin")
    window.wait_for_page("connectingPage")

    window.qtbot.keyClick(window.find("connectingCancel"), Qt.Key.Key_Return)
    window.settle()

    assert not [one for one in window.engine.asked if one[0] == "cancel_join"]


def test_cancelling_goes_back_to_the_door(open_window: Open) -> None:
    window = at_the_door(open_window)
    window.click("prejoinJoin")
    window.wait_for_page("connectingPage")

    window.click("connectingCancel")
    window.wait_for_page("prejoinPage")

    assert len([one for one in window.engine.asked if one[0] == "cancel_join"]) == 1
    window.post(joined(2))
    assert window.pages[-1] == "prejoinPage"


def test_joining_shows_the_meeting_and_names_the_window(open_window: Open) -> None:
    window = inside(open_window)

    assert window.desktop.window.windowTitle() == "Garden club \u2013 Lanai"
    assert [one.room for one in window.desktop.recents.items] == ["Garden club"]
    window.desktop.saver.flush()
    text = window.desktop.options.paths.recents_file.read_text("utf-8")
    assert "token" not in text
    assert "192.168.1.24:7880" in text


@pytest.mark.parametrize(
    ("cause", "title", "primary", "secondary"),
    [
        (EndCause.LEFT, "You left the meeting", "Rejoin", "Back to start"),
        (EndCause.LOST, "You\u2019re disconnected", "Rejoin", "Back to start"),
        (EndCause.REMOVED, "You were removed", "Back to start", None),
        (
            EndCause.DUPLICATE,
            "You joined from another device",
            "Use this device",
            "Back to start",
        ),
        (EndCause.ENDED, "The meeting has ended", "Back to start", None),
        (
            EndCause.HOST_STOPPED,
            "The host\u2019s computer stopped",
            "Host it here",
            "Back to start",
        ),
    ],
)
def test_each_ending_has_its_words_and_buttons(
    open_window: Open, cause: EndCause, title: str, primary: str, secondary: str | None
) -> None:
    window = inside(open_window)

    window.post(ended(cause))
    window.wait_for_page("endPage")

    assert text_of(window, "endTitle") == title
    assert text_of(window, "endPrimary") == primary
    assert window.shows("endSecondary") is (secondary is not None)
    if secondary is not None:
        assert text_of(window, "endSecondary") == secondary
    assert window.desktop.window.windowTitle() == "Lanai"
    assert window.desktop.meeting_page is None


def test_saved_files_offer_their_folder(open_window: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    window = inside(open_window)
    opened: list[str] = []
    monkeypatch.setattr(
        "app.ui.application.QDesktopServices.openUrl",
        lambda url: opened.append(url.toLocalFile()),
    )

    window.post(ended(EndCause.ENDED, files=3))
    window.wait_for_page("endPage")
    assert "3 files were saved to Downloads." in text_of(window, "endText")
    window.click("endPrimary")

    assert opened == ["/tmp/Downloads"]


def test_rejoining_uses_the_same_wishes(open_window: Open) -> None:
    window = inside(open_window)
    window.post(ended(EndCause.LOST))
    window.wait_for_page("endPage")

    window.click("endPrimary")
    window.wait_for_page("connectingPage")

    first, second = window.joins()
    assert first == second


def test_the_main_button_has_the_focus(open_window: Open) -> None:
    window = inside(open_window)
    window.post(ended(EndCause.LOST))
    window.wait_for_page("endPage")

    assert window.find("endPrimary").hasFocus()


def test_an_unreachable_server_is_told_with_its_address_and_can_be_edited(
    open_window: Open,
) -> None:
    window = open_window()
    window.engine.lookup = WorldError(Reason.NO_ROUTE, retry=True, detail="errno 113")
    window.desktop.open_link("192.168.1.24/Garden%20club")
    window.wait_for_page("endPage")

    assert text_of(window, "endTitle") == "Can\u2019t reach the server"
    assert "192.168.1.24:7880" in text_of(window, "endText")
    assert "113" not in text_of(window, "endText")
    window.click("endSecondary")
    assert window.desktop.start_page.join_input.text() == "192.168.1.24/Garden%20club"


def test_trying_again_asks_the_door_again(open_window: Open) -> None:
    window = open_window()
    window.engine.lookup = WorldError(Reason.TIMEOUT, retry=True)
    window.desktop.open_link("192.168.1.24/Garden%20club")
    window.wait_for_page("endPage")

    window.click("endPrimary")
    window.wait_for_page("endPage")

    assert len(window.engine.calls("look_up")) == 2


def test_details_are_copied_and_hold_no_names_or_tokens(open_window: Open) -> None:
    window = open_window()
    window.engine.join_error = [WorldError(Reason.EXPIRED, detail="exp 12")]
    window.desktop.open_link("lanai://192.168.1.24/Tea?i=aa.bb.cc")
    window.wait_for_page("prejoinPage")
    window.click("prejoinJoin")
    window.wait_for_page("endPage")

    window.click("endDetails")

    details = QGuiApplication.clipboard().text()
    assert "Reason: expired" in details
    assert "exp 12" in details
    for secret in ("aa.bb.cc", "Noa", "192.168.1.24"):
        assert secret not in details
    assert text_of(window, "endDetails") == "Copied"


def test_a_full_meeting_is_tried_again_until_there_is_room(
    open_window: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "FULL_RETRY_S", 0.01)
    window = at_the_door(open_window)
    full = WorldError(Reason.FULL, retry=True)
    window.engine.join_error = [full, full, full]
    window.click("prejoinJoin")
    window.wait_for_page("endPage")
    assert text_of(window, "endPrimary") == "Keep trying"

    window.click("endPrimary")
    window.qtbot.waitUntil(lambda: len(window.engine.calls("join")) == 4, timeout=30_000)
    window.post(joined(2))
    window.wait_for_page("meetingPage")


def test_an_old_link_can_be_replaced_by_the_one_just_copied(open_window: Open) -> None:
    window = at_the_door(open_window)
    window.engine.join_error = [WorldError(Reason.EXPIRED)]
    window.click("prejoinJoin")
    window.wait_for_page("endPage")
    QGuiApplication.clipboard().setText("lanai://192.168.1.24/new")

    window.click("endPrimary")
    window.wait_for_page("startPage")

    assert window.desktop.start_page.join_input.text() == "lanai://192.168.1.24/new"


def test_hosting_it_here_takes_over_the_name(open_window: Open) -> None:
    window = inside(open_window)
    window.post(ended(EndCause.HOST_STOPPED))
    window.wait_for_page("endPage")

    window.click("endPrimary")
    window.wait_for_page("prejoinPage")

    host = window.desktop.prejoin_page._destination.host
    assert host is not None
    assert host.room == "Garden club"


@pytest.mark.parametrize("size", [(1280, 800), (960, 600), (640, 480)])
def test_the_end_page_fits_every_window(open_window: Open, size: tuple[int, int]) -> None:
    window = inside(open_window)
    window.desktop.window.resize(*size)
    window.post(ended(EndCause.LOST))
    window.wait_for_page("endPage")

    boxes = [window.box(name) for name in ("endTitle", "endText", "endPrimary", "endTips")]
    tops = [(top, top + height) for _, top, _, height in boxes]
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(tops))
    assert tops[-1][1] <= size[1] - 40
    _, top, _, height = window.box("endDetails")
    assert top + height <= tops[-1][1]
    assert height == 32


@pytest.mark.parametrize("why", [*EndCause, *Reason])
def test_every_reason_can_be_shown(
    qtbot: QtBot, each_theme: ThemeChoice, why: EndCause | Reason
) -> None:
    page = EndPage()
    qtbot.addWidget(page)
    page.resize(640, 480)
    page.show_end(why, Facts("Garden club", "Mia", "192.168.1.24", 90.0), "")
    page.show()
    qtbot.waitExposed(page)

    assert not page.grab().isNull()
    assert page.text.height() >= page.text.heightForWidth(page.text.width())
