"""What a room is made with: a request's wishes, a token's, and the server's for the rest.

Sans-IO. Only the first one counts: a room that exists is never changed by a later request or
token. A number of 0 means "not said".
"""

from __future__ import annotations

from google.protobuf import json_format
from livekit.protocol import room as room_messages

from app.protocol.errors import ProtocolError
from app.protocol.token import Claims
from app.server.config import ServerConfig

RoomConfiguration = room_messages.RoomConfiguration


def from_request(request: room_messages.CreateRoomRequest) -> RoomConfiguration:
    """Return what a CreateRoom asks for; `ProtocolError` for a preset, of which there are none."""
    if request.room_preset:
        raise ProtocolError("unknown room preset")
    return RoomConfiguration(
        empty_timeout=request.empty_timeout,
        departure_timeout=request.departure_timeout,
        max_participants=request.max_participants,
        metadata=request.metadata,
        agents=request.agents,
        tags=request.tags,
    )


def from_claims(claims: Claims) -> RoomConfiguration:
    """Return what a token says for the room that its holder is the first to enter."""
    configuration = RoomConfiguration()
    if claims.raw.get("roomPreset"):
        raise ProtocolError("unknown room preset")
    if claims.room_config:
        try:
            json_format.ParseDict(
                dict(claims.room_config), configuration, ignore_unknown_fields=True
            )
        except (json_format.ParseError, TypeError, ValueError, RecursionError) as error:
            raise ProtocolError("room configuration does not decode") from error
    return configuration


def with_defaults(
    name: str, configuration: RoomConfiguration, config: ServerConfig
) -> RoomConfiguration:
    """Fill in what neither request nor token said; a hosted room's size is its host's to say."""
    filled = RoomConfiguration()
    filled.CopyFrom(configuration)
    filled.empty_timeout = configuration.empty_timeout or config.empty_timeout_s
    filled.departure_timeout = configuration.departure_timeout or config.departure_timeout_s
    hosted = [each.max_people for each in config.rooms if each.name == name]
    wanted = (*hosted, configuration.max_participants, config.max_participants)
    filled.max_participants = next((number for number in wanted if number), 0)
    return filled
