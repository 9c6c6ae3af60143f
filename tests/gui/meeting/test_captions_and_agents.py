from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QFontMetricsF
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.engine.events import (
    Caption,
    CaptionsChanged,
    LevelChanged,
    Person,
    PersonChanged,
    PersonJoined,
    PersonLeft,
    SpeakersChanged,
)
from app.runtime.settings import Settings
from app.ui.stage.agent_face import bar_alphas, bar_heights
from app.ui.stage.captions import CaptionsBar
from app.ui.stage.tile import VideoTile
from app.ui.theme import LIGHT, ThemeChoice, font_px, theme
from tests.gui.meeting.conftest import Meeting

pytestmark = pytest.mark.gui
MakeMeeting = Callable[..., Meeting]

ORCHID = Person(
    "agent-1",
    "Orchid",
    is_agent=True,
    agent_state="listening",
    mic_on=True,
    has_mic=True,
    joined_at_ms=99,
)


def said(who: str, text: str, *, final: bool = False) -> Caption:
    return Caption(f"id-{who}", who, text, final, who.title(), changed_s=time.monotonic())


def bar(meeting: Meeting) -> CaptionsBar:
    return meeting.find_as("captionsBar", CaptionsBar)


def lowest_tile(meeting: Meeting) -> int:
    tiles = [meeting.tile(identity) for identity in meeting.page.stage.shown]
    return max(tile.geometry().bottom() for tile in tiles)


def test_captions_are_off_until_asked_for_and_then_no_tile_lies_under_them(
    meeting: Meeting,
) -> None:
    before = lowest_tile(meeting)
    assert not meeting.is_shown("captionsBar")

    meeting.click("controlCaptions")

    captions = bar(meeting)
    assert captions.isVisible()
    meeting.qtbot.waitUntil(lambda: lowest_tile(meeting) < captions.geometry().top())
    assert captions.width() == 860
    button = meeting.page.control_bar.captions
    assert (button.property("tone"), button.accessibleName()) == ("on", "Hide captions")

    meeting.click("controlCaptions")
    assert not captions.isVisible()
    meeting.qtbot.waitUntil(lambda: lowest_tile(meeting) == before)


def test_captions_stay_as_they_were_left_in_the_meeting_before(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting(3)
    chosen: list[tuple[str, bool]] = []
    meeting.page.settingChosen.connect(lambda name, on: chosen.append((name, on)))
    meeting.click("controlCaptions")
    meeting.click("controlCaptions")
    assert chosen == [("show_captions", True), ("show_captions", False)]

    again = make_meeting(3, settings=Settings(show_captions=True))
    captions = bar(again)
    assert captions.isVisible()
    assert again.page.control_bar.captions.property("tone") == "on"
    assert again.page.stage.rect().contains(captions.geometry())
    again.qtbot.waitUntil(lambda: lowest_tile(again) < captions.geometry().top())


def test_ctrl_t_turns_captions_on_and_off(meeting: Meeting) -> None:
    meeting.page.stage.setFocus()
    for wanted in (True, False):
        QTest.keyClick(meeting.page.stage, Qt.Key.Key_T, Qt.KeyboardModifier.ControlModifier)
        assert bar(meeting).isVisible() == wanted


def test_the_bar_shows_two_speakers_and_says_them_to_screen_readers(meeting: Meeting) -> None:
    meeting.post(CaptionsChanged((said("noa-1", "How many litres?", final=True),)))
    meeting.click("controlCaptions")
    assert [line.text for line in bar(meeting).lines] == ["How many litres?"]

    meeting.post(
        CaptionsChanged((said("noa-1", "How many litres?", final=True), said("mia-2", "Three")))
    )
    meeting.post(
        CaptionsChanged(
            (said("noa-1", "How many litres?", final=True), said("mia-2", "Three hundred"))
        )
    )

    latest = bar(meeting).lines[-1]
    assert (latest.settled, latest.interim) == ("Three", "hundred")
    assert bar(meeting).accessibleDescription() == ("Noa-1: How many litres?. Mia-2: Three hundred")


def test_a_long_name_has_room_in_the_bar_and_a_short_one_moves_nothing(meeting: Meeting) -> None:
    meeting.click("controlCaptions")

    def words_begin_at(*names: str) -> float:
        captions = [replace(said(who, "Three"), name=who) for who in names]
        meeting.post(CaptionsChanged(tuple(captions)))
        return bar(meeting)._columns()[0]

    short = words_begin_at("Kai", "Noa")
    long = words_begin_at("Kai", "Wanda Wheelwright")
    endless = words_begin_at("Kai", "Wanda " * 40)
    name_px = QFontMetricsF(font_px(18, 600)).horizontalAdvance("Wanda Wheelwright")

    assert short == words_begin_at("Bo")
    assert long > short + 40
    assert long > name_px
    assert endless <= bar(meeting).width() / 4 + 12


def test_between_two_sentences_the_bar_does_not_say_that_there_were_none(meeting: Meeting) -> None:
    meeting.click("controlCaptions")
    assert bar(meeting).hint.startswith("No captions yet")

    meeting.post(CaptionsChanged((said("noa-1", "How many litres?", final=True),)))
    bar(meeting).show_lines([])

    assert bar(meeting).hint == "Captions are on"


def test_the_bar_stays_inside_the_stage_when_a_panel_takes_its_width(meeting: Meeting) -> None:
    meeting.click("controlCaptions")
    meeting.click("controlPeople")
    stage, captions = meeting.page.stage, bar(meeting)
    meeting.qtbot.waitUntil(lambda: stage.rect().contains(captions.geometry()))
    assert abs(captions.geometry().center().x() - stage.rect().center().x()) <= 1


def test_a_narrow_window_has_captions_in_more(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting(3, width=900, height=600)
    assert not meeting.is_shown("controlCaptions")

    meeting.click("controlMore")
    meeting.choose("actionCaptions")

    assert bar(meeting).isVisible()
    assert meeting.page.stage.rect().contains(bar(meeting).geometry())


def test_a_line_of_twenty_thousand_characters_is_painted(meeting: Meeting) -> None:
    meeting.click("controlCaptions")
    meeting.post(CaptionsChanged((said("mia-2", "word " * 4_000), said("noa-1", "x" * 20_000))))
    assert not meeting.page.grab().isNull()


def test_an_agent_is_announced_in_the_top_bar_while_it_is_here(meeting: Meeting) -> None:
    assert not meeting.is_shown("topAgent")
    meeting.post(PersonJoined(ORCHID))
    assert meeting.is_shown("topAgent")
    assert meeting.find("topAgent").accessibleName() == "Agent in this call"
    meeting.post(PersonLeft(ORCHID.identity, ORCHID.name))
    assert not meeting.is_shown("topAgent")


@pytest.mark.parametrize(
    ("state", "word", "moves"),
    [
        ("initializing", "starting", False),
        ("idle", "ready", False),
        ("listening", "listening", True),
        ("thinking", "thinking", True),
        ("speaking", "speaking", True),
    ],
)
def test_an_agents_tile_says_its_state_in_a_word_and_moves_only_when_it_acts(
    meeting: Meeting, state: str, word: str, moves: bool
) -> None:
    meeting.post(PersonJoined(ORCHID), PersonChanged(replace(ORCHID, agent_state=state)))
    tile = meeting.tile(ORCHID.identity)
    assert tile.face is not None
    assert tile.face.state == state
    assert word in tile.accessibleName().split(", ")
    assert tile.face.is_moving == moves
    meeting.page.hide()
    assert not tile.face.is_moving


def test_without_motion_an_agent_stands_still(
    meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.ui.stage.agent_face.duration_ms", lambda _: 0)
    meeting.post(PersonJoined(replace(ORCHID, agent_state="speaking")))
    face = meeting.tile(ORCHID.identity).face
    assert face is not None
    assert not face.is_moving


def test_bars_follow_the_agents_voice_and_yours(meeting: Meeting) -> None:
    meeting.post(PersonJoined(ORCHID), SpeakersChanged(((ORCHID.identity, 0.8),)))
    meeting.post(LevelChanged(0.5))
    face = meeting.tile(ORCHID.identity).face
    assert face is not None
    assert face._levels == {"speaking": 0.8, "listening": 0.5}


def test_the_bars_of_each_state() -> None:
    assert bar_heights("idle", 1.0, 0.0) == [0.0] * 7
    assert max(bar_heights("listening", 1.0, 0.0)) <= 1 / 3
    assert bar_heights("listening", 0.0, 0.0) == [0.0] * 7
    loud, quiet = bar_heights("speaking", 1.0, 0.0), bar_heights("speaking", 0.1, 0.0)
    assert all(a > b > 0 for a, b in zip(loud, quiet, strict=True))
    assert max(bar_heights("speaking", 9.0, 3.0)) <= 1.0
    for t_s in (0.0, 0.5, 1.0):
        assert sum(alpha == 1.0 for alpha in bar_alphas("thinking", t_s)) == 3
    assert bar_alphas("thinking", 0.0) != bar_alphas("thinking", 0.2)
    assert set(bar_alphas("idle", 0.0)) == {0.55}


def left_edge(meeting: Meeting, tile: VideoTile) -> str:
    at = tile.mapTo(meeting.page, QPoint(1, tile.height() // 2))
    return meeting.page.grab().toImage().pixelColor(at).name()


def test_a_speaking_agents_ring_is_violet_in_both_themes(
    meeting: Meeting, qapp: QApplication
) -> None:
    meeting.post(PersonJoined(replace(ORCHID, agent_state="speaking")))
    meeting.post(SpeakersChanged(((ORCHID.identity, 0.8),)))
    tile = meeting.tile(ORCHID.identity)
    meeting.qtbot.waitUntil(lambda: tile.has_ring)
    for choice in (ThemeChoice.DARK, ThemeChoice.LIGHT):
        theme.apply_to(qapp, choice)
        # The tile may still be on its way to its place.
        meeting.qtbot.waitUntil(
            lambda: left_edge(meeting, tile) == theme.tokens.color("agent").name()
        )
    assert theme.tokens is LIGHT
