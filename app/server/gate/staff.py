"""Who holds a role above guest, here or not: a role outlives its bearer's stay. Sans-IO.

The token of a co-host who has left is good for hours, so hosts must be able to take the role
back meanwhile, and see that there is one. What is kept of each is what that takes: the name for
the list, the invitation so that it gives no more roles.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from app.server.gate.standing import ROLES

MAX_STAFF = 100
# Their tokens last for hours after they were seen last; nobody lists people of last week.
KEEP_S = 24 * 3600.0


@dataclass(frozen=True)
class Helper:
    """A host or co-host; `seen_s` is the wall clock's time of when that was last known."""

    identity: str
    name: str
    role: str
    invitation: str = ""
    seen_s: float = 0.0


class Staff:
    """Of one room; the newest `MAX_STAFF`, who was seen last at the end."""

    def __init__(self) -> None:
        self._helpers: OrderedDict[str, Helper] = OrderedDict()

    def note(self, helper: Helper) -> bool:
        """Somebody has this role now; True when that changes the list."""
        before = self._helpers.get(helper.identity)
        if helper.role == "guest":
            self._helpers.pop(helper.identity, None)
            return before is not None
        self._helpers[helper.identity] = helper
        self._helpers.move_to_end(helper.identity)
        if len(self._helpers) > MAX_STAFF:
            self._helpers.popitem(last=False)
        return True

    def away(self, here: Collection[str], *, now_s: float) -> list[Helper]:
        """Those who are not among `here`."""
        return [
            helper
            for identity, helper in self._helpers.items()
            if identity not in here and now_s - helper.seen_s < KEEP_S
        ]

    def retire(self, invitation: str, *, here: Collection[str]) -> None:
        """An invitation gives no roles any more, nor do the tokens of those who came by it."""
        for helper in list(self._helpers.values()):
            if helper.invitation == invitation and helper.identity not in here:
                del self._helpers[helper.identity]

    def to_json(self) -> list[dict[str, Any]]:
        """Everything, to be read by `from_json`."""
        return [asdict(helper) for helper in self._helpers.values()]

    @classmethod
    def from_json(cls, values: object) -> Staff:
        """Read what `to_json` wrote; what is not understood is left out."""
        staff = cls()
        for value in values if isinstance(values, list) else ():
            helper = _helper(value) if isinstance(value, Mapping) else None
            if helper is not None:
                staff.note(helper)
        return staff


def _helper(value: Mapping[str, Any]) -> Helper | None:
    identity, name, role, invitation = (
        value.get(key) for key in ("identity", "name", "role", "invitation")
    )
    seen_s = value.get("seen_s")
    texts = (identity, name, role, invitation)
    if not all(isinstance(text, str) for text in texts) or role not in ROLES:
        return None
    if not isinstance(seen_s, int | float) or isinstance(seen_s, bool):
        return None
    return Helper(str(identity), str(name), str(role), str(invitation), seen_s)
