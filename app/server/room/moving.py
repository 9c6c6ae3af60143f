"""From one room to another: moving somebody for good, or showing somebody there as well.

Who moves keeps connection, tracks and sid. The old room sees it leave, the new one sees it come,
and its client gets a token for the new room. Who is shown elsewhere (a `Guest`) stays at home.

Decision: an administrator of one room is none of the room it is moved into. LiveKit's documents
ask of the mover `roomAdmin` and `destinationRoom` and say nothing of the rights that travel; the
mover need not be an administrator there, so it has none to give. What a token says of rooms in
general (`roomList`, `roomRecord`, `roomCreate` of whoever holds the server's keys) stays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
from livekit.protocol import models, rtc

from app.protocol.token import Claims, grant_to_claim
from app.server.gate.standing import ROLE_ATTRIBUTE, is_of_door, with_role
from app.server.room.announcements import departed
from app.server.room.forwarding import Guest
from app.server.room.participant import Participant, Reasons

if TYPE_CHECKING:
    from app.server.room.room import Room

log = structlog.get_logger(__name__)


def move_participant(participant: Participant, source: Room, target: Room) -> None:
    """Bring somebody into another room."""
    data_tracks = list(participant.data_tracks)
    _release(participant, source)
    claims = in_room(participant.claims, target.name)
    gates = target.services.gates
    participant.claims = claims if gates is None else gates.effective(claims)
    if is_of_door(participant.claims):
        role = participant.claims.attributes[ROLE_ATTRIBUTE]
        participant.info.attributes[ROLE_ATTRIBUTE] = role
    _adopt(participant, target, data_tracks)


def in_room(claims: Claims, room: str) -> Claims:
    """Return the claims as a token for another room says them, without rights over rooms."""
    if is_of_door(claims):
        claims = with_role(claims, "guest")
    grant = dataclasses.replace(claims.video, room=room, room_admin=False, destination_room="")
    raw = {key: value for key, value in claims.raw.items() if key != "roomConfig"}
    return dataclasses.replace(
        claims, video=grant, room_config=None, raw={**raw, "video": grant_to_claim(grant)}
    )


def _release(participant: Participant, room: Room) -> None:
    """Let somebody go: for this room it has left."""
    for track_sid in participant.publisher.publications:
        room.subscriptions.forget(track_sid)
    participant.former_rooms.append(room.name)
    last = participant.snapshot()
    room.data_tracks.leave(participant)
    for track in last.tracks:
        room.services.reports.track_unpublished(room.snapshot(), last, track)
    del room.participants[participant.sid]
    room.forget(participant, Reasons.MIGRATION)
    last = departed(last, Reasons.MIGRATION)
    if not participant.is_hidden:
        room.announcements.tell_gone(last)
    # Some SDKs keep the people of the old room unless they are told of each.
    others = [departed(info, Reasons.MIGRATION) for info in room.visible()]
    if others:
        update = rtc.ParticipantUpdate(participants=others)
        participant.send(rtc.SignalResponse(update=update))
    room.services.reports.participant_left(room.snapshot(), last, was_active=participant.was_active)
    room.announcements.room_changes()


def _adopt(
    participant: Participant, room: Room, data_tracks: Sequence[models.DataTrackInfo]
) -> None:
    """Take somebody in."""
    guest = room.guest_by_identity(participant.identity)
    if guest is not None:
        end_guest(guest, room, Reasons.MIGRATION)
    others = room.visible()
    participant.move_to(room, room.media)
    room.admit(participant)
    participant.data_tracks = data_tracks
    participant.send(
        rtc.SignalResponse(
            room_moved=rtc.RoomMovedResponse(
                room=room.snapshot(),
                token=room.services.refresh_token(participant.claims, participant.info),
                participant=participant.snapshot(),
                other_participants=others,
            )
        )
    )
    room.announcements.tell(participant, to_self=False)
    room.subscriptions.welcome(participant)
    room.data_tracks.join(participant, data_tracks)
    reports = room.services.reports
    if participant.is_active:
        reports.participant_joined(room.snapshot(), participant.snapshot())
    for publication in participant.publisher.publications.values():
        room.subscriptions.offer(participant, publication)
        if publication.is_announced:
            reports.track_published(room.snapshot(), participant.snapshot(), publication.info)
    room.announcements.room_changes()
    room.agents.participant_joined(participant)
    if participant.is_publisher:
        room.agents.participant_published(participant)
    log.info("participant moved in", room=room.info.sid, participant=participant.sid)


def forward_participant(participant: Participant, home: Room, target: Room) -> None:
    """Show somebody in another room too; once is enough."""
    if home.windows.is_shown(participant.sid, target):
        return
    gates = target.services.gates
    passes = None
    if gates is not None:
        # Whatever it is at home, it is here what this room knows of it.
        passes = gates.data_filter(target, lambda: in_room(participant.claims, target.name))
    guest = Guest(participant, home, passes)
    target.guests[guest.sid] = guest
    home.windows.open(guest, target)
    target.announcements.tell_of_guest(guest, may_wait=False)
    for publication in participant.publisher.publications.values():
        target.subscriptions.offer(guest, publication)
    target.data_tracks.show(participant)
    target.announcements.room_changes()


def end_guest(guest: Guest, room: Room, reason: int) -> None:
    """Show a guest no longer."""
    if room.guests.pop(guest.sid, None) is None:
        return
    guest.home.windows.close(guest.sid, room)
    room.data_tracks.hide(guest.sid)
    for track_sid in guest.publisher.publications:
        room.subscriptions.forget(track_sid)
    room.announcements.forget(guest.sid)
    if not guest.is_hidden:
        room.announcements.tell_gone(departed(guest.snapshot(), reason))
    room.occupancy.note_left(room.now_s())
    room.announcements.room_changes()
