"""Connectivity checks of one ICE generation, without sockets and without a clock (RFC 8445).

The owner has one socket per local address; a local candidate is the index of its socket. Every
input returns what to do next. We nominate the first pair that answers: on a LAN all pairs are
about equal, and time to first frame matters more. After nomination the same checks prove consent
(RFC 7675) on the selected pair.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from app.protocol.errors import ProtocolError
from app.rtc import stun

CHECK_INTERVAL_S = 0.01
BURST_CHECKS = 6
FIRST_RETRY_S = 0.1
LONGEST_RETRY_S = 1.6
MAX_SENDS = 8
CONSENT_INTERVAL_S = 2.5
# The official server gives a silent pair 10 + 5 s.
CONSENT_TIMEOUT_S = 15.0
MAX_REMOTE_CANDIDATES = 64
MAX_PAIRS = 256
MAX_OUTSTANDING = 512

Address = tuple[str, int]


@dataclass(frozen=True)
class Transmit:
    """Send these bytes from that socket."""

    local: int
    remote: Address
    data: bytes


@dataclass(frozen=True)
class Selected:
    """Media now goes this way."""

    local: int
    remote: Address
    round_trip_s: float


@dataclass(frozen=True)
class ConsentLost:
    """The peer has not answered for `CONSENT_TIMEOUT_S`."""


Output = Transmit | Selected | ConsentLost


class _PairState(Enum):
    WAITING = 1
    IN_PROGRESS = 2
    SUCCEEDED = 3
    FAILED = 4


@dataclass
class _Pair:
    local: int
    remote: Address
    priority: int
    state: _PairState = _PairState.WAITING
    sends: int = 0
    due_s: float = 0.0
    is_nominating: bool = False
    peer_nominates: bool = False


@dataclass(frozen=True)
class _Outstanding:
    pair: _Pair
    sent_s: float
    nominates: bool


@dataclass(frozen=True)
class _Local:
    address: str
    is_loopback: bool
    version: int
    priority: int


@dataclass(frozen=True)
class Credentials:
    """A user name fragment with its password."""

    ufrag: str
    pwd: str


def candidate_priority(preference: int, *, kind: int = 126) -> int:
    """Return a candidate's priority (RFC 8445 §5.1.2.1), component 1."""
    return (kind << 24) | (preference << 8) | 255


class IceChecklist:
    """One generation of checks; a restart makes a new one.

    `transaction_id` returns 12 unpredictable bytes. Times are a monotonic clock's seconds.
    """

    def __init__(
        self,
        local: Credentials,
        *,
        is_controlling: bool,
        tie_breaker: int,
        transaction_id: Callable[[], bytes],
    ) -> None:
        self.credentials = local
        self.is_controlling = is_controlling
        self._tie_breaker = tie_breaker
        self._transaction_id = transaction_id
        self._remote: Credentials | None = None
        self._locals: list[_Local] = []
        self._remotes: dict[Address, int] = {}
        self._pairs: dict[tuple[int, Address], _Pair] = {}
        self._early: dict[tuple[int, Address], tuple[int, bool]] = {}
        self._outstanding: OrderedDict[bytes, _Outstanding] = OrderedDict()
        self._next_check_s = 0.0
        self._selected: _Pair | None = None
        self._consent_due_s = 0.0
        self._consent_until_s = 0.0
        self._is_lost = False
        self.round_trip_s = 0.0

    # --- candidates --------------------------------------------------------------------------

    def add_local(self, address: str, priority: int) -> None:
        """Add the next local candidate; its index is its position."""
        ip = ipaddress.ip_address(address)
        self._locals.append(_Local(address, ip.is_loopback, ip.version, priority))

    def set_remote(self, remote: Credentials) -> None:
        """Set the peer's credentials; checks can begin."""
        self._remote = remote
        early, self._early = self._early, {}
        for (local, address), (priority, nominates) in early.items():
            self._learn(local, address, priority, nominates=nominates)

    def add_remote(self, address: str, port: int, priority: int) -> None:
        """Add a candidate of the peer; repeated or unusable ones are ignored."""
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            # A name (mDNS) is not looked up: no server announces one.
            return
        if not port or ip.is_unspecified or ip.is_multicast:
            return
        remote = (str(ip), port)
        if remote in self._remotes or len(self._remotes) >= MAX_REMOTE_CANDIDATES:
            return
        self._remotes[remote] = priority
        for index, local in enumerate(self._locals):
            if local.version == ip.version and (ip.is_loopback or not local.is_loopback):
                if ip.is_loopback and not local.is_loopback and self._has_loopback(ip.version):
                    continue
                self._pair(index, remote, priority)
            elif local.version == ip.version and local.is_loopback and self._is_ours(str(ip)):
                self._pair(index, remote, priority)

    def _has_loopback(self, version: int) -> bool:
        return any(local.is_loopback and local.version == version for local in self._locals)

    def _is_ours(self, address: str) -> bool:
        return any(local.address == address for local in self._locals)

    def _pair(self, local: int, remote: Address, remote_priority: int) -> _Pair | None:
        key = (local, remote)
        pair = self._pairs.get(key)
        if pair is not None:
            return pair
        if len(self._pairs) >= MAX_PAIRS:
            return None
        ours = self._locals[local].priority
        high, low = (ours, remote_priority) if self.is_controlling else (remote_priority, ours)
        priority = (min(high, low) << 32) + 2 * max(high, low) + (high > low)
        pair = self._pairs[key] = _Pair(local, remote, priority)
        return pair

    def _learn(
        self, local: int, remote: Address, priority: int, *, nominates: bool
    ) -> _Pair | None:
        """Take a check of the peer as a candidate (peer-reflexive) and as a trigger."""
        if remote not in self._remotes:
            if len(self._remotes) >= MAX_REMOTE_CANDIDATES:
                return None
            self._remotes[remote] = priority
        pair = self._pair(local, remote, priority)
        if pair is None:
            return None
        pair.peer_nominates = pair.peer_nominates or nominates
        if pair.state is _PairState.FAILED:
            pair.state = _PairState.WAITING
            pair.sends = 0
        if pair.state is _PairState.WAITING:
            pair.due_s = 0.0
        return pair

    # --- time --------------------------------------------------------------------------------

    @property
    def deadline_s(self) -> float | None:
        """When to call `handle_deadline`, None when nothing is to be done."""
        if self._remote is None or self._is_lost:
            return None
        if self._selected is not None:
            return min(self._consent_due_s, self._consent_until_s)
        due = [pair.due_s for pair in self._pairs.values() if self._wants_check(pair)]
        return max(min(due), self._next_check_s) if due else None

    @staticmethod
    def _wants_check(pair: _Pair) -> bool:
        if pair.state in (_PairState.WAITING, _PairState.IN_PROGRESS):
            return True
        return pair.state is _PairState.SUCCEEDED and pair.is_nominating

    def handle_deadline(self, now_s: float) -> list[Output]:
        """Send the checks that are due."""
        if self._remote is None or self._is_lost:
            return []
        if self._selected is not None:
            return self._keep_consent(self._selected, now_s)
        if now_s < self._next_check_s:
            return []
        outputs: list[Output] = []
        due = [p for p in self._pairs.values() if self._wants_check(p) and p.due_s <= now_s]
        due.sort(key=lambda pair: (pair.sends, -pair.priority))
        for pair in due[:BURST_CHECKS]:
            outputs += self._check(pair, now_s)
        self._next_check_s = now_s + CHECK_INTERVAL_S
        return outputs

    def _check(self, pair: _Pair, now_s: float) -> list[Output]:
        if pair.sends >= MAX_SENDS:
            pair.state = _PairState.FAILED
            was_nominating, pair.is_nominating = pair.is_nominating, False
            return self._nominate_another(now_s) if was_nominating else []
        if pair.state is _PairState.WAITING:
            pair.state = _PairState.IN_PROGRESS
        pair.due_s = now_s + min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0**pair.sends)
        pair.sends += 1
        return [self._request(pair, now_s, nominates=pair.is_nominating)]

    def _keep_consent(self, pair: _Pair, now_s: float) -> list[Output]:
        if now_s >= self._consent_until_s:
            self._is_lost = True
            return [ConsentLost()]
        if now_s < self._consent_due_s:
            return []
        self._consent_due_s = now_s + CONSENT_INTERVAL_S
        return [self._request(pair, now_s, nominates=self.is_controlling)]

    def _request(self, pair: _Pair, now_s: float, *, nominates: bool) -> Transmit:
        assert self._remote is not None
        transaction_id = self._transaction_id()
        while len(self._outstanding) >= MAX_OUTSTANDING:
            self._outstanding.popitem(last=False)
        self._outstanding[transaction_id] = _Outstanding(pair, now_s, nominates)
        data = stun.build_binding_request(
            transaction_id,
            username=f"{self._remote.ufrag}:{self.credentials.ufrag}",
            password=self._remote.pwd,
            priority=candidate_priority(65_535, kind=110),
            controlling=self.is_controlling,
            tie_breaker=self._tie_breaker,
            use_candidate=nominates and self.is_controlling,
        )
        return Transmit(pair.local, pair.remote, data)

    # --- datagrams ---------------------------------------------------------------------------

    def handle_datagram(
        self, local: int, remote: Address, data: bytes, now_s: float
    ) -> list[Output]:
        """Take one STUN datagram; what is malformed or not authentic is dropped."""
        try:
            message = stun.parse_stun(data)
            if message.type == stun.BINDING_REQUEST:
                return self._handle_request(local, remote, message, now_s)
        except ProtocolError:
            return []
        if message.type in (stun.BINDING_SUCCESS, stun.BINDING_ERROR):
            return self._handle_response(remote, message, now_s)
        return []

    def _handle_request(
        self, local: int, remote: Address, message: stun.StunMessage, now_s: float
    ) -> list[Output]:
        if message.username.partition(":")[0] != self.credentials.ufrag:
            return []
        if not message.is_authentic(self.credentials.pwd):
            return []
        if self._has_conflict(message):
            return [
                Transmit(
                    local,
                    remote,
                    stun.build_binding_error(
                        message.transaction_id, 487, "Role Conflict", self.credentials.pwd
                    ),
                )
            ]
        reply = stun.build_binding_success(message.transaction_id, remote, self.credentials.pwd)
        outputs: list[Output] = [Transmit(local, remote, reply)]
        nominates = message.use_candidate and not self.is_controlling
        if self._remote is None:
            self._early[(local, remote)] = (message.priority, nominates)
            if len(self._early) > MAX_REMOTE_CANDIDATES:
                self._early.popitem()
            return outputs
        if self._selected is not None and not nominates:
            return outputs
        pair = self._learn(local, remote, message.priority, nominates=nominates)
        if pair is not None and nominates and pair.state is _PairState.SUCCEEDED:
            outputs += self._select(pair, now_s)
        return outputs

    def _has_conflict(self, message: stun.StunMessage) -> bool:
        """Whether the peer has to change its role; otherwise we change ours (RFC 8445 §7.3.1.1)."""
        name = stun.ICE_CONTROLLING if self.is_controlling else stun.ICE_CONTROLLED
        theirs = message.attributes.get(name, b"")
        if len(theirs) != 8:
            return False
        keep = self._tie_breaker >= int.from_bytes(theirs, "big")
        if keep == self.is_controlling:
            return True
        self.is_controlling = not self.is_controlling
        return False

    def _handle_response(
        self, remote: Address, message: stun.StunMessage, now_s: float
    ) -> list[Output]:
        outstanding = self._outstanding.get(message.transaction_id)
        if outstanding is None or self._remote is None:
            return []
        if not message.is_authentic(self._remote.pwd):
            return []
        del self._outstanding[message.transaction_id]
        pair = outstanding.pair
        if message.type == stun.BINDING_ERROR:
            if message.error_code == 487:
                self.is_controlling = not self.is_controlling
                pair.due_s = now_s
            return []
        if remote != pair.remote:
            return []
        self.round_trip_s = now_s - outstanding.sent_s
        if pair is self._selected:
            self._consent_until_s = now_s + CONSENT_TIMEOUT_S
            return []
        pair.state = _PairState.SUCCEEDED
        if outstanding.nominates or pair.peer_nominates:
            return self._select(pair, now_s)
        if self._selected is not None or not self.is_controlling:
            return []
        return self._nominate(pair, now_s)

    def _nominate(self, pair: _Pair, now_s: float) -> list[Output]:
        if any(other.is_nominating for other in self._pairs.values()):
            return []
        pair.is_nominating = True
        pair.sends = 0
        return self._check(pair, now_s)

    def _nominate_another(self, now_s: float) -> list[Output]:
        good = [p for p in self._pairs.values() if p.state is _PairState.SUCCEEDED]
        return self._nominate(max(good, key=lambda p: p.priority), now_s) if good else []

    def _select(self, pair: _Pair, now_s: float) -> list[Output]:
        pair.is_nominating = False
        if self._selected is pair:
            return []
        self._selected = pair
        self._consent_due_s = now_s + CONSENT_INTERVAL_S
        self._consent_until_s = now_s + CONSENT_TIMEOUT_S
        return [Selected(pair.local, pair.remote, self.round_trip_s)]
