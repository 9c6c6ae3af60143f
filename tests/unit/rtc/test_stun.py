"""STUN: round trips, integrity, fingerprint, the sample of RFC 5769."""

from __future__ import annotations

import pytest

from app.protocol.errors import ProtocolError
from app.rtc.stun import (
    BINDING_ERROR,
    BINDING_REQUEST,
    StunMessage,
    build_binding_error,
    build_binding_request,
    build_binding_success,
    build_plain_binding_request,
    is_stun,
    parse_stun,
)
from tests.support.fuzz import assert_only_protocol_errors

ID = b"0123456789ab"
# RFC 5769 §2.1 and §2.2, password "VOkJxbRl1RmTxUk/WvJxBt".
RFC_REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e7400240004"
    "6e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56"
    "781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)
RFC_RESPONSE = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147"
    "e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)


def request(**changes: object) -> StunMessage:
    values: dict[str, object] = {
        "username": "theirs:ours",
        "password": "secret",
        "priority": 0x6E0001FF,
        "controlling": True,
        "tie_breaker": 1 << 63,
    }
    return parse_stun(build_binding_request(ID, **{**values, **changes}))  # type: ignore[arg-type]


def test_a_check_says_what_it_was_given() -> None:
    message = request(use_candidate=True)
    assert message.type == BINDING_REQUEST
    assert message.transaction_id == ID
    assert message.username == "theirs:ours"
    assert message.priority == 0x6E0001FF
    assert message.use_candidate
    assert message.is_authentic("secret")
    assert not message.is_authentic("other")
    assert not request().use_candidate


@pytest.mark.parametrize(
    "address", [("192.0.2.1", 32_853), ("2001:db8::1", 9), ("fe80::1%eth0", 1)]
)
def test_an_answer_carries_the_address(address: tuple[str, int]) -> None:
    message = parse_stun(build_binding_success(ID, address, "secret"))
    assert message.mapped_address == (address[0].partition("%")[0], address[1])
    assert message.is_authentic("secret")


def test_a_refusal_carries_its_code() -> None:
    message = parse_stun(build_binding_error(ID, 487, "Role Conflict", None))
    assert (message.type, message.error_code) == (BINDING_ERROR, 487)
    assert not message.is_authentic("")
    assert parse_stun(build_plain_binding_request(ID)).integrity_at == -1


def test_the_samples_of_rfc_5769_are_authentic() -> None:
    message = parse_stun(RFC_REQUEST)
    assert message.username == "evtj:h6vY"
    assert message.is_authentic("VOkJxbRl1RmTxUk/WvJxBt")
    answer = parse_stun(RFC_RESPONSE)
    assert answer.mapped_address == ("192.0.2.1", 32_853)
    assert answer.is_authentic("VOkJxbRl1RmTxUk/WvJxBt")


def test_a_changed_byte_fails_the_fingerprint() -> None:
    data = bytearray(RFC_REQUEST)
    data[30] ^= 1
    with pytest.raises(ProtocolError, match="fingerprint"):
        parse_stun(bytes(data))


def test_other_protocols_on_the_port_are_told_apart() -> None:
    assert is_stun(RFC_REQUEST)
    assert not is_stun(b"\x16" + bytes(30))
    assert not is_stun(RFC_REQUEST[:19])


def test_any_bytes_give_a_message_or_a_protocol_error() -> None:
    def parse(data: bytes) -> None:
        message = parse_stun(data)
        _ = message.username, message.priority, message.mapped_address, message.error_code
        message.is_authentic("x")

    plain = build_binding_success(ID, ("192.0.2.1", 5), "secret")
    assert_only_protocol_errors(parse, [RFC_REQUEST, RFC_RESPONSE, plain, RFC_REQUEST[:-8]])
