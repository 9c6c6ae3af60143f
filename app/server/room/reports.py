"""What the outside world is told about rooms; the webhooks implement it."""

from __future__ import annotations

from typing import Protocol

from livekit.protocol import agent, models


class RoomReports(Protocol):
    """Who is told what happens in rooms: the webhooks."""

    def room_started(self, room: models.Room) -> None:
        """A room exists."""

    def room_finished(self, room: models.Room) -> None:
        """A room is gone; nothing about it follows."""

    def participant_joined(self, room: models.Room, info: models.ParticipantInfo) -> None:
        """Media of somebody flows."""

    def participant_left(
        self, room: models.Room, info: models.ParticipantInfo, *, was_active: bool
    ) -> None:
        """Somebody is gone, or never came."""

    def track_published(
        self, room: models.Room, info: models.ParticipantInfo, track: models.TrackInfo
    ) -> None:
        """A track is announced."""

    def track_unpublished(
        self, room: models.Room, info: models.ParticipantInfo, track: models.TrackInfo
    ) -> None:
        """A track has ended."""

    def agent_job_started(self, room: models.Room, job: agent.Job) -> None:
        """A worker has taken a job in this room."""

    def agent_job_ended(self, room: models.Room, job: agent.Job) -> None:
        """The job is over; its state says how."""
