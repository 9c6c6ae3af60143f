"""What we asked for of others' tracks: a resume says it again, the server may have missed it."""

from __future__ import annotations

from collections.abc import Iterable

MAX_TRACKS = 4_096


class TrackWishes:
    """Subscriptions that deviate from the rule of the session, and tracks switched off.

    By sid, so a rejoin begins anew. The oldest wishes are forgotten when there are too many.
    """

    def __init__(self) -> None:
        self._subscribed: dict[str, bool] = {}
        self._disabled: dict[str, bool] = {}

    def restart(self) -> None:
        """Forget everything: every sid is new."""
        self._subscribed.clear()
        self._disabled.clear()

    def note_subscribed(self, track_sids: Iterable[str], subscribed: bool) -> None:
        """Remember a subscription or the end of one."""
        _remember(self._subscribed, track_sids, subscribed)

    def note_disabled(self, track_sids: Iterable[str], disabled: bool) -> None:
        """Remember that tracks were switched off or on."""
        _remember(self._disabled, track_sids, disabled)

    def deviating(self, *, auto_subscribe: bool) -> list[str]:
        """Return the tracks of which we want the contrary of what everybody gets."""
        return [sid for sid, wanted in self._subscribed.items() if wanted is not auto_subscribe]

    @property
    def disabled(self) -> list[str]:
        """The tracks that are switched off."""
        return [sid for sid, is_off in self._disabled.items() if is_off]


def _remember(wishes: dict[str, bool], track_sids: Iterable[str], value: bool) -> None:
    for sid in track_sids:
        wishes.pop(sid, None)
        wishes[sid] = value
    while len(wishes) > MAX_TRACKS:
        del wishes[next(iter(wishes))]
