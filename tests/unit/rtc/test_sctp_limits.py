"""What a peer cannot make an association keep."""

from __future__ import annotations

from struct import pack
from typing import Any

import pytest
from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_LAST_FRAG,
    SCTP_DATA_UNORDERED,
    WEBRTC_BINARY,
    WEBRTC_DCEP,
    DataChunk,
)

from app.rtc.sctp import MAX_CHANNELS, MAX_GAPPED_CHUNKS, MAX_STREAMS, Association

FIRST_TSN = 2**32 - 3


class _Transport:
    """A DTLS transport to nobody."""

    state = "connected"
    _role = "server"


def association() -> Association:
    made = Association(_Transport(), 5000)  # type: ignore[arg-type]  # what SCTP needs of it
    made._last_received_tsn = FIRST_TSN - 1
    return made


def data(tsn: int, content: bytes, *, flags: int, stream: int = 1, **more: Any) -> DataChunk:
    chunk = DataChunk(flags=flags)
    chunk.tsn, chunk.stream_id, chunk.user_data = tsn % 2**32, stream, content
    chunk.stream_seq = more.get("seq", 0)
    chunk.protocol = more.get("protocol", WEBRTC_BINARY)
    return chunk


async def test_a_message_that_never_ends_fills_no_more_than_two_windows() -> None:
    sctp = association()
    for number in range(10_000):
        flags = SCTP_DATA_FIRST_FRAG if number == 0 else 0
        await sctp._receive_data_chunk(data(FIRST_TSN + number, bytes(1_100), flags=flags))
    kept = sum(len(chunk.user_data) for chunk in sctp._inbound_streams[1].reassembly)
    assert kept <= 2 * 1024 * 1024


@pytest.mark.parametrize("flags", [SCTP_DATA_UNORDERED, SCTP_DATA_FIRST_FRAG])
async def test_gaps_that_are_never_filled_are_not_kept_without_end(flags: int) -> None:
    sctp = association()
    for number in range(10_000):
        await sctp._receive_data_chunk(data(FIRST_TSN + 1 + 2 * number, b"x", flags=flags))
    assert len(sctp._sack_misordered) == MAX_GAPPED_CHUNKS
    assert len(sctp._inbound_streams[1].reassembly) <= MAX_GAPPED_CHUNKS


async def test_streams_and_channels_have_an_end() -> None:
    sctp = association()
    whole = SCTP_DATA_FIRST_FRAG | SCTP_DATA_LAST_FRAG
    opened = pack("!BBHLHH", 3, 0, 0, 0, 1, 0) + b"x"
    refused = 0
    for number in range(200):
        chunk = data(FIRST_TSN + number, opened, flags=whole, stream=number, protocol=WEBRTC_DCEP)
        try:
            await sctp._receive_data_chunk(chunk)
        except ValueError:
            refused += 1
    assert refused == 200 - MAX_CHANNELS
    assert len(sctp._inbound_streams) <= MAX_STREAMS


async def test_numbers_are_put_in_order_across_the_turn() -> None:
    sctp = association()
    order = [3, 1, 0, 0, 2, 7, 5, 4]
    duplicates = [sctp._mark_received((FIRST_TSN + n) % 2**32) for n in order]
    assert duplicates == [False] * 3 + [True] + [False] * 4
    assert sctp._last_received_tsn == (FIRST_TSN + 5) % 2**32
    assert sctp._sack_misordered == {(FIRST_TSN + 7) % 2**32}
