"""Which grant a method of the server API needs. A missing one is `unauthenticated`, never 403."""

from __future__ import annotations

from app.protocol.token import Claims, VideoGrant
from app.server.api.twirp import TwirpError


def denied() -> TwirpError:
    """Return the one answer to everybody who may not; it says nothing about rooms."""
    return TwirpError("unauthenticated", "permissions denied")


def grant_of(claims: Claims | None) -> VideoGrant:
    """Return what the caller may do."""
    if claims is None:
        raise denied()
    return claims.video


def need_room_admin(claims: Claims | None, room: str) -> VideoGrant:
    """Let pass who may moderate this room."""
    grant = grant_of(claims)
    if not grant.room_admin or not room or grant.room != room:
        raise denied()
    return grant


def need_destination(claims: Claims | None, room: str, destination: str) -> None:
    """Let pass who may also bring people into the other room."""
    grant = need_room_admin(claims, room)
    if not destination or grant.destination_room != destination:
        raise denied()


def need_room_create(claims: Claims | None) -> VideoGrant:
    """Let pass who may make rooms."""
    grant = grant_of(claims)
    if not grant.room_create:
        raise denied()
    return grant


def need_room_delete(claims: Claims | None, room: str) -> None:
    """Let pass who may end this room: a participant's token speaks for its own room only."""
    grant = need_room_create(claims)
    if grant.room_join and grant.room and grant.room != room:
        raise denied()


def need_room_list(claims: Claims | None) -> None:
    """Let pass who may see all rooms."""
    if not grant_of(claims).room_list:
        raise denied()


def need_room_record(claims: Claims | None) -> None:
    """Let pass who may record."""
    if not grant_of(claims).room_record:
        raise denied()


def need_ingress_admin(claims: Claims | None) -> None:
    """Let pass who may bring in streams."""
    if not grant_of(claims).ingress_admin:
        raise denied()


def need_sip(claims: Claims | None, right: str) -> None:
    """Let pass who has this right (`admin` or `call`) in the token's `sip` claim."""
    sip = claims.raw.get("sip") if claims is not None else None
    if not isinstance(sip, dict) or sip.get(right) is not True:
        raise denied()
