"""The host's side of the door: who knocks, what the rules are, who is co-host.

Plain JSON with one's own access token, which must have `roomAdmin` for the room and must not
have been revoked since (a demoted co-host, somebody removed). A wrong token is a wrong guess.
Co-hosts may do everything but make or unmake hosts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from app.protocol.errors import ProtocolError
from app.protocol.token import Claims
from app.server.api.auth import HttpRefusal, claims_of
from app.server.api.door import DoorRefusal, Refusals, read_object, text_of
from app.server.config import ServerConfig
from app.server.gate.gate import Gate
from app.server.gate.gates import Gates
from app.server.gate.standing import ROLES, role_of
from app.server.gate.telling import knock_facts

Work = Callable[[web.Request, Gate, Claims], Awaitable[web.Response]]


class HostDoor:
    """Handlers below `/lanai/v1/rooms/{room}` for its admins."""

    def __init__(self, config: ServerConfig, gates: Gates, refusals: Refusals) -> None:
        self._config = config
        self._gates = gates
        self._refusals = refusals

    def routes(self) -> list[web.RouteDef]:
        """Return the addresses."""
        room = "/lanai/v1/rooms/{room}"
        return [
            web.patch(room, self._for_admins(self._change_rules)),
            web.get(f"{room}/knocks", self._for_admins(self._list_knocks)),
            web.post(f"{room}/knocks", self._for_admins(self._answer_all)),
            web.post(f"{room}/knocks/{{id}}", self._for_admins(self._answer_knock)),
            web.post(f"{room}/people/{{identity}}/role", self._for_admins(self._set_role)),
        ]

    def _for_admins(self, work: Work) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                self._refusals.check_rate(request)
                gate, claims = self._admin(request)
                return await work(request, gate, claims)
            except DoorRefusal as refusal:
                return self._refusals.answer(request, refusal)

        return handle

    def _admin(self, request: web.Request) -> tuple[Gate, Claims]:
        """Return the room's gate and who asks; strangers do not learn whether it exists."""
        try:
            claims = claims_of(request, self._config.keys)
        except HttpRefusal as refusal:
            raise DoorRefusal(401, "unauthenticated") from refusal
        name = request.match_info["room"]
        claims = self._gates.effective(claims)
        if not claims.video.room_admin or claims.video.room != name:
            raise DoorRefusal(403, "denied")
        gate = self._gates.find(name)
        if gate is None:
            raise DoorRefusal(404, "not_found")
        return gate, claims

    async def _change_rules(self, request: web.Request, gate: Gate, _: Claims) -> web.Response:
        patch = read_object(await request.read())
        try:
            is_new = gate.change_rules(patch)
        except ProtocolError as error:
            raise DoorRefusal(400, "malformed") from error
        if is_new:
            self._gates.rules_changed(gate)
        return web.json_response(gate.rules.public())

    async def _list_knocks(self, _request: web.Request, gate: Gate, _: Claims) -> web.Response:
        now_s = asyncio.get_running_loop().time()
        return web.json_response({"knocks": knock_facts(gate.lobby.waiting, now_s)})

    async def _answer_knock(self, request: web.Request, gate: Gate, _: Claims) -> web.Response:
        admit = _admit_of(read_object(await request.read()))
        now_s = asyncio.get_running_loop().time()
        if gate.lobby.decide(request.match_info["id"], admit=admit, now_s=now_s) is None:
            raise DoorRefusal(404, "not_found")
        self._gates.knocks_changed(gate)
        return web.json_response({})

    async def _answer_all(self, request: web.Request, gate: Gate, _: Claims) -> web.Response:
        admit = _admit_of(read_object(await request.read()))
        now_s = asyncio.get_running_loop().time()
        answered = [
            gate.lobby.decide(knock.id, admit=admit, now_s=now_s) for knock in gate.lobby.waiting
        ]
        if answered:
            self._gates.knocks_changed(gate)
        return web.json_response({"answered": len(answered)})

    async def _set_role(self, request: web.Request, gate: Gate, claims: Claims) -> web.Response:
        role = text_of(read_object(await request.read()), "role")
        if role not in ROLES:
            raise DoorRefusal(400, "malformed")
        room = self._gates.room_of(gate)
        identity = request.match_info["identity"]
        current = self._gates.role_of(gate, identity)
        if current is None:
            raise DoorRefusal(404, "not_found")
        if "host" in (role, current) and role_of(claims) != "host":
            raise DoorRefusal(403, "denied")
        here = room.participants.values() if room is not None else ()
        others = [p for p in here if role_of(p.claims) == "host" and p.identity != identity]
        if current == "host" and role != "host" and not others:
            raise DoorRefusal(409, "last_host")
        self._gates.set_role(gate, identity, role)
        await self._gates.settled()
        return web.json_response({"identity": identity, "role": role})


def _admit_of(values: dict[str, object]) -> bool:
    admit = values.get("admit")
    if not isinstance(admit, bool):
        raise DoorRefusal(400, "malformed")
    return admit
