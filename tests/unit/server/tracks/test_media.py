"""One participant's demux without sockets: placing streams, and hostile input."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from app.protocol.rtp import extensions as ext
from app.protocol.rtp.header import RtpPacket, build_rtp
from app.rtc import rtcp
from app.server.tracks.media import ParticipantMedia, RoomMedia, UplinkMedia, Uptrack
from tests.support.fuzz import inputs
from tests.support.media_room import Vp8Source

IDS = {
    ext.MID: 1,
    ext.RTP_STREAM_ID: 2,
    ext.REPAIRED_RTP_STREAM_ID: 3,
    ext.TRANSPORT_CC: 4,
    ext.AUDIO_LEVEL: 5,
}
SIMULCAST = UplinkMedia("2", "video", "VP8", 96, 97, rids=("q", "f"), extensions=IDS)
PLAIN = UplinkMedia("3", "video", "VP8", 96, 97, extensions=IDS)
H264 = UplinkMedia("4", "video", "H264", 98, 99, extensions=IDS)
AUDIO = UplinkMedia("1", "audio", "opus", 111, None, 48_000, extensions=IDS)


class FakeTransport:
    """Keeps what would leave; packets are put into its slots by hand."""

    def __init__(self) -> None:
        self.data = bytearray(4096)
        self.mux = SimpleNamespace(slots=SimpleNamespace(area=SimpleNamespace(data=self.data)))
        self.is_connected = True
        self.media: Any = None
        self.rtcp: list[bytes] = []

    def send_rtcp(self, compound: bytes) -> bool:
        self.rtcp.append(compound)
        return True

    def deliver(self, packet: bytes) -> None:
        self.data[: len(packet)] = packet
        self.media.handle_rtp(0, len(packet))


@pytest.fixture
async def room() -> AsyncIterator[RoomMedia]:
    room = RoomMedia()
    yield room
    room.close()


@pytest.fixture
def media(room: RoomMedia) -> ParticipantMedia:
    return ParticipantMedia(FakeTransport(), room, "PA_a")  # type: ignore[arg-type]


def deliver(media: ParticipantMedia, packet: bytes) -> None:
    media.transport.deliver(packet)  # type: ignore[attr-defined]


def uplink(media: ParticipantMedia, section: UplinkMedia) -> Uptrack:
    uptrack = Uptrack(f"TR_{section.mid}", section.kind, 2 if section.kind == "audio" else 1)
    media.add_uplink(uptrack, section)
    return uptrack


async def test_streams_are_placed_by_mid_and_rid_and_stay_there(media: ParticipantMedia) -> None:
    camera, screen = uplink(media, SIMULCAST), uplink(media, PLAIN)
    sources = [
        Vp8Source(10, extensions={1: b"2", 2: b"f"}),
        Vp8Source(11, extensions={1: b"2", 2: b"q"}),
        Vp8Source(12, extensions={1: b"3"}),
    ]
    for source in sources:
        deliver(media, source.frame()[0])
        source.extensions = {}
        deliver(media, source.frame()[0])
    assert camera.live_layers == {1: (10, "f"), 0: (11, "q")}
    assert screen.live_layers == {0: (12, "")}
    assert media.unplaced == 0


async def test_without_extensions_the_payload_type_decides_if_it_can(
    media: ParticipantMedia,
) -> None:
    video, audio = uplink(media, PLAIN), uplink(media, AUDIO)
    deliver(media, Vp8Source(12).frame()[0])
    deliver(media, build_rtp(RtpPacket(111, 1, 1, 13, b"opus")))
    assert video.live_layers == {0: (12, "")}
    assert audio.live_layers == {0: (13, "")}
    # A straggler of another stream must not take the place of the one that is known.
    deliver(media, Vp8Source(99).frame()[0])
    assert media.unplaced == 1
    assert video.live_layers == {0: (12, "")}


async def test_a_restarted_layer_takes_over_from_the_one_before(media: ParticipantMedia) -> None:
    camera = uplink(media, SIMULCAST)
    deliver(media, Vp8Source(10, extensions={1: b"2", 2: b"q"}).frame()[0])
    deliver(media, Vp8Source(20, extensions={1: b"2", 2: b"q"}).frame()[0])
    assert camera.live_layers == {0: (20, "q")}
    deliver(media, Vp8Source(10).frame()[0])
    assert media.unplaced == 1


async def test_unknown_rids_payload_types_and_sections_are_not_placed(
    media: ParticipantMedia,
) -> None:
    uplink(media, SIMULCAST)
    deliver(media, Vp8Source(10, extensions={1: b"2", 2: b"x"}).frame()[0])
    deliver(media, Vp8Source(11, extensions={1: b"9", 2: b"q"}).frame()[0])
    deliver(media, Vp8Source(12, extensions={1: b"2"}).frame()[0])
    deliver(media, Vp8Source(13, payload_type=55, extensions={1: b"2", 2: b"q"}).frame()[0])
    assert media.unplaced == 4


async def test_a_removed_section_takes_its_streams_along(media: ParticipantMedia) -> None:
    uplink(media, PLAIN)
    deliver(media, Vp8Source(12).frame()[0])
    media.remove_uplink(PLAIN.mid)
    deliver(media, Vp8Source(12).frame()[0])
    assert media.unplaced == 1
    uptrack = uplink(media, PLAIN)
    deliver(media, Vp8Source(13).frame()[0])
    assert uptrack.live_layers == {0: (13, "")}


def sent(media: ParticipantMedia) -> list[rtcp.RtcpItem]:
    return [item for data in media.transport.rtcp for item in rtcp.parse_rtcp(data)]  # type: ignore[attr-defined]


async def test_without_transport_feedback_the_publisher_is_told_a_ceiling(
    media: ParticipantMedia,
) -> None:
    uplink(media, UplinkMedia("5", "video", "VP8", 96, extensions={}))
    deliver(media, Vp8Source(12).frame()[0])
    media.handle_tick(1e9)
    assert [item.ssrcs for item in sent(media) if isinstance(item, rtcp.Remb)] == [(12,)]


async def test_arrivals_are_told_once_and_in_order(media: ParticipantMedia) -> None:
    uplink(media, PLAIN)
    source = Vp8Source(12)
    for number in (65_534, 65_535, 1, 0):
        source.extensions = {1: b"3", 4: number.to_bytes(2, "big")}
        deliver(media, source.frame()[0])
    media.handle_tick(1e9)
    source.extensions = {4: b"\x00\x03"}
    deliver(media, source.frame()[0])
    media.handle_tick(2e9)
    told = [item for item in sent(media) if isinstance(item, rtcp.TransportFeedback)]
    assert [(item.base_seq, len(item.arrivals_us)) for item in told] == [(65_534, 4), (3, 1)]
    assert [item.feedback_count for item in told] == [0, 1]


async def test_hostile_packets_raise_nothing(media: ParticipantMedia) -> None:
    for section in (SIMULCAST, PLAIN, H264, AUDIO):
        uplink(media, section)
    examples = [
        *Vp8Source(10, extensions={1: b"2", 2: b"f", 4: b"\0\1"}).frame(size=10),
        *Vp8Source(12, extensions={1: b"3"}).frame(size=10),
        build_rtp(RtpPacket(97, 1, 1, 14, b"\0\1xyz", extensions={1: b"2", 3: b"f"})),
        build_rtp(RtpPacket(98, 1, 1, 15, b"\x78\0\2\x67\1", extensions={1: b"4"})),
        build_rtp(RtpPacket(111, 1, 1, 16, b"opus", extensions={1: b"1", 5: b"\x80"})),
        build_rtp(RtpPacket(96, 1, 1, 12, b"", padding_bytes=100)),
    ]
    for packet in inputs(examples, seed=3):
        if len(packet) >= 12:
            deliver(media, packet)
    assert media.malformed
    chance = random.Random(4)
    compounds = [
        rtcp.build_nack(1, 12, [1, 2]),
        rtcp.build_pli(1, 12),
        rtcp.build_sender_report(rtcp.SenderReport(12, 1 << 40, 3, 4, 5)),
    ]
    for compound in inputs(compounds, seed=5):
        media.handle_rtcp(compound)
        if chance.random() < 0.01:
            media.handle_tick(chance.random() * 1e6)
