"""Access tokens: who may join which room, and as what (LiveKit's JWT claims, HS256).

Signing and checking only; time is an argument. `verify_token` is the one way from a token
to `Claims`: signature first, then times with a minute of leeway both ways, then the grant.
Errors say which rule failed and never quote the token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from jwt import InvalidTokenError
from jwt.api_jws import PyJWS

from app.protocol.errors import ProtocolError

LEEWAY_S = 60
DEFAULT_TTL_S = 6 * 3600
MAX_TOKEN_CHARS = 64_000
# Our own: in an invitation what it is for, in an access token which invitation it came of.
LANAI_CLAIM = "lanai"

_jws = PyJWS(algorithms=["HS256"])


class TokenFault(StrEnum):
    """Which rule a token broke."""

    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE = "signature"
    EXPIRED = "expired"
    NOT_YET = "not_yet"
    NO_GRANT = "no_grant"


class TokenError(ProtocolError):
    """A token that is not accepted; `kind` says which rule it broke."""

    def __init__(self, kind: TokenFault) -> None:
        super().__init__(f"token refused: {kind}")
        self.kind = kind


@dataclass(frozen=True)
class VideoGrant:
    """What the holder may do; None is "not said", which means yes for the three `can_*`."""

    room_join: bool = False
    room: str = ""
    room_admin: bool = False
    room_create: bool = False
    room_list: bool = False
    room_record: bool = False
    ingress_admin: bool = False
    destination_room: str = ""
    can_publish: bool | None = None
    can_subscribe: bool | None = None
    can_publish_data: bool | None = None
    can_publish_sources: tuple[str, ...] = ()
    can_update_own_metadata: bool = False
    can_subscribe_metrics: bool = False
    can_manage_agent_session: bool = False
    hidden: bool = False
    recorder: bool = False
    agent: bool = False

    @property
    def may_publish(self) -> bool:
        """Publishing media is allowed unless the token says no."""
        return self.can_publish is not False

    @property
    def may_subscribe(self) -> bool:
        """Subscribing is allowed unless the token says no."""
        return self.can_subscribe is not False

    @property
    def may_publish_data(self) -> bool:
        """Sending data follows publishing when the token does not say."""
        return self.may_publish if self.can_publish_data is None else self.can_publish_data


@dataclass(frozen=True)
class Claims:
    """A token's content after every check."""

    identity: str
    name: str = ""
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    kind_details: tuple[str, ...] = ()
    video: VideoGrant = VideoGrant()
    room_config: Mapping[str, Any] | None = None
    sha256: str = ""
    issued_by: str = ""
    expires_at_s: float = 0.0
    raw: Mapping[str, Any] = field(default_factory=dict)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def grant_to_claim(grant: VideoGrant) -> dict[str, Any]:
    """Write a grant as the `video` claim, defaults left out."""
    claim: dict[str, Any] = {}
    for item in fields(VideoGrant):
        value = getattr(grant, item.name)
        if isinstance(value, tuple):
            value = list(value)
        if value is not None and value != item.default and value != []:
            claim[_camel(item.name)] = value
    return claim


def _grant_from_claim(claim: Mapping[str, Any]) -> VideoGrant:
    values: dict[str, Any] = {}
    for item in fields(VideoGrant):
        value = claim.get(_camel(item.name))
        if value is None:
            continue
        if item.name == "can_publish_sources":
            if not isinstance(value, list) or not all(isinstance(s, str) for s in value):
                raise TokenError(TokenFault.MALFORMED)
            value = tuple(value)
        elif not isinstance(value, str if isinstance(item.default, str) else bool):
            raise TokenError(TokenFault.MALFORMED)
        values[item.name] = value
    return VideoGrant(**values)


def sign_claims(claims: Mapping[str, Any], *, api_secret: str) -> str:
    """Sign any claims; whoever calls sets `iss`, `nbf` and `exp`."""
    payload = json.dumps(claims, separators=(",", ":")).encode()
    return _jws.encode(payload, api_secret, algorithm="HS256")


def issue_token(
    *,
    api_key: str,
    api_secret: str,
    identity: str,
    now_s: float,
    grant: VideoGrant,
    ttl_s: float = DEFAULT_TTL_S,
    name: str = "",
    metadata: str = "",
    attributes: Mapping[str, str] | None = None,
    kind: str = "",
    sha256: str = "",
    invitation: str = "",
) -> str:
    """Return a signed token for `identity`, valid from `now_s` for `ttl_s`."""
    claims: dict[str, Any] = {
        "iss": api_key,
        "nbf": int(now_s),
        "iat": int(now_s),
        "exp": int(now_s + ttl_s),
    }
    optional = {
        "sub": identity,
        "name": name,
        "metadata": metadata,
        "attributes": dict(attributes or {}),
        "kind": kind,
        "sha256": sha256,
        "video": grant_to_claim(grant),
        LANAI_CLAIM: {"invitation": invitation} if invitation else {},
    }
    claims.update({key: value for key, value in optional.items() if value})
    return sign_claims(claims, api_secret=api_secret)


def verify_claims(token: str, keys: Mapping[str, str], *, now_s: float) -> dict[str, Any]:
    """Check signature and times of a token of any purpose and return its claims."""
    if len(token) > MAX_TOKEN_CHARS:
        raise TokenError(TokenFault.MALFORMED)
    issuer = _decode(token, None).get("iss")
    if not isinstance(issuer, str):
        raise TokenError(TokenFault.MALFORMED)
    if issuer not in keys:
        raise TokenError(TokenFault.UNKNOWN_KEY)
    claims = _decode(token, keys[issuer])
    if now_s >= _time(claims.get("exp")) + LEEWAY_S:
        raise TokenError(TokenFault.EXPIRED)
    if now_s < _time(claims.get("nbf", 0)) - LEEWAY_S:
        raise TokenError(TokenFault.NOT_YET)
    return claims


def verify_token(token: str, keys: Mapping[str, str], *, now_s: float) -> Claims:
    """Check an access token and return its claims; without a grant it is none."""
    claims = verify_claims(token, keys, now_s=now_s)
    video = claims.get("video")
    if video is None:
        raise TokenError(TokenFault.NO_GRANT)
    attributes = claims.get("attributes") or {}
    room_config = claims.get("roomConfig")
    kind_details = claims.get("kindDetails") or ()
    if (
        not isinstance(video, dict)
        or not isinstance(attributes, dict)
        or not all(isinstance(value, str) for value in attributes.values())
        or not isinstance(room_config, dict | None)
        or not isinstance(kind_details, list | tuple)
    ):
        raise TokenError(TokenFault.MALFORMED)
    return Claims(
        identity=_text(claims, "sub") or _text(claims, "jti"),
        name=_text(claims, "name"),
        metadata=_text(claims, "metadata"),
        attributes=attributes,
        kind=_text(claims, "kind"),
        kind_details=tuple(d for d in kind_details if isinstance(d, str)),
        video=_grant_from_claim(video),
        room_config=room_config,
        sha256=_text(claims, "sha256"),
        issued_by=claims["iss"],
        expires_at_s=float(claims["exp"]),
        raw=claims,
    )


def peek_claims(token: str) -> dict[str, Any]:
    """Read a token's claims without checking them: for display and for refreshing in time."""
    if len(token) > MAX_TOKEN_CHARS:
        raise TokenError(TokenFault.MALFORMED)
    return _decode(token, None)


def _decode(token: str, secret: str | None) -> dict[str, Any]:
    options: Any = None if secret is not None else {"verify_signature": False}
    try:
        payload = _jws.decode(token, secret or "", algorithms=["HS256"], options=options)
        claims = json.loads(payload)
        # Escapes of half a character are valid JSON and no text: no message could carry them.
        json.dumps(claims, ensure_ascii=False).encode()
    except (InvalidTokenError, ValueError, RecursionError) as error:
        fault = TokenFault.MALFORMED if secret is None else TokenFault.SIGNATURE
        raise TokenError(fault) from error
    if not isinstance(claims, dict):
        raise TokenError(TokenFault.MALFORMED)
    return claims


def _time(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e15:
        raise TokenError(TokenFault.MALFORMED)
    return value


def _text(claims: Mapping[str, Any], key: str) -> str:
    value = claims.get(key, "")
    if not isinstance(value, str):
        raise TokenError(TokenFault.MALFORMED)
    return value
