"""Speakers: who, how loud, and when it is told."""

from __future__ import annotations

from app.sfu.speakers import Speakers


def talk(speakers: Speakers, sid: str, level: int, start_s: float, packets: int = 20) -> None:
    for i in range(packets):
        speakers.handle_level(sid, level, 20.0, start_s + i * 0.02)


def test_a_loud_window_makes_a_speaker_and_is_told_once() -> None:
    speakers = Speakers()
    for window in range(6):
        talk(speakers, "PA_a", 0, window * 0.4)
        changes = speakers.handle_deadline(window * 0.4 + 0.4)
        if window == 0:
            assert changes == [("PA_a", 0.75, True)]
    talk(speakers, "PA_a", 0, 2.4)
    assert speakers.handle_deadline(2.8) == []


def test_silence_and_short_noises_are_no_speech() -> None:
    speakers = Speakers()
    talk(speakers, "PA_a", 127, 0.0)
    talk(speakers, "PA_b", 10, 0.0, packets=7)
    assert speakers.handle_deadline(0.4) == []


def test_who_stops_is_told_once_with_no_level() -> None:
    speakers = Speakers()
    talk(speakers, "PA_a", 5, 0.0)
    assert speakers.handle_deadline(0.4)[0][2]
    told = [change for i in range(2, 10) for change in speakers.handle_deadline(0.4 * i)]
    assert told[-1] == ("PA_a", 0.0, False)
    assert [change[2] for change in told].count(False) == 1


def test_a_voice_that_vanishes_is_stale_after_its_time() -> None:
    speakers = Speakers()
    talk(speakers, "PA_a", 0, 0.0)
    speakers.handle_deadline(0.4)
    assert speakers.handle_deadline(1.6) == [("PA_a", 0.0, False)]
    assert speakers.handle_deadline(2.0) == []


def test_the_loudest_comes_first_in_steps_of_an_eighth() -> None:
    speakers = Speakers()
    talk(speakers, "PA_quiet", 20, 0.0)
    talk(speakers, "PA_loud", 0, 0.0)
    changes = speakers.handle_deadline(0.4)
    assert [sid for sid, _, _ in changes] == ["PA_loud", "PA_quiet"]
    assert all((level * 8).is_integer() for _, level, _ in changes)


def test_who_left_is_not_mentioned() -> None:
    speakers = Speakers()
    talk(speakers, "PA_a", 0, 0.0)
    speakers.forget("PA_a")
    assert speakers.handle_deadline(0.4) == []


def test_a_microphone_that_goes_away_ends_the_speech_at_once() -> None:
    speakers = Speakers()
    talk(speakers, "PA_a", 0, 0.0)
    assert speakers.end("PA_b") == []
    speakers.handle_deadline(0.4)
    assert speakers.end("PA_a") == [("PA_a", 0.0, False)]
    assert speakers.end("PA_a") == []
