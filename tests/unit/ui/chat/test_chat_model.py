from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from app.engine.events import ChatFailed, ChatReceived
from app.runtime.errors import Reason
from app.ui.chat.model import ChatLog, Link, UnreadCounter, clock_label, day_label, find_links

NOON_MS = int(datetime(2026, 5, 12, 12, 0, tzinfo=UTC).timestamp() * 1000)
MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS


def line(
    message_id: str, at_ms: int = NOON_MS, who: str = "kai", text: str = "Hello"
) -> ChatReceived:
    return ChatReceived(message_id, who, who.title(), text, at_ms, is_mine=who == "me")


def starts(*lines: ChatReceived) -> list[tuple[bool, bool]]:
    log = ChatLog(UTC)
    for one in lines:
        log.handle(one)
    return [(row.starts_day, row.starts_group) for row in log.rows]


def test_lines_of_one_person_within_five_minutes_are_one_group() -> None:
    assert starts(line("1"), line("2", NOON_MS + 4 * MINUTE_MS)) == [(True, True), (False, False)]


def test_a_pause_another_person_or_another_day_starts_a_group() -> None:
    assert starts(
        line("1"),
        line("2", NOON_MS + 5 * MINUTE_MS),
        line("3", NOON_MS + 6 * MINUTE_MS, "lena"),
        line("4", NOON_MS + DAY_MS, "lena"),
    ) == [(True, True), (False, True), (False, True), (True, True)]


def test_midnight_splits_a_group_that_five_minutes_would_join() -> None:
    late = NOON_MS + 12 * 60 * MINUTE_MS - MINUTE_MS

    assert starts(line("1", late), line("2", late + 2 * MINUTE_MS))[1] == (True, True)


def test_a_repeated_id_from_the_same_sender_is_an_edit() -> None:
    log = ChatLog(UTC)
    log.handle(line("1"))
    log.handle(line("1", who="lena"))
    change = log.handle(line("1", text="Hello!"))

    assert [(row.name, row.text, row.edited) for row in log.rows] == [
        ("Kai", "Hello!", True),
        ("Lena", "Hello", False),
    ]
    assert change is not None
    assert (change.first, change.inserted) == (0, False)


def test_a_line_that_could_not_be_sent_says_so() -> None:
    log = ChatLog(UTC)
    log.handle(line("1", who="me"))
    log.handle(ChatFailed("1", Reason.NO_ROUTE))

    assert log.rows[0].failed is Reason.NO_ROUTE


def test_a_refusal_that_overtakes_the_line_is_kept_for_it() -> None:
    log = ChatLog(UTC)
    assert log.handle(ChatFailed("1", Reason.NO_ROUTE)) is None
    log.handle(line("1", who="me"))

    assert log.rows[0].failed is Reason.NO_ROUTE


def test_links_end_before_the_sentence_does() -> None:
    assert find_links("See https://seeds.example/spring, please.") == [
        Link(4, 32, "https://seeds.example/spring")
    ]
    assert find_links("(http://a.example/b_(c))")[0].url == "http://a.example/b_(c)"
    assert find_links("HTTPS://A.example?")[0].url == "HTTPS://A.example"


def test_only_web_addresses_are_links() -> None:
    assert find_links("javascript:alert(1) file:///etc/passwd lanai://x https:// mailto:a@b") == []


@given(st.text(max_size=200))
def test_every_link_is_a_slice_of_its_text(text: str) -> None:
    for link in find_links(text + " https://x.example/" + text):
        assert (text + " https://x.example/" + text)[link.start : link.end] == link.url
        assert link.url.lower().startswith(("http://", "https://"))


def test_days_have_the_words_people_use() -> None:
    assert day_label(NOON_MS, NOON_MS, UTC) == "Today"
    assert day_label(NOON_MS - DAY_MS, NOON_MS, UTC) == "Yesterday"
    assert day_label(NOON_MS, NOON_MS + 3 * DAY_MS, UTC) == "Tuesday 12 May"
    assert clock_label(NOON_MS + 2 * MINUTE_MS, UTC) == "12:02"


def test_unread_messages_are_counted_up_to_nine() -> None:
    unread = UnreadCounter()
    assert unread.badge == ""
    unread.handle_message(being_read=True)
    assert unread.badge == ""
    unread.handle_message(being_read=False)
    assert (unread.badge, unread.pill) == ("1", "1 new message ↓")
    for _ in range(9):
        unread.handle_message(being_read=False)
    assert (unread.badge, unread.pill) == ("9+", "10 new messages ↓")
    unread.clear()
    assert unread.badge == ""
