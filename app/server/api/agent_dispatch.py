"""LiveKit's AgentDispatchService: ask for an agent in a room, stop asking, see what was asked.

Asking makes the room if it is not there, and works without any worker: the jobs come when a
worker of that name does.
"""

from __future__ import annotations

from google.protobuf.message import Message
from livekit.protocol import agent_dispatch as messages

from app.protocol.errors import ProtocolError
from app.protocol.token import Claims
from app.server.agents.room_agents import RoomAgents, TooManyDispatchesError
from app.server.agents.worker import MAX_NAME_CHARS, check_deployment
from app.server.api import grants
from app.server.api.room_service import room_for
from app.server.api.twirp import Method, Service, TwirpError
from app.server.room.metadata import MAX_ATTRIBUTES_BYTES, MAX_METADATA_BYTES, MAX_NAME_BYTES
from app.server.room.rooms import Rooms


class AgentDispatchService:
    """Methods on the dispatches of one server's rooms."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @property
    def methods(self) -> Service:
        """Everything that can be asked."""
        return {
            "CreateDispatch": Method(messages.CreateAgentDispatchRequest, self._create),
            "DeleteDispatch": Method(messages.DeleteAgentDispatchRequest, self._delete),
            "ListDispatch": Method(messages.ListAgentDispatchRequest, self._list),
        }

    async def _create(
        self, claims: Claims | None, request: messages.CreateAgentDispatchRequest
    ) -> Message:
        grants.need_room_admin(claims, request.room)
        _check(request)
        agents = room_for(self._rooms, request.room).agents
        try:
            return agents.dispatch(
                agent_name=request.agent_name,
                metadata=request.metadata,
                restart_policy=request.restart_policy,
                deployment=request.deployment,
                attributes=dict(request.attributes),
            )
        except TooManyDispatchesError as error:
            raise TwirpError("resource_exhausted", "the room has too many dispatches") from error

    async def _delete(
        self, claims: Claims | None, request: messages.DeleteAgentDispatchRequest
    ) -> Message:
        grants.need_room_admin(claims, request.room)
        gone = self._agents(request.room).delete(request.dispatch_id)
        if gone is None:
            raise TwirpError("not_found", "dispatch ID not found")
        return gone

    async def _list(
        self, claims: Claims | None, request: messages.ListAgentDispatchRequest
    ) -> Message:
        grants.need_room_admin(claims, request.room)
        found = self._agents(request.room).list(request.dispatch_id)
        return messages.ListAgentDispatchResponse(agent_dispatches=found)

    def _agents(self, room: str) -> RoomAgents:
        found = self._rooms.find(room)
        if found is None:
            raise TwirpError("not_found", "requested room does not exist")
        return found.agents


def _check(request: messages.CreateAgentDispatchRequest) -> None:
    """Raise unless everything fits."""
    try:
        check_deployment(request.deployment)
    except ProtocolError as error:
        raise TwirpError("invalid_argument", error.reason) from error
    if len(request.room.encode()) > MAX_NAME_BYTES or len(request.agent_name) > MAX_NAME_CHARS:
        raise TwirpError("invalid_argument", "name exceeds limits")
    if len(request.metadata.encode()) > MAX_METADATA_BYTES:
        raise TwirpError("invalid_argument", "metadata size exceeds limits")
    size = sum(len(key.encode()) + len(text.encode()) for key, text in request.attributes.items())
    if size > MAX_ATTRIBUTES_BYTES:
        raise TwirpError("invalid_argument", "attributes size exceeds limits")
