"""One room's gate: its rules, its lobby, and what is known of people. Sans-IO.

The gate outlives the room: people wait in its lobby before anybody is in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from livekit.protocol import models

from app.protocol.errors import ProtocolError
from app.protocol.token import Claims
from app.server.config import HostedRoom
from app.server.gate.lobby import Lobby
from app.server.gate.rules import RoomRules, changed_rules
from app.server.gate.staff import Staff
from app.server.gate.standing import Standing, role_of


class GateRefusal(Exception):  # noqa: N818 - an answer, not a fault
    """This person does not come in; `error` is the door's word for it."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class Gate:
    """Of one room, by its name."""

    def __init__(self, hosted: HostedRoom) -> None:
        self.name = hosted.name
        self.host_name = hosted.host_name
        self.rules = RoomRules(
            passcode=hosted.passcode,
            lobby=hosted.lobby,
            locked=hosted.locked,
            max_people=hosted.max_people,
        )
        self.lobby = Lobby()
        self.standing = Standing()
        self.staff = Staff()

    def change_rules(self, patch: object) -> bool:
        """Apply what a host sent; True when anything is different now."""
        before = self.rules
        self.rules = changed_rules(before, patch)
        return self.rules != before

    def check(self, claims: Claims) -> Claims:
        """Return what these claims are worth at the signalling port, or raise `GateRefusal`."""
        if self.standing.is_removed(claims.identity):
            raise GateRefusal("denied")
        claims = self.standing.effective(claims)
        if self.rules.locked and is_guest(claims) and not self.standing.is_member(claims.identity):
            raise GateRefusal("locked")
        return claims

    def to_json(self) -> dict[str, Any]:
        """What has to outlive a crash. The lobby does not: its people ask again."""
        return {
            "rules": asdict(self.rules),
            "standing": self.standing.to_json(),
            "staff": self.staff.to_json(),
        }

    def restore(self, values: Mapping[str, Any]) -> None:
        """Read what `to_json` wrote; damaged parts are left as they are."""
        rules, standing = values.get("rules"), values.get("standing")
        if isinstance(rules, Mapping):
            version = rules.get("version")
            patch = {key: value for key, value in rules.items() if key != "version"}
            try:
                self.rules = changed_rules(self.rules, patch)
            except ProtocolError:
                pass
            else:
                if isinstance(version, int):
                    self.rules = replace(self.rules, version=version + 1)
        if isinstance(standing, Mapping):
            self.standing = Standing.from_json(standing)
        self.staff = Staff.from_json(values.get("staff"))


def is_guest(claims: Claims) -> bool:
    """Whether the rules for guests are for this one: agents, recorders and the hidden are none."""
    grant = claims.video
    is_person = not claims.kind or claims.kind.lower() == "standard"
    return (
        is_person
        and not (grant.hidden or grant.recorder or grant.agent)
        and (role_of(claims) == "guest")
    )


def permission_is_same(a: models.ParticipantPermission, b: models.ParticipantPermission) -> bool:
    """Whether two permissions allow the same."""
    return a.SerializeToString(deterministic=True) == b.SerializeToString(deterministic=True)
