from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QAction
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QWidget

from app.engine.events import (
    DeviceFailed,
    DeviceKind,
    LevelChanged,
    LocalMediaChanged,
    PersonJoined,
    ReconnectStarted,
)
from app.runtime.errors import Reason, WorldError
from app.ui.stage.top_bar import clock_text
from app.ui.theme import color
from app.ui.widgets import Menu
from tests.gui.meeting.conftest import Meeting
from tests.support.fake_engine import DEVICES, people

pytestmark = pytest.mark.gui

MakeMeeting = Callable[..., Meeting]


def label(meeting: Meeting, name: str) -> str:
    return meeting.find_as(name, QAbstractButton).text()


def test_mute_says_what_a_press_does_and_waits_for_the_engine(meeting: Meeting) -> None:
    assert label(meeting, "controlMic") == "Mute"
    meeting.engine.answers_media = False

    meeting.click("controlMic")
    assert meeting.engine.calls("set_microphone") == [(False,)]
    assert label(meeting, "controlMic") == "Mute"

    meeting.post(LocalMediaChanged(mic_on=False, camera_on=True))
    assert label(meeting, "controlMic") == "Unmute"
    meeting.click("controlMic")
    assert meeting.engine.calls("set_microphone")[-1] == (True,)


def test_camera_stops_and_starts(meeting: Meeting) -> None:
    meeting.click("controlCamera")
    meeting.bridge.deliver()

    assert meeting.engine.calls("set_camera") == [(False,)]
    assert label(meeting, "controlCamera") == "Start video"


def test_the_level_moves_only_while_one_is_heard(meeting: Meeting) -> None:
    meeting.post(LevelChanged(0.5))
    assert meeting.page.control_bar.mic.level.level == 0.5
    assert meeting.page.control_bar.mic.level.isVisible()

    meeting.post(LocalMediaChanged(False, True), LevelChanged(0.5))
    assert meeting.page.control_bar.mic.level.level == 0.0
    assert not meeting.page.control_bar.mic.level.isVisible()


def test_a_missing_microphone_is_told_and_nothing_else_stops(meeting: Meeting) -> None:
    meeting.post(
        LocalMediaChanged(False, True),
        DeviceFailed(DeviceKind.MICROPHONE, Reason.NO_AUDIO_BACKEND),
    )

    assert label(meeting, "controlMic") == "No mic"
    assert meeting.is_shown("toast_device_microphone")
    meeting.post(LocalMediaChanged(True, True))
    assert label(meeting, "controlMic") == "Mute"


def test_an_unplugged_device_is_named(meeting: Meeting) -> None:
    meeting.post(DeviceFailed(DeviceKind.CAMERA, Reason.DEVICE_GONE, "HD webcam"))

    toast = meeting.find("toast_device_camera")
    assert "HD webcam was unplugged." in toast.accessibleName()


def test_a_device_that_another_one_replaces_is_told_and_is_no_problem(meeting: Meeting) -> None:
    meeting.post(
        DeviceFailed(DeviceKind.CAMERA, Reason.DEVICE_GONE, "HD webcam", "Document camera")
    )

    words = meeting.find("toast_device_camera").accessibleName()
    assert "HD webcam was unplugged. Using Document camera." in words
    assert not meeting.page._problems


def test_a_computer_without_devices_is_told_once_and_in_words_for_a_meeting(
    meeting: Meeting,
) -> None:
    kinds = (DeviceKind.SPEAKER, DeviceKind.MICROPHONE, DeviceKind.CAMERA)
    meeting.post(*(DeviceFailed(kind, Reason.DEVICE_GONE) for kind in kinds))
    toasts = meeting.page.toasts

    meeting.qtbot.waitUntil(lambda: bool(toasts.titles()), timeout=30_000)
    assert toasts.titles() == ["No microphone, camera or speakers found"]
    words = meeting.find("toast_devices_missing").accessibleName()
    assert "Others can\u2019t hear or see you and you can\u2019t hear them." in words
    assert "join" not in words


def test_a_busy_camera_says_what_to_do(meeting: Meeting) -> None:
    meeting.post(LocalMediaChanged(True, False))
    meeting.engine.refusals["set_camera"] = WorldError(Reason.DEVICE_BUSY)
    meeting.click("controlCamera")

    assert label(meeting, "controlCamera") == "No camera"
    words = meeting.find("toast_device_camera").accessibleName()
    assert words == "Camera is in use. Close the other app, then try again."


def test_devices_are_chosen_from_the_arrow(meeting: Meeting) -> None:
    meeting.post(DEVICES)
    meeting.click("controlMicMenu")

    entries = [
        action.text()
        for menu in meeting.page.findChildren(Menu)
        for action in menu.actions()
        if not action.isSeparator()
    ]
    assert entries == [
        "Microphone",
        "Built-in microphone",
        "USB headset",
        "Speakers",
        "Built-in speakers",
        "Headphones",
    ]
    meeting.choose("device_mic-2")
    assert meeting.engine.calls("choose_device") == [(DeviceKind.MICROPHONE, "mic-2")]
    meeting.click("controlCameraMenu")
    meeting.choose("device_cam-2")
    assert meeting.engine.calls("choose_device")[-1] == (DeviceKind.CAMERA, "cam-2")


def test_leave_asks_the_application(meeting: Meeting) -> None:
    asked: list[bool] = []
    meeting.page.leaveRequested.connect(asked.append)

    meeting.click("controlLeave")
    meeting.click("controlLeaveMenu")
    meeting.choose("actionLeave")

    assert asked == [False, False]
    assert meeting.engine.calls("leave") == []


def test_a_host_ends_the_meeting_after_a_question(meeting: Meeting) -> None:
    asked: list[bool] = []
    meeting.page.leaveRequested.connect(asked.append)

    meeting.click("controlLeaveMenu")
    meeting.choose("actionEndForAll")
    assert asked == []
    words = [one.text() for one in meeting.find("confirmDialog").findChildren(QLabel)]
    assert "3 people will be disconnected." in words
    meeting.click("confirmYes")
    assert asked == [True]


def test_a_guest_can_only_leave(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting(3, host=False)

    assert not meeting.is_shown("controlLeaveMenu")
    assert meeting.is_shown("controlLeave")


def test_controls_whose_function_is_missing_are_not_made(meeting: Meeting) -> None:
    meeting.page.open_panel("chat")
    for name in (
        "controlShare",
        "controlRecord",
        "topEncryption",
        "topRecording",
        "topLayoutSpeaker",
        "filmstrip",
    ):
        assert meeting.page.findChildren(QWidget, name) == []


@pytest.mark.parametrize(
    ("keys", "modifier", "call"),
    [
        (Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier, ("set_microphone", (False,))),
        (Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier, ("set_camera", (False,))),
    ],
)
def test_shortcuts_do_what_the_buttons_do(
    meeting: Meeting,
    keys: Qt.Key,
    modifier: Qt.KeyboardModifier,
    call: tuple[str, tuple[object, ...]],
) -> None:
    QTest.keyClick(meeting.page, keys, modifier)

    assert meeting.engine.calls(call[0]) == [call[1]]


def test_keys_open_panels_and_escape_closes_them(meeting: Meeting) -> None:
    control = Qt.KeyboardModifier.ControlModifier
    QTest.keyClick(meeting.page, Qt.Key.Key_1, control)
    assert meeting.page.open_panel_name == "chat"
    QTest.keyClick(meeting.page, Qt.Key.Key_3, control)
    assert meeting.page.open_panel_name == "files"
    QTest.keyClick(meeting.page, Qt.Key.Key_Escape)
    assert meeting.page.open_panel_name == ""
    assert not meeting.is_shown("panel")


def test_space_talks_while_muted_and_held(meeting: Meeting) -> None:
    meeting.post(LocalMediaChanged(False, True))
    QTest.keyPress(meeting.page, Qt.Key.Key_Space)
    assert meeting.engine.calls("set_push_to_talk") == [(True,)]
    QTest.keyRelease(meeting.page, Qt.Key.Key_Space)
    assert meeting.engine.calls("set_push_to_talk") == [(True,), (False,)]


def test_space_writes_a_space_in_the_chat(meeting: Meeting) -> None:
    meeting.post(LocalMediaChanged(False, True))
    meeting.page.open_panel("chat")
    field = meeting.page.chat.composer.field
    QTest.keyClick(field, Qt.Key.Key_Space)

    assert field.toPlainText() == " "
    assert meeting.engine.calls("set_push_to_talk") == []


def test_space_does_not_talk_when_nobody_is_muted(meeting: Meeting) -> None:
    QTest.keyClick(meeting.page, Qt.Key.Key_Space)

    assert meeting.engine.calls("set_push_to_talk") == []


def test_f6_jumps_from_region_to_region(meeting: Meeting) -> None:
    meeting.page.open_panel("people")
    meeting.page.stage.setFocus()
    seen = []
    for _ in range(4):
        QTest.keyClick(meeting.page, Qt.Key.Key_F6)
        focused = meeting.page.focusWidget()
        assert focused is not None
        seen.append(focused.objectName())

    assert seen == ["panelTabPeople", "controlMic", "topInvite", "tile_noa-1"]


def test_f6_reaches_the_banner_first_while_reconnecting(meeting: Meeting) -> None:
    meeting.post(ReconnectStarted())
    meeting.page.control_bar.mic.button.setFocus()
    QTest.keyClick(meeting.page, Qt.Key.Key_F6)
    assert meeting.find("bannerRetry").hasFocus()
    QTest.keyClick(meeting.page, Qt.Key.Key_F6, Qt.KeyboardModifier.ShiftModifier)
    assert meeting.find("controlMic").hasFocus()


def test_a_held_space_ends_with_the_window_s_focus(meeting: Meeting) -> None:
    meeting.post(LocalMediaChanged(False, True))
    QTest.keyPress(meeting.page, Qt.Key.Key_Space)
    QApplication.sendEvent(meeting.page, QEvent(QEvent.Type.ActivationChange))

    assert meeting.engine.calls("set_push_to_talk") == [(True,), (False,)]


def test_breakpoints_of_the_design(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting(5)
    bar = meeting.page.control_bar
    meeting.page.open_panel("chat")
    assert bar.height() == 76
    assert meeting.page.stage.width() == 1280 - 344

    meeting.page.resize(960, 600)
    assert bar.height() == 60
    assert meeting.page.stage.width() == 960
    panel = meeting.find("panel")
    assert (panel.x(), panel.width()) == (960 - 344, 344)
    assert meeting.find("controlMic").height() == 44

    meeting.page.resize(640, 420)
    assert meeting.find("panel").width() == 640
    assert not meeting.is_shown("controlFiles")
    assert meeting.is_shown("controlMic")
    assert meeting.is_shown("controlCamera")
    meeting.page.close_panel()
    meeting.click("controlMore")
    meeting.choose("actionFiles")
    assert meeting.page.open_panel_name == "files"


def test_the_bars_stand_where_the_mockup_has_them(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting(9)
    mockup = {
        "topRoomName": (50, 12),
        "controlMic": (16, 735),
        "controlMicMenu": (81, 735),
        "controlCamera": (117, 735),
        "controlLeave": (1135, 739),
        "controlLeaveMenu": (1236, 739),
        "topFullScreen": (1236, 8),
    }
    for name, (x, y) in mockup.items():
        at = meeting.find(name).mapTo(meeting.page, QPoint(0, 0))
        assert abs(at.x() - x) <= 2, (name, at)
        assert abs(at.y() - y) <= 2, (name, at)
    assert meeting.find("controlLeave").width() == 100
    meeting.page.open_panel("chat")
    at = meeting.find("panel").mapTo(meeting.page, QPoint(0, 0))
    assert (at.x(), at.y(), meeting.find("panel").width()) == (936, 48, 344)


def test_every_control_is_large_enough_and_has_a_name(meeting: Meeting) -> None:
    for page in ("chat", "people", "files"):
        meeting.page.open_panel(page)
        for button in meeting.page.findChildren(QAbstractButton):
            if button.isVisible():
                name = button.accessibleName() or button.text()
                assert name, button.objectName()
                least = 24 if button.objectName().endswith("Menu") else 28
                assert min(button.width(), button.height()) >= least, button.objectName()


def test_names_and_clock_stand_in_the_top_bar(meeting: Meeting) -> None:
    assert meeting.page.top_bar.room.full_text() == "Garden club"
    assert clock_text(8 * 60 + 41) == "08:41"
    assert clock_text(3723) == "1:02:03"


def test_newcomers_are_told_together(meeting: Meeting) -> None:
    newcomers = people(7)[4:7]
    for person in newcomers:
        meeting.post(PersonJoined(person))
    meeting.qtbot.waitUntil(lambda: meeting.page.toasts.titles() != [], timeout=30_000)

    assert meeting.page.toasts.titles() == ["Amina and 2 others joined the meeting"] or (
        meeting.page.toasts.titles() == ["Tariq and 2 others joined the meeting"]
    )


def test_invite_is_reached_from_bar_menu_and_key(meeting: Meeting) -> None:
    asked: list[bool] = []
    meeting.page.inviteRequested.connect(lambda: asked.append(True))

    meeting.click("topInvite")
    QTest.keyClick(meeting.page, Qt.Key.Key_I, Qt.KeyboardModifier.ControlModifier)
    meeting.click("controlMore")
    meeting.choose("actionInvite")

    assert asked == [True, True, True]


def test_a_menu_entry_is_an_action_with_a_name(meeting: Meeting) -> None:
    meeting.page.stage.tileMenuRequested.emit("mia-2", QPoint(20, 20))
    names = {
        action.objectName()
        for menu in meeting.page.findChildren(Menu)
        for action in menu.actions()
        if isinstance(action, QAction)
    }
    deeds = {"actionMute", "actionStopVideo", "actionRename", "actionRemove"}
    assert names - {""} == {"actionPin", "actionMessage", "actionSendFile"} | deeds
    for menu in meeting.page.findChildren(Menu):
        menu.close()


def test_the_settings_are_asked_for_in_the_more_menu(meeting: Meeting) -> None:
    asked: list[bool] = []
    meeting.page.settingsRequested.connect(lambda: asked.append(True))

    meeting.click("controlMore")
    meeting.choose("actionSettings")

    assert asked == [True]


def test_read_from_the_right_a_menu_stays_in_the_window_and_tabs_keep_their_words(
    make_meeting: MakeMeeting, qapp: QApplication, read_from_the_right: Callable[[], None]
) -> None:
    # Smaller than the screen: there Qt itself would keep the menu in sight.
    meeting = make_meeting(3, width=620, height=480)
    meeting.page.open_panel("people")
    tab = meeting.find("panelTabPeople")

    def ink_px() -> int:
        picture, plate = tab.grab().toImage(), color("surface3").lightness()
        return sum(
            picture.pixelColor(x, y).lightness() > plate + 60
            for x in range(picture.width())
            for y in range(picture.height())
        )

    from_the_left = ink_px()
    read_from_the_right()
    qapp.processEvents()
    assert abs(ink_px() - from_the_left) < from_the_left / 8

    meeting.click("controlMicMenu")
    menu = meeting.find("deviceMenu")
    window = meeting.page.window().frameGeometry()
    assert window.left() <= menu.geometry().left()
    assert menu.geometry().right() <= window.right()
    menu.close()


@pytest.fixture
def read_from_the_right(qapp: QApplication) -> Iterator[Callable[[], None]]:
    """Turns the whole application around for the rest of the test."""
    yield lambda: qapp.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
    qapp.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
