"""Participants: who is in the room, as the server last described them."""

from __future__ import annotations

import datetime
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from livekit.protocol import models as lk

from app.engine.enums import (
    ConnectionQuality,
    DisconnectReason,
    ParticipantKind,
    ParticipantKindDetail,
    ParticipantState,
    TrackSource,
)
from app.engine.options import ParticipantPermission
from app.engine.publication import RemoteTrackPublication, TrackPublication
from app.engine.wire import (
    disconnect_reason,
    participant_kind,
    participant_kind_details,
    participant_state,
    track_source,
)


class Participant(ABC):
    """What the local and remote participants have in common."""

    def __init__(self, owned_info: lk.ParticipantInfo) -> None:
        self._info = owned_info
        self._connection_quality = ConnectionQuality.QUALITY_UNKNOWN
        self._speaking_level = 0.0

    def handle_info(self, info: lk.ParticipantInfo) -> None:
        """Take over the server's newest words."""
        self._info = info

    def handle_quality(self, quality: ConnectionQuality) -> None:
        """Take over the server's judgement."""
        self._connection_quality = quality

    def handle_speaking(self, level: float) -> None:
        """Take over how loud this participant speaks; 0 is silence."""
        self._speaking_level = level

    @property
    def info(self) -> lk.ParticipantInfo:
        """The server's description, not to be changed."""
        return self._info

    @property
    @abstractmethod
    def track_publications(self) -> Mapping[str, TrackPublication]:
        """Publications by sid."""

    @property
    def sid(self) -> str:
        """The server's name for this stay."""
        return self._info.sid

    @property
    def name(self) -> str:
        """What people see."""
        return self._info.name

    @property
    def identity(self) -> str:
        """Unique in the room, the same after a reconnect."""
        return self._info.identity

    @property
    def metadata(self) -> str:
        """Free text of the application."""
        return self._info.metadata

    @property
    def attributes(self) -> dict[str, str]:
        """Keys and values of the application."""
        return dict(self._info.attributes)

    @property
    def kind(self) -> ParticipantKind:
        """A person, an agent, a phone."""
        return participant_kind(self._info.kind)

    @property
    def kind_details(self) -> list[ParticipantKindDetail]:
        """More about the kind."""
        return participant_kind_details(list(self._info.kind_details))

    @property
    def state(self) -> ParticipantState:
        """How far the participant has come into the room."""
        return participant_state(self._info.state)

    @property
    def joined_at(self) -> datetime.datetime | None:
        """When the participant came, None before."""
        milliseconds = self._info.joined_at_ms or self._info.joined_at * 1000
        if not milliseconds:
            return None
        return datetime.datetime.fromtimestamp(milliseconds / 1000, tz=datetime.UTC)

    @property
    def permissions(self) -> ParticipantPermission:
        """What the participant may do."""
        permission = self._info.permission
        return ParticipantPermission(
            can_subscribe=permission.can_subscribe,
            can_publish=permission.can_publish,
            can_publish_data=permission.can_publish_data,
            can_publish_sources=[track_source(s) for s in permission.can_publish_sources],
            hidden=permission.hidden,
            can_update_metadata=permission.can_update_metadata,
            can_subscribe_metrics=permission.can_subscribe_metrics,
            can_manage_agent_session=permission.can_manage_agent_session,
        )

    @property
    def connection_quality(self) -> ConnectionQuality:
        """The server's last judgement."""
        return self._connection_quality

    @property
    def audio_level(self) -> float:
        """How loud the participant speaks, 0 to 1."""
        return self._speaking_level

    @property
    def is_speaking(self) -> bool:
        """Whether the participant speaks now."""
        return self._speaking_level > 0

    @property
    def disconnect_reason(self) -> DisconnectReason | None:
        """Why the participant has left, None while here."""
        reason = disconnect_reason(self._info.disconnect_reason)
        return None if reason is DisconnectReason.UNKNOWN_REASON else reason


class RemoteParticipant(Participant):
    """Somebody else."""

    def __init__(self, owned_info: lk.ParticipantInfo) -> None:
        super().__init__(owned_info)
        self._track_publications: dict[str, RemoteTrackPublication] = {}
        self._watchers: list[Callable[[RemoteTrackPublication | None], None]] = []

    @property
    def track_publications(self) -> Mapping[str, RemoteTrackPublication]:
        """Publications by sid."""
        return self._track_publications

    def add_publication(self, publication: RemoteTrackPublication) -> None:
        """Take in a new publication."""
        self._track_publications[publication.sid] = publication

    def remove_publication(self, sid: str) -> RemoteTrackPublication | None:
        """Take out a publication."""
        return self._track_publications.pop(sid, None)

    def find_publication(self, source: TrackSource | int) -> RemoteTrackPublication | None:
        """Return the newest publication of a source."""
        found = [p for p in self._track_publications.values() if p.source == source]
        return found[-1] if found else None

    def watch_subscriptions(
        self, watcher: Callable[[RemoteTrackPublication | None], None]
    ) -> Callable[[], None]:
        """Call `watcher` with every publication that gets a track, and None at the end.

        Returns what stops it.
        """
        self._watchers.append(watcher)

        def stop() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

        return stop

    def tell_watchers(self, publication: RemoteTrackPublication | None) -> None:
        """Tell of a new track, or that there will be none any more."""
        for watcher in list(self._watchers):
            watcher(publication)

    def __repr__(self) -> str:
        return f"rtc.RemoteParticipant(sid={self.sid}, identity={self.identity}, name={self.name})"
