"""Frames survive any network whole or not at all, and packets look as official SDKs make them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.data_track.depacketizer import Depacketizer, Frame
from app.protocol.data_track.packet import (
    Encryption,
    Extensions,
    encode_extensions,
    parse_packet,
    peek_handle,
    with_handle,
)
from app.protocol.data_track.packetizer import FrameTooLargeError, Packetizer
from app.protocol.errors import ProtocolError
from tests.support.fuzz import assert_only_protocol_errors
from tests.support.vectors import read_vector

RECORDED = [r.raw for r in read_vector("data_track.packets.jsonl") if r.kind == "data"]


def packets_of(*payloads: bytes, handle: int = 7) -> list[list[bytes]]:
    packetizer = Packetizer(handle, base=4_294_900_000)
    return [
        packetizer.packetize(payload, index * 0.1, Extensions(user_timestamp=index))
        for index, payload in enumerate(payloads)
    ]


def joined(packets: list[bytes], max_partial_frames: int = 1) -> list[Frame]:
    depacketizer = Depacketizer(max_partial_frames=max_partial_frames)
    frames = [depacketizer.push(parse_packet(packet)) for packet in packets]
    return [frame for frame in frames if frame is not None]


# --- what is on the wire


def test_recorded_packets_of_an_official_sdk_are_read_and_made_again() -> None:
    assert len(RECORDED) >= 8
    for data in RECORDED:
        packet = parse_packet(data)
        again = Packetizer(packet.handle, base=packet.timestamp)
        again._sequence, again._frame = packet.sequence, packet.frame
        if packet.is_start and packet.is_final:
            assert again.packetize(packet.payload, 0.0, packet.extensions) == [data]
        assert peek_handle(data) == packet.handle


def test_recorded_packets_join_to_the_frames_that_were_sent() -> None:
    frames = joined(RECORDED)

    assert frames[0].payload == b"frame 0"
    stamped = [f for f in frames if f.extensions.user_timestamp is not None]
    assert stamped
    assert max(len(f.payload) for f in frames) > 16_000


def test_the_user_timestamp_takes_twelve_bytes() -> None:
    block = encode_extensions(Extensions(user_timestamp=0x0102030405060708))
    assert block == bytes.fromhex("0002 0208 0102030405060708")


def test_encryption_and_timestamp_stand_together_and_unknown_entries_are_skipped() -> None:
    wanted = Extensions(5, Encryption(3, b"i" * 12))
    (data,) = Packetizer(1, base=0).packetize(b"x", 0.0, wanted)
    assert parse_packet(data).extensions == wanted
    unknown = bytes((0x1C, 0, 0, 1)) + bytes(8) + bytes((0, 1, 9, 4, 1, 2, 3, 4)) + b"rest"
    assert parse_packet(unknown).payload == b"rest"


def test_a_server_exchanges_the_handle_and_nothing_else() -> None:
    (data,) = packets_of(b"payload", handle=1)[0:1][0]
    packet, other = parse_packet(data), parse_packet(with_handle(data, b"\x12\x34"))
    assert other.handle == 0x1234
    assert (other.payload, other.sequence, other.extensions) == (
        packet.payload,
        packet.sequence,
        packet.extensions,
    )


def test_a_frame_is_split_at_sixteen_thousand_bytes_and_an_empty_one_is_no_packet() -> None:
    packetizer = Packetizer(1, base=0)
    packets = packetizer.packetize(bytes(40_960), 0.0)
    assert [len(p) for p in packets] == [16_000, 16_000, 40_960 - 2 * 15_988 + 12]
    assert packetizer.packetize(b"", 0.0) == []
    assert parse_packet(packetizer.packetize(b"x", 0.0)[0]).frame == 1
    with pytest.raises(FrameTooLargeError):
        packetizer.packetize(bytes(128 * 15_988 + 1), 0.0)
    assert len(packetizer.packetize(bytes(128 * 15_988), 0.0)) == 128


def test_any_bytes_are_a_packet_or_a_protocol_error() -> None:
    assert_only_protocol_errors(parse_packet, RECORDED)


@given(st.binary(max_size=80))
def test_what_a_server_forwards_has_the_lengths_that_it_claims(data: bytes) -> None:
    try:
        handle = parse_packet(data).handle
    except ProtocolError:
        return
    assert peek_handle(data) == handle


# --- joining


def test_a_final_packet_that_overtakes_completes_the_frame_later() -> None:
    (packets,) = packets_of(bytes(range(250)) * 160)
    first, middle, last = packets
    assert [f.payload for f in joined([first, last, middle])] == [bytes(range(250)) * 160]
    assert joined([middle, first, last]) == []


def test_a_newer_frame_pushes_the_unfinished_one_out_and_late_frames_are_dropped() -> None:
    long, short, last = packets_of(bytes(20_000), b"short", b"last")
    assert [f.payload for f in joined([long[0], *short, long[1]])] == [b"short"]
    assert [f.payload for f in joined([*last, *short])] == [b"last"]
    more = joined([long[0], *short, long[1], *last], max_partial_frames=2)
    assert [len(f.payload) for f in more] == [5, 20_000, 4]


def test_a_publisher_that_begins_anew_is_heard() -> None:
    old = Packetizer(1, base=0)
    old._frame = 30_000
    packets = [*old.packetize(b"old", 0.0), *Packetizer(1, base=9).packetize(b"new", 0.0)]
    assert [f.payload for f in joined(packets)] == [b"old", b"new"]


def test_numbers_wrap_without_a_lost_frame() -> None:
    packetizer = Packetizer(1, base=0)
    packetizer._frame = packetizer._sequence = 65_534
    payloads = [bytes([n]) * 20_000 for n in range(6)]
    packets = [p for n, x in enumerate(payloads) for p in packetizer.packetize(x, n / 10)]
    assert [f.payload for f in joined(packets)] == payloads


def test_more_packets_than_a_frame_may_have_are_not_kept() -> None:
    depacketizer = Depacketizer()
    packetizer = Packetizer(1, base=0)
    packets = packetizer.packetize(bytes(128 * 15_988), 0.0)
    for number, data in enumerate(packets[:-1]):
        assert depacketizer.push(parse_packet(data)) is None, number
    forged = with_handle(packets[1], b"\0\1")[:4] + (200).to_bytes(2, "big") + packets[1][6:]
    assert depacketizer.push(parse_packet(forged)) is None
    assert depacketizer.drops.incomplete_frames == 1
    assert depacketizer.push(parse_packet(packets[-1])) is None


@given(
    sizes=st.lists(st.integers(1, 70_000), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.1, 0.5]),
    repeat=st.sampled_from([0.0, 0.3]),
    reach=st.integers(0, 12),
    room=st.integers(1, 4),
)
def test_any_order_loss_and_duplication_gives_the_frame_or_nothing(
    sizes: list[int], seed: int, loss: float, repeat: float, reach: int, room: int
) -> None:
    chance = random.Random(seed)
    sent = [chance.randbytes(size) for size in sizes]
    packets = [packet for frame in packets_of(*sent) for packet in frame]
    arriving = [p for p in packets if chance.random() >= loss]
    arriving += [p for p in arriving if chance.random() < repeat]
    order = {id(p): n + chance.uniform(0, reach) for n, p in enumerate(packets)}
    arriving.sort(key=lambda p: order[id(p)])

    frames = joined(arriving, max_partial_frames=room)

    numbers = [frame.extensions.user_timestamp for frame in frames]
    assert len(set(numbers)) == len(numbers)
    for frame in frames:
        number = frame.extensions.user_timestamp
        assert number is not None
        assert frame.payload == sent[number]
    if loss == 0 and reach == 0:
        assert numbers == list(range(len(sent)))
    if room == 1:
        assert numbers == sorted(number for number in numbers if number is not None)
