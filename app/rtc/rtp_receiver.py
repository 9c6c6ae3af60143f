"""From RTP packets of one subscribed track to Opus payloads or whole video frames.

The router that owns the transport calls `handle_rtp`, `handle_report` and `feedback`; what comes
out goes to `sink`, on the same loop. Receivers keep no timers: `deadline_s` says when the router
has to ask for feedback.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.protocol.rtp.encoded import AudioPacket, EncodedVideoFrame
from app.protocol.rtp.header import RtpPacket
from app.protocol.rtp.wrap import ts_delta, unwrap_seq
from app.rtc.frame_assembler import FrameAssembler
from app.rtc.rtcp import NTP_EPOCH_OFFSET_S, ReportBlock, SenderReport, ntp_middle
from app.rtc.stats import ReceiverStats

KEYFRAME_PAUSE_S = 0.5


class _Reception:
    """Counts one SSRC's packets for receiver reports (RFC 3550 §6.4, appendix A.3, A.8)."""

    def __init__(self, ssrc: int, clock_rate: int, stats: ReceiverStats) -> None:
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.report: tuple[SenderReport, float] | None = None
        self._stats = stats
        self._first: int | None = None
        self._highest = 0
        self._received = 0
        self._expected_before = 0
        self._received_before = 0
        self._transit: float | None = None
        self._jitter = 0.0

    def note(self, seq: int, ts_rtp: int, now_s: float) -> int:
        """Count a packet and return its unwrapped number."""
        if self._first is None:
            # Room below, so that packets reordered around the first do not turn negative.
            self._highest = self._first = seq + (1 << 16)
        ext_seq = unwrap_seq(self._highest, seq)
        self._highest = max(self._highest, ext_seq)
        self._received += 1
        self._note_jitter(ts_rtp, now_s)
        return ext_seq

    def _note_jitter(self, ts_rtp: int, now_s: float) -> None:
        transit = now_s * self.clock_rate - ts_rtp
        if self._transit is not None:
            change = abs(transit - self._transit)
            # A wrapped or restarted clock is no jitter.
            if change < 5 * self.clock_rate:
                self._jitter += (change - self._jitter) / 16
                self._stats.jitter_s = self._jitter / self.clock_rate
        self._transit = transit

    def block(self, now_s: float) -> ReportBlock | None:
        """Return what to report now; None before the first packet."""
        if self._first is None:
            return None
        expected = self._highest - self._first + 1
        lost = expected - self._received
        self._stats.lost_packets = max(0, lost)
        expected_now = expected - self._expected_before
        lost_now = expected_now - (self._received - self._received_before)
        self._expected_before, self._received_before = expected, self._received
        fraction = min(255, max(0, (lost_now << 8) // expected_now)) if expected_now > 0 else 0
        last_sr = delay = 0
        if self.report is not None:
            last_sr = ntp_middle(self.report[0].ntp)
            delay = int((now_s - self.report[1]) * 65_536)
        return ReportBlock(
            self.ssrc,
            fraction,
            max(-(1 << 23), min((1 << 23) - 1, lost)),
            self._highest & 0xFFFFFFFF,
            int(self._jitter),
            last_sr,
            delay,
        )

    def sender_time_s(self, ts_rtp: int) -> float | None:
        """Return the sender's Unix time of a timestamp; None before the first sender report."""
        if self.report is None:
            return None
        report = self.report[0]
        seconds = report.ntp / (1 << 32) - NTP_EPOCH_OFFSET_S
        return seconds + ts_delta(ts_rtp, report.ts_rtp) / self.clock_rate


class _Receiver:
    """What audio and video have in common."""

    def __init__(
        self, kind: str, track_sid: str, ssrc: int, codecs: Mapping[int, str], clock_rate: int
    ) -> None:
        self.track_sid = track_sid
        self.ssrc = ssrc
        self.rtx_ssrc: int | None = None
        self.stats = ReceiverStats(kind=kind, track_sid=track_sid, ssrc=ssrc)
        self._codecs = codecs
        self._reception = _Reception(ssrc, clock_rate, self.stats)
        self._is_closed = False

    @property
    def deadline_s(self) -> float | None:
        """When to ask for `feedback`."""
        return None

    def handle_report(self, report: SenderReport, now_s: float) -> None:
        """Take the sender's clock."""
        self._reception.report = (report, now_s)

    def report_block(self, now_s: float) -> ReportBlock | None:
        """Return the block of the next receiver report."""
        return self._reception.block(now_s)

    def sender_time_s(self, ts_rtp: int) -> float | None:
        """Return the sender's Unix time of a timestamp, for lip sync; None if unknown yet."""
        return self._reception.sender_time_s(ts_rtp)

    def close(self) -> None:
        """Hand over nothing more."""
        self._is_closed = True


class AudioRtpReceiver(_Receiver):
    """Hands over Opus payloads as they arrive; ordering is the jitter buffer's work."""

    def __init__(self, track_sid: str, ssrc: int, codecs: Mapping[int, str]) -> None:
        super().__init__("audio", track_sid, ssrc, codecs, 48_000)
        self.stats.codec = "opus"
        self.sink: Callable[[AudioPacket], None] | None = None

    def handle_rtp(self, packet: RtpPacket, now_s: float) -> None:
        """Take one packet of this track. Hot path."""
        if self._is_closed or packet.payload_type not in self._codecs:
            return
        self._reception.note(packet.seq, packet.ts_rtp, now_s)
        stats = self.stats
        stats.packets += 1
        stats.payload_bytes += len(packet.payload)
        if not packet.payload:
            return
        stats.frames += 1
        if self.sink is not None:
            self.sink(AudioPacket(packet.seq, packet.ts_rtp, packet.payload, now_s))

    def feedback(self, now_s: float) -> tuple[list[int], bool]:
        """Return numbers to NACK and whether a keyframe is wanted: never any for audio."""
        return [], False


class VideoRtpReceiver(_Receiver):
    """Reorders, repairs and reassembles; hands over whole frames in order."""

    def __init__(
        self,
        track_sid: str,
        ssrc: int,
        codecs: Mapping[int, str],
        *,
        rtx_ssrc: int | None = None,
        rtx_of: Mapping[int, int] | None = None,
    ) -> None:
        super().__init__("video", track_sid, ssrc, codecs, 90_000)
        self.rtx_ssrc = rtx_ssrc
        self.sink: Callable[[EncodedVideoFrame], None] | None = None
        self.on_urgent: Callable[[], None] | None = None
        self._rtx_of = rtx_of or {}
        self._assembler = FrameAssembler(self.stats)
        self._wants_keyframe = False
        self._keyframe_asked_s = -KEYFRAME_PAUSE_S

    @property
    def deadline_s(self) -> float | None:
        """When to ask for `feedback`."""
        due_s = self._assembler.deadline_s
        if self._wants_keyframe or self._assembler.needs_keyframe:
            asked_s = self._keyframe_asked_s + KEYFRAME_PAUSE_S
            due_s = asked_s if due_s is None else min(due_s, asked_s)
        return due_s

    def request_keyframe(self) -> None:
        """Ask the sender for a keyframe (PLI), throttled."""
        self._wants_keyframe = True
        if self.on_urgent is not None:
            self.on_urgent()

    def handle_rtp(self, packet: RtpPacket, now_s: float) -> None:
        """Take one packet of this track. Hot path."""
        if self._is_closed:
            return
        codec = self._codecs.get(packet.payload_type)
        if codec is None:
            return
        ext_seq = self._reception.note(packet.seq, packet.ts_rtp, now_s)
        if not self.stats.packets:
            # The stream most likely begins with the keyframe that the server asked for.
            self._keyframe_asked_s = now_s - KEYFRAME_PAUSE_S / 2
        self.stats.packets += 1
        self.stats.payload_bytes += len(packet.payload)
        self._take(ext_seq, packet, packet.payload, codec, now_s, is_resend=False)

    def handle_rtx(self, packet: RtpPacket, now_s: float) -> None:
        """Take one packet of the repair stream (RFC 4588); padding carries nothing."""
        codec = self._codecs.get(self._rtx_of.get(packet.payload_type, -1))
        if self._is_closed or codec is None or len(packet.payload) < 3:
            return
        seq = int.from_bytes(packet.payload[:2], "big")
        ext_seq = self._assembler.unwrap(seq)
        if ext_seq is not None:
            self._take(ext_seq, packet, packet.payload[2:], codec, now_s, is_resend=True)

    def _take(
        self,
        ext_seq: int,
        packet: RtpPacket,
        payload: bytes,
        codec: str,
        now_s: float,
        *,
        is_resend: bool,
    ) -> None:
        stats = self.stats
        stats.codec = codec
        frames = self._assembler.handle_packet(
            ext_seq, packet.ts_rtp, packet.marker, payload, codec, now_s, is_resend=is_resend
        )
        for frame in frames:
            self._hand_over(frame)

    def _hand_over(self, frame: EncodedVideoFrame) -> None:
        self.stats.frames += 1
        if frame.keyframe:
            self.stats.keyframes += 1
            self._wants_keyframe = False
        if self.sink is not None:
            self.sink(frame)

    def feedback(self, now_s: float) -> tuple[list[int], bool]:
        """Return numbers to NACK now and whether to send a PLI."""
        missing, frames = self._assembler.handle_deadline(now_s)
        for frame in frames:
            self._hand_over(frame)
        self.stats.nacks_sent += len(missing)
        wants = self._wants_keyframe or self._assembler.needs_keyframe
        if not wants or now_s - self._keyframe_asked_s < KEYFRAME_PAUSE_S:
            return missing, False
        self._wants_keyframe = False
        self._keyframe_asked_s = now_s
        self.stats.keyframe_requests += 1
        return missing, True
