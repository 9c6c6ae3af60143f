"""What a peer cannot make an association keep, and that order comes out of disorder."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.rtc.sctp.channels import MAX_CHANNELS, Channels, OpenRequest, open_message, parse_open
from app.rtc.sctp.inbound import (
    MAX_GAPPED,
    MAX_STREAMS,
    OVERDRAFT_BYTES,
    WINDOW_BYTES,
    Fragment,
    Inbound,
)
from app.rtc.sctp.wire import FIRST_FRAGMENT, LAST_FRAGMENT, UNORDERED, WHOLE, parse_sack
from tests.support.fuzz import assert_only_protocol_errors
from tests.support.sctp_ends import Ends

FIRST_TSN = 2**32 - 3
BINARY, DCEP = 53, 50


def fragment(content: bytes, flags: int, *, stream: int = 1, seq: int = 0) -> Fragment:
    return (flags, stream, seq, BINARY, content)


def inbound() -> Inbound:
    return Inbound(FIRST_TSN, max_message_bytes=65_535)


def kept_bytes(what: Inbound) -> int:
    run = sum(map(len, what._run.parts)) if what._run is not None else 0
    gapped = sum(len(piece[4]) for piece in what._gapped.values() if piece is not None)
    waiting = sum(len(data) for s in what._streams.values() for _, data in s.waiting.values())
    return run + gapped + waiting


def test_a_message_that_never_ends_is_given_up() -> None:
    what = inbound()
    for number in range(10_000):
        flags = FIRST_FRAGMENT if number == 0 else 0
        what.handle_data((FIRST_TSN + number) % 2**32, fragment(bytes(1_100), flags))
    assert kept_bytes(what) == 0
    assert what.refused_messages == 1
    what.handle_data((FIRST_TSN + 10_000) % 2**32, fragment(b"end", LAST_FRAGMENT))
    what.handle_data((FIRST_TSN + 10_001) % 2**32, fragment(b"next", WHOLE, seq=1))
    assert [data for _, _, data in what.messages] == [b"next"]
    assert what.window_bytes == WINDOW_BYTES


def test_gaps_that_are_never_filled_are_not_kept_without_end() -> None:
    for size, flags in ((1, FIRST_FRAGMENT), (1_100, FIRST_FRAGMENT), (1_100, UNORDERED)):
        what = inbound()
        for number in range(20_000):
            tsn = (FIRST_TSN + 1 + 2 * number) % 2**32
            what.handle_data(tsn, fragment(bytes(size), flags))
        assert len(what._gapped) <= MAX_GAPPED
        assert kept_bytes(what) <= WINDOW_BYTES + OVERDRAFT_BYTES + 2_000
        assert len(what.sack()) < 1_000


def test_messages_that_wait_for_one_that_never_comes_are_not_kept_without_end() -> None:
    what = inbound()
    for number in range(20_000):
        # The first sequence is never sent.
        seq = 1 + number % 30_000
        what.handle_data((FIRST_TSN + number) % 2**32, fragment(bytes(1_000), WHOLE, seq=seq))
    assert kept_bytes(what) <= 2 * (WINDOW_BYTES + OVERDRAFT_BYTES) + 2_000


def test_what_the_application_does_not_take_closes_the_window() -> None:
    what = inbound()
    for number in range(5_000):
        what.handle_data((FIRST_TSN + number) % 2**32, fragment(bytes(1_000), WHOLE, seq=number))
        what.inbox_bytes += sum(len(data) for _, _, data in what.messages)
        what.messages = []
    assert what.inbox_bytes <= WINDOW_BYTES + OVERDRAFT_BYTES
    assert what.window_bytes == 0


def test_streams_and_channels_have_an_end() -> None:
    ends = Ends()
    ends.start()
    channels = Channels(
        ends.b,
        role="server",
        on_message=lambda _channel, _data: None,
        on_open=lambda _channel: None,
        on_closed=lambda _channel: None,
    )
    for stream in range(200):
        ends.a.send(stream, DCEP, open_message(f"c{stream}", ordered=True, max_resends=None))
        packets, _ = ends.a.take_packets(ends.now_s)
        for packet in packets:
            ends.b.handle_packet(packet, ends.now_s)
        channels.process()
        for packet in ends.b.take_packets(ends.now_s)[0]:
            ends.a.handle_packet(packet, ends.now_s)
    assert len(channels._by_stream) == MAX_CHANNELS
    assert ends.b.inbound is not None
    assert len(ends.b.inbound._streams) == MAX_STREAMS


def test_an_open_request_is_read_back_and_nothing_else_is() -> None:
    request = open_message("a label", ordered=False, max_resends=3)
    assert parse_open(request) == OpenRequest("a label", "", False, 3)
    assert_only_protocol_errors(parse_open, [request])


def test_numbers_are_put_in_order_across_the_turn() -> None:
    what = inbound()
    for number in (3, 1, 0, 0, 2, 7, 5, 4):
        piece = fragment(bytes([number]), WHOLE | UNORDERED)
        what.handle_data((FIRST_TSN + number) % 2**32, piece)
    assert what.cumulative == FIRST_TSN + 5
    tsn, _, gaps = parse_sack(what.sack()[4:])
    assert (tsn, gaps) == ((FIRST_TSN + 5) % 2**32, [(2, 2)])
    assert sorted(data[0] for _, _, data in what.messages) == [0, 1, 2, 3, 4, 5, 7]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_order_and_repetition_of_fragments_gives_the_messages_in_order(data: Any) -> None:
    chance = random.Random(data.draw(st.integers(0, 2**32)))
    sequences = {1: 0, 2: 0}
    pieces: list[tuple[int, Fragment]] = []
    sent: dict[tuple[int, bool], list[bytes]] = {}
    tsn = FIRST_TSN
    for number in range(data.draw(st.integers(1, 12))):
        stream, ordered = chance.choice([1, 2]), chance.random() < 0.7
        count = chance.choice([1, 1, 2, 5])
        contents = [bytes([number, part]) for part in range(count)]
        for part, content in enumerate(contents):
            flags = (FIRST_FRAGMENT if part == 0 else 0) | (0 if ordered else UNORDERED)
            flags |= LAST_FRAGMENT if part == count - 1 else 0
            pieces.append(
                (tsn % 2**32, (flags, stream, sequences[stream] if ordered else 0, BINARY, content))
            )
            tsn += 1
        if ordered:
            sequences[stream] += 1
        sent.setdefault((stream, ordered), []).append(b"".join(contents))
    arriving = pieces + [piece for piece in pieces if chance.random() < 0.2]
    chance.shuffle(arriving)
    what = inbound()
    for number, piece in arriving:
        what.handle_data(number, piece)
    received = [(stream, content) for stream, _, content in what.messages]
    for (stream, ordered), messages in sent.items():
        of_these = [c for s, c in received if s == stream and c in messages]
        assert of_these == messages if ordered else sorted(of_these) == sorted(messages)
    assert len(received) == sum(map(len, sent.values()))
    assert what.window_bytes == WINDOW_BYTES
    assert not what.has_gaps
