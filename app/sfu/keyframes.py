"""When to pass a keyframe request on to a publisher.

A keyframe costs as much as a second of video, so requests from many subscribers become one,
and no layer is asked more often than its throttle allows. While somebody waits for the layer
the request is repeated: it, or the keyframe, may have been lost.
"""

from __future__ import annotations

LOW_LAYER_GAP_S = 0.5
OTHER_LAYER_GAP_S = 1.0
_MIN_REPEAT_S = 0.2


class KeyframeThrottle:
    """Request state of one layer."""

    __slots__ = ("_asked_s", "_gap_s", "is_wanted")

    def __init__(self, spatial: int) -> None:
        self._gap_s = OTHER_LAYER_GAP_S if spatial else LOW_LAYER_GAP_S
        self._asked_s = float("-inf")
        self.is_wanted = False

    def request(self, now_s: float) -> bool:
        """Take a subscriber's request; True when one is to be sent now.

        A throttled request is not lost: it stays wanted until a keyframe arrives.
        """
        self.is_wanted = True
        return self._is_due(now_s, self._gap_s)

    def repeat(self, now_s: float, rtt_s: float) -> bool:
        """Whether to ask again because no keyframe has come."""
        if not self.is_wanted:
            return False
        return self._is_due(now_s, max(self._gap_s, min(max(2 * rtt_s, _MIN_REPEAT_S), 1.0)))

    def handle_keyframe(self) -> None:
        """Take note of a keyframe: what was wanted is there."""
        self.is_wanted = False

    def _is_due(self, now_s: float, gap_s: float) -> bool:
        if now_s - self._asked_s < gap_s:
            return False
        self._asked_s = now_s
        return True
