"""The chat as a file: plain text, Markdown or JSON. Pure, and run on a worker thread."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import tempfile
from collections.abc import Sequence
from datetime import datetime, tzinfo
from enum import StrEnum
from pathlib import Path

from app.runtime.errors import Reason, WorldError
from app.ui.chat.model import ChatRow, clock_label, private_note, told_note

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#+\-!|~])")
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f/\\:*?"<>|]+')


class ExportFormat(StrEnum):
    """What the file holds, by its suffix."""

    TEXT = "txt"
    MARKDOWN = "md"
    JSON = "json"


def format_of(path: Path) -> ExportFormat:
    """The format that a name asks for; plain text for an unknown one."""
    suffix = path.suffix.lower().lstrip(".")
    return ExportFormat(suffix) if suffix in tuple(ExportFormat) else ExportFormat.TEXT


def suggested_name(room: str, now: datetime) -> str:
    """A name for the file."""
    safe = " ".join(_NOT_IN_NAMES.sub(" ", room).split()).strip(".")[:80] or "Meeting"
    return f"{safe} chat {now:%Y-%m-%d}.txt"


def render(
    rows: Sequence[ChatRow], room: str, kind: ExportFormat, zone: tzinfo | None = None
) -> str:
    """Write the messages down, deleted ones left out."""
    rows = [row for row in rows if not row.deleted]
    match kind:
        case ExportFormat.JSON:
            messages = [_record(row, zone) for row in rows]
            return json.dumps({"room": room, "messages": messages}, indent=1, ensure_ascii=False)
        case ExportFormat.MARKDOWN:
            return _render(rows, room, zone, markdown=True)
        case ExportFormat.TEXT:
            return _render(rows, room, zone, markdown=False)


def _render(rows: Sequence[ChatRow], room: str, zone: tzinfo | None, *, markdown: bool) -> str:
    lines = [f"# {_escape(room)}" if markdown else room]
    day = ""
    for row in rows:
        today = _moment(row, zone).strftime("%Y-%m-%d")
        if today != day:
            day = today
            lines += ["", f"## {day}" if markdown else f"{day}", ""]
        lines += _markdown(row, zone) if markdown else _plain(row, zone)
    return "\n".join(lines) + "\n"


def _plain(row: ChatRow, zone: tzinfo | None) -> list[str]:
    notes = _notes(row)
    head = f"[{clock_label(row.at_ms, zone)}] {row.name}{f' ({notes})' if notes else ''}: "
    first, *rest = row.text.split("\n")
    lines = [head + first, *(f"    {line}" for line in rest)]
    if row.quote is not None:
        lines.insert(0, f"    > {row.quote.name}: {row.quote.text}")
    return [*lines, *(f"    [{one.name}]" for one in row.attachments)]


def _markdown(row: ChatRow, zone: tzinfo | None) -> list[str]:
    notes = _notes(row)
    head = f"**{_escape(row.name)}** {clock_label(row.at_ms, zone)}"
    lines = [f"{head} *({_escape(notes)})*" if notes else head, ""]
    if row.quote is not None:
        lines += [f"> {_escape(row.quote.name)}: {_escape(row.quote.text)}", ""]
    if row.text:
        # Two spaces end a line in Markdown.
        lines += ["  \n".join(_escape(line) for line in row.text.split("\n")), ""]
    return [*lines, *(f"- {_escape(one.name)}" for one in row.attachments)]


def _notes(row: ChatRow) -> str:
    parts = [private_note(row)] if row.private else []
    parts += ["edited"] if row.edited else []
    parts += ["broke off"] if row.broken else []
    parts += [told_note(row)] if row.told_by else []
    parts += ["not sent"] if row.failed is not None else []
    return ", ".join(parts)


def _record(row: ChatRow, zone: tzinfo | None) -> dict[str, object]:
    record: dict[str, object] = {
        "id": row.id,
        "identity": row.identity,
        "name": row.name,
        "at": _moment(row, zone).isoformat(),
        "text": row.text,
    }
    if row.edited:
        record["edited"] = True
    if row.broken:
        record["broken"] = True
    if row.told_by:
        record["told_by"] = row.told_by
    if row.private:
        record["private"] = list(row.to_names)
    if row.quote is not None:
        record["reply_to"] = row.quote.id
    if row.attachments:
        record["attachments"] = [
            {"name": one.name, "size_bytes": one.size_bytes} for one in row.attachments
        ]
    if row.reactions:
        record["reactions"] = {one.glyph: list(one.names) for one in row.reactions}
    return record


def _moment(row: ChatRow, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(row.at_ms / 1000, tz=zone).astimezone(zone)


def _escape(text: str) -> str:
    return _MARKUP.sub(r"\\\1", text)


def save(path: Path, rows: Sequence[ChatRow], room: str) -> Path:
    """Write the file as a whole or not at all; blocks. DISK_FULL, DENIED."""
    text = render(rows, room, format_of(path))
    temporary = ""
    try:
        number, temporary = tempfile.mkstemp(prefix=".lanai-", dir=path.parent)
        with os.fdopen(number, "w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise refusal(error) from error
    return path


def refusal(error: OSError) -> WorldError:
    """Why a file could not be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return WorldError(Reason.DISK_FULL if full else Reason.DENIED, detail=type(error).__name__)
