from __future__ import annotations

from dataclasses import replace

import pytest

from app.engine.events import Outcome, Transfer, TransferState
from app.runtime.errors import Reason
from app.ui.files.model import (
    RateMeter,
    Section,
    TransferBook,
    failure_of,
    icon_name,
    look_of,
    meta_text,
    progress_label,
    size_label,
    time_left_label,
)
from app.ui.files.receivers import who_has_it

MB = 1_000_000
CUT = Transfer("t1", "open-day-cut.mp4", 504 * MB, 0, True, "", TransferState.RUNNING)


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (412_000, "412 kB"),
        (999_600, "1 MB"),
        (1_200_000, "1.2 MB"),
        (504 * MB, "504 MB"),
        (2_500_000_000, "2.5 GB"),
    ],
)
def test_sizes_read_like_sizes(size_bytes: int, words: str) -> None:
    assert size_label(size_bytes) == words


def test_progress_is_told_in_the_unit_of_the_whole() -> None:
    assert progress_label(312 * MB, 504 * MB) == "312 of 504 MB"
    assert progress_label(200_000, 1_200_000) == "0.2 of 1.2 MB"
    assert progress_label(600 * MB, 504 * MB) == "504 of 504 MB"


def test_time_left_is_never_too_precise() -> None:
    assert time_left_label(0.2) == "1 s left"
    assert time_left_label(5.4) == "5 s left"
    assert time_left_label(130) == "2 min left"
    assert time_left_label(7300) == "2 h left"


def test_the_rate_is_the_mean_of_three_seconds() -> None:
    meter = RateMeter()
    for second, done in enumerate((0, 10, 20, 30, 100, 170, 240)):
        meter.handle_progress(done * MB, float(second))

    assert meter.rate_bps(6.0) == 70 * MB


def test_the_time_left_is_hidden_while_it_is_a_guess() -> None:
    meter = RateMeter()
    meter.handle_progress(0, 0.0)
    meter.handle_progress(41 * MB, 1.0)
    assert meter.time_left_s(100 * MB, 1.0) is None

    meter.handle_progress(82 * MB, 2.0)
    assert meter.time_left_s(82 * MB, 2.0) == 2.0


def test_a_retry_starts_the_rate_again() -> None:
    meter = RateMeter()
    meter.handle_progress(50 * MB, 0.0)
    meter.handle_progress(90 * MB, 1.0)
    meter.handle_progress(0, 2.0)

    assert meter.rate_bps(2.0) == 0.0


def test_a_running_row_tells_amount_rate_and_time() -> None:
    meter = RateMeter()
    meter.handle_progress(189 * MB, 0.0)
    meter.handle_progress(312 * MB, 3.0)
    running = replace(CUT, done_bytes=312 * MB)

    assert meta_text(running, meter, 3.0) == "312 of 504 MB · 41 MB/s · 5 s left"
    received = replace(running, outgoing=False, peer_name="Kai")
    assert meta_text(received, meter, 3.0) == "From Kai · 312 of 504 MB · 41 MB/s"


def test_a_row_says_from_whom_and_when() -> None:
    seeds = Transfer("t2", "seed.zip", 64 * MB, 18 * MB, False, "Kai", TransferState.RUNNING)
    rota = Transfer("t3", "rota.pdf", 1_200_000, 1_200_000, False, "Mia", TransferState.DONE)
    sent = replace(CUT, state=TransferState.DONE)

    assert meta_text(seeds, RateMeter(), 0.0) == "From Kai · 18 of 64 MB"
    assert meta_text(rota, RateMeter(), 0.0, "14:01") == "From Mia · 1.2 MB · 14:01"
    assert meta_text(sent, RateMeter(), 0.0) == "Sent to everyone · 504 MB"


@pytest.mark.parametrize(
    ("by_me", "by", "words"),
    [
        (True, (), "Cancelled by you · 504 MB"),
        (True, ("Kai",), "Cancelled by you · 504 MB"),
        (False, ("Kai",), "Cancelled by Kai · 504 MB"),
        (False, ("Kai", "Mia"), "Cancelled by Kai and Mia · 504 MB"),
        (False, ("Kai", "Mia", "Jun"), "Cancelled by Kai and 2 others · 504 MB"),
        (False, (), "Cancelled · 504 MB"),
    ],
)
def test_a_cancelled_file_says_who_cancelled_it(
    by_me: bool, by: tuple[str, ...], words: str
) -> None:
    cut = replace(CUT, state=TransferState.CANCELLED, cancelled_by_me=by_me, cancelled_by=by)

    assert meta_text(cut, RateMeter(), 0.0) == words


@pytest.mark.parametrize("reason", [None, *Reason])
def test_every_failure_has_words(reason: Reason | None) -> None:
    for outgoing in (True, False):
        text = failure_of(replace(CUT, outgoing=outgoing, peer_name="Kai", error=reason))
        assert text
        assert "_" not in text


def test_a_peer_who_went_is_named() -> None:
    gone = replace(CUT, peer_name="Kai", error=Reason.PEER_GONE)
    assert failure_of(gone) == "Kai went offline before it finished"


def test_rows_move_from_running_to_shared() -> None:
    book = TransferBook()

    assert book.handle(CUT, 0.0)
    assert not book.handle(replace(CUT, done_bytes=MB), 0.5)
    assert [t.id for t in book.in_section(Section.SENDING)] == ["t1"]
    assert book.running == 1
    assert book.handle(replace(CUT, state=TransferState.DONE), 1.0)
    assert book.in_section(Section.SENDING) == []
    assert [t.id for t in book.in_section(Section.SHARED)] == ["t1"]
    assert book.running == 0


def test_files_have_the_icon_of_their_kind() -> None:
    assert icon_name("cut.MP4") == "film-strip"
    assert icon_name("notes.docx") == "file-text"
    assert icon_name("README") == "file"


def test_a_paused_transfer_says_where_it_stands_and_by_whom() -> None:
    paused = replace(CUT, done_bytes=48 * MB, size_bytes=210 * MB, state=TransferState.PAUSED)
    mine = replace(paused, peer_name="Lena", paused_by_me=True)
    meter = RateMeter()

    assert meta_text(mine, meter, 0.0) == "To Lena · paused at 48 of 210 MB"
    theirs = replace(mine, paused_by_me=False)
    assert meta_text(theirs, meter, 0.0) == "Paused by Lena at 48 of 210 MB"
    everybody = replace(mine, peer_name="")
    assert meta_text(everybody, meter, 0.0) == "Paused at 48 of 210 MB"


def test_a_folder_tells_how_many_files_it_holds() -> None:
    folder = replace(
        CUT, state=TransferState.OFFERED, outgoing=False, peer_name="Kai", is_folder=True, files=12
    )

    assert meta_text(folder, RateMeter(), 0.0) == "From Kai · 12 files · 504 MB"
    assert icon_name("photos.zip", is_folder=True) == "folder-simple"


def test_a_file_that_not_everybody_has_is_not_said_to_be_with_everyone() -> None:
    done = replace(CUT, state=TransferState.DONE, receivers=5, received=3)

    assert meta_text(done, RateMeter(), 0.0).startswith("Sent to 3 of 5")
    assert meta_text(replace(done, received=5), RateMeter(), 0.0).startswith("Sent to everyone")


def test_who_did_not_get_it_is_named_and_everybody_is_on_the_tooltip() -> None:
    told = (
        Outcome("Mia", TransferState.DONE),
        Outcome("Lena", TransferState.DECLINED),
        Outcome("Kai", TransferState.DONE),
    )
    done = replace(CUT, state=TransferState.DONE, receivers=3, received=2, outcomes=told)
    line = "Sent to 2 of 3, not to Lena · 504 MB"
    assert meta_text(done, RateMeter(), 0.0) == line
    assert who_has_it(done) == "Sent to Mia and Kai\nLena did not take it"

    more = (
        *told,
        Outcome("Tom", TransferState.FAILED, Reason.PEER_GONE),
        Outcome("Zoe", TransferState.FAILED, Reason.DISK_FULL),
    )
    fewer = replace(done, receivers=5, outcomes=more)
    assert "2 of 5, not to Lena and 2 others" in meta_text(fewer, RateMeter(), 0.0)
    assert who_has_it(fewer).split("\n")[2:] == [
        "Tom went offline before it finished",
        "Zoe\u2019s disk is full",
    ]
    assert who_has_it(replace(fewer, peer_name="Mia")) == ""
    crowd = tuple(Outcome(f"P{n}", TransferState.CANCELLED) for n in range(12))
    assert who_has_it(replace(done, outcomes=crowd)).endswith("\n4 others did not get it")


def test_one_reason_is_told_only_where_it_was_everybodys() -> None:
    kai = Outcome("Kai", TransferState.FAILED, Reason.PEER_GONE)
    tom = Outcome("Tom", TransferState.FAILED, Reason.PEER_GONE)
    mia = Outcome("Mia", TransferState.CANCELLED)
    failed = replace(CUT, state=TransferState.FAILED, error=Reason.PEER_GONE, receivers=2)
    gone = replace(failed, outcomes=(kai, tom))
    mixed = replace(failed, outcomes=(kai, mia), cancelled_by=("Mia",))

    assert failure_of(gone) == "Everyone went offline before it finished"
    assert meta_text(mixed, RateMeter(), 0.0) == "Nobody got it"
    assert who_has_it(mixed) == "Kai went offline before it finished\nMia cancelled it"
    assert failure_of(replace(gone, error=Reason.DISK_FULL)) == "Their disks are full"
    declined = replace(mixed, state=TransferState.DECLINED, error=None)
    assert meta_text(declined, RateMeter(), 0.0) == "Nobody took it · 504 MB"


def test_who_is_slow_to_answer_is_not_said_to_have_gone() -> None:
    late = replace(CUT, state=TransferState.FAILED, peer_name="Dee", error=Reason.TIMEOUT)

    assert meta_text(late, RateMeter(), 0.0) == "Dee can\u2019t go on with it now"


def test_who_dropped_out_is_waited_for_and_has_not_paused() -> None:
    paused = replace(CUT, state=TransferState.PAUSED, done_bytes=15 * MB, peer_name="Dee")

    assert meta_text(paused, RateMeter(), 0.0) == "Paused by Dee at 15 of 504 MB"
    gone = replace(paused, is_waiting=True)
    assert meta_text(gone, RateMeter(), 0.0) == "Waiting for Dee · 15 of 504 MB"
    assert meta_text(replace(gone, peer_name=""), RateMeter(), 0.0).startswith("Waiting for others")


def test_what_is_over_the_limit_names_the_limit() -> None:
    failed = replace(CUT, state=TransferState.FAILED, error=Reason.TOO_LARGE)
    incoming = replace(failed, outgoing=False, limit_bytes=5_000 * MB)
    meter = RateMeter()

    assert meta_text(incoming, meter, 0.0) == "This file is over the 5 GB limit"
    assert meta_text(failed, meter, 0.0) == "This file is too large to send here"
    unasked = replace(incoming, limit_bytes=0)
    assert meta_text(unasked, meter, 0.0) == "This file is too large to be kept until you accept it"


@pytest.mark.parametrize(
    ("state", "outgoing", "can", "buttons"),
    [
        (TransferState.OFFERED, False, False, {"accepts", "dismiss"}),
        (TransferState.OFFERED, True, False, {"dismiss"}),
        (TransferState.RUNNING, True, True, {"pauses", "dismiss"}),
        (TransferState.RUNNING, True, False, {"dismiss"}),
        (TransferState.RUNNING, False, True, {"pauses", "dismiss"}),
        (TransferState.RUNNING, False, False, {"dismiss"}),
        (TransferState.FAILED, True, False, {"retry", "dismiss"}),
        (TransferState.FAILED, False, True, {"retry", "dismiss"}),
        (TransferState.FAILED, False, False, {"dismiss"}),
        (TransferState.DECLINED, True, False, {"retry", "dismiss"}),
        (TransferState.DONE, True, False, set()),
    ],
)
def test_a_row_offers_what_can_be_done(
    state: TransferState, outgoing: bool, can: bool, buttons: set[str]
) -> None:
    look = look_of(replace(CUT, state=state, outgoing=outgoing, pausable=can, resumable=can))
    names = ("accepts", "pauses", "resumes", "retry", "dismiss", "opens")

    assert {name for name in names if getattr(look, name)} == buttons
