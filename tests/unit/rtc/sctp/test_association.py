"""How an association begins, goes on and ends."""

from __future__ import annotations

import random

import pytest

from app.protocol.errors import ProtocolError
from app.rtc.sctp import wire
from app.rtc.sctp.association import Ended, Established, State
from app.rtc.sctp.inbound import WINDOW_BYTES
from tests.support.sctp_ends import Ends, attack, new_association

BINARY = 53


def kinds(packet: bytes) -> list[int]:
    """The types of a packet's chunks."""
    found, at = [], wire.HEADER_BYTES
    while at < len(packet):
        kind, _, size = wire.CHUNK.unpack_from(packet, at)
        found.append(kind)
        at += size + -size % 4
    return found


def test_both_ends_begin_at_once_and_carry_messages_both_ways() -> None:
    ends = Ends()
    ends.start()
    assert ends.a.state is ends.b.state is State.ESTABLISHED

    ends.a.send(1, BINARY, b"there")
    ends.b.send(1, BINARY, bytes(50_000))
    ends.settle()

    assert ends.messages == {"a": [(1, BINARY, bytes(50_000))], "b": [(1, BINARY, b"there")]}


def test_one_end_may_begin_long_before_the_other() -> None:
    ends = Ends()
    ends.a.start(5000, ends.now_s)
    ends.pass_time(20)
    assert ends.a.state is State.COOKIE_WAIT

    ends.b.start(5000, ends.now_s)
    ends.settle()

    assert ends.a.state is ends.b.state is State.ESTABLISHED


@pytest.mark.parametrize("seed", range(20))
def test_it_comes_up_whatever_of_the_beginning_is_lost_and_repeated(seed: int) -> None:
    chance = random.Random(seed)
    ends = Ends(seed, lambda _sender, _packet: chance.choice([0, 0, 1, 1, 2]))
    ends.start()
    ends.pass_time(60)
    assert ends.a.state is ends.b.state is State.ESTABLISHED
    ends.a.send(0, BINARY, b"x")
    ends.pass_time(60)
    assert ends.messages["b"] == [(0, BINARY, b"x")]


def test_an_init_that_comes_late_changes_nothing() -> None:
    ends = Ends()
    ends.start()
    init = next(p for name, p in ends.packets if name == "a" and kinds(p) == [wire.INIT])
    for number in range(5):
        ends.a.send(0, BINARY, bytes([number]))
        ends.b.handle_packet(init, ends.now_s)
        ends.settle()
    assert [data for _, _, data in ends.messages["b"]] == [bytes([n]) for n in range(5)]


def test_a_peer_that_begins_anew_is_met_anew() -> None:
    ends = Ends()
    ends.start()
    ends.a.send(0, BINARY, b"before")
    ends.settle()
    ends.a = new_association(77)
    ends.a.start(5000, ends.now_s)
    ends.settle()

    assert ends.events["b"] == [Established(), Established(is_restart=True)]
    ends.a.send(0, BINARY, b"after")
    ends.b.send(0, BINARY, b"yes")
    ends.settle()
    assert ends.messages["b"][-1] == (0, BINARY, b"after")
    assert ends.messages["a"] == [(0, BINARY, b"yes")]


def test_an_abort_ends_it_and_frees_what_was_queued() -> None:
    ends = Ends()
    ends.start()
    ends.a.abort()
    ends.settle()
    assert ends.events["b"][-1] == Ended()
    with pytest.raises(ConnectionError):
        ends.b.send(0, BINARY, b"x")
    assert ends.b.deadline_s is None


def test_a_heartbeat_is_echoed() -> None:
    ends = Ends()
    ends.start()
    writer = wire.PacketWriter(5000, 5000, ends.b.local_tag)
    writer.add(wire.chunk(wire.HEARTBEAT, 0, wire.parameter(1, b"12345")))
    writer.close_packet()
    ends.b.handle_packet(writer.packets[0], ends.now_s)
    (packet,), _ = ends.b.take_packets(ends.now_s)
    assert kinds(packet) == [wire.HEARTBEAT_ACK]
    assert packet[16:] == wire.parameter(1, b"12345")


def test_a_lone_message_is_acknowledged_within_a_moment_and_a_second_one_at_once() -> None:
    ends = Ends()
    ends.start()
    ends.a.send(0, BINARY, b"x")
    ends.settle()
    assert not any(kinds(packet) == [wire.SACK] for _, packet in ends.packets)
    ends.pass_time(0.05)
    assert kinds(ends.packets[-1][1]) == [wire.SACK]
    before = len(ends.packets)
    ends.a.send(0, BINARY, bytes(2_000))
    ends.settle()
    assert [kinds(packet) for _, packet in ends.packets[before:]] == [
        [wire.DATA],
        [wire.DATA],
        [wire.SACK],
    ]


def test_a_long_message_is_acknowledged_every_four_packets_also_when_they_come_at_once() -> None:
    ends = Ends()
    ends.start()
    before = len(ends.packets)
    ends.a.send(0, BINARY, bytes(10 * wire.FRAGMENT_BYTES))
    ends.settle()
    data = [p for name, p in ends.packets[before:] if name == "a"]
    first_tsn = wire.DATA_VALUE.unpack_from(data[0], wire.HEADER_BYTES + 4)[0]
    sacks = [p for name, p in ends.packets[before:] if name == "b"]
    assert [kinds(packet) for packet in data] == [[wire.DATA]] * 10
    assert [kinds(packet) for packet in sacks] == [[wire.SACK]] * 3
    acked = [wire.parse_sack(packet[wire.HEADER_BYTES + 4 :])[0] - first_tsn for packet in sacks]
    assert acked == [3, 7, 9]


def test_a_sender_whose_window_is_below_four_packets_hardly_waits() -> None:
    ends = Ends()
    ends.start()
    before = len(ends.packets)
    ends.a.send(0, BINARY, bytes(10 * wire.FRAGMENT_BYTES))
    packets, _ = ends.a.take_packets(ends.now_s)
    ends.b.handle_packet(packets[0], ends.now_s)
    ends.b.handle_packet(packets[1], ends.now_s)
    assert not ends.b.wants_to_speak
    assert ends.b.deadline_s is not None
    assert ends.b.deadline_s <= ends.now_s + 0.01
    ends.pass_time(0.01)
    assert [kinds(packet) for name, packet in ends.packets[before:] if name == "b"] == [[wire.SACK]]


def test_it_wants_to_speak_exactly_when_there_is_something_to_take() -> None:
    chance = random.Random(5)
    ends = Ends()
    ends.start()
    pair = (ends.a, ends.b)
    spoke = silent = 0
    for _ in range(3_000):
        end, other = pair if chance.random() < 0.5 else pair[::-1]
        if chance.random() < 0.3:
            end.send(chance.randrange(3), BINARY, bytes(chance.choice((10, 2_000, 15_000))))
        wanted = end.wants_to_speak
        packets, _ = end.take_packets(ends.now_s, most=chance.choice((1, 4, 64)))
        # With a full window there is something to say that may not be said yet.
        assert wanted or not packets
        spoke += bool(packets)
        silent += not wanted
        for packet in packets:
            if chance.random() < 0.97:
                other.handle_packet(packet, ends.now_s)
        end.take_messages()
        ends.now_s += 0.002
        for each in pair:
            if each.deadline_s is not None and ends.now_s >= each.deadline_s:
                each.handle_deadline(ends.now_s)
    assert min(spoke, silent) > 300


def test_small_messages_share_a_packet() -> None:
    ends = Ends()
    ends.start()
    before = len(ends.packets)
    for _ in range(20):
        ends.a.send(0, BINARY, bytes(20))
    ends.settle()
    sent = [packet for name, packet in ends.packets[before:] if name == "a"]
    assert [kinds(packet) for packet in sent] == [[wire.DATA] * 20]
    assert len(ends.messages["b"]) == 20


def test_a_closed_window_stops_the_sender_and_its_opening_is_told() -> None:
    ends = Ends()
    ends.start()
    assert ends.b.inbound is not None
    ends.b.inbound.inbox_bytes = WINDOW_BYTES
    for _ in range(100):
        ends.a.send(0, BINARY, bytes(60_000))
    ends.pass_time(10)
    arrived = sum(len(data) for _, _, data in ends.messages["b"])
    assert arrived < WINDOW_BYTES + 100_000

    ends.b.inbound.inbox_bytes = 0
    ends.b.note_consumed()
    ends.pass_time(2)

    assert len(ends.messages["b"]) == 100


def test_a_lost_fragment_costs_a_message_that_may_not_be_repeated_and_no_other() -> None:
    lost: list[bytes] = []

    def fate(sender: str, packet: bytes) -> int:
        # The second fragment of the first message.
        if sender == "a" and b"\x01" * 1000 in packet and len(lost) < 2:
            lost.append(packet)
            return 1 if len(lost) == 1 else 0
        return 1

    for ordered in (True, False):
        lost.clear()
        ends = Ends(fate=fate)
        ends.start()
        for number in (1, 2, 3):
            ends.a.send(0, BINARY, bytes([number]) * 5_000, ordered=ordered, max_resends=0)
        ends.pass_time(5)
        assert [data[0] for _, _, data in ends.messages["b"]] == [2, 3]
        assert ends.a.outbound is not None
        assert ends.a.outbound.is_idle
        assert ends.a.outbound.abandoned_messages == 1


def test_what_is_lost_on_one_channel_does_not_delay_another() -> None:
    def fate(sender: str, packet: bytes) -> int:
        return 0 if sender == "a" and b"lost" in packet else 1

    ends = Ends(fate=fate)
    ends.start()
    ends.a.send(0, BINARY, b"lost")
    ends.settle()
    ends.a.send(2, BINARY, bytes(3_000), ordered=False, max_resends=0)
    ends.a.send(4, BINARY, b"other")
    ends.settle()
    assert [stream for stream, _, _ in ends.messages["b"]] == [2, 4]


def test_a_small_message_does_not_wait_for_another_channels_transfer() -> None:
    ends = Ends()
    ends.start()
    for _ in range(100):
        ends.a.send(0, BINARY, bytes(15_000))
    ends.a.send(2, BINARY, b"small")
    ends.settle()
    position = [stream for stream, _, _ in ends.messages["b"]].index(2)
    assert position <= 2


def test_numbers_turn_over() -> None:
    ends = Ends()
    for end in (ends.a, ends.b):
        end._initial_tsn = 2**32 - 3
    ends.start()
    for number in range(30):
        ends.a.send(0, BINARY, bytes([number]) * 2_000)
        ends.settle()
    assert [data[0] for _, _, data in ends.messages["b"]] == list(range(30))


def test_sequences_of_messages_turn_over() -> None:
    ends = Ends()
    ends.start()
    for number in range(70_000):
        ends.a.send(0, BINARY, number.to_bytes(4, "big"))
        if number % 500 == 0:
            ends.settle()
    ends.settle()
    numbers = [int.from_bytes(data, "big") for _, _, data in ends.messages["b"]]
    assert numbers == list(range(70_000))


def test_an_acknowledgement_of_what_was_never_sent_is_refused() -> None:
    ends = Ends()
    ends.start()
    assert ends.a.outbound is not None
    for value in ((ends.a.outbound.last_tsn + 5, []), (ends.a.outbound.last_tsn, [(2, 60_000)])):
        writer = wire.PacketWriter(5000, 5000, ends.a.local_tag)
        writer.add(wire.sack_chunk(value[0], 1 << 20, value[1], []))
        writer.close_packet()
        with pytest.raises(ProtocolError):
            ends.a.handle_packet(writer.packets[0], ends.now_s)


def test_a_packet_with_another_tag_is_ignored() -> None:
    ends = Ends()
    ends.start()
    for kind in (wire.ABORT, wire.SHUTDOWN_COMPLETE, wire.DATA, wire.COOKIE_ACK):
        writer = wire.PacketWriter(5000, 5000, ends.b.local_tag ^ 1)
        writer.add(wire.chunk(kind, 0, bytes(16)))
        writer.close_packet()
        ends.b.handle_packet(writer.packets[0], ends.now_s)
    assert ends.b.state is State.ESTABLISHED


def test_no_bytes_of_a_peer_raise_anything_else() -> None:
    attack(seed=1, count=20_000)
