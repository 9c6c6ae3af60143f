"""Which layer of a video to ask for: the one that fills its largest tile, none when unseen.

Sans-IO. More is asked for at once, because a person is looking; less only after the smaller
wish has stood for a while, because a panel that opens and closes must not cost keyframes.
"""

from __future__ import annotations

from dataclasses import dataclass

PATIENCE_S = 2.0
_STEP = 1.1

Size = tuple[int, int]


@dataclass(slots=True)
class _State:
    asked: Size | None
    lower_since_s: float | None = None


@dataclass(frozen=True, slots=True)
class LayerWish:
    """What to tell the server about a track; `size` None means to stop sending it."""

    sid: str
    size: Size | None


class LayerWishes:
    """Remembers what was asked for, per track."""

    def __init__(self) -> None:
        self._states: dict[str, _State] = {}

    def handle_demand(self, sid: str, size: Size | None, now_s: float) -> LayerWish | None:
        """Take the size of the largest tile now, None for no tile; return what is to be told."""
        state = self._states.get(sid)
        if state is None:
            # A server sends everything until it is told otherwise.
            state = self._states[sid] = _State(asked=(1 << 15, 1 << 15))
        if _is_about(size, state.asked):
            state.lower_since_s = None
            return None
        if not _is_larger(size, state.asked):
            if state.lower_since_s is None:
                state.lower_since_s = now_s
            if now_s - state.lower_since_s < PATIENCE_S:
                return None
        state.asked = size
        state.lower_since_s = None
        return LayerWish(sid, size)

    def forget_all_but(self, sids: set[str]) -> None:
        """Drop the tracks that are gone."""
        for sid in self._states.keys() - sids:
            del self._states[sid]


def _is_about(one: Size | None, other: Size | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(a <= b * _STEP and b <= a * _STEP for a, b in zip(one, other, strict=True))


def _is_larger(one: Size | None, other: Size | None) -> bool:
    if one is None or other is None:
        return one is not None
    return any(a > b * _STEP for a, b in zip(one, other, strict=True))
