from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from app.engine.client import RoomLookup
from app.engine.door import HeldToken, _parse, read_lookup, refusal_of
from app.protocol.invite import Link, LinkKind
from app.runtime.errors import Reason, WorldError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
bodies = st.dictionaries(
    st.sampled_from(["name", "host", "people", "passcode", "lobby", "locked", "error"]),
    json_values,
)


@given(st.one_of(st.binary(), json_values.map(lambda value: json.dumps(value).encode())))
def test_any_body_is_an_object_or_nothing(body: bytes) -> None:
    assert isinstance(_parse(body), dict)


@given(bodies)
def test_any_answer_about_a_room_can_be_shown(body: dict[str, object]) -> None:
    lookup = read_lookup(body, "jam")

    assert lookup.room
    assert all(isinstance(name, str) for name in lookup.people)
    assert isinstance(lookup.needs_passcode, bool)


@given(st.integers(100, 599), bodies)
def test_any_refusal_has_a_reason(status: int, body: dict[str, object]) -> None:
    assert isinstance(refusal_of(status, body), WorldError)


def test_what_the_door_says_is_taken_over() -> None:
    body = {
        "name": "jam",
        "host": "Ada",
        "people": [{"name": "Bo"}, {"name": 7}, "x"],
        "passcode": True,
        "locked": True,
    }

    assert read_lookup(body, "") == RoomLookup(
        "jam", "Ada", ("Bo",), needs_passcode=True, locked=True
    )


def test_refusals_mean_what_the_design_says() -> None:
    answers = {
        (401, "passcode"): Reason.PASSCODE,
        (401, "invite_expired"): Reason.EXPIRED,
        (401, "invite_invalid"): Reason.FORGED,
        (403, "denied"): Reason.DENIED,
        (403, "locked"): Reason.LOCKED,
        (404, "not_found"): Reason.NOT_FOUND,
        (429, "too_many_tries"): Reason.REFUSED,
        (503, "full"): Reason.FULL,
        (500, ""): Reason.REFUSED,
    }

    for (status, error), reason in answers.items():
        assert refusal_of(status, {"error": error}).reason is reason


def test_who_comes_back_is_known_however_the_room_was_written() -> None:
    typed = Link(LinkKind.INVITE, "192.0.2.2", 7880, room="garden-club")
    held = HeldToken(typed.door_url, typed.room, "token")

    assert held.token_for(replace(typed, room="Garden club")) == "token"
    assert held.token_for(replace(typed, room="Tea club")) == ""
    assert held.token_for(replace(typed, host="192.0.2.3")) == ""
