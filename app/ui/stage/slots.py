"""Which person has which place on the stage: stable, because faces that move are hard to find.

You first, then pinned people, then raised hands as they went up, then the rest by the time they
joined; those who come later are appended. With more people than fit a page, somebody off the
first page who speaks takes the place of the visible person who has been silent longest. Time is
an argument (`now_s`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise

from app.engine.events import Person

SPEECH_NEEDED_S = 2.0
SPEECH_WINDOW_S = 3.0
SWAP_PAUSE_S = 3.0


class _Speech:
    """How long somebody spoke within the last three seconds."""

    def __init__(self) -> None:
        self._changes: deque[tuple[float, bool]] = deque()
        self.speaking = False
        self.last_spoke_s = float("-inf")

    def handle(self, speaking: bool, now_s: float) -> None:
        if speaking != self.speaking:
            self.speaking = speaking
            self._changes.append((now_s, speaking))
        if speaking:
            self.last_spoke_s = now_s

    def spoken_s(self, now_s: float) -> float:
        start_s = now_s - SPEECH_WINDOW_S
        while len(self._changes) > 1 and self._changes[1][0] <= start_s:
            self._changes.popleft()
        total_s = 0.0
        for (at_s, on), (until_s, _) in pairwise([*self._changes, (now_s, False)]):
            if on:
                total_s += max(0.0, until_s - max(at_s, start_s))
        return total_s


class StageSlots:
    """The order of tiles over all pages."""

    def __init__(self) -> None:
        self._order: list[str] = []
        self._me = ""
        self._pinned: list[str] = []
        self._hands: list[str] = []
        self._speech: dict[str, _Speech] = {}
        self._last_swap_s = float("-inf")

    @property
    def order(self) -> tuple[str, ...]:
        """Every identity, you first, pins next, then hands."""
        middle = [identity for identity in self._pinned if identity in self._order]
        middle += [i for i in self._hands if i in self._order and i not in (self._me, *middle)]
        rest = [i for i in self._order if i != self._me and i not in middle]
        mine = [self._me] if self._me in self._order else []
        return (*mine, *middle, *rest)

    @property
    def pinned(self) -> frozenset[str]:
        """The people whose place is held."""
        return frozenset(self._pinned)

    def handle_people(self, people: Sequence[Person]) -> None:
        """Take the whole list: newcomers are appended in join order, the others stay."""
        here = {person.identity for person in people}
        self._me = next((person.identity for person in people if person.is_me), self._me)
        self._order = [identity for identity in self._order if identity in here]
        known = set(self._order)
        newcomers = [person for person in people if person.identity not in known]
        newcomers.sort(key=lambda person: person.joined_at_ms)
        self._order.extend(person.identity for person in newcomers)
        self._pinned = [identity for identity in self._pinned if identity in here]
        for identity in [i for i in self._speech if i not in here]:
            del self._speech[identity]

    def toggle_pin(self, identity: str) -> None:
        """Hold this person's place right after yours, or let it go."""
        if identity in self._pinned:
            self._pinned.remove(identity)
        elif identity in self._order and identity != self._me:
            self._pinned.append(identity)

    def set_hands(self, identities: Sequence[str]) -> bool:
        """Take whose hands are up, the first to rise first; True when the order changed."""
        before = self.order
        self._hands = list(identities)
        return self.order != before

    def handle_speakers(self, identities: Iterable[str], now_s: float) -> None:
        """Take the complete list of people who speak now."""
        speaking = set(identities)
        for identity in speaking:
            self._speech.setdefault(identity, _Speech())
        for identity, speech in self._speech.items():
            speech.handle(identity in speaking, now_s)

    def swap_in_speaker(self, capacity: int, now_s: float) -> bool:
        """Bring one persistent speaker onto the first page; True when the order changed."""
        order = self.order
        if len(order) <= capacity or now_s - self._last_swap_s < SWAP_PAUSE_S:
            return False
        for identity in order[capacity:]:
            speech = self._speech.get(identity)
            if speech is None or not speech.speaking:
                continue
            if speech.spoken_s(now_s) < SPEECH_NEEDED_S:
                continue
            victim = self._silent_longest(order[:capacity])
            if victim is None:
                return False
            one, other = self._order.index(identity), self._order.index(victim)
            self._order[one], self._order[other] = victim, identity
            self._last_swap_s = now_s
            return True
        return False

    def _silent_longest(self, visible: Sequence[str]) -> str | None:
        candidates = []
        for identity in visible:
            speech = self._speech.get(identity)
            held = identity == self._me or identity in self._pinned or identity in self._hands
            if held or (speech and speech.speaking):
                continue
            candidates.append((speech.last_spoke_s if speech else float("-inf"), identity))
        if not candidates:
            return None
        # Among those who never spoke, the last on the page: the least noticed change.
        oldest_s = min(at_s for at_s, _ in candidates)
        return next(identity for at_s, identity in reversed(candidates) if at_s == oldest_s)
