"""What a room remembers of people beyond their tokens."""

from __future__ import annotations

import json

import pytest

from app.protocol.token import Claims
from app.server.gate.standing import Standing, grant_for, is_of_door, role_of, with_role

COHOST = with_role(Claims("cleo", video=grant_for("cohost", "room")), "cohost")


def read_again(standing: Standing) -> Standing:
    return Standing.from_json(json.loads(json.dumps(standing.to_json())))


def test_who_was_removed_and_let_in_again_is_a_guest() -> None:
    standing = Standing()
    standing.set_role("cleo", "host")
    standing.note_removed("cleo")
    assert role_of(standing.effective(COHOST)) == "guest"
    assert standing.note_member("cleo")
    assert not standing.is_removed("cleo")
    assert role_of(standing.effective(COHOST)) == "guest"
    assert role_of(read_again(standing).effective(COHOST)) == "guest"
    standing.set_role("cleo", "cohost")
    assert role_of(standing.effective(COHOST)) == "cohost"


def test_an_older_list_of_the_removed_takes_their_roles_too() -> None:
    old = Standing.from_json({"removed": ["cleo"], "roles": {"cleo": "cohost", "dan": "cohost"}})
    old.note_member("cleo")
    assert role_of(old.effective(COHOST)) == "guest"
    assert old.role_at_door("dan", "guest", "") == "cohost"


@pytest.mark.parametrize("is_removed", [False, True])
def test_an_invitation_is_worth_a_guests_place_once_its_bearer_lost_the_role(
    is_removed: bool,
) -> None:
    standing = Standing()
    assert standing.note_invited("cleo", "cohost", "a")
    assert not standing.note_invited("cleo", "cohost", "a")
    assert not standing.note_invited("bo", "guest", "g")
    assert not standing.note_invited("dan", "cohost", "")
    assert standing.role_at_door("", "cohost", "a") == "cohost"
    standing = read_again(standing)
    if is_removed:
        standing.note_removed("cleo")
    else:
        standing.set_role("cleo", "guest")
    for known in (standing, read_again(standing)):
        assert known.role_at_door("", "cohost", "a") == "guest"
        assert known.role_at_door("cleo", "cohost", "b") == "guest"
        assert known.role_at_door("", "cohost", "b") == "cohost"


def test_a_token_is_the_doors_when_it_names_a_role() -> None:
    assert is_of_door(COHOST)
    assert not is_of_door(Claims("api", video=grant_for("host", "room")))


@pytest.mark.parametrize(
    "damaged",
    [
        {"roles": [], "removed": {}, "members": None, "invited_by": 3, "retired": "x"},
        {"roles": {"cleo": "king"}, "removed": [3], "invited_by": {"cleo": 4}, "retired": [None]},
    ],
)
def test_damaged_books_are_empty_ones(damaged: dict[str, object]) -> None:
    assert Standing.from_json(damaged).effective(COHOST) is COHOST
