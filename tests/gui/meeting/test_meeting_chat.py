"""The chat panel by object name: what is written, shown, pressed, and told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, QRect, QSize, Qt, QUrl
from PySide6.QtGui import (
    QClipboard,
    QColor,
    QDesktopServices,
    QGuiApplication,
    QImage,
    QPainter,
)
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QStyle, QStyleOptionViewItem, QWidget

from app.engine.events import (
    AttachmentState,
    ChatAttachment,
    ChatFailed,
    ChatHistoryReceived,
    ChatQuote,
    ChatReaction,
    ChatReceived,
    ChatState,
    PersonLeft,
    Reconnected,
    ReconnectStarted,
    TypingChanged,
)
from app.runtime.errors import Reason
from app.ui.chat import pasted
from app.ui.chat.composer import MAX_TEXT_CHARS
from app.ui.chat.row_layout import RowLayout, Target
from app.ui.widgets import Menu, TextLabel
from tests.gui.meeting.conftest import Meeting
from tests.support.fake_engine import people

pytestmark = pytest.mark.gui

MakeMeeting = Callable[..., Meeting]
NOW_MS = int(time.time() * 1000)


def line(message_id: str, text: str = "Hello", who: str = "kai-3") -> ChatReceived:
    name = {"kai-3": "Kai", "mia-2": "Mia", "noa-1": "Noa"}[who]
    return ChatReceived(message_id, who, name, text, NOW_MS, is_mine=who == "noa-1")


@pytest.fixture
def chat(meeting: Meeting) -> Meeting:
    """A meeting with the chat open."""
    meeting.page.open_panel("chat")
    return meeting


def write(chat: Meeting, text: str) -> None:
    QTest.keyClicks(chat.page.chat.composer.field, text)


def press_enter(chat: Meeting) -> None:
    QTest.keyClick(chat.page.chat.composer.field, Qt.Key.Key_Return)


def laid(chat: Meeting, number: int) -> RowLayout:
    return chat.page.chat.list.delegate.laid(number)


def press(chat: Meeting, number: int, at: QPointF) -> None:
    """Press a point of a row, counted from the row's own corner."""
    view = chat.page.chat.list
    box = view.visualRect(view.model().index(number, 0))
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=box.topLeft() + at.toPoint())


def open_menu(chat: Meeting, number: int) -> None:
    panel = chat.page.chat
    panel.list.menuRequested.emit(panel.model.row(number), QPoint(10, 10))


def menu_names(chat: Meeting) -> set[str]:
    menus = chat.page.findChildren(Menu, "chatMenu")
    names = {one.objectName() for menu in menus for one in menu.actions()} - {""}
    for menu in menus:
        menu.close()
    QApplication.processEvents()
    return names


def sent(chat: Meeting) -> list[tuple[tuple[object, ...], dict[str, object]]]:
    return [(args, options) for name, args, options in chat.engine.asked if name == "send_chat"]


# -- the list -------------------------------------------------------------------------------


def test_few_messages_stand_at_the_bottom(chat: Meeting) -> None:
    chat.post(line("1"))
    view = chat.page.chat.list
    box = view.visualRect(view.model().index(0, 0))
    bottom = view.viewport().mapTo(view, box.bottomLeft()).y()

    assert view.height() - 16 <= bottom <= view.height()
    assert not chat.page.chat._empty.isVisible()


def test_text_grows_in_its_place_and_the_end_stays_in_sight(chat: Meeting) -> None:
    for number in range(30):
        chat.post(line(str(number)))
    bar = chat.page.chat.list.verticalScrollBar()
    for count in (1, 30, 90):
        chat.post(replace(line("g", "word " * count), growing=True))
        assert bar.value() == bar.maximum() > 0

    bar.setValue(bar.maximum() // 2)
    before = bar.value()
    chat.post(line("g", "word " * 200))
    assert bar.value() == before
    assert chat.page.chat.model.rowCount() == 31


def test_old_lines_arrive_above_and_move_nothing_that_is_read(chat: Meeting) -> None:
    for number in range(40):
        chat.post(line(str(number), f"Line {number}"))
    view = chat.page.chat.list
    view.verticalScrollBar().setValue(view.verticalScrollBar().maximum() // 2)
    index = view.indexAt(QPoint(100, 40))
    key = chat.page.chat.model.row(index.row()).key
    top = view.visualRect(index).top()

    old = tuple(replace(line(f"old{n}"), at_ms=NOW_MS - 60_000, is_old=True) for n in range(20))
    chat.post(ChatHistoryReceived(old))

    place = chat.page.chat.model.log.place_of(key)
    assert place == index.row() + 20
    assert abs(view.visualRect(view.model().index(place, 0)).top() - top) <= 2
    assert chat.page.chat.unread.count == 0


def test_of_a_long_chat_the_view_holds_the_end_and_more_on_the_way_up(chat: Meeting) -> None:
    old = tuple(replace(line(f"old{n}"), at_ms=NOW_MS - 60_000, is_old=True) for n in range(400))
    chat.post(ChatHistoryReceived(old))
    panel = chat.page.chat
    assert (panel.model.rowCount(), len(panel.model.log.rows)) == (100, 400)
    assert panel.list.is_at_end()

    bar = panel.list.verticalScrollBar()
    for _ in range(8):
        bar.setValue(0)
    assert panel.model.rowCount() == 400
    assert panel.model.row(0).id == "old0"
    chat.post(line("new"))
    assert panel.pill.text() == "1 new message ↓"
    chat.click("chatNewMessages")
    assert panel.model.rowCount() == 100
    assert panel.model.row(99).id == "new"
    assert bar.value() == bar.maximum()

    chat.post(replace(line("r"), quote=ChatQuote("old3", "kai-3", "Kai", "?")))
    quote = laid(chat, 100).quote
    assert quote is not None
    press(chat, 100, quote.center())
    shown = panel.model.row(panel.list.currentIndex().row())
    assert shown.id == "old3"


def test_the_keyboard_reaches_messages(chat: Meeting) -> None:
    chat.post(line("1", "first"), line("2", "second", "noa-1"))
    view = chat.page.chat.list
    view.setFocus(Qt.FocusReason.TabFocusReason)
    assert view.currentIndex().row() == 1
    QTest.keyClick(view, Qt.Key.Key_Up)
    assert view.currentIndex().row() == 0
    QTest.keyClick(view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QApplication.clipboard().text() == "first"
    QTest.keyClick(view, Qt.Key.Key_Return)
    assert chat.is_shown("chatReplyBar")
    assert chat.page.chat.composer.field.hasFocus()


def painted_row(chat: Meeting, number: int, state: QStyle.StateFlag) -> QImage:
    """One row, as the list paints it in that state, on nothing."""
    delegate = chat.page.chat.list.delegate
    index = chat.page.chat.model.index(number)
    option = QStyleOptionViewItem()
    option.rect = QRect(0, 0, 342, round(laid(chat, number).height_px))
    option.state = state
    image = QImage(option.rect.size(), QImage.Format.Format_ARGB32)
    image.fill(0)
    painter = QPainter(image)
    delegate.paint(painter, option, index)
    painter.end()
    return image


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_ring_around_a_message_crosses_none_of_its_letters(chat: Meeting, number: int) -> None:
    chat.post(
        line("1", "to all, again"), line("2", "The plan: Åby, Éva\nquietly"), line("3", "jumpy gap")
    )
    plain = painted_row(chat, number, QStyle.StateFlag.State_Enabled)
    ringed = painted_row(chat, number, QStyle.StateFlag.State_HasFocus)

    points = [(x, y) for x in range(plain.width()) for y in range(plain.height())]
    ring = {at for at in points if plain.pixel(*at) != ringed.pixel(*at)}
    letters = {at for at in points if plain.pixelColor(*at).alpha() > 60}
    assert ring
    assert letters
    assert not ring & letters


def test_a_text_that_broke_off_is_not_shown_as_a_whole_one(chat: Meeting) -> None:
    chat.post(replace(line("1", "We could"), growing=True))
    chat.post(replace(line("1", "We could"), broken=True))

    text = laid(chat, 0).layout
    assert text is not None
    assert text.text() == "We could … (broke off)"
    assert "broke off" in str(chat.page.chat.model.index(0).data())


def test_a_picture_is_decoded_small_and_opens(
    chat: Meeting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def open_url(url: QUrl) -> bool:
        opened.append(url.toLocalFile())
        return True

    monkeypatch.setattr(QDesktopServices, "openUrl", staticmethod(open_url))
    image = QImage(1600, 800, QImage.Format.Format_RGB32)
    image.fill(QColor("#3366cc"))
    path = tmp_path / "plan.png"
    assert image.save(str(path))
    attachment = ChatAttachment("a", "plan.png", 9, AttachmentState.COMING)
    chat.post(replace(line("1", "The plan"), attachments=(attachment,)))
    coming = laid(chat, 0).pictures[0][1].height()
    here = replace(attachment, state=AttachmentState.HERE, path=path)
    chat.post(replace(line("1", "The plan"), attachments=(here,)))
    panel = chat.page.chat
    chat.qtbot.waitUntil(lambda: panel.previews.size_of(path) is not None, timeout=30_000)

    box = laid(chat, 0).pictures[0][1]
    shown = panel.previews.picture(path, 252)
    assert shown is not None
    assert (shown.width(), shown.height()) == (252, 126)
    assert (box.width(), box.height()) == (252, 126)
    assert coming == 142
    seen = panel.list.grab().toImage()
    view = panel.list
    at = view.viewport().mapTo(view, view.visualRect(view.model().index(0, 0)).topLeft())
    assert seen.pixelColor(at + box.center().toPoint()) == QColor("#3366cc")
    press(chat, 0, box.center())
    assert opened == [str(path)]


def test_a_picture_that_is_none_breaks_nothing(chat: Meeting, tmp_path: Path) -> None:
    path = tmp_path / "evil.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    attachment = ChatAttachment("a", "evil.png", 9, AttachmentState.HERE, path)
    chat.post(replace(line("1", ""), attachments=(attachment,)))
    panel = chat.page.chat
    panel.list.grab()
    chat.qtbot.waitUntil(lambda: panel.previews.size_of(path) is not None, timeout=30_000)

    shown = panel.previews.picture(path, 252)
    assert shown is not None
    assert shown.isNull()
    panel.list.grab()


def test_hostile_lines_are_laid_out(chat: Meeting) -> None:
    chat.post(line("1", "x" * 20_000), line("2", "\n" * 500), line("3", "\u202e<b>&amp;" * 50))
    chat.page.chat.list.grab()

    assert chat.page.chat.model.rowCount() == 3


# -- writing --------------------------------------------------------------------------------


def test_a_reply_shows_what_it_answers_and_can_be_called_off(chat: Meeting) -> None:
    chat.post(line("1", "Who brings seeds?"))
    open_menu(chat, 0)
    chat.choose("actionReply")
    assert chat.page.chat.composer.bar.title.full_text() == "Replying to Kai"
    chat.click("chatReplyCancel")
    assert not chat.is_shown("chatReplyBar")

    open_menu(chat, 0)
    chat.choose("actionReply")
    write(chat, "Me")
    press_enter(chat)

    assert sent(chat) == [(("Me",), {"to": (), "reply_to": "1", "files": ()})]
    assert not chat.is_shown("chatReplyBar")


def test_a_quote_leads_to_what_it_answers(chat: Meeting) -> None:
    chat.post(line("1", "Who brings seeds?"))
    for number in range(40):
        chat.post(line(f"m{number}"))
    chat.post(replace(line("r", "Me", "mia-2"), quote=ChatQuote("1", "kai-3", "Kai", "Who?")))
    quote = laid(chat, 41).quote
    assert quote is not None
    press(chat, 41, quote.center())

    view = chat.page.chat.list
    assert view.viewport().rect().intersects(view.visualRect(view.model().index(0, 0)))


def test_escape_ends_a_reply_before_it_closes_the_panel(chat: Meeting) -> None:
    chat.post(line("1"))
    open_menu(chat, 0)
    chat.choose("actionReply")
    QTest.keyClick(chat.page.chat.composer.field, Qt.Key.Key_Escape)

    assert not chat.is_shown("chatReplyBar")
    assert chat.page.open_panel_name == "chat"


def test_up_changes_ones_last_message(chat: Meeting) -> None:
    chat.post(line("1", "helo", "noa-1"), line("2", "hi"))
    field = chat.page.chat.composer.field
    QTest.keyClick(field, Qt.Key.Key_Up)
    assert field.toPlainText() == "helo"
    field.setPlainText("hello")
    press_enter(chat)

    assert chat.engine.calls("edit_chat") == [("1", "hello")]
    assert field.toPlainText() == ""
    chat.post(replace(line("1", "hello", "noa-1"), edited=True))
    assert "edited" in str(chat.page.chat.model.index(0).data())


def test_deleting_is_asked_about(chat: Meeting) -> None:
    chat.post(line("1", "oops", "noa-1"))
    open_menu(chat, 0)
    chat.choose("actionDeleteMessage")
    assert chat.engine.calls("delete_chat") == []
    chat.click("confirmYes")

    assert chat.engine.calls("delete_chat") == [("noa-1", "1")]
    chat.post(replace(line("1", "", "noa-1"), deleted=True))
    assert "message deleted" in str(chat.page.chat.model.index(0).data())
    open_menu(chat, 0)
    assert menu_names(chat) == set()


def test_a_host_deletes_what_others_wrote_and_a_guest_does_not(make_meeting: MakeMeeting) -> None:
    for is_host in (True, False):
        chat = make_meeting(3, host=is_host)
        chat.page.open_panel("chat")
        chat.post(line("1"))
        open_menu(chat, 0)
        names = menu_names(chat)
        assert ("actionDeleteMessage" in names) == is_host
        assert "actionEditMessage" not in names


def test_a_private_message_goes_to_one_person_even_when_they_left(chat: Meeting) -> None:
    chat.click("chatRecipient")
    chat.choose("actionTo_kai-3")
    field = chat.page.chat.composer.field
    assert field.placeholderText() == "Only Kai will see this"
    assert chat.page.focusWidget() is field
    write(chat, "psst")
    press_enter(chat)
    assert sent(chat)[0][1]["to"] == ("kai-3",)

    write(chat, "again")
    chat.post(PersonLeft("kai-3", "Kai"))
    assert not chat.find("chatSend").isEnabled()
    press_enter(chat)
    assert len(sent(chat)) == 1
    chat.click("chatRecipient")
    chat.choose("actionToEveryone")
    press_enter(chat)
    assert sent(chat)[1][1]["to"] == ()


def test_a_private_line_is_answered_privately(chat: Meeting) -> None:
    chat.post(replace(line("1", "psst"), private=True, to=("noa-1",)))
    assert "only you" in str(chat.page.chat.model.index(0).data())
    open_menu(chat, 0)
    chat.choose("actionReply")
    write(chat, "yes")
    press_enter(chat)

    assert sent(chat)[0][1] == {"to": ("kai-3",), "reply_to": "1", "files": ()}


def test_pictures_wait_beside_the_draft_and_other_files_go_to_files(
    chat: Meeting, tmp_path: Path
) -> None:
    picture, other = tmp_path / "a.png", tmp_path / "b.pdf"
    chat.page.chat_deeds.attach([picture, other])
    assert chat.is_shown("chatPictures")
    assert [args[0] for args in chat.engine.calls("send_file")] == [other]
    press_enter(chat)

    assert sent(chat) == [(("",), {"to": (), "reply_to": "", "files": (picture,)})]
    assert not chat.is_shown("chatPictures")


def paste(chat: Meeting) -> None:
    QTest.keyClick(chat.page.chat.composer.field, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)


@pytest.fixture
def clipboard(qapp: QApplication) -> Iterator[QClipboard]:
    """The clipboard, empty afterwards: what Python put there must not outlive Python."""
    clipboard = QGuiApplication.clipboard()
    yield clipboard
    clipboard.clear()


def bytes_of(kind: str, data: bytes, text: str = "") -> QMimeData:
    mime = QMimeData()
    mime.setData(kind, data)
    if text:
        mime.setText(text)
    return mime


def painted(width: int = 640, height: int = 360) -> QImage:
    image = QImage(width, height, QImage.Format.Format_RGB32)
    image.fill(QColor("#ff8800"))
    return image


def as_png(image: QImage) -> bytes:
    return pasted.encode(pasted.Clip(image=image))[0]


def test_a_pasted_picture_waits_beside_the_draft_and_goes_with_it(
    chat: Meeting, clipboard: QClipboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []
    encode = pasted.encode

    def watched(one: pasted.Clip) -> tuple[bytes, str]:
        threads.append(threading.current_thread() is threading.main_thread())
        return encode(one)

    monkeypatch.setattr(pasted, "encode", watched)
    write(chat, "look")
    clipboard.setImage(painted())
    paste(chat)
    paste(chat)
    QApplication.processEvents()

    assert threads == [False, False]
    assert chat.page.chat.composer.field.toPlainText() == "look"
    assert chat.is_shown("chatPictureRemove_1")
    assert sent(chat) == []
    thumbnails = chat.page.chat.composer.pictures.previews
    first = chat.page.chat.composer.draft().files[0]
    chat.qtbot.waitUntil(lambda: thumbnails.size_of(first) == QSize(640, 360), timeout=30_000)
    chat.click("chatPictureRemove_1")
    press_enter(chat)

    ((args, options),) = sent(chat)
    (path,) = cast("tuple[Path, ...]", options["files"])
    assert (args, path.name) == (("look",), "Pasted picture.png")
    assert QImage(str(path)).pixelColor(5, 5) == QColor("#ff8800")
    # It may still be on its way, or be sent again: it stays until the meeting is over.
    chat.page.close_meeting()
    assert not path.parent.exists()


def test_what_the_clipboard_has_as_a_file_is_sent_as_it_is(
    chat: Meeting, clipboard: QClipboard
) -> None:
    data = as_png(painted(3, 2))
    clipboard.setMimeData(bytes_of("image/png", data))
    paste(chat)

    (path,) = chat.page.chat.composer.draft().files
    assert path.read_bytes() == data


def test_text_is_pasted_as_before_also_where_a_picture_lies_beside_it(
    chat: Meeting, clipboard: QClipboard
) -> None:
    field = chat.page.chat.composer.field
    clipboard.setText("two\nlines")
    paste(chat)
    clipboard.setMimeData(bytes_of("image/png", as_png(painted()), text=" and cells"))
    paste(chat)

    assert field.toPlainText() == "two\nlines and cells"
    assert not chat.is_shown("chatPictures")


def test_a_menu_offers_to_paste_a_picture_without_fetching_it(chat: Meeting) -> None:
    class Far(QMimeData):
        def formats(self) -> list[str]:
            return ["image/png"]

        def hasFormat(self, kind: str) -> bool:  # noqa: N802 - Qt's name
            return kind == "image/png"

        def retrieveData(self, kind: str, _as: object) -> bytes:  # noqa: N802 - Qt's name
            raise AssertionError(f"{kind} was fetched from another program")

    field = chat.page.chat.composer.field
    assert field.canInsertFromMimeData(bytes_of("image/png", b""))
    assert field.canInsertFromMimeData(Far())
    assert not field.canInsertFromMimeData(bytes_of("audio/wav", b""))


def test_a_copied_picture_file_is_attached_and_any_other_stays_text(
    chat: Meeting, clipboard: QClipboard, tmp_path: Path
) -> None:
    for name in ("plan.png", "plan.pdf"):
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(tmp_path / name))])
        clipboard.setMimeData(mime)
        paste(chat)

    assert chat.page.chat.composer.draft().files == (tmp_path / "plan.png",)
    assert chat.page.chat.composer.field.toPlainText().endswith("plan.pdf")
    assert chat.engine.calls("send_file") == []


def test_what_is_no_picture_is_told(chat: Meeting, clipboard: QClipboard) -> None:
    clipboard.setMimeData(bytes_of("image/png", b"no picture at all"))
    paste(chat)

    assert chat.is_shown("toast_paste_refused")
    assert not chat.is_shown("chatPictures")


def test_a_message_waits_for_the_picture_that_is_being_made_ready(chat: Meeting) -> None:
    composer = chat.page.chat.composer
    write(chat, "look")
    composer.expect_picture()
    press_enter(chat)
    assert sent(chat) == []
    assert chat.is_shown("chatPictures")

    composer.take_picture(None)
    press_enter(chat)
    assert [args for args, _ in sent(chat)] == [("look",)]


def test_a_text_too_long_is_told_and_not_sent(chat: Meeting) -> None:
    left = chat.find_as("chatCharsLeft", TextLabel)
    field = chat.page.chat.composer.field
    field.setPlainText("x" * (MAX_TEXT_CHARS - 10))
    assert (left.text(), left.isVisible()) == ("10 characters left", True)
    assert chat.find("chatSend").isEnabled()
    field.setPlainText("x" * (MAX_TEXT_CHARS + 10))
    assert left.text() == "10 characters too many"
    assert not chat.find("chatSend").isEnabled()
    press_enter(chat)
    assert sent(chat) == []


def test_an_emoji_is_put_into_the_text(chat: Meeting) -> None:
    write(chat, "hi ")
    chat.click("chatEmoji")
    picker = chat.find("chatEmojiPicker")
    cell = picker.focusWidget()
    assert cell is not None
    assert cell.accessibleName()
    QTest.keyClick(cell, Qt.Key.Key_Return)

    text = chat.page.chat.composer.field.toPlainText()
    assert len(text) == 4
    assert not text.isascii()


# -- how it fares ---------------------------------------------------------------------------


def test_a_failed_line_is_sent_again_when_retry_is_pressed(chat: Meeting) -> None:
    failed = replace(line("1", "Lost", "noa-1"), state=ChatState.FAILED)
    chat.post(failed, ChatFailed("1", Reason.PEER_GONE))
    note = laid(chat, 0)
    hit = note.hit(QPointF(100, note.note_y + 5))
    assert hit is not None
    assert hit.target is Target.RETRY
    press(chat, 0, QPointF(100, note.note_y + 5))

    assert chat.engine.calls("retry_chat") == [("1",)]
    chat.post(replace(failed, state=ChatState.SENT))
    assert laid(chat, 0).note == ""


def test_while_reconnecting_a_line_says_that_it_waits(chat: Meeting) -> None:
    chat.post(ReconnectStarted(), replace(line("1", who="noa-1"), state=ChatState.SENDING))
    assert laid(chat, 0).note == "Waiting for the connection"
    chat.post(Reconnected(people(4)), line("1", who="noa-1"))
    assert laid(chat, 0).note == ""


def test_who_types_is_shown_and_ones_own_typing_is_told(chat: Meeting) -> None:
    chat.post(TypingChanged((("kai-3", "Kai"),)))
    assert chat.is_shown("chatTyping")
    assert chat.page.chat.typing.text == "Kai is typing…"
    chat.post(TypingChanged(()))
    assert not chat.is_shown("chatTyping")

    write(chat, "h")
    QTest.keyClick(chat.page.chat.composer.field, Qt.Key.Key_Backspace)
    assert chat.engine.calls("set_typing") == [(True, ()), (False, ())]


def test_the_typing_notice_is_a_choice(chat: Meeting) -> None:
    chosen: list[tuple[str, bool]] = []
    chat.page.settingChosen.connect(lambda name, on: chosen.append((name, on)))
    chat.click("chatMore")
    chat.choose("actionTypingNotices")

    assert chosen == [("typing_notices", False)]


def test_a_reaction_is_given_and_taken_back(chat: Meeting) -> None:
    chat.post(line("1"))
    open_menu(chat, 0)
    chat.choose("actionReact_heart")
    assert chat.engine.calls("react_to_chat") == [("kai-3", "1", "heart", True)]
    chat.post(replace(line("1"), reactions=(ChatReaction("heart", ("Noa",), True),)))
    press(chat, 0, laid(chat, 0).chips[0][1].center())

    assert chat.engine.calls("react_to_chat")[1] == ("kai-3", "1", "heart", False)


def test_more_than_nine_unread_are_many(meeting: Meeting) -> None:
    for number in range(11):
        meeting.post(line(str(number)))

    assert meeting.find("controlChat").accessibleName() == "Chat, 9+ unread"


def test_new_messages_are_read_aloud_once_they_are_whole(chat: Meeting) -> None:
    said: list[str] = []
    chat.page.chat.announced.connect(said.append)
    chat.post(
        replace(line("1", "it"), growing=True),
        replace(line("1", "it gro"), growing=True),
        line("1", "it grows"),
        line("2", "mine", "noa-1"),
        replace(line("3", "psst"), private=True, to=("noa-1",)),
        ChatHistoryReceived((replace(line("0"), is_old=True),)),
    )

    assert said == ["Kai: it grows", "Kai, only you: psst", "1 earlier message"]


# -- links and files ------------------------------------------------------------------------


def press_link(chat: Meeting) -> None:
    row = laid(chat, 0)
    hits = [
        QPointF(x, row.text_y + 8)
        for x in range(50, 330, 4)
        if (hit := row.hit(QPointF(x, row.text_y + 8))) and hit.target is Target.LINK
    ]
    press(chat, 0, hits[len(hits) // 2])


def test_a_link_that_says_something_else_is_asked_about(
    chat: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def open_url(url: QUrl) -> bool:
        opened.append(url.toString())
        return True

    monkeypatch.setattr(QDesktopServices, "openUrl", staticmethod(open_url))
    chat.post(line("1", "https://bank.example@evil.example/"))
    press_link(chat)
    assert opened == []
    texts = [one.text() for one in chat.find("confirmDialog").findChildren(TextLabel)]
    assert any("evil.example:" in text for text in texts)
    chat.click("confirmNo")
    chat.qtbot.waitUntil(lambda: not chat.page.findChildren(QWidget, "confirmDialog"))
    assert opened == []

    press_link(chat)
    chat.click("confirmYes")
    assert opened == ["https://bank.example@evil.example/"]


def test_the_chat_is_saved_as_a_file(
    chat: Meeting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat.post(line("1", "Hello"))
    chat.page.chat_deeds.export_to(tmp_path / "chat.txt")

    text = (tmp_path / "chat.txt").read_text("utf-8")
    assert text.startswith("Garden club\n")
    assert text.rstrip().endswith("Kai: Hello")
    assert chat.is_shown("toast_chat_saved")
    chat.page.chat_deeds.export_to(tmp_path / "none" / "chat.txt")
    assert chat.is_shown("toast_file_refused")


def test_a_picture_can_be_kept(chat: Meeting, tmp_path: Path) -> None:
    chat.engine._settings = replace(chat.engine.settings, downloads_folder=str(tmp_path / "got"))
    path = tmp_path / "picture-1.png"
    path.write_bytes(b"data")
    attachment = ChatAttachment("a", "../plan.png", 4, AttachmentState.HERE, path)
    chat.post(replace(line("1"), attachments=(attachment,)))
    open_menu(chat, 0)
    chat.choose("actionSavePicture")

    (kept,) = (tmp_path / "got").iterdir()
    assert kept.read_bytes() == b"data"
    assert kept.name.endswith("plan.png")
