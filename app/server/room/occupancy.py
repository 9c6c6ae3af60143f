"""How long a room stays when nobody is in it. Sans-IO.

Agents and recorders keep no room open. Once people have been there, the time counts from the
last departure of anybody; before, from the room's beginning.
"""

from __future__ import annotations


class Occupancy:
    """Comings and goings of one room."""

    def __init__(self, now_s: float) -> None:
        self._created_s = now_s
        self._had_people = False
        self._last_left_s: float | None = None

    def note_came(self, *, is_dependent: bool) -> None:
        """Somebody is in."""
        self._had_people = self._had_people or not is_dependent

    def note_left(self, now_s: float) -> None:
        """Somebody is gone."""
        self._last_left_s = now_s

    def is_over(self, now_s: float, *, empty_timeout_s: float, departure_timeout_s: float) -> bool:
        """Whether a room that nobody keeps open has been so for long enough."""
        if self._had_people and self._last_left_s is not None:
            return now_s - self._last_left_s >= departure_timeout_s
        return now_s - self._created_s >= empty_timeout_s
