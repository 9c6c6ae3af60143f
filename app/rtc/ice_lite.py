"""The server's side of ICE: answer checks, and decide which address media goes to.

A lite agent sends no checks and is always controlled (RFC 8445 §2.5). Sans-IO: the socket
and the clock are the caller's.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from app.protocol.errors import ProtocolError
from app.rtc.stun import (
    BINDING_REQUEST,
    ICE_CONTROLLED,
    StunMessage,
    build_binding_error,
    build_binding_success,
)

PATH_TIMEOUT_S = 15.0
PATH_GRACE_S = 5.0

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class IceCredentials:
    """Local user name fragment and password of one ICE generation."""

    ufrag: str
    pwd: str


def new_credentials() -> IceCredentials:
    """Make credentials; the fragment is long enough to be unique on a shared port."""
    return IceCredentials(
        "".join(secrets.choice(_ALPHABET) for _ in range(16)),
        "".join(secrets.choice(_ALPHABET) for _ in range(32)),
    )


def local_ufrag_of(message: StunMessage) -> str:
    """Return our half of the check's USERNAME, which is "ours:theirs"."""
    return message.username.partition(":")[0]


def host_candidate(index: int, host: str, port: int) -> str:
    """Return the candidate line (without "a=") of one bound address."""
    is_loopback = host.startswith("127.") or host == "::1"
    # Loopback last: a peer elsewhere cannot use it, one on this machine can use either.
    preference = (1000 if is_loopback else 65_535) - index
    priority = (126 << 24) | (preference << 8) | 255
    return f"candidate:{index + 1} 1 udp {priority} {host} {port} typ host"


class PathSelector:
    """Chooses among the paths that checks arrive on; any hashable value names a path.

    The newest nomination wins, but only after two in a row: a peer that nominates every
    pair (aggressive nomination) alternates between them, and media should not.
    """

    def __init__(self) -> None:
        self.selected: object | None = None
        self.is_nominated = False
        self.last_check_s: float | None = None
        self._challenger: object | None = None
        self._generation = 0

    def handle_check(
        self, path: object, *, nominated: bool, now_s: float, generation: int = 0
    ) -> bool:
        """Take note of an authentic check; True when the selected path changed.

        `generation` counts ICE restarts: the first nomination after one is followed at
        once, because the peer restarts when its old path is dead.
        """
        self.last_check_s = now_s
        if self.selected is None or (nominated and generation > self._generation):
            changed = path != self.selected
            self.selected, self.is_nominated = path, nominated
            self._generation = generation
            self._challenger = None
            return changed
        if not nominated:
            return False
        if path == self.selected:
            self.is_nominated = True
            self._challenger = None
            return False
        if not self.is_nominated or self._challenger == path:
            self.selected, self.is_nominated = path, True
            self._challenger = None
            return True
        self._challenger = path
        return False

    def is_silent(self, now_s: float) -> bool:
        """Whether the path counts as broken; the peer may still come back, on any path."""
        return self.last_check_s is not None and now_s >= self.last_check_s + PATH_TIMEOUT_S

    def deadline_s(self) -> float | None:
        """Return when the peer counts as gone unless another check arrives."""
        if self.last_check_s is None:
            return None
        return self.last_check_s + PATH_TIMEOUT_S + PATH_GRACE_S

    def expect(self, now_s: float) -> None:
        """Give the peer its time anew: it has announced that it will check again."""
        if self.last_check_s is not None:
            self.last_check_s = now_s


def answer_check(
    message: StunMessage, credentials: IceCredentials, source: tuple[str, int]
) -> tuple[bytes, bool]:
    """Return the response to a check, and whether the check counts.

    ProtocolError when it is not a request or not authentic: no answer then, so that the
    port tells a scanner nothing.
    """
    if message.type != BINDING_REQUEST:
        raise ProtocolError("not a binding request")
    if not message.is_authentic(credentials.pwd):
        raise ProtocolError("STUN integrity")
    if ICE_CONTROLLED in message.attributes:
        answer = build_binding_error(message.transaction_id, 487, "Role Conflict", credentials.pwd)
        return answer, False
    return build_binding_success(message.transaction_id, source, credentials.pwd), True
