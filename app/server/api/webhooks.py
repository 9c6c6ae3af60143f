"""Signed reports of what happens in rooms, in order per room; who wants them is told all of it.

The body is protobuf-JSON in camelCase without defaults; the `Authorization` header is a bare
token over the SHA-256 of exactly these bytes. How they get there is `webhook_delivery`.
"""

from __future__ import annotations

import asyncio
import time

from google.protobuf import json_format
from livekit.protocol import agent, models
from livekit.protocol.webhook import WebhookEvent

from app.runtime.tasks import TaskOwner
from app.server.api.webhook_delivery import Delivery, Report
from app.server.config import ServerConfig
from app.server.room.identifiers import fresh_id


class Webhooks:
    """Reports of all rooms; implements the room's `RoomReports`."""

    def __init__(self, config: ServerConfig, tasks: TaskOwner) -> None:
        api_key, api_secret = config.signing_pair
        if config.webhook_api_key:
            api_key, api_secret = config.webhook_api_key, config.keys[config.webhook_api_key]
        self._urls = config.webhooks
        self._include = config.webhook_include
        self._exclude = config.webhook_exclude
        self.delivery = Delivery(api_key, api_secret, tasks)

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
        if not self._urls or not is_wanted(event.event, self._include, self._exclude):
            return
        event.id = fresh_id("EV_")
        event.created_at = int(time.time())
        body = json_format.MessageToJson(event, indent=None).encode()
        report = Report(event.id, event.event, body, asyncio.get_running_loop().time())
        for url in self._urls:
            self.delivery.put(url, event.room.name, report)

    async def close(self, *, drain_s: float) -> None:
        """Give what is queued a moment to leave, then stop."""
        await self.delivery.close(drain_s=drain_s)


def is_wanted(event: str, include: tuple[str, ...], exclude: tuple[str, ...]) -> bool:
    """Whether receivers are told of this kind of event; `include` wins where both are set."""
    return event in include if include else event not in exclude
