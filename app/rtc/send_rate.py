"""How much we may send: a target from what receivers report (REMB, transport-wide, reports).

Deliberately plain. The target falls on loss above 10 % or when the queue on the path grows, and
rises by 5 % a report otherwise, as long as what arrives shows that the path carries it. A server's
own estimate (REMB) is an upper bound while it is fresh.
"""

from __future__ import annotations

from collections import OrderedDict

from app.rtc.rtcp import TransportFeedback

FIRST_BPS = 3_000_000
LEAST_BPS = 100_000
MOST_BPS = 20_000_000
WINDOW_S = 0.5
REMB_FRESH_S = 5.0
HEAVY_LOSS = 0.10
LIGHT_LOSS = 0.02
QUEUE_LIMIT_US = 100_000
MAX_IN_FLIGHT = 4096
REFERENCE_WRAP_US = (1 << 24) * 64_000


class SendRate:
    """The target for everything sent over one transport."""

    def __init__(self) -> None:
        self.target_bps = FIRST_BPS
        self._sent: OrderedDict[int, tuple[float, int]] = OrderedDict()
        self._window_start_s: float | None = None
        self._arrived_bytes = 0
        self._arrived = 0
        self._lost = 0
        self._least_delay_us: float | None = None
        self._delays: list[float] = []
        self._remb: tuple[int, float] | None = None

    def note_sent(self, seq: int, size_bytes: int, now_s: float) -> None:
        """Remember a packet by its transport-wide number (16 bits)."""
        self._sent[seq] = (now_s, size_bytes)
        if len(self._sent) > MAX_IN_FLIGHT:
            self._sent.popitem(last=False)

    def handle_remb(self, bitrate_bps: int, now_s: float) -> int:
        """Take the server's estimate; return the new target."""
        self._remb = (bitrate_bps, now_s)
        return self._bounded(self.target_bps, now_s)

    def handle_loss(self, loss_ratio: float, now_s: float) -> int:
        """Take the loss of a receiver report; used where no other feedback comes."""
        if self._window_start_s is None:
            self._adjust(loss_ratio, None, now_s)
        return self._bounded(self.target_bps, now_s)

    def handle_feedback(self, feedback: TransportFeedback, now_s: float) -> int:
        """Take arrival times; return the new target."""
        if self._window_start_s is None:
            self._window_start_s = now_s
        for offset, arrival_us in enumerate(feedback.arrivals_us):
            sent = self._sent.pop((feedback.base_seq + offset) & 0xFFFF, None)
            if sent is None:
                continue
            if arrival_us is None:
                self._lost += 1
                continue
            self._arrived += 1
            self._arrived_bytes += sent[1]
            self._delays.append(arrival_us - sent[0] * 1e6)
        elapsed_s = now_s - self._window_start_s
        if elapsed_s >= WINDOW_S:
            total = self._arrived + self._lost
            if total:
                self._adjust(self._lost / total, self._arrived_bytes * 8 / elapsed_s, now_s)
            self._window_start_s = now_s
            self._arrived = self._lost = self._arrived_bytes = 0
            self._delays.clear()
        return self._bounded(self.target_bps, now_s)

    def _adjust(self, loss_ratio: float, arrived_bps: float | None, now_s: float) -> None:
        target = float(self.target_bps)
        if loss_ratio > HEAVY_LOSS:
            target *= 1.0 - 0.5 * loss_ratio
        elif self._queue_grows():
            target = min(target, 0.85 * (arrived_bps or target))
        elif loss_ratio < LIGHT_LOSS and (arrived_bps is None or target < 1.5 * arrived_bps):
            target *= 1.05
        self.target_bps = int(min(MOST_BPS, max(LEAST_BPS, target)))

    def _queue_grows(self) -> bool:
        """Whether packets of this window waited much longer than the fastest ever."""
        if not self._delays:
            return False
        fastest = min(self._delays)
        known = self._least_delay_us
        # The clocks differ and the reference time wraps: only differences mean something.
        if known is None or fastest < known or abs(fastest - known) > REFERENCE_WRAP_US / 2:
            self._least_delay_us = fastest
            return False
        # Let the floor rise slowly, or drifting clocks would look like a queue.
        self._least_delay_us = known + 500.0
        return fastest - known > QUEUE_LIMIT_US

    def _bounded(self, target_bps: int, now_s: float) -> int:
        if self._remb is not None and now_s - self._remb[1] < REMB_FRESH_S:
            return min(target_bps, self._remb[0])
        return target_bps
