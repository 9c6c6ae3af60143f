"""The door slows guessing down, per address and for a while only."""

from __future__ import annotations

from app.server.api.refusals import RefusalLimiter


def test_the_sixth_guess_within_ten_seconds_has_to_wait() -> None:
    limiter = RefusalLimiter()
    for n in range(5):
        assert not limiter.is_blocked("a", now_s=n)
        limiter.note_refusal("a", now_s=n)
    assert limiter.is_blocked("a", now_s=5)
    assert not limiter.is_blocked("b", now_s=5)
    assert not limiter.is_blocked("a", now_s=10.5)
    limiter.note_refusal("a", now_s=10.5)
    assert limiter.is_blocked("a", now_s=10.6)
    assert not limiter.is_blocked("a", now_s=60)


def test_many_addresses_do_not_fill_the_memory() -> None:
    limiter = RefusalLimiter()
    for n in range(12_000):
        limiter.note_refusal(str(n), now_s=n / 10_000)
    assert len(limiter._refused_at_s) <= 10_000
