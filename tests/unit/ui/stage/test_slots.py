from __future__ import annotations

from app.engine.events import Person
from app.ui.stage.slots import StageSlots


def person(identity: str, joined_at_ms: int = 0, *, me: bool = False) -> Person:
    return Person(identity, identity.title(), is_me=me, joined_at_ms=joined_at_ms)


def a_room(*identities: str) -> StageSlots:
    slots = StageSlots()
    slots.handle_people(
        [person(identity, at, me=identity == "me") for at, identity in enumerate(identities)]
    )
    return slots


def test_you_come_first_and_the_others_in_the_order_they_joined() -> None:
    slots = StageSlots()
    slots.handle_people([person("kai", 30), person("me", 20, me=True), person("mia", 10)])

    assert list(slots.order) == ["me", "mia", "kai"]


def test_nobody_moves_when_somebody_comes_or_goes() -> None:
    slots = a_room("me", "mia", "kai")
    slots.handle_people(
        [person("zoe", 1), person("kai", 2), person("me", 0, me=True), person("mia", 1)]
    )
    assert list(slots.order) == ["me", "mia", "kai", "zoe"]

    slots.handle_people([person("zoe", 1), person("kai", 2), person("me", 0, me=True)])
    assert list(slots.order) == ["me", "kai", "zoe"]


def test_a_pin_stands_right_after_you_until_it_is_let_go() -> None:
    slots = a_room("me", "mia", "kai")
    slots.toggle_pin("kai")
    assert list(slots.order) == ["me", "kai", "mia"]

    slots.toggle_pin("kai")
    assert list(slots.order) == ["me", "mia", "kai"]


def test_raised_hands_come_after_pins_in_the_order_they_went_up() -> None:
    slots = a_room("me", "a", "b", "c", "d")
    slots.toggle_pin("d")
    assert slots.set_hands(["c", "me", "b", "d"])
    assert list(slots.order) == ["me", "d", "c", "b", "a"]

    assert not slots.set_hands(["c", "me", "b"])
    assert slots.set_hands([])
    assert list(slots.order) == ["me", "d", "a", "b", "c"]


def test_a_speaker_takes_no_place_from_a_raised_hand() -> None:
    slots = a_room("me", "a", "b", "c", "d")
    slots.set_hands(["a", "b"])
    slots.handle_speakers(["c"], 0.0)
    slots.handle_speakers(["d", "c"], 1.0)

    assert not slots.swap_in_speaker(4, 4.0)


def test_a_persistent_speaker_off_the_page_takes_the_place_of_the_silent() -> None:
    slots = a_room("me", "a", "b", "c", "d")
    slots.handle_speakers(["a"], 0.0)
    slots.handle_speakers(["d"], 1.0)

    assert not slots.swap_in_speaker(4, 2.5)
    assert slots.swap_in_speaker(4, 3.0)
    assert list(slots.order) == ["me", "a", "b", "d", "c"]


def test_short_words_change_nothing() -> None:
    slots = a_room("me", "a", "b")
    slots.handle_speakers(["b"], 0.0)
    slots.handle_speakers([], 1.0)
    slots.handle_speakers(["b"], 4.0)

    assert not slots.swap_in_speaker(2, 5.5)


def test_there_is_one_swap_in_three_seconds() -> None:
    slots = a_room("me", "a", "b", "c", "d")
    slots.handle_speakers(["c", "d"], 0.0)

    assert slots.swap_in_speaker(3, 2.0)
    assert not slots.swap_in_speaker(3, 4.9)
    assert slots.swap_in_speaker(3, 5.0)
    assert set(slots.order[:3]) == {"me", "c", "d"}


def test_you_pins_and_speakers_never_lose_their_place() -> None:
    slots = a_room("me", "a", "b", "c")
    slots.toggle_pin("a")
    slots.handle_speakers(["b", "c"], 0.0)

    assert not slots.swap_in_speaker(3, 3.0)
    assert list(slots.order) == ["me", "a", "b", "c"]
