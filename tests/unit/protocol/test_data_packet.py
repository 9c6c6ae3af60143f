"""Reliable packets are numbered once, resent under their number, delivered once."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol.models import DataPacket, UserPacket

from app.protocol.data_packet import (
    MAX_PACKET_BYTES,
    PacketTooLargeError,
    ReliableInbox,
    ReliableOutbox,
    encode_lossy,
    parse_packet,
)
from app.protocol.errors import ProtocolError
from tests.support.vectors import read_vector


def user(payload: bytes = b"hello", sid: str = "", sequence: int = 0) -> DataPacket:
    return DataPacket(user=UserPacket(payload=payload), participant_sid=sid, sequence=sequence)


def test_numbers_start_at_one_and_rise_by_one() -> None:
    outbox = ReliableOutbox()

    numbers = [parse_packet(outbox.number(user())).sequence for _ in range(3)]

    assert numbers == [1, 2, 3]


def test_a_packet_too_large_takes_no_number() -> None:
    outbox = ReliableOutbox()

    with pytest.raises(PacketTooLargeError):
        outbox.number(user(b"x" * MAX_PACKET_BYTES))

    assert parse_packet(outbox.number(user())).sequence == 1


def test_lossy_packets_carry_no_number_and_have_the_same_limit() -> None:
    assert parse_packet(encode_lossy(user(sequence=9))).sequence == 0
    with pytest.raises(PacketTooLargeError):
        encode_lossy(user(b"x" * MAX_PACKET_BYTES))


def test_a_resume_sends_again_what_the_server_missed_under_the_old_numbers() -> None:
    outbox = ReliableOutbox()
    sent = [outbox.number(user(bytes([n]))) for n in range(4)]

    assert outbox.unacknowledged(2) == sent[2:]
    assert outbox.unacknowledged(4) == []


def test_what_has_left_the_transport_is_forgotten() -> None:
    outbox = ReliableOutbox()
    sent = [outbox.number(user(bytes([n]))) for n in range(4)]

    outbox.trim(len(sent[3]) + 1)

    assert outbox.unacknowledged(0) == sent[2:]


def test_a_repeated_packet_is_not_new_and_a_later_one_is() -> None:
    inbox = ReliableInbox()

    assert inbox.is_new(user(sid="PA_a", sequence=1), 0.0)
    assert not inbox.is_new(user(sid="PA_a", sequence=1), 0.1)
    assert inbox.is_new(user(sid="PA_b", sequence=1), 0.1)
    assert inbox.is_new(user(sid="PA_a", sequence=5), 0.2)


def test_unnumbered_packets_are_always_new() -> None:
    inbox = ReliableInbox()

    assert inbox.is_new(user(sid="PA_a"), 0.0)
    assert inbox.is_new(user(sid="PA_a"), 0.0)


def test_a_sender_silent_for_long_is_forgotten() -> None:
    inbox = ReliableInbox()
    inbox.is_new(user(sid="PA_a", sequence=7), 0.0)
    inbox.is_new(user(sid="PA_b", sequence=3), 25.0)

    assert inbox.receive_states(29.0) == [("PA_a", 7), ("PA_b", 3)]
    assert inbox.receive_states(31.0) == [("PA_b", 3)]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_packet_or_a_protocol_error(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert isinstance(parse_packet(data), DataPacket)


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.integers(0, 9)), max_size=40))
def test_each_number_of_a_sender_is_delivered_at_most_once(steps: list[tuple[str, int]]) -> None:
    inbox = ReliableInbox()
    delivered: list[tuple[str, int]] = [
        step for step in steps if inbox.is_new(user(sid=step[0], sequence=step[1]), 0.0)
    ]
    counted = [step for step in delivered if step[0] and step[1]]

    assert len(set(counted)) == len(counted)


def test_recorded_packets_of_the_sdk_are_numbered_as_we_number() -> None:
    outbox = ReliableOutbox()
    for record in read_vector("data_python_uplink.jsonl"):
        if record.kind != "data" or record.fields["channel"] != "_reliable":
            continue
        theirs = parse_packet(record.raw)
        ours = DataPacket()
        ours.CopyFrom(theirs)
        assert parse_packet(outbox.number(ours)) == theirs
