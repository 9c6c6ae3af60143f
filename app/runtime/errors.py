"""Errors that are the world's fault: a camera is busy, a port is taken, a network is gone."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why the world said no. The interface owns the words for each of them."""

    NO_ROUTE = "no_route"
    REFUSED = "refused"
    TLS = "tls"
    EXPIRED = "expired"
    FORGED = "forged"
    PASSCODE = "passcode"
    FULL = "full"
    LOCKED = "locked"
    DENIED = "denied"
    NOT_FOUND = "not_found"
    INVALID_LINK = "invalid_link"
    PORT_TAKEN = "port_taken"
    SERVER_DIED = "server_died"
    DEVICE_BUSY = "device_busy"
    DEVICE_GONE = "device_gone"
    DEVICE_DENIED = "device_denied"
    NO_AUDIO_BACKEND = "no_audio_backend"
    DISK_FULL = "disk_full"
    FILE_GONE = "file_gone"
    DAMAGED = "damaged"
    PEER_GONE = "peer_gone"
    TOO_LARGE = "too_large"
    TIMEOUT = "timeout"


class WorldError(Exception):
    """Something outside the program refused.

    `reason` chooses the words that a person sees, `retry` says whether trying the same again
    can help, `detail` goes to the log and to "Copy technical details", never to the text.
    """

    def __init__(self, reason: Reason, *, retry: bool = False, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.retry = retry
        self.detail = detail
