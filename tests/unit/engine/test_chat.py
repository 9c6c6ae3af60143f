from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.chat import MAX_TEXT_CHARS, ChatHistory, ChatLine, parse_legacy
from app.engine.events import ChatReceived
from app.protocol.errors import ProtocolError


def handle(history: ChatHistory, line: ChatLine, identity: str = "ada") -> ChatReceived | None:
    return history.handle_line(line, identity=identity, name="Ada", is_mine=False, now_ms=99)


def test_the_same_line_in_two_forms_is_shown_once() -> None:
    history = ChatHistory()

    first = handle(history, ChatLine("1", "hi", 5))

    assert first == ChatReceived("1", "ada", "Ada", "hi", 5, is_mine=False)
    assert handle(history, ChatLine("1", "hi", 6)) is None


def test_an_edit_keeps_the_first_time() -> None:
    history = ChatHistory()
    handle(history, ChatLine("1", "helo", 5))

    edited = handle(history, ChatLine("1", "hello", 50))

    assert edited is not None
    assert (edited.text, edited.at_ms) == ("hello", 5)


def test_an_id_belongs_to_its_sender() -> None:
    history = ChatHistory()
    handle(history, ChatLine("1", "mine", 5))

    assert handle(history, ChatLine("1", "other", 6), "bo") is not None


def test_a_line_without_a_time_gets_ours_and_a_huge_one_is_cut() -> None:
    event = handle(ChatHistory(), ChatLine("1", "x" * 100_000, 0))

    assert event is not None
    assert (event.at_ms, len(event.text)) == (99, MAX_TEXT_CHARS)


def test_an_empty_line_is_no_line() -> None:
    assert handle(ChatHistory(), ChatLine("1", " \n", 1)) is None


def test_a_legacy_packet_is_read_unless_its_sender_also_streams() -> None:
    packet = {"id": "7", "timestamp": 12, "message": "hi"}

    assert parse_legacy(json.dumps(packet).encode()) == ChatLine("7", "hi", 12)
    assert parse_legacy(json.dumps({**packet, "ignoreLegacy": True}).encode()) is None


@pytest.mark.parametrize("packet", [b"", b"[]", b"{}", b'{"id":"","message":"x"}', b'{"id":"1"}'])
def test_a_malformed_legacy_packet_is_refused(packet: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_legacy(packet)


@given(st.one_of(st.binary(), st.text('{}[]":,id message0', max_size=60).map(str.encode)))
def test_any_legacy_bytes_are_a_line_or_a_protocol_error(packet: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        parse_legacy(packet)
