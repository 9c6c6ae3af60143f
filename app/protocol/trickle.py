"""ICE candidates as they travel in `TrickleRequest.candidateInit`."""

from __future__ import annotations

import json

from app.protocol.errors import ProtocolError

MAX_CHARS = 4096


def parse_trickle(text: str) -> str:
    """Return the candidate line of a JSON candidate; "" at the end of candidates."""
    if len(text) > MAX_CHARS:
        raise ProtocolError("candidate too long")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("candidate is no JSON") from error
    if not isinstance(value, dict):
        raise ProtocolError("candidate is no object")
    line = value.get("candidate", "")
    if not isinstance(line, str):
        raise ProtocolError("candidate is no text")
    return line
