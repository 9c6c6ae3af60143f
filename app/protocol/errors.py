"""Errors that are the peer's fault."""

from __future__ import annotations


class ProtocolError(Exception):
    """The peer sent something that its own protocol does not allow.

    The input is dropped, or that one peer closed; the room goes on. `reason` is a short
    phrase fit for a log line: it never holds a token, a name or an address.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
