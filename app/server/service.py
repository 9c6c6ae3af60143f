"""The whole server as one object: start it, ask where it listens, stop it.

An ordinary object in the caller's loop, so that a test may run it beside its clients; in
production it has a process of its own (`app/roles/serve.py`).
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from typing import Any

import structlog
from aiohttp import web
from livekit.protocol import models

from app.protocol.token import Claims, sign_claims
from app.rtc.dtls import new_certificate
from app.rtc.server_transport import ServerTransport
from app.rtc.udp_mux import UdpMux
from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner
from app.server.agents.pool import WorkerPool
from app.server.agents.socket import AgentSocket
from app.server.api.application import MAX_REQUEST_LINE_BYTES, build_application
from app.server.api.doorstep import Doorstep
from app.server.api.http_log import http_logger
from app.server.api.webhook_delivery import Delivery
from app.server.api.webhooks import Webhooks
from app.server.config import ServerConfig
from app.server.gate.gates import Gates
from app.server.metrics import MetricsServer, Sources
from app.server.room.identifiers import fresh_id
from app.server.room.room import RoomServices
from app.server.room.rooms import Rooms
from app.server.tally import Tally

log = structlog.get_logger(__name__)

MIN_REFRESH_TTL_S = 600
DRAIN_S = 3.0
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class SfuService:
    """Signalling, media, rooms and webhooks of one server."""

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self._tasks = TaskOwner("server")
        self._certificate = new_certificate()
        self._mux: UdpMux | None = None
        self._runner: web.AppRunner | None = None
        self._sockets: list[socket.socket] = []
        self._listeners: list[asyncio.Server] = []
        self._doorstep = Doorstep()
        self._webhooks = Webhooks(config, self._tasks)
        self._gates = Gates(config, self._tasks) if config.door else None
        self._node_id = node_id = fresh_id("ND_")
        self._tally = Tally()
        self.metrics: MetricsServer | None = None
        self.workers = WorkerPool(config)
        self.rooms = Rooms(
            config,
            RoomServices(
                node_id=node_id,
                open_transport=self._open_transport,
                reports=self._webhooks,
                workers=self.workers,
                refresh_token=self._refresh_token,
                tasks=self._tasks,
                gates=self._gates,
                tally=self._tally,
            ),
        )
        self._agents = AgentSocket(
            config,
            self.workers,
            self._tasks,
            node_id=node_id,
            is_stopping=lambda: self.rooms.is_stopping,
        )

    @property
    def webhooks(self) -> Delivery:
        """What becomes of reports."""
        return self._webhooks.delivery

    @property
    def port(self) -> int:
        """The signalling port, known after `start`."""
        return int(self._sockets[0].getsockname()[1])

    @property
    def rtc_port(self) -> int:
        """The media port, known after `start`."""
        assert self._mux is not None
        return self._mux.port

    @property
    def url(self) -> str:
        """Where clients connect, by the first address that it is bound to."""
        host = self.config.bind[0]
        host = _WILDCARDS.get(host, host)
        return f"ws://[{host}]:{self.port}" if ":" in host else f"ws://{host}:{self.port}"

    async def start(self) -> None:
        """Bind both ports and accept connections; WorldError PORT_TAKEN or NO_ROUTE."""
        try:
            self._sockets = _listen(self.config.bind, self.config.port)
            self._mux = UdpMux.open(self.config.bind, self.config.rtc_port)
            application = build_application(
                self.config,
                self.rooms,
                self._gates,
                self._tasks,
                self._doorstep,
                self._agents,
                self._tally,
            )
            self._runner = web.AppRunner(
                application,
                access_log=None,
                logger=http_logger(),
                handle_signals=False,
                shutdown_timeout=DRAIN_S,
                # A compressed body would be inflated before anybody has looked at its size.
                auto_decompress=False,
                max_line_size=MAX_REQUEST_LINE_BYTES,
                max_field_size=MAX_REQUEST_LINE_BYTES,
            )
            await self._runner.setup()
            server = self._runner.server
            assert server is not None
            for sock in self._sockets:
                listener = await asyncio.get_running_loop().create_server(
                    self._doorstep.factory(server), sock=sock
                )
                self._listeners.append(listener)
            if self.config.prometheus_port is not None:
                await self._serve_metrics(self._mux)
        except BaseException:
            await self.stop()
            raise
        self.rooms.start()
        log.info("server accepts connections", port=self.port, rtc_port=self.rtc_port)

    async def _serve_metrics(self, port: UdpMux) -> None:
        sources = Sources(self.rooms, self._tally, self.webhooks, port, self._node_id)
        self.metrics = MetricsServer(self.config, sources, self._tasks)
        await self.metrics.start()
        log.info("metrics are served", port=self.metrics.port)

    async def stop(self) -> None:
        """Send everybody away, deliver what is queued for a moment, release the ports."""
        await self.rooms.close_all(drain_s=DRAIN_S)
        self.workers.close()
        for listener in self._listeners:
            listener.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._webhooks.close(drain_s=DRAIN_S)
        if self.metrics is not None:
            await self.metrics.stop()
        if self._gates is not None:
            await self._gates.close()
        await self._tasks.close()
        if self._mux is not None:
            self._mux.close()
            self._mux = None
        for sock in self._sockets:
            sock.close()

    def _open_transport(self, observer: Any) -> ServerTransport:
        assert self._mux is not None
        return ServerTransport(self._mux, self._certificate, observer=observer)

    def _refresh_token(self, claims: Claims, info: models.ParticipantInfo) -> str:
        """Sign the claims as they are now; the lifetime never gets shorter by it."""
        api_key, api_secret = self.config.signing_pair
        now_s = time.time()
        content: dict[str, Any] = {
            **claims.raw,
            "iss": api_key,
            "nbf": int(now_s),
            "iat": int(now_s),
            "exp": int(max(now_s + MIN_REFRESH_TTL_S, claims.expires_at_s)),
            # Here too, as in the official server's.
            "identity": info.identity,
            "kind": models.ParticipantInfo.Kind.Name(info.kind).lower(),
            "name": info.name,
            "metadata": info.metadata,
            "attributes": dict(info.attributes),
        }
        return sign_claims(content, api_secret=api_secret)


def _listen(hosts: tuple[str, ...], port: int) -> list[socket.socket]:
    """Listen on every host by one port; port 0 takes one that is free on all of them."""
    for _attempt in range(20):
        sockets: list[socket.socket] = []
        chosen = port
        try:
            for host in hosts:
                sockets.append(_listen_on(host, chosen))
                chosen = sockets[0].getsockname()[1]
            return sockets
        except OSError as error:
            for sock in sockets:
                sock.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise WorldError(Reason.NO_ROUTE, detail=f"listen: {error.strerror}") from error
            if port:
                detail = f"tcp port {port}: {error.strerror}"
                raise WorldError(Reason.PORT_TAKEN, retry=True, detail=detail) from error
    raise WorldError(Reason.PORT_TAKEN, retry=True, detail="no port is free on every address")


def _listen_on(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=128)
