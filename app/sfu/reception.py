"""What has arrived of one uplink stream: numbers, holes, jitter, and what to report.

RFC 3550 §6.4.1 and appendix A; holes are asked for by NACK after a moment for reordering.
Hot path: `handle_packet` runs once per packet.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.protocol.rtp.wrap import unwrap_seq

NACK_AFTER_S = 0.010
NACK_EVERY_S = 0.050
NACK_TRIES = 10
_MAX_HOLE = 500
_MAX_MISSING = 1000


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one report block."""

    fraction_lost: int
    cumulative_lost: int
    highest_ext_seq: int
    jitter: int
    last_sr: int
    delay_since_last_sr: int


class Reception:
    """Receiver state of one SSRC."""

    __slots__ = (
        "_base",
        "_expected_before",
        "_jitter",
        "_missing",
        "_received_before",
        "_sr_at_s",
        "_sr_middle",
        "_transit",
        "clock_rate",
        "duplicates",
        "highest",
        "received",
    )

    def __init__(self, clock_rate: int) -> None:
        self.clock_rate = clock_rate
        self.highest = -1
        self.received = 0
        self.duplicates = 0
        self._base = 0
        self._expected_before = 0
        self._received_before = 0
        self._jitter = 0.0
        self._transit: float | None = None
        self._sr_middle = 0
        self._sr_at_s = 0.0
        # ext_seq -> [when it was missed, tries, when last asked for]
        self._missing: dict[int, list[float]] = {}

    def handle_packet(self, seq: int, ts_rtp: int, now_s: float) -> int:
        """Return the extended number of a packet, or -1 for a duplicate."""
        highest = self.highest
        if highest < 0:
            # One turn ahead, so that packets just before the first one stay positive.
            self.highest = self._base = seq + 0x10000
            self.received = 1
            return self.highest
        ext_seq = unwrap_seq(highest, seq)
        if ext_seq == highest + 1:
            self.highest = ext_seq
        elif ext_seq > highest:
            if ext_seq - highest <= _MAX_HOLE and len(self._missing) < _MAX_MISSING:
                for hole in range(highest + 1, ext_seq):
                    self._missing[hole] = [now_s, 0.0, float("-inf")]
            self.highest = ext_seq
        elif self._missing.pop(ext_seq, None) is None:
            if ext_seq >= self._base:
                self.duplicates += 1
                return -1
            self._base = ext_seq
        self.received += 1
        transit = now_s * self.clock_rate - ts_rtp
        if self._transit is not None:
            difference = abs(transit - self._transit)
            # A wrap of the timestamp or a new source is no jitter.
            if difference < self.clock_rate * 5:
                self._jitter += (difference - self._jitter) / 16
        self._transit = transit
        return ext_seq

    def handle_sender_report(self, ntp_middle: int, now_s: float) -> None:
        """Remember the newest sender report, to be echoed."""
        self._sr_middle = ntp_middle
        self._sr_at_s = now_s

    @property
    def has_holes(self) -> bool:
        """Whether `due_nacks` may have something."""
        return bool(self._missing)

    def due_nacks(self, now_s: float) -> list[int]:
        """Return the numbers to ask for now, ascending, and give up on old ones."""
        due: list[int] = []
        hopeless: list[int] = []
        for ext_seq, state in self._missing.items():
            missed_s, tries, asked_s = state
            if tries >= NACK_TRIES or ext_seq < self.highest - 2 * _MAX_HOLE:
                hopeless.append(ext_seq)
            elif now_s - missed_s >= NACK_AFTER_S and now_s - asked_s >= NACK_EVERY_S:
                state[1] = tries + 1
                state[2] = now_s
                due.append(ext_seq)
        for ext_seq in hopeless:
            del self._missing[ext_seq]
        due.sort()
        return due

    def take_report(self, now_s: float) -> Report | None:
        """Return the figures since the last call; None before the first packet."""
        if self.highest < 0:
            return None
        expected = self.highest - self._base + 1
        lost = expected - self.received
        expected_now = expected - self._expected_before
        lost_now = expected_now - (self.received - self._received_before)
        self._expected_before = expected
        self._received_before = self.received
        fraction = 0
        if expected_now > 0 and lost_now > 0:
            fraction = min(255, lost_now * 256 // expected_now)
        delay = int((now_s - self._sr_at_s) * 65_536) if self._sr_middle else 0
        return Report(
            fraction_lost=fraction,
            cumulative_lost=max(-0x800000, min(0x7FFFFF, lost)),
            highest_ext_seq=self.highest - 0x10000,
            jitter=int(self._jitter),
            last_sr=self._sr_middle,
            delay_since_last_sr=delay,
        )
