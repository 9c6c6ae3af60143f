"""Values that cross a thread: capacity, policy, and a count of what was dropped."""

from __future__ import annotations

from app.runtime.mailbox import DropOldestMailbox, LatestMailbox


def test_the_newest_value_wins_and_the_lost_one_is_counted() -> None:
    box: LatestMailbox[int] = LatestMailbox()

    box.put(1)
    box.put(2)

    assert (box.take(), box.take(), box.dropped) == (2, None, 1)


def test_the_slot_wakes_its_reader_once_per_filling() -> None:
    woken: list[str] = []
    box: LatestMailbox[int] = LatestMailbox(lambda: woken.append("ready"))

    box.put(1)
    box.put(2)
    box.take()
    box.put(3)

    assert woken == ["ready", "ready"]


def test_a_full_queue_forgets_its_oldest_value() -> None:
    box: DropOldestMailbox[int] = DropOldestMailbox(2)

    for value in (1, 2, 3):
        box.put(value)

    assert (len(box), box.take_all(), box.dropped) == (2, [2, 3], 1)


def test_a_queue_wakes_its_reader_when_it_stops_being_empty() -> None:
    woken: list[str] = []
    box: DropOldestMailbox[int] = DropOldestMailbox(2, lambda: woken.append("ready"))

    box.put(1)
    box.put(2)
    assert (box.take(), box.take(), box.take()) == (1, 2, None)
    box.put(3)

    assert woken == ["ready", "ready"]
