from __future__ import annotations

from app.ui.stage.speaking import SpeakingRings


def test_a_ring_appears_after_150_ms_of_speech() -> None:
    rings = SpeakingRings()
    rings.handle_speakers(["mia"], 10.0)

    assert rings.lit == frozenset()
    assert rings.deadline_s == 10.15
    rings.handle_deadline(10.15)
    assert rings.lit == {"mia"}
    assert rings.deadline_s is None


def test_a_ring_goes_600_ms_after_the_last_word() -> None:
    rings = SpeakingRings()
    rings.handle_speakers(["mia"], 0.0)
    rings.handle_speakers([], 1.0)

    assert rings.lit == {"mia"}
    assert rings.deadline_s == 1.6
    rings.handle_deadline(1.5)
    assert rings.lit == {"mia"}
    rings.handle_deadline(1.6)
    assert rings.lit == frozenset()
    assert rings.deadline_s is None


def test_a_cough_never_lights_a_ring() -> None:
    rings = SpeakingRings()
    rings.handle_speakers(["mia"], 0.0)
    rings.handle_speakers([], 0.1)
    rings.handle_deadline(5.0)

    assert rings.lit == frozenset()
    assert rings.deadline_s is None


def test_a_breath_between_words_keeps_the_ring() -> None:
    rings = SpeakingRings()
    rings.handle_speakers(["mia"], 0.0)
    rings.handle_speakers([], 1.0)
    rings.handle_speakers(["mia"], 1.4)
    rings.handle_deadline(1.7)

    assert rings.lit == {"mia"}


def test_people_have_their_own_clocks() -> None:
    rings = SpeakingRings()
    rings.handle_speakers(["mia"], 0.0)
    rings.handle_speakers(["mia", "kai"], 0.2)

    assert rings.lit == {"mia"}
    assert rings.deadline_s is not None
    rings.handle_deadline(0.36)
    assert rings.lit == {"mia", "kai"}
