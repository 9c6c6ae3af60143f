"""Chat lines on the wire: the three forms that LiveKit clients send, and the one that we send.

We write text streams on `lk.chat`. Received are also the reliable user packet with JSON on
`lk-chat-topic` and the `ChatMessage` packet; current clients send one line in two forms at once.
An edit repeats the id of its line under the header's operation UPDATE: clients that look at ids
replace the line, others show the new text as one more line. A deletion does so with DELETE and
no text. What only Lanai apps understand goes as JSON on `lanai.chat`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from livekit.protocol import models as lk

from app.protocol.errors import ProtocolError
from app.protocol.streams.splitter import StreamDescription, TextFacts, TextSplitter

CHAT_TOPIC = "lk.chat"
LEGACY_TOPIC = "lk-chat-topic"
LANAI_TOPIC = "lanai.chat"
MAX_TEXT_CHARS = 20_000
MAX_ID_CHARS = 128
MAX_ATTACHMENTS = 10
GLYPHS = ("heart", "thumbs-up", "hands-clapping", "smiley", "sparkle", "star")
_GLYPH_TEXTS = dict(zip(GLYPHS, ("❤️", "👍", "👏", "😀", "✨", "⭐"), strict=True))
_MAX_LANAI_BYTES = 1_000


class Operation(StrEnum):
    """What a text stream on `lk.chat` does to the line with its id."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    REACTION = "reaction"


_FROM_WIRE = {
    lk.DataStream.OperationType.CREATE: Operation.CREATE,
    lk.DataStream.OperationType.UPDATE: Operation.UPDATE,
    lk.DataStream.OperationType.DELETE: Operation.DELETE,
    lk.DataStream.OperationType.REACTION: Operation.REACTION,
}
_TO_WIRE = {operation: number for number, operation in _FROM_WIRE.items()}


@dataclass(frozen=True, slots=True)
class ChatLine:
    """One line as it came off the wire; `at_ms` is the sender's clock, 0 when it gave none."""

    id: str
    text: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class HeaderNote:
    """What the header of a text stream says about a line beyond what a reader tells."""

    operation: Operation = Operation.CREATE
    reply_to: str = ""
    to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutgoingLine:
    """A text stream to be sent on `lk.chat`."""

    line: ChatLine
    operation: Operation = Operation.CREATE
    reply_to: str = ""
    to: tuple[str, ...] = ()
    attachments: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Deed:
    """Something on `lanai.chat`: a host deletes a line, or somebody answers one with a glyph.

    `glyph` is empty for a deletion; `on` is False when a reaction is taken back.
    """

    author: str
    line_id: str
    glyph: str = ""
    on: bool = True


def read_header(packet: lk.DataPacket) -> HeaderNote:
    """Note what concerns the chat in a packet with a text stream's header."""
    text = packet.stream_header.text_header
    reply_to = text.reply_to_stream_id
    return HeaderNote(
        operation=_FROM_WIRE.get(text.operation_type, Operation.CREATE),
        reply_to=reply_to if len(reply_to) <= MAX_ID_CHARS else "",
        to=tuple(packet.destination_identities)[:256],
    )


def packets_of(outgoing: OutgoingLine, sender: str) -> Iterator[lk.DataPacket]:
    """Yield the packets of one line, in the oldest form of a text stream: everybody reads it."""
    text = outgoing.line.text
    splitter = TextSplitter(
        StreamDescription(
            stream_id=outgoing.line.id,
            topic=CHAT_TOPIC,
            timestamp_ms=outgoing.line.at_ms,
            mime_type="text/plain",
            total_bytes=len(text.encode(errors="replace")),
            destinations=outgoing.to,
            sender_identity=sender,
        )
    )
    yield splitter.open(
        TextFacts(
            reply_to_stream_id=outgoing.reply_to,
            attached_stream_ids=outgoing.attachments,
            operation=_TO_WIRE[outgoing.operation],
        )
    )
    yield from splitter.write(text)
    yield splitter.close()


def parse_legacy(payload: bytes) -> ChatLine | None:
    """Read a packet of `lk-chat-topic`; None when its sender also sent a text stream."""
    raw = _json_object(payload)
    if raw.get("ignoreLegacy") is True:
        return None
    line_id, text, at_ms = raw.get("id"), raw.get("message"), raw.get("timestamp", 0)
    if not is_id(line_id):
        raise ProtocolError("chat: no id")
    if not isinstance(text, str):
        raise ProtocolError("chat: no text")
    return ChatLine(str(line_id), text, as_ms(at_ms))


def parse_deed(payload: bytes) -> Deed:
    """Read a packet of `lanai.chat`."""
    if len(payload) > _MAX_LANAI_BYTES:
        raise ProtocolError("chat: too long")
    raw = _json_object(payload)
    author, line_id = raw.get("author"), raw.get("id")
    if not isinstance(author, str) or not is_id(line_id):
        raise ProtocolError("chat: no line named")
    if raw.get("op") == "delete":
        return Deed(author, str(line_id))
    glyph = raw.get("glyph")
    if raw.get("op") != "react" or not isinstance(glyph, str) or glyph not in GLYPHS:
        raise ProtocolError("chat: unknown deed")
    return Deed(author, str(line_id), glyph, on=raw.get("on") is not False)


def deed_payload(deed: Deed) -> bytes:
    """Write a packet of `lanai.chat`."""
    about: dict[str, object] = {"author": deed.author, "id": deed.line_id}
    if not deed.glyph:
        return json.dumps({"op": "delete", **about}).encode()
    return json.dumps({"op": "react", **about, "glyph": deed.glyph, "on": deed.on}).encode()


def glyph_of(text: str) -> str:
    """The glyph that an emoji stands for, "" for any other text."""
    bare = text.strip().rstrip("\ufe0f")
    return next((g for g, emoji in _GLYPH_TEXTS.items() if emoji.rstrip("\ufe0f") == bare), "")


def is_id(raw: object) -> bool:
    """Whether this may be the id of a line."""
    return isinstance(raw, str) and 0 < len(raw) <= MAX_ID_CHARS


def as_ms(raw: object) -> int:
    """A time in milliseconds, 0 when it is none that a calendar knows."""
    known = isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < 2**47
    return raw if known and isinstance(raw, int) else 0


def _json_object(payload: bytes) -> dict[str, object]:
    try:
        raw = json.loads(payload)
    except (ValueError, RecursionError):
        raise ProtocolError("chat: no JSON") from None
    if not isinstance(raw, dict):
        raise ProtocolError("chat: no JSON object")
    return raw
