"""Who in a room is its agent, and who works for it (an avatar that shows and speaks)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.engine.enums import ParticipantKind, TrackSource
from app.engine.participant import RemoteParticipant
from app.engine.publication import RemoteTrackPublication

if TYPE_CHECKING:
    from app.engine.room import Room

ON_BEHALF_ATTRIBUTE = "lk.publish_on_behalf"


def _agents(people: Mapping[str, RemoteParticipant]) -> list[RemoteParticipant]:
    return [p for p in people.values() if p.kind == ParticipantKind.PARTICIPANT_KIND_AGENT]


def find_agent(room: Room) -> RemoteParticipant | None:
    """Return the first agent that speaks for itself."""
    found = _agents(room.remote_participants)
    return next((p for p in found if not p.attributes.get(ON_BEHALF_ATTRIBUTE)), None)


def find_worker(room: Room, agent: RemoteParticipant) -> RemoteParticipant | None:
    """Return who publishes in this agent's name."""
    found = _agents(room.remote_participants)
    return next((p for p in found if p.attributes.get(ON_BEHALF_ATTRIBUTE) == agent.identity), None)


def find_track(
    room: Room, agent: RemoteParticipant, source: TrackSource
) -> RemoteTrackPublication | None:
    """Return the agent's publication of a source, else its worker's."""
    own = agent.find_publication(source)
    if own is not None:
        return own
    worker = find_worker(room, agent)
    return worker.find_publication(source) if worker is not None else None
