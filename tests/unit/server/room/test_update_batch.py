"""When a change of somebody's state is told, and that the newest one always is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.server.room.update_batch import HOLD_S, UpdateBatch


def test_up_to_twenty_people_hear_of_everything_at_once() -> None:
    batch = UpdateBatch()
    assert batch.handle_change("a", may_wait=True, people=20, now_s=0.0)
    assert batch.deadline_s is None


def test_above_that_changes_wait_half_a_second_and_leave_once_each() -> None:
    batch = UpdateBatch()
    assert not batch.handle_change("a", may_wait=True, people=21, now_s=1.0)
    assert not batch.handle_change("b", may_wait=True, people=21, now_s=1.2)
    assert not batch.handle_change("a", may_wait=True, people=21, now_s=1.4)
    assert batch.deadline_s == 1.0 + HOLD_S
    assert batch.handle_deadline(1.49) == []
    assert batch.handle_deadline(1.5) == ["a", "b"]
    assert batch.deadline_s is None


def test_what_concerns_tracks_is_told_at_once_and_takes_along_what_waits() -> None:
    batch = UpdateBatch()
    batch.handle_change("a", may_wait=True, people=30, now_s=0.0)
    assert batch.handle_change("a", may_wait=False, people=30, now_s=0.1)
    assert batch.deadline_s is None
    assert batch.handle_deadline(9.0) == []


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(1, 40), st.floats(0.0, 0.3)),
        max_size=60,
    )
)
def test_every_last_change_is_told_within_the_half_second(
    changes: list[tuple[str, bool, int, float]],
) -> None:
    batch, now_s = UpdateBatch(), 0.0
    changed_s: dict[str, float] = {}

    def tell(sids: list[str]) -> None:
        for sid in sids:
            changed_s.pop(sid, None)

    for sid, may_wait, people, pause_s in changes:
        due_s = now_s + pause_s
        if batch.deadline_s is not None and batch.deadline_s <= due_s:
            now_s = batch.deadline_s
            tell(batch.handle_deadline(now_s))
        now_s = due_s
        changed_s.setdefault(sid, now_s)
        if batch.handle_change(sid, may_wait=may_wait, people=people, now_s=now_s):
            tell([sid])
        assert all(now_s - since_s <= HOLD_S + 1e-9 for since_s in changed_s.values())
        assert bool(changed_s) == (batch.deadline_s is not None)
    if batch.deadline_s is not None:
        tell(batch.handle_deadline(batch.deadline_s))
    assert not changed_s
