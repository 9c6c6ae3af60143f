"""Which of a subscriber's receive-only sections carries which track.

In v1 only the client offers, so the server cannot make a place for a track: it uses the free
sections of the last offer, and asks for more with `media_sections_requirement`. Sans-IO; the
participant's negotiation drives it.

An offer answers for everything that is known when it arrives. Sections asked for and not seen
yet are remembered in `_outstanding`: the client may be sending an offer of its own while our
request travels, and asking again would make it add them twice.

A track given up and wanted again at once has to leave its slot for one answer: the client has
ended its copy, and makes a new one only when the section was inactive in between.
"""

from __future__ import annotations

from collections.abc import Mapping

KINDS = ("audio", "video")


class SlotTable:
    """Tracks wanted by one subscriber and the mids that carry them."""

    def __init__(self) -> None:
        self._wanted: dict[str, str] = {}
        self._slots: dict[str, str] = {}
        self._carried: dict[str, str] = {}
        self._freed: dict[str, str] = {}
        self._outstanding = dict.fromkeys(KINDS, 0)
        self._most_seen = dict.fromkeys(KINDS, 0)

    @property
    def carried(self) -> Mapping[str, str]:
        """Track sid by mid, as the last answer said."""
        return self._carried

    def want(self, track_sid: str, kind: str) -> None:
        """Carry this track from the next answer on."""
        self._wanted[track_sid] = kind

    def unwant(self, track_sid: str) -> None:
        """Stop carrying it from the next answer on."""
        self._wanted.pop(track_sid, None)
        mid = self.mid_of(track_sid)
        if mid is not None:
            self._freed[mid] = track_sid

    def mid_of(self, track_sid: str) -> str | None:
        """Return the mid that carries a track, or None."""
        for mid, carried in self._carried.items():
            if carried == track_sid:
                return mid
        return None

    def handle_offer(self, slots: Mapping[str, str]) -> Mapping[str, str]:
        """Take the offer's slots (kind by mid) and return track sid by mid for the answer."""
        for kind in KINDS:
            count = sum(1 for slot_kind in slots.values() if slot_kind == kind)
            grown = max(0, count - self._most_seen[kind])
            self._most_seen[kind] += grown
            self._outstanding[kind] = max(0, self._outstanding[kind] - grown)
        self._slots = dict(slots)
        self._carried = {
            mid: track
            for mid, track in self._carried.items()
            if mid not in self._freed and slots.get(mid) == self._wanted.get(track)
        }
        resting = set(self._freed.values())
        self._freed.clear()
        free = {mid: kind for mid, kind in slots.items() if mid not in self._carried}
        for track, kind in self._unplaced().items():
            if track in resting:
                continue
            mid = next((mid for mid, slot_kind in free.items() if slot_kind == kind), None)
            if mid is not None:
                self._carried[mid] = track
                del free[mid]
        return self._carried

    def requirement(self) -> tuple[int, int] | None:
        """Return how many more audio and video sections to ask for.

        (0, 0) asks for nothing but an offer; None when the last answer is still right. The
        sections asked for count as outstanding from here on.
        """
        unplaced = self._unplaced()
        if not unplaced and not self._freed:
            return None
        missing = {kind: self._missing(kind, unplaced) for kind in KINDS}
        for kind, count in missing.items():
            self._outstanding[kind] += count
        return missing["audio"], missing["video"]

    def forget_requests(self) -> None:
        """Count nothing as outstanding: the client may not have heard of it."""
        self._outstanding = dict.fromkeys(KINDS, 0)

    def _missing(self, kind: str, unplaced: Mapping[str, str]) -> int:
        places = sum(
            1
            for mid, slot_kind in self._slots.items()
            if slot_kind == kind and (mid not in self._carried or mid in self._freed)
        )
        needed = sum(1 for track_kind in unplaced.values() if track_kind == kind)
        return max(0, needed - places - self._outstanding[kind])

    def _unplaced(self) -> dict[str, str]:
        placed = {track for mid, track in self._carried.items() if mid not in self._freed}
        return {track: kind for track, kind in self._wanted.items() if track not in placed}
