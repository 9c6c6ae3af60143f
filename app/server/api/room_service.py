"""LiveKit's server API (Twirp): of RoomService only DeleteRoom, the rest says `unimplemented`.

Requests are protobuf or JSON, answers come in the same form; errors are always JSON with a
`code`. The grant is checked before anything else, so that a stranger learns nothing.
"""

from __future__ import annotations

from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from livekit.protocol import models
from livekit.protocol import room as room_messages

from app.protocol.token import VideoGrant
from app.server.api.auth import HttpRefusal, claims_of
from app.server.config import ServerConfig
from app.server.gate.gates import Gates
from app.server.room.rooms import Rooms

_HTTP = {
    "bad_route": 404,
    "invalid_argument": 400,
    "malformed": 400,
    "not_found": 404,
    "unauthenticated": 401,
    "unimplemented": 501,
}
_ROOM_METHODS = {
    "CreateRoom",
    "ListRooms",
    "DeleteRoom",
    "ListParticipants",
    "GetParticipant",
    "RemoveParticipant",
    "MutePublishedTrack",
    "UpdateParticipant",
    "UpdateSubscriptions",
    "SendData",
    "UpdateRoomMetadata",
    "ForwardParticipant",
    "MoveParticipant",
    "PerformRpc",
}
_OTHER_SERVICES = {"Egress", "Ingress", "SIP", "AgentDispatchService"}
_JSON, _PROTOBUF = "application/json", "application/protobuf"


class _TwirpError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class RoomService:
    """Handler of `/twirp/livekit.{service}/{method}`."""

    def __init__(self, config: ServerConfig, rooms: Rooms, gates: Gates | None) -> None:
        self._config = config
        self._rooms = rooms
        self._gates = gates

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one call."""
        service = request.match_info["service"]
        if service != "RoomService" and service not in _OTHER_SERVICES:
            return web.Response(status=404, text="404 page not found\n")
        try:
            return await self._call(request, service, request.match_info["method"])
        except _TwirpError as error:
            body = {"code": error.code, "msg": error.message}
            return web.json_response(body, status=_HTTP[error.code])

    async def _call(self, request: web.Request, service: str, method: str) -> web.Response:
        is_known = service != "RoomService" or method in _ROOM_METHODS
        if request.method != "POST" or request.content_type not in (_JSON, _PROTOBUF):
            raise _TwirpError("bad_route", "POST with protobuf or JSON is required")
        if not is_known:
            raise _TwirpError("bad_route", "no handler for this path")
        grant = self._grant(request)
        if (service, method) != ("RoomService", "DeleteRoom"):
            raise _TwirpError("unimplemented", f"{service}.{method} is not built yet")
        if not grant.room_create:
            raise _TwirpError("unauthenticated", "permissions denied")
        wanted = await _read(request, room_messages.DeleteRoomRequest())
        if grant.room_join and grant.room and grant.room != wanted.room:
            # A participant's token speaks for its own room only.
            raise _TwirpError("unauthenticated", "permissions denied")
        reason = models.DisconnectReason.ROOM_DELETED
        if self._rooms.close_room(wanted.room, reason) is None:
            raise _TwirpError("not_found", "requested room does not exist")
        return _write(request, room_messages.DeleteRoomResponse())

    def _grant(self, request: web.Request) -> VideoGrant:
        try:
            claims = claims_of(request, self._config.keys)
            return (self._gates.effective(claims) if self._gates is not None else claims).video
        except HttpRefusal as refusal:
            raise _TwirpError("unauthenticated", refusal.text) from refusal


async def _read(
    request: web.Request, message: room_messages.DeleteRoomRequest
) -> room_messages.DeleteRoomRequest:
    body = await request.read()
    try:
        if request.content_type == _JSON:
            json_format.Parse(body, message, ignore_unknown_fields=True)
        else:
            message.ParseFromString(body)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError) as error:
        raise _TwirpError("malformed", "the request does not decode") from error
    return message


def _write(request: web.Request, message: Message) -> web.Response:
    if request.content_type == _JSON:
        text = json_format.MessageToJson(
            message,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
            indent=None,
        )
        return web.Response(text=text, content_type=_JSON)
    return web.Response(body=message.SerializeToString(), content_type=_PROTOBUF)
