"""What a room remembers of people beyond their tokens."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from app.protocol.token import Claims
from app.server.gate.standing import (
    Standing,
    grant_for,
    invitation_of,
    is_of_door,
    role_of,
    with_role,
)

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


def test_an_invitation_that_was_taken_back_is_worth_a_guests_place() -> None:
    standing = Standing()
    came_of_it = replace(COHOST, identity="dan", raw={"lanai": {"invitation": "a"}})
    assert invitation_of(came_of_it) == "a"
    assert role_of(standing.effective(came_of_it)) == "cohost"
    assert standing.role_at_door("", "cohost", "a") == "cohost"
    standing.set_role("cleo", "guest")
    standing.retire("a")
    for known in (standing, read_again(standing)):
        assert known.role_at_door("", "cohost", "a") == "guest"
        assert known.role_at_door("cleo", "cohost", "b") == "guest"
        assert known.role_at_door("", "cohost", "b") == "cohost"
        # Not only the link: tokens that it gave before, too.
        assert role_of(known.effective(came_of_it)) == "guest"
        assert role_of(known.effective(replace(COHOST, identity="eve"))) == "cohost"
    # What a host said of somebody counts more.
    standing.set_role("dan", "cohost")
    assert role_of(standing.effective(came_of_it)) == "cohost"


@pytest.mark.parametrize("claim", [None, "a", {"invitation": 3}, {}])
def test_a_token_that_came_of_no_invitation_says_so(claim: object) -> None:
    assert invitation_of(Claims("x", raw={"lanai": claim})) == ""


def test_a_token_is_the_doors_when_it_names_a_role() -> None:
    assert is_of_door(COHOST)
    assert not is_of_door(Claims("api", video=grant_for("host", "room")))


@pytest.mark.parametrize(
    "damaged",
    [
        {"roles": [], "removed": {}, "members": None, "retired": "x"},
        {"roles": {"cleo": "king"}, "removed": [3], "retired": [None]},
    ],
)
def test_damaged_books_are_empty_ones(damaged: dict[str, object]) -> None:
    assert Standing.from_json(damaged).effective(COHOST) is COHOST


def test_strangers_from_where_somebody_was_sent_away_are_suspect_until_one_is_let_in() -> None:
    standing = Standing()
    standing.note_address("bo", "10.0.0.7")
    standing.note_address("cleo", "10.0.0.8")
    assert not standing.is_suspect("10.0.0.7")
    standing.note_removed("bo")
    for known in (standing, read_again(standing)):
        assert known.is_suspect("10.0.0.7")
        assert not known.is_suspect("10.0.0.8")
        assert not known.is_suspect("")
    standing.trust("10.0.0.7")
    assert not standing.is_suspect("10.0.0.7")
    assert standing.is_removed("bo")


def test_the_end_of_a_meeting_clears_addresses_and_not_names() -> None:
    standing = Standing()
    standing.note_address("bo", "10.0.0.7")
    standing.note_removed("bo")
    standing.forget_addresses()
    assert not standing.is_suspect("10.0.0.7")
    assert standing.is_removed("bo")


def test_letting_somebody_in_again_clears_the_address_too() -> None:
    standing = Standing()
    standing.note_address("bo", "10.0.0.7")
    standing.note_removed("bo")
    standing.note_member("bo")
    assert not standing.is_suspect("10.0.0.7")
