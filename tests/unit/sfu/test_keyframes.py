"""Keyframe requests are merged, throttled and repeated."""

from __future__ import annotations

from app.sfu.keyframes import KeyframeThrottle


def test_many_requests_become_one() -> None:
    throttle = KeyframeThrottle(1)
    assert throttle.request(0.0)
    assert not any(throttle.request(0.1 * i) for i in range(1, 10))
    assert throttle.request(1.0)


def test_the_lowest_layer_may_be_asked_twice_as_often() -> None:
    throttle = KeyframeThrottle(0)
    assert throttle.request(0.0)
    assert throttle.request(0.5)


def test_a_throttled_request_is_made_later_unless_a_keyframe_came() -> None:
    throttle = KeyframeThrottle(1)
    throttle.request(0.0)
    throttle.handle_keyframe()
    assert not throttle.request(0.2)
    assert not throttle.repeat(0.5, 0.1)
    assert throttle.repeat(1.0, 0.1)
    throttle.handle_keyframe()
    assert not throttle.repeat(5.0, 0.1)
