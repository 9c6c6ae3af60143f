"""Twirp as the server API speaks it: one POST, protobuf or JSON both ways, errors always JSON.

A service is a mapping of method names to `Method`s: what the request is, and who answers it.
Whoever offers a service adds it to the mapping given to `Twirp` (`application.py`); names that
are in no service answer as the reference does. The claims of the caller are checked here for
their signature alone; which grant a method needs is the method's to say (`grants.py`).
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from app.protocol.token import Claims
from app.server.api.auth import HttpRefusal, claims_of
from app.server.tally import Tally

log = structlog.get_logger(__name__)

HTTP_STATUS = {
    "canceled": 408,
    "deadline_exceeded": 408,
    "unknown": 500,
    "internal": 500,
    "dataloss": 500,
    "invalid_argument": 400,
    "malformed": 400,
    "out_of_range": 400,
    "not_found": 404,
    "bad_route": 404,
    "already_exists": 409,
    "aborted": 409,
    "permission_denied": 403,
    "unauthenticated": 401,
    "resource_exhausted": 429,
    "failed_precondition": 412,
    "unimplemented": 501,
    "unavailable": 503,
}
JSON, PROTOBUF = "application/json", "application/protobuf"
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")


def status_family(code: str) -> str:
    """What metrics call the outcome of a call: "200", "4xx", "5xx"."""
    return "200" if code == "ok" else f"{HTTP_STATUS[code] // 100}xx"


class TwirpError(Exception):
    """Answered as `{code, msg, meta?}` with the status that belongs to the code."""

    def __init__(self, code: str, message: str, **meta: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.meta = meta


@dataclass(frozen=True)
class Method:
    """One method: the message it takes, and the coroutine that answers it.

    The claims are None when the caller showed no token.
    """

    request: type[Message]
    answer: Callable[[Claims | None, Any], Awaitable[Message]]


Service = Mapping[str, Method]


class Twirp:
    """Handler of `/twirp/livekit.{service}/{method}`."""

    def __init__(
        self,
        keys: Mapping[str, str],
        services: Mapping[str, Service],
        *,
        read_timeout_s: float,
        effective: Callable[[Claims], Claims] = lambda claims: claims,
        tally: Tally | None = None,
    ) -> None:
        """`effective` says what a participant's token is still worth in a hosted room."""
        self._keys = keys
        self._services = services
        self._effective = effective
        self._read_timeout_s = read_timeout_s
        self._tally = tally or Tally()

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one call."""
        service = self._services.get(request.match_info["service"])
        if service is None:
            return web.Response(status=404, text="404 page not found\n")
        name, method = request.match_info["service"], request.match_info["method"]
        # Of methods that do not exist one number is enough.
        counted = (name, method if method in service else "")
        started_s = time.monotonic()
        try:
            answer = await self._call(request, service.get(method))
            self._count(counted, "ok", started_s)
            return answer
        except TwirpError as error:
            self._count(counted, error.code, started_s)
            return _refused(error)
        except (web.HTTPException, HttpRefusal, TimeoutError, ConnectionError):
            raise
        except Exception:
            # Ours, and logged as such: but clients read an error only in its one form.
            log.exception("call of the server API failed", service=name, method=method)
            self._count(counted, "internal", started_s)
            return _refused(TwirpError("internal", "internal error"))

    def _count(self, counted: tuple[str, str], code: str, started_s: float) -> None:
        self._tally.twirp[(*counted, code)] += 1
        took_s = time.monotonic() - started_s
        self._tally.note_call(*counted, status_family(code), took_s)

    async def _call(self, request: web.Request, method: Method | None) -> web.Response:
        claims = self._claims(request)
        if request.method != "POST":
            raise _bad_route(
                request, f'unsupported method "{request.method}" (only POST is allowed)'
            )
        if method is None:
            raise _bad_route(request, f'no handler for path "{request.path}"')
        content_type = request.content_type if "Content-Type" in request.headers else ""
        if content_type not in (JSON, PROTOBUF):
            raise _bad_route(request, f'unexpected Content-Type: "{content_type}"')
        if claims is None:
            # Every method wants a grant: a stranger's body is not worth its memory.
            raise TwirpError("unauthenticated", "permissions denied")
        try:
            async with asyncio.timeout(self._read_timeout_s):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise TwirpError("invalid_argument", "the request is too large") from error
        asked = _read(content_type, body, method.request())
        return _write(content_type, await method.answer(claims, asked))

    def _claims(self, request: web.Request) -> Claims | None:
        """Return who asks; a token that is no good is a plain 401, none is nobody."""
        if "Authorization" not in request.headers and "access_token" not in request.query:
            return None
        try:
            return self._effective(claims_of(request, self._keys))
        except HttpRefusal as refusal:
            if refusal.text == "no permissions to access the room":
                # A token without a grant: signed by us, and good for nothing.
                return None
            raise


def _bad_route(request: web.Request, message: str) -> TwirpError:
    route = f"{request.method} {request.path}"
    return TwirpError("bad_route", message, twirp_invalid_route=route)


def _read(content_type: str, body: bytes, message: Message) -> Message:
    try:
        if content_type == JSON:
            # A list or a text would pass for a message without fields.
            if not body.lstrip().startswith(b"{"):
                raise ValueError("no object")
            json_format.Parse(body, message, ignore_unknown_fields=True)
            _check_bytes(body, message)
        else:
            message.ParseFromString(body)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError) as error:
        kind = "json" if content_type == JSON else "protobuf"
        raise TwirpError("malformed", f"the {kind} request could not be decoded") from error
    return message


def _check_bytes(body: bytes, message: Message) -> None:
    """Raise for bytes that are no base64: the parser would leave out what it does not know."""
    names = [
        name
        for field in message.DESCRIPTOR.fields
        if field.type == field.TYPE_BYTES
        for name in (field.name, field.json_name)
    ]
    content = json.loads(body) if names else {}
    for name in names:
        text = content.get(name)
        if isinstance(text, str) and not _BASE64.fullmatch(text):
            raise ValueError("no base64")


def _write(content_type: str, message: Message) -> web.Response:
    if content_type == JSON:
        text = json_format.MessageToJson(
            message,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
            indent=None,
        )
        return _as_json(text)
    return web.Response(body=message.SerializeToString(), content_type=PROTOBUF)


def _refused(error: TwirpError) -> web.Response:
    body: dict[str, object] = {"code": error.code, "msg": error.message}
    if error.meta:
        body["meta"] = error.meta
    return _as_json(json.dumps(body), status=HTTP_STATUS[error.code])


def _as_json(text: str, *, status: int = 200) -> web.Response:
    """Without a charset in its type, as the reference: some clients compare the whole header."""
    return web.Response(body=text.encode(), status=status, content_type=JSON)
