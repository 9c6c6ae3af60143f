"""What the host has decided about a room: passcode, lobby, lock, size, guests. Sans-IO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from app.protocol.errors import ProtocolError

MAX_PASSCODE_CHARS = 128
MAX_PEOPLE = 10_000


@dataclass(frozen=True)
class Allow:
    """What guests may do; hosts and co-hosts always may."""

    share: bool = True
    chat: bool = True
    files: bool = True


@dataclass(frozen=True)
class RoomRules:
    """The rules of one room; `max_people` 0 means no limit. `version` rises with each change."""

    passcode: str = field(default="", repr=False)
    lobby: bool = False
    locked: bool = False
    max_people: int = 0
    allow: Allow = Allow()
    version: int = 1

    def public(self) -> dict[str, Any]:
        """What everybody in the room may know: everything but the passcode itself."""
        facts = asdict(self)
        facts["passcode"] = bool(self.passcode)
        return facts


def changed_rules(rules: RoomRules, patch: object) -> RoomRules:
    """Apply what a host sent; `ProtocolError` when any of it is not understood."""
    if not isinstance(patch, Mapping) or not patch:
        raise ProtocolError("rules: not an object with changes")
    values: dict[str, Any] = {}
    for key, value in patch.items():
        if key == "allow":
            values[key] = _changed_allow(rules.allow, value)
        elif key in ("lobby", "locked"):
            values[key] = _flag(key, value)
        elif key == "passcode":
            values[key] = _passcode(value)
        elif key == "max_people":
            values[key] = _count(value)
        else:
            raise ProtocolError("rules: unknown key")
    changed = replace(rules, **values)
    return replace(changed, version=rules.version + 1) if changed != rules else rules


def _changed_allow(allow: Allow, patch: object) -> Allow:
    if not isinstance(patch, Mapping) or not set(patch) <= {"share", "chat", "files"}:
        raise ProtocolError("rules: allow is share, chat and files")
    return replace(allow, **{key: _flag(key, value) for key, value in patch.items()})


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ProtocolError(f"rules: {key} is true or false")
    return value


def _passcode(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_PASSCODE_CHARS or not _is_text(value):
        raise ProtocolError("rules: unusable passcode")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_PEOPLE:
        raise ProtocolError("rules: max_people is a number")
    return value


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
