"""What the chat holds: every line of a meeting, and who may change what about it.

A line is known by its sender and id. The first arrival is shown; another text under the same id
is an edit and keeps the first time; the same text again is another form of what is shown. Only
its author changes a line, or deletes it; a host may delete anybody's. What is deleted stays so.
Sans-IO: each `handle_*` returns the snapshot to post, or None when nothing is news.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from app.engine.chat import MAX_ATTACHMENTS, MAX_TEXT_CHARS, ChatLine, HeaderNote, as_ms
from app.engine.events import ChatAttachment, ChatQuote, ChatReaction, ChatReceived, ChatState

MAX_LINES = 5_000
MAX_CHARS = 4_000_000
MAX_REACTIONS = 200
_QUOTE_CHARS = 160

Key = tuple[str, str]


@dataclass(slots=True)
class Entry:
    """One line as the book keeps it."""

    id: str
    identity: str
    name: str
    text: str
    at_ms: int
    is_mine: bool
    to: tuple[str, ...] = ()
    reply_to: str = ""
    state: ChatState = ChatState.SENT
    edited: bool = False
    deleted: bool = False
    growing: bool = False
    broken: bool = False
    is_old: bool = False
    told_by: str = ""
    attachments: dict[str, ChatAttachment] = field(default_factory=dict)
    reactions: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """Sender and id."""
        return (self.identity, self.id)


class ChatBook:
    """All lines of one meeting; belongs to the engine thread. `name_of` names an identity."""

    def __init__(self, name_of: Callable[[str], str]) -> None:
        self._name_of = name_of
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._by_id: dict[str, Key] = {}
        self._deleted: OrderedDict[Key, None] = OrderedDict()
        self._chars = 0
        self.me = ""

    @property
    def entries(self) -> Iterable[Entry]:
        """Every line, in the order of arrival."""
        return self._entries.values()

    @property
    def deleted(self) -> Iterable[Key]:
        """What was deleted, whether or not its line was ever seen."""
        return self._deleted

    def get(self, identity: str, line_id: str) -> Entry | None:
        """A line, if it is known."""
        return self._entries.get((identity, line_id))

    # -- lines ------------------------------------------------------------------------------

    def handle_line(
        self,
        line: ChatLine,
        identity: str,
        note: HeaderNote = HeaderNote(),  # noqa: B008 - frozen
        *,
        now_ms: int,
        growing: bool = False,
        attachments: Iterable[ChatAttachment] = (),
        state: ChatState = ChatState.SENT,
    ) -> ChatReceived | None:
        """Take a line, a piece more of one that grows, or an edit."""
        key = (identity, line.id)
        if key in self._deleted:
            return None
        text = line.text[:MAX_TEXT_CHARS]
        entry = self._entries.get(key)
        if entry is not None:
            return self._change(entry, text, growing=growing)
        extra = {each.id: each for each in list(attachments)[:MAX_ATTACHMENTS]}
        if not text.strip() and not extra:
            return None
        entry = Entry(
            id=line.id,
            identity=identity,
            name=self._name_of(identity),
            text=text,
            at_ms=as_ms(line.at_ms) or now_ms,
            is_mine=bool(self.me) and identity == self.me,
            to=note.to,
            reply_to=note.reply_to,
            state=state,
            growing=growing,
            attachments=extra,
        )
        self._add(entry)
        return self.snapshot(entry)

    def _change(self, entry: Entry, text: str, *, growing: bool) -> ChatReceived | None:
        if entry.growing or growing:
            # Its other form may come while it grows: that is no edit.
            if not entry.growing or len(text) < len(entry.text):
                return None
            if text == entry.text and growing:
                return None
            self._set_text(entry, text)
            entry.growing = growing
            return self.snapshot(entry)
        if text == entry.text or not text.strip():
            return None
        self._set_text(entry, text)
        entry.edited, entry.broken = True, False
        # Its author has spoken: what others told of it does not matter any more.
        entry.told_by = ""
        return self.snapshot(entry)

    def handle_end_of_growth(
        self, identity: str, line_id: str, *, broken: bool = False
    ) -> ChatReceived | None:
        """No more text will come, for whatever reason: what there is stays."""
        entry = self._entries.get((identity, line_id))
        if entry is None or not entry.growing:
            return None
        entry.growing, entry.broken = False, broken
        return self.snapshot(entry)

    def handle_delete(
        self, author: str, line_id: str, *, by: str, may_moderate: bool
    ) -> ChatReceived | None:
        """Empty a line; anybody but its author and a host is ignored."""
        if by != author and not may_moderate:
            return None
        key = (author, line_id)
        if key in self._deleted:
            return None
        self._deleted[key] = None
        while len(self._deleted) > MAX_LINES:
            self._deleted.popitem(last=False)
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._set_text(entry, "")
        entry.deleted, entry.growing, entry.broken = True, False, False
        entry.attachments, entry.reactions = {}, {}
        return self.snapshot(entry)

    def handle_reaction(
        self, author: str, line_id: str, *, by: str, glyph: str, on: bool
    ) -> ChatReceived | None:
        """Add or take back somebody's glyph under a line."""
        if not author:
            author = self._by_id.get(line_id, ("", ""))[0]
        entry = self._entries.get((author, line_id))
        if entry is None or entry.deleted:
            return None
        people = entry.reactions.setdefault(glyph, {})
        if on == (by in people) or (on and len(people) >= MAX_REACTIONS):
            return None
        if on:
            people[by] = self._name_of(by)
        else:
            del people[by]
        if not people:
            del entry.reactions[glyph]
        return self.snapshot(entry)

    def handle_attachment(
        self, identity: str, line_id: str, attachment: ChatAttachment
    ) -> ChatReceived | None:
        """Take what became of an attachment."""
        entry = self._entries.get((identity, line_id))
        if entry is None or entry.deleted:
            return None
        if attachment.id not in entry.attachments and len(entry.attachments) >= MAX_ATTACHMENTS:
            return None
        entry.attachments[attachment.id] = attachment
        return self.snapshot(entry)

    def handle_state(self, line_id: str, state: ChatState) -> ChatReceived | None:
        """Take what became of a line of one's own."""
        entry = self._entries.get((self.me, line_id))
        if entry is None or entry.state is state:
            return None
        entry.state = state
        return self.snapshot(entry)

    def handle_old(self, entries: Iterable[Entry], deleted: Iterable[Key]) -> list[ChatReceived]:
        """Take what somebody kept from before one came; what is known already wins.

        Returns the new lines, then those that turned out to be deleted.
        """
        deletions = [
            self.handle_delete(author, line_id, by=author, may_moderate=True)
            for author, line_id in deleted
        ]
        fresh = []
        for entry in entries:
            if entry.key in self._entries or entry.key in self._deleted:
                continue
            entry.is_old = True
            entry.is_mine = entry.identity == self.me
            fresh.append(entry)
        if fresh:
            live = list(self._entries.values())
            self._entries = OrderedDict((e.key, e) for e in [*fresh, *live])
            for entry in fresh:
                self._by_id.setdefault(entry.id, entry.key)
                self._chars += len(entry.text)
            self._shrink()
        return [
            *[self.snapshot(e) for e in fresh if e.key in self._entries],
            *[one for one in deletions if one is not None],
        ]

    # -- reading ----------------------------------------------------------------------------

    def snapshot(self, entry: Entry) -> ChatReceived:
        """A line as the interface shows it."""
        others = entry.to if entry.is_mine else tuple(i for i in entry.to if i != self.me)
        return ChatReceived(
            id=entry.id,
            identity=entry.identity,
            name=entry.name,
            text=entry.text,
            at_ms=entry.at_ms,
            is_mine=entry.is_mine,
            state=entry.state,
            edited=entry.edited,
            deleted=entry.deleted,
            growing=entry.growing,
            broken=entry.broken,
            private=bool(entry.to),
            to=entry.to,
            to_names=tuple(self._name_of(identity) for identity in others),
            quote=self._quote(entry.reply_to),
            attachments=tuple(entry.attachments.values()),
            reactions=tuple(
                ChatReaction(glyph, tuple(people.values()), self.me in people)
                for glyph, people in entry.reactions.items()
            ),
            is_old=entry.is_old,
            told_by=entry.told_by,
        )

    def _quote(self, line_id: str) -> ChatQuote | None:
        key = self._by_id.get(line_id) if line_id else None
        entry = self._entries.get(key) if key is not None else None
        if entry is None:
            return None
        text = " ".join(entry.text[: 2 * _QUOTE_CHARS].split())
        if entry.deleted:
            text = "Message deleted"
        elif not text and entry.attachments:
            text = next(iter(entry.attachments.values())).name
        return ChatQuote(entry.id, entry.identity, entry.name, text[:_QUOTE_CHARS])

    # -- keeping ----------------------------------------------------------------------------

    def _add(self, entry: Entry) -> None:
        self._entries[entry.key] = entry
        # The first who used an id is meant when somebody answers it.
        self._by_id.setdefault(entry.id, entry.key)
        self._chars += len(entry.text)
        self._shrink()

    def _set_text(self, entry: Entry, text: str) -> None:
        self._chars += len(text) - len(entry.text)
        entry.text = text
        self._shrink()

    def _shrink(self) -> None:
        while len(self._entries) > 1 and (
            len(self._entries) > MAX_LINES or self._chars > MAX_CHARS
        ):
            key, gone = self._entries.popitem(last=False)
            self._chars -= len(gone.text)
            if self._by_id.get(gone.id) == key:
                del self._by_id[gone.id]
