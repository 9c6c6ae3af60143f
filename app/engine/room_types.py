"""What a room tells scripts, under the official SDK's names: its events and their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.engine.enums import DataPacketKind
from app.engine.participant import RemoteParticipant
from app.engine.rtc_stats import RtcStats as StatsReport

EventTypes = Literal[
    "participant_connected",
    "participant_disconnected",
    "participant_active",
    "local_track_published",
    "local_track_unpublished",
    "local_track_republished",
    "local_track_subscribed",
    "track_published",
    "track_unpublished",
    "track_subscribed",
    "track_unsubscribed",
    "track_subscription_failed",
    "track_muted",
    "track_unmuted",
    "active_speakers_changed",
    "room_metadata_changed",
    "participant_metadata_changed",
    "participant_name_changed",
    "participant_attributes_changed",
    "connection_quality_changed",
    "participant_encryption_status_changed",
    "participant_permissions_changed",
    "data_received",
    "sip_dtmf_received",
    "transcription_received",
    "e2ee_state_changed",
    "connection_state_changed",
    "connected",
    "disconnected",
    "reconnecting",
    "reconnected",
    "room_updated",
    "moved",
    "token_refreshed",
    "data_track_published",
    "data_track_unpublished",
]

DataTrackEvents = Literal["data_track_published", "data_track_unpublished"]


class ConnectError(Exception):
    """The room could not be joined; `__cause__` is the `WorldError` with its reason."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass
class DataPacket:
    """A user packet. `participant` is None when a server sent it."""

    data: bytes
    kind: DataPacketKind
    participant: RemoteParticipant | None
    topic: str | None = None


@dataclass
class SipDTMF:
    """A telephone tone. `participant` is None when a server sent it."""

    code: int
    digit: str
    participant: RemoteParticipant | None = None


@dataclass
class RtcStats:
    """Reports of both directions."""

    publisher_stats: list[StatsReport]
    subscriber_stats: list[StatsReport]
