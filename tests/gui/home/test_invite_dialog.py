"""Inviting: what is shown can be copied, and the code says the same as the link."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import segno
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtWidgets import QLabel, QLineEdit, QPushButton

from app.protocol.token import VideoGrant, issue_token
from app.ui.home.invite_dialog import Invitation, InviteDialog
from app.ui.home.qr import QrCode
from app.ui.theme import QR_DARK, QR_LIGHT
from tests.gui.home.conftest import Window
from tests.support.fake_engine import joined

Open = Callable[..., Window]
INVITE = ".".join(["eyJhbGciOiJIUzI1NiJ9" * 3] * 3)
LINK = f"lanai://192.168.1.20:7880/Garden%20club?i={INVITE}"


def open_dialog(window: Window, passcode: str = "") -> None:
    invitation = Invitation("Garden club", LINK, "192.168.1.20:7880", passcode)
    InviteDialog(window.desktop.window.pages, invitation).open_()
    window.settle()


def test_link_and_passcode_are_copied(open_window: Open) -> None:
    window = open_window()
    open_dialog(window, passcode="plum-river-42")
    field = window.find("inviteLink")
    assert isinstance(field, QLineEdit)
    assert field.text() == LINK.replace("%20", " ")

    window.click("inviteCopyLink")
    assert QGuiApplication.clipboard().text() == LINK
    button = window.find("inviteCopyLink")
    assert isinstance(button, QPushButton)
    assert button.text() == "Copied"
    window.click("inviteCopyPasscode")
    assert QGuiApplication.clipboard().text() == "plum-river-42"


def test_without_a_passcode_there_is_no_passcode_field(open_window: Open) -> None:
    window = open_window()
    open_dialog(window)

    assert not window.shows("invitePasscode")
    for missing in ("inviteGuestLink", "inviteLobby", "inviteRenew"):
        assert not window.shows(missing)


def test_the_code_has_exactly_the_modules_of_the_link(open_window: Open) -> None:
    window = open_window()
    open_dialog(window)
    code = window.find("inviteQr")
    assert isinstance(code, QrCode)

    wanted = [bytes(row) for row in segno.make(LINK, error="m", micro=False).matrix]
    picture = code.grab().toImage()
    module = code.module_px
    start = (code.width() - module * len(wanted)) // 2
    for y, row in enumerate(wanted):
        for x, dark in enumerate(row):
            at = picture.pixelColor(
                start + x * module + module // 2, start + y * module + module // 2
            )
            assert at == QColor(QR_DARK if dark else QR_LIGHT), (x, y)
    assert code.width() >= (len(wanted) + 4) * module


def test_the_dialog_keeps_the_focus_inside_and_gives_it_back(open_window: Open) -> None:
    window = open_window()
    before = window.find("startJoinInput")
    assert before.hasFocus()
    open_dialog(window)
    dialog = window.find("inviteDialog")
    assert window.find("inviteDone").hasFocus()

    for _ in range(12):
        window.qtbot.keyClick(QGuiApplication.focusObject(), Qt.Key.Key_Tab)
        focused = window.desktop.window.focusWidget()
        assert focused is not None
        assert dialog.isAncestorOf(focused)
    window.qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    window.settle()

    assert not window.shows("inviteDialog")
    assert before.hasFocus()


@pytest.mark.parametrize("size", [(1280, 800), (960, 600), (640, 480)])
def test_the_dialog_fits_every_window(open_window: Open, size: tuple[int, int]) -> None:
    window = open_window(size=size)
    open_dialog(window, passcode="plum-river-42")

    for name in ("inviteLink", "inviteQr", "inviteDone", "inviteCopyPasscode"):
        left, top, width, height = window.box(name)
        assert left >= 0, name
        assert top >= 0, name
        assert left + width <= size[0], name
        assert top + height <= size[1], name


def test_a_guest_hands_on_the_link_that_was_used(open_window: Open) -> None:
    window = open_window()
    window.desktop.open_link("192.168.1.24/Garden%20club")
    window.wait_for_page("prejoinPage")
    window.click("prejoinJoin")
    window.post(joined(2, host=False))
    window.wait_for_page("meetingPage")

    window.desktop.show_invite()
    window.settle()

    field = window.find("inviteLink")
    assert isinstance(field, QLineEdit)
    assert field.text() == "lanai://192.168.1.24:7880/Garden club"
    address = window.find("inviteAddress")
    assert isinstance(address, QLabel)
    assert address.text() == "192.168.1.24:7880"


def test_at_another_livekit_server_the_address_alone_is_handed_on(open_window: Open) -> None:
    token = issue_token(
        api_key="devkey",
        api_secret="s" * 32,
        identity="noa",
        now_s=1_800_000_000,
        grant=VideoGrant(room_join=True, room="Tea"),
    )
    window = open_window()
    window.desktop.open_link(f"wss://meet.example {token}")
    window.wait_for_page("prejoinPage")
    window.click("prejoinJoin")
    window.post(joined(2, host=False))
    window.wait_for_page("meetingPage")

    window.desktop.show_invite()
    window.settle()

    field = window.find("inviteLink")
    assert isinstance(field, QLineEdit)
    assert field.text() == "wss://meet.example:443"
    assert token not in field.text()
    assert window.desktop.recents.items == []


def test_without_a_passcode_the_dialog_says_what_to_type_instead(open_window: Open) -> None:
    window = open_window()
    invitation = Invitation("Garden club", LINK, "192.168.1.20:7880", hosted_here=True)
    InviteDialog(window.desktop.window.pages, invitation).open_()
    window.settle()

    help_ = window.find("inviteHelp")
    assert isinstance(help_, QLabel)
    assert "192.168.1.20:7880/garden-club" in help_.text()


def test_in_the_smallest_window_nothing_lies_over_the_code(open_window: Open) -> None:
    window = open_window()
    window.desktop.window.setMinimumSize(640, 420)
    window.desktop.window.resize(640, 420)
    open_dialog(window, passcode="plum-river-42")
    code = window.find("inviteQr")

    dialog = window.find("inviteDialog")
    bottom = code.mapTo(dialog, code.rect().bottomLeft()).y()
    done = window.find("inviteDone")
    assert bottom < done.mapTo(dialog, done.rect().topLeft()).y()
    assert not [
        label
        for label in dialog.findChildren(QLabel)
        if label.text().startswith("Scan") and label.isVisible()
    ]
