from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, QRectF, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QDragEnterEvent, QDragMoveEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QStyleOptionViewItem

from app.engine.events import (
    ChatFailed,
    ChatReceived,
    PersonChanged,
    PersonLeft,
    SpeakersChanged,
    Transfer,
    TransferChanged,
    TransferState,
)
from app.runtime.errors import Reason, WorldError
from app.ui.stage.control_bar import PanelButton
from app.ui.widgets import ElidedLabel, ProgressBar
from tests.gui.meeting.conftest import Meeting

pytestmark = pytest.mark.gui

MakeMeeting = Callable[..., Meeting]
MB = 1_000_000
CUT = Transfer(
    "t1", "open-day-cut.mp4", 504 * MB, 312 * MB, True, "", TransferState.RUNNING, pausable=True
)


def line(number: int, text: str = "Hello", who: str = "kai-3") -> ChatReceived:
    at_ms = int(time.time() * 1000)
    return ChatReceived(f"m{number}", who, "Kai", text, at_ms, is_mine=who == "noa-1")


# -- chat -----------------------------------------------------------------------------------


def test_a_line_is_sent_with_enter_and_shown_when_it_comes_back(meeting: Meeting) -> None:
    meeting.click("controlChat")
    field = meeting.page.chat.composer.field
    assert field.hasFocus()
    QTest.keyClicks(field, "Hello there")
    QTest.keyClick(field, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    QTest.keyClicks(field, "and bye")
    QTest.keyClick(field, Qt.Key.Key_Return)

    assert meeting.engine.calls("send_chat") == [("Hello there\nand bye",)]
    assert field.toPlainText() == ""
    assert meeting.page.chat.model.rowCount() == 0
    meeting.post(line(1, "Hello there", "noa-1"))
    assert meeting.page.chat.model.rowCount() == 1


def test_nothing_is_sent_when_nothing_is_written(meeting: Meeting) -> None:
    meeting.page.open_panel("chat")
    QTest.keyClicks(meeting.page.chat.composer.field, "   ")

    assert not meeting.find("chatSend").isEnabled()
    QTest.keyClick(meeting.page.chat.composer.field, Qt.Key.Key_Return)
    assert meeting.engine.calls("send_chat") == []


def test_a_refused_line_comes_back_to_the_field(meeting: Meeting) -> None:
    meeting.engine.refusals["send_chat"] = WorldError(Reason.NO_ROUTE)
    meeting.page.open_panel("chat")
    QTest.keyClicks(meeting.page.chat.composer.field, "Important")
    meeting.click("chatSend")

    assert meeting.page.chat.composer.field.toPlainText() == "Important"
    assert meeting.is_shown("toast_chat")


def test_a_line_that_failed_later_says_so(meeting: Meeting) -> None:
    meeting.page.open_panel("chat")
    meeting.post(line(1, "Lost", "noa-1"), ChatFailed("m1", Reason.NO_ROUTE))
    model = meeting.page.chat.model

    assert "not sent" in str(model.index(0).data())


def test_unread_messages_are_counted_on_the_button_until_they_are_read(meeting: Meeting) -> None:
    for number in range(3):
        meeting.post(line(number))
    assert meeting.find("controlChat").accessibleName() == "Chat, 3 unread"

    meeting.click("controlChat")
    assert meeting.find("controlChat").accessibleName() == "Chat"


def test_scrolled_up_the_list_stays_and_offers_the_new_messages(meeting: Meeting) -> None:
    meeting.page.open_panel("chat")
    for number in range(40):
        meeting.post(line(number, f"Line {number}"))
    bar = meeting.page.chat.list.verticalScrollBar()
    assert bar.value() == bar.maximum() > 0
    assert not meeting.is_shown("chatNewMessages")

    bar.setValue(0)
    meeting.post(line(100), line(101))
    assert bar.value() == 0
    assert meeting.page.chat.pill.text() == "2 new messages ↓"
    meeting.click("chatNewMessages")
    assert bar.value() == bar.maximum()
    assert not meeting.is_shown("chatNewMessages")


def test_a_link_opens_and_the_text_beside_it_does_not(
    meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def open_url(url: QUrl) -> bool:
        opened.append(url.toString())
        return True

    monkeypatch.setattr(QDesktopServices, "openUrl", staticmethod(open_url))
    meeting.page.open_panel("chat")
    meeting.post(line(1, "😀 https://seeds.example/a"))
    view = meeting.page.chat.list
    box = view.visualRect(view.model().index(0, 0))
    bottom = box.bottom() - 12
    option = QStyleOptionViewItem()
    option.rect = box
    hit = [
        x
        for x in range(box.left(), box.right(), 4)
        if view.delegate.link_at(option, view.model().index(0, 0), QPointF(x, bottom))
    ]
    assert hit
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(hit[0] - 12, bottom))
    assert opened == []
    QTest.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(hit[len(hit) // 2], bottom)
    )
    assert opened == ["https://seeds.example/a"]


# -- people ---------------------------------------------------------------------------------


def test_the_list_shows_everybody_and_their_state(meeting: Meeting) -> None:
    meeting.click("controlPeople")
    assert meeting.page.people.order() == ["noa-1", "kai-3", "lena-4", "mia-2"]

    kai = meeting.page.roster.get("kai-3")
    assert kai is not None
    meeting.post(PersonChanged(replace(kai, mic_on=False)), PersonLeft("mia-2", "Mia"))
    assert meeting.find("person_kai-3").accessibleName() == "Kai, muted"
    assert meeting.find("personMic_kai-3").accessibleName() == "Muted"
    assert meeting.page.people.order() == ["noa-1", "kai-3", "lena-4"]


def test_speakers_come_first_a_little_later(meeting: Meeting) -> None:
    meeting.page.open_panel("people")
    meeting.post(SpeakersChanged((("mia-2", 0.5),)))
    meeting.qtbot.waitUntil(lambda: meeting.page.people.order()[1] == "mia-2", timeout=30_000)


def test_people_are_found_by_name(meeting: Meeting) -> None:
    meeting.page.open_panel("people")
    QTest.keyClicks(meeting.find("peopleSearch"), "le")

    assert meeting.page.people.order() == ["lena-4"]


# -- files ----------------------------------------------------------------------------------


def drag(meeting: Meeting, paths: list[Path], at: QPoint) -> QMimeData:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    options = (Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    enter = QDragEnterEvent(at, Qt.DropAction.CopyAction, mime, *options)
    QApplication.sendEvent(meeting.page, enter)
    move = QDragMoveEvent(at, Qt.DropAction.CopyAction, mime, *options)
    QApplication.sendEvent(meeting.page, move)
    return mime


def drop(meeting: Meeting, mime: QMimeData, at: QPoint) -> None:
    event = QDropEvent(
        at,
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(meeting.page, event)


@pytest.fixture
def two_files(tmp_path: Path) -> list[Path]:
    """A text and a picture, 1.5 kB together."""
    paths = [tmp_path / "notes.txt", tmp_path / "plan.png"]
    paths[0].write_bytes(b"x" * 1000)
    paths[1].write_bytes(b"x" * 500)
    return paths


def test_files_dropped_beside_the_tiles_go_to_everybody(
    meeting: Meeting, two_files: list[Path]
) -> None:
    beside = QPoint(20, 400)
    mime = drag(meeting, two_files, beside)
    overlay = meeting.page.drop.overlay
    assert overlay.isVisible()
    assert overlay.accessibleName() == "Drop to send to everyone, 2 files"
    assert overlay._detail == "2 files · 1.5 kB"

    drop(meeting, mime, beside)
    assert not overlay.isVisible()
    assert meeting.engine.calls("send_file") == [(two_files[0], ()), (two_files[1], ())]
    assert meeting.page.open_panel_name == "files"


def test_a_file_dropped_on_a_tile_goes_to_that_person(
    meeting: Meeting, two_files: list[Path]
) -> None:
    tile = meeting.tile("kai-3")
    at = tile.mapTo(meeting.page, tile.rect().center())
    mime = drag(meeting, two_files[:1], at)
    assert meeting.page.drop.overlay.title == "Drop to send to Kai"

    drop(meeting, mime, at)
    assert meeting.engine.calls("send_file") == [(two_files[0], ("kai-3",))]


def test_what_is_no_file_is_not_taken(meeting: Meeting) -> None:
    mime = QMimeData()
    mime.setText("just words")
    event = QDragEnterEvent(
        QPoint(20, 400),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(meeting.page, event)

    assert not meeting.is_shown("dropOverlay")


def test_a_vanished_file_is_told(meeting: Meeting, tmp_path: Path) -> None:
    meeting.engine.refusals["send_file"] = WorldError(Reason.FILE_GONE)
    meeting.page.send_files([tmp_path / "gone.txt"])

    assert "gone.txt" in meeting.find("toast_file_refused").accessibleName()


def meta(meeting: Meeting, transfer_id: str) -> str:
    labels = meeting.find(f"transfer_{transfer_id}").findChildren(ElidedLabel)
    return labels[-1].full_text()


def test_a_transfer_shows_progress_and_can_be_cancelled(meeting: Meeting) -> None:
    meeting.page.open_panel("files")
    meeting.post(TransferChanged(CUT))

    assert meta(meeting, "t1") == "312 of 504 MB"
    assert round(meeting.find_as("transferProgress_t1", ProgressBar).fraction, 2) == 0.62
    assert not meeting.is_shown("transferRetry_t1")
    assert not meeting.is_shown("transferOpen_t1")
    meeting.click("transferCancel_t1")
    assert meeting.engine.calls("cancel_transfer") == [("t1",)]

    meeting.post(TransferChanged(replace(CUT, state=TransferState.CANCELLED)))
    assert meta(meeting, "t1") == "Cancelled · 504 MB"
    meeting.click("transferRetry_t1")
    assert meeting.engine.calls("retry_transfer") == [("t1",)]
    meeting.click("transferCancel_t1")
    assert not meeting.is_shown("transfer_t1")


def test_a_file_for_an_empty_meeting_is_not_said_to_be_sent(
    make_meeting: MakeMeeting, tmp_path: Path
) -> None:
    meeting = make_meeting(1)
    file = tmp_path / "notes.txt"
    file.write_text("hi")
    meeting.page.send_files([file])

    assert meeting.engine.calls("send_file") == []
    assert meeting.page.toasts.titles() == ["Nobody else is here yet"]


def test_only_sections_with_files_take_room(meeting: Meeting) -> None:
    meeting.page.open_panel("files")
    meeting.post(TransferChanged(replace(CUT, state=TransferState.DONE)))
    shared = meeting.find("filesSection_shared")

    assert not meeting.is_shown("filesSection_sending")
    assert not meeting.is_shown("filesSection_receiving")
    meeting.qtbot.waitUntil(lambda: 0 < shared.y() <= 14, timeout=30_000)


def test_rows_keep_their_height_when_there_are_more_than_fit(meeting: Meeting) -> None:
    meeting.page.open_panel("files")
    meeting.post(*(TransferChanged(replace(CUT, id=f"t{number}")) for number in range(14)))
    row, bar = meeting.find("transfer_t0"), meeting.find("transferProgress_t0")
    name = row.findChildren(ElidedLabel)[0]

    meeting.qtbot.waitUntil(lambda: row.height() >= row.sizeHint().height(), timeout=30_000)
    assert bar.geometry().top() > name.geometry().bottom()


def test_the_figures_of_a_running_file_are_not_cut(meeting: Meeting) -> None:
    meeting.page.open_panel("files")
    meeting.post(TransferChanged(replace(CUT, outgoing=False, peer_name="Marianne")))
    figures = meeting.find("transfer_t1").findChildren(ElidedLabel)[-1]
    figures.setText("From Marianne · 312 of 504 MB · 4.6 MB/s")

    meeting.qtbot.waitUntil(lambda: figures.text() == figures.full_text(), timeout=30_000)


def test_the_words_change_at_most_twice_a_second(meeting: Meeting) -> None:
    meeting.page.open_panel("files")
    meeting.post(TransferChanged(CUT))
    meeting.post(TransferChanged(replace(CUT, done_bytes=320 * MB)))
    assert meta(meeting, "t1").startswith("312 of")

    meeting.qtbot.waitUntil(lambda: meta(meeting, "t1").startswith("320 of"), timeout=30_000)


def test_a_failed_file_says_why_and_the_meeting_goes_on(meeting: Meeting) -> None:
    failed = replace(CUT, outgoing=False, peer_name="Kai", state=TransferState.FAILED)
    meeting.page.open_panel("files")
    meeting.post(TransferChanged(replace(failed, error=Reason.PEER_GONE)))

    assert meta(meeting, "t1") == "Kai went offline before it finished"
    assert meeting.is_shown("toast_file_t1")
    assert not meeting.is_shown("transferRetry_t1")


def test_that_a_file_failed_is_no_news_once_it_is_sent_again(meeting: Meeting) -> None:
    failed = replace(CUT, state=TransferState.FAILED, error=Reason.PEER_GONE)
    meeting.post(TransferChanged(failed))
    assert meeting.is_shown("toast_file_t1")

    meeting.post(TransferChanged(CUT))
    meeting.qtbot.waitUntil(lambda: not meeting.is_shown("toast_file_t1"), timeout=30_000)
    meeting.post(TransferChanged(failed))
    assert meeting.is_shown("toast_file_t1")


def test_a_received_file_opens_its_folder(
    meeting: Meeting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def open_url(url: QUrl) -> bool:
        opened.append(url.toLocalFile())
        return True

    monkeypatch.setattr(QDesktopServices, "openUrl", staticmethod(open_url))
    done = replace(
        CUT,
        outgoing=False,
        peer_name="Mia",
        state=TransferState.DONE,
        path=tmp_path / "open-day-cut.mp4",
        started_at_ms=int(time.time() * 1000),
    )
    meeting.page.open_panel("files")
    meeting.post(TransferChanged(done))

    assert meta(meeting, "t1").startswith("From Mia · 504 MB · ")
    meeting.click("transferOpen_t1")
    meeting.click("toastAction_file_t1")
    assert opened == [str(tmp_path), str(tmp_path)]


def test_the_tab_counts_what_is_on_its_way(meeting: Meeting) -> None:
    meeting.page.open_panel("files")
    meeting.post(TransferChanged(CUT), TransferChanged(replace(CUT, id="t2")))
    assert meeting.find("panelTabFiles").accessibleName() == "Files, 2"
    # A file may come while the panel is closed.
    meeting.page.close_panel()
    assert meeting.find("controlFiles").accessibleName() == "Files, 2 on their way"

    meeting.post(
        TransferChanged(replace(CUT, state=TransferState.DONE)),
        TransferChanged(replace(CUT, id="t2", state=TransferState.DONE)),
    )
    assert meeting.find("controlFiles").accessibleName() == "Files"
    meeting.page.open_panel("files")
    assert meeting.find("panelTabFiles").accessibleName() == "Files"


def test_a_row_takes_the_name_under_which_its_file_was_saved(meeting: Meeting) -> None:
    meeting.page.open_panel("files")
    trip = replace(CUT, file_name="Trip", outgoing=False, peer_name="Kai", is_folder=True, files=3)
    meeting.post(TransferChanged(trip))
    meeting.post(TransferChanged(replace(trip, file_name="Trip (2)", state=TransferState.DONE)))

    row = meeting.find("transfer_t1")
    shown = [label.full_text() for label in row.findChildren(ElidedLabel)]
    assert shown == ["Trip (2)", "From Kai · 3 files · 504 MB"]


def test_a_transfer_is_paused_and_resumed(meeting: Meeting) -> None:
    meeting.page.open_panel("files")
    meeting.post(TransferChanged(CUT))
    meeting.click("transferPause_t1")
    assert meeting.engine.calls("pause_transfer") == [("t1",)]

    meeting.post(TransferChanged(replace(CUT, state=TransferState.PAUSED, paused_by_me=True)))
    assert meta(meeting, "t1") == "Paused at 312 of 504 MB"
    assert meeting.find("transferPause_t1").accessibleName() == "Resume: open-day-cut.mp4"
    meeting.click("transferPause_t1")
    assert meeting.engine.calls("resume_transfer") == [("t1",)]

    meeting.post(TransferChanged(replace(CUT, state=TransferState.PAUSED)))
    assert not meeting.is_shown("transferPause_t1")


OFFER = replace(CUT, outgoing=False, peer_name="Kai", done_bytes=0, state=TransferState.OFFERED)


def test_an_offer_is_accepted_in_the_panel(meeting: Meeting) -> None:
    meeting.page.open_panel("files")
    meeting.post(TransferChanged(OFFER))
    assert meeting.is_shown("toast_offer_t1")
    assert meta(meeting, "t1") == "From Kai · 504 MB"
    assert meeting.find("panelTabFiles").accessibleName() == "Files, 1"
    meeting.click("transferAccept_t1")

    assert meeting.engine.calls("accept_transfer") == [("t1",)]
    meeting.post(TransferChanged(replace(OFFER, state=TransferState.RUNNING)))
    assert not meeting.is_shown("toast_offer_t1")
    assert not meeting.is_shown("transferAccept_t1")


def test_an_offer_is_accepted_on_the_stage_or_declined(meeting: Meeting) -> None:
    meeting.page.open_panel("files")
    meeting.post(TransferChanged(OFFER), TransferChanged(replace(OFFER, id="t2")))
    meeting.click("toastAction_offer_t1")
    meeting.click("transferCancel_t2")

    assert meeting.engine.calls("accept_transfer") == [("t1",)]
    assert meeting.engine.calls("decline_transfer") == [("t2",)]
    meeting.post(TransferChanged(replace(OFFER, id="t2", state=TransferState.DECLINED)))
    assert not meeting.is_shown("toast_offer_t2")


def test_a_dropped_folder_is_measured_with_what_it_holds(meeting: Meeting, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "august").mkdir(parents=True)
    for name in ("a.jpg", "august/b.jpg", "august/c.jpg"):
        (folder / name).write_bytes(b"x" * 500)
    # What it only points to is not sent with it.
    (folder / "elsewhere").symlink_to(__file__)
    (folder / "nowhere").symlink_to(tmp_path / "nothing")
    drag(meeting, [folder], QPoint(20, 400))

    assert meeting.page.drop.overlay._detail == "3 files · 1.5 kB"


def test_the_keyboard_stays_in_the_list_when_the_person_it_was_at_leaves(meeting: Meeting) -> None:
    meeting.page.open_panel("people")
    meeting.find("personMenu_mia-2").setFocus()

    meeting.post(PersonLeft("mia-2", "Mia"))

    assert meeting.page.focusWidget() is meeting.find("peopleSearch")


@pytest.mark.parametrize("width", [1280, 640])
def test_a_long_badge_is_whole_on_a_small_button_too(make_meeting: MakeMeeting, width: int) -> None:
    meeting = make_meeting(width=width, height=600)
    button = meeting.find_as("controlChat", PanelButton)
    button.set_badge("9+")

    assert QRectF(button.rect()).contains(button.badge_box())
