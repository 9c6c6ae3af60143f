"""The chat's history on its way to somebody who came late: packed, cut into pages, read again.

The keeper packs the public lines once per asker (JSON, deflated, base64) and hands the pack out
in slices that fit an RPC answer of the oldest version. Private lines are never in it, nor the
text of deleted ones. The reader trusts nothing: sizes are bounded before and after inflating,
and a record that makes no sense is left out.

Lines carry no signature of their authors, so a keeper can put words into anybody's mouth. A host's
and a co-host's word is taken (`vouched`): the room is theirs, and the server says who they are.
What anybody else tells of others is shown as that person's word, also when it is handed on.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from app.engine.chat import GLYPHS, MAX_ATTACHMENTS, MAX_TEXT_CHARS, as_ms, is_id
from app.engine.chat_book import MAX_REACTIONS, Entry, Key
from app.engine.events import AttachmentState, ChatAttachment
from app.protocol.errors import ProtocolError

HISTORY_METHOD = "lanai.history"
MAX_HANDED_LINES = 500
MAX_HANDED_CHARS = 400_000
MAX_PACK_CHARS = 1_500_000
MAX_PLAIN_BYTES = 4_000_000
SLICE_CHARS = 12_000
_MAX_NAME_CHARS = 256
_MAX_PACKS = 16
_PACK_KEPT_S = 30.0
_LEAST_BETWEEN_PACKS_S = 1.0
_MAX_REQUEST_CHARS = 200


def pack(entries: Iterable[Entry], deleted: Iterable[Key]) -> str:
    """Pack the newest public lines, oldest first, and what was deleted."""
    chosen: list[dict[str, object]] = []
    chars = 0
    for entry in reversed(list(entries)):
        if entry.to or entry.deleted or entry.growing:
            continue
        chars += len(entry.text) + sum(
            len(identity) + len(name)
            for people in entry.reactions.values()
            for identity, name in people.items()
        )
        if len(chosen) >= MAX_HANDED_LINES or chars > MAX_HANDED_CHARS:
            break
        chosen.append(_record(entry))
    gone = [list(key) for key in list(deleted)[-MAX_HANDED_LINES:]]
    plain = json.dumps({"lines": chosen[::-1], "deleted": gone}, separators=(",", ":"))
    return base64.b64encode(zlib.compress(plain.encode(errors="replace"), 6)).decode()


def _record(entry: Entry) -> dict[str, object]:
    record: dict[str, object] = {
        "id": entry.id,
        "who": entry.identity,
        "name": entry.name,
        "text": entry.text,
        "at": entry.at_ms,
    }
    if entry.edited:
        record["edited"] = True
    if entry.broken:
        record["broken"] = True
    if entry.told_by:
        record["by"] = entry.told_by
    if entry.reply_to:
        record["reply"] = entry.reply_to
    if entry.attachments:
        record["files"] = [[a.id, a.name, a.size_bytes] for a in entry.attachments.values()]
    if entry.reactions:
        record["reactions"] = {g: list(people.items()) for g, people in entry.reactions.items()}
    return record


def unpack(packed: str) -> tuple[list[Entry], list[Key]]:
    """Read a pack: its lines, oldest first, and what was deleted."""
    try:
        compressed = base64.b64decode(packed.encode("ascii"), validate=True)
        inflater = zlib.decompressobj()
        plain = inflater.decompress(compressed, MAX_PLAIN_BYTES)
        if inflater.unconsumed_tail or not inflater.eof:
            raise ProtocolError("history: too large")
        raw = json.loads(plain)
    except (ValueError, RecursionError, zlib.error):
        raise ProtocolError("history: unreadable") from None
    if not isinstance(raw, dict):
        raise ProtocolError("history: no object")
    lines, deleted = raw.get("lines"), raw.get("deleted")
    if not isinstance(lines, list) or not isinstance(deleted, list):
        raise ProtocolError("history: no lines")
    entries = [entry for entry in map(_entry, lines[-MAX_HANDED_LINES:]) if entry is not None]
    keys = [
        (str(key[0]), str(key[1]))
        for key in deleted[-MAX_HANDED_LINES:]
        if isinstance(key, list) and len(key) == 2 and isinstance(key[0], str) and is_id(key[1])
    ]
    return entries, keys


def _entry(raw: object) -> Entry | None:
    if not isinstance(raw, dict):
        return None
    line_id, who, name, text = raw.get("id"), raw.get("who"), raw.get("name"), raw.get("text")
    if not is_id(line_id) or not isinstance(who, str) or not isinstance(text, str):
        return None
    files = raw.get("files", [])
    attachments = [
        ChatAttachment(f[0], str(f[1])[:_MAX_NAME_CHARS], as_ms(f[2]), AttachmentState.MISSED)
        for f in (files if isinstance(files, list) else [])[:MAX_ATTACHMENTS]
        if isinstance(f, list) and len(f) == 3 and is_id(f[0])
    ]
    if not text.strip() and not attachments:
        return None
    reply_to, told_by = raw.get("reply", ""), raw.get("by", "")
    return Entry(
        id=str(line_id),
        identity=who,
        name=(name if isinstance(name, str) and name else who)[:_MAX_NAME_CHARS],
        text=text[:MAX_TEXT_CHARS],
        at_ms=as_ms(raw.get("at")),
        is_mine=False,
        reply_to=str(reply_to) if is_id(reply_to) else "",
        edited=raw.get("edited") is True,
        broken=raw.get("broken") is True,
        is_old=True,
        told_by=told_by[:_MAX_NAME_CHARS] if isinstance(told_by, str) else "",
        attachments={each.id: each for each in attachments},
        reactions=_reactions(raw.get("reactions")),
    )


def _reactions(raw: object) -> dict[str, dict[str, str]]:
    read: dict[str, dict[str, str]] = {}
    for glyph, listed in raw.items() if isinstance(raw, dict) else ():
        people = {
            each[0]: each[1][:_MAX_NAME_CHARS]
            for each in (listed if isinstance(listed, list) else [])[:MAX_REACTIONS]
            if isinstance(each, list) and len(each) == 2 and all(isinstance(x, str) for x in each)
        }
        if glyph in GLYPHS and people:
            read[glyph] = people
    return read


def vouched(
    lines: list[Entry], deleted: list[Key], *, keeper: str, name: str, is_host: bool
) -> tuple[list[Entry], list[Key]]:
    """Return what is believed of a pack: a guest vouches for its own lines only.

    What a guest tells of others is marked; that others deleted a line, or what they thought of it,
    is not believed of it.
    """
    if is_host:
        return lines, deleted
    for entry in lines:
        entry.reactions = {}
        if entry.identity != keeper:
            entry.told_by = name
    return lines, [key for key in deleted if key[0] == keeper]


@dataclass(slots=True)
class _Pack:
    text: str
    made_at_s: float


class HistoryBusyError(Exception):
    """This asker has just been given a pack."""


class HistoryKeeper:
    """Hands packs out, slice by slice; one pack per asker at a time."""

    def __init__(self) -> None:
        self._packs: OrderedDict[str, _Pack] = OrderedDict()

    def handle_request(
        self,
        asker: str,
        payload: str,
        entries: Iterable[Entry],
        deleted: Iterable[Key],
        now_s: float,
    ) -> str:
        """Answer one call; `ProtocolError` for a request that makes no sense."""
        at = _offset(payload)
        held = self._packs.get(asker)
        if at == 0:
            if held is not None and now_s - held.made_at_s < _LEAST_BETWEEN_PACKS_S:
                raise HistoryBusyError
            held = self._packs[asker] = _Pack(pack(entries, deleted), now_s)
            self._packs.move_to_end(asker)
            while len(self._packs) > _MAX_PACKS:
                self._packs.popitem(last=False)
        if held is None or now_s - held.made_at_s > _PACK_KEPT_S or at >= len(held.text):
            self._packs.pop(asker, None)
            raise ProtocolError("history: nothing there")
        answer = {"size": len(held.text), "text": held.text[at : at + SLICE_CHARS]}
        return json.dumps(answer, separators=(",", ":"))

    def forget(self, asker: str) -> None:
        """Somebody left."""
        self._packs.pop(asker, None)


def request_from(at: int) -> str:
    """The request for the slice that begins at `at`."""
    return json.dumps({"v": 1, "at": at})


def _offset(payload: str) -> int:
    try:
        raw = json.loads(payload) if len(payload) <= _MAX_REQUEST_CHARS else None
    except (ValueError, RecursionError):
        raw = None
    at = raw.get("at") if isinstance(raw, dict) else None
    if not isinstance(at, int) or isinstance(at, bool) or not 0 <= at < MAX_PACK_CHARS:
        raise ProtocolError("history: bad request")
    return at


class HistoryReader:
    """Puts the slices of one pack together."""

    def __init__(self) -> None:
        self._text = ""
        self._size = 0

    @property
    def next_request(self) -> str | None:
        """What to ask next; None once the pack is whole."""
        if self._size and len(self._text) >= self._size:
            return None
        return request_from(len(self._text))

    def handle_answer(self, payload: str) -> None:
        """Take a slice."""
        try:
            raw = json.loads(payload)
        except (ValueError, RecursionError):
            raise ProtocolError("history: no JSON") from None
        size, text = (raw.get("size"), raw.get("text")) if isinstance(raw, dict) else (0, "")
        if not isinstance(size, int) or not isinstance(text, str) or not text:
            raise ProtocolError("history: no slice")
        if not 0 < size <= MAX_PACK_CHARS or (self._size and size != self._size):
            raise ProtocolError("history: bad size")
        self._size = size
        self._text += text
        if len(self._text) > size:
            raise ProtocolError("history: more than announced")

    def result(self) -> tuple[list[Entry], list[Key]]:
        """The lines, once everything is here."""
        return unpack(self._text)
