"""Slots: enough sections, never twice, and reuse when a track has gone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.server.room.slots import SlotTable

THREE = {"0": "audio", "1": "audio", "2": "audio", "3": "video", "4": "video", "5": "video"}


def test_tracks_known_before_the_first_offer_need_no_request() -> None:
    table = SlotTable()
    table.want("A", "audio")
    table.want("V", "video")
    assert table.handle_offer(THREE) == {"0": "A", "3": "V"}
    assert table.requirement() is None
    assert table.mid_of("V") == "3"


def test_a_new_track_with_a_free_slot_asks_only_for_an_offer() -> None:
    table = SlotTable()
    table.handle_offer(THREE)
    table.want("A", "audio")
    assert table.requirement() == (0, 0)
    assert table.handle_offer(THREE) == {"0": "A"}


def test_what_does_not_fit_is_asked_for_once() -> None:
    table = SlotTable()
    for n in range(5):
        table.want(f"A{n}", "audio")
    table.handle_offer(THREE)
    assert table.requirement() == (2, 0)
    table.want("A5", "audio")
    assert table.requirement() == (1, 0)
    assert table.requirement() == (0, 0)


def test_an_offer_that_crosses_the_request_does_not_double_it() -> None:
    table = SlotTable()
    for n in range(4):
        table.want(f"A{n}", "audio")
    table.handle_offer(THREE)
    assert table.requirement() == (1, 0)
    # The client's own offer was on its way: it has no new section yet.
    table.handle_offer(THREE)
    assert table.requirement() == (0, 0)
    table.handle_offer({**THREE, "6": "audio"})
    assert table.requirement() is None
    assert table.mid_of("A3") == "6"


def test_a_removed_track_frees_its_slot_for_the_next() -> None:
    table = SlotTable()
    table.want("V", "video")
    table.handle_offer(THREE)
    table.unwant("V")
    assert table.requirement() == (0, 0)
    table.want("W", "video")
    assert table.requirement() == (0, 0)
    assert table.handle_offer(THREE) == {"3": "W"}


def test_a_track_taken_again_at_once_leaves_its_slot_for_one_answer() -> None:
    table = SlotTable()
    table.want("V", "video")
    table.handle_offer(THREE)
    table.unwant("V")
    table.want("V", "video")
    assert table.requirement() == (0, 0)
    assert table.handle_offer(THREE) == {}
    assert table.requirement() == (0, 0)
    assert table.handle_offer(THREE) == {"3": "V"}
    assert table.requirement() is None


def test_a_slot_that_the_client_takes_back_moves_its_track() -> None:
    table = SlotTable()
    table.want("V", "video")
    table.handle_offer(THREE)
    rest = {mid: kind for mid, kind in THREE.items() if mid != "3"}
    assert table.handle_offer(rest) == {"4": "V"}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["want", "unwant", "offer", "grow"]),
            st.integers(0, 6),
            st.sampled_from(["audio", "video"]),
        ),
        max_size=40,
    )
)
def test_an_obedient_client_ends_up_with_exactly_what_is_wanted(
    steps: list[tuple[str, int, str]],
) -> None:
    table, slots, wanted = SlotTable(), dict(THREE), dict[str, str]()

    def offer() -> None:
        needed = table.requirement()
        for kind, count in zip(("audio", "video"), needed or (0, 0), strict=True):
            for _ in range(count):
                slots[str(len(slots))] = kind
        table.handle_offer(slots)

    for action, number, kind in steps:
        track = f"{kind}{number}"
        if action == "want":
            wanted[track] = kind
            table.want(track, kind)
        elif action == "unwant":
            wanted.pop(track, None)
            table.unwant(track)
        elif action == "grow":
            slots[str(len(slots))] = kind
        else:
            offer()
    offer()
    # A track that was given up and taken again rests for one answer.
    offer()
    assert table.requirement() is None
    assert sorted(table.carried.values()) == sorted(wanted)
    assert all(slots[mid] == wanted[track] for mid, track in table.carried.items())
    most = max(sum(1 for k in slots.values() if k == kind) for kind in ("audio", "video"))
    assert most <= 3 + 7 + sum(1 for action, _, _ in steps if action == "grow")


def test_after_a_resume_what_was_asked_for_before_is_asked_for_again() -> None:
    table = SlotTable()
    for n in range(5):
        table.want(f"A{n}", "audio")
    table.handle_offer(THREE)
    assert table.requirement() == (2, 0)
    table.forget_requests()
    table.handle_offer(THREE)
    assert table.requirement() == (2, 0)
