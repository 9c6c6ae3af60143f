"""What somebody with the grant does to a participant: update, mute, change rights.

The participant's own client is told like everybody else, or by the message that it obeys; the
room hears of it as of any other change.
"""

from __future__ import annotations

import dataclasses

from livekit.protocol import models, rtc
from livekit.protocol import room as room_messages

from app.protocol.token import Claims, VideoGrant, grant_to_claim
from app.server.room.first_info import permission_of
from app.server.room.metadata import check_values
from app.server.room.participant import Participant
from app.server.room.publisher import source_is_allowed


def update_participant(
    participant: Participant, request: room_messages.UpdateParticipantRequest
) -> None:
    """Merge name, metadata and attributes, replace rights; `MetadataRefusal` changes nothing."""
    update = rtc.UpdateParticipantMetadata(
        name=request.name, metadata=request.metadata, attributes=request.attributes
    )
    check_values(update, participant.info)
    participant.describe(update)
    if request.HasField("permission"):
        set_permission(participant, request.permission)


def set_permission(participant: Participant, permission: models.ParticipantPermission) -> None:
    """Replace what a participant may do; what it may not do any more ends at once."""
    claims = with_permission(participant.claims, permission)
    if permission_of(claims.video) == permission_of(participant.claims.video):
        return
    participant.claims = claims
    participant.info.permission.CopyFrom(permission_of(claims.video))
    was_hidden, participant.data_sender.hidden = participant.data_sender.hidden, permission.hidden
    participant.data_sender.may_publish_data = permission.can_publish_data
    participant.bump()
    participant.tell_permission(was_hidden=was_hidden)
    for publication in list(participant.publisher.publications.values()):
        info = publication.info
        if not source_is_allowed(participant.info.permission, info.type, info.source):
            participant.take_back(publication)


def mute_track(participant: Participant, track_sid: str, muted: bool) -> models.TrackInfo | None:
    """Mute or unmute a track and make its owner's client follow; None for an unknown track."""
    publication = participant.publisher.publications.get(track_sid)
    if publication is None:
        return None
    participant.set_muted(publication, muted)
    participant.send(rtc.SignalResponse(mute=rtc.MuteTrackRequest(sid=track_sid, muted=muted)))
    track = models.TrackInfo()
    track.CopyFrom(publication.info)
    return track


def with_permission(claims: Claims, permission: models.ParticipantPermission) -> Claims:
    """Return the claims as the holder's next token has to say them.

    What a participant is (an agent, a recorder) is not up for change.
    """
    sources = tuple(
        models.TrackSource.Name(source).lower()
        for source in permission.can_publish_sources
        if source in models.TrackSource.values()
    )
    grant: VideoGrant = dataclasses.replace(
        claims.video,
        can_subscribe=permission.can_subscribe,
        can_publish=permission.can_publish,
        can_publish_data=permission.can_publish_data,
        can_publish_sources=sources,
        hidden=permission.hidden,
        can_update_own_metadata=permission.can_update_metadata,
        can_subscribe_metrics=permission.can_subscribe_metrics,
        can_manage_agent_session=permission.can_manage_agent_session,
    )
    return dataclasses.replace(
        claims, video=grant, raw={**claims.raw, "video": grant_to_claim(grant)}
    )
