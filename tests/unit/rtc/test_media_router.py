from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from app.protocol.rtp.header import RtpPacket, build_rtp
from app.rtc.media_router import MediaRouter
from app.rtc.rtcp import (
    KeyframeRequest,
    Nack,
    ReceiverReport,
    ReportBlock,
    RtcpItem,
    SenderReport,
    build_nack,
    build_pli,
    build_receiver_report,
    build_remb,
    build_sender_report,
    parse_rtcp,
)
from app.rtc.rtp_receiver import AudioRtpReceiver, VideoRtpReceiver
from app.rtc.rtp_sender import AudioRtpSender, SenderBinding, VideoRtpSender

KEY = b"\x10\x10\x00\x00\x9d\x01\x2a\x40\x01\xb4\x00"
DELTA = b"\x10\x11\x00\x00"


class Wire:
    """As much of a transport as a router uses."""

    def __init__(self) -> None:
        self.on_rtp: Callable[[bytes], None] | None = None
        self.on_rtcp: Callable[[bytes], None] | None = None
        self.rtp: list[bytes] = []
        self.rtcp: list[RtcpItem] = []
        self._news = asyncio.Event()

    def send_rtp(self, packet: bytes) -> bool:
        self.rtp.append(packet)
        return True

    def send_rtcp(self, packet: bytes) -> bool:
        self.rtcp += parse_rtcp(packet)
        self._news.set()
        return True

    async def until(self, check: Callable[[], object]) -> None:
        """Wait for RTCP of ours that makes `check` true."""
        async with asyncio.timeout(30):
            while not check():
                self._news.clear()
                await self._news.wait()


class Arriving:
    """A router with a wire into which the test puts packets."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.router = MediaRouter(self.wire)  # type: ignore[arg-type]

    def rtp(self, ssrc: int, seq: int, payload: bytes, payload_type: int = 96) -> None:
        assert self.wire.on_rtp is not None
        self.wire.on_rtp(build_rtp(RtpPacket(payload_type, seq, seq, ssrc, payload, True)))

    def rtcp(self, packet: bytes) -> None:
        assert self.wire.on_rtcp is not None
        self.wire.on_rtcp(packet)


@pytest.fixture
async def net() -> Arriving:
    return Arriving()


def video(ssrc: int = 6) -> tuple[VideoRtpReceiver, list[bytes]]:
    receiver = VideoRtpReceiver("TR_V", ssrc, {96: "VP8"}, rtx_ssrc=7, rtx_of={97: 96})
    frames: list[bytes] = []
    receiver.sink = lambda frame: frames.append(frame.data)
    return receiver, frames


async def test_packets_go_to_the_receiver_of_their_ssrc_and_strangers_nowhere(
    net: Arriving,
) -> None:
    receiver, frames = video()
    sound = AudioRtpReceiver("TR_A", 5, {111: "opus"})
    heard: list[bytes] = []
    sound.sink = lambda packet: heard.append(packet.payload)
    net.router.attach_receiver(receiver)
    net.router.attach_receiver(sound)
    net.rtp(6, 1, KEY)
    net.rtp(5, 1, b"opus", 111)
    net.rtp(99, 1, b"stranger")
    assert net.wire.on_rtp is not None
    net.wire.on_rtp(b"\x80")

    assert (frames, heard) == ([KEY[1:]], [b"opus"])
    net.router.detach_receiver(receiver)
    net.rtp(6, 2, DELTA)
    assert len(frames) == 1
    net.router.close()


async def test_a_hole_is_asked_for_and_its_repair_arrives_on_the_other_stream(
    net: Arriving,
) -> None:
    receiver, frames = video()
    net.router.attach_receiver(receiver)
    net.rtp(6, 1, KEY)
    net.rtp(6, 3, DELTA)
    await net.wire.until(lambda: any(isinstance(item, Nack) for item in net.wire.rtcp))
    assert next(item for item in net.wire.rtcp if isinstance(item, Nack)) == Nack(6, (2,))
    assert isinstance(net.wire.rtcp[0], ReceiverReport)
    net.rtp(7, 1, (2).to_bytes(2, "big") + DELTA, 97)

    assert len(frames) == 3
    net.router.close()


async def test_a_decoder_s_wish_for_a_keyframe_goes_out_at_once(net: Arriving) -> None:
    receiver, _ = video()
    net.router.attach_receiver(receiver)
    net.rtp(6, 1, KEY)
    receiver.request_keyframe()
    await net.wire.until(lambda: KeyframeRequest(6) in net.wire.rtcp)
    net.router.close()


async def test_reports_go_out_for_what_comes_in_and_what_goes_out(net: Arriving) -> None:
    sound = AudioRtpReceiver("TR_A", 5, {111: "opus"})
    net.router.attach_receiver(sound)
    sender = AudioRtpSender(8)
    sender.bind(net.router, SenderBinding("7", 111, None, {}))
    sender.send(b"opus", 960)
    net.rtp(5, 1, b"opus", 111)
    await net.wire.until(lambda: len(net.wire.rtcp) >= 2)

    report, received = net.wire.rtcp[:2]
    assert isinstance(report, SenderReport)
    assert (report.ssrc, report.packets, report.octets) == (8, 1, 4)
    assert isinstance(received, ReceiverReport)
    assert [block.ssrc for block in received.blocks] == [5]
    net.router.close()


async def test_feedback_reaches_the_stream_that_it_is_about(net: Arriving) -> None:
    sender = VideoRtpSender("VP8", [("q", 10, 11), ("h", 20, 21)])
    sender.bind(net.router, SenderBinding("8", 96, 97, {}))
    asked: list[int] = []
    rates: list[int] = []
    sender.on_keyframe_request = asked.append
    sender.on_target_bitrate = rates.append
    block = ReportBlock(20, 128, 7, 1, 0, 0, 0)
    net.rtcp(build_receiver_report(1, [block]) + build_pli(1, 20) + build_nack(1, 10, [5, 6]))
    net.rtcp(build_remb(1, 400_000, [10, 20]))
    net.rtcp(b"\x80")

    assert asked == [1]
    assert sender.stats[1].loss_ratio == 0.5
    assert sender.stats[0].nacked_packets == 2
    assert rates[-1] == 400_000
    net.router.close()
    assert net.wire.on_rtcp is None


async def test_the_sender_s_clock_reaches_the_receiver(net: Arriving) -> None:
    sound = AudioRtpReceiver("TR_A", 5, {111: "opus"})
    net.router.attach_receiver(sound)
    net.rtcp(build_sender_report(SenderReport(5, 1 << 60, 48_000, 0, 0)))

    assert sound.sender_time_s(48_000) is not None
    net.router.close()
