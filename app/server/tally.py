"""What the server counts about itself outside the hot path; read when metrics are asked for."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from app.protocol.compat import SERVER_PROTOCOL
from app.server.spread import Spread, growing_buckets

# The bounds are those of livekit-server, so that its dashboards show ours beside it.
_CALL_MS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000)
_ROOM_S = (5, 10, 60, 300, 600, 1800, 3600, 7200, 18_000, 36_000)
_SESSION_MS = growing_buckets(100, 4 * 60 * 60 * 1000, 15)


@dataclass
class Tally:
    """Of one server since it started. Plain numbers: whoever counts adds to them."""

    signal_received: int = 0
    signal_sent: int = 0
    signal_malformed: int = 0
    data_received: Counter[str] = field(default_factory=Counter)
    data_received_bytes: Counter[str] = field(default_factory=Counter)
    data_sent: Counter[str] = field(default_factory=Counter)
    data_sent_bytes: Counter[str] = field(default_factory=Counter)
    data_dropped: int = 0
    # (service, method, code); the code of a good answer is "ok".
    twirp: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    # (service, method, status family)
    twirp_ms: defaultdict[tuple[str, str, str], Spread] = field(
        default_factory=lambda: defaultdict(lambda: Spread(_CALL_MS))
    )
    rooms_s: Spread = field(default_factory=lambda: Spread(_ROOM_S))
    # By the client's protocol.
    sessions_ms: defaultdict[str, Spread] = field(
        default_factory=lambda: defaultdict(lambda: Spread(_SESSION_MS))
    )
    nacks_received: int = 0
    plis_sent: int = 0
    joined: int = 0

    def note_data(self, label: str, size_bytes: int) -> None:
        """A data packet has come in."""
        self.data_received[label] += 1
        self.data_received_bytes[label] += size_bytes

    def note_data_sent(self, label: str, size_bytes: int, receivers: int) -> None:
        """A data packet goes out to so many."""
        self.data_sent[label] += receivers
        self.data_sent_bytes[label] += receivers * size_bytes

    def note_call(self, service: str, method: str, status: str, took_s: float) -> None:
        """A call of the server API was answered."""
        self.twirp_ms[service, method, status].note(took_s * 1000)

    def note_session(self, protocol: int, took_ms: float) -> None:
        """A session is over whose connection had come up."""
        # What a client says of itself is not to become any number of series.
        self.sessions_ms[str(min(max(protocol, 0), SERVER_PROTOCOL))].note(took_ms)
