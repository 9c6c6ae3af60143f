"""Who speaks, the loudest first."""

from __future__ import annotations


class Speakers:
    """Levels of those who speak now, by participant sid."""

    def __init__(self) -> None:
        self._levels: dict[str, float] = {}

    @property
    def loudest_first(self) -> list[str]:
        """Everybody who speaks; of two equally loud ones who began first."""
        return sorted(self._levels, key=lambda sid: -self._levels[sid])

    def handle(self, sid: str, level: float | None) -> bool:
        """Take somebody's level, None for silence; whether that was one who spoke."""
        spoke = sid in self._levels
        if level is None:
            self._levels.pop(sid, None)
        else:
            self._levels[sid] = level
        return spoke
