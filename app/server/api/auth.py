"""Who asks: the token of a request, checked, and the words of each refusal.

Status codes and texts are those that official SDKs expect on the signalling port; they retry
or give up by the status alone. A token is never repeated in an answer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from aiohttp import web

from app.protocol.token import Claims, TokenError, TokenFault, verify_token

_REFUSALS = {
    TokenFault.MALFORMED: "invalid authorization token",
    TokenFault.UNKNOWN_KEY: "invalid API key",
    TokenFault.SIGNATURE: "invalid token: signature is invalid",
    TokenFault.EXPIRED: "invalid token: token is expired",
    TokenFault.NOT_YET: "invalid token: token is not valid yet",
    TokenFault.NO_GRANT: "no permissions to access the room",
}


class HttpRefusal(Exception):  # noqa: N818 - an answer, not a fault
    """The request is answered with this status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def token_of(request: web.Request) -> str:
    """Return the request's token: the header wins over the query; none is refused."""
    header = request.headers.get("Authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme != "Bearer" or not token:
            raise HttpRefusal(401, "invalid authorization header. Must start with Bearer ")
        return token
    token = request.query.get("access_token", "")
    if not token:
        raise HttpRefusal(401, "no permissions to access the room")
    return token


def claims_of(request: web.Request, keys: Mapping[str, str]) -> Claims:
    """Return the checked claims of a request."""
    try:
        return verify_token(token_of(request), keys, now_s=time.time())
    except TokenError as error:
        raise HttpRefusal(401, _REFUSALS[error.kind]) from error


def joining_claims(request: web.Request, keys: Mapping[str, str]) -> Claims:
    """Return claims that allow to join the room they name."""
    claims = claims_of(request, keys)
    if not claims.video.room_join:
        raise HttpRefusal(401, "permissions denied")
    if not claims.video.room:
        raise HttpRefusal(400, "no room name")
    if not claims.identity:
        raise HttpRefusal(400, "identity cannot be empty")
    return claims
