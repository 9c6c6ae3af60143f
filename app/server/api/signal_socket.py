"""The v1 signalling socket: checks before the upgrade, then frames until one side leaves.

Refusals are sent as plain HTTP answers, because a client reads them again from the
`validate` twin of the same address. A frame that does not decode, or an offer that makes no
sense, is one line in the log and nothing else: the session goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

import structlog
from aiohttp import WSMsgType, web
from livekit.protocol import models, rtc

from app.protocol.errors import ProtocolError
from app.protocol.signal_server import (
    MAX_FRAME_BYTES,
    decode_join_request,
    decode_request,
    leave_response,
)
from app.protocol.token import Claims
from app.runtime.budget import Budget
from app.runtime.tasks import TaskOwner, spawn
from app.server.api.auth import HttpRefusal, joining_claims
from app.server.api.signal_frames import FrameCache
from app.server.config import ServerConfig
from app.server.gate.gate import GateRefusal
from app.server.gate.gates import Gates
from app.server.room.configuration import from_claims
from app.server.room.metadata import is_within_limits
from app.server.room.participant import Participant
from app.server.room.rooms import Rooms
from app.server.tally import Tally

log = structlog.get_logger(__name__)

HEARTBEAT_S = 20.0
# A client that takes nothing for this much is not coming back. The largest message does not
# count: what a newcomer is told of a room full of people with a lot of metadata is one message.
MAX_QUEUED_BYTES = 8 * 1024 * 1024
# What is still unsent this long after the end is not waited for.
CLOSE_TIMEOUT_S = 5.0
# One client's messages may use this share of the loop's time, after a burst of a second, and
# make each of the others receive this much. Beyond it the socket is read more slowly.
WORK_SHARE = 0.2
WORK_BURST_S = 1.0
TOLD_BYTES_PER_S = 512 * 1024
TOLD_BURST_BYTES = 4 * 1024 * 1024
MAX_PAUSE_S = 5.0


class SignalConnection:
    """The writing half of one socket: messages are queued and leave in their order."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.BaseTransport | None,
        tally: Tally | None = None,
        frames: FrameCache | None = None,
    ) -> None:
        self.as_json = False
        self.address = ""
        self._tally = tally or Tally()
        self._frames = frames or FrameCache()
        self._socket = socket
        self._transport = transport
        self._queue: deque[bytes | str] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._is_closing = False
        self._closed = asyncio.Event()

    def send(self, response: rtc.SignalResponse) -> None:
        """Queue one message; a client that does not read is cut off."""
        if not self._is_closing:
            self._tally.signal_sent += 1
            self.send_frame(self._frames.encode(response, as_json=self.as_json))

    def send_frame(self, frame: bytes | str) -> None:
        """Queue one encoded message."""
        if self._is_closing:
            return
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        if self._queued_bytes > MAX_QUEUED_BYTES and (
            self._queued_bytes - max(map(len, self._queue)) > MAX_QUEUED_BYTES
        ):
            log.warning("signalling client does not read")
            self._queue.clear()
            self._queued_bytes = 0
            self._is_closing = True
            self._abort()
        self._wake.set()

    def _abort(self) -> None:
        """Close without waiting for a client that takes nothing."""
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()

    async def finish(self, writer: asyncio.Task[None]) -> None:
        """Close, and wait a moment for what is queued to leave."""
        self.close()
        await asyncio.wait({writer}, timeout=CLOSE_TIMEOUT_S)
        if not writer.done():
            self._abort()
        await writer

    def close(self) -> None:
        """Send what is queued, then close."""
        self._is_closing = True
        self._wake.set()

    async def wait_closed(self) -> None:
        """Return when everything is sent and the client has closed its side."""
        await self._closed.wait()

    async def run(self) -> None:
        """Write until closed; ends quietly when the client is gone."""
        try:
            while True:
                while self._queue:
                    frame = self._queue.popleft()
                    self._queued_bytes -= len(frame)
                    if isinstance(frame, str):
                        await self._socket.send_str(frame)
                    else:
                        await self._socket.send_bytes(frame)
                if self._is_closing:
                    await self._socket.close()
                    return
                self._wake.clear()
                await self._wake.wait()
        except ConnectionError:
            self._is_closing = True
        finally:
            self._closed.set()


class SignalSocket:
    """Handlers of `/rtc/v1` and `/rtc/v1/validate`."""

    def __init__(
        self,
        config: ServerConfig,
        rooms: Rooms,
        gates: Gates | None,
        tasks: TaskOwner,
        tally: Tally,
    ) -> None:
        self._tally = tally
        self._frames = FrameCache()
        self._config = config
        self._rooms = rooms
        self._gates = gates
        self._tasks = tasks

    async def handle_validate(self, request: web.Request) -> web.Response:
        """Say what the socket would say, readable for clients that see no handshake status."""
        self._check(request)
        return web.Response(text="success")

    async def handle_socket(self, request: web.Request) -> web.StreamResponse:
        """Upgrade, join, and read frames until the end."""
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=404)
        claims, join = self._check(request)
        socket = web.WebSocketResponse(
            max_msg_size=MAX_FRAME_BYTES, heartbeat=HEARTBEAT_S, compress=False
        )
        await socket.prepare(request)
        connection = SignalConnection(socket, request.transport, self._tally, self._frames)
        connection.address = request.remote or ""
        writer = spawn(connection.run(), name="signal-writer", owner=self._tasks)
        try:
            if join.reconnect:
                await self._serve_again(socket, connection, claims, join)
            else:
                await self._serve(socket, connection, claims, join)
        finally:
            await connection.finish(writer)
        return socket

    def _check(self, request: web.Request) -> tuple[Claims, rtc.JoinRequest]:
        if self._rooms.is_stopping:
            raise HttpRefusal(503, "server is shutting down")
        claims = self._pass_gate(joining_claims(request, self._config.keys))
        try:
            join = decode_join_request(request.query.get("join_request", ""))
        except ProtocolError as error:
            raise HttpRefusal(400, error.reason) from error
        wants_metadata = bool(join.metadata or join.participant_attributes)
        if wants_metadata and not claims.video.can_update_own_metadata:
            raise HttpRefusal(401, "no permissions to access the room")
        if not is_within_limits(claims, join):
            raise HttpRefusal(400, "name, metadata or attributes too large")
        if not join.reconnect:
            # A resume makes no room and takes no place; the session may be in another room by now.
            self._check_room(claims)
        return claims, join

    def _check_room(self, claims: Claims) -> None:
        try:
            from_claims(claims)
        except ProtocolError as error:
            raise HttpRefusal(400, error.reason) from error
        is_here = self._rooms.find(claims.video.room) is not None
        if not is_here and not self._config.auto_create and not claims.video.room_create:
            raise HttpRefusal(404, "requested room does not exist")
        if self._is_full(claims):
            raise HttpRefusal(503, "room is full")

    def _pass_gate(self, claims: Claims) -> Claims:
        """Return what the claims are worth in a hosted room; the removed and locked out go."""
        try:
            return self._gates.check(claims) if self._gates is not None else claims
        except GateRefusal as refusal:
            raise HttpRefusal(403, refusal.error) from refusal

    def _is_full(self, claims: Claims) -> bool:
        room = self._rooms.find(claims.video.room)
        return room is not None and room.is_full_for(claims)

    async def _serve(
        self,
        socket: web.WebSocketResponse,
        connection: SignalConnection,
        claims: Claims,
        join: rtc.JoinRequest,
    ) -> None:
        if self._rooms.is_stopping:
            connection.send(
                leave_response(rtc.LeaveRequest.RECONNECT, models.DisconnectReason.SERVER_SHUTDOWN)
            )
            return
        try:
            # Whoever opened this socket may have been sent away, or lost a role, meanwhile.
            claims = self._pass_gate(claims)
        except HttpRefusal:
            connection.send(
                leave_response(
                    rtc.LeaveRequest.DISCONNECT, models.DisconnectReason.PARTICIPANT_REMOVED
                )
            )
            return
        if self._is_full(claims):
            # The last place went to somebody while this socket was being opened.
            connection.send(
                leave_response(rtc.LeaveRequest.DISCONNECT, models.DisconnectReason.JOIN_FAILURE)
            )
            return
        room = self._rooms.get_or_create(claims.video.room, from_claims(claims))
        participant = room.join(claims, join, connection)
        try:
            room.start(participant, join)
        except ProtocolError as error:
            participant.note_fault("signal frame dropped", error.reason)
        await self._read(socket, connection, participant)

    async def _serve_again(
        self,
        socket: web.WebSocketResponse,
        connection: SignalConnection,
        claims: Claims,
        join: rtc.JoinRequest,
    ) -> None:
        """Go on with a session that lost its socket, or send its client round for a new one."""
        room = self._rooms.find_session(claims.video.room, claims.identity, join.participant_sid)
        participant = room.resume(claims, join, connection) if room is not None else None
        if participant is None:
            connection.send(
                leave_response(rtc.LeaveRequest.RECONNECT, models.DisconnectReason.STATE_MISMATCH)
            )
            return
        await self._read(socket, connection, participant)

    async def _read(
        self,
        socket: web.WebSocketResponse,
        connection: SignalConnection,
        participant: Participant,
    ) -> None:
        """Hand the client's messages over, until this socket is no longer the session's."""
        if self._gates is not None:
            self._gates.note_address(participant.claims, connection.address)
        pace = _Pace(participant)
        try:
            async for message in socket:
                if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                    break
                if not participant.signal.is_on(connection):
                    break
                participant.signal.note_heard()
                if message.type is WSMsgType.TEXT:
                    connection.as_json = True
                pace.start()
                self._tally.signal_received += 1
                try:
                    participant.handle_request(decode_request(message.data))
                except ProtocolError as error:
                    self._tally.signal_malformed += 1
                    participant.note_fault("signal frame dropped", error.reason)
                # Even without a pause: the others' writers get their turn between two frames.
                await asyncio.sleep(0 if participant.is_closed else pace.pause_s())
        finally:
            participant.handle_signal_lost(connection)


class _Pace:
    """How long one client's next message has to wait."""

    def __init__(self, participant: Participant) -> None:
        self._participant = participant
        self._work = Budget(rate=WORK_SHARE, burst=WORK_BURST_S)
        self._told = Budget(rate=TOLD_BYTES_PER_S, burst=TOLD_BURST_BYTES)
        self._started_s = 0.0

    def start(self) -> None:
        """Begin to measure a message."""
        self._started_s = time.monotonic()

    def pause_s(self) -> float:
        """Count what the message has cost."""
        now_s = time.monotonic()
        told, self._participant.told_bytes = self._participant.told_bytes, 0
        wait_s = max(
            self._work.spend(now_s - self._started_s, now_s), self._told.spend(told, now_s)
        )
        return min(wait_s, MAX_PAUSE_S)
