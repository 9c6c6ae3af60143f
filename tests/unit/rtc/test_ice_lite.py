"""The lite agent: which path is used, and what is answered."""

from __future__ import annotations

import pytest

from app.protocol.errors import ProtocolError
from app.rtc.ice_lite import (
    IceCredentials,
    PathSelector,
    answer_check,
    host_candidate,
    local_ufrag_of,
    new_credentials,
)
from app.rtc.stun import build_binding_request, build_binding_success, parse_stun

OURS = IceCredentials("ours", "password")


def check(*, password: str = "password", controlling: bool = True) -> bytes:
    return build_binding_request(
        b"x" * 12,
        username="ours:theirs",
        password=password,
        priority=1,
        controlling=controlling,
        tie_breaker=1,
    )


def test_an_authentic_check_is_answered_with_its_source() -> None:
    message = parse_stun(check())
    assert local_ufrag_of(message) == "ours"
    data, counts = answer_check(message, OURS, ("192.0.2.9", 5))
    assert counts
    assert parse_stun(data).mapped_address == ("192.0.2.9", 5)
    assert parse_stun(data).is_authentic("password")


def test_a_forged_check_and_an_answer_get_no_reply() -> None:
    with pytest.raises(ProtocolError):
        answer_check(parse_stun(check(password="guess")), OURS, ("192.0.2.9", 5))
    reply = build_binding_success(b"x" * 12, ("192.0.2.9", 5), "password")
    with pytest.raises(ProtocolError):
        answer_check(parse_stun(reply), OURS, ("192.0.2.9", 5))


def test_a_peer_that_thinks_it_is_controlled_is_told_so() -> None:
    data, counts = answer_check(parse_stun(check(controlling=False)), OURS, ("192.0.2.9", 5))
    assert not counts
    assert parse_stun(data).error_code == 487


def test_the_first_path_is_used_until_one_is_nominated() -> None:
    paths = PathSelector()
    assert paths.deadline_s() is None
    assert paths.handle_check("a", nominated=False, now_s=0)
    assert not paths.handle_check("b", nominated=False, now_s=1)
    assert paths.handle_check("b", nominated=True, now_s=2)
    assert paths.selected == "b"
    assert paths.deadline_s() == 2 + 15 + 5


def test_a_new_path_takes_two_nominations_in_a_row() -> None:
    paths = PathSelector()
    paths.handle_check("a", nominated=True, now_s=0)
    assert not paths.handle_check("b", nominated=True, now_s=1)
    assert paths.handle_check("b", nominated=True, now_s=2)


def test_aggressive_nomination_does_not_make_media_flap() -> None:
    paths = PathSelector()
    paths.handle_check("a", nominated=True, now_s=0)
    for i in range(10):
        assert not paths.handle_check("b", nominated=True, now_s=i)
        assert not paths.handle_check("a", nominated=True, now_s=i)
    assert paths.selected == "a"


def test_the_first_nomination_after_a_restart_is_followed_at_once() -> None:
    paths = PathSelector()
    paths.handle_check("a", nominated=True, now_s=0)
    assert not paths.handle_check("b", nominated=False, now_s=1, generation=1)
    assert paths.handle_check("b", nominated=True, now_s=1, generation=1)
    assert not paths.handle_check("a", nominated=True, now_s=2, generation=0)
    assert paths.selected == "b"


def test_loopback_is_the_last_choice() -> None:
    network = host_candidate(0, "192.0.2.1", 7882).split()
    loopback = host_candidate(1, "127.0.0.1", 7882).split()
    assert network[4:8] == ["192.0.2.1", "7882", "typ", "host"]
    assert int(network[3]) > int(loopback[3])


def test_credentials_are_long_enough_and_new_each_time() -> None:
    one, two = new_credentials(), new_credentials()
    assert one != two
    assert len(one.ufrag) >= 4
    assert len(one.pwd) >= 22


def test_a_silent_path_is_broken_before_the_peer_is_gone_and_a_restart_gives_it_time() -> None:
    paths = PathSelector()
    assert not paths.is_silent(100)
    paths.expect(5)
    assert paths.deadline_s() is None
    paths.handle_check("wifi", nominated=True, now_s=0)
    assert not paths.is_silent(14.9)
    assert paths.is_silent(15)
    paths.expect(15)
    assert not paths.is_silent(29)
    assert paths.deadline_s() == 35
