"""Chat lines in the three forms that LiveKit clients send, and the one that we send.

We write text streams on `lk.chat`. Received are also the reliable user packet with JSON on
`lk-chat-topic` and the `ChatMessage` packet; current clients send one line in two forms at once.
A line is known by its sender and id: the first arrival is shown, another text under the same id
is an edit, the same text again is the other form of what is shown already.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass

from app.engine.events import ChatReceived
from app.protocol.errors import ProtocolError

CHAT_TOPIC = "lk.chat"
LEGACY_TOPIC = "lk-chat-topic"
MAX_TEXT_CHARS = 20_000
_MAX_ID_CHARS = 128
_REMEMBERED = 5_000


@dataclass(frozen=True, slots=True)
class ChatLine:
    """One line as it came off the wire; `at_ms` is the sender's clock, 0 when it gave none."""

    id: str
    text: str
    at_ms: int


def parse_legacy(payload: bytes) -> ChatLine | None:
    """Read a packet of `lk-chat-topic`; None when its sender also sent a text stream."""
    try:
        raw = json.loads(payload)
    except (ValueError, RecursionError):
        raise ProtocolError("chat: no JSON") from None
    if not isinstance(raw, dict):
        raise ProtocolError("chat: no JSON object")
    if raw.get("ignoreLegacy") is True:
        return None
    line_id, text, at_ms = raw.get("id"), raw.get("message"), raw.get("timestamp", 0)
    if not isinstance(line_id, str) or not line_id or len(line_id) > _MAX_ID_CHARS:
        raise ProtocolError("chat: no id")
    if not isinstance(text, str):
        raise ProtocolError("chat: no text")
    known = isinstance(at_ms, int) and not isinstance(at_ms, bool) and 0 <= at_ms < 2**53
    return ChatLine(line_id, text, at_ms if known else 0)


class ChatHistory:
    """Decides which received lines are news; belongs to the engine thread."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], tuple[str, int]] = OrderedDict()

    def handle_line(
        self, line: ChatLine, *, identity: str, name: str, is_mine: bool, now_ms: int
    ) -> ChatReceived | None:
        """Return the event to post, or None for an empty line or a repetition."""
        text = line.text[:MAX_TEXT_CHARS]
        if not text.strip():
            return None
        key = (identity, line.id)
        text_before, at_ms = self._seen.get(key, (None, line.at_ms or now_ms))
        if text == text_before:
            return None
        self._seen[key] = (text, at_ms)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return ChatReceived(
            id=line.id, identity=identity, name=name, text=text, at_ms=at_ms, is_mine=is_mine
        )
