"""The chat as rows: messages, who starts a group, which day it is; no widgets.

A message joins the group above it when the same person wrote it on the same day within five
minutes. The engine repeats an `id` for every change, and answers `ChatFailed` for a line of one's
own that could not be sent. Times are milliseconds since the epoch; days are local.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo

from app.engine.events import (
    ChatAttachment,
    ChatFailed,
    ChatHistoryReceived,
    ChatQuote,
    ChatReaction,
    ChatReceived,
    ChatState,
    Event,
)
from app.runtime.errors import Reason

GROUP_WITHIN_MS = 5 * 60 * 1000
MAX_ROWS = 5_000

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ChatRow:
    """One message, ready to be shown."""

    id: str
    identity: str
    name: str
    text: str
    at_ms: int
    is_mine: bool
    starts_group: bool = True
    starts_day: bool = True
    edited: bool = False
    failed: Reason | None = None
    state: ChatState = ChatState.SENT
    deleted: bool = False
    growing: bool = False
    broken: bool = False
    private: bool = False
    to: tuple[str, ...] = ()
    to_names: tuple[str, ...] = ()
    quote: ChatQuote | None = None
    attachments: tuple[ChatAttachment, ...] = ()
    reactions: tuple[ChatReaction, ...] = ()
    is_old: bool = False
    told_by: str = ""

    @property
    def key(self) -> Key:
        """Sender and id."""
        return (self.identity, self.id)

    @property
    def author(self) -> str:
        """Who is named above it."""
        return "You" if self.is_mine else self.name


def private_label(row: ChatRow) -> str:
    """Who can read a private message: "Only you", "Only Mia", "Only you and Kai"."""
    if not row.private:
        return ""
    names = list(row.to_names) if row.is_mine else ["you", *row.to_names]
    return f"Only {_listed(names)}" if names else "Private"


def private_note(row: ChatRow) -> str:
    """The same inside a sentence: "only Mia"."""
    label = private_label(row)
    return label[:1].lower() + label[1:]


def told_note(row: ChatRow) -> str:
    """On whose word alone an old line stands: "as told by Mia"."""
    return f"as told by {row.told_by}" if row.told_by else ""


def spoken(row: ChatRow) -> str:
    """The sentence that a screen reader says for a message."""
    parts = [row.author, clock_label(row.at_ms)]
    parts += [private_note(row)] if row.private else []
    parts += ["edited"] if row.edited and not row.deleted else []
    parts += ["broke off"] if row.broken else []
    parts += [told_note(row)] if row.told_by else []
    parts += ["not sent"] if row.failed is not None else []
    parts += ["sending"] if row.state is ChatState.SENDING else []
    parts += [f"in reply to {row.quote.name}"] if row.quote is not None else []
    parts += [f"picture {one.name}" for one in row.attachments]
    parts += [f"{glyph_name(r.glyph)} from {_listed(list(r.names))}" for r in row.reactions]
    return f"{', '.join(parts)}: {'message deleted' if row.deleted else row.text}"


def glyph_name(glyph: str) -> str:
    """The word for a reaction."""
    return _GLYPH_NAMES.get(glyph, glyph)


_GLYPH_NAMES = {
    "heart": "Love",
    "thumbs-up": "Thumbs up",
    "hands-clapping": "Applause",
    "smiley": "Smile",
    "sparkle": "Sparkle",
    "star": "Star",
}


def typing_label(names: Sequence[str]) -> str:
    """Who is writing now, "" for nobody."""
    if not names:
        return ""
    if len(names) > 2:
        return "Several people are typing…"
    return f"{_listed(list(names))} {'is' if len(names) == 1 else 'are'} typing…"


def _listed(names: list[str]) -> str:
    if len(names) <= 2:
        return " and ".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def clock_label(at_ms: int, zone: tzinfo | None = None) -> str:
    """Hours and minutes, 24 hours."""
    return _local(at_ms, zone).strftime("%H:%M")


def day_label(at_ms: int, now_ms: int, zone: tzinfo | None = None) -> str:
    """Today, Yesterday, or "Tuesday 12 May"."""
    day, today = _local(at_ms, zone).date(), _local(now_ms, zone).date()
    if day == today:
        return "Today"
    if day == today - timedelta(days=1):
        return "Yesterday"
    return f"{_WEEKDAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]}"


# Not strftime: its names follow the process's locale, the rest of the interface does not.
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def _local(at_ms: int, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, tz=zone).astimezone(zone)


def _day(at_ms: int, zone: tzinfo | None) -> date:
    return _local(at_ms, zone).date()


@dataclass(frozen=True, slots=True)
class Change:
    """What an event did to the rows: `count` rows from `first` are new, or one was replaced.

    `regrouped` is a row whose place in its group changed because of that, else -1; `removed` is
    how many of the oldest rows have to go before that.
    """

    first: int
    inserted: bool
    by_others: bool
    count: int = 1
    regrouped: int = -1
    removed: int = 0
    is_old: bool = False


class ChatLog:
    """Every message of this meeting: what was said before one came, then in order of arrival."""

    def __init__(self, zone: tzinfo | None = None, *, most: int = MAX_ROWS) -> None:
        self._zone = zone
        self._most = most
        self._rows: list[ChatRow] = []
        # Places count from the first row that ever was: dropping old rows moves nobody.
        self._places: dict[Key, int] = {}
        self._dropped = 0
        self._failed: dict[str, Reason] = {}

    @property
    def rows(self) -> list[ChatRow]:
        """The rows, oldest first; not to be changed by the caller."""
        return self._rows

    def place_of(self, key: Key) -> int:
        """The number of a row, -1 when it is not there."""
        return self._places.get(key, -1 + self._dropped) - self._dropped

    def handle(self, event: Event) -> Change | None:
        """Apply an event; what changed, or None when it is not about the chat."""
        match event:
            case ChatReceived():
                return self._on_received(event)
            case ChatFailed(id=message_id, reason=reason):
                return self._on_failed(message_id, reason)
            case ChatHistoryReceived(lines=lines):
                return self._on_history(lines)
            case _:
                return None

    def _on_received(self, event: ChatReceived) -> Change | None:
        key = (event.identity, event.id)
        known = self.place_of(key)
        if known >= 0:
            old = self._rows[known]
            row = _row_of(event, old.failed if event.state is ChatState.FAILED else None)
            row = replace(row, starts_group=old.starts_group, starts_day=old.starts_day)
            if row == old:
                return None
            self._rows[known] = row
            return Change(known, inserted=False, by_others=not event.is_mine)
        if event.deleted:
            return None
        row = _row_of(event, self._failed.pop(event.id, None) if event.is_mine else None)
        removed = self._make_room()
        previous = self._rows[-1] if self._rows else None
        self._places[key] = self._dropped + len(self._rows)
        self._rows.append(self._grouped(row, previous))
        last = len(self._rows) - 1
        return Change(last, inserted=True, by_others=not event.is_mine, removed=removed)

    def _make_room(self) -> int:
        """Forget the oldest rows, many at a time: each time costs the view a new layout."""
        if len(self._rows) < self._most:
            return 0
        count = max(1, self._most // 10)
        for row in self._rows[:count]:
            del self._places[row.key]
        del self._rows[:count]
        self._dropped += count
        return count

    def _on_history(self, lines: Sequence[ChatReceived]) -> Change | None:
        room = self._most - len(self._rows)
        rows = [_row_of(e, None) for e in lines if self.place_of((e.identity, e.id)) < 0]
        rows = rows[-room:] if room > 0 else []
        if not rows:
            return None
        first = next((n for n, row in enumerate(self._rows) if not row.is_old), len(self._rows))
        previous = self._rows[first - 1] if first else None
        grouped = []
        for row in rows:
            previous = self._grouped(row, previous)
            grouped.append(previous)
        self._rows[first:first] = grouped
        after = first + len(grouped)
        regrouped = -1
        if after < len(self._rows):
            following = self._grouped(self._rows[after], grouped[-1])
            if following != self._rows[after]:
                self._rows[after] = following
                regrouped = after
        self._places = {row.key: self._dropped + n for n, row in enumerate(self._rows)}
        return Change(
            first,
            inserted=True,
            by_others=True,
            count=len(grouped),
            regrouped=regrouped,
            is_old=True,
        )

    def _grouped(self, row: ChatRow, previous: ChatRow | None) -> ChatRow:
        starts_day = previous is None or _day(previous.at_ms, self._zone) != _day(
            row.at_ms, self._zone
        )
        starts_group = (
            starts_day
            or previous is None
            or previous.identity != row.identity
            or (previous.private, previous.to) != (row.private, row.to)
            or previous.told_by != row.told_by
            or not 0 <= row.at_ms - previous.at_ms < GROUP_WITHIN_MS
        )
        return replace(row, starts_day=starts_day, starts_group=starts_group)

    def _on_failed(self, message_id: str, reason: Reason) -> Change | None:
        for index in range(len(self._rows) - 1, -1, -1):
            row = self._rows[index]
            if row.is_mine and row.id == message_id:
                self._rows[index] = replace(row, failed=reason)
                return Change(index, inserted=False, by_others=False)
        # The refusal can overtake the line's own echo; keep it for then.
        self._failed[message_id] = reason
        return None

    def last_own(self) -> ChatRow | None:
        """The newest message of one's own that can be changed."""
        return next((row for row in reversed(self._rows) if row.is_mine and not row.deleted), None)


def _row_of(event: ChatReceived, failed: Reason | None) -> ChatRow:
    return ChatRow(
        id=event.id,
        identity=event.identity,
        name=event.name,
        text=event.text,
        at_ms=event.at_ms,
        is_mine=event.is_mine,
        edited=event.edited,
        failed=failed,
        state=event.state,
        deleted=event.deleted,
        growing=event.growing,
        broken=event.broken,
        private=event.private,
        to=event.to,
        to_names=event.to_names,
        quote=event.quote,
        attachments=event.attachments,
        reactions=event.reactions,
        is_old=event.is_old,
        told_by=event.told_by,
    )


def badge_label(count: int) -> str:
    """A badge's text; empty when there is nothing to count."""
    if count == 0:
        return ""
    return "9+" if count > 9 else str(count)


class UnreadCounter:
    """How many messages by others came while the chat was not being read."""

    def __init__(self) -> None:
        self.count = 0

    def handle_message(self, *, being_read: bool) -> None:
        """A message by somebody else arrived."""
        if not being_read:
            self.count += 1

    def clear(self) -> None:
        """The chat was read to its end."""
        self.count = 0

    @property
    def badge(self) -> str:
        """The badge's text; empty when everything was read."""
        return badge_label(self.count)

    @property
    def pill(self) -> str:
        """The words of the pill above the input."""
        return "1 new message ↓" if self.count == 1 else f"{self.count} new messages ↓"
