"""Which packet of a transport belongs to which sender or receiver, and when RTCP is due.

One per peer connection. Downlinks are found by SSRC: the server names them in its description.
Hot path: `_on_rtp`.
"""

from __future__ import annotations

import asyncio
import secrets
import time

import structlog

from app.protocol.errors import ProtocolError
from app.protocol.rtp.header import parse_rtp
from app.rtc.client_transport import ClientTransport
from app.rtc.rtcp import (
    KeyframeRequest,
    Nack,
    ReceiverReport,
    Remb,
    ReportBlock,
    SenderReport,
    TransportFeedback,
    build_cname,
    build_nack,
    build_pli,
    build_receiver_report,
    parse_rtcp,
)
from app.rtc.rtp_receiver import AudioRtpReceiver, VideoRtpReceiver
from app.rtc.rtp_sender import CNAME, RtpStream
from app.rtc.send_rate import SendRate

log = structlog.get_logger(__name__)

Receiver = AudioRtpReceiver | VideoRtpReceiver

REPORT_INTERVAL_S = 1.0
FIRST_REPORT_S = 0.2
LEAST_RATE_CHANGE = 0.05


class MediaRouter:
    """Media of one transport. Lives on its loop."""

    def __init__(self, transport: ClientTransport) -> None:
        self._transport = transport
        transport.on_rtp = self._on_rtp
        transport.on_rtcp = self._on_rtcp
        self._ssrc = secrets.randbelow(0xFFFFFFFE) + 1
        self._receivers: dict[int, Receiver] = {}
        self._repairs: dict[int, VideoRtpReceiver] = {}
        self._streams: dict[int, RtpStream] = {}
        self._transport_seq = 0
        self._rate = SendRate()
        self._told_bps = 0
        self._report_timer: asyncio.TimerHandle | None = None
        self._feedback_timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    # --- who is here -------------------------------------------------------------------------

    def attach_receiver(self, receiver: Receiver) -> None:
        """Deliver this receiver's SSRCs to it."""
        self._receivers[receiver.ssrc] = receiver
        if isinstance(receiver, VideoRtpReceiver):
            receiver.on_urgent = self._arm_feedback
            if receiver.rtx_ssrc is not None:
                self._repairs[receiver.rtx_ssrc] = receiver
        self._arm_reports()

    def detach_receiver(self, receiver: Receiver) -> None:
        """Forget a receiver; another may have taken its SSRC over already."""
        if self._receivers.get(receiver.ssrc) is receiver:
            del self._receivers[receiver.ssrc]
        if isinstance(receiver, VideoRtpReceiver):
            receiver.on_urgent = None
            if receiver.rtx_ssrc is not None and (self._repairs.get(receiver.rtx_ssrc) is receiver):
                del self._repairs[receiver.rtx_ssrc]

    def attach_stream(self, stream: RtpStream) -> None:
        """Deliver feedback about this stream to it."""
        self._streams[stream.ssrc] = stream
        self._arm_reports()

    def detach_stream(self, stream: RtpStream) -> None:
        """Forget a stream."""
        self._streams.pop(stream.ssrc, None)

    def close(self) -> None:
        """Stop the timers and forget everybody."""
        self._is_closed = True
        for timer in (self._report_timer, self._feedback_timer):
            if timer is not None:
                timer.cancel()
        self._report_timer = self._feedback_timer = None
        self._receivers.clear()
        self._repairs.clear()
        self._streams.clear()
        self._transport.on_rtp = None
        self._transport.on_rtcp = None

    # --- out ---------------------------------------------------------------------------------

    def next_transport_seq(self) -> int:
        """Return the next transport-wide number."""
        self._transport_seq = (self._transport_seq + 1) & 0xFFFF
        return self._transport_seq

    def send_rtp(self, packet: bytes) -> bool:
        """Send one packet; False when the transport is not up."""
        if not self._transport.send_rtp(packet):
            return False
        self._rate.note_sent(self._transport_seq, len(packet), time.monotonic())
        return True

    # --- in ----------------------------------------------------------------------------------

    def _on_rtp(self, data: bytes) -> None:
        try:
            packet = parse_rtp(data)
        except ProtocolError:
            return
        now_s = time.monotonic()
        receiver = self._receivers.get(packet.ssrc)
        if receiver is not None:
            receiver.handle_rtp(packet, now_s)
            if self._feedback_timer is None and receiver.deadline_s is not None:
                self._arm_feedback()
            return
        repaired = self._repairs.get(packet.ssrc)
        if repaired is not None:
            repaired.handle_rtx(packet, now_s)

    def _on_rtcp(self, data: bytes) -> None:
        try:
            items = parse_rtcp(data)
        except ProtocolError as error:
            log.info("RTCP dropped", reason=error.reason)
            return
        now_s = time.monotonic()
        for item in items:
            match item:
                case SenderReport():
                    receiver = self._receivers.get(item.ssrc)
                    if receiver is not None:
                        receiver.handle_report(item, now_s)
                    self._handle_blocks(item.blocks, now_s)
                case ReceiverReport():
                    self._handle_blocks(item.blocks, now_s)
                case Nack():
                    stream = self._streams.get(item.media_ssrc)
                    if stream is not None:
                        stream.handle_nack(item.seqs, now_s)
                case KeyframeRequest():
                    stream = self._streams.get(item.media_ssrc)
                    if stream is not None:
                        stream.handle_keyframe_request(now_s)
                case Remb():
                    self._tell_rate(self._rate.handle_remb(item.bitrate_bps, now_s))
                case TransportFeedback():
                    self._tell_rate(self._rate.handle_feedback(item, now_s))
                case _:
                    pass

    def _handle_blocks(self, blocks: tuple[ReportBlock, ...], now_s: float) -> None:
        worst = 0
        known = False
        for block in blocks:
            stream = self._streams.get(block.ssrc)
            if stream is not None:
                stream.handle_report(block, time.time())
                worst = max(worst, block.fraction_lost)
                known = True
        if known:
            self._tell_rate(self._rate.handle_loss(worst / 256, now_s))

    def _tell_rate(self, target_bps: int) -> None:
        if abs(target_bps - self._told_bps) < LEAST_RATE_CHANGE * self._told_bps:
            return
        self._told_bps = target_bps
        for stream in list(self._streams.values()):
            if stream.on_rate is not None:
                stream.on_rate(target_bps)

    # --- RTCP of ours ------------------------------------------------------------------------

    def _arm_reports(self) -> None:
        if self._report_timer is None and not self._is_closed:
            self._report_timer = asyncio.get_running_loop().call_later(FIRST_REPORT_S, self._report)

    def _report(self) -> None:
        now_s, now_unix_s = time.monotonic(), time.time()
        self._report_timer = asyncio.get_running_loop().call_later(REPORT_INTERVAL_S, self._report)
        for stream in self._streams.values():
            report = stream.report(now_s, now_unix_s)
            if report:
                self._transport.send_rtcp(report)
        found = (receiver.report_block(now_s) for receiver in self._receivers.values())
        blocks = [block for block in found if block is not None]
        for at in range(0, len(blocks), 31):
            self._transport.send_rtcp(
                build_receiver_report(self._ssrc, blocks[at : at + 31])
                + build_cname(self._ssrc, CNAME)
            )

    def _arm_feedback(self) -> None:
        if self._is_closed:
            return
        dues = (receiver.deadline_s for receiver in self._receivers.values())
        due_s = min((due for due in dues if due is not None), default=None)
        if self._feedback_timer is not None:
            self._feedback_timer.cancel()
            self._feedback_timer = None
        if due_s is not None:
            wait_s = max(0.001, due_s - time.monotonic())
            self._feedback_timer = asyncio.get_running_loop().call_later(
                wait_s, self._send_feedback
            )

    def _send_feedback(self) -> None:
        self._feedback_timer = None
        now_s = time.monotonic()
        for receiver in list(self._receivers.values()):
            missing, wants_keyframe = receiver.feedback(now_s)
            packets = b""
            if missing:
                packets += build_nack(self._ssrc, receiver.ssrc, missing)
            if wants_keyframe:
                packets += build_pli(self._ssrc, receiver.ssrc)
            if packets:
                # A compound begins with a report, even an empty one (RFC 3550 §6.1).
                self._transport.send_rtcp(build_receiver_report(self._ssrc, ()) + packets)
        self._arm_feedback()
