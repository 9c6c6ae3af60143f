"""Who is here, and in which order the list shows them: no widgets.

The roster is the one copy of the people's state on the Qt thread; the stage, the list and the
badges read it. Events replace a person whole, so nothing is merged here.
"""

from __future__ import annotations

from collections.abc import Collection

from app.engine.events import (
    Event,
    MeetingJoined,
    Person,
    PersonChanged,
    PersonJoined,
    PersonKind,
    PersonLeft,
    Quality,
    Reconnected,
    Role,
)


class Roster:
    """Everybody in the meeting by identity, you included."""

    def __init__(self) -> None:
        self._people: dict[str, Person] = {}

    def handle(self, event: Event) -> bool:
        """Apply an event; True when somebody came, went or changed."""
        match event:
            case MeetingJoined(people=people) | Reconnected(people=people):
                self._people = {person.identity: person for person in people}
            case PersonJoined(person=person) | PersonChanged(person=person):
                if self._people.get(person.identity) == person:
                    return False
                self._people[person.identity] = person
            case PersonLeft(identity=identity):
                return self._people.pop(identity, None) is not None
            case _:
                return False
        return True

    def get(self, identity: str) -> Person | None:
        """The person, or None when they are not here."""
        return self._people.get(identity)

    @property
    def me(self) -> Person | None:
        """This person."""
        return next((person for person in self._people.values() if person.is_me), None)

    @property
    def people(self) -> tuple[Person, ...]:
        """Everybody, in the order in which the engine named them."""
        return tuple(self._people.values())

    @property
    def others(self) -> tuple[Person, ...]:
        """Everybody but you."""
        return tuple(person for person in self._people.values() if not person.is_me)

    def __len__(self) -> int:
        return len(self._people)


def list_order(
    people: Collection[Person], speaking: Collection[str], search: str = ""
) -> list[Person]:
    """You, raised hands in order, speakers, the alphabet; only whose name holds `search`."""
    wanted = search.strip().casefold()
    found = [person for person in people if wanted in person.name.casefold()]
    places = hand_places(people)
    return sorted(
        found,
        key=lambda person: (
            not person.is_me,
            places.get(person.identity, len(places) + 1),
            person.identity not in speaking,
            person.name.casefold(),
            person.identity,
        ),
    )


def hand_places(people: Collection[Person]) -> dict[str, int]:
    """The place in the queue, from 1, of everybody whose hand is up: first up, first heard."""
    raised = [person for person in people if person.hand_at_ms]
    raised.sort(key=lambda person: (person.hand_at_ms, person.joined_at_ms, person.identity))
    return {person.identity: place for place, person in enumerate(raised, start=1)}


def may_moderate(me: Person | None) -> bool:
    """Whether this person is a host or co-host."""
    return me is not None and me.role in (Role.HOST, Role.COHOST)


_ORDINALS = {1: "first", 2: "second", 3: "third"}


def shown_name(person: Person) -> str:
    """The name as tiles and rows show it."""
    name = person.name or "Guest"
    return f"{name} (you)" if person.is_me else name


# What an agent says of itself, in words; "idle" waits for somebody to talk to it.
AGENT_WORDS = {
    "initializing": "Starting",
    "idle": "Ready",
    "listening": "Listening",
    "thinking": "Thinking",
    "speaking": "Speaking",
}


# What a tile and a row say of whoever is nobody at a computer.
KIND_WORDS = {
    PersonKind.AGENT: "Agent",
    PersonKind.PHONE: "Phone",
    PersonKind.STREAM: "Stream",
    PersonKind.RECORDER: "Recorder",
    PersonKind.BRIDGE: "Bridge",
}


def kind_label(person: Person) -> str:
    """The word for what is behind a participant, or nothing for people."""
    return "Agent" if person.is_agent else KIND_WORDS.get(person.kind, "")


def role_label(person: Person) -> str:
    """The word on the chip beside a name, or nothing."""
    if label := kind_label(person):
        return label
    match person.role:
        case Role.HOST:
            return "Host"
        case Role.COHOST:
            return "Co-host"
        case Role.GUEST:
            return ""


def is_weak(person: Person) -> bool:
    """Whether the connection is bad enough to be mentioned."""
    return person.quality in (Quality.POOR, Quality.LOST)


def spoken_description(person: Person, *, speaking: bool = False, hand: int = 0) -> str:
    """What a screen reader says for a tile or a row."""
    parts = [shown_name(person)]
    if label := role_label(person):
        parts.append(label.lower())
    if word := AGENT_WORDS.get(person.agent_state):
        parts.append(word.lower())
    if person.is_arriving:
        parts.append("joining")
    if not person.mic_on:
        parts.append("muted")
    elif speaking and not person.agent_state:
        parts.append("speaking")
    if hand:
        parts += ["hand raised", _ORDINALS.get(hand, f"number {hand}")]
    if not person.camera_on:
        parts.append("camera off")
    if is_weak(person):
        parts.append("weak connection")
    return ", ".join(parts)
