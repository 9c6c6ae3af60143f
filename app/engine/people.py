"""Who is in the meeting, as snapshots, and what changed since the last look.

The room's objects say everything about a participant; here that becomes a `Person`, and two
lists of them become the events between. A participant that publishes without naming a source (an
SDK script, a stream) is taken at its word as camera and microphone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from app.engine.agent_state import spoken_state
from app.engine.enums import (
    ConnectionQuality,
    ParticipantKind,
    ParticipantState,
    TrackKind,
    TrackSource,
)
from app.engine.events import (
    Event,
    Person,
    PersonChanged,
    PersonJoined,
    PersonKind,
    PersonLeft,
    Quality,
    Role,
    VideoKind,
)

ROLE_ATTRIBUTE = "lanai.role"
HAND_ATTRIBUTE = "lanai.hand"
STATUS_ATTRIBUTE = "lanai.status"
MAX_STATUS_CHARS = 80
_SHARES = (TrackSource.SOURCE_SCREENSHARE,)
_DIGITS = frozenset("0123456789")
_CAMERA = (TrackSource.SOURCE_CAMERA, TrackSource.SOURCE_UNKNOWN)
_MICROPHONE = (TrackSource.SOURCE_MICROPHONE, TrackSource.SOURCE_UNKNOWN)
_QUALITIES = {
    ConnectionQuality.QUALITY_POOR: Quality.POOR,
    ConnectionQuality.QUALITY_GOOD: Quality.GOOD,
    ConnectionQuality.QUALITY_EXCELLENT: Quality.EXCELLENT,
    ConnectionQuality.QUALITY_LOST: Quality.LOST,
}
_KINDS = {
    ParticipantKind.PARTICIPANT_KIND_AGENT: PersonKind.AGENT,
    ParticipantKind.PARTICIPANT_KIND_SIP: PersonKind.PHONE,
    ParticipantKind.PARTICIPANT_KIND_INGRESS: PersonKind.STREAM,
    ParticipantKind.PARTICIPANT_KIND_EGRESS: PersonKind.RECORDER,
    ParticipantKind.PARTICIPANT_KIND_CONNECTOR: PersonKind.BRIDGE,
    ParticipantKind.PARTICIPANT_KIND_BRIDGE: PersonKind.BRIDGE,
}
_ARRIVING = (ParticipantState.PARTICIPANT_STATE_JOINING, ParticipantState.PARTICIPANT_STATE_JOINED)


class PublicationLike(Protocol):
    """What is read of a publication."""

    @property
    def kind(self) -> int: ...
    @property
    def source(self) -> int: ...
    @property
    def muted(self) -> bool: ...


class ParticipantLike(Protocol):
    """What is read of a participant."""

    @property
    def identity(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> int: ...
    @property
    def state(self) -> int: ...
    @property
    def attributes(self) -> Mapping[str, str]: ...
    @property
    def track_publications(self) -> Mapping[str, PublicationLike]: ...


def video_kind(source: int) -> VideoKind | None:
    """Which tile a video belongs to; None for sound."""
    if source in _CAMERA:
        return VideoKind.CAMERA
    return VideoKind.SCREEN if source == TrackSource.SOURCE_SCREENSHARE else None


def person_of(
    participant: ParticipantLike,
    *,
    is_me: bool = False,
    quality: int = ConnectionQuality.QUALITY_EXCELLENT,
    joined_at_ms: int = 0,
    has_role: bool = True,
) -> Person:
    """Take a snapshot of a participant; `has_role` says whether its role is to be believed."""
    publications = participant.track_publications.values()
    kind = _KINDS.get(ParticipantKind(participant.kind), PersonKind.PERSON)
    is_agent = kind is PersonKind.AGENT
    voices = [p for p in publications if _is(p, TrackKind.KIND_AUDIO, _MICROPHONE)]
    cameras = [p for p in publications if _is(p, TrackKind.KIND_VIDEO, _CAMERA)]
    shares = [p for p in publications if _is(p, TrackKind.KIND_VIDEO, _SHARES)]
    return Person(
        identity=participant.identity,
        name=participant.name or participant.identity,
        is_me=is_me,
        role=_role(participant.attributes.get(ROLE_ATTRIBUTE, "") if has_role else ""),
        is_agent=is_agent,
        agent_state=(spoken_state(dict(participant.attributes)) or "") if is_agent else "",
        mic_on=any(not p.muted for p in voices),
        has_mic=bool(voices),
        camera_on=any(not p.muted for p in cameras),
        quality=_QUALITIES.get(ConnectionQuality(quality), Quality.EXCELLENT),
        joined_at_ms=joined_at_ms,
        hand_at_ms=_hand_at_ms(participant.attributes.get(HAND_ATTRIBUTE, "")),
        status=status_of(participant.attributes.get(STATUS_ATTRIBUTE, "")),
        sharing=any(not p.muted for p in shares),
        kind=kind,
        # Nobody is told how far the server thinks oneself has come.
        is_arriving=not is_me and participant.state in _ARRIVING,
    )


def status_of(text: str) -> str:
    """Make one short line of whatever was typed, or sent."""
    printable = "".join(char if char.isprintable() else " " for char in text[:1_000])
    return " ".join(printable.split())[:MAX_STATUS_CHARS]


class Roster:
    """The list as the interface knows it."""

    def __init__(self) -> None:
        self._people: dict[str, Person] = {}

    @property
    def people(self) -> tuple[Person, ...]:
        """Everybody, in join order."""
        order = sorted(self._people.values(), key=lambda p: (p.joined_at_ms, p.identity))
        return tuple(order)

    def get(self, identity: str) -> Person | None:
        """Return what is known of somebody."""
        return self._people.get(identity)

    @property
    def host_name(self) -> str:
        """The host's name, "" while nobody here is one."""
        return next((p.name for p in self._people.values() if p.role is Role.HOST), "")

    def replace(self, people: Iterable[Person]) -> None:
        """Take a whole list, silently: the event that carries it says so."""
        self._people = {person.identity: person for person in people}

    def handle_person(self, person: Person) -> list[Event]:
        """Take one snapshot and tell what it changes."""
        before = self._people.get(person.identity)
        self._people[person.identity] = person
        if before is None:
            return [PersonJoined(person)]
        return [PersonChanged(person)] if person != before else []

    def handle_left(self, identity: str) -> list[Event]:
        """Take somebody off the list."""
        before = self._people.pop(identity, None)
        return [PersonLeft(identity, before.name)] if before is not None else []


def _is(publication: PublicationLike, kind: int, sources: tuple[int, ...]) -> bool:
    return publication.kind == kind and publication.source in sources


def _hand_at_ms(text: str) -> int:
    """Read the attribute; whatever is no time is a hand that is down."""
    return int(text) if 0 < len(text) <= 15 and set(text) <= _DIGITS else 0


def _role(text: str) -> Role:
    return Role(text) if text in tuple(Role) else Role.GUEST
