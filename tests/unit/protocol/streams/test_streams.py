"""Streams are cut and put together as official SDKs do it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol.models import DataPacket, DataStream

from app.protocol.data_packet import parse_packet
from app.protocol.errors import ProtocolError
from app.protocol.streams.assembler import (
    BytesGrew,
    IncomingStream,
    Output,
    StreamAssembler,
    StreamEnded,
    StreamFailed,
    StreamFault,
    StreamKind,
    StreamOpened,
    TextGrew,
)
from app.protocol.streams.splitter import (
    ByteSplitter,
    HeaderTooLargeError,
    StreamClosedError,
    StreamDescription,
    TextSplitter,
    split_text,
)
from tests.support.vectors import read_vector


def describe(
    *, mime_type: str = "text/plain", total_bytes: int | None = None, topic: str = "lk.chat"
) -> StreamDescription:
    return StreamDescription("s1", topic, 1_700_000_000_000, mime_type, total_bytes)


def feed(assembler: StreamAssembler, packets: list[DataPacket]) -> list[Output]:
    return [output for packet in packets for output in assembler.handle_packet(packet)]


def chunk(index: int, content: bytes, stream_id: str = "s1") -> DataPacket:
    return DataPacket(
        stream_chunk=DataStream.Chunk(stream_id=stream_id, chunk_index=index, content=content)
    )


def opened(kind: StreamKind = StreamKind.TEXT, total_bytes: int | None = None) -> StreamAssembler:
    assembler = StreamAssembler()
    header = DataPacket(participant_identity="alice")
    header.stream_header.stream_id = "s1"
    if total_bytes is not None:
        header.stream_header.total_length = total_bytes
    if kind is StreamKind.TEXT:
        header.stream_header.text_header.SetInParent()
    else:
        header.stream_header.byte_header.SetInParent()
    assembler.handle_packet(header)
    return assembler


def trailer(reason: str = "", **attributes: str) -> DataPacket:
    return DataPacket(
        stream_trailer=DataStream.Trailer(stream_id="s1", reason=reason, attributes=attributes)
    )


@given(st.text(), st.integers(min_value=4, max_value=40))
def test_text_is_cut_between_characters_and_loses_nothing(text: str, limit: int) -> None:
    text = text.encode("utf-8", errors="replace").decode()

    pieces = list(split_text(text, limit))

    assert "".join(piece.decode() for piece in pieces) == text
    assert all(0 < len(piece) <= limit for piece in pieces)


@given(st.text(max_size=50_000))
def test_a_text_comes_out_as_it_went_in(text: str) -> None:
    text = text.encode("utf-8", errors="replace").decode()
    splitter = TextSplitter(describe(total_bytes=len(text.encode())))
    packets = [splitter.open(), *splitter.write(text), splitter.close(attributes={"k": "v"})]

    outputs = feed(StreamAssembler(), packets)

    assert "".join(o.text for o in outputs if isinstance(o, TextGrew)) == text
    assert outputs[-1] == StreamEnded("s1", {"k": "v"})


def test_bytes_come_out_as_they_went_in_and_are_cut_at_15000() -> None:
    data = bytes(range(256)) * 200
    splitter = ByteSplitter(describe(mime_type="image/png", total_bytes=len(data)))
    packets = [splitter.open(name="a.png"), *splitter.write(data), splitter.close()]

    outputs = feed(StreamAssembler(), packets)

    grown = [o.data for o in outputs if isinstance(o, BytesGrew)]
    assert [len(piece) for piece in grown] == [15_000, 15_000, 15_000, 6_200]
    assert b"".join(grown) == data
    assert outputs[0] == StreamOpened(
        IncomingStream(
            stream_id="s1",
            kind=StreamKind.BYTES,
            topic="lk.chat",
            timestamp_ms=1_700_000_000_000,
            mime_type="image/png",
            total_bytes=len(data),
            sender_identity="",
            attributes={},
            name="a.png",
        )
    )


def test_an_empty_text_is_a_header_and_a_trailer() -> None:
    splitter = TextSplitter(describe(total_bytes=0))

    assert list(splitter.write("")) == []
    assert feed(StreamAssembler(), [splitter.open(), splitter.close()])[1:] == [StreamEnded("s1")]


def test_nothing_can_be_written_after_the_trailer() -> None:
    splitter = TextSplitter(describe())
    splitter.close()

    with pytest.raises(StreamClosedError):
        list(splitter.write("late"))
    with pytest.raises(StreamClosedError):
        splitter.close()


def test_a_header_that_fits_no_packet_is_refused() -> None:
    splitter = TextSplitter(
        StreamDescription("s1", "t", 1, "text/plain", attributes={"k": "v" * 15_000})
    )

    with pytest.raises(HeaderTooLargeError):
        splitter.open()


def test_a_character_split_across_chunks_is_shown_whole() -> None:
    assembler = opened()
    head, tail = "é".encode()[:1], "é".encode()[1:]

    assert assembler.handle_packet(chunk(0, b"caf" + head)) == [TextGrew("s1", "caf")]
    assert assembler.handle_packet(chunk(1, tail)) == [TextGrew("s1", "é")]


@pytest.mark.parametrize(
    ("total_bytes", "packets", "fault"),
    [
        (None, [chunk(1, b"x")], StreamFault.CHUNK_MISSING),
        (None, [chunk(0, b"x"), chunk(2, b"x")], StreamFault.CHUNK_MISSING),
        (3, [chunk(0, b"four")], StreamFault.TOO_LONG),
        (9, [chunk(0, b"four"), trailer()], StreamFault.TOO_SHORT),
        (None, [chunk(0, b"\xff")], StreamFault.NOT_TEXT),
        (None, [chunk(0, b"\xc3"), trailer()], StreamFault.NOT_TEXT),
    ],
)
def test_a_stream_that_cannot_become_whole_fails_with_its_reason(
    total_bytes: int | None, packets: list[DataPacket], fault: StreamFault
) -> None:
    assembler = opened(total_bytes=total_bytes)

    assert feed(assembler, packets)[-1] == StreamFailed("s1", fault)
    assert len(assembler) == 0


def test_a_reason_in_the_trailer_is_told_to_the_reader() -> None:
    assert opened().handle_packet(trailer("interrupted")) == [
        StreamFailed("s1", StreamFault.ABORTED, "interrupted")
    ]


def test_a_stream_over_the_accepted_size_fails_whether_announced_or_not() -> None:
    header = TextSplitter(describe(total_bytes=11)).open()
    unannounced = TextSplitter(describe())

    assert StreamAssembler(max_bytes=10).handle_packet(header)[-1] == StreamFailed(
        "s1", StreamFault.OVERSIZED
    )
    packets = [unannounced.open(), *unannounced.write("elevenbytes")]
    assert feed(StreamAssembler(max_bytes=10), packets)[-1] == StreamFailed(
        "s1", StreamFault.OVERSIZED
    )


def test_streams_of_a_sender_who_left_fail_and_others_go_on() -> None:
    assembler = opened()

    assert assembler.handle_sender_left("bob") == []
    assert assembler.handle_sender_left("alice") == [StreamFailed("s1", StreamFault.SENDER_LEFT)]
    assert assembler.handle_packet(chunk(0, b"late")) == []


def test_chunks_are_matched_by_stream_id_alone() -> None:
    assembler = opened()
    on_behalf = chunk(0, b"words")
    on_behalf.participant_identity = "agent"

    assert assembler.handle_packet(on_behalf) == [TextGrew("s1", "words")]
    assert assembler.handle_sender_left("agent") == [StreamFailed("s1", StreamFault.SENDER_LEFT)]


def test_an_ignored_stream_gives_nothing_more() -> None:
    assembler = opened()
    assembler.ignore("s1")

    assert feed(assembler, [chunk(0, b"x"), trailer()]) == []


def test_headers_that_open_no_stream_are_the_peers_fault() -> None:
    assembler = opened()
    twice = DataPacket()
    twice.stream_header.stream_id = "s1"
    twice.stream_header.text_header.SetInParent()
    kindless = DataPacket()
    kindless.stream_header.stream_id = "s2"

    for packet in (twice, kindless, DataPacket(stream_header=DataStream.Header())):
        with pytest.raises(ProtocolError):
            assembler.handle_packet(packet)


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_give_outputs_or_a_protocol_error(messages: list[bytes]) -> None:
    assembler = StreamAssembler(max_bytes=1000)
    for message in messages:
        with contextlib.suppress(ProtocolError):
            assembler.handle_packet(parse_packet(message))


ids = st.sampled_from(["", "s1", "s2"])
any_header = st.builds(
    lambda i, kind, total, inline: DataPacket(
        stream_header=DataStream.Header(
            stream_id=i,
            total_length=total,
            inline_content=inline,
            text_header=DataStream.TextHeader() if kind == "t" else None,
            byte_header=DataStream.ByteHeader() if kind == "b" else None,
        )
    ),
    ids,
    st.sampled_from("tb-"),
    st.none() | st.integers(0, 20),
    st.none() | st.just(b"x"),
)
any_chunk = st.builds(
    lambda i, index, content: chunk(index, content, i), ids, st.integers(0, 3), st.binary()
)
any_trailer = st.builds(
    lambda i, reason: DataPacket(stream_trailer=DataStream.Trailer(stream_id=i, reason=reason)),
    ids,
    st.sampled_from(["", "error"]),
)


@given(st.lists(any_header | any_chunk | any_trailer, max_size=20))
def test_a_stream_ends_at_most_once_and_nothing_follows_its_end(packets: list[DataPacket]) -> None:
    assembler = StreamAssembler(max_bytes=15)
    running: set[str] = set()
    for packet in packets:
        try:
            outputs = assembler.handle_packet(packet)
        except ProtocolError:
            continue
        for output in outputs:
            match output:
                case StreamOpened(stream):
                    assert stream.stream_id not in running
                    running.add(stream.stream_id)
                case TextGrew(stream_id) | BytesGrew(stream_id):
                    assert stream_id in running
                case StreamEnded(stream_id) | StreamFailed(stream_id):
                    running.remove(stream_id)
    assert len(assembler) == len(running)


def recorded(name: str, direction: str) -> Iterator[DataPacket]:
    for record in read_vector(name):
        if record.kind == "data" and record.direction == direction:
            yield parse_packet(record.raw)


@pytest.mark.parametrize("name", ["data_python_to_v1_peer", "data_chromium_to_v1_peer"])
def test_recorded_streams_of_official_sdks_become_whole(name: str) -> None:
    assembler = StreamAssembler()
    texts: dict[str, str] = {}
    ended = 0
    failures: list[StreamFailed] = []
    streams: dict[str, IncomingStream] = {}
    for packet in recorded(f"{name}.jsonl", "server>client"):
        for output in assembler.handle_packet(packet):
            match output:
                case StreamOpened(stream):
                    streams[stream.stream_id] = stream
                    texts[stream.stream_id] = ""
                case TextGrew(stream_id, text):
                    texts[stream_id] += text
                case StreamEnded():
                    ended += 1
                case StreamFailed():
                    failures.append(output)
                case BytesGrew():
                    pass

    # The recording leaves out middle chunks of long streams: those fail, and say why.
    assert {failure.fault for failure in failures} <= {StreamFault.CHUNK_MISSING}
    assert ended >= 6
    assert len(assembler) == 0
    assert "" in texts.values()


def test_a_recorded_short_text_is_cut_into_the_packets_that_the_sdk_sends() -> None:
    packets = list(recorded("data_python_to_v1_peer.jsonl", "server>client"))
    first = next(i for i, p in enumerate(packets) if p.HasField("stream_header"))
    theirs = packets[first : first + 3]
    header = theirs[0].stream_header

    splitter = TextSplitter(
        StreamDescription(
            header.stream_id,
            header.topic,
            header.timestamp,
            header.mime_type,
            header.total_length,
            dict(header.attributes),
            sender_identity="alice",
        )
    )
    ours = [splitter.open(), *splitter.write("short text"), splitter.close()]

    for packet in theirs:
        packet.ClearField("sequence")
        packet.ClearField("participant_sid")
    assert ours == theirs


def test_a_recorded_text_that_an_agent_sent_for_somebody_becomes_whole() -> None:
    assembler = StreamAssembler()
    senders: dict[str, str] = {}
    ended: list[str] = []
    for packet in recorded("data_agent.jsonl", "server>client"):
        for output in assembler.handle_packet(packet):
            if isinstance(output, StreamOpened):
                senders[output.stream.stream_id] = output.stream.sender_identity
            if isinstance(output, StreamEnded):
                ended.append(senders[output.stream_id])

    assert ended == ["agent-1", "observer"]


def test_twenty_thousand_damaged_packets_give_outputs_or_protocol_errors() -> None:
    chance = random.Random(3)
    raws = [
        record.raw
        for name in (
            "data_python_to_v1_peer.jsonl",
            "data_python_to_v2_peer.jsonl",
            "data_agent.jsonl",
        )
        for record in read_vector(name)
        if record.kind == "data" and len(record.raw) < 2_000
    ]
    assembler = StreamAssembler(max_bytes=100_000)
    refused = 0
    for _ in range(20_000):
        damaged = bytearray(chance.choice(raws))
        for _ in range(chance.randrange(4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        cut = chance.randrange(len(damaged)) if chance.random() < 0.1 else len(damaged)
        try:
            assembler.handle_packet(parse_packet(bytes(damaged[:cut])))
        except ProtocolError:
            refused += 1
        if chance.random() < 0.001:
            assembler.handle_sender_left(chance.choice(["alice", "agent-1", "observer"]))

    assert 0 < refused < 20_000


def test_nobody_puts_words_into_somebody_elses_stream() -> None:
    assembler = StreamAssembler()
    header = DataPacket(participant_identity="alice", participant_sid="PA_alice")
    header.stream_header.stream_id = "s1"
    header.stream_header.text_header.SetInParent()
    forged, real = chunk(0, b"forged"), chunk(0, b"real")
    forged.participant_identity, forged.participant_sid = "mallory", "PA_mallory"
    # An agent that speaks for alice: another identity, the same sid.
    real.participant_identity, real.participant_sid = "agent", "PA_alice"
    cut = DataPacket(participant_identity="mallory", participant_sid="PA_mallory")
    cut.stream_trailer.stream_id = "s1"
    cut.stream_trailer.reason = "forged"
    feed(assembler, [header])

    assert feed(assembler, [forged, cut, real]) == [TextGrew("s1", "real")]
    assert assembler.handle_sender_left("mallory") == []
