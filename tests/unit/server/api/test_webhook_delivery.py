"""When a report is tried again, which are wanted, and that bodies are the reference's own."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode
from pathlib import Path

import pytest
from google.protobuf import json_format
from livekit.protocol.webhook import WebhookEvent

from app.server.api.webhook_delivery import retry_wait_s
from app.server.api.webhooks import is_wanted

VECTORS = Path(__file__).parents[3] / "vectors" / "webhooks.jsonl"


@pytest.mark.parametrize(
    ("attempt", "status", "retry_after", "wait_s"),
    [
        (0, 0, "", 1.0),
        (1, 500, "", 2.0),
        (2, 503, "", 4.0),
        (3, 429, "", 8.0),
        (4, 503, "", None),
        (0, 501, "", None),
        (0, 400, "", None),
        (0, 401, "5", None),
        (0, 302, "", None),
        (0, -1, "", None),
        (0, 429, "5", 5.0),
        (2, 503, "1", 4.0),
        (0, 503, "86400", 30.0),
        (0, 503, "Wed, 21 Oct 2026 07:28:00 GMT", 1.0),
        (0, 503, "-1", 1.0),
        (0, 503, "\u0665", 1.0),
    ],
)
def test_only_what_may_be_better_next_time_is_tried_again(
    attempt: int, status: int, retry_after: str, wait_s: float | None
) -> None:
    assert retry_wait_s(attempt, status, retry_after) == wait_s


def test_include_wins_over_exclude() -> None:
    assert is_wanted("room_started", (), ())
    assert not is_wanted("room_started", (), ("room_started",))
    assert is_wanted("room_started", ("room_started",), ("room_started",))
    assert not is_wanted("room_finished", ("room_started",), ())


def test_bodies_are_written_as_the_reference_writes_them() -> None:
    recorded = [json.loads(line) for line in VECTORS.read_text().splitlines()[1:]]
    assert len({record["type"] for record in recorded}) >= 7
    for record in recorded:
        raw = json.loads(zlib.decompress(b64decode(record["raw_z"])))
        event = json_format.ParseDict(raw, WebhookEvent())
        assert json.loads(json_format.MessageToJson(event, indent=None)) == raw
