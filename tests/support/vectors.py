"""Recorded traffic of official SDKs as records to replay; see `tests/vectors/README.md`."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parent.parent / "vectors"


@dataclass(frozen=True)
class VectorRecord:
    """One recorded message; `raw` holds its bytes as they were on the wire."""

    t_ms: int
    direction: str
    kind: str
    type: str
    raw: bytes
    json: Any
    message: str
    fields: dict[str, Any]


def read_vector(name: str) -> list[VectorRecord]:
    """Return the records of one file, without the line that describes the scenario."""
    lines = (VECTORS / name).read_text(encoding="utf-8").splitlines()[1:]
    return [_record(json.loads(line)) for line in lines]


def vector_names() -> list[str]:
    """Return the names of all recorded files, sorted."""
    return sorted(path.name for path in VECTORS.glob("*.jsonl"))


def session_descriptions() -> Iterator[tuple[str, str]]:
    """Yield every recorded session description with the name of its file."""
    for name in vector_names():
        for record in read_vector(name):
            for lines in _sdp_lines(record.json):
                yield name, "\r\n".join(line for line in lines if line) + "\r\n"


def _record(fields: dict[str, Any]) -> VectorRecord:
    if "raw_z" in fields:
        raw = zlib.decompress(base64.b64decode(fields["raw_z"]))
    else:
        raw = base64.b64decode(fields.get("raw", ""))
    return VectorRecord(
        t_ms=fields["t_ms"],
        direction=fields["dir"],
        kind=fields["kind"],
        type=fields.get("type", ""),
        raw=raw,
        json=fields.get("json"),
        message=fields.get("message", ""),
        fields=fields,
    )


def _sdp_lines(value: Any) -> Iterator[list[str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "sdp":
                yield inner if isinstance(inner, list) else inner.splitlines()
            else:
                yield from _sdp_lines(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _sdp_lines(inner)
