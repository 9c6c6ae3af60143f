"""Numbering of one layer: no holes of our own, the source's holes kept."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from app.sfu.numbering import Numbering


def test_numbers_pass_through_untouched() -> None:
    numbering = Numbering()
    assert [numbering.map(n) for n in (100, 101, 103, 102)] == [100, 101, 103, 102]


def test_what_is_dropped_leaves_no_hole() -> None:
    numbering = Numbering()
    numbering.map(100)
    assert numbering.drop(101)
    assert numbering.drop(102)
    assert numbering.map(103) == 101


def test_a_late_packet_gets_the_number_of_its_own_time() -> None:
    numbering = Numbering()
    numbering.map(100)
    numbering.map(102)
    numbering.drop(103)
    assert numbering.map(104) == 103
    assert numbering.map(101) == 101


def test_a_late_packet_cannot_be_dropped() -> None:
    numbering = Numbering()
    numbering.map(100)
    numbering.map(102)
    assert not numbering.drop(101)


def test_an_inserted_packet_takes_the_next_number() -> None:
    numbering = Numbering()
    assert numbering.insert() is None
    numbering.map(100)
    assert [numbering.insert(), numbering.insert()] == [101, 102]
    assert numbering.map(101) == 103
    assert numbering.map(100) == 100


def test_what_is_older_than_the_memory_is_refused() -> None:
    numbering = Numbering()
    for n in range(0, 1000, 2):
        numbering.map(n + 1000)
        numbering.drop(n + 1001)
    assert numbering.map(1000) is None


def test_a_long_probe_is_one_range() -> None:
    numbering = Numbering()
    numbering.map(10)
    for n in range(11, 17_000):
        numbering.drop(n)
    assert numbering.map(17_000) == 11
    assert numbering.map(10) == 10


@given(st.lists(st.sampled_from(["media", "probe", "insert"]), max_size=200))
def test_in_order_there_are_never_holes_or_repeats(events: list[str]) -> None:
    numbering = Numbering()
    out: list[int] = []
    incoming = 65_500
    for event in events:
        if event == "insert":
            number = numbering.insert()
            if number is not None:
                out.append(number)
            continue
        if event == "media":
            mapped = numbering.map(incoming)
            assert mapped is not None
            out.append(mapped)
        else:
            assert numbering.drop(incoming)
        incoming += 1
    assert all(b - a == 1 for a, b in itertools.pairwise(out))
