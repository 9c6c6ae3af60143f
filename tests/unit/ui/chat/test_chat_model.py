from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from app.engine.events import (
    AttachmentState,
    ChatAttachment,
    ChatFailed,
    ChatHistoryReceived,
    ChatQuote,
    ChatReaction,
    ChatReceived,
    ChatState,
)
from app.runtime.errors import Reason
from app.ui.chat.model import (
    ChatLog,
    UnreadCounter,
    clock_label,
    day_label,
    private_label,
    spoken,
    told_note,
    typing_label,
)

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
    change = log.handle(replace(line("1", text="Hello!"), edited=True))

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


def test_a_line_that_grows_is_one_row_and_no_edit() -> None:
    log = ChatLog(UTC)
    log.handle(replace(line("1", text="He"), growing=True))
    log.handle(line("1", text="Hello"))

    assert [(row.text, row.edited, row.growing) for row in log.rows] == [("Hello", False, False)]
    assert log.handle(line("1", text="Hello")) is None


def test_a_retried_line_has_not_failed_any_more() -> None:
    log = ChatLog(UTC)
    log.handle(replace(line("1", who="me"), state=ChatState.FAILED))
    log.handle(ChatFailed("1", Reason.NO_ROUTE))
    log.handle(replace(line("1", who="me"), state=ChatState.SENDING))

    assert (log.rows[0].failed, log.rows[0].state) == (None, ChatState.SENDING)


def test_a_deleted_line_that_was_never_shown_is_not_shown_now() -> None:
    log = ChatLog(UTC)

    assert log.handle(replace(line("1", text=""), deleted=True)) is None
    assert log.rows == []


def old(*ids: str) -> ChatHistoryReceived:
    return ChatHistoryReceived(
        tuple(replace(line(i, NOON_MS - MINUTE_MS), is_old=True) for i in ids)
    )


def test_old_lines_go_above_live_ones_and_join_their_groups() -> None:
    log = ChatLog(UTC)
    log.handle(line("live"))
    change = log.handle(old("a", "b"))

    assert [row.id for row in log.rows] == ["a", "b", "live"]
    assert [row.starts_group for row in log.rows] == [True, False, False]
    assert change is not None
    assert (change.first, change.count, change.regrouped, change.is_old) == (0, 2, 2, True)
    assert [log.place_of(("kai", i)) for i in ("a", "live", "never")] == [0, 2, -1]


def test_a_second_history_follows_the_first_and_repeats_nothing() -> None:
    log = ChatLog(UTC)
    log.handle(old("a", "b"))
    log.handle(line("live"))
    log.handle(old("b", "c", "live"))

    assert [row.id for row in log.rows] == ["a", "b", "c", "live"]


def test_the_oldest_rows_make_room_and_the_others_keep_their_places() -> None:
    log = ChatLog(UTC, most=20)
    changes = [log.handle(line(str(n))) for n in range(25)]

    assert [row.id for row in log.rows] == [str(n) for n in range(6, 25)]
    assert [c.removed for c in changes if c is not None and c.removed] == [2, 2, 2]
    assert (log.place_of(("kai", "6")), log.place_of(("kai", "2"))) == (0, -1)
    log.handle(line("7", text="changed"))
    assert log.rows[1].text == "changed"


def test_a_private_line_starts_a_group_and_says_who_reads_it() -> None:
    log = ChatLog(UTC)
    log.handle(line("1"))
    log.handle(replace(line("2"), private=True, to=("me",)))
    log.handle(replace(line("3"), private=True, to=("me", "bo"), to_names=("Bo",)))
    log.handle(replace(line("4", who="me"), private=True, to=("bo",), to_names=("Bo",)))

    assert [row.starts_group for row in log.rows] == [True, True, True, True]
    assert [private_label(row) for row in log.rows] == [
        "",
        "Only you",
        "Only you and Bo",
        "Only Bo",
    ]


def test_a_screen_reader_hears_everything_about_a_line() -> None:
    log = ChatLog(UTC)
    log.handle(
        replace(
            line("1"),
            private=True,
            edited=True,
            quote=ChatQuote("0", "bo", "Bo", "?"),
            attachments=(ChatAttachment("a", "plan.png", 1, AttachmentState.HERE),),
            reactions=(ChatReaction("heart", ("Bo", "Lena"), False),),
        )
    )

    said = spoken(log.rows[0])
    assert said.startswith("Kai, ")
    assert said.endswith(
        "only you, edited, in reply to Bo, picture plan.png, Love from Bo and Lena: Hello"
    )


def test_hearsay_is_no_part_of_a_group_and_says_whose_word_it_is() -> None:
    log = ChatLog(UTC)
    old = [line("1"), replace(line("2"), told_by="Bo"), replace(line("3"), told_by="Bo")]
    log.handle(ChatHistoryReceived(tuple(replace(one, is_old=True) for one in old)))

    assert [row.starts_group for row in log.rows] == [True, True, False]
    assert [told_note(row) for row in log.rows] == ["", "as told by Bo", "as told by Bo"]
    assert "as told by Bo: Hello" in spoken(log.rows[1])


def test_typing_names_two_people_and_no_more() -> None:
    assert typing_label([]) == ""
    assert typing_label(["Rosa"]) == "Rosa is typing…"
    assert typing_label(["Rosa", "Kai"]) == "Rosa and Kai are typing…"
    assert typing_label(["Rosa", "Kai", "Mia"]) == "Several people are typing…"
