"""The door of a Lanai server, seen from outside: who is in, may I come in.

Plain JSON over HTTP (design: names, doors and trust). Every way in which it can fail becomes a
`WorldError`; what the server says beyond that goes into `detail`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import aiohttp
import structlog

from app.engine.client import RoomLookup
from app.protocol.ids import slug
from app.protocol.invite import Link
from app.runtime.errors import Reason, WorldError

log = structlog.get_logger(__name__)

_TIMEOUT_S = 8.0
_MAX_BODY_BYTES = 256 * 1024
_KNOCK_WAIT_S = (0.5, 10.0)
_REFUSALS = {
    "passcode": Reason.PASSCODE,
    "invite_expired": Reason.EXPIRED,
    "invite_invalid": Reason.FORGED,
    "denied": Reason.DENIED,
    "locked": Reason.LOCKED,
    "full": Reason.FULL,
    "last_host": Reason.REFUSED,
    "not_found": Reason.NOT_FOUND,
}
_STATUS_REASONS = {
    401: Reason.FORGED,
    403: Reason.DENIED,
    404: Reason.NOT_FOUND,
    429: Reason.REFUSED,
    503: Reason.FULL,
}


@dataclass(frozen=True, slots=True)
class Admission:
    """The door opened: where to connect, with which token."""

    server_url: str
    token: str = field(repr=False)
    role: str = "guest"


@dataclass(frozen=True, slots=True)
class HeldToken:
    """What was admitted to last: at the same door it says who comes back, and opens nothing."""

    door_url: str = ""
    room: str = ""
    token: str = field(default="", repr=False)

    def token_for(self, link: Link) -> str:
        """Return the token where it belongs, "" everywhere else."""
        # Typed by hand, "garden-club" is the "Garden club" that an invitation names.
        is_same = (self.door_url, slug(self.room)) == (link.door_url, slug(link.room))
        return self.token if is_same else ""


async def look_up(link: Link, passcode: str = "") -> RoomLookup:
    """Ask what can be known of the room before entering it."""
    url = f"{link.door_url}/lanai/v1/rooms/{quote(link.room, safe='')}"
    params = {"passcode": passcode} if passcode else {}
    async with open_session() as session:
        status, body = await send_request(session, "GET", url, link, params=params)
    if status != 200:
        raise refusal_of(status, body)
    return read_lookup(body, link.room)


def read_lookup(body: Mapping[str, object], room: str) -> RoomLookup:
    """Take from the door's answer what makes sense, and nothing else."""
    people = body.get("people")
    entries = people if isinstance(people, list) else []
    names = [entry.get("name") for entry in entries if isinstance(entry, Mapping)]
    return RoomLookup(
        room=text_of(body, "name") or room,
        host_name=text_of(body, "host"),
        people=tuple(name for name in names if isinstance(name, str)),
        needs_passcode=body.get("passcode") is True,
        lobby=body.get("lobby") is True,
        locked=body.get("locked") is True,
    )


async def enter(
    link: Link,
    *,
    name: str,
    passcode: str = "",
    token: str = "",
    on_lobby: Callable[[], None] | None = None,
) -> Admission:
    """Ask to come in; waits in the lobby for as long as the host takes.

    `on_lobby` is called once when there is a lobby to wait in. `token` is one held from an
    earlier stay: it opens nothing, but lets somebody who was removed knock as the same person.
    Cancelling gives up: the door forgets who asks no more.
    """
    wish: dict[str, object] = {"room": link.room, "name": name}
    optional = {"passcode": passcode, "invite": link.invite, "token": token}
    wish.update({key: value for key, value in optional.items() if value})
    async with open_session() as session:
        while True:
            url = f"{link.door_url}/lanai/v1/join"
            status, body = await send_request(session, "POST", url, link, json=wish)
            if status != 202:
                break
            if "knock_id" not in wish and on_lobby is not None:
                on_lobby()
            wish["knock_id"] = text_of(body, "knock_id")
            retry_ms = body.get("retry_ms")
            wait_s = retry_ms / 1000 if isinstance(retry_ms, int | float) else 1.0
            await asyncio.sleep(min(max(wait_s, _KNOCK_WAIT_S[0]), _KNOCK_WAIT_S[1]))
    admitted = text_of(body, "participant_token")
    if status != 200 or not admitted:
        raise refusal_of(status, body)
    server_url = text_of(body, "server_url") or link.server_url
    return Admission(server_url, admitted, text_of(body, "role") or "guest")


def open_session() -> aiohttp.ClientSession:
    """A session for a few requests; whoever opens it closes it."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))


async def send_request(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    link: Link | None,
    *,
    params: Mapping[str, str] | None = None,
    json: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, dict[str, object]]:
    """Send one request and return status and JSON object ({} when it is none)."""
    ssl = _pinned(link) if link is not None else True
    try:
        async with session.request(
            method,
            url,
            params=params,
            json=json,
            headers=headers,
            ssl=ssl,
            allow_redirects=False,
        ) as response:
            body = await response.content.read(_MAX_BODY_BYTES)
            return response.status, _parse(body)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise world_error(error) from error


def world_error(error: Exception) -> WorldError:
    """Say why an HTTP request got no answer."""
    kind = type(error).__name__
    if isinstance(error, TimeoutError):
        return WorldError(Reason.TIMEOUT, retry=True, detail=kind)
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ServerFingerprintMismatch):
        return WorldError(Reason.TLS, detail=kind)
    if isinstance(error, aiohttp.InvalidURL | ValueError):
        return WorldError(Reason.INVALID_LINK, detail=kind)
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ConnectionRefusedError):
        return WorldError(Reason.REFUSED, retry=True, detail=kind)
    return WorldError(Reason.NO_ROUTE, retry=True, detail=kind)


def _pinned(link: Link) -> aiohttp.Fingerprint | bool:
    """Trust exactly the certificate that the invitation names; otherwise the system's roots."""
    if not link.fingerprint:
        return True
    padding = "=" * (-len(link.fingerprint) % 4)
    try:
        return aiohttp.Fingerprint(base64.urlsafe_b64decode(link.fingerprint + padding))
    except (binascii.Error, ValueError):
        raise WorldError(Reason.INVALID_LINK, detail="fingerprint") from None


def refusal_of(status: int, body: Mapping[str, object]) -> WorldError:
    """Say what an answer other than 200 means."""
    code = text_of(body, "error") or text_of(body, "code") or text_of(body, "reason")
    reason = _REFUSALS.get(code) or _STATUS_REASONS.get(status, Reason.REFUSED)
    log.info("door refused", status=status, reason=str(reason))
    return WorldError(reason, retry=status in (429, 503), detail=f"{status} {code}".strip())


def _parse(body: bytes) -> dict[str, object]:
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}


def text_of(body: Mapping[str, object], key: str) -> str:
    """Return a text of an answer, "" when it holds none under this key."""
    value = body.get(key)
    return value if isinstance(value, str) else ""
