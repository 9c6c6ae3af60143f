"""What the server counts about itself outside the hot path; read when metrics are asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


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
    nacks_received: int = 0
    plis_sent: int = 0
    joined: int = 0

    def note_data(self, label: str, size_bytes: int) -> None:
        """A data packet has come in."""
        self.data_received[label] += 1
        self.data_received_bytes[label] += size_bytes
