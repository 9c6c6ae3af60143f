from __future__ import annotations

import random

import pytest

from app.engine.captions import MAX_CAPTIONS, Captions
from app.engine.transcription import TranscriptionSegment

FINAL, OPEN = {"lk.transcription_final": "true"}, {"lk.transcription_final": "false"}


def segment(id_: str, text: str, final: bool = False) -> TranscriptionSegment:
    return TranscriptionSegment(id_, text, 0, 0, "en", final)


def words(captions: Captions) -> list[tuple[str, str, bool]]:
    return [(c.identity, c.text, c.is_final) for c in captions.list()]


def test_a_stream_of_an_agent_grows_and_its_trailer_makes_it_final() -> None:
    captions = Captions()
    captions.handle_stream("s1", "robot", {"lk.segment_id": "SG_1", **OPEN}, 1.0)
    captions.handle_piece("s1", "Hello ", 1.1)
    assert words(captions) == [("robot", "Hello ", False)]

    captions.handle_piece("s1", "there", 1.2)
    captions.handle_end("s1", FINAL, 1.3)

    assert words(captions) == [("robot", "Hello there", True)]


def test_each_wording_of_what_a_person_said_replaces_the_one_before() -> None:
    captions = Captions()
    for stream, text, final in [("s1", "I", OPEN), ("s2", "I see", OPEN), ("s3", "Icy", FINAL)]:
        captions.handle_stream(stream, "ada", {"lk.segment_id": "SG_1", **final}, 1.0)
        captions.handle_piece(stream, text, 1.0)
        captions.handle_end(stream, {}, 1.0)

    assert words(captions) == [("ada", "Icy", True)]


def test_the_old_wording_stays_until_the_first_word_of_the_new_one() -> None:
    captions = Captions()
    captions.handle_stream("s1", "ada", {"lk.segment_id": "SG_1"}, 1.0)
    captions.handle_piece("s1", "one", 1.0)
    captions.handle_stream("s2", "ada", {"lk.segment_id": "SG_1"}, 1.0)
    assert words(captions) == [("ada", "one", False)]
    assert not captions.handle_piece("s1", " late", 1.0)

    captions.handle_piece("s2", "two", 1.0)

    assert words(captions) == [("ada", "two", False)]


def test_without_a_segment_id_the_stream_is_the_segment() -> None:
    captions = Captions()
    for stream in ("s1", "s2"):
        captions.handle_stream(stream, "ada", {}, 1.0)
        captions.handle_piece(stream, stream, 1.0)
    assert [c.text for c in captions.list()] == ["s1", "s2"]


def test_packets_are_shown_until_streams_come_from_the_same_person_and_then_never_again() -> None:
    captions = Captions()
    assert captions.handle_legacy("robot", "TR_1", [segment("a", "Hel")], 1.0)
    assert captions.handle_legacy("robot", "TR_1", [segment("a", "Hello", True)], 1.0)
    assert captions.handle_legacy("ada", "TR_2", [segment("a", "Hi")], 1.0)
    assert words(captions) == [("robot", "Hello", True), ("ada", "Hi", False)]

    captions.handle_stream("s1", "robot", {"lk.segment_id": "SG_9"}, 1.0)
    captions.handle_piece("s1", "Hello", 1.0)

    assert not captions.handle_legacy("robot", "TR_1", [segment("b", "twin")], 1.0)
    assert words(captions) == [("ada", "Hi", False), ("robot", "Hello", False)]


def test_two_people_may_use_the_same_segment_id() -> None:
    captions = Captions()
    for who in ("ada", "bea"):
        captions.handle_stream(f"s-{who}", who, {"lk.segment_id": "1"}, 1.0)
        captions.handle_piece(f"s-{who}", who, 1.0)
    assert [(c.identity, c.text) for c in captions.list()] == [("ada", "ada"), ("bea", "bea")]


def test_a_stream_that_breaks_off_leaves_its_words() -> None:
    captions = Captions()
    captions.handle_stream("s1", "robot", OPEN, 1.0)
    captions.handle_piece("s1", "I was say", 1.0)
    captions.handle_break("s1", 2.0)
    assert words(captions) == [("robot", "I was say", True)]
    assert not captions.handle_piece("s1", "ing", 3.0)


def test_an_empty_wording_takes_the_words_back() -> None:
    captions = Captions()
    captions.handle_stream("s1", "ada", {"lk.segment_id": "1"}, 1.0)
    captions.handle_piece("s1", "uh", 1.0)
    captions.handle_stream("s2", "ada", {"lk.segment_id": "1", **FINAL}, 1.0)
    captions.handle_end("s2", {}, 1.0)
    assert captions.list() == ()


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_memory_is_bounded_and_nothing_breaks(seed: int) -> None:
    chance = random.Random(seed)
    captions = Captions()
    for _ in range(3_000):
        stream, who = f"s{chance.randrange(900)}", chance.choice("abc")
        match chance.randrange(5):
            case 0:
                attributes = {"lk.segment_id": str(chance.randrange(600)), **OPEN}
                captions.handle_stream(stream, who, attributes, 1.0)
            case 1:
                captions.handle_piece(stream, "x" * chance.randrange(9_000), 1.0)
            case 2:
                captions.handle_end(stream, FINAL, 1.0)
            case 3:
                captions.handle_break(stream, 1.0)
            case _:
                captions.handle_legacy(who, "", [segment(str(chance.random()), "y")], 1.0)
    assert len(captions.list()) <= MAX_CAPTIONS
    assert all(len(caption.text) <= 4_000 for caption in captions.list())
    assert len(captions._streams) <= MAX_CAPTIONS
    assert captions._starting <= set(captions._streams)
