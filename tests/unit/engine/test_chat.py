from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import models as lk

from app.engine.chat import (
    CHAT_TOPIC,
    MAX_TEXT_CHARS,
    ChatLine,
    Deed,
    Operation,
    OutgoingLine,
    deed_payload,
    glyph_of,
    packets_of,
    parse_deed,
    parse_legacy,
    read_header,
)
from app.protocol.errors import ProtocolError
from app.protocol.streams.assembler import StreamAssembler, StreamEnded, StreamOpened, TextGrew

LEGACY = {"id": "7", "timestamp": 12, "message": "hi"}
ANY_BYTES = st.one_of(st.binary(), st.text('{}[]":,id message0op', max_size=60).map(str.encode))


def test_a_legacy_packet_is_read_unless_its_sender_also_streams() -> None:
    assert parse_legacy(json.dumps(LEGACY).encode()) == ChatLine("7", "hi", 12)
    assert parse_legacy(json.dumps({**LEGACY, "ignoreLegacy": True}).encode()) is None


@pytest.mark.parametrize("packet", [b"", b"[]", b"{}", b'{"id":"","message":"x"}', b'{"id":"1"}'])
def test_a_malformed_legacy_packet_is_refused(packet: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_legacy(packet)


@pytest.mark.parametrize("at", [-1, 2**60, "now", None, True, 1.5])
def test_a_time_that_no_calendar_knows_is_none(at: object) -> None:
    line = parse_legacy(json.dumps({**LEGACY, "timestamp": at}).encode())

    assert line is not None
    assert line.at_ms == 0


@given(ANY_BYTES)
def test_any_bytes_are_a_line_or_a_protocol_error(packet: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        parse_legacy(packet)
    with contextlib.suppress(ProtocolError):
        parse_deed(packet)


def test_deeds_survive_the_wire() -> None:
    for deed in (Deed("ada", "1"), Deed("ada", "1", "heart"), Deed("ada", "1", "star", on=False)):
        assert parse_deed(deed_payload(deed)) == deed


@pytest.mark.parametrize(
    "deed",
    [
        {"op": "delete", "author": "ada"},
        {"op": "delete", "author": 1, "id": "1"},
        {"op": "react", "author": "ada", "id": "1", "glyph": "skull"},
        {"op": "burn", "author": "ada", "id": "1"},
        {"op": "delete", "author": "ada", "id": "1" * 129},
    ],
)
def test_an_unknown_deed_is_refused(deed: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        parse_deed(json.dumps(deed).encode())


def test_a_line_goes_out_as_a_text_stream_that_says_what_it_does() -> None:
    line = ChatLine("1", "é" * MAX_TEXT_CHARS, 5)
    outgoing = OutgoingLine(line, Operation.UPDATE, reply_to="0", to=("bo",), attachments=("p",))
    packets = list(packets_of(outgoing, "ada"))
    header = packets[0].stream_header
    assembler = StreamAssembler()
    outputs = [out for packet in packets for out in assembler.handle_packet(packet)]

    assert (header.topic, header.timestamp, header.stream_id) == (CHAT_TOPIC, 5, "1")
    assert header.text_header.operation_type == lk.DataStream.OperationType.UPDATE
    assert list(header.text_header.attached_stream_ids) == ["p"]
    assert all(list(packet.destination_identities) == ["bo"] for packet in packets)
    assert isinstance(outputs[0], StreamOpened)
    assert "".join(o.text for o in outputs if isinstance(o, TextGrew)) == line.text
    assert isinstance(outputs[-1], StreamEnded)
    note = read_header(packets[0])
    assert (note.operation, note.reply_to, note.to) == (Operation.UPDATE, "0", ("bo",))


def test_emoji_that_stand_for_a_glyph_are_known() -> None:
    assert glyph_of("❤️") == glyph_of("❤") == "heart"
    assert glyph_of("👍 ") == "thumbs-up"
    assert glyph_of("hello") == ""
