from __future__ import annotations

from app.engine.events import Caption
from app.ui.stage.caption_lines import FINAL_STAYS_S, OPEN_STAYS_S, CaptionLine, CaptionLines


def caption(
    who: str, text: str, *, id_: str = "1", final: bool = False, at: float = 1.0
) -> Caption:
    return Caption(id_, who, text, final, who.title(), changed_s=at)


def shown(lines: CaptionLines, now_s: float = 1.0) -> list[tuple[str, str, str]]:
    return [(line.name, line.settled, line.interim) for line in lines.lines(now_s)]


def test_words_that_came_again_are_settled_and_new_ones_are_not() -> None:
    lines = CaptionLines()
    lines.handle([caption("ada", "three hundred")])
    assert shown(lines) == [("Ada", "", "three hundred")]

    lines.handle([caption("ada", "three hundred litres")])
    assert shown(lines) == [("Ada", "three hundred", "litres")]

    lines.handle([caption("ada", "three thousand litres")])
    assert shown(lines) == [("Ada", "three", "thousand litres")]


def test_a_sentence_that_ended_is_settled() -> None:
    lines = CaptionLines()
    lines.handle([caption("ada", "I see", final=True)])
    assert shown(lines) == [("Ada", "I see", "")]
    assert CaptionLine("a", "A", "one two", "three").text == "one two three"


def test_a_new_sentence_begins_unsettled() -> None:
    lines = CaptionLines()
    lines.handle([caption("ada", "I see")])
    lines.handle([caption("ada", "I see"), caption("ada", "I saw", id_="2")])
    assert shown(lines) == [("Ada", "", "I saw")]


def test_the_last_two_speakers_are_shown_the_latest_below() -> None:
    lines = CaptionLines()
    said = [caption("ada", "a", at=3.0), caption("bea", "b", at=1.0), caption("cid", "c", at=2.0)]
    lines.handle(said)
    assert [name for name, *_ in shown(lines, 3.0)] == ["Cid", "Ada"]


def test_what_was_said_goes_after_a_while() -> None:
    lines = CaptionLines()
    lines.handle([caption("ada", "a", final=True, at=10.0), caption("bea", "b", at=10.0)])
    assert len(lines.lines(10.0 + FINAL_STAYS_S - 0.1)) == 2
    assert [line.identity for line in lines.lines(10.0 + FINAL_STAYS_S)] == ["bea"]
    assert lines.lines(10.0 + OPEN_STAYS_S) == []
