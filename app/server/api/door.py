"""Lanai's own door: how a person without a token gets one.

Plain JSON on the signalling port. A room is entered with an invitation (signed by this
server, for this room) or, when it has none set, without anything; a passcode is asked for from
everybody without an invitation. Guessing is slowed down per address. Lobby, lock and the
host's own door are not built, so `lobby` and `locked` are always false.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from app.protocol.compat import SERVER_COMPAT_VERSION
from app.protocol.ids import slug
from app.protocol.token import TokenError, TokenFault, VideoGrant, issue_token, verify_claims
from app.runtime.budget import Budget
from app.server.api.doorstep import address_group
from app.server.api.refusals import RefusalLimiter
from app.server.config import HostedRoom, ServerConfig
from app.server.room.room import Room
from app.server.room.rooms import Rooms

log = structlog.get_logger(__name__)

ROLES = ("guest", "cohost", "host")
MAX_NAME_CHARS = 128
# Control characters, and those that turn the direction of everything around a name.
_INVISIBLE = dict.fromkeys(
    [*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)


class _Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """Answered with `{error}`; a 401 counts as a wrong guess."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


@dataclass(frozen=True)
class _Wish:
    room: str
    name: str
    passcode: str
    invite: str


def grant_for(role: str, room: str) -> VideoGrant:
    """Return what a role may do in a room."""
    return VideoGrant(
        room_join=True,
        room=room,
        room_admin=role in ("host", "cohost"),
        room_create=role == "host",
        can_update_own_metadata=True,
    )


class Door:
    """Handlers of `/lanai/v1`."""

    def __init__(self, config: ServerConfig, rooms: Rooms) -> None:
        self._config = config
        self._rooms = rooms
        self._limiter = RefusalLimiter()
        self._lines = Budget(rate=1, burst=20)

    async def handle_room(self, request: web.Request) -> web.Response:
        """Say what may be known of a room before entering it."""
        try:
            self._check_rate(request)
            return self._describe(request.match_info["room"], request.query.get("passcode"))
        except _Refusal as refusal:
            return self._refuse(request, refusal)

    async def handle_join(self, request: web.Request) -> web.Response:
        """Let somebody in: a token, or the reason why not."""
        try:
            self._check_rate(request)
            return self._admit(request, _read_wish(await request.read()))
        except _Refusal as refusal:
            return self._refuse(request, refusal)

    def _describe(self, name: str, passcode: str | None) -> web.Response:
        hosted, room = self._find(name)
        if passcode is not None:
            _check_passcode(hosted, passcode)
        may_see = not hosted.passcode or passcode is not None
        here = room.participants.values() if room is not None and may_see else ()
        people = [p.info.name for p in here if not p.claims.video.hidden]
        return web.json_response(
            {
                "name": hosted.name,
                "host": hosted.host_name,
                "people": [{"name": person} for person in people],
                "passcode": bool(hosted.passcode),
                "lobby": False,
                "locked": False,
                "e2ee": False,
                "version": SERVER_COMPAT_VERSION,
            }
        )

    def _admit(self, request: web.Request, wish: _Wish) -> web.Response:
        hosted, room = self._find(wish.room)
        role = "guest"
        if wish.invite:
            role = self._role_of_invite(wish.invite, hosted.name)
        else:
            _check_passcode(hosted, wish.passcode)
        if hosted.max_people and room and room.snapshot().num_participants >= hosted.max_people:
            raise _Refusal(503, "full")
        api_key, api_secret = self._config.signing_pair
        token = issue_token(
            api_key=api_key,
            api_secret=api_secret,
            identity=f"{slug(wish.name)}-{secrets.token_hex(3)}",
            name=wish.name,
            now_s=time.time(),
            grant=grant_for(role, hosted.name),
            attributes={"lanai.role": role},
        )
        scheme = "wss" if request.secure else "ws"
        return web.json_response(
            {
                "server_url": f"{scheme}://{request.host}",
                "participant_token": token,
                "role": role,
            }
        )

    def _find(self, name: str) -> tuple[HostedRoom, Room | None]:
        hosted = self._hosted(name)
        room = self._rooms.find(hosted.name if hosted is not None else name)
        if hosted is not None:
            return hosted, room
        # A server that hosts named rooms has a door for those only.
        if room is None or self._config.rooms:
            raise _Refusal(404, "not_found")
        return HostedRoom(name=name), room

    def _hosted(self, name: str) -> HostedRoom | None:
        """The room of this name; typed by hand, `garden-club` is "Garden club" too."""
        exact = [hosted for hosted in self._config.rooms if hosted.name == name]
        typed = slug(name)
        alike = exact or [hosted for hosted in self._config.rooms if slug(hosted.name) == typed]
        return alike[0] if len(alike) == 1 else None

    def _role_of_invite(self, invite: str, room: str) -> str:
        try:
            claims = verify_claims(invite, self._config.keys, now_s=time.time())
        except TokenError as error:
            is_old = error.kind is TokenFault.EXPIRED
            raise _Refusal(401, "invite_expired" if is_old else "invite_invalid") from error
        content = claims.get("lanai")
        if not isinstance(content, dict) or content.get("room") != room or "video" in claims:
            raise _Refusal(401, "invite_invalid")
        role = content.get("role", "guest")
        if role not in ROLES:
            raise _Refusal(401, "invite_invalid")
        return str(role)

    def _check_rate(self, request: web.Request) -> None:
        if self._limiter.is_blocked(address_group(request.remote or ""), now_s=time.monotonic()):
            raise _Refusal(429, "too_many_tries")

    def _refuse(self, request: web.Request, refusal: _Refusal) -> web.Response:
        if refusal.status == 401:
            self._limiter.note_refusal(address_group(request.remote or ""), now_s=time.monotonic())
        if self._lines.allow(time.monotonic()):
            log.info("door refused", status=refusal.status, error=refusal.error)
        return web.json_response({"error": refusal.error}, status=refusal.status)


def _check_passcode(hosted: HostedRoom, passcode: str) -> None:
    if hosted.passcode and not hmac.compare_digest(
        passcode.encode(errors="replace"), hosted.passcode.encode(errors="replace")
    ):
        raise _Refusal(401, "passcode")


def _read_wish(body: bytes) -> _Wish:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _Refusal(400, "malformed") from error
    if not isinstance(values, dict):
        raise _Refusal(400, "malformed")
    name = " ".join(_text(values, "name").split()).translate(_INVISIBLE)
    if not name or len(name) > MAX_NAME_CHARS:
        raise _Refusal(400, "name")
    return _Wish(
        room=_text(values, "room"),
        name=name,
        passcode=_text(values, "passcode"),
        invite=_text(values, "invite"),
    )


def _text(values: dict[str, Any], key: str) -> str:
    value = values.get(key, "")
    if not isinstance(value, str):
        raise _Refusal(400, "malformed")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _Refusal(400, "malformed") from error
    return value
