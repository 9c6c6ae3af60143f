"""Numbers and messages of the wire as the public door shows them, and back.

The official SDK renumbered some enums (a track kind of 0 is audio on the wire and unknown in
the SDK). A number that a newer server sends and we do not know becomes the enum's unknown
member where it has one, never an exception.
"""

from __future__ import annotations

from livekit.protocol import models as lk

from app.engine.enums import (
    ConnectionQuality,
    DisconnectReason,
    EncryptionType,
    ParticipantKind,
    ParticipantKindDetail,
    ParticipantState,
    TrackKind,
    TrackSource,
)

_TRACK_KINDS: dict[int, TrackKind] = {
    lk.TrackType.AUDIO: TrackKind.KIND_AUDIO,
    lk.TrackType.VIDEO: TrackKind.KIND_VIDEO,
}

_PARTICIPANT_KINDS: dict[int, ParticipantKind] = {
    lk.ParticipantInfo.STANDARD: ParticipantKind.PARTICIPANT_KIND_STANDARD,
    lk.ParticipantInfo.INGRESS: ParticipantKind.PARTICIPANT_KIND_INGRESS,
    lk.ParticipantInfo.EGRESS: ParticipantKind.PARTICIPANT_KIND_EGRESS,
    lk.ParticipantInfo.SIP: ParticipantKind.PARTICIPANT_KIND_SIP,
    lk.ParticipantInfo.AGENT: ParticipantKind.PARTICIPANT_KIND_AGENT,
    lk.ParticipantInfo.CONNECTOR: ParticipantKind.PARTICIPANT_KIND_CONNECTOR,
    lk.ParticipantInfo.BRIDGE: ParticipantKind.PARTICIPANT_KIND_BRIDGE,
}


def track_kind(number: int) -> TrackKind:
    """Map a `TrackType` of the wire."""
    return _TRACK_KINDS.get(number, TrackKind.KIND_UNKNOWN)


def track_source(number: int) -> TrackSource:
    """Map a `TrackSource` of the wire; the numbers agree."""
    try:
        return TrackSource(number)
    except ValueError:
        return TrackSource.SOURCE_UNKNOWN


def participant_kind(number: int) -> ParticipantKind:
    """Map a `ParticipantInfo.Kind` of the wire."""
    return _PARTICIPANT_KINDS.get(number, ParticipantKind.PARTICIPANT_KIND_STANDARD)


def participant_state(number: int) -> ParticipantState:
    """Map a `ParticipantInfo.State` of the wire; the numbers agree."""
    try:
        return ParticipantState(number)
    except ValueError:
        return ParticipantState.PARTICIPANT_STATE_JOINING


def participant_kind_details(numbers: list[int]) -> list[ParticipantKindDetail]:
    """Map `KindDetail`s of the wire; the numbers agree, unknown ones are left out."""
    known = {int(detail) for detail in ParticipantKindDetail}
    return [ParticipantKindDetail(number) for number in numbers if number in known]


def disconnect_reason(number: int) -> DisconnectReason:
    """Map a `DisconnectReason` of the wire; the numbers agree."""
    try:
        return DisconnectReason(number)
    except ValueError:
        return DisconnectReason.UNKNOWN_REASON


def connection_quality(number: int) -> ConnectionQuality:
    """Map a `ConnectionQuality` of the wire; the numbers agree."""
    try:
        return ConnectionQuality(number)
    except ValueError:
        return ConnectionQuality.QUALITY_UNKNOWN


def encryption_type(number: int) -> EncryptionType:
    """Map an `Encryption.Type` of the wire; the numbers agree."""
    try:
        return EncryptionType(number)
    except ValueError:
        return EncryptionType.NONE
