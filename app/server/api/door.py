"""Lanai's own door: how a person without a token gets one.

Plain JSON on the signalling port. A room is entered with an invitation (signed by this
server, for this room) or, when it has none set, without anything; a passcode is asked for from
everybody without an invitation. Where there is a lobby guests wait in it, asking again every
second, until a host has decided; so does, in any room, who was sent away (`standing` knows how
that can be told). Behind a lock nobody new gets in. Hosts and co-hosts (by their
invitation) pass both. Guessing is slowed down per address. The host's own side of the door is
`host_door`.
"""

from __future__ import annotations

import asyncio
import hashlib
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
from app.protocol.token import (
    LANAI_CLAIM,
    Claims,
    TokenError,
    TokenFault,
    issue_token,
    verify_claims,
    verify_token,
)
from app.runtime.budget import Budget
from app.server.api.doorstep import address_group
from app.server.api.refusals import RefusalLimiter
from app.server.config import ServerConfig
from app.server.gate.gate import Gate
from app.server.gate.gates import Gates
from app.server.gate.lobby import RETRY_MS, Knock, LobbyFullError, Verdict
from app.server.gate.standing import ROLE_ATTRIBUTE, ROLES, grant_for
from app.server.room.room import Room

log = structlog.get_logger(__name__)

MAX_NAME_CHARS = 128
# So often may one address be denied by hosts before it has to wait.
MAX_DENIALS = 3
DENIAL_WINDOW_S = 60.0
# Control characters, and those that turn the direction of everything around a name.
_INVISIBLE = dict.fromkeys(
    [*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)


class DoorRefusal(Exception):  # noqa: N818 - an answer, not a fault
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
    knock_id: str
    token: str


class Door:
    """Handlers of `/lanai/v1`."""

    def __init__(self, config: ServerConfig, gates: Gates) -> None:
        self._config = config
        self._gates = gates
        self._denials = RefusalLimiter(limit=MAX_DENIALS, window_s=DENIAL_WINDOW_S)
        self.refusals = Refusals()

    async def handle_room(self, request: web.Request) -> web.Response:
        """Say what may be known of a room before entering it."""
        try:
            self.refusals.check_rate(request)
            return self._describe(request.match_info["room"], request.query.get("passcode"))
        except DoorRefusal as refusal:
            return self.refusals.answer(request, refusal)

    async def handle_join(self, request: web.Request) -> web.Response:
        """Let somebody in: a token, a place in the lobby, or the reason why not."""
        try:
            self.refusals.check_rate(request)
            return self._admit(request, _read_wish(await request.read()))
        except DoorRefusal as refusal:
            return self.refusals.answer(request, refusal)

    def _describe(self, name: str, passcode: str | None) -> web.Response:
        gate, room = self._find(name)
        if passcode is not None:
            _check_passcode(gate, passcode)
        may_see = not gate.rules.passcode or passcode is not None
        here = room.participants.values() if room is not None and may_see else ()
        people = [p.info.name for p in here if not p.claims.video.hidden]
        return web.json_response(
            {
                "name": gate.name,
                "host": gate.host_name,
                "people": [{"name": person} for person in people],
                "passcode": bool(gate.rules.passcode),
                "lobby": gate.rules.lobby,
                "locked": gate.rules.locked,
                "e2ee": False,
                "version": SERVER_COMPAT_VERSION,
            }
        )

    def _admit(self, request: web.Request, wish: _Wish) -> web.Response:
        gate, room = self._find(wish.room)
        invited_as, invitation = "guest", ""
        if wish.invite:
            invited_as, invitation = self._read_invite(wish.invite, gate.name)
        else:
            _check_passcode(gate, wish.passcode)
        now_s = asyncio.get_running_loop().time()
        knock = gate.lobby.handle_poll(wish.knock_id, now_s=now_s)
        # The host lets in who has knocked, not whose token is shown afterwards.
        known = knock.identity if knock is not None else self._identity_of(wish.token, gate)
        role = gate.standing.role_at_door(known, invited_as, invitation)
        if knock is None or knock.verdict is not Verdict.ADMITTED:
            must_wait = gate.rules.lobby or _was_sent_away(gate, known, request.remote or "")
            if role == "guest" and gate.rules.locked and not gate.standing.is_member(known):
                raise DoorRefusal(403, "locked")
            if role == "guest" and must_wait:
                return self._wait(request, gate, wish, knock, known)
        if _is_full(gate, room, known):
            raise DoorRefusal(503, "full")
        if knock is not None:
            gate.lobby.remove(knock.id)
            if knock.verdict is Verdict.ADMITTED:
                gate.standing.trust(request.remote or "")
            else:
                # The lobby was closed, or a better invitation found, while this one waited.
                self._gates.knocks_changed(gate)
        name = knock.name if knock is not None else wish.name
        identity = known or f"{slug(name)}-{secrets.token_hex(3)}"
        self._gates.note_issued(gate, identity)
        # A guest's place is everybody's: what it came of does not matter.
        came_of = invitation if role != "guest" else ""
        return self._issue(request, gate, name, role, identity, came_of)

    def _wait(
        self, request: web.Request, gate: Gate, wish: _Wish, knock: Knock | None, known: str
    ) -> web.Response:
        """Keep somebody in the lobby; raise the host's answer when it is no."""
        address = address_group(request.remote or "")
        clock_s = time.monotonic()
        if knock is not None and knock.verdict is Verdict.DENIED:
            gate.lobby.remove(knock.id)
            self._denials.note_refusal(address, now_s=clock_s)
            raise DoorRefusal(403, "denied")
        if knock is None:
            if self._denials.is_blocked(address, now_s=clock_s):
                raise DoorRefusal(429, "too_many_tries")
            now_s = asyncio.get_running_loop().time()
            knock = Knock(
                id=secrets.token_urlsafe(12),
                name=wish.name,
                address=address,
                since_s=now_s,
                seen_s=now_s,
                identity=known,
            )
            try:
                gate.lobby.add(knock)
            except LobbyFullError as error:
                raise DoorRefusal(429, "too_many_wait") from error
            self._gates.knocks_changed(gate)
        return web.json_response({"knock_id": knock.id, "retry_ms": RETRY_MS}, status=202)

    def _issue(
        self,
        request: web.Request,
        gate: Gate,
        name: str,
        role: str,
        identity: str,
        invitation: str,
    ) -> web.Response:
        api_key, api_secret = self._config.signing_pair
        token = issue_token(
            api_key=api_key,
            api_secret=api_secret,
            identity=identity,
            name=name,
            now_s=time.time(),
            grant=grant_for(role, gate.name),
            attributes={ROLE_ATTRIBUTE: role},
            invitation=invitation,
        )
        scheme = "wss" if request.secure else "ws"
        return web.json_response(
            {
                "server_url": f"{scheme}://{request.host}",
                "participant_token": token,
                "role": role,
            }
        )

    def _find(self, name: str) -> tuple[Gate, Room | None]:
        gate = self._gates.find_typed(name)
        # A server that hosts named rooms has a door for those only.
        if gate is None or (self._config.rooms and not self._gates.is_hosted(gate)):
            raise DoorRefusal(404, "not_found")
        return gate, self._gates.room_of(gate)

    def _read_invite(self, invite: str, room: str) -> tuple[str, str]:
        """Return the role that an invitation is for, and which one it is."""
        try:
            claims = verify_claims(invite, self._config.keys, now_s=time.time())
        except TokenError as error:
            is_old = error.kind is TokenFault.EXPIRED
            raise DoorRefusal(401, "invite_expired" if is_old else "invite_invalid") from error
        content = claims.get(LANAI_CLAIM)
        if not isinstance(content, dict) or content.get("room") != room or "video" in claims:
            raise DoorRefusal(401, "invite_invalid")
        role = content.get("role", "guest")
        if role not in ROLES:
            raise DoorRefusal(401, "invite_invalid")
        invitation = content.get("jti")
        if not isinstance(invitation, str) or not invitation:
            # Of what it says, never of how it is written: that can be varied.
            said = json.dumps(claims, sort_keys=True).encode()
            invitation = hashlib.sha256(said).hexdigest()[:16]
        return str(role), invitation

    def _identity_of(self, token: str, gate: Gate) -> str:
        """Who comes back, by the token held from before; "" for a stranger.

        It opens nothing by itself: it keeps the identity, and with it what the room knows of it.
        One that has expired is no obstacle: its bearer is a stranger then.
        """
        if not token:
            return ""
        try:
            claims: Claims = verify_token(token, self._config.keys, now_s=time.time())
        except TokenError:
            return ""
        return claims.identity if claims.video.room == gate.name else ""


class Refusals:
    """Counts wrong guesses per address, and writes refusals as answers."""

    def __init__(self) -> None:
        self._limiter = RefusalLimiter()
        self._lines = Budget(rate=1, burst=20)

    def check_rate(self, request: web.Request) -> None:
        """Refuse to listen to an address that was wrong too often."""
        if self._limiter.is_blocked(address_group(request.remote or ""), now_s=time.monotonic()):
            raise DoorRefusal(429, "too_many_tries")

    def answer(self, request: web.Request, refusal: DoorRefusal) -> web.Response:
        """Say no, and count it when it was a guess."""
        if refusal.status == 401:
            self._limiter.note_refusal(address_group(request.remote or ""), now_s=time.monotonic())
        if self._lines.allow(time.monotonic()):
            log.info("door refused", status=refusal.status, error=refusal.error)
        return web.json_response({"error": refusal.error}, status=refusal.status)


def _was_sent_away(gate: Gate, known: str, address: str) -> bool:
    """Whether this is somebody who was sent away, or may be, as a stranger from there."""
    standing = gate.standing
    return standing.is_removed(known) or (
        not standing.is_member(known) and standing.is_suspect(address)
    )


def _is_full(gate: Gate, room: Room | None, identity: str) -> bool:
    limit = gate.rules.max_people
    if not limit or room is None or (identity and room.by_identity(identity) is not None):
        return False
    return room.snapshot().num_participants >= limit


def _check_passcode(gate: Gate, passcode: str) -> None:
    wanted = gate.rules.passcode
    if wanted and not hmac.compare_digest(
        passcode.encode(errors="replace"), wanted.encode(errors="replace")
    ):
        raise DoorRefusal(401, "passcode")


def _read_wish(body: bytes) -> _Wish:
    values = read_object(body)
    name = " ".join(text_of(values, "name").split()).translate(_INVISIBLE)
    if not name or len(name) > MAX_NAME_CHARS:
        raise DoorRefusal(400, "name")
    return _Wish(
        room=text_of(values, "room"),
        name=name,
        passcode=text_of(values, "passcode"),
        invite=text_of(values, "invite"),
        knock_id=text_of(values, "knock_id"),
        token=text_of(values, "token"),
    )


def read_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object, or refuse."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DoorRefusal(400, "malformed") from error
    if not isinstance(values, dict):
        raise DoorRefusal(400, "malformed")
    return values


def text_of(values: dict[str, Any], key: str) -> str:
    """Return a text of an object, "" when it is missing, or refuse."""
    value = values.get(key, "")
    if not isinstance(value, str):
        raise DoorRefusal(400, "malformed")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DoorRefusal(400, "malformed") from error
    return value
