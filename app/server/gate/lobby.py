"""Who waits to be let in, and what the host has said about each. Sans-IO.

A knock lives as long as its knocker asks again: one that falls silent is forgotten, so that a
host never admits somebody who has left. Bounded: the host's list is for people to read.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

MAX_KNOCKS = 50
MAX_PER_ADDRESS = 10
# Several polls, even of a busy machine.
SILENCE_S = 10.0
# A denied knocker is told so when it asks again.
VERDICT_S = 60.0
RETRY_MS = 1000


class Verdict(StrEnum):
    """What the host has said."""

    WAITING = "waiting"
    ADMITTED = "admitted"
    DENIED = "denied"


@dataclass
class Knock:
    """Somebody at the door. `identity` is set when a known person wants to come back."""

    id: str
    name: str
    address: str
    since_s: float
    seen_s: float
    identity: str = ""
    verdict: Verdict = Verdict.WAITING


class LobbyFullError(Exception):
    """Too many wait, altogether or from one address."""


class Lobby:
    """The queue of one room."""

    def __init__(self) -> None:
        self._knocks: OrderedDict[str, Knock] = OrderedDict()

    @property
    def waiting(self) -> list[Knock]:
        """Those the host has yet to decide about, longest wait first."""
        return [k for k in self._knocks.values() if k.verdict is Verdict.WAITING]

    def add(self, knock: Knock) -> None:
        """Take a newcomer in; `LobbyFullError` when there is no room."""
        same = sum(1 for other in self._knocks.values() if other.address == knock.address)
        if len(self._knocks) >= MAX_KNOCKS or same >= MAX_PER_ADDRESS:
            raise LobbyFullError
        self._knocks[knock.id] = knock

    def handle_poll(self, knock_id: str, *, now_s: float) -> Knock | None:
        """The knocker asks again; None when it is not known, or no more."""
        knock = self._knocks.get(knock_id)
        if knock is not None and knock.verdict is not Verdict.DENIED:
            knock.seen_s = now_s
        return knock

    def decide(self, knock_id: str, *, admit: bool, now_s: float) -> Knock | None:
        """Write down what the host said; None when nobody of this id waits."""
        knock = self._knocks.get(knock_id)
        if knock is None or knock.verdict is not Verdict.WAITING:
            return None
        knock.verdict = Verdict.ADMITTED if admit else Verdict.DENIED
        knock.seen_s = now_s
        return knock

    def remove(self, knock_id: str) -> None:
        """The knocker is in."""
        self._knocks.pop(knock_id, None)

    @property
    def deadline_s(self) -> float | None:
        """When `handle_deadline` should be called."""
        return min((_ends_s(knock) for knock in self._knocks.values()), default=None)

    def handle_deadline(self, now_s: float) -> bool:
        """Forget those who fell silent; True when somebody disappeared from the host's list."""
        gone = [knock for knock in self._knocks.values() if now_s >= _ends_s(knock)]
        for knock in gone:
            del self._knocks[knock.id]
        return any(knock.verdict is Verdict.WAITING for knock in gone)


def _ends_s(knock: Knock) -> float:
    return knock.seen_s + (VERDICT_S if knock.verdict is Verdict.DENIED else SILENCE_S)
