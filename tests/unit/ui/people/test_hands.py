from __future__ import annotations

from app.engine.events import Person, Role
from app.ui.people.model import hand_places, list_order, may_moderate, spoken_description

NOA = Person("noa", "Noa", is_me=True, role=Role.HOST, joined_at_ms=1)
MIA = Person("mia", "Mia", mic_on=True, camera_on=True, hand_at_ms=2_000, joined_at_ms=2)
KAI = Person("kai", "Kai", mic_on=True, camera_on=True, hand_at_ms=1_000, joined_at_ms=3)
AMINA = Person("amina", "Amina", joined_at_ms=4)


def test_hands_are_numbered_in_the_order_in_which_they_went_up() -> None:
    assert hand_places((NOA, MIA, KAI, AMINA)) == {"kai": 1, "mia": 2}


def test_the_list_has_raised_hands_before_those_who_speak() -> None:
    order = list_order((AMINA, MIA, KAI, NOA), {"amina"})

    assert [person.identity for person in order] == ["noa", "kai", "mia", "amina"]


def test_a_raised_hand_is_read_aloud_with_its_place() -> None:
    assert spoken_description(KAI, hand=1) == "Kai, hand raised, first"
    assert spoken_description(MIA, hand=12) == "Mia, hand raised, number 12"


def test_hosts_and_co_hosts_look_after_the_meeting() -> None:
    assert may_moderate(NOA)
    assert may_moderate(Person("co", "Co", role=Role.COHOST))
    assert not may_moderate(MIA)
    assert not may_moderate(None)
