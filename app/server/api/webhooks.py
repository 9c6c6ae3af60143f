"""Signed reports of what happens in rooms, one attempt each, in order per room.

The body is protobuf-JSON in camelCase without defaults; the `Authorization` header is a bare
token over the SHA-256 of exactly these bytes. A receiver that is slow or gone delays and loses its
own room's reports only. Retries come later; what could not be delivered is logged.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections import deque

import aiohttp
import structlog
from google.protobuf import json_format
from livekit.protocol import agent, models
from livekit.protocol.webhook import WebhookEvent

from app.protocol.token import VideoGrant, issue_token
from app.runtime.budget import Budget
from app.runtime.tasks import TaskOwner, spawn
from app.server.config import ServerConfig
from app.server.room.identifiers import fresh_id

log = structlog.get_logger(__name__)

ATTEMPT_TIMEOUT_S = 5.0
TOKEN_TTL_S = 300
MAX_QUEUED = 200


class Webhooks:
    """Reports of all rooms; implements the room's `RoomReports`."""

    def __init__(self, config: ServerConfig, tasks: TaskOwner) -> None:
        self._config = config
        self._tasks = tasks
        self._queues: dict[tuple[str, str], deque[bytes]] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._lines = Budget(rate=0.2, burst=20)

    def room_started(self, room: models.Room) -> None:
        """A room exists."""
        self._report(WebhookEvent(event="room_started", room=room))

    def room_finished(self, room: models.Room) -> None:
        """A room is gone."""
        self._report(WebhookEvent(event="room_finished", room=room))

    def participant_joined(self, room: models.Room, info: models.ParticipantInfo) -> None:
        """Media of somebody flows."""
        self._report(WebhookEvent(event="participant_joined", room=room, participant=info))

    def participant_left(
        self, room: models.Room, info: models.ParticipantInfo, *, was_active: bool
    ) -> None:
        """Somebody is gone, or never came."""
        event = "participant_left" if was_active else "participant_connection_aborted"
        self._report(WebhookEvent(event=event, room=room, participant=info))

    def track_published(
        self, room: models.Room, info: models.ParticipantInfo, track: models.TrackInfo
    ) -> None:
        """A track is announced."""
        self._report_track("track_published", room, info, track)

    def track_unpublished(
        self, room: models.Room, info: models.ParticipantInfo, track: models.TrackInfo
    ) -> None:
        """A track has ended."""
        self._report_track("track_unpublished", room, info, track)

    def agent_job_started(self, room: models.Room, job: agent.Job) -> None:
        """A worker has taken a job."""
        self._report(WebhookEvent(event="agent_job_started", room=room, job=job))

    def agent_job_ended(self, room: models.Room, job: agent.Job) -> None:
        """A job is over."""
        self._report(WebhookEvent(event="agent_job_ended", room=room, job=job))

    def _report_track(
        self,
        event: str,
        room: models.Room,
        info: models.ParticipantInfo,
        track: models.TrackInfo,
    ) -> None:
        self._report(
            WebhookEvent(
                event=event,
                room=models.Room(sid=room.sid, name=room.name),
                participant=models.ParticipantInfo(sid=info.sid, identity=info.identity),
                track=track,
            )
        )

    def _report(self, event: WebhookEvent) -> None:
        if not self._config.webhooks:
            return
        event.id = fresh_id("EV_")
        event.created_at = int(time.time())
        body = json_format.MessageToJson(event, indent=None).encode()
        for url in self._config.webhooks:
            key = (url, event.room.name)
            queue = self._queues.get(key)
            if queue is None:
                queue = self._queues[key] = deque()
                worker = spawn(self._deliver(key, queue), name="webhook", owner=self._tasks)
                self._workers.add(worker)
                worker.add_done_callback(self._workers.discard)
            if len(queue) >= MAX_QUEUED:
                self._warn("webhook dropped: too many wait", webhook=event.event)
                continue
            queue.append(body)

    async def _deliver(self, key: tuple[str, str], queue: deque[bytes]) -> None:
        try:
            while queue:
                await self._post(key[0], queue[0])
                queue.popleft()
        finally:
            # Whatever happens, the next report starts a new worker.
            del self._queues[key]

    async def _post(self, url: str, body: bytes) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT_S)
            )
        headers = {"Content-Type": "application/webhook+json", "Authorization": self._sign(body)}
        try:
            # One attempt at one address: a redirect would send it elsewhere.
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as response:
                if response.status >= 300:
                    self._warn("webhook refused", status=response.status)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            self._warn("webhook not delivered", error=type(error).__name__)

    def _warn(self, what: str, **facts: object) -> None:
        """Log, unless a receiver that is down has filled enough lines already."""
        if self._lines.allow(time.monotonic()):
            log.warning(what, **facts)

    def _sign(self, body: bytes) -> str:
        api_key, api_secret = self._config.signing_pair
        return issue_token(
            api_key=api_key,
            api_secret=api_secret,
            identity="",
            now_s=time.time(),
            ttl_s=TOKEN_TTL_S,
            grant=VideoGrant(),
            sha256=base64.b64encode(hashlib.sha256(body).digest()).decode(),
        )

    async def close(self, *, drain_s: float) -> None:
        """Give what is queued a moment to leave, then stop."""
        if self._workers:
            await asyncio.wait(set(self._workers), timeout=drain_s)
        if self._session is not None:
            await self._session.close()
