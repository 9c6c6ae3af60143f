"""How a participant is announced at first: what its token and its join request say. Sans-IO."""

from __future__ import annotations

from livekit.protocol import models, rtc

from app.protocol.token import Claims, VideoGrant
from app.server.room.metadata import brought_along
from app.server.room.publication import known_values


def first_info(
    sid: str, claims: Claims, request: rtc.JoinRequest, *, now_ms: int
) -> models.ParticipantInfo:
    """Return the announcement, in state JOINING."""
    kind_name = claims.kind.upper()
    known_kinds = set(models.ParticipantInfo.Kind.keys())
    known_details = set(models.ParticipantInfo.KindDetail.keys())
    info = models.ParticipantInfo(
        sid=sid,
        identity=claims.identity,
        name=claims.name,
        metadata=request.metadata or claims.metadata,
        attributes={**claims.attributes, **brought_along(request.participant_attributes)},
        state=models.ParticipantInfo.JOINING,
        joined_at=now_ms // 1000,
        joined_at_ms=now_ms,
        version=1,
        kind=kind_name if kind_name in known_kinds else "STANDARD",
        kind_details=[
            name.upper() for name in claims.kind_details if name.upper() in known_details
        ],
        client_protocol=request.client_info.client_protocol,
        capabilities=known_values(models.ClientInfo.Capability, request.client_info.capabilities),
        permission=permission_of(claims.video),
    )
    return info


def is_dependent(claims: Claims) -> bool:
    """Whether this is an agent or a recorder, who is there for others only."""
    grant = claims.video
    return grant.agent or grant.recorder or claims.kind.lower() in ("agent", "egress")


def permission_of(grant: VideoGrant) -> models.ParticipantPermission:
    """Return what everybody is told of a grant."""
    known_sources = set(models.TrackSource.keys())
    return models.ParticipantPermission(
        can_subscribe=grant.may_subscribe,
        can_publish=grant.may_publish,
        can_publish_data=grant.may_publish_data,
        hidden=grant.hidden,
        recorder=grant.recorder,
        agent=grant.agent,
        can_update_metadata=grant.can_update_own_metadata,
        can_subscribe_metrics=grant.can_subscribe_metrics,
        can_manage_agent_session=grant.can_manage_agent_session,
        can_publish_sources=[
            name.upper() for name in grant.can_publish_sources if name.upper() in known_sources
        ],
    )
