"""The workers' socket at `/agent`: a token with the `agent` grant, then messages until the end.

Frames are protobuf, or JSON for a worker that writes text. One that does not decode is dropped
and counted; too many of them, or a registration that makes no sense, close the socket.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog
from aiohttp import WSMsgType, web
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from livekit.protocol import agent, models

from app.protocol import compat
from app.protocol.errors import ProtocolError
from app.runtime.budget import Budget
from app.runtime.tasks import TaskOwner, spawn
from app.server.agents.pool import WorkerPool
from app.server.agents.worker import JobDeclined, Registration, Worker, read_registration
from app.server.api.auth import HttpRefusal, claims_of
from app.server.api.signal_socket import HEARTBEAT_S, SignalConnection
from app.server.config import ServerConfig
from app.server.room.identifiers import fresh_id

log = structlog.get_logger(__name__)

REGISTER_TIMEOUT_S = 10.0
MAX_FRAME_BYTES = 1024 * 1024
MAX_FAULTS = 20
MAX_SIMULATED_JOBS = 16
FRAMES_PER_S = 200.0
AGENT_PROTOCOL = 1


def decode_worker_message(data: bytes | str) -> agent.WorkerMessage:
    """Read one frame; `ProtocolError` when it is none."""
    message = agent.WorkerMessage()
    try:
        if isinstance(data, str):
            json_format.Parse(data, message, ignore_unknown_fields=True)
        else:
            message.ParseFromString(data)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError) as error:
        raise ProtocolError("the worker's frame does not decode") from error
    if message.WhichOneof("message") is None:
        raise ProtocolError("the worker's frame says nothing")
    return message


def encode_server_message(message: agent.ServerMessage, *, as_json: bool) -> bytes | str:
    """Write one frame in the form that the worker uses."""
    if as_json:
        return json_format.MessageToJson(message, indent=None)
    return message.SerializeToString()


class AgentSocket:
    """Handler of `/agent`."""

    def __init__(
        self,
        config: ServerConfig,
        pool: WorkerPool,
        tasks: TaskOwner,
        *,
        node_id: str,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._config = config
        self._pool = pool
        self._tasks = tasks
        self._is_stopping = is_stopping
        self._server_info = models.ServerInfo(
            edition=models.ServerInfo.Standard,
            version=compat.SERVER_COMPAT_VERSION,
            protocol=compat.SERVER_PROTOCOL,
            agent_protocol=AGENT_PROTOCOL,
            node_id=node_id,
        )

    async def handle_socket(self, request: web.Request) -> web.StreamResponse:
        """Upgrade, register, and read frames until the end."""
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=404)
        claims = claims_of(request, self._config.keys)
        if not claims.video.agent:
            raise HttpRefusal(401, "permissions denied")
        if self._is_stopping() or self._pool.is_full:
            raise HttpRefusal(503, "no worker is taken now")
        socket = web.WebSocketResponse(
            max_msg_size=MAX_FRAME_BYTES, heartbeat=HEARTBEAT_S, compress=False
        )
        await socket.prepare(request)
        connection = SignalConnection(socket, request.transport)
        writer = spawn(connection.run(), name="worker-writer", owner=self._tasks)
        session = _Session(self._pool, self._tasks, connection, claims.issued_by, self._server_info)
        try:
            await session.run(socket)
        finally:
            session.close()
            await connection.finish(writer)
        return socket


class _Session:
    """One worker's socket."""

    def __init__(
        self,
        pool: WorkerPool,
        tasks: TaskOwner,
        connection: SignalConnection,
        api_key: str,
        server_info: models.ServerInfo,
    ) -> None:
        self._pool = pool
        self._tasks = tasks
        self._connection = connection
        self._api_key = api_key
        self._server_info = server_info
        self._worker: Worker | None = None
        self._faults = 0
        self._pace = Budget(rate=FRAMES_PER_S, burst=FRAMES_PER_S)
        self._simulating: set[asyncio.Task[None]] = set()

    async def run(self, socket: web.WebSocketResponse) -> None:
        """Read until the worker goes, breaks a rule, or has not registered in time."""
        deadline_s = time.monotonic() + REGISTER_TIMEOUT_S
        while True:
            waits_s = None
            if self._worker is None:
                waits_s = max(0.0, deadline_s - time.monotonic())
            try:
                message = await socket.receive(timeout=waits_s)
            except TimeoutError:
                log.warning("agent worker did not register")
                return
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return
            self._connection.as_json = message.type is WSMsgType.TEXT
            try:
                self._handle(decode_worker_message(message.data))
            except _SessionOverError as error:
                log.warning("agent worker sent away", reason=str(error))
                return
            except ProtocolError as error:
                self._faults += 1
                if self._faults == 1:
                    log.warning("agent worker's frame dropped", reason=error.reason)
                if self._faults > MAX_FAULTS:
                    log.warning("agent worker sent away", reason="too many faults")
                    return
            await asyncio.sleep(self._pace.spend(1, time.monotonic()))

    def close(self) -> None:
        """The socket is gone."""
        for task in self._simulating:
            task.cancel()
        if self._worker is not None:
            self._pool.remove(self._worker)

    def _send(self, message: agent.ServerMessage) -> None:
        as_json = self._connection.as_json
        self._connection.send_frame(encode_server_message(message, as_json=as_json))

    def _handle(self, message: agent.WorkerMessage) -> None:
        kind = message.WhichOneof("message")
        if kind == "ping":
            pong = agent.WorkerPong(
                last_timestamp=message.ping.timestamp, timestamp=int(time.time() * 1000)
            )
            self._send(agent.ServerMessage(pong=pong))
            return
        if kind == "register":
            self._register(message.register)
            return
        worker = self._worker
        if worker is None:
            raise _SessionOverError("not registered")
        match kind:
            case "availability":
                if not worker.handle_availability(message.availability):
                    log.debug("answer to no question", worker=worker.worker_id)
            case "update_worker":
                had_room = worker.room_for_more > 0
                worker.handle_status(message.update_worker)
                if not had_room:
                    self._pool.room_for_jobs(worker)
            case "update_job":
                worker.handle_job_status(message.update_job, time.time_ns())
            case "migrate_job":
                self._pool.handle_migration(worker, message.migrate_job)
            case "simulate_job":
                self._simulate(worker, message.simulate_job)
            case _:
                raise ProtocolError("unknown message of a worker")

    def _register(self, request: agent.RegisterWorkerRequest) -> None:
        if self._worker is not None:
            raise _SessionOverError("registered twice")
        if self._pool.is_full:
            raise _SessionOverError("too many workers")
        try:
            registration: Registration = read_registration(request)
        except ProtocolError as error:
            raise _SessionOverError(error.reason) from error
        connection = self._connection
        worker = Worker(fresh_id("AW_"), self._api_key, registration, self._send, connection.close)
        self._worker = worker
        self._send(
            agent.ServerMessage(
                register=agent.RegisterWorkerResponse(
                    worker_id=worker.worker_id, server_info=self._server_info
                )
            )
        )
        self._pool.add(worker)

    def _simulate(self, worker: Worker, request: agent.SimulateJobRequest) -> None:
        """Give the worker a job of its own wish, as its developer's tools ask."""
        if not request.room.name or len(request.room.name.encode()) > 256:
            raise ProtocolError("a simulated job needs a room")
        if len(self._simulating) >= MAX_SIMULATED_JOBS:
            raise ProtocolError("too many simulated jobs")
        for_person = request.HasField("participant")
        job = agent.Job(
            id=fresh_id("AJ_"),
            type=agent.JobType.JT_PUBLISHER if for_person else agent.JobType.JT_ROOM,
            room=request.room,
            participant=request.participant if for_person else None,
            namespace=worker.key.namespace,
            agent_name=worker.key.agent_name,
        )
        task = spawn(self._try_simulated(worker, job), name="simulate-job", owner=self._tasks)
        self._simulating.add(task)
        task.add_done_callback(self._simulating.discard)

    async def _try_simulated(self, worker: Worker, job: agent.Job) -> None:
        try:
            await self._pool.assign_to(worker, job, lambda ended: self._pool.forget(ended.id))
        except JobDeclined:
            log.info("simulated job declined", job=job.id)


class _SessionOverError(Exception):
    """The worker broke a rule that ends its session."""
