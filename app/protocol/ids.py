"""Identifiers of rooms, participants, tracks and events.

Official SDKs depend on the prefixes: the Rust one panics or drops tracks on others. Randomness
is an argument, because nothing in this package draws any.
"""

from __future__ import annotations

ID_RANDOM_BYTES = 16
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz23456789"
_LENGTH = 12

ROOM = "RM_"
PARTICIPANT = "PA_"
TRACK = "TR_"
EVENT = "EV_"
NODE = "ND_"

# After `TR_` comes the kind, then the source, by their numbers in `TrackType` and `TrackSource`.
_KIND_LETTERS = {0: "A", 1: "V"}
_SOURCE_LETTERS = {1: "C", 2: "M", 3: "S", 4: "s"}


def new_id(prefix: str, random_bytes: bytes) -> str:
    """Return `prefix` and twelve characters made from at least twelve random bytes."""
    if len(random_bytes) < _LENGTH:
        raise ValueError("not enough random bytes for an identifier")
    number = int.from_bytes(random_bytes, "big")
    letters = []
    for _ in range(_LENGTH):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return prefix + "".join(letters)


def new_track_id(kind: int, source: int, random_bytes: bytes) -> str:
    """Return a track sid whose letters tell kind and source."""
    letters = _KIND_LETTERS.get(kind, "A") + _SOURCE_LETTERS.get(source, "")
    return new_id(TRACK + letters, random_bytes)


def slug(name: str) -> str:
    """Return the part of an identity that people can still recognise: `Ada L.` is `ada-l`."""
    kept = "".join(char if char.isalnum() else "-" for char in name.lower())
    words = [word for word in kept.split("-") if word]
    return "-".join(words)[:40].rstrip("-") or "guest"
