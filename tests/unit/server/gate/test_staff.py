"""Who has a role above guest, and is not here."""

from __future__ import annotations

import json

import pytest

from app.server.gate.staff import KEEP_S, MAX_STAFF, Helper, Staff

CLEO = Helper("cleo", "Cleo", "cohost", "link", seen_s=100.0)
DAN = Helper("dan", "Dan", "cohost", "link", seen_s=100.0)


def test_those_who_are_not_here_are_listed_until_their_tokens_are_long_over() -> None:
    staff = Staff()
    assert staff.note(CLEO)
    assert staff.note(DAN)
    for known in (staff, Staff.from_json(json.loads(json.dumps(staff.to_json())))):
        assert known.away({"dan"}, now_s=101.0) == [CLEO]
        assert known.away((), now_s=101.0) == [CLEO, DAN]
        assert known.away((), now_s=100.0 + KEEP_S) == []


def test_a_guest_is_no_news_and_ends_a_role() -> None:
    staff = Staff()
    assert not staff.note(Helper("bo", "Bo", "guest"))
    staff.note(CLEO)
    assert staff.note(Helper("cleo", "Cleo", "guest"))
    assert staff.away((), now_s=0.0) == []


def test_with_an_invitation_go_the_roles_of_those_it_brought_who_are_not_here() -> None:
    staff = Staff()
    staff.note(CLEO)
    staff.note(DAN)
    staff.retire("link", here={"dan"})
    assert staff.away((), now_s=101.0) == [DAN]


def test_only_so_many_are_remembered() -> None:
    staff = Staff()
    for number in range(MAX_STAFF + 1):
        staff.note(Helper(f"h{number}", "H", "cohost"))
    assert len(staff.away((), now_s=0.0)) == MAX_STAFF
    assert staff.away((), now_s=0.0)[0].identity == "h1"


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        {},
        [3, {}],
        [{"identity": "x", "name": "X", "role": "king", "invitation": "", "seen_s": 1}],
        [{"identity": "x", "name": "X", "role": "host", "invitation": "", "seen_s": True}],
        [{"identity": 3, "name": "X", "role": "host", "invitation": "", "seen_s": 1}],
        [{"identity": "x", "name": "X", "role": [], "invitation": "", "seen_s": 1}],
    ],
)
def test_a_damaged_list_is_an_empty_one(damaged: object) -> None:
    assert Staff.from_json(damaged).away((), now_s=0.0) == []
