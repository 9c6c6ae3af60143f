"""The chat as rows: messages, who starts a group, which day it is, what is a link; no widgets.

A message joins the group above it when the same person wrote it on the same day within five
minutes. The engine repeats an `id` for an edit, and answers `ChatFailed` for a line of one's
own that could not be sent. Times are milliseconds since the epoch; days are local.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo

from app.engine.events import ChatFailed, ChatReceived, Event
from app.runtime.errors import Reason

GROUP_WITHIN_MS = 5 * 60 * 1000

_LINK = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_CLOSERS = {")": "(", "]": "[", "}": "{"}


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


@dataclass(frozen=True, slots=True)
class Link:
    """A web address inside a text, as a slice of it."""

    start: int
    end: int
    url: str


def find_links(text: str) -> list[Link]:
    """Find http and https addresses; the punctuation that ends a sentence is not part of one."""
    links = []
    for match in _LINK.finditer(text):
        url = match.group()
        while url:
            last = url[-1]
            closes_nothing = last in _CLOSERS and url.count(_CLOSERS[last]) < url.count(last)
            if last not in ".,;:!?…" and not closes_nothing:
                break
            url = url[:-1]
        if url.lower() not in ("http://", "https://", "http:/", "https:/", "http", "https"):
            links.append(Link(match.start(), match.start() + len(url), url))
    return links


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
    """What an event did to the rows: `count` rows from `first` are new, or one was replaced."""

    first: int
    inserted: bool
    by_others: bool


class ChatLog:
    """Every message of this meeting, in the order in which it arrived."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._zone = zone
        self._rows: list[ChatRow] = []
        self._index: dict[tuple[str, str], int] = {}
        self._failed: dict[str, Reason] = {}

    @property
    def rows(self) -> list[ChatRow]:
        """The rows, oldest first; not to be changed by the caller."""
        return self._rows

    def handle(self, event: Event) -> Change | None:
        """Apply an event; what changed, or None when it is not about the chat."""
        match event:
            case ChatReceived():
                return self._on_received(event)
            case ChatFailed(id=message_id, reason=reason):
                return self._on_failed(message_id, reason)
            case _:
                return None

    def _on_received(self, event: ChatReceived) -> Change:
        key = (event.identity, event.id)
        known = self._index.get(key)
        if known is not None:
            old = self._rows[known]
            self._rows[known] = replace(old, text=event.text, edited=old.text != event.text)
            return Change(known, inserted=False, by_others=not event.is_mine)
        previous = self._rows[-1] if self._rows else None
        starts_day = previous is None or _day(previous.at_ms, self._zone) != _day(
            event.at_ms, self._zone
        )
        starts_group = (
            starts_day
            or previous is None
            or previous.identity != event.identity
            or not 0 <= event.at_ms - previous.at_ms < GROUP_WITHIN_MS
        )
        self._index[key] = len(self._rows)
        self._rows.append(
            ChatRow(
                id=event.id,
                identity=event.identity,
                name=event.name,
                text=event.text,
                at_ms=event.at_ms,
                is_mine=event.is_mine,
                starts_group=starts_group,
                starts_day=starts_day,
                failed=self._failed.pop(event.id, None) if event.is_mine else None,
            )
        )
        return Change(len(self._rows) - 1, inserted=True, by_others=not event.is_mine)

    def _on_failed(self, message_id: str, reason: Reason) -> Change | None:
        for index in range(len(self._rows) - 1, -1, -1):
            row = self._rows[index]
            if row.is_mine and row.id == message_id:
                self._rows[index] = replace(row, failed=reason)
                return Change(index, inserted=False, by_others=False)
        # The refusal can overtake the line's own echo; keep it for then.
        self._failed[message_id] = reason
        return None


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
        if self.count == 0:
            return ""
        return "9+" if self.count > 9 else str(self.count)

    @property
    def pill(self) -> str:
        """The words of the pill above the input."""
        return "1 new message ↓" if self.count == 1 else f"{self.count} new messages ↓"
