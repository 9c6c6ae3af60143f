"""How much later than the fastest packet sound should be played.

Every packet's transit is compared with the quickest of the last seconds. The target is the
excess that 99 of 100 recent packets stayed below, plus a margin. Times are arguments.
"""

from __future__ import annotations

from collections import deque

import numpy as np

WINDOW_PACKETS = 500  # 10 s of 20 ms packets
WARM_UP_PACKETS = 100
START_TARGET_S = 0.060
LEAST_TARGET_S = 0.020
MOST_TARGET_S = 0.400
MARGIN_S = 0.015  # a packet is decoded up to one block before it is heard
QUANTILE = 0.99
REFRESH_PACKETS = 5


class DelayEstimator:
    """Learns the network's jitter from arrivals; belongs to one stream."""

    def __init__(self) -> None:
        self._transits_s: deque[float] = deque(maxlen=WINDOW_PACKETS)
        self._since_refresh = 0
        self._seen = 0
        self.base_transit_s = 0.0
        self.target_s = START_TARGET_S
        self.jitter_s = 0.0

    def add(self, media_s: float, arrival_s: float) -> None:
        """Note a packet whose media time is `media_s`; both times may have any origin."""
        transit_s = arrival_s - media_s
        self._transits_s.append(transit_s)
        self._seen += 1
        self._since_refresh += 1
        if self._seen == 1 or transit_s < self.base_transit_s:
            self.base_transit_s = transit_s
        # A packet far beyond the target must count at once, not with the next refresh.
        alarming = transit_s - self.base_transit_s > self.target_s
        if self._since_refresh >= REFRESH_PACKETS or alarming:
            self._refresh()

    def _refresh(self) -> None:
        self._since_refresh = 0
        transits = np.fromiter(self._transits_s, np.float64)
        self.base_transit_s = float(transits.min())
        excess = transits - self.base_transit_s
        self.jitter_s = float(np.quantile(excess, QUANTILE))
        wanted_s = self.jitter_s + MARGIN_S
        if self._seen < WARM_UP_PACKETS:
            wanted_s = max(wanted_s, START_TARGET_S)
        self.target_s = min(MOST_TARGET_S, max(LEAST_TARGET_S, wanted_s))

    def delay_s(self, media_s: float, now_s: float) -> float:
        """Return how much later than the fastest packet `media_s` would be played at `now_s`."""
        return now_s - media_s - self.base_transit_s

    def reset(self) -> None:
        """Forget everything: the sender's clock started anew."""
        self.__init__()  # type: ignore[misc]  # the one way to reset without naming fields twice
