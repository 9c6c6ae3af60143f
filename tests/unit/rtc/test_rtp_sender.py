from __future__ import annotations

import itertools

from app.protocol.rtp.encoded import EncodedVideoFrame
from app.protocol.rtp.extensions import (
    AUDIO_LEVEL,
    MID,
    REPAIRED_RTP_STREAM_ID,
    RTP_STREAM_ID,
    TRANSPORT_CC,
)
from app.protocol.rtp.header import RtpPacket, parse_rtp
from app.protocol.rtp.vp8 import parse_vp8
from app.rtc.rtcp import ReportBlock, SenderReport, ntp_middle, ntp_of, parse_rtcp
from app.rtc.rtp_sender import (
    MAX_PAYLOAD_BYTES,
    AudioRtpSender,
    RtpStream,
    SenderBinding,
    VideoRtpSender,
)

IDS = {AUDIO_LEVEL: 1, TRANSPORT_CC: 3, MID: 4, RTP_STREAM_ID: 10, REPAIRED_RTP_STREAM_ID: 11}
SOUND = SenderBinding("7", 111, None, {AUDIO_LEVEL: 1, MID: 4})
VIDEO = SenderBinding("8", 96, 97, IDS)


class Out:
    """A transport that keeps what is sent."""

    def __init__(self) -> None:
        self.packets: list[RtpPacket] = []
        self.streams: list[RtpStream] = []
        self.is_up = True
        self._number = 0

    def send_rtp(self, packet: bytes) -> bool:
        assert len(packet) <= 1_180
        if self.is_up:
            self.packets.append(parse_rtp(packet))
        return self.is_up

    def next_transport_seq(self) -> int:
        self._number += 1
        return self._number

    def attach_stream(self, stream: RtpStream) -> None:
        self.streams.append(stream)

    def detach_stream(self, stream: RtpStream) -> None:
        self.streams.remove(stream)


def frame(number: int, *, keyframe: bool = False, size_bytes: int = 3_000) -> EncodedVideoFrame:
    head = b"\x10\x00\x00\x9d\x01\x2a\x40\x01\xb4\x00" if keyframe else b"\x11\x00\x00"
    return EncodedVideoFrame("VP8", head + bytes(size_bytes), 3_000 * number, keyframe)


def simulcast() -> tuple[VideoRtpSender, Out]:
    sender, out = VideoRtpSender("VP8", [("q", 10, 11), ("h", 20, 21)]), Out()
    sender.bind(out, VIDEO)
    return sender, out


def test_a_sound_carries_its_level_and_the_name_of_its_section() -> None:
    sender, out = AudioRtpSender(5), Out()
    sender.bind(out, SOUND)
    sender.send(b"opus", 960, level_dbov=30)
    sender.send(b"opus", 1_920, level_dbov=200, marker=True)

    first, second = out.packets
    assert (first.ssrc, first.payload_type, first.ts_rtp, first.payload) == (5, 111, 960, b"opus")
    assert first.extensions == {4: b"7", 1: bytes((0x80 | 30,))}
    assert second.extensions[1] == bytes((127,))
    assert second.marker
    assert (second.seq - first.seq) & 0xFFFF == 1


def test_what_is_sent_without_a_connection_is_dropped_and_counted() -> None:
    sender = AudioRtpSender(5)
    sender.send(b"opus", 960)

    assert (sender.stats.frames, sender.stats.dropped_frames) == (0, 1)


def test_a_frame_becomes_packets_of_equal_size_with_one_marker() -> None:
    sender, out = simulcast()
    sender.send(0, frame(1, keyframe=True, size_bytes=5_000))

    assert [packet.marker for packet in out.packets] == [False] * 4 + [True]
    sizes = [len(packet.payload) for packet in out.packets]
    assert max(sizes) <= MAX_PAYLOAD_BYTES
    assert max(sizes[:-1]) - min(sizes[:-1]) == 0
    descriptors = [parse_vp8(packet.payload) for packet in out.packets]
    assert [d.starts_frame for d in descriptors] == [True] + [False] * 4
    assert len({d.picture_id for d in descriptors}) == 1
    assert {packet.ssrc for packet in out.packets} == {10}


def test_pictures_are_numbered_one_after_the_other_in_each_layer() -> None:
    sender, out = simulcast()
    for number in range(4):
        sender.send(1, frame(number, keyframe=number == 0, size_bytes=100))

    ids = [parse_vp8(packet.payload).picture_id for packet in out.packets]
    assert [(b - a) & 0x7FFF for a, b in itertools.pairwise(ids)] == [1, 1, 1]


def test_layers_are_named_by_rid_until_the_server_speaks_of_their_ssrc() -> None:
    sender, out = simulcast()
    sender.send(0, frame(0, keyframe=True, size_bytes=10))
    sender.send(1, frame(0, keyframe=True, size_bytes=10))
    assert out.packets[0].extensions == {4: b"8", 10: b"q", 3: b"\x00\x01"}
    assert out.packets[1].extensions == {4: b"8", 10: b"h", 3: b"\x00\x02"}

    out.streams[0].handle_report(ReportBlock(10, 0, 0, 1, 0, 0, 0), 0.0)
    sender.send(0, frame(1, size_bytes=10))
    sender.send(1, frame(1, size_bytes=10))
    assert out.packets[2].extensions == {3: b"\x00\x03"}
    assert out.packets[3].extensions == {4: b"8", 10: b"h", 3: b"\x00\x04"}


def test_a_missing_packet_is_sent_again_on_the_repair_stream_with_its_name() -> None:
    sender, out = simulcast()
    sender.send(0, frame(1, keyframe=True))
    wanted = out.packets[1]
    out.streams[0].handle_nack([wanted.seq], 1.0)
    resent = out.packets[-1]

    assert (resent.ssrc, resent.payload_type) == (11, 97)
    assert resent.payload == wanted.seq.to_bytes(2, "big") + wanted.payload
    assert (resent.ts_rtp, resent.marker) == (wanted.ts_rtp, wanted.marker)
    assert resent.extensions[11] == b"q"
    assert resent.extensions[4] == b"8"


def test_resends_are_not_repeated_within_a_round_trip_nor_made_up() -> None:
    sender, out = simulcast()
    sender.send(0, frame(1, keyframe=True))
    seq = out.packets[0].seq
    before = len(out.packets)
    out.streams[0].handle_nack([seq, seq, (seq + 500) & 0xFFFF], 1.0)
    assert len(out.packets) == before + 1
    out.streams[0].handle_nack([seq], 1.1)

    assert len(out.packets) == before + 2


def test_each_layer_starts_with_a_keyframe_and_asks_for_it() -> None:
    sender, out = simulcast()
    asked: list[int] = []
    sender.on_keyframe_request = asked.append
    sender.send(1, frame(0))
    sender.send(1, frame(1))
    assert out.packets == []
    assert asked == [1]
    assert sender.stats[1].dropped_frames == 2

    sender.send(1, frame(2, keyframe=True))
    sender.send(1, frame(3))
    assert len(out.packets) == 6


def test_after_a_rebind_a_keyframe_comes_first_and_the_numbers_go_on() -> None:
    sender, out = simulcast()
    sender.send(0, frame(0, keyframe=True, size_bytes=10))
    sender.unbind()
    assert out.streams == []
    sender.send(0, frame(1, size_bytes=10))
    again = Out()
    sender.bind(again, VIDEO)
    sender.send(0, frame(2, size_bytes=10))
    sender.send(0, frame(3, keyframe=True, size_bytes=10))

    (packet,) = again.packets
    assert (packet.seq - out.packets[-1].seq) & 0xFFFF == 1
    assert packet.extensions[10] == b"q"


def test_a_repeated_answer_changes_nothing() -> None:
    sender, out = simulcast()
    sender.send(0, frame(0, keyframe=True, size_bytes=10))
    sender.bind(out, VIDEO)
    sender.send(0, frame(1, size_bytes=10))

    assert len(out.packets) == 2
    assert len(out.streams) == 2


def test_a_closed_sender_is_never_bound_again() -> None:
    sender, out = simulcast()
    sender.close()
    sender.bind(out, VIDEO)

    assert out.streams == []


def test_keyframe_requests_reach_the_encoder_but_not_too_often() -> None:
    sender, out = simulcast()
    asked: list[int] = []
    sender.on_keyframe_request = asked.append
    for now_s in (10.0, 10.1, 10.2, 10.3, 11.0):
        out.streams[1].handle_keyframe_request(now_s)

    assert asked == [1, 1, 1]


def test_a_sender_report_maps_the_stream_s_clock_to_wall_time() -> None:
    out = Out()
    stream = RtpStream(9, clock_rate=48_000)
    stream.bind(out, SOUND)
    assert stream.report(5.0, 1_000.0) == b""
    stream.send(b"opus", 48_000, marker=False, now_s=10.0)
    report = parse_rtcp(stream.report(10.5, 1_000.0))[0]

    assert report == SenderReport(9, ntp_of(1_000.0), 72_000, 1, 4)
    assert stream.report(11.0, 1_000.5) == b""
    assert stream.report(13.5, 1_003.0) != b""


def test_loss_and_round_trip_come_from_the_server_s_report() -> None:
    stream = RtpStream(9, clock_rate=48_000)
    sent = ntp_middle(ntp_of(1_000.0))
    stream.handle_report(ReportBlock(9, 64, 12, 100, 0, sent, 65_536), 1_001.25)

    assert stream.stats.loss_ratio == 0.25
    assert stream.stats.lost_packets == 12
    assert abs(stream.stats.round_trip_s - 0.25) < 0.001
