"""Lanai's door by plain HTTP, as somebody would use it who is no app of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from app.server.config import HostedRoom, ServerConfig
from app.server.gate.standing import ROLE_ATTRIBUTE, grant_for
from app.server.service import SfuService
from tests.support.session_room import KEY, SECRET, token

ROOM = "room"


def token_as(role: str, identity: str, *, room: str = ROOM) -> str:
    """A token with a role's rights, as the host's app and the door sign them."""
    grant = grant_for(role, room)
    return token(
        identity,
        room=room,
        room_admin=grant.room_admin,
        room_create=grant.room_create,
        attributes={ROLE_ATTRIBUTE: role},
    )


class DoorClient:
    """Answers are `(status, body)`."""

    def __init__(self, base: str, http: aiohttp.ClientSession) -> None:
        self._base = base
        self._http = http

    async def ask(
        self, method: str, path: str, body: object = None, *, token: str = ""
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self._http.request(
            method, f"{self._base}/lanai/v1{path}", json=body, headers=headers
        ) as answer:
            return answer.status, await answer.json()

    async def knock(self, name: str = "Bo", **wish: str) -> tuple[int, dict[str, Any]]:
        return await self.ask("POST", "/join", {"room": ROOM, "name": name, **wish})

    async def patch(self, token: str, **changes: object) -> tuple[int, dict[str, Any]]:
        return await self.ask("PATCH", f"/rooms/{ROOM}", changes, token=token)

    async def knocks(self, token: str) -> list[dict[str, Any]]:
        status, body = await self.ask("GET", f"/rooms/{ROOM}/knocks", token=token)
        assert status == 200, body
        return list(body["knocks"])

    async def answer(self, token: str, knock_id: str, *, admit: bool) -> int:
        path = f"/rooms/{ROOM}/knocks/{knock_id}"
        return (await self.ask("POST", path, {"admit": admit}, token=token))[0]

    async def set_role(self, token: str, identity: str, role: str) -> tuple[int, dict[str, Any]]:
        path = f"/rooms/{ROOM}/people/{identity}/role"
        return await self.ask("POST", path, {"role": role}, token=token)


@asynccontextmanager
async def hosting(
    state_file: Path | str = "", **rules: Any
) -> AsyncIterator[tuple[SfuService, DoorClient]]:
    """A server with a door and one hosted room."""
    config = ServerConfig(
        keys={KEY: SECRET},
        port=0,
        rtc_port=0,
        door=True,
        rooms=(HostedRoom(ROOM, host_name="Ada", **rules),),
        state_file=str(state_file),
    )
    service = SfuService(config)
    await service.start()
    try:
        async with aiohttp.ClientSession() as http:
            yield service, DoorClient(service.url.replace("ws", "http", 1), http)
    finally:
        await service.stop()
