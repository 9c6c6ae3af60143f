"""Streams in one packet, compressed streams, and what a hostile sender makes of either."""

from __future__ import annotations

import itertools
import json
import random
import zlib
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit.protocol.models import ClientInfo, DataPacket, ParticipantInfo

from app.protocol.errors import ProtocolError
from app.protocol.streams.assembler import (
    MAX_IDLE_S,
    MAX_OPEN_PER_SENDER,
    STEP_BYTES,
    BytesGrew,
    Output,
    StreamAssembler,
    StreamEnded,
    StreamFailed,
    StreamFault,
    StreamOpened,
    TextGrew,
)
from app.protocol.streams.deflate import Deflater, Inflater, deflate
from app.protocol.streams.negotiation import PLAIN, StreamForm, form_for
from app.protocol.streams.splitter import (
    CHUNK_BYTES,
    MAX_HEADER_BYTES,
    ByteSplitter,
    StreamDescription,
    TextFacts,
    TextSplitter,
    bytes_packets,
    text_packets,
)
from tests.support.vectors import read_vector

RICH = StreamForm(inline=True, deflate=True)
FORMS = (PLAIN, StreamForm(inline=True), RICH)
INCOMPRESSIBLE = random.Random(7).randbytes(40_000)


def describe(total_bytes: int | None = None) -> StreamDescription:
    return StreamDescription("s1", "lk.chat", 1_700_000_000_000, "text/plain", total_bytes)


@dataclass
class Reading:
    """What came out of an assembler."""

    text: str = ""
    data: bytes = b""
    ended: bool = False
    faults: list[StreamFault] = field(default_factory=list)

    def take(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case TextGrew(_, text):
                    self.text += text
                case BytesGrew(_, data):
                    self.data += data
                case StreamEnded():
                    self.ended = True
                case StreamFailed(_, fault, _):
                    self.faults.append(fault)
                case StreamOpened():
                    pass


def read(packets: list[DataPacket], *, max_bytes: int = 5_000_000) -> Reading:
    assembler, reading = StreamAssembler(max_bytes=max_bytes), Reading()
    for packet in packets:
        reading.take(assembler.handle_packet(packet))
    while assembler.has_more("s1"):
        reading.take(assembler.handle_room("s1"))
    assert not (reading.ended and reading.faults)
    return reading


def encodable(text: str) -> str:
    return text.encode("utf-8", errors="replace").decode()


def shape(packets: list[DataPacket]) -> str:
    """h header, H inline header, c chunk, t trailer; upper case ! for compressed ones."""
    letters = []
    for packet in packets:
        match packet.WhichOneof("value"):
            case "stream_header":
                header = packet.stream_header
                letters.append("H" if header.HasField("inline_content") else "h")
                letters.append("!" if header.compression else "")
            case "stream_chunk":
                letters.append("c")
            case _:
                letters.append("t")
    return "".join(letters)


@pytest.mark.parametrize("form", FORMS)
@given(st.text(max_size=30_000))
@settings(max_examples=25, deadline=None)
def test_a_whole_text_comes_out_as_it_went_in_whatever_its_form(
    form: StreamForm, text: str
) -> None:
    text = encodable(text)
    packets = list(text_packets(describe(len(text.encode())), text, form=form))

    reading = read(packets)

    assert (reading.ended, reading.text, reading.faults) == (True, text, [])
    assert all(packet.ByteSize() <= MAX_HEADER_BYTES + 200 for packet in packets)


@pytest.mark.parametrize(
    ("form", "text", "wanted"),
    [
        (PLAIN, "short", "hct"),
        (PLAIN, "", "ht"),
        (RICH, "short", "H"),
        (RICH, "", "H"),
        (RICH, "long " * 10_000, "H!"),
        (StreamForm(inline=True), "long " * 10_000, "hcccct"),
        (RICH, "".join(random.Random(1).choices("abcdefghij0123456789", k=40_000)), "h!cct"),
    ],
)
def test_the_form_follows_what_the_recipients_read(
    form: StreamForm, text: str, wanted: str
) -> None:
    assert shape(list(text_packets(describe(len(text)), text, form=form))) == wanted


def test_a_text_with_attachments_keeps_its_trailer() -> None:
    facts = TextFacts(attached_stream_ids=("f1",))

    packets = list(text_packets(describe(5), "short", form=RICH, facts=facts))

    assert shape(packets) == "hct"
    assert list(packets[0].stream_header.text_header.attached_stream_ids) == ["f1"]


def test_bytes_that_do_not_shrink_are_sent_as_they_are() -> None:
    packets = list(bytes_packets(describe(40_000), INCOMPRESSIBLE, name="a", form=RICH))

    assert shape(packets) == "hccct"
    assert read(packets).data == INCOMPRESSIBLE


@given(st.lists(st.binary(max_size=40_000), max_size=6))
@settings(max_examples=25, deadline=None)
def test_a_file_deflated_bit_by_bit_becomes_whole(blocks: list[bytes]) -> None:
    splitter, deflater = ByteSplitter(describe(sum(map(len, blocks)))), Deflater(CHUNK_BYTES)
    packets = [splitter.open(name="f", compressed=True)]
    for block in blocks:
        packets += splitter.cut(deflater.push(block))
    packets += [*splitter.cut(deflater.finish()), splitter.close()]

    reading = read(packets)

    assert (reading.ended, reading.data) == (True, b"".join(blocks))


@pytest.mark.parametrize("compressed", [False, True])
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_split_order_duplication_or_loss_gives_the_text_or_an_error(
    compressed: bool, data: st.DataObject
) -> None:
    text = encodable(data.draw(st.text(max_size=60)))
    content = text.encode()
    payload = deflate(content) if compressed else content
    cuts = sorted(data.draw(st.lists(st.integers(0, len(payload)), max_size=6)))
    edges = [0, *cuts, len(payload)]
    pieces = [payload[a:b] for a, b in itertools.pairwise(edges)]
    splitter = TextSplitter(describe(len(content)))
    header = splitter.open(compressed=compressed)
    chunks = list(splitter.cut(pieces))
    order = data.draw(
        st.one_of(
            st.just(list(range(len(chunks)))),
            st.permutations(range(len(chunks))),
            st.lists(st.integers(0, len(chunks) - 1), max_size=2 * len(chunks)),
        )
    )
    packets = [header, *(chunks[index] for index in order), splitter.close()]

    reading = read(packets)

    assert text.startswith(reading.text)
    assert reading.ended or reading.faults
    if reading.ended:
        assert reading.text == text
    if order == list(range(len(chunks))):
        assert reading.ended


@given(st.binary(max_size=3_000), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_bytes_as_a_compressed_stream_are_a_value_or_a_fault(
    content: bytes, inline: bool
) -> None:
    splitter = ByteSplitter(describe())
    header = splitter.open(name="f", compressed=True)
    if inline:
        header.stream_header.inline_content = content
        packets = [header]
    else:
        packets = [header, *splitter.write(content), splitter.close()]

    reading = read(packets, max_bytes=100_000)

    assert reading.ended != bool(reading.faults)
    assert len(reading.data) <= 100_000


@pytest.mark.parametrize("announced", [None, 1_000])
def test_a_bomb_stops_where_the_stream_may_be_no_longer(announced: int | None) -> None:
    bomb = deflate(b"\0" * 50_000_000)
    splitter = ByteSplitter(describe(announced))
    packets = [splitter.open(name="b", compressed=True), *splitter.write(bomb)]

    reading = read(packets, max_bytes=2_000_000)

    assert reading.faults == [StreamFault.TOO_LONG if announced else StreamFault.OVERSIZED]
    assert len(reading.data) <= 2_000_000


def test_a_bomb_gives_only_a_step_at_a_time_and_the_rest_when_there_is_room() -> None:
    size = 20_000_000
    splitter, assembler = ByteSplitter(describe(size)), StreamAssembler()
    assembler.handle_packet(splitter.open(name="b", compressed=True))
    outputs = [assembler.handle_packet(packet) for packet in splitter.write(deflate(b"\0" * size))]
    outputs.append(assembler.handle_packet(splitter.close()))

    # Where something waits, whatever comes only waits behind it.
    first, *others = [sum(map(grown, each)) for each in outputs]
    assert 0 < first <= STEP_BYTES + 64 * 1024
    assert set(others) == {0}
    reading, total = Reading(), first
    while assembler.has_more("s1"):
        more = assembler.handle_room("s1")
        assert sum(map(grown, more)) <= STEP_BYTES + 64 * 1024
        total += sum(map(grown, more))
        reading.take([output for output in more if not isinstance(output, BytesGrew)])
    assert (total, reading.ended, len(assembler)) == (size, True, 0)


def test_what_arrived_whole_is_read_to_its_end_though_its_sender_is_gone() -> None:
    data = b"\0" * 2_000_000
    whole, assembler, reading = ByteSplitter(describe(len(data))), StreamAssembler(), Reading()
    for packet in (
        whole.open(name="b", compressed=True),
        *whole.write(deflate(data)),
        whole.close(),
    ):
        reading.take(assembler.handle_packet(packet))

    assert assembler.handle_sender_left("") == []
    assert assembler.handle_disconnect() == []
    assert assembler.handle_time(10 * MAX_IDLE_S) == []
    while assembler.has_more("s1"):
        reading.take(assembler.handle_room("s1"))
    assert (reading.ended, reading.data == data) == (True, True)


def test_packed_bytes_that_nobody_reads_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.protocol.streams.assembler.MAX_PACKED_BYTES", 50_000)
    splitter, assembler, reading = ByteSplitter(describe()), StreamAssembler(), Reading()
    reading.take(assembler.handle_packet(splitter.open(name="b", compressed=True)))
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    for _ in range(10):
        packed = bomb.compress(b"\0" * 15_000_000) + bomb.flush(zlib.Z_SYNC_FLUSH)
        for packet in splitter.write(packed):
            reading.take(assembler.handle_packet(packet))

    assert reading.faults == [StreamFault.UNREAD]
    assert len(assembler) == 0


def grown(output: Output) -> int:
    return len(output.data) if isinstance(output, BytesGrew) else 0


def test_an_inflater_makes_no_more_than_is_taken() -> None:
    pieces = Inflater().push(deflate(b"\0" * 50_000_000))

    assert len(next(iter(pieces))) <= 64 * 1024


def test_bytes_after_the_end_of_a_compressed_stream_break_it() -> None:
    splitter = ByteSplitter(describe())
    packets = [splitter.open(name="b", compressed=True), *splitter.write(deflate(b"x") + b"more")]

    assert read(packets).faults == [StreamFault.NOT_INFLATABLE]


def test_a_compressed_stream_that_stops_in_the_middle_is_too_short() -> None:
    packed = deflate(INCOMPRESSIBLE[:100])
    splitter = ByteSplitter(describe())
    packets = [splitter.open(name="b", compressed=True), *splitter.write(packed[:-2])]

    assert read([*packets, splitter.close()]).faults == [StreamFault.TOO_SHORT]


@pytest.mark.parametrize(
    ("inline", "total", "fault"),
    [(b"four", 3, StreamFault.TOO_LONG), (b"four", 5, StreamFault.TOO_SHORT)],
)
def test_an_inline_payload_of_another_length_fails(
    inline: bytes, total: int, fault: StreamFault
) -> None:
    header = TextSplitter(describe(total)).open()
    header.stream_header.inline_content = inline

    assert read([header]).faults == [fault]


def test_an_unknown_compression_fails_its_stream() -> None:
    header = TextSplitter(describe()).open()
    header.MergeFromString(b"\x6a\x02\x60\x09")  # compression 9 of the stream header

    assert read([header]).faults == [StreamFault.ENCODING]


def test_a_revised_chunk_is_an_error_and_never_another_text() -> None:
    splitter = TextSplitter(describe())
    packets = [splitter.open(), *splitter.write("one")]
    again = DataPacket()
    again.CopyFrom(packets[-1])
    again.stream_chunk.content = b"two"
    again.stream_chunk.version = 1

    assert read([*packets, again]).faults == [StreamFault.REVISED]


def test_a_stream_that_changes_its_encryption_fails() -> None:
    splitter, assembler, reading = TextSplitter(describe()), StreamAssembler(), Reading()
    reading.take(assembler.handle_packet(splitter.open(), encrypted=True))
    for packet in splitter.write("clear"):
        reading.take(assembler.handle_packet(packet, encrypted=False))

    assert reading.faults == [StreamFault.ENCRYPTION_CHANGED]


def test_one_sender_cannot_take_everybodys_streams() -> None:
    assembler = StreamAssembler()

    def header(number: int, sender: str) -> DataPacket:
        about = StreamDescription(f"{sender}{number}", "t", 1, "text/plain", sender_identity=sender)
        return TextSplitter(about).open()

    for number in range(MAX_OPEN_PER_SENDER):
        assembler.handle_packet(header(number, "mallory"))
    with pytest.raises(ProtocolError):
        assembler.handle_packet(header(-1, "mallory"))
    assert assembler.handle_packet(header(0, "alice"))


def test_a_stream_that_never_ends_is_given_up_when_nothing_comes() -> None:
    splitter, assembler = TextSplitter(describe()), StreamAssembler()
    assembler.handle_packet(splitter.open(), 0.0)
    for packet in splitter.write("still here"):
        assembler.handle_packet(packet, 500.0)

    assert assembler.handle_time(500.0 + MAX_IDLE_S) == []
    assert assembler.handle_time(501.0 + MAX_IDLE_S) == [StreamFailed("s1", StreamFault.STALLED)]
    assert len(assembler) == 0


def person(protocol: int, *capabilities: ClientInfo.Capability) -> ParticipantInfo:
    return ParticipantInfo(client_protocol=protocol, capabilities=capabilities)


def test_a_form_is_what_every_recipient_reads() -> None:
    deflates = ClientInfo.CAP_COMPRESSION_DEFLATE_RAW
    people = {
        "rich": person(2, deflates),
        "inline": person(2),
        "rpc": person(1, deflates),
        "old": person(0),
    }

    assert form_for(people, ["rich"]) == RICH
    assert form_for(people, ["rich", "inline"]) == StreamForm(inline=True)
    assert form_for(people, ["rpc"]) == PLAIN
    assert form_for(people, ["rich", "nobody"]) == PLAIN
    assert form_for(people, []) == PLAIN
    assert form_for({}, []) == RICH


@pytest.mark.parametrize("name", ["data_python_to_v2_peer", "data_chromium_to_v2_peer"])
def test_recorded_streams_of_the_newer_kind_become_whole(name: str) -> None:
    assembler = StreamAssembler()
    readings: dict[str, Reading] = {}
    totals: dict[str, int | None] = {}
    for record in read_vector(f"{name}.jsonl"):
        if record.kind != "data" or record.direction != "server>client":
            continue
        for output in assembler.handle_packet(DataPacket.FromString(record.raw)):
            if isinstance(output, StreamOpened):
                readings[output.stream.stream_id] = Reading()
                totals[output.stream.stream_id] = output.stream.total_bytes
                continue
            readings[output.stream_id].take([output])

    # The recording leaves the middle of one long stream out: it fails, and says why.
    faults = [fault for reading in readings.values() for fault in reading.faults]
    assert faults == [StreamFault.CHUNK_MISSING]
    whole = {sid: reading for sid, reading in readings.items() if reading.ended}
    assert len(whole) == len(readings) - 1 >= 11
    for stream_id, reading in whole.items():
        size = len(reading.data) + len(reading.text.encode())
        assert totals[stream_id] in (None, size)
    assert {len(reading.text.encode()) for reading in whole.values()} >= {9, 10}
    assert any(len(reading.text.encode()) == 47_700 for reading in whole.values())


def test_our_inline_header_is_the_one_that_the_sdk_sends() -> None:
    theirs = next(
        packet
        for record in read_vector("data_python_to_v2_peer.jsonl")
        if record.kind == "data" and record.direction == "server>client"
        for packet in [DataPacket.FromString(record.raw)]
        if packet.HasField("stream_header")
    )
    header = theirs.stream_header
    about = StreamDescription(
        header.stream_id,
        header.topic,
        header.timestamp,
        header.mime_type,
        header.total_length,
        dict(header.attributes),
        sender_identity="alice",
    )

    ours = list(text_packets(about, header.inline_content.decode(), form=RICH))

    theirs.ClearField("sequence")
    theirs.ClearField("participant_sid")
    assert ours == [theirs]


def test_what_we_deflate_is_raw_deflate() -> None:
    text = json.dumps({"a": 1}).encode() * 100

    assert zlib.decompress(deflate(text), -15) == text
