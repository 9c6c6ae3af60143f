"""All rooms of this server: found by name, made by the first join, closed when left empty."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
from livekit.protocol import models

from app.runtime.tasks import spawn
from app.server.config import ServerConfig
from app.server.room.configuration import RoomConfiguration, with_defaults
from app.server.room.participant import Reasons
from app.server.room.room import Room, RoomServices

log = structlog.get_logger(__name__)

CHECK_INTERVAL_S = 1.0
REFRESH_INTERVAL_S = 300.0
_NOTHING_SAID = RoomConfiguration()


class Rooms:
    """Registry of live rooms; lives on the server's loop."""

    def __init__(self, config: ServerConfig, services: RoomServices) -> None:
        self._config = config
        self._services = services
        self._rooms: dict[str, Room] = {}
        self.is_stopping = False

    @property
    def live(self) -> Mapping[str, Room]:
        """Rooms by name."""
        return self._rooms

    def start(self) -> None:
        """Begin to close empty rooms and to refresh tokens."""
        spawn(self._watch(), name="watch-rooms", owner=self._services.tasks)

    def find(self, name: str) -> Room | None:
        """Return a live room."""
        return self._rooms.get(name)

    def find_session(self, name: str, identity: str, sid: str) -> Room | None:
        """Return the room in which a session of the room `name` goes on: it may have been moved."""
        room = self._rooms.get(name)
        if room is not None and room.by_identity(identity) is not None:
            return room
        for other in self._rooms.values():
            moved = other.participants.get(sid)
            if moved is not None and moved.identity == identity and name in moved.former_rooms:
                return other
        return None

    def get_or_create(self, name: str, configuration: RoomConfiguration = _NOTHING_SAID) -> Room:
        """Return the room of this name, made as the configuration says when it is missing."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(
                name,
                self._services,
                with_defaults(name, configuration, self._config),
            )
        return room

    def close_room(self, name: str, reason: int) -> models.Room | None:
        """End a room; None when there is none of this name."""
        room = self._rooms.pop(name, None)
        if room is None:
            return None
        facts = room.snapshot()
        room.close(reason)
        return facts

    @property
    def has_gates(self) -> bool:
        """Whether people come in by Lanai's door."""
        return self._services.gates is not None

    async def settled(self) -> None:
        """Return when what was just decided of people would outlive a crash."""
        if self._services.gates is not None:
            await self._services.gates.settled()

    async def close_all(self, *, drain_s: float) -> None:
        """End every room and wait until everybody knows: the server stops, nobody comes in."""
        self.is_stopping = True
        for name in list(self._rooms):
            self.close_room(name, Reasons.SERVER_SHUTDOWN)
        closing = set(self._services.closing)
        if closing:
            await asyncio.wait(closing, timeout=drain_s)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        refresh_at_s = loop.time() + REFRESH_INTERVAL_S
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            now_s = loop.time()
            for name, room in list(self._rooms.items()):
                if room.is_over(now_s):
                    self.close_room(name, Reasons.ROOM_CLOSED)
            if now_s >= refresh_at_s:
                refresh_at_s = now_s + REFRESH_INTERVAL_S
                for room in self._rooms.values():
                    room.refresh_tokens()
