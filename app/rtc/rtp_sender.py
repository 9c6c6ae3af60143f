"""From Opus payloads and encoded frames to RTP packets, with resends and sender reports.

A sender outlives connections: `bind` gives it the router and the numbers of the current one,
`unbind` takes them away, and what is sent meanwhile is dropped. Streams keep their SSRC and go
on counting. Belongs to the engine's loop: SRTP contexts are not to be shared between threads.

The names of a stream (mid, rid) travel in its packets until the first feedback shows that the
server knows whose SSRC it is (as libwebrtc does); resends carry theirs always, they are rare.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from app.protocol.rtp.encoded import EncodedVideoFrame
from app.protocol.rtp.extensions import (
    AUDIO_LEVEL,
    MID,
    REPAIRED_RTP_STREAM_ID,
    RTP_STREAM_ID,
    TRANSPORT_CC,
)
from app.protocol.rtp.h264 import packetize_h264
from app.protocol.rtp.header import RtpPacket, build_rtp
from app.rtc.rtcp import (
    ReportBlock,
    SenderReport,
    build_cname,
    build_sender_report,
    ntp_middle,
    ntp_of,
)
from app.rtc.stats import SenderStats

MAX_PAYLOAD_BYTES = 1_100
HISTORY_PACKETS = 1_024
# A resend asked for within one round trip of the last one would arrive twice.
RESEND_PAUSE_S = 0.02
KEYFRAME_PAUSE_S = 0.25
REPORT_INTERVAL_S = 3.0
CNAME = "lanai"


@dataclass(frozen=True)
class SenderBinding:
    """The numbers that the server accepted for one track."""

    mid: str
    payload_type: int
    rtx_payload_type: int | None
    extensions: Mapping[str, int]


class PacketOut(Protocol):
    """Where packets go; `MediaRouter` is one."""

    def send_rtp(self, packet: bytes) -> bool:
        """Send; False when the transport is not up."""

    def next_transport_seq(self) -> int:
        """Return the next transport-wide number."""

    def attach_stream(self, stream: RtpStream) -> None:
        """Route feedback about this stream's SSRCs to it."""

    def detach_stream(self, stream: RtpStream) -> None:
        """Forget a stream."""


@dataclass
class _Sent:
    seq: int
    ts_rtp: int
    marker: bool
    payload: bytes
    resent_s: float = 0.0


class RtpStream:
    """One SSRC with the RTX stream that repairs it."""

    def __init__(
        self,
        ssrc: int,
        *,
        clock_rate: int,
        rid: str = "",
        rtx_ssrc: int | None = None,
        on_keyframe_request: Callable[[], None] | None = None,
        on_rate: Callable[[int], None] | None = None,
    ) -> None:
        self.ssrc = ssrc
        self.rtx_ssrc = rtx_ssrc
        self.rid = rid
        self.stats = SenderStats(rid=rid, ssrc=ssrc)
        self._clock_rate = clock_rate
        self._on_keyframe_request = on_keyframe_request
        self.on_rate = on_rate
        self._seq = secrets.randbelow(1 << 15)
        self._rtx_seq = secrets.randbelow(1 << 15)
        self._history: list[_Sent | None] = [None] * HISTORY_PACKETS
        self._out: PacketOut | None = None
        self._binding: SenderBinding | None = None
        self._names: dict[int, bytes] = {}
        self._rtx_names: dict[int, bytes] = {}
        self._transport_id: int | None = None
        self._last: tuple[int, float] | None = None
        self._reported_s = 0.0
        self._keyframe_asked_s = 0.0

    @property
    def is_bound(self) -> bool:
        """Whether there is a connection to send on."""
        return self._out is not None

    def bind(self, out: PacketOut, binding: SenderBinding) -> None:
        """Start sending on a connection; repeated for every answer of the server."""
        if self._out is out and self._binding == binding:
            return
        self.unbind()
        self._out = out
        self._binding = binding
        ids = binding.extensions
        self._names = _named(ids, MID, binding.mid) | _named(ids, RTP_STREAM_ID, self.rid)
        self._rtx_names = _named(ids, MID, binding.mid) | _named(
            ids, REPAIRED_RTP_STREAM_ID, self.rid
        )
        self._transport_id = ids.get(TRANSPORT_CC)
        self._reported_s = 0.0
        out.attach_stream(self)

    def unbind(self) -> None:
        """Stop: the connection is going away."""
        if self._out is not None:
            self._out.detach_stream(self)
        self._out = None
        self._binding = None

    # --- packets out -------------------------------------------------------------------------

    def send(
        self,
        payload: bytes,
        ts_rtp: int,
        *,
        marker: bool,
        now_s: float,
        extra: Mapping[int, bytes] | None = None,
    ) -> bool:
        """Send one packet; False when there is no connection."""
        out, binding = self._out, self._binding
        if out is None or binding is None:
            return False
        extensions = self._names
        if extra:
            extensions = {**extensions, **extra}
        if self._transport_id is not None:
            number = out.next_transport_seq()
            extensions = {**extensions, self._transport_id: number.to_bytes(2, "big")}
        seq = self._seq
        packet = build_rtp(
            RtpPacket(binding.payload_type, seq, ts_rtp, self.ssrc, payload, marker, extensions)
        )
        if not out.send_rtp(packet):
            return False
        self._seq = (seq + 1) & 0xFFFF
        if self.rtx_ssrc is not None:
            self._history[seq % HISTORY_PACKETS] = _Sent(seq, ts_rtp, marker, payload)
        self.stats.packets += 1
        self.stats.payload_bytes += len(payload)
        self._last = (ts_rtp, now_s)
        return True

    def _resend(self, seq: int, now_s: float) -> None:
        out, binding = self._out, self._binding
        sent = self._history[seq % HISTORY_PACKETS]
        if out is None or binding is None or sent is None or sent.seq != seq:
            return
        if binding.rtx_payload_type is None or self.rtx_ssrc is None:
            return
        if now_s - sent.resent_s < RESEND_PAUSE_S:
            return
        sent.resent_s = now_s
        extensions = self._rtx_names
        if self._transport_id is not None:
            number = out.next_transport_seq()
            extensions = {**extensions, self._transport_id: number.to_bytes(2, "big")}
        packet = build_rtp(
            RtpPacket(
                binding.rtx_payload_type,
                self._rtx_seq,
                sent.ts_rtp,
                self.rtx_ssrc,
                seq.to_bytes(2, "big") + sent.payload,
                sent.marker,
                extensions,
            )
        )
        self._rtx_seq = (self._rtx_seq + 1) & 0xFFFF
        if out.send_rtp(packet):
            self.stats.resent_packets += 1

    # --- feedback in -------------------------------------------------------------------------

    def _is_known(self) -> None:
        """The server speaks of our SSRC, so it knows the name that goes with it."""
        if self._names:
            self._names = {}

    def handle_nack(self, seqs: Sequence[int], now_s: float) -> None:
        """Send missing packets again."""
        self._is_known()
        self.stats.nacked_packets += len(seqs)
        for seq in seqs:
            self._resend(seq, now_s)

    def handle_keyframe_request(self, now_s: float) -> None:
        """Pass a PLI or FIR on, not more often than a keyframe takes to arrive."""
        self._is_known()
        self.request_keyframe(now_s)

    def request_keyframe(self, now_s: float) -> None:
        """Ask the encoder for a keyframe, throttled."""
        if now_s - self._keyframe_asked_s < KEYFRAME_PAUSE_S:
            return
        self._keyframe_asked_s = now_s
        self.stats.keyframe_requests += 1
        if self._on_keyframe_request is not None:
            self._on_keyframe_request()

    def handle_report(self, block: ReportBlock, now_unix_s: float) -> None:
        """Take what the server says about this stream."""
        self._is_known()
        self.stats.loss_ratio = block.fraction_lost / 256
        self.stats.lost_packets = block.cumulative_lost
        if block.last_sr:
            now = ntp_middle(ntp_of(now_unix_s))
            delay = (now - block.last_sr - block.delay_since_last_sr) & 0xFFFFFFFF
            if delay < 1 << 31:
                self.stats.round_trip_s = delay / 65_536

    def report(self, now_s: float, now_unix_s: float) -> bytes:
        """Return the sender report that is due, or nothing."""
        last = self._last
        if last is None or self._out is None or now_s - self._reported_s < REPORT_INTERVAL_S:
            return b""
        self._reported_s = now_s
        ts_rtp = last[0] + round((now_s - last[1]) * self._clock_rate)
        report = SenderReport(
            self.ssrc,
            ntp_of(now_unix_s),
            ts_rtp & 0xFFFFFFFF,
            self.stats.packets,
            self.stats.payload_bytes,
        )
        return build_sender_report(report) + build_cname(self.ssrc, CNAME)


def _named(ids: Mapping[str, int], uri: str, value: str) -> dict[int, bytes]:
    number = ids.get(uri)
    return {} if number is None or not value else {number: value.encode()}


class AudioRtpSender:
    """One Opus stream."""

    def __init__(self, ssrc: int) -> None:
        self._stream = RtpStream(ssrc, clock_rate=48_000)
        self.stats: SenderStats = self._stream.stats
        self._level_id: int | None = None
        self._is_closed = False

    def bind(self, out: PacketOut, binding: SenderBinding) -> None:
        """Start sending on a connection."""
        if self._is_closed:
            return
        self._level_id = binding.extensions.get(AUDIO_LEVEL)
        self._stream.bind(out, binding)

    def unbind(self) -> None:
        """Stop sending until the next `bind`."""
        self._stream.unbind()

    def close(self) -> None:
        """Stop sending for good."""
        self._is_closed = True
        self._stream.unbind()

    def send(
        self, payload: bytes, ts_rtp: int, *, level_dbov: int | None = None, marker: bool = False
    ) -> None:
        """Send one payload; `level_dbov` is 0 (loudest) to 127 (silence), RFC 6464."""
        extra: dict[int, bytes] | None = None
        if level_dbov is not None and self._level_id is not None:
            level = min(127, max(0, level_dbov))
            # The top bit says that there is voice; servers look at the level alone.
            voice = 0x80 if level < 60 else 0
            extra = {self._level_id: bytes((voice | level,))}
        if self._stream.send(payload, ts_rtp, marker=marker, now_s=time.monotonic(), extra=extra):
            self.stats.frames += 1
        else:
            self.stats.dropped_frames += 1


class VideoRtpSender:
    """One video in one or more layers; layer 0 is the lowest.

    After (re)binding, a layer starts with a keyframe: others are dropped, and one is asked for.
    """

    def __init__(self, codec: str, layers: Sequence[tuple[str, int, int]]) -> None:
        self.codec = codec
        self.on_keyframe_request: Callable[[int], None] | None = None
        self.on_target_bitrate: Callable[[int], None] | None = None
        self._streams = [
            RtpStream(
                ssrc,
                clock_rate=90_000,
                rid=rid,
                rtx_ssrc=rtx_ssrc,
                on_keyframe_request=partial(self._ask_for_keyframe, index),
                on_rate=self._on_rate if index == 0 else None,
            )
            for index, (rid, ssrc, rtx_ssrc) in enumerate(layers)
        ]
        self.stats: list[SenderStats] = [stream.stats for stream in self._streams]
        self._picture_ids = [secrets.randbelow(1 << 15) for _ in layers]
        self._needs_keyframe = [True] * len(layers)
        self._is_closed = False

    def bind(self, out: PacketOut, binding: SenderBinding) -> None:
        """Start sending on a connection."""
        if self._is_closed:
            return
        for index, stream in enumerate(self._streams):
            if not stream.is_bound:
                self._needs_keyframe[index] = True
            stream.bind(out, binding)

    def unbind(self) -> None:
        """Stop sending until the next `bind`."""
        for stream in self._streams:
            stream.unbind()

    def close(self) -> None:
        """Stop sending for good."""
        self._is_closed = True
        self.unbind()

    def _ask_for_keyframe(self, layer: int) -> None:
        if self.on_keyframe_request is not None:
            self.on_keyframe_request(layer)

    def _on_rate(self, target_bps: int) -> None:
        if self.on_target_bitrate is not None:
            self.on_target_bitrate(target_bps)

    def send(self, layer: int, frame: EncodedVideoFrame) -> None:
        """Packetise and send one frame of a layer."""
        stream = self._streams[layer]
        now_s = time.monotonic()
        if self._needs_keyframe[layer] and not frame.keyframe:
            stream.stats.dropped_frames += 1
            if stream.is_bound:
                stream.request_keyframe(now_s)
            return
        payloads = self._payloads(layer, frame)
        last = len(payloads) - 1
        for index, payload in enumerate(payloads):
            if not stream.send(payload, frame.ts_rtp, marker=index == last, now_s=now_s):
                stream.stats.dropped_frames += 1
                self._needs_keyframe[layer] = True
                return
        self._needs_keyframe[layer] = False
        stream.stats.frames += 1

    def _payloads(self, layer: int, frame: EncodedVideoFrame) -> list[bytes]:
        if self.codec.upper() == "H264":
            return packetize_h264(frame.data, MAX_PAYLOAD_BYTES)
        picture_id = self._picture_ids[layer]
        self._picture_ids[layer] = (picture_id + 1) & 0x7FFF
        # RFC 7741 §4.2: X and I, a 15-bit picture id; S marks the frame's first packet.
        tail = b"\x80" + (0x8000 | picture_id).to_bytes(2, "big")
        data = frame.data
        step = MAX_PAYLOAD_BYTES - 4
        # Equal sizes: the server can send equal packets as one batch.
        count = max(1, -(-len(data) // step))
        step = -(-len(data) // count)
        return [
            (b"\x90" if at == 0 else b"\x80") + tail + data[at : at + step]
            for at in range(0, max(1, len(data)), max(1, step))
        ]
