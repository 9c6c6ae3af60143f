"""When a speaking ring shows: a cough does not light it, a breath does not put it out.

The ring appears after 150 ms of speech and goes 600 ms after the last of it. Time is an
argument (`now_s`), `deadline_s` says when to look again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

APPEAR_AFTER_S = 0.150
GO_AFTER_S = 0.600


@dataclass(slots=True)
class _Voice:
    speaking: bool
    changed_at_s: float
    lit: bool = False


class SpeakingRings:
    """Who has a ring now, from the engine's list of speakers."""

    def __init__(self) -> None:
        self._voices: dict[str, _Voice] = {}

    def handle_speakers(self, identities: Iterable[str], now_s: float) -> None:
        """Take the complete list of people who speak now."""
        self.handle_deadline(now_s)
        speaking = set(identities)
        for identity in speaking:
            voice = self._voices.get(identity)
            if voice is None:
                self._voices[identity] = _Voice(speaking=True, changed_at_s=now_s)
            elif not voice.speaking:
                voice.speaking = True
                voice.changed_at_s = now_s
        for identity, voice in self._voices.items():
            if identity not in speaking and voice.speaking:
                voice.speaking = False
                voice.changed_at_s = now_s
        self._drop_finished()

    def handle_deadline(self, now_s: float) -> None:
        """Light and put out what is due."""
        for voice in self._voices.values():
            waited_s = now_s - voice.changed_at_s
            if voice.speaking and waited_s >= APPEAR_AFTER_S:
                voice.lit = True
            elif not voice.speaking and waited_s >= GO_AFTER_S:
                voice.lit = False
        self._drop_finished()

    def forget(self, identity: str) -> None:
        """Somebody left."""
        self._voices.pop(identity, None)

    def clear(self) -> None:
        """Nobody speaks: the connection dropped."""
        self._voices.clear()

    @property
    def lit(self) -> frozenset[str]:
        """The people with a ring."""
        return frozenset(identity for identity, voice in self._voices.items() if voice.lit)

    @property
    def deadline_s(self) -> float | None:
        """When `handle_deadline` has something to do, or None."""
        due = [
            voice.changed_at_s + (APPEAR_AFTER_S if voice.speaking else GO_AFTER_S)
            for voice in self._voices.values()
            if voice.speaking != voice.lit
        ]
        return min(due, default=None)

    def _drop_finished(self) -> None:
        for identity in [i for i, v in self._voices.items() if not v.speaking and not v.lit]:
            del self._voices[identity]
