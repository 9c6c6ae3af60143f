"""How much may be on its way (RFC 9260 §7.2), and how long to wait for an answer (§6.3.1).

Where it differs from the letter: growth counts what was acknowledged rather than how often, since
a receiver that is behind acknowledges a batch at once; the window never falls below four packets
and begins at ten, as in libwebrtc's dcSCTP; the timer's limits are dcSCTP's or shorter.

Most of our time-outs are no losses: a process that did not get to run for a moment answers late.
So the timer does not back off for long, a time-out that turns out to have been for nothing is
undone (as in F-RTO, RFC 5682), and a window is found out again quickly, up to
`LEAST_THRESHOLD_BYTES`: at load 19 files stood still for half a minute without.

A window that only makes a queue longer does not grow: a slow receiver had up to a megabyte before
it, so that a line of chat took 0.35 s behind a transfer, until its socket overflowed.
"""

from __future__ import annotations

from math import inf

from app.rtc.sctp.wire import PACKET_BYTES

FIRST_WINDOW_BYTES = 10 * PACKET_BYTES
LEAST_WINDOW_BYTES = 4 * PACKET_BYTES
MOST_WINDOW_BYTES = 1 << 20
LEAST_THRESHOLD_BYTES = 32 * PACKET_BYTES
# What one acknowledgement may add while the window is found out.
MOST_GROWTH_BYTES = 8 * PACKET_BYTES

# So late after the quickest answer, what was sent has waited in a queue.
LONG_QUEUE_S = 0.1
# The quickest answer is forgotten after once to twice as long: a path may become longer.
QUICKEST_OF_S = 20.0

FIRST_RTO_S = 0.5
# Above the 200 ms for which a peer may keep an acknowledgement back (RFC 9260 §6.2).
LEAST_RTO_S = 0.3
MOST_MEASURED_RTO_S = 3.0
# A path that was cut is found again within this, or within thrice what it needs by itself.
MOST_RTO_S = 1.0


class Congestion:
    """Window and timer of one association."""

    def __init__(self) -> None:
        self.window_bytes = FIRST_WINDOW_BYTES
        self.threshold_bytes = MOST_WINDOW_BYTES
        self.rto_s = FIRST_RTO_S
        self.round_trip_s: float | None = None
        self._variation_s = 0.0
        self._last_s = 0.0
        self._quickest_s = self._quickest_lately_s = inf
        self._forget_at_s = 0.0
        self._partial_bytes = 0
        self._measured_rto_s = FIRST_RTO_S
        # Window and threshold before the first time-out of a row.
        self._before_timeout: tuple[int, int] | None = None

    def handle_needless_timeout(self) -> None:
        """What counted as lost had arrived: go on as before."""
        if self._before_timeout is not None:
            window_bytes, self.threshold_bytes = self._before_timeout
            self.window_bytes = max(self.window_bytes, window_bytes)
            self._before_timeout = None

    def handle_progress(self) -> None:
        """What counted as lost was: there is nothing to undo."""
        self._before_timeout = None

    def handle_acknowledged(self, size_bytes: int, *, was_full: bool) -> None:
        """Grow by what arrived, if the window was what held us back."""
        if not was_full or self._is_queue_long:
            return
        if self.window_bytes <= self.threshold_bytes:
            grown = self.window_bytes + min(size_bytes, MOST_GROWTH_BYTES)
            self.window_bytes = min(grown, MOST_WINDOW_BYTES)
            return
        self._partial_bytes += size_bytes
        if self._partial_bytes >= self.window_bytes:
            self._partial_bytes -= self.window_bytes
            self.window_bytes = min(self.window_bytes + PACKET_BYTES, MOST_WINDOW_BYTES)

    @property
    def _is_queue_long(self) -> bool:
        is_late = self._last_s > self._quickest_s + LONG_QUEUE_S
        return is_late and self.window_bytes >= LEAST_THRESHOLD_BYTES

    def handle_loss(self) -> None:
        """Halve: packets are missing while others arrive."""
        self.threshold_bytes = max(self.window_bytes // 2, LEAST_WINDOW_BYTES)
        self._before_timeout = None
        self.window_bytes = self.threshold_bytes
        self._partial_bytes = 0

    def handle_timeout(self) -> None:
        """Begin anew: nothing arrives. The timer backs off."""
        if self._before_timeout is None:
            self._before_timeout = self.window_bytes, self.threshold_bytes
        self.threshold_bytes = max(self.window_bytes // 2, LEAST_THRESHOLD_BYTES)
        self.window_bytes = LEAST_WINDOW_BYTES
        self._partial_bytes = 0
        self.rto_s = min(self.rto_s * 2, max(MOST_RTO_S, 3 * self._measured_rto_s))

    def handle_round_trip(self, took_s: float, now_s: float) -> None:
        """Take a measurement of something that was sent once."""
        self._last_s = took_s
        self._quickest_s = min(self._quickest_s, took_s)
        self._quickest_lately_s = min(self._quickest_lately_s, took_s)
        if now_s >= self._forget_at_s:
            self._forget_at_s = now_s + QUICKEST_OF_S
            self._quickest_s, self._quickest_lately_s = self._quickest_lately_s, took_s
        if self.round_trip_s is None:
            self.round_trip_s, self._variation_s = took_s, took_s / 2
        else:
            deviation_s = abs(self.round_trip_s - took_s)
            self._variation_s += (deviation_s - self._variation_s) / 4
            self.round_trip_s += (took_s - self.round_trip_s) / 8
        rto_s = self.round_trip_s + 4 * self._variation_s
        self.rto_s = self._measured_rto_s = min(max(rto_s, LEAST_RTO_S), MOST_MEASURED_RTO_S)
