"""What the developer panel sees and asks: plain values, safe to hand from thread to thread."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RpcRequest:
    """A call of somebody's method."""

    identity: str
    method: str
    payload: str = ""
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class RpcAnswer:
    """What came of a call: a payload, or an error with its code (0 is no error)."""

    payload: str = ""
    code: int = 0
    message: str = ""
    data: str = ""
    elapsed_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class WatchedPerson:
    """Somebody's shared state, oneself included; attributes are sorted by key."""

    identity: str
    name: str
    kind: str = "standard"
    is_me: bool = False
    attributes: tuple[tuple[str, str], ...] = ()
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class WatchedTrack:
    """A data track that somebody publishes, and what comes of it while it is watched.

    `last` holds the first bytes of the newest frame; `numbers` the newest frames that read as
    a number, oldest first.
    """

    identity: str
    name: str
    sid: str = ""
    is_watched: bool = False
    error: str = ""
    frames: int = 0
    frames_per_s: float = 0.0
    bytes_per_s: float = 0.0
    size_bytes: int = 0
    last: bytes = b""
    user_timestamp: int | None = None
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class DeveloperView:
    """Everything that the panel shows at one moment; empty without a meeting."""

    room: str = ""
    people: tuple[WatchedPerson, ...] = ()
    tracks: tuple[WatchedTrack, ...] = ()
