"""The pre-join page: nothing missing keeps anybody out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QLabel, QLineEdit

from app.engine.client import RoomLookup
from app.engine.events import (
    DeviceFailed,
    DeviceInfo,
    DeviceKind,
    DevicesChanged,
    LevelChanged,
    LocalMediaChanged,
)
from app.media.frames import Picture
from app.protocol.token import VideoGrant, issue_token
from app.runtime.errors import Reason, WorldError
from app.ui.home.preview import Preview
from tests.gui.home.conftest import Window
from tests.support.fake_engine import DEVICES

Open = Callable[..., Window]


def at_the_door(open_window: Open, **options: object) -> Window:
    window = open_window(**options)
    window.desktop.open_link("192.168.1.24/Garden%20club")
    window.wait_for_page("prejoinPage")
    return window


def text_of(window: Window, name: str) -> str:
    label = window.find(name)
    assert isinstance(label, QLabel)
    return label.text()


def grey(width: int = 640, height: int = 360, luma: int = 128) -> Picture:
    data = bytes([luma]) * (width * height) + bytes([128]) * (width * height // 2)
    return Picture(width, height, data)


def test_it_says_who_is_there(open_window: Open) -> None:
    window = at_the_door(open_window)

    assert text_of(window, "prejoinRoom") == "Garden club"
    assert text_of(window, "prejoinWho") == "Mia and Kai are here"


def test_without_any_device_one_can_still_join(open_window: Open) -> None:
    window = at_the_door(open_window)

    window.post(DevicesChanged(()))
    window.post(DeviceFailed(DeviceKind.CAMERA, Reason.DEVICE_GONE))
    window.post(DeviceFailed(DeviceKind.MICROPHONE, Reason.NO_AUDIO_BACKEND))

    for name, words in (
        ("prejoinMicDevice", "No microphone found"),
        ("prejoinCameraDevice", "No camera found"),
        ("prejoinSpeakerDevice", "No speakers found"),
    ):
        combo = window.find(name)
        assert isinstance(combo, QComboBox)
        assert not combo.isEnabled()
        assert combo.currentText() == words
    assert not window.find("prejoinTestSpeaker").isEnabled()
    assert window.find("prejoinJoin").isEnabled()
    window.click("prejoinJoin")
    window.wait_for_page("connectingPage")
    assert len(window.engine.calls("join")) == 1


def test_a_busy_camera_is_explained_and_the_explanation_goes_when_it_opens(
    open_window: Open,
) -> None:
    window = at_the_door(open_window)
    preview = window.find("prejoinPreview")
    assert isinstance(preview, Preview)

    window.post(DeviceFailed(DeviceKind.CAMERA, Reason.DEVICE_BUSY))
    assert "in use" in preview._message
    window.post(LocalMediaChanged(mic_on=True, camera_on=True))
    assert preview._message == ""


def test_the_devices_are_listed_and_a_choice_is_kept(open_window: Open) -> None:
    window = at_the_door(open_window)
    window.post(DEVICES)
    combo = window.find("prejoinMicDevice")
    assert isinstance(combo, QComboBox)

    names = [combo.itemText(index) for index in range(combo.count())]
    assert names == [
        "System default \u2013 Built-in microphone",
        "Built-in microphone",
        "USB headset",
    ]
    combo.setCurrentIndex(2)
    combo.activated.emit(2)
    window.settle()

    assert window.engine.calls("choose_device") == [(DeviceKind.MICROPHONE, "mic-2")]
    assert window.desktop.settings.current.microphone_id == "mic-2"


def test_device_names_are_shown_as_they_are(open_window: Open) -> None:
    window = at_the_door(open_window)
    name = "<b>Cam</b> & " + "very long " * 20
    window.post(DevicesChanged((DeviceInfo(DeviceKind.CAMERA, "c", name),)))

    combo = window.find("prejoinCameraDevice")
    assert isinstance(combo, QComboBox)
    assert combo.currentText() == name
    assert window.box("prejoinCameraDevice")[2] == 380


def test_a_name_is_needed_and_remembered(open_window: Open) -> None:
    window = at_the_door(open_window, name="")
    assert window.find("prejoinName").hasFocus()
    assert not window.find("prejoinJoin").isEnabled()

    window.type_into("prejoinName", "  Noa ")
    window.qtbot.keyClick(window.find("prejoinName"), Qt.Key.Key_Return)
    window.wait_for_page("connectingPage")

    assert window.desktop.settings.current.name == "Noa"
    spec = window.joins()[0]
    assert spec.name == "Noa"


def test_the_toggles_open_and_close_the_preview_and_go_into_the_join(open_window: Open) -> None:
    window = at_the_door(open_window)
    asked = len([one for one in window.engine.asked if one[0] == "start_preview"])
    assert asked == 1

    window.click("prejoinMic")
    window.click("prejoinCamera")

    options = [one[2] for one in window.engine.asked if one[0] == "start_preview"]
    assert options[-1] == {"mic": False, "camera": False}
    window.click("prejoinJoin")
    spec = window.joins()[0]
    assert (spec.mic_on, spec.camera_on) == (False, False)


def test_the_level_lights_the_meter_and_says_that_we_hear(open_window: Open) -> None:
    window = at_the_door(open_window)
    page = window.desktop.prejoin_page
    assert page.hear_label.text() == "Say something to test"

    window.post(LevelChanged(0.5))

    assert page.meter.lit_segments() == 12
    assert page.hear_label.text() == "We can hear you"


def test_the_preview_paints_the_newest_frame_mirrored(open_window: Open) -> None:
    window = at_the_door(open_window)
    preview = window.find("prejoinPreview")
    assert isinstance(preview, Preview)
    width, height = 640, 360
    left_white = bytes([235] * (width // 2) + [16] * (width // 2)) * height
    picture = Picture(width, height, left_white + bytes([128]) * (width * height // 2))

    assert window.engine.show_picture("", picture)
    window.qtbot.waitUntil(lambda: preview.painted_frames == 1, timeout=30_000)

    def luma(x: int) -> int:
        return preview.grab().toImage().pixelColor(x, 100).lightness()

    assert luma(150) < 40
    assert luma(600) > 200
    window.click("prejoinMirror")
    assert luma(150) > 200
    assert window.desktop.settings.current.mirror_self_view is False


def test_turning_the_camera_off_hides_the_last_frame(open_window: Open) -> None:
    window = at_the_door(open_window)
    preview = window.find("prejoinPreview")
    assert isinstance(preview, Preview)
    window.engine.show_picture("", grey())
    window.qtbot.waitUntil(lambda: preview.painted_frames == 1, timeout=30_000)

    window.click("prejoinCamera")

    assert preview._image is None


def test_going_back_gives_the_devices_back(open_window: Open) -> None:
    window = at_the_door(open_window)
    assert len(window.engine.open_slots) == 1

    window.click("prejoinBack")

    assert window.engine.open_slots == []
    assert len([one for one in window.engine.asked if one[0] == "stop_preview"]) == 1


def test_a_passcode_is_asked_for_when_the_door_says_so(open_window: Open) -> None:
    window = open_window()
    window.engine.lookup = RoomLookup("Garden club", "Mia", ("Mia",), needs_passcode=True)
    window.desktop.open_link("192.168.1.24/Garden%20club")
    window.wait_for_page("prejoinPage")

    assert window.shows("prejoinPasscode")
    assert not window.find("prejoinJoin").isEnabled()
    window.type_into("prejoinPasscode", "plum")
    window.click("prejoinJoin")

    spec = window.joins()[0]
    assert spec.passcode == "plum"


def test_behind_a_passcode_nobody_is_said_to_be_away(open_window: Open) -> None:
    window = open_window()
    window.engine.lookup = RoomLookup("Garden club", "Mia", (), needs_passcode=True)
    window.desktop.open_link("192.168.1.20/Garden club")
    window.qtbot.waitUntil(lambda: window.shows("prejoinPasscode"), timeout=30_000)

    assert window.desktop.prejoin_page.who.full_text() == "Hosted by Mia"


def test_a_name_typed_by_hand_is_shown_as_the_host_wrote_it(open_window: Open) -> None:
    window = open_window()
    window.engine.lookup = RoomLookup("Garden club", "Mia", ("Mia",))
    window.desktop.open_link("192.168.1.20/garden-club")

    page = window.desktop.prejoin_page
    window.qtbot.waitUntil(lambda: page.room_name.text() == "Garden club", timeout=30_000)
    window.click("prejoinJoin")
    assert window.desktop.connecting_page.title.text() == "Connecting to Garden club\u2026"


def test_a_wrong_passcode_comes_back_to_its_field(open_window: Open) -> None:
    window = open_window()
    window.engine.lookup = RoomLookup("Garden club", "Mia", ("Mia",), needs_passcode=True)
    window.engine.join_error = [WorldError(Reason.PASSCODE, retry=True)]
    window.desktop.open_link("192.168.1.24/Garden%20club")
    window.wait_for_page("prejoinPage")

    window.type_into("prejoinPasscode", "plumm")
    window.click("prejoinJoin")
    window.wait_for_page("prejoinPage")

    assert text_of(window, "prejoinPasscodeProblem").startswith("That passcode isn\u2019t right")
    assert window.find("prejoinPasscode").hasFocus()
    window.type_into("prejoinPasscode", "plum")
    assert not window.shows("prejoinPasscodeProblem")
    window.click("prejoinJoin")
    assert len(window.engine.calls("join")) == 2


def test_an_invitation_needs_no_passcode(open_window: Open) -> None:
    window = open_window()
    window.engine.lookup = RoomLookup("Tea", "Mia", (), needs_passcode=True)
    window.desktop.open_link("lanai://192.168.1.24:7880/Tea?i=aa.bb.cc")
    window.wait_for_page("prejoinPage")

    assert not window.shows("prejoinPasscode")


def test_an_invitation_into_a_waiting_room_says_so_and_leaves_open_who_is_in(
    open_window: Open,
) -> None:
    window = open_window()
    window.engine.lookup = RoomLookup("Tea", "Mia", (), needs_passcode=True, lobby=True)
    window.desktop.open_link("lanai://192.168.1.24:7880/Tea?i=aa.bb.cc")
    window.wait_for_page("prejoinPage")
    page = window.desktop.prejoin_page

    window.qtbot.waitUntil(page.lobby_chip.isVisible, timeout=30_000)
    assert page.who.full_text() == "Hosted by Mia"


def test_another_livekit_server_is_not_asked_who_is_there(open_window: Open) -> None:
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

    assert window.engine.calls("look_up") == []
    assert text_of(window, "prejoinRoom") == "Tea"


@pytest.mark.parametrize(
    ("name", "box"),
    [
        ("prejoinPreview", (50, 175, 760, 428)),
        ("prejoinLevelCard", (50, 619, 760, 62)),
        ("prejoinName", (850, 318, 380, 40)),
        ("prejoinMicDevice", (850, 396, 380, 40)),
        ("prejoinCameraDevice", (850, 474, 380, 40)),
        ("prejoinSpeakerDevice", (850, 552, 380, 40)),
        ("prejoinJoin", (850, 616, 380, 48)),
    ],
)
def test_the_pre_join_page_stands_where_the_design_puts_it(
    open_window: Open, name: str, box: tuple[int, int, int, int]
) -> None:
    window = at_the_door(open_window)

    assert window.box(name) == pytest.approx(box, abs=2)


def test_in_a_small_window_join_is_on_screen_even_with_a_passcode(open_window: Open) -> None:
    window = open_window(size=(960, 600))
    window.engine.lookup = RoomLookup("Garden club", "Mia", ("Mia",), needs_passcode=True)
    window.desktop.open_link("192.168.1.24/Garden%20club")
    window.wait_for_page("prejoinPage")
    window.desktop.prejoin_page.ask_passcode_again()
    window.settle()

    _, top, _, height = window.box("prejoinJoin")
    assert top + height <= 600
    field = window.find("prejoinPasscode")
    assert isinstance(field, QLineEdit)


def test_without_a_microphone_the_test_button_keeps_its_size(open_window: Open) -> None:
    window = open_window()
    window.click("startHostButton")
    window.wait_for_page("prejoinPage")
    window.post(DeviceFailed(DeviceKind.MICROPHONE, Reason.DEVICE_GONE))

    assert not window.shows("prejoinLevel")
    button = window.find("prejoinTestSpeaker")
    assert button.width() == button.sizeHint().width()
