from __future__ import annotations

from app.engine.events import (
    MeetingJoined,
    Person,
    PersonChanged,
    PersonJoined,
    PersonKind,
    PersonLeft,
    Quality,
    Reconnected,
    Role,
    SpeakersChanged,
)
from app.ui.people.model import Roster, list_order, role_label, shown_name, spoken_description

NOA = Person("noa-1", "Noa", is_me=True, role=Role.HOST, mic_on=True, camera_on=True)
KAI = Person("kai-1", "Kai")


def test_the_roster_follows_the_engine() -> None:
    roster = Roster()

    assert roster.handle(MeetingJoined("Garden", "noa-1", "Noa", (NOA,)))
    assert roster.handle(PersonJoined(KAI))
    assert roster.people == (NOA, KAI)
    assert roster.me == NOA
    assert roster.others == (KAI,)

    louder = Person("kai-1", "Kai", mic_on=True)
    assert roster.handle(PersonChanged(louder))
    assert not roster.handle(PersonChanged(louder))
    assert roster.get("kai-1") == louder
    assert roster.handle(PersonLeft("kai-1", "Kai"))
    assert not roster.handle(PersonLeft("kai-1", "Kai"))
    assert len(roster) == 1


def test_a_reconnect_replaces_everybody() -> None:
    roster = Roster()
    roster.handle(MeetingJoined("Garden", "noa-1", "Noa", (NOA, KAI)))
    roster.handle(Reconnected((NOA,)))

    assert roster.people == (NOA,)


def test_events_about_other_things_change_nobody() -> None:
    assert not Roster().handle(SpeakersChanged(()))


def test_the_list_shows_you_then_speakers_then_the_alphabet() -> None:
    people = [Person("1", "Zoe"), Person("2", "amina"), KAI, NOA]

    assert [p.name for p in list_order(people, {"1"})] == ["Noa", "Zoe", "amina", "Kai"]
    assert [p.name for p in list_order(people, (), "A")] == ["Noa", "amina", "Kai"]


def test_words_for_a_person() -> None:
    assert shown_name(NOA) == "Noa (you)"
    assert role_label(NOA) == "Host"
    assert role_label(KAI) == ""
    weak = Person("t", "Tariq", role=Role.COHOST, camera_on=True, quality=Quality.POOR)
    assert spoken_description(weak) == "Tariq, co-host, muted, weak connection"
    assert spoken_description(NOA, speaking=True) == "Noa (you), host, speaking"


def test_words_for_whoever_is_nobody_at_a_computer() -> None:
    words = {kind: role_label(Person("x", "X", kind=kind)) for kind in PersonKind}
    assert words == {
        PersonKind.PERSON: "",
        PersonKind.AGENT: "Agent",
        PersonKind.PHONE: "Phone",
        PersonKind.STREAM: "Stream",
        PersonKind.RECORDER: "Recorder",
        PersonKind.BRIDGE: "Bridge",
    }
    caller = Person("c", "Caller", kind=PersonKind.PHONE, is_arriving=True)
    assert spoken_description(caller) == "Caller, phone, joining, muted, camera off"
