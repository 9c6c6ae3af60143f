"""The door of a Lanai server, seen from outside: who is in, may I come in.

Plain JSON over HTTP (design: names, doors and trust). Every way in which it can fail becomes a
`WorldError`; what the server says beyond that goes into `detail`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import aiohttp
import structlog

from app.engine.client import RoomLookup
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


async def look_up(link: Link, passcode: str = "") -> RoomLookup:
    """Ask what can be known of the room before entering it."""
    url = f"{link.door_url}/lanai/v1/rooms/{quote(link.room, safe='')}"
    params = {"passcode": passcode} if passcode else {}
    async with _session() as session:
        status, body = await _request(session, "GET", url, link, params=params)
    if status != 200:
        raise _refusal(status, body)
    return read_lookup(body, link.room)


def read_lookup(body: Mapping[str, object], room: str) -> RoomLookup:
    """Take from the door's answer what makes sense, and nothing else."""
    people = body.get("people")
    entries = people if isinstance(people, list) else []
    names = [entry.get("name") for entry in entries if isinstance(entry, Mapping)]
    return RoomLookup(
        room=_text(body, "name") or room,
        host_name=_text(body, "host"),
        people=tuple(name for name in names if isinstance(name, str)),
        needs_passcode=body.get("passcode") is True,
        lobby=body.get("lobby") is True,
        locked=body.get("locked") is True,
    )


async def enter(link: Link, *, name: str, passcode: str = "") -> Admission:
    """Ask to come in; waits in the lobby for as long as the host takes."""
    wish: dict[str, str] = {"room": link.room, "name": name}
    if passcode:
        wish["passcode"] = passcode
    if link.invite:
        wish["invite"] = link.invite
    async with _session() as session:
        while True:
            url = f"{link.door_url}/lanai/v1/join"
            status, body = await _request(session, "POST", url, link, json=wish)
            if status != 202:
                break
            wish["knock_id"] = _text(body, "knock_id")
            retry_ms = body.get("retry_ms")
            wait_s = retry_ms / 1000 if isinstance(retry_ms, int | float) else 1.0
            await asyncio.sleep(min(max(wait_s, _KNOCK_WAIT_S[0]), _KNOCK_WAIT_S[1]))
    token = _text(body, "participant_token")
    if status != 200 or not token:
        raise _refusal(status, body)
    server_url = _text(body, "server_url") or link.server_url
    return Admission(server_url, token, _text(body, "role") or "guest")


async def end_room(server_url: str, token: str, room: str) -> None:
    """End the meeting for everybody with one's own token (RoomService.DeleteRoom)."""
    base = "http" + server_url.removeprefix("ws").rstrip("/")
    async with _session() as session:
        status, body = await _request(
            session,
            "POST",
            f"{base}/twirp/livekit.RoomService/DeleteRoom",
            None,
            json={"room": room},
            headers={"Authorization": f"Bearer {token}"},
        )
    if status in (401, 403):
        raise WorldError(Reason.DENIED, detail=_text(body, "msg"))
    # An unknown room has ended already.
    if status not in (200, 404):
        raise WorldError(Reason.REFUSED, retry=True, detail=f"DeleteRoom: {status}")


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))


async def _request(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    link: Link | None,
    *,
    params: Mapping[str, str] | None = None,
    json: Mapping[str, str] | None = None,
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


def _refusal(status: int, body: Mapping[str, object]) -> WorldError:
    code = _text(body, "error") or _text(body, "code") or _text(body, "reason")
    reason = _REFUSALS.get(code) or _STATUS_REASONS.get(status, Reason.REFUSED)
    log.info("door refused", status=status, reason=str(reason))
    return WorldError(reason, retry=status in (429, 503), detail=f"{status} {code}".strip())


def _parse(body: bytes) -> dict[str, object]:
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}


def _text(body: Mapping[str, object], key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""
