from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from app.engine.enums import (
    ConnectionQuality,
    ParticipantKind,
    ParticipantState,
    TrackKind,
    TrackSource,
)
from app.engine.events import (
    Person,
    PersonChanged,
    PersonJoined,
    PersonKind,
    PersonLeft,
    Quality,
    Role,
    VideoKind,
)
from app.engine.people import Roster, person_of, video_kind


@dataclass
class Publication:
    kind: int
    source: int
    muted: bool = False


@dataclass
class Participant:
    identity: str = "ada-1"
    name: str = "Ada"
    kind: int = ParticipantKind.PARTICIPANT_KIND_STANDARD
    state: int = ParticipantState.PARTICIPANT_STATE_ACTIVE
    attributes: dict[str, str] = field(default_factory=dict)
    track_publications: dict[str, Publication] = field(default_factory=dict)


def with_tracks(*publications: Publication) -> Participant:
    return Participant(track_publications={str(i): p for i, p in enumerate(publications)})


MICROPHONE = TrackSource.SOURCE_MICROPHONE
AUDIO, VIDEO = TrackKind.KIND_AUDIO, TrackKind.KIND_VIDEO


def test_somebody_without_tracks_has_neither_microphone_nor_camera() -> None:
    assert person_of(Participant()) == Person("ada-1", "Ada")


def test_a_muted_microphone_is_there_and_off() -> None:
    person = person_of(with_tracks(Publication(AUDIO, MICROPHONE, muted=True)))

    assert (person.has_mic, person.mic_on) == (True, False)


def test_tracks_of_no_named_source_are_taken_as_camera_and_microphone() -> None:
    unknown = TrackSource.SOURCE_UNKNOWN
    person = person_of(with_tracks(Publication(AUDIO, unknown), Publication(VIDEO, unknown)))

    assert (person.mic_on, person.camera_on) == (True, True)


def test_a_shared_screen_is_no_camera() -> None:
    person = person_of(with_tracks(Publication(VIDEO, TrackSource.SOURCE_SCREENSHARE)))

    assert not person.camera_on
    assert video_kind(TrackSource.SOURCE_SCREENSHARE) is VideoKind.SCREEN
    assert video_kind(MICROPHONE) is None


@pytest.mark.parametrize(
    ("text", "role"), [("host", Role.HOST), ("", Role.GUEST), ("x", Role.GUEST)]
)
def test_the_servers_word_decides_the_role(text: str, role: Role) -> None:
    assert person_of(Participant(attributes={"lanai.role": text})).role is role


def test_a_role_that_nobody_vouches_for_is_none() -> None:
    claims = Participant(attributes={"lanai.role": "host"})
    assert person_of(claims, has_role=False).role is Role.GUEST


def test_somebody_without_a_name_is_called_by_the_identity() -> None:
    assert person_of(Participant(name="")).name == "ada-1"


def test_a_poor_connection_shows() -> None:
    person = person_of(Participant(), quality=ConnectionQuality.QUALITY_POOR)

    assert person.quality is Quality.POOR


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        (ParticipantKind.PARTICIPANT_KIND_STANDARD, PersonKind.PERSON),
        (ParticipantKind.PARTICIPANT_KIND_AGENT, PersonKind.AGENT),
        (ParticipantKind.PARTICIPANT_KIND_SIP, PersonKind.PHONE),
        (ParticipantKind.PARTICIPANT_KIND_INGRESS, PersonKind.STREAM),
        (ParticipantKind.PARTICIPANT_KIND_EGRESS, PersonKind.RECORDER),
        (ParticipantKind.PARTICIPANT_KIND_BRIDGE, PersonKind.BRIDGE),
        (ParticipantKind.PARTICIPANT_KIND_CONNECTOR, PersonKind.BRIDGE),
    ],
)
def test_what_is_behind_a_participant_shows(kind: ParticipantKind, shown: PersonKind) -> None:
    person = person_of(Participant(kind=kind))

    assert (person.kind, person.is_agent) == (shown, shown is PersonKind.AGENT)


def test_whoever_is_not_active_yet_is_arriving_save_oneself() -> None:
    for state in ParticipantState:
        is_early = state < ParticipantState.PARTICIPANT_STATE_ACTIVE

        assert person_of(Participant(state=state)).is_arriving is is_early
        assert not person_of(Participant(state=state), is_me=True).is_arriving


def test_only_changes_are_told() -> None:
    roster = Roster()
    ada = person_of(Participant())
    renamed = person_of(Participant(name="Ada L."))

    assert roster.handle_person(ada) == [PersonJoined(ada)]
    assert roster.handle_person(ada) == []
    assert roster.handle_person(renamed) == [PersonChanged(renamed)]
    assert roster.handle_left("ada-1") == [PersonLeft("ada-1", "Ada L.")]
    assert roster.handle_left("ada-1") == []


def test_people_stand_in_join_order() -> None:
    roster = Roster()
    roster.replace([Person("b", "B", joined_at_ms=2), Person("a", "A", joined_at_ms=9)])

    assert [person.identity for person in roster.people] == ["b", "a"]


def test_the_host_is_known_by_role() -> None:
    roster = Roster()
    roster.replace([Person("a", "A"), Person("b", "B", role=Role.HOST)])

    assert roster.host_name == "B"
