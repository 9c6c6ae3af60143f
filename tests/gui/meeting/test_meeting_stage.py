from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QImage
from PySide6.QtTest import QTest

from app.engine.events import (
    PersonChanged,
    PersonJoined,
    PersonLeft,
    Quality,
    Reconnected,
    ReconnectStarted,
    SpeakersChanged,
)
from app.media.capture.generated import draw_picture, read_counter
from app.media.frames import Picture
from app.ui.theme import DARK, LIGHT, ThemeChoice, theme
from app.ui.widgets import Menu
from tests.gui.meeting.conftest import Meeting
from tests.support.fake_engine import people

pytestmark = pytest.mark.gui

RED = (200, 40, 40)
MakeMeeting = Callable[..., Meeting]


def red(width: int = 1280, height: int = 720, counter: int = 1) -> Picture:
    return draw_picture(RED, width, height, counter)


def geometry(meeting: Meeting, name: str) -> tuple[int, int, int, int]:
    """Where something stands in the page's own pixels."""
    widget = meeting.find(name)
    at = widget.mapTo(meeting.page, QPoint(0, 0))
    return at.x(), at.y(), widget.width(), widget.height()


def colour_at(meeting: Meeting, x: int, y: int) -> QColor:
    image: QImage = meeting.page.grab().toImage()
    return image.pixelColor(x, y)


def test_nine_people_stand_where_the_mockup_has_them(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting(9)

    assert geometry(meeting, "tile_noa-1") == (69, 61, 374, 210)
    assert geometry(meeting, "tile_mia-2") == (453, 61, 374, 210)
    assert geometry(meeting, "tile_sam-9") == (837, 501, 374, 210)


def test_two_people_share_the_stage_with_a_floating_self_view(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting(2)

    assert geometry(meeting, "tile_mia-2") == (50, 60, 1180, 652)
    assert geometry(meeting, "selfView") == (962, 556, 256, 144)
    assert not meeting.is_shown("tile_noa-1")


def test_the_self_view_goes_to_the_corner_it_is_dragged_to_and_can_be_hidden(
    make_meeting: MakeMeeting,
) -> None:
    meeting = make_meeting(2)
    view = meeting.find("selfView")

    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(100, 60))
    QTest.mouseMove(view, QPoint(-400, -300))
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(100, 60))
    assert geometry(meeting, "selfView")[:2] == (62, 72)

    QTest.mouseDClick(view, Qt.MouseButton.LeftButton)
    assert not meeting.is_shown("selfView")
    meeting.click("selfViewShow")
    assert meeting.is_shown("selfView")


def test_alone_one_is_offered_an_invitation(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting(1)
    asked: list[bool] = []
    meeting.page.inviteRequested.connect(lambda: asked.append(True))

    assert meeting.is_shown("tile_noa-1")
    meeting.click("stageInvite")
    assert asked == [True]
    meeting.post(PersonJoined(people(2)[1]))
    assert not meeting.is_shown("stageAlone")


def test_a_frame_is_painted_one_to_one_with_the_counter_still_readable(meeting: Meeting) -> None:
    meeting.page.stage.set_probe(read_counter)
    meeting.show_picture("mia-2", red(counter=41))
    meeting.show_picture("mia-2", red(counter=42))

    tile = meeting.tile("mia-2")
    image = tile.image()
    assert image is not None
    assert (image.width(), image.height()) == (tile.width(), tile.height())
    record = meeting.page.stage.record_of("mia-2")
    assert (record.frames, record.distinct, record.last_counter) == (2, 2, 42)
    middle = tile.mapTo(meeting.page, tile.rect().center())
    shown = colour_at(meeting, middle.x(), middle.y() - 40)
    assert shown.red() > 170
    assert shown.green() < 80


def test_a_repeated_counter_is_no_new_frame(meeting: Meeting) -> None:
    meeting.page.stage.set_probe(read_counter)
    meeting.show_picture("mia-2", red(counter=7))
    meeting.show_picture("mia-2", red(counter=7))

    record = meeting.page.stage.record_of("mia-2")
    assert (record.frames, record.distinct) == (2, 1)


def test_small_pictures_fill_the_tile_too(meeting: Meeting) -> None:
    meeting.show_picture("mia-2", red(160, 90))
    tile = meeting.tile("mia-2")

    for corner in (QPoint(30, 20), QPoint(tile.width() - 30, tile.height() - 60)):
        at = tile.mapTo(meeting.page, corner)
        assert colour_at(meeting, at.x(), at.y()).red() > 120


def test_a_portrait_picture_is_shown_whole(meeting: Meeting) -> None:
    meeting.show_picture("mia-2", red(360, 640))
    meeting.show_picture("mia-2", red(360, 640))
    tile = meeting.tile("mia-2")
    edge = tile.mapTo(meeting.page, QPoint(20, tile.height() // 2))

    assert colour_at(meeting, edge.x(), edge.y()) == QColor(DARK.stage)


def test_one_sees_oneself_as_in_a_mirror(meeting: Meeting) -> None:
    width, height = 1280, 720
    picture = draw_picture((40, 200, 40), width, height, 1)
    data = picture.data.copy()
    luma = data[: width * height].reshape(height, width)
    luma[:, : width // 2] = 16
    meeting.show_picture("", Picture(width, height, data))
    tile = meeting.tile("noa-1")

    left = tile.mapTo(meeting.page, QPoint(40, 60))
    right = tile.mapTo(meeting.page, QPoint(tile.width() - 40, 60))
    assert colour_at(meeting, left.x(), left.y()).green() > 120
    assert colour_at(meeting, right.x(), right.y()).green() < 120


def test_a_camera_that_is_off_shows_the_initial_and_gives_the_slot_back(meeting: Meeting) -> None:
    meeting.show_picture("mia-2", red())
    mia = meeting.page.roster.get("mia-2")
    assert mia is not None
    released = meeting.engine.released

    meeting.post(PersonChanged(replace(mia, camera_on=False)))

    assert not meeting.tile("mia-2").has_picture
    assert meeting.engine.released == released + 1
    assert not meeting.engine.show_picture("mia-2", red())
    meeting.post(PersonChanged(mia))
    meeting.show_picture("mia-2", red())
    assert meeting.tile("mia-2").has_picture


def has_ring(meeting: Meeting, identity: str) -> bool:
    return meeting.tile(identity).has_ring


def test_a_ring_shows_who_speaks_after_150_ms_and_goes_600_ms_after(meeting: Meeting) -> None:
    tile = meeting.tile("mia-2")
    meeting.post(SpeakersChanged((("mia-2", 0.6),)))
    assert not has_ring(meeting, "mia-2")

    meeting.qtbot.waitUntil(lambda: has_ring(meeting, "mia-2"), timeout=30_000)
    edge = tile.mapTo(meeting.page, QPoint(tile.width() // 2, 1))
    assert colour_at(meeting, edge.x(), edge.y()) == QColor(DARK.accent)
    meeting.post(SpeakersChanged(()))
    assert has_ring(meeting, "mia-2")
    meeting.qtbot.waitUntil(lambda: not has_ring(meeting, "mia-2"), timeout=30_000)


def test_with_a_single_other_person_nobody_gets_a_ring(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting(2)
    tile = meeting.tile("mia-2")
    meeting.post(SpeakersChanged((("mia-2", 0.6),)))
    meeting.qtbot.waitUntil(lambda: tile.is_speaking, timeout=30_000)

    assert not tile.has_ring


def test_tiles_say_what_they_show(meeting: Meeting) -> None:
    kai = meeting.page.roster.get("kai-3")
    assert kai is not None
    meeting.post(PersonChanged(replace(kai, mic_on=False, quality=Quality.POOR)))

    assert meeting.tile("kai-3").accessibleName() == "Kai, muted, weak connection"
    assert meeting.tile("noa-1").accessibleName() == "Noa (you), host"


def test_a_leaver_stays_for_a_moment_and_newcomers_are_appended(meeting: Meeting) -> None:
    meeting.post(PersonLeft("mia-2", "Mia"))
    assert meeting.is_shown("tile_mia-2")
    meeting.qtbot.waitUntil(lambda: not meeting.is_shown("tile_mia-2"), timeout=30_000)

    newcomer = replace(people(5)[4], identity="zoe-9", name="Zoe", joined_at_ms=99)
    meeting.post(PersonJoined(newcomer))
    assert meeting.page.stage.shown == ("noa-1", "kai-3", "lena-4", "zoe-9")


def test_reconnecting_freezes_the_pictures_and_keeps_what_is_needed(meeting: Meeting) -> None:
    meeting.show_picture("mia-2", red())
    tile = meeting.tile("mia-2")
    middle = tile.mapTo(meeting.page, QPoint(60, tile.height() // 2))
    before = colour_at(meeting, middle.x(), middle.y())

    meeting.post(ReconnectStarted())

    after = colour_at(meeting, middle.x(), middle.y())
    assert after.saturation() < before.saturation() * 0.6
    assert after.value() < before.value() * 0.7
    assert meeting.is_shown("bannerReconnect")
    for name in ("controlMic", "controlCamera", "controlChat", "controlLeave"):
        assert meeting.find(name).isEnabled()
    assert not meeting.find("controlMore").isEnabled()
    assert not meeting.find("topInvite").isEnabled()
    meeting.click("bannerRetry")
    assert meeting.engine.calls("retry_now") == [()]

    meeting.post(Reconnected(people(4)))
    assert not meeting.is_shown("bannerReconnect")
    assert "back" in meeting.page.toasts.titles()[-1]
    meeting.show_picture("mia-2", red(counter=2))
    assert colour_at(meeting, middle.x(), middle.y()) == before


def test_more_people_than_fit_turn_pages_and_only_the_shown_have_slots(
    make_meeting: MakeMeeting,
) -> None:
    meeting = make_meeting(30, width=900, height=600)
    stage = meeting.page.stage
    first = stage.shown

    assert stage.pages == (0, 2)
    assert len(meeting.engine.open_slots) == len(first)
    assert meeting.is_shown("pageNext")
    assert not meeting.is_shown("pagePrev")
    meeting.click("pageNext")
    assert stage.pages == (1, 2)
    assert set(stage.shown).isdisjoint(first)
    assert len(meeting.engine.open_slots) == len(stage.shown)
    QTest.keyClick(meeting.page, Qt.Key.Key_PageUp)
    assert stage.shown == first


def test_the_dots_do_not_lie_on_the_tiles(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting(12, width=640, height=420)
    page = meeting.page
    lowest = max(sum(geometry(meeting, f"tile_{identity}")[1::2]) for identity in page.stage.shown)

    assert page.stage.pages == (0, 2)
    # The widget is 16 px high, its dots 6 px in the middle.
    assert lowest <= geometry(meeting, "pageDots")[1] + 5


def test_a_dot_leads_to_its_page(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting(30, width=900, height=600)
    dots = meeting.find("pageDots")

    QTest.mouseClick(dots, Qt.MouseButton.LeftButton, pos=QPoint(dots.width() - 4, 8))
    assert meeting.page.stage.pages == (1, 2)
    QTest.mouseClick(dots, Qt.MouseButton.LeftButton, pos=QPoint(4, 8))
    assert meeting.page.stage.pages == (0, 2)


def test_a_hidden_window_has_nothing_scaled(meeting: Meeting) -> None:
    slot = next(one.slot for one in meeting.engine.open_slots if one.identity == "mia-2")
    meeting.page.hide()
    meeting.engine.show_picture("mia-2", red())
    assert (slot.offered, slot.skipped) == (0, 1)

    meeting.page.show()
    meeting.show_picture("mia-2", red())
    assert slot.offered == 1


def test_a_pin_stands_right_after_you(meeting: Meeting) -> None:
    tile = meeting.tile("lena-4")
    tile.setFocus(Qt.FocusReason.TabFocusReason)
    QTest.keyClick(tile, Qt.Key.Key_Return)

    assert meeting.page.stage.shown == ("noa-1", "lena-4", "mia-2", "kai-3")
    assert meeting.is_shown("tilePin_lena-4")
    meeting.page.stage.tileMenuRequested.emit("lena-4", QPoint(10, 10))
    meeting.choose("actionPin")
    assert meeting.page.stage.shown == ("noa-1", "mia-2", "kai-3", "lena-4")


def test_the_keyboard_opens_one_menu_for_a_tile(meeting: Meeting) -> None:
    tile = meeting.tile("kai-3")
    tile.setFocus(Qt.FocusReason.TabFocusReason)
    QTest.keyClick(tile, Qt.Key.Key_F10, Qt.KeyboardModifier.ShiftModifier)
    QTest.keyClick(tile, Qt.Key.Key_Menu)

    menus = [menu for menu in meeting.page.findChildren(Menu) if menu.isVisible()]
    assert len(menus) == 1
    meeting.choose("actionPin")
    assert meeting.page.stage.is_pinned("kai-3")


def test_arrows_move_among_tiles(meeting: Meeting) -> None:
    stage = meeting.page.stage
    stage.setFocus()
    QTest.keyClick(stage, Qt.Key.Key_Right)
    assert meeting.tile("noa-1").hasFocus()
    QTest.keyClick(meeting.tile("noa-1"), Qt.Key.Key_Down)
    assert meeting.tile("kai-3").hasFocus()


def test_both_themes_paint_the_stage_in_their_colour(meeting: Meeting) -> None:
    assert colour_at(meeting, 4, 400) == QColor(DARK.stage)
    try:
        theme.choose(ThemeChoice.LIGHT)
        assert colour_at(meeting, 4, 400) == QColor(LIGHT.stage)
        assert colour_at(meeting, 640, 790) == QColor(LIGHT.surface1)
    finally:
        theme.choose(ThemeChoice.DARK)


def test_a_frame_repaints_its_tile_alone(meeting: Meeting) -> None:
    opaque = Qt.WidgetAttribute.WA_OpaquePaintEvent
    assert meeting.tile("mia-2").testAttribute(opaque)
    try:
        theme.choose(ThemeChoice.LIGHT)
        assert meeting.tile("mia-2").testAttribute(opaque)
    finally:
        theme.choose(ThemeChoice.DARK)


def test_the_end_gives_every_slot_back(meeting: Meeting) -> None:
    meeting.page.close_meeting()
    assert meeting.engine.open_slots == []

    # An event that was on its way opens none again.
    meeting.post(PersonJoined(people(5)[4]))
    assert meeting.engine.open_slots == []


def test_a_message_stands_below_the_banner_and_not_under_it(meeting: Meeting) -> None:
    meeting.page.toasts.show_toast("note", "Something was said")
    meeting.post(ReconnectStarted())

    banner = geometry(meeting, "bannerReconnect")
    assert geometry(meeting, "toast_note")[1] >= banner[1] + banner[3]
    meeting.post(Reconnected(tuple(people(4))))
    assert geometry(meeting, "toast_note")[1] < banner[1]


def test_the_keyboard_stays_on_the_stage_when_somebody_comes(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting(1)
    meeting.click("stageInvite")
    meeting.find("stageInvite").setFocus()

    meeting.post(PersonJoined(people(2)[1]))

    focused = meeting.page.focusWidget()
    assert focused is meeting.page.stage
