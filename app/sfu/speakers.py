"""Who speaks, from the audio-level extension (RFC 6464): 0 is loudest, 127 is silence.

A window of 400 ms counts as speech when 40 % of it is at level 35 or louder. Its level falls
with the share of silence in it and is smoothed; changes are reported in steps of 1/8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WINDOW_S = 0.4
ACTIVE_LEVEL = 35
_MIN_ACTIVE_SHARE = 0.4
_SMOOTHING = 2 / 3
_STALE_S = 0.8
_STEPS = 8
_ACTIVE_LINEAR = 10 ** (-ACTIVE_LEVEL / 20)
# Below this a smoothed level is no longer worth telling.
_SILENT = _ACTIVE_LINEAR


@dataclass(slots=True)
class _Voice:
    active_ms: float = 0.0
    loudest: int = 127
    smoothed: float = 0.0
    heard_s: float = 0.0
    told: float = 0.0


class Speakers:
    """All voices of one room."""

    def __init__(self) -> None:
        self._voices: dict[str, _Voice] = {}

    def handle_level(
        self, participant_sid: str, level: int, duration_ms: float, now_s: float
    ) -> None:
        """Take one packet's level."""
        voice = self._voices.get(participant_sid)
        if voice is None:
            voice = self._voices[participant_sid] = _Voice()
        voice.heard_s = now_s
        if level <= ACTIVE_LEVEL:
            voice.active_ms += duration_ms
            voice.loudest = min(voice.loudest, level)

    def handle_deadline(self, now_s: float) -> list[tuple[str, float, bool]]:
        """Close the window; return (sid, level, active) of every voice that changed."""
        changes: list[tuple[str, float, bool]] = []
        for sid, voice in list(self._voices.items()):
            level = self._close_window(voice, now_s)
            if level != voice.told:
                voice.told = level
                changes.append((sid, level, level > 0))
            if not level and now_s - voice.heard_s > _STALE_S:
                del self._voices[sid]
        changes.sort(key=lambda change: -change[1])
        return changes

    def end(self, participant_sid: str) -> list[tuple[str, float, bool]]:
        """Drop a voice whose microphone is gone; return the change if it was told to speak."""
        voice = self._voices.pop(participant_sid, None)
        return [(participant_sid, 0.0, False)] if voice is not None and voice.told else []

    def forget(self, participant_sid: str) -> None:
        """Drop a voice without a last word: its owner has left."""
        self._voices.pop(participant_sid, None)

    def _close_window(self, voice: _Voice, now_s: float) -> float:
        window_ms = WINDOW_S * 1000
        linear = 0.0
        if voice.active_ms >= _MIN_ACTIVE_SHARE * window_ms:
            share = min(voice.active_ms / window_ms, 1.0)
            linear = 10 ** (-(voice.loudest - 20 * math.log10(share)) / 20)
        voice.active_ms = 0.0
        voice.loudest = 127
        voice.smoothed += (linear - voice.smoothed) * _SMOOTHING
        if now_s - voice.heard_s > _STALE_S:
            voice.smoothed = 0.0
        if voice.smoothed < _SILENT:
            return 0.0
        return min(1.0, math.ceil(voice.smoothed * _STEPS) / _STEPS)
