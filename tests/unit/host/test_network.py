from __future__ import annotations

import ipaddress
import socket

from app.host.network import is_pair_free, lan_address, port_pairs


def test_the_next_pairs_follow_the_wanted_one() -> None:
    pairs = list(port_pairs(7880, 7882))

    assert pairs[:3] == [(7880, 7882), (7884, 7886), (7888, 7890)]
    assert len({port for pair in pairs for port in pair}) == 2 * len(pairs)


def test_any_port_is_asked_for_once_and_none_is_past_the_last() -> None:
    assert list(port_pairs(0, 0)) == [(0, 0)]
    assert max(max(pair) for pair in port_pairs(65_500, 65_502)) < 65_536


def test_a_pair_with_one_port_taken_is_not_free() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        rtc_port = taken.getsockname()[1]

        assert not is_pair_free(["127.0.0.1"], 0, rtc_port)

    assert is_pair_free(["127.0.0.1"], 0, rtc_port)


def test_the_address_for_others_is_not_loopback() -> None:
    address = lan_address()

    assert address is None or not ipaddress.ip_address(address).is_loopback
