"""Questions to a running agent session, and its reports: `lk.agent.session` byte streams.

Each stream is one serialised `AgentSessionMessage`. They are read one after the other, so that
reports keep their order, and sent one at a time. Answers are matched by `request_id`. It is meant
for holders of `canManageAgentSession`; the agent decides whom it answers.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog
from google.protobuf.message import DecodeError
from livekit.protocol.agent_pb import agent_session as messages

from app.engine.streams import ByteStreamReader, StreamError
from app.runtime.tasks import TaskOwner, spawn

if TYPE_CHECKING:
    from app.engine.room import Room

log = structlog.get_logger(__name__)

SESSION_TOPIC = "lk.agent.session"
REQUEST_TIMEOUT_S = 10.0
MAX_MESSAGE_BYTES = 1024 * 1024
MAX_QUEUED = 256


class AgentControlError(Exception):
    """The agent did not answer, or answered with an error."""


class AgentControl:
    """One agent's session, from the outside; belongs to the room's loop."""

    def __init__(
        self,
        room: Room,
        agent_identity: str,
        on_event: Callable[[messages.AgentSessionEvent], None] = lambda _event: None,
    ) -> None:
        self._room = room
        self._agent_identity = agent_identity
        self._on_event = on_event
        self._owner = TaskOwner("agent-control")
        self._waiting: dict[str, asyncio.Future[messages.SessionResponse]] = {}
        self._queue: asyncio.Queue[ByteStreamReader] = asyncio.Queue(MAX_QUEUED)
        self._sending = asyncio.Lock()
        room.register_byte_stream_handler(SESSION_TOPIC, self._on_stream)
        spawn(self._read_all(), name="read", owner=self._owner)

    async def request(
        self, *, timeout_s: float = REQUEST_TIMEOUT_S, **request: Any
    ) -> messages.SessionResponse:
        """Ask (`ping=`, `get_chat_history=`, … as in `SessionRequest`) and return the answer."""
        request_id = uuid.uuid4().hex
        message = messages.AgentSessionMessage(
            request=messages.SessionRequest(request_id=request_id, **request)
        )
        answer = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answer
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(message)
                response: messages.SessionResponse = await answer
        except TimeoutError as error:
            raise AgentControlError("the agent did not answer") from error
        except StreamError as error:
            raise AgentControlError("the agent could not be asked") from error
        finally:
            self._waiting.pop(request_id, None)
        if response.HasField("error"):
            raise AgentControlError(response.error)
        return response

    async def aclose(self) -> None:
        """Stop listening; who still waits is told."""
        self._room.unregister_byte_stream_handler(SESSION_TOPIC)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(AgentControlError("closed"))
        await self._owner.close()

    async def _send(self, message: messages.AgentSessionMessage) -> None:
        data = message.SerializeToString()
        async with self._sending:
            writer = await self._room.local_participant.stream_bytes(
                f"AS_{uuid.uuid4().hex[:12]}",
                topic=SESSION_TOPIC,
                total_size=len(data),
                destination_identities=[self._agent_identity],
            )
            await writer.write(data)
            await writer.aclose()

    def _on_stream(self, reader: ByteStreamReader, identity: str) -> None:
        if identity != self._agent_identity or self._queue.full():
            reader.close()
            return
        self._queue.put_nowait(reader)

    async def _read_all(self) -> None:
        while True:
            reader = await self._queue.get()
            message = await self._read(reader)
            if message is not None:
                self._handle(message)

    async def _read(self, reader: ByteStreamReader) -> messages.AgentSessionMessage | None:
        data = bytearray()
        message = messages.AgentSessionMessage()
        try:
            async for chunk in reader:
                data += chunk
                if len(data) > MAX_MESSAGE_BYTES:
                    raise DecodeError
            message.ParseFromString(bytes(data))
        except (StreamError, DecodeError):
            reader.close()
            log.warning("message of an agent session dropped")
            return None
        return message

    def _handle(self, message: messages.AgentSessionMessage) -> None:
        match message.WhichOneof("message"):
            case "response":
                answer = self._waiting.pop(message.response.request_id, None)
                if answer is not None and not answer.done():
                    answer.set_result(message.response)
            case "event":
                self._on_event(message.event)
            case _:
                log.debug("message of an agent session without effect")
