"""What transfers need of a room, and the form in which they get it.

A transfer knows people by identity, calls them, tells them, and opens byte streams to them. The
stream's destinations may shrink while it runs: every packet is routed alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from app.protocol.transfers import StreamLabel


class NoSuchCallError(Exception):
    """Who was called is no Lanai app."""


class StreamBrokenError(Exception):
    """An incoming stream did not end well. `reason` is the sender's word, "" when it gave none."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "broken")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class StreamHead:
    """What the header of an outgoing stream says."""

    name: str
    size_bytes: int
    to: tuple[str, ...]
    label: StreamLabel = field(default_factory=StreamLabel)


class Sink(Protocol):
    """The writing end of a byte stream."""

    async def write(self, data: bytes, to: Collection[str]) -> None:
        """Send `data` to these; waits while too much is on its way already."""

    async def aclose(
        self, to: Collection[str], *, reason: str = "", attributes: Mapping[str, str] | None = None
    ) -> None:
        """End the stream; a `reason` tells the readers that it is not whole."""


class TransferWire(Protocol):
    """The room, as transfers see it. Everything raises `WorldError` when the world says no."""

    @property
    def room(self) -> str:
        """The room's name."""

    def stay(self) -> str:
        """What changes when this participant had to join anew: streams do not outlive it."""

    def name_of(self, identity: str) -> str:
        """How people call somebody."""

    def others(self) -> tuple[str, ...]:
        """Everybody else's identity."""

    async def call(self, identity: str, method: str, payload: str) -> str:
        """Ask and return the answer; `NoSuchCallError` when it is no Lanai app."""

    async def tell(self, identity: str, data: bytes) -> None:
        """Send a small packet on the transfers' topic."""

    async def open(self, head: StreamHead) -> Sink:
        """Open a byte stream."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A byte stream that somebody opened towards us.

    Iterating `chunks` raises `StreamBrokenError` when it breaks off; `attributes` is called
    after its end, when the trailer's are among them; `close` drops the rest.
    """

    name: str
    size_bytes: int | None
    identity: str
    label: StreamLabel
    chunks: AsyncIterator[bytes]
    attributes: Callable[[], Mapping[str, str]]
    close: Callable[[], None]
