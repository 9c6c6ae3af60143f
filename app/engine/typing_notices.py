"""Who is writing a message: lossy notices on `lanai.typing`, sent seldom and soon forgotten.

A notice says "on" or "off" in one byte. Whoever writes repeats it every few seconds; whoever
hears nothing for a while takes it that the person stopped. Nothing here is worth a retry.
"""

from __future__ import annotations

from app.protocol.errors import ProtocolError

TYPING_TOPIC = "lanai.typing"
REPEAT_S = 2.5
EXPIRE_S = 6.0
MAX_PEOPLE = 64
ON = b"1"
OFF = b"0"


def parse_notice(payload: bytes) -> bool:
    """Whether the sender writes."""
    if payload not in (ON, OFF):
        raise ProtocolError("typing: unknown notice")
    return payload == ON


class TypingSender:
    """Decides when a key press is worth a packet."""

    def __init__(self) -> None:
        self._to: tuple[str, ...] | None = None
        self._sent_at_s = 0.0

    def handle_typing(
        self, to: tuple[str, ...], now_s: float
    ) -> list[tuple[bytes, tuple[str, ...]]]:
        """Somebody here wrote a character meant for `to` (empty: everybody)."""
        notices = []
        if self._to is not None and self._to != to:
            notices.append((OFF, self._to))
            self._to = None
        if self._to is None or now_s - self._sent_at_s >= REPEAT_S:
            self._to, self._sent_at_s = to, now_s
            notices.append((ON, to))
        return notices

    def handle_stop(self) -> list[tuple[bytes, tuple[str, ...]]]:
        """The line was sent or wiped out."""
        if self._to is None:
            return []
        notice = (OFF, self._to)
        self._to = None
        return [notice]


class TypingBoard:
    """Who is writing, as far as one heard."""

    def __init__(self) -> None:
        self._until_s: dict[str, float] = {}

    @property
    def people(self) -> tuple[str, ...]:
        """Identities, in the order in which they began."""
        return tuple(self._until_s)

    @property
    def deadline_s(self) -> float | None:
        """When `handle_deadline` is due."""
        return min(self._until_s.values(), default=None)

    def handle_notice(self, identity: str, is_typing: bool, now_s: float) -> bool:
        """Take a notice; whether the list changed."""
        if not is_typing:
            return self.handle_gone(identity)
        if identity not in self._until_s and len(self._until_s) >= MAX_PEOPLE:
            return False
        known = identity in self._until_s
        self._until_s[identity] = now_s + EXPIRE_S
        return not known

    def handle_gone(self, identity: str) -> bool:
        """Somebody left, or the line arrived."""
        return self._until_s.pop(identity, None) is not None

    def handle_deadline(self, now_s: float) -> bool:
        """Forget who was silent for too long; whether the list changed."""
        late = [identity for identity, until_s in self._until_s.items() if until_s <= now_s]
        for identity in late:
            del self._until_s[identity]
        return bool(late)
