"""Fresh random identifiers: the impure side of `protocol.ids`."""

from __future__ import annotations

import secrets

from app.protocol import ids


def fresh_id(prefix: str) -> str:
    """Return a new identifier with this prefix."""
    return ids.new_id(prefix, secrets.token_bytes(ids.ID_RANDOM_BYTES))


def fresh_track_id(kind: int, source: int) -> str:
    """Return a new track sid."""
    return ids.new_track_id(kind, source, secrets.token_bytes(ids.ID_RANDOM_BYTES))


def fresh_ssrc() -> int:
    """Return a random SSRC; 0 and the very low numbers are taken by receivers' own use."""
    return secrets.randbelow(2**32 - 2**16) + 2**16
