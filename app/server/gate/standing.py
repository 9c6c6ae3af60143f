"""What the room knows of people beyond their tokens: new roles, removals, who belongs. Sans-IO.

A token cannot be called back. So a person who was made guest again, or was removed, is known
here by identity, and every use of that person's tokens goes through `effective`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from app.protocol.token import Claims, VideoGrant, grant_to_claim

ROLES = ("guest", "cohost", "host")
ROLE_ATTRIBUTE = "lanai.role"
MAX_REMEMBERED = 2_000

T = TypeVar("T")


def grant_for(role: str, room: str) -> VideoGrant:
    """Return what a role may do in a room."""
    return VideoGrant(
        room_join=True,
        room=room,
        room_admin=role in ("host", "cohost"),
        room_create=role == "host",
        can_update_own_metadata=True,
    )


def role_of(claims: Claims) -> str:
    """Read a role off a token: what it may do counts, not what it calls itself."""
    if not claims.video.room_admin:
        return "guest"
    return "host" if claims.video.room_create else "cohost"


def with_role(claims: Claims, role: str) -> Claims:
    """Return the claims with the rights of `role`, everything else as it was."""
    video = replace(claims.video, room_admin=role != "guest", room_create=role == "host")
    attributes = {**claims.attributes, ROLE_ATTRIBUTE: role}
    raw = {**claims.raw, "video": grant_to_claim(video), "attributes": attributes}
    return replace(claims, video=video, attributes=attributes, raw=raw)


class Standing:
    """Of one room; the newest `MAX_REMEMBERED` of each list are kept."""

    def __init__(self) -> None:
        self._roles: OrderedDict[str, str] = OrderedDict()
        self._removed: OrderedDict[str, None] = OrderedDict()
        self._members: OrderedDict[str, None] = OrderedDict()

    def effective(self, claims: Claims) -> Claims:
        """Return what these claims are worth in this room now."""
        if claims.identity in self._removed:
            return with_role(claims, "guest")
        role = self._roles.get(claims.identity)
        return claims if role is None or role == role_of(claims) else with_role(claims, role)

    def set_role(self, identity: str, role: str) -> None:
        """Remember a role that differs from older tokens of this person."""
        _remember(self._roles, identity, role)

    def is_removed(self, identity: str) -> bool:
        """Whether this person was sent away and not admitted since."""
        return identity in self._removed

    def note_removed(self, identity: str) -> None:
        """Somebody was sent away."""
        _remember(self._removed, identity, None)
        self._members.pop(identity, None)

    def note_member(self, identity: str) -> bool:
        """Somebody was let in, again if need be; False when that was known."""
        was_known = identity in self._members and identity not in self._removed
        self._removed.pop(identity, None)
        _remember(self._members, identity, None)
        return not was_known

    def is_member(self, identity: str) -> bool:
        """Whether this person may come back into a locked room."""
        return identity in self._members

    def to_json(self) -> dict[str, Any]:
        """Everything, to be read by `from_json`."""
        return {
            "roles": dict(self._roles),
            "removed": list(self._removed),
            "members": list(self._members),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Standing:
        """Read what `to_json` wrote; what is not understood is left out."""
        standing = cls()
        roles = values.get("roles")
        for identity, role in roles.items() if isinstance(roles, Mapping) else ():
            if isinstance(identity, str) and role in ROLES:
                standing.set_role(identity, role)
        for key, table in (("removed", standing._removed), ("members", standing._members)):
            names = values.get(key)
            for identity in names if isinstance(names, list) else ():
                if isinstance(identity, str):
                    _remember(table, identity, None)
        return standing


def _remember(table: OrderedDict[str, T], identity: str, value: T) -> None:
    table[identity] = value
    table.move_to_end(identity)
    if len(table) > MAX_REMEMBERED:
        table.popitem(last=False)
