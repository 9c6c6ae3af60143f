from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.engine.events import AttachmentState, ChatAttachment, ChatQuote
from app.runtime.errors import Reason, WorldError
from app.ui.chat.export import ExportFormat, format_of, render, save, suggested_name
from app.ui.chat.model import ChatRow

AT_MS = int(datetime(2026, 5, 12, 14, 2, tzinfo=UTC).timestamp() * 1000)
ROWS = [
    ChatRow("1", "kai", "Kai", "Here is *the* plan\nfor <b>all</b>", AT_MS, False),
    ChatRow(
        "2",
        "me",
        "Noa",
        "Thanks",
        AT_MS + 60_000,
        True,
        edited=True,
        private=True,
        to=("kai",),
        to_names=("Kai",),
        quote=ChatQuote("1", "kai", "Kai", "Here is the plan"),
        attachments=(ChatAttachment("a", "plan.png", 7, AttachmentState.HERE),),
    ),
    ChatRow("3", "kai", "Kai", "", AT_MS, False, deleted=True),
]
HEARSAY = [ChatRow("4", "kai", "Kai", "So", AT_MS, False, is_old=True, told_by="Bo")]


def test_plain_text_reads_like_a_conversation() -> None:
    assert render(ROWS, "Garden club", ExportFormat.TEXT, UTC) == (
        "Garden club\n\n2026-05-12\n\n"
        "[14:02] Kai: Here is *the* plan\n    for <b>all</b>\n"
        "    > Kai: Here is the plan\n"
        "[14:03] Noa (only Kai, edited): Thanks\n"
        "    [plan.png]\n"
    )


def test_a_line_that_broke_off_is_no_whole_one() -> None:
    half = [ChatRow("5", "kai", "Kai", "We could", AT_MS, False, broken=True)]

    assert "Kai (broke off): We could\n" in render(half, "", ExportFormat.TEXT, UTC)
    (read,) = json.loads(render(half, "", ExportFormat.JSON, UTC))["messages"]
    assert read["broken"] is True


def test_in_markdown_nothing_that_was_written_is_markup() -> None:
    text = render(ROWS, "Garden *club*", ExportFormat.MARKDOWN, UTC)

    assert text.startswith("# Garden \\*club\\*\n")
    assert "Here is \\*the\\* plan  \nfor \\<b\\>all\\</b\\>" in text
    assert "**Noa** 14:03 *(only Kai, edited)*" in text


def test_json_holds_every_message_that_was_not_deleted() -> None:
    read = json.loads(render(ROWS, "Garden club", ExportFormat.JSON, UTC))

    assert read["room"] == "Garden club"
    assert [m["text"] for m in read["messages"]] == [ROWS[0].text, "Thanks"]
    assert read["messages"][1] == {
        "id": "2",
        "identity": "me",
        "name": "Noa",
        "at": "2026-05-12T14:03:00+00:00",
        "text": "Thanks",
        "edited": True,
        "private": ["Kai"],
        "reply_to": "1",
        "attachments": [{"name": "plan.png", "size_bytes": 7}],
    }


def test_hearsay_is_exported_as_such() -> None:
    assert "Kai (as told by Bo): So" in render(HEARSAY, "r", ExportFormat.TEXT, UTC)
    (read,) = json.loads(render(HEARSAY, "r", ExportFormat.JSON, UTC))["messages"]
    assert read["told_by"] == "Bo"


def test_the_suffix_chooses_the_format() -> None:
    assert [format_of(Path(name)) for name in ("a.JSON", "a.md", "a.txt", "a")] == [
        ExportFormat.JSON,
        ExportFormat.MARKDOWN,
        ExportFormat.TEXT,
        ExportFormat.TEXT,
    ]
    assert (
        suggested_name("a/b: c?", datetime(2026, 5, 12, tzinfo=UTC)) == "a b c chat 2026-05-12.txt"
    )


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = save(tmp_path / "chat.md", ROWS, "Room")
    assert path.read_text("utf-8").startswith("# Room")
    assert [one.name for one in tmp_path.iterdir()] == ["chat.md"]

    with pytest.raises(WorldError) as raised:
        save(tmp_path / "missing" / "chat.txt", ROWS, "Room")
    assert raised.value.reason is Reason.DENIED
