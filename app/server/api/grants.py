"""Which grant a method of the server API needs. A missing one is `unauthenticated`, never 403."""

from __future__ import annotations

from app.protocol.token import Claims, VideoGrant
from app.server.api.twirp import TwirpError
from app.server.gate.standing import is_of_door, role_of


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


def need_room_create(claims: Claims | None, room: str) -> VideoGrant:
    """Let pass who may make and end this room.

    On the wire the grant is for every room. A host has it to end the meeting, and no other one:
    the server's other rooms are not the host's.
    """
    grant = grant_of(claims)
    is_bound = claims is not None and is_of_door(claims)
    if not grant.room_create or (is_bound and grant.room != room):
        raise denied()
    return grant


def need_rank(claims: Claims | None, person: Claims) -> None:
    """Let a host's helper do nothing to a host: that would unmake one, and lock it out.

    Tokens of whoever holds the server's keys have no rank; they may.
    """
    if claims is not None and is_of_door(claims) and is_of_door(person):
        ranks = (role_of(claims), role_of(person))
        if ranks == ("cohost", "host"):
            raise TwirpError("permission_denied", "a co-host cannot do this to a host")


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
