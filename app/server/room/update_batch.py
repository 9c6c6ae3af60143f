"""When others hear of a participant's new name, metadata or attributes. Sans-IO.

In a small room at once. With many people everybody's change would reach everybody else, so
there changes wait for at most half a second and leave together, each participant once, as it is
by then: versions only rise, and the last one always leaves. What concerns tracks, rights,
joining and leaving never waits, and takes along what waited of the same participant: clients
drop media of people and tracks that they have not heard of.
"""

from __future__ import annotations

SMALL_ROOM_PEOPLE = 20
HOLD_S = 0.5


class UpdateBatch:
    """Whose changes wait; `deadline_s` says when they have to leave, None while none wait."""

    def __init__(self, *, small_room_people: int = SMALL_ROOM_PEOPLE, hold_s: float = HOLD_S):
        self._small_room_people = small_room_people
        self._hold_s = hold_s
        self._waiting: dict[str, None] = {}
        self.deadline_s: float | None = None

    def handle_change(self, sid: str, *, may_wait: bool, people: int, now_s: float) -> bool:
        """Take note of a change; True when it has to be told at once."""
        if may_wait and people > self._small_room_people:
            self._waiting[sid] = None
            if self.deadline_s is None:
                self.deadline_s = now_s + self._hold_s
            return False
        self.forget(sid)
        return True

    def handle_deadline(self, now_s: float) -> list[str]:
        """Return the sids to tell of now, in the order of their first change."""
        if self.deadline_s is None or now_s < self.deadline_s:
            return []
        waiting, self._waiting = list(self._waiting), {}
        self.deadline_s = None
        return waiting

    def forget(self, sid: str) -> None:
        """Nothing waits of this participant any more."""
        self._waiting.pop(sid, None)
        if not self._waiting:
            self.deadline_s = None
