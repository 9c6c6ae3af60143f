from __future__ import annotations

from app.server.room.occupancy import Occupancy


def is_over(occupancy: Occupancy, now_s: float) -> bool:
    return occupancy.is_over(now_s, empty_timeout_s=300, departure_timeout_s=20)


def test_a_room_that_nobody_has_entered_waits_for_its_first_guest() -> None:
    room = Occupancy(100)
    assert not is_over(room, 399)
    assert is_over(room, 400)


def test_after_people_the_last_departure_of_anybody_counts() -> None:
    room = Occupancy(100)
    room.note_came(is_dependent=False)
    room.note_left(1_000)
    room.note_left(1_010)
    assert not is_over(room, 1_029)
    assert is_over(room, 1_030)


def test_agents_alone_do_not_make_a_room_used() -> None:
    room = Occupancy(100)
    room.note_came(is_dependent=True)
    room.note_left(110)
    assert not is_over(room, 399)
    assert is_over(room, 400)
