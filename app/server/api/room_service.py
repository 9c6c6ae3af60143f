"""LiveKit's RoomService: who is in which room, and what is done to them.

Each method checks its grant before it looks for anything. An absent room or participant is
`not_found` at once, except where the reference answers with nothing.
"""

from __future__ import annotations

from google.protobuf.message import Message
from livekit.protocol import models, rtc
from livekit.protocol import room as messages

from app.protocol.errors import ProtocolError
from app.protocol.token import Claims
from app.server.api import grants
from app.server.api.twirp import Method, Service, TwirpError
from app.server.config import ServerConfig
from app.server.gate.guests import DOOR_TOPIC
from app.server.room import configuration, moderation, moving
from app.server.room.data_router import LOSSY, RELIABLE
from app.server.room.forwarding import Guest
from app.server.room.metadata import (
    MAX_ATTRIBUTES_BYTES,
    MAX_METADATA_BYTES,
    MAX_NAME_BYTES,
    MetadataRefusal,
    size_of,
)
from app.server.room.participant import Participant, Reasons
from app.server.room.room import Room
from app.server.room.rooms import Rooms
from app.server.room.server_calls import CallFailed

NONCE_BYTES = 16
# Error codes of a call that failed, as the caller is told them; others are internal errors.
_CALL_CODES = {
    1400: "invalid_argument",
    1401: "not_found",
    1402: "invalid_argument",
    1403: "unimplemented",
    1404: "unimplemented",
    1501: "canceled",
    1502: "canceled",
    1503: "unavailable",
}


class RoomService:
    """Methods of one server's rooms."""

    def __init__(self, config: ServerConfig, rooms: Rooms) -> None:
        self._config = config
        self._rooms = rooms

    @property
    def methods(self) -> Service:
        """Everything that can be asked."""
        return {
            "CreateRoom": Method(messages.CreateRoomRequest, self._create_room),
            "ListRooms": Method(messages.ListRoomsRequest, self._list_rooms),
            "DeleteRoom": Method(messages.DeleteRoomRequest, self._delete_room),
            "ListParticipants": Method(messages.ListParticipantsRequest, self._list_participants),
            "GetParticipant": Method(messages.RoomParticipantIdentity, self._get_participant),
            "RemoveParticipant": Method(messages.RoomParticipantIdentity, self._remove_participant),
            "MutePublishedTrack": Method(messages.MuteRoomTrackRequest, self._mute_track),
            "UpdateParticipant": Method(
                messages.UpdateParticipantRequest, self._update_participant
            ),
            "UpdateSubscriptions": Method(
                messages.UpdateSubscriptionsRequest, self._update_subscriptions
            ),
            "SendData": Method(messages.SendDataRequest, self._send_data),
            "UpdateRoomMetadata": Method(
                messages.UpdateRoomMetadataRequest, self._update_room_metadata
            ),
            "ForwardParticipant": Method(messages.ForwardParticipantRequest, self._forward),
            "MoveParticipant": Method(messages.MoveParticipantRequest, self._move),
            "PerformRpc": Method(messages.PerformRpcRequest, self._perform_rpc),
        }

    # --- rooms

    async def _create_room(
        self, claims: Claims | None, request: messages.CreateRoomRequest
    ) -> Message:
        grants.need_room_create(claims, request.name)
        if request.HasField("egress"):
            # A room that nobody records though it was asked for would be a surprise.
            raise TwirpError("unimplemented", "Egress is not available on this server")
        if not request.name:
            raise TwirpError("invalid_argument", "room name is required")
        if len(request.name.encode()) > MAX_NAME_BYTES:
            words = f"room name length exceeds limits: max length {MAX_NAME_BYTES}"
            raise TwirpError("invalid_argument", words)
        _check_metadata(request.metadata)
        for agent in request.agents:
            _check_metadata(agent.metadata)
            if size_of(agent.attributes) > MAX_ATTRIBUTES_BYTES:
                raise TwirpError("invalid_argument", "attribute size exceeds limits")
        try:
            wanted = configuration.from_request(request)
        except ProtocolError as error:
            raise TwirpError("invalid_argument", error.reason) from error
        return room_for(self._rooms, request.name, wanted).snapshot()

    async def _list_rooms(
        self, claims: Claims | None, request: messages.ListRoomsRequest
    ) -> Message:
        grants.need_room_list(claims)
        wanted = set(request.names)
        rooms = [room for room in self._rooms.live.values() if not wanted or room.name in wanted]
        return messages.ListRoomsResponse(rooms=[room.snapshot() for room in rooms])

    async def _delete_room(
        self, claims: Claims | None, request: messages.DeleteRoomRequest
    ) -> Message:
        grants.need_room_create(claims, request.room)
        if self._rooms.close_room(request.room, Reasons.ROOM_DELETED) is None:
            raise _no_room()
        return messages.DeleteRoomResponse()

    async def _update_room_metadata(
        self, claims: Claims | None, request: messages.UpdateRoomMetadataRequest
    ) -> Message:
        grants.need_room_admin(claims, request.room)
        _check_metadata(request.metadata)
        room = self._room(request.room)
        room.set_metadata(request.metadata)
        return room.snapshot()

    # --- participants

    async def _list_participants(
        self, claims: Claims | None, request: messages.ListParticipantsRequest
    ) -> Message:
        grants.need_room_admin(claims, request.room)
        room = self._rooms.find(request.room)
        people = room.people if room is not None else ()
        return messages.ListParticipantsResponse(participants=[p.snapshot() for p in people])

    async def _get_participant(
        self, claims: Claims | None, request: messages.RoomParticipantIdentity
    ) -> Message:
        grants.need_room_admin(claims, request.room)
        guest = self._guest(request.room, request.identity)
        return (guest or self._participant(request.room, request.identity)).snapshot()

    async def _remove_participant(
        self, claims: Claims | None, request: messages.RoomParticipantIdentity
    ) -> Message:
        grants.need_room_admin(claims, request.room)
        room, guest = self._rooms.find(request.room), self._guest(request.room, request.identity)
        if room is not None and guest is not None:
            moving.end_guest(guest, room, Reasons.PARTICIPANT_REMOVED)
        else:
            participant = self._participant(request.room, request.identity)
            grants.need_rank(claims, participant.claims)
            self._room(request.room).remove(participant, Reasons.PARTICIPANT_REMOVED)
            await self._rooms.settled()
        return messages.RemoveParticipantResponse()

    async def _mute_track(
        self, claims: Claims | None, request: messages.MuteRoomTrackRequest
    ) -> Message:
        grants.need_room_admin(claims, request.room)
        if not request.muted and not self._config.enable_remote_unmute:
            raise TwirpError("failed_precondition", "remote unmute not enabled")
        participant = self._participant(request.room, request.identity)
        track = moderation.mute_track(participant, request.track_sid, request.muted)
        return messages.MuteRoomTrackResponse(track=track)

    async def _update_participant(
        self, claims: Claims | None, request: messages.UpdateParticipantRequest
    ) -> Message:
        grants.need_room_admin(claims, request.room)
        participant = self._participant(request.room, request.identity)
        if request.HasField("permission"):
            grants.need_rank(claims, participant.claims)
        try:
            moderation.update_participant(participant, request)
        except MetadataRefusal as refusal:
            is_forbidden = refusal.reason == rtc.RequestResponse.NOT_ALLOWED
            code = "permission_denied" if is_forbidden else "invalid_argument"
            raise TwirpError(code, refusal.message) from refusal
        return participant.snapshot()

    async def _update_subscriptions(
        self, claims: Claims | None, request: messages.UpdateSubscriptionsRequest
    ) -> Message:
        grants.need_room_admin(claims, request.room)
        participant = self._participant(request.room, request.identity)
        sids = set(request.track_sids)
        for tracks in request.participant_tracks:
            sids.update(tracks.track_sids)
        self._room(request.room).subscription_requested(participant, sids, request.subscribe)
        return messages.UpdateSubscriptionsResponse()

    async def _forward(
        self, claims: Claims | None, request: messages.ForwardParticipantRequest
    ) -> Message:
        participant, target = self._to_another_room(claims, request)
        home = self._room(request.room)
        is_shown = target.guest_by_identity(participant.identity)
        if is_shown is not None and is_shown.participant is not participant:
            raise _already_there()
        moving.forward_participant(participant, home, target)
        return messages.ForwardParticipantResponse()

    async def _move(
        self, claims: Claims | None, request: messages.MoveParticipantRequest
    ) -> Message:
        participant, target = self._to_another_room(claims, request)
        moving.move_participant(participant, self._room(request.room), target)
        return messages.MoveParticipantResponse()

    def _to_another_room(
        self,
        claims: Claims | None,
        request: messages.ForwardParticipantRequest | messages.MoveParticipantRequest,
    ) -> tuple[Participant, Room]:
        """Return who is meant and the other room, which is made when it is missing."""
        grants.need_destination(claims, request.room, request.destination_room)
        if request.room == request.destination_room:
            words = "destination room cannot be the same as source room"
            raise TwirpError("invalid_argument", words, argument=words)
        if len(request.destination_room.encode()) > MAX_NAME_BYTES:
            raise TwirpError("invalid_argument", "room name length exceeds limits")
        participant = self._participant(request.room, request.identity)
        target = room_for(self._rooms, request.destination_room)
        if target.by_identity(participant.identity) is not None:
            raise _already_there()
        if target.is_full_for(participant.claims):
            raise TwirpError("resource_exhausted", "destination room is full")
        return participant, target

    # --- data and calls

    async def _send_data(self, claims: Claims | None, request: messages.SendDataRequest) -> Message:
        grants.need_room_admin(claims, request.room)
        if len(request.nonce) not in (0, NONCE_BYTES):
            words = f"nonce should be 16-bytes or not present, got: {len(request.nonce)} bytes"
            raise TwirpError("invalid_argument", words)
        if request.topic == DOOR_TOPIC and self._rooms.has_gates:
            # What comes from nobody on this topic is taken for the server's own word.
            raise TwirpError("permission_denied", "this topic is the server's own")
        user = models.UserPacket(
            payload=request.data,
            destination_sids=request.destination_sids,
            destination_identities=request.destination_identities,
            nonce=request.nonce,
        )
        if request.HasField("topic"):
            user.topic = request.topic
        label = LOSSY if request.kind == models.DataPacket.LOSSY else RELIABLE
        try:
            self._room(request.room).send_data(user, label)
        except ProtocolError as error:
            raise TwirpError("invalid_argument", error.reason) from error
        return messages.SendDataResponse()

    async def _perform_rpc(
        self, claims: Claims | None, request: messages.PerformRpcRequest
    ) -> Message:
        grants.need_room_admin(claims, request.room)
        if not request.destination_identity:
            raise TwirpError("invalid_argument", "destination identity is required")
        participant = self._participant(request.room, request.destination_identity)
        try:
            payload = await self._room(request.room).calls.perform(
                lambda data: participant.send_data(RELIABLE, data),
                target_sid=participant.sid,
                target_identity=participant.identity,
                method=request.method,
                payload=request.payload,
                response_timeout_s=request.response_timeout_ms / 1000,
            )
        except CallFailed as failure:
            code = _CALL_CODES.get(failure.code, "internal")
            raise TwirpError(code, f"RpcError {failure.code}: {failure.message}") from failure
        return messages.PerformRpcResponse(payload=payload)

    # --- inside

    def _room(self, name: str) -> Room:
        room = self._rooms.find(name)
        if room is None:
            raise _no_room()
        return room

    def _guest(self, room_name: str, identity: str) -> Guest | None:
        room = self._rooms.find(room_name)
        return room.guest_by_identity(identity) if room is not None else None

    def _participant(self, room_name: str, identity: str) -> Participant:
        room = self._rooms.find(room_name)
        participant = room.by_identity(identity) if room is not None else None
        if participant is None:
            raise TwirpError("not_found", "participant does not exist")
        return participant


def room_for(
    rooms: Rooms, name: str, wanted: configuration.RoomConfiguration | None = None
) -> Room:
    """Return the room of this name, made if need be; a server that stops makes none."""
    if rooms.is_stopping:
        raise TwirpError("unavailable", "server is shutting down")
    return rooms.get_or_create(name, wanted or configuration.RoomConfiguration())


def _already_there() -> TwirpError:
    return TwirpError("already_exists", "somebody of this identity is in the destination room")


def _no_room() -> TwirpError:
    return TwirpError("not_found", "requested room does not exist")


def _check_metadata(metadata: str) -> None:
    if len(metadata.encode()) > MAX_METADATA_BYTES:
        raise TwirpError("invalid_argument", "metadata size exceeds limits")
