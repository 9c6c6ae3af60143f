"""What the room knows of people beyond their tokens: new roles, removals, who belongs. Sans-IO.

A token cannot be called back. So a person who was made guest again, or was removed, is known
here by identity, and every use of that person's tokens goes through `effective`: whatever they
were signed to allow, they are worth what the person is now. Who was removed and is admitted
again comes back as a guest. An invitation that made somebody co-host or host does so no more once
that person has lost the role, for the link is still in their hands; nor do tokens that it gave
before, which name it, unless their bearers were in the room then.

Who starts the app anew is a stranger to the door, but comes from the same address. So until the
meeting is over strangers from where somebody was sent away have to be let in, unless a host has
let one in from there since. Others behind the same address pay for it with a knock, no more.

What the door signs is good for its own room alone, though some grants of the wire (`roomCreate`)
know no room: `is_of_door` tells its tokens from those of whoever holds the server's keys.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from app.protocol.token import LANAI_CLAIM, Claims, VideoGrant, grant_to_claim

# Each may do what the one before may.
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


def is_of_door(claims: Claims) -> bool:
    """Whether a host, or the door for a host, gave these rights: nobody else writes a role."""
    return ROLE_ATTRIBUTE in claims.attributes


def invitation_of(claims: Claims) -> str:
    """Return the invitation that a token was given for, "" for none."""
    content = claims.raw.get(LANAI_CLAIM)
    invitation = content.get("invitation") if isinstance(content, Mapping) else None
    return invitation if isinstance(invitation, str) else ""


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
        # By identity, where each was sent away from ("" when that is not known any more).
        self._removed: OrderedDict[str, str] = OrderedDict()
        self._addresses: OrderedDict[str, str] = OrderedDict()
        self._members: OrderedDict[str, None] = OrderedDict()
        # Invitations that give no role above guest any more.
        self._retired: OrderedDict[str, None] = OrderedDict()

    def effective(self, claims: Claims) -> Claims:
        """Return what these claims are worth in this room now."""
        if claims.identity in self._removed:
            return with_role(claims, "guest")
        role = self._roles.get(claims.identity)
        if role is None and invitation_of(claims) in self._retired:
            role = "guest"
        return claims if role is None or role == role_of(claims) else with_role(claims, role)

    def set_role(self, identity: str, role: str) -> None:
        """Remember a role that differs from older tokens of this person."""
        _remember(self._roles, identity, role)

    def role_at_door(self, identity: str, invited_as: str, invitation: str) -> str:
        """Return what somebody comes in as who brings an invitation for a role.

        Whom the room knows it lets in as what it knows, not as what an old link says.
        """
        if invitation in self._retired:
            invited_as = "guest"
        return self._roles.get(identity, invited_as)

    def retire(self, invitation: str) -> None:
        """Let an invitation be worth a guest's place from now on."""
        _remember(self._retired, invitation, None)

    def is_removed(self, identity: str) -> bool:
        """Whether this person was sent away and not admitted since."""
        return identity in self._removed

    def note_removed(self, identity: str) -> None:
        """Somebody was sent away, and is a guest if ever let in again."""
        _remember(self._removed, identity, self._addresses.pop(identity, ""))
        self._members.pop(identity, None)
        self.set_role(identity, "guest")

    def note_address(self, identity: str, address: str) -> None:
        """Somebody comes from here, as far as a socket can tell."""
        _remember(self._addresses, identity, address)

    def is_suspect(self, address: str) -> bool:
        """Whether somebody was sent away who came from here."""
        return bool(address) and address in self._removed.values()

    def trust(self, address: str) -> None:
        """A host has let in somebody from here after looking at the name."""
        for identity, came_from in self._removed.items():
            if came_from == address:
                self._removed[identity] = ""

    def forget_addresses(self) -> None:
        """The meeting is over: addresses are given to others in time."""
        self._addresses.clear()
        self._removed = OrderedDict.fromkeys(self._removed, "")

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
            "removed_from": {who: address for who, address in self._removed.items() if address},
            "members": list(self._members),
            "retired": list(self._retired),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Standing:
        """Read what `to_json` wrote; what is not understood is left out."""
        standing = cls()
        lists = (
            ("members", standing._members),
            ("retired", standing._retired),
        )
        for key, table in lists:
            for name in _texts(values.get(key)):
                _remember(table, name, None)
        addresses = dict(_pairs(values.get("removed_from")))
        for identity in _texts(values.get("removed")):
            _remember(standing._removed, identity, addresses.get(identity, ""))
        for identity, role in _pairs(values.get("roles")):
            if role in ROLES:
                standing.set_role(identity, role)
        for identity in standing._removed:
            standing.set_role(identity, "guest")
        return standing


def _texts(values: object) -> list[str]:
    return [v for v in values if isinstance(v, str)] if isinstance(values, list) else []


def _pairs(values: object) -> list[tuple[str, str]]:
    pairs = values.items() if isinstance(values, Mapping) else ()
    return [(key, v) for key, v in pairs if isinstance(key, str) and isinstance(v, str)]


def _remember(table: OrderedDict[str, T], identity: str, value: T) -> None:
    table[identity] = value
    table.move_to_end(identity)
    if len(table) > MAX_REMEMBERED:
        table.popitem(last=False)
