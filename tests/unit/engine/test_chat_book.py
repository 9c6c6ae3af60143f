from __future__ import annotations

import pytest

from app.engine import chat_book
from app.engine.chat import MAX_TEXT_CHARS, ChatLine, HeaderNote
from app.engine.chat_book import ChatBook, Entry
from app.engine.events import AttachmentState, ChatAttachment, ChatReceived, ChatState


def make_book() -> ChatBook:
    book = ChatBook(str.title)
    book.me = "me"
    return book


def say(
    book: ChatBook,
    line_id: str = "1",
    text: str = "hi",
    who: str = "ada",
    note: HeaderNote = HeaderNote(),  # noqa: B008
    *,
    at_ms: int = 5,
    growing: bool = False,
) -> ChatReceived | None:
    return book.handle_line(ChatLine(line_id, text, at_ms), who, note, now_ms=99, growing=growing)


def kept(event: ChatReceived | None) -> ChatReceived:
    assert event is not None
    return event


def test_the_same_line_in_two_forms_is_shown_once() -> None:
    book = make_book()

    assert say(book) == ChatReceived("1", "ada", "Ada", "hi", 5, is_mine=False)
    assert say(book, at_ms=6) is None


def test_an_edit_keeps_the_first_time() -> None:
    book = make_book()
    say(book, text="helo")

    edited = kept(say(book, text="hello", at_ms=50))

    assert (edited.text, edited.at_ms, edited.edited) == ("hello", 5, True)


def test_an_id_belongs_to_its_sender() -> None:
    book = make_book()
    say(book, text="mine")

    theirs = kept(say(book, text="forged", who="eve"))

    assert theirs.identity == "eve"
    assert kept_text(book, "ada") == "mine"


def kept_text(book: ChatBook, who: str, line_id: str = "1") -> str:
    entry = book.get(who, line_id)
    assert entry is not None
    return entry.text


def test_a_line_without_a_time_gets_ours_and_a_huge_one_is_cut() -> None:
    event = kept(say(make_book(), text="x" * 100_000, at_ms=0))

    assert (event.at_ms, len(event.text)) == (99, MAX_TEXT_CHARS)


def test_an_empty_line_is_no_line_and_no_edit() -> None:
    book = make_book()

    assert say(book, text=" \n") is None
    say(book)
    assert say(book, text=" ") is None
    assert kept_text(book, "ada") == "hi"


def test_a_line_grows_until_its_stream_ends() -> None:
    book = make_book()

    assert kept(say(book, text="one", growing=True)).growing
    assert kept(say(book, text="one two", growing=True)).text == "one two"
    whole = kept(say(book, text="one two three"))

    assert (whole.text, whole.growing, whole.edited) == ("one two three", False, False)


def test_a_line_that_breaks_off_says_so_until_it_is_edited_or_deleted() -> None:
    book = make_book()
    say(book, text="half a", growing=True)

    broken = kept(book.handle_end_of_growth("ada", "1", broken=True))
    edited = kept(say(book, text="half a sentence"))
    say(book, "2", text="and a", growing=True)
    kept(book.handle_end_of_growth("ada", "2", broken=True))
    deleted = kept(book.handle_delete("ada", "2", by="ada", may_moderate=False))

    assert (broken.text, broken.growing, broken.broken) == ("half a", False, True)
    assert (edited.edited, edited.broken) == (True, False)
    assert (deleted.deleted, deleted.broken) == (True, False)


def test_the_other_form_of_a_growing_line_is_no_edit() -> None:
    book = make_book()
    say(book, text="one two", growing=True)

    assert say(book, text="one") is None
    assert not kept(book.handle_end_of_growth("ada", "1")).edited
    assert book.handle_end_of_growth("ada", "1") is None


def test_only_the_author_and_a_host_delete() -> None:
    book = make_book()
    say(book)
    say(book, "2")

    assert book.handle_delete("ada", "1", by="eve", may_moderate=False) is None
    assert kept(book.handle_delete("ada", "1", by="ada", may_moderate=False)).deleted
    gone = kept(book.handle_delete("ada", "2", by="host", may_moderate=True))
    assert (gone.deleted, gone.text) == (True, "")


def test_what_is_deleted_stays_deleted_even_before_it_came() -> None:
    book = make_book()
    book.handle_delete("ada", "1", by="ada", may_moderate=False)

    assert say(book) is None
    say(book, "2")
    book.handle_delete("ada", "2", by="ada", may_moderate=False)
    assert say(book, "2", "back again") is None
    assert book.handle_reaction("ada", "2", by="me", glyph="heart", on=True) is None


def test_a_reply_quotes_the_first_line_of_that_id() -> None:
    book = make_book()
    say(book, "1", "Here is\nthe plan " + "x" * 500)
    say(book, "1", "forged", "eve")

    quote = kept(say(book, "2", "Thanks", "bo", HeaderNote(reply_to="1"))).quote

    assert quote is not None
    assert (quote.name, quote.identity, len(quote.text)) == ("Ada", "ada", 160)
    assert quote.text.startswith("Here is the plan xx")
    assert kept(say(book, "3", "?", "bo", HeaderNote(reply_to="nothing"))).quote is None


def test_private_lines_name_who_else_got_them() -> None:
    book = make_book()

    theirs = kept(say(book, "1", note=HeaderNote(to=("me",))))
    several = kept(say(book, "2", note=HeaderNote(to=("me", "bo"))))
    mine = kept(say(book, "3", who="me", note=HeaderNote(to=("bo",))))

    assert (theirs.private, theirs.to_names) == (True, ())
    assert several.to_names == ("Bo",)
    assert (mine.is_mine, mine.private, mine.to_names) == (True, True, ("Bo",))


def test_reactions_are_counted_once_per_person() -> None:
    book = make_book()
    say(book)
    for who in ("bo", "bo", "me"):
        book.handle_reaction("ada", "1", by=who, glyph="heart", on=True)
    shown = kept(book.handle_reaction("ada", "1", by="bo", glyph="star", on=True)).reactions

    assert [(r.glyph, r.names, r.is_mine) for r in shown] == [
        ("heart", ("Bo", "Me"), True),
        ("star", ("Bo",), False),
    ]
    assert book.handle_reaction("ada", "1", by="eve", glyph="star", on=False) is None
    left = kept(book.handle_reaction("", "1", by="bo", glyph="star", on=False)).reactions
    assert [r.glyph for r in left] == ["heart"]


def test_attachments_are_bounded() -> None:
    book = make_book()
    say(book)
    for number in range(12):
        book.handle_attachment(
            "ada", "1", ChatAttachment(str(number), "a.png", 1, AttachmentState.COMING)
        )

    entry = book.get("ada", "1")
    assert entry is not None
    assert len(entry.attachments) == 10


def test_how_ones_own_line_fares_is_told_once() -> None:
    book = make_book()
    book.handle_line(ChatLine("1", "hi", 1), "me", now_ms=1, state=ChatState.SENDING)

    assert kept(book.handle_state("1", ChatState.SENT)).state is ChatState.SENT
    assert book.handle_state("1", ChatState.SENT) is None
    assert book.handle_state("2", ChatState.SENT) is None


def old(line_id: str, who: str = "ada", text: str = "old") -> Entry:
    return Entry(line_id, who, who.title(), text, 1, is_mine=False)


def test_old_lines_come_before_live_ones_and_never_replace_them() -> None:
    book = make_book()
    say(book, "2", "live")

    events = book.handle_old([old("1"), old("2", text="forged"), old("3", "me")], [])

    assert [(e.id, e.is_mine, e.is_old) for e in events] == [("1", False, True), ("3", True, True)]
    assert [entry.id for entry in book.entries] == ["1", "3", "2"]
    assert kept_text(book, "ada", "2") == "live"


def test_a_deletion_that_one_missed_is_learnt_from_the_history() -> None:
    book = make_book()
    say(book, "2", "live")

    events = book.handle_old([old("1"), old("5")], [("ada", "2"), ("ada", "5")])

    assert [(e.id, e.deleted) for e in events] == [("1", False), ("2", True)]


def test_the_book_keeps_the_newest_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_book, "MAX_LINES", 3)
    monkeypatch.setattr(chat_book, "MAX_CHARS", 100)
    book = make_book()
    for number in range(5):
        say(book, str(number), "x")
    assert [entry.id for entry in book.entries] == ["2", "3", "4"]

    say(book, "5", "y" * 99)
    assert [entry.id for entry in book.entries] == ["4", "5"]
