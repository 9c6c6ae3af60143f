"""One participant's media: packets to layers, feedback to publishers, reports to downtracks.

The demux goes by SSRC. An unknown SSRC is placed by its MID and RID extensions, which libwebrtc
sends only until the first feedback, and the place is kept; failing those by the section's
announced SSRCs, or by its payload type if that leaves no choice.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog

from app.protocol.errors import ProtocolError
from app.protocol.rtp import extensions as ext
from app.protocol.rtp.extensions import read_extensions
from app.protocol.rtp.header import FIXED, HAS_EXTENSION, payload_bounds
from app.protocol.rtp.wrap import unwrap_seq
from app.rtc import rtcp
from app.rtc.server_transport import ServerTransport
from app.server.tracks.downtrack import Downtrack
from app.server.tracks.model import DownlinkMapping, UplinkMedia
from app.server.tracks.room_media import RoomMedia
from app.server.tracks.uptrack import UplinkLayer, Uptrack

__all__ = [
    "DownlinkMapping",
    "Downtrack",
    "ParticipantMedia",
    "RoomMedia",
    "UplinkMedia",
    "Uptrack",
]

log = structlog.get_logger(__name__)

# Our SSRC as a receiver; libwebrtc's own receivers use 1 too.
REPORTER_SSRC = 1
REPORT_EVERY_S = 1.0
SLOW_TICK_S = 0.5
TRANSPORT_FEEDBACK_EVERY_S = 0.05
# Told to publishers that were not given transport-wide feedback: no limit that matters.
UPLINK_CEILING_BPS = 20_000_000
MICROPHONE = 2
_MAX_ARRIVALS = 400
_MAX_ENDED = 200
_AUDIO_PACKET_MS = 20.0


@dataclass(slots=True)
class _Stream:
    """Where the packets of one SSRC go; `is_rtx` says they are resends."""

    uplink: _Uplink
    layer: UplinkLayer
    is_rtx: bool
    level_id: int


@dataclass(slots=True)
class _Uplink:
    uptrack: Uptrack
    media: UplinkMedia


class ParticipantMedia:
    """RTP and RTCP of one participant, both directions. Lives on the server's loop."""

    def __init__(self, transport: ServerTransport, room: RoomMedia, participant_sid: str) -> None:
        self.transport = transport
        self.room = room
        self.participant_sid = participant_sid
        self.rtt_s = 0.1
        self.malformed = 0
        self.unplaced = 0
        self._data = transport.mux.slots.area.data
        self._uplinks: dict[str, _Uplink] = {}
        self._streams: dict[int, _Stream] = {}
        self._downtracks: dict[int, Downtrack] = {}
        self._ended: dict[int, Downtrack] = {}
        self._transport_cc_id = 0
        self._arrivals: list[tuple[int, int]] = []
        self._arrival_ext = -1
        self._feedback_count = 0
        self._feedback_base = -1
        self._next_feedback_s = 0.0
        self._next_report_s = 0.0
        self._next_slow_s = 0.0
        self._is_closed = False
        transport.media = self

    # --- uplinks

    def add_uplink(self, uptrack: Uptrack, media: UplinkMedia) -> None:
        """Route what arrives in this section to `uptrack`."""
        if media.mid in self._uplinks:
            self.remove_uplink(media.mid)
        uplink = _Uplink(uptrack, media)
        self._uplinks[media.mid] = uplink
        self.room.join(self)
        uptrack.open(self, media)
        for uri, number in media.extensions.items():
            if uri == ext.TRANSPORT_CC:
                self._transport_cc_id = number
        if not media.rids:
            for ssrc in media.ssrcs[:1]:
                layer = uptrack.layer_for("", ssrc)
                self._place(ssrc, uplink, layer, is_rtx=False)
                for rtx_ssrc in media.rtx_ssrcs[:1]:
                    self._place(rtx_ssrc, uplink, layer, is_rtx=True)

    def remove_uplink(self, mid: str) -> None:
        """Stop routing a section's media."""
        uplink = self._uplinks.pop(mid, None)
        if uplink is None:
            return
        for ssrc in [s for s, stream in self._streams.items() if stream.uplink is uplink]:
            del self._streams[ssrc]
        if uplink.uptrack.source == MICROPHONE:
            self.room.end_voice(self.participant_sid)
        if not self._uplinks:
            self.room.leave(self)

    def _place(self, ssrc: int, uplink: _Uplink, layer: UplinkLayer, *, is_rtx: bool) -> _Stream:
        level_id = 0
        if uplink.media.kind == "audio" and uplink.uptrack.source == MICROPHONE:
            level_id = uplink.media.extensions.get(ext.AUDIO_LEVEL, 0)
        stream = _Stream(uplink, layer, is_rtx, level_id)
        for old in [
            s
            for s, known in self._streams.items()
            if known.uplink is uplink
            and known.is_rtx == is_rtx
            and known.layer.spatial == layer.spatial
        ]:
            del self._streams[old]
        self._streams[ssrc] = stream
        return stream

    def _latch(self, ssrc: int, payload_type: int, data: bytearray, at: int) -> _Stream | None:
        """Find the section and layer of an unknown SSRC."""
        mid = rid = repaired = ""
        elements: dict[int, str] = {}
        if data[at] & HAS_EXTENSION:
            block = at + 12 + 4 * (data[at] & 15)
            for number, start, size in read_extensions(data, block):
                elements[number] = data[start : start + size].decode("latin-1")
        uplink: _Uplink | None = None
        for candidate in self._uplinks.values():
            ids = candidate.media.extensions
            mid = elements.get(ids.get(ext.MID, -1), "")
            if mid:
                uplink = self._uplinks.get(mid)
                break
        if uplink is None and not mid:
            uplink = self._uplink_by_payload_type(payload_type)
        if uplink is None:
            return None
        media = uplink.media
        rid = elements.get(media.extensions.get(ext.RTP_STREAM_ID, -1), "")
        repaired = elements.get(media.extensions.get(ext.REPAIRED_RTP_STREAM_ID, -1), "")
        is_rtx = payload_type == media.rtx_payload_type
        if not is_rtx and payload_type != media.payload_type:
            return None
        name = (repaired or rid) if is_rtx else rid
        if (media.rids and name not in media.rids) or (is_rtx and media.rids and not repaired):
            return None
        if is_rtx:
            layer = self._layer_of(uplink, name)
            return self._place(ssrc, uplink, layer, is_rtx=True) if layer is not None else None
        layer = uplink.uptrack.layer_for(name, ssrc)
        return self._place(ssrc, uplink, layer, is_rtx=False)

    def _uplink_by_payload_type(self, payload_type: int) -> _Uplink | None:
        """Return the only section without a stream yet that uses this payload type."""
        placed = {id(stream.uplink) for stream in self._streams.values()}
        fitting = [
            uplink
            for uplink in self._uplinks.values()
            if uplink.media.payload_type == payload_type
            and not uplink.media.rids
            and id(uplink) not in placed
        ]
        return fitting[0] if len(fitting) == 1 else None

    def _layer_of(self, uplink: _Uplink, rid: str) -> UplinkLayer | None:
        for layer in uplink.uptrack.layers.values():
            if layer.rid == rid:
                return layer
        return None

    # --- packets (hot path)

    def handle_rtp(self, at: int, size: int) -> None:
        """Take one packet in the clear, which lies in the mux's slots. Hot path."""
        data = self._data
        try:
            first, second, seq, ts_rtp, ssrc = FIXED.unpack_from(data, at)
            start, end = payload_bounds(data, at, size)
            stream = self._streams.get(ssrc)
            if stream is None:
                stream = self._latch(ssrc, second & 0x7F, data, at)
                if stream is None:
                    self.unplaced += 1
                    return
            now_s = time.monotonic()
            level_id = stream.level_id
            if first & HAS_EXTENSION and (level_id or self._transport_cc_id):
                self._handle_extensions(data, at + 12 + 4 * (first & 15), level_id, now_s)
            if stream.is_rtx:
                self._handle_resend(stream, second, ts_rtp, data, start, end, now_s)
            elif second & 0x7F == stream.uplink.media.payload_type:
                stream.layer.handle_packet(seq, ts_rtp, second & 0x80, data, start, end, now_s)
            else:
                self.unplaced += 1
        except ProtocolError:
            self.malformed += 1

    def _handle_extensions(self, data: bytearray, at: int, level_id: int, now_s: float) -> None:
        for number, start, size in read_extensions(data, at):
            if number == self._transport_cc_id and size == 2:
                self._handle_arrival(data[start] << 8 | data[start + 1], now_s)
            elif number == level_id:
                self.room.speakers.handle_level(
                    self.participant_sid, data[start] & 0x7F, _AUDIO_PACKET_MS, now_s
                )

    def _handle_resend(
        self,
        stream: _Stream,
        second: int,
        ts_rtp: int,
        data: bytearray,
        start: int,
        end: int,
        now_s: float,
    ) -> None:
        if end - start <= 2:
            # A probe, or a resend of nothing.
            return
        seq = data[start] << 8 | data[start + 1]
        stream.layer.handle_packet(seq, ts_rtp, second & 0x80, data, start + 2, end, now_s)

    def _handle_arrival(self, seq: int, now_s: float) -> None:
        ext_seq = seq if self._arrival_ext < 0 else unwrap_seq(self._arrival_ext, seq)
        self._arrival_ext = max(self._arrival_ext, ext_seq)
        self._arrivals.append((ext_seq, int(now_s * 1_000_000)))
        if len(self._arrivals) >= _MAX_ARRIVALS:
            self._send_transport_feedback()

    # --- RTCP

    def handle_rtcp(self, data: bytes) -> None:
        """Take one compound in the clear."""
        try:
            items = rtcp.parse_rtcp(data)
        except ProtocolError:
            self.malformed += 1
            return
        now_s = time.monotonic()
        wants_keyframe: set[int] = set()
        for item in items:
            match item:
                case rtcp.SenderReport():
                    stream = self._streams.get(item.ssrc)
                    if stream is not None and not stream.is_rtx:
                        stream.layer.handle_sender_report(item, now_s)
                    self._handle_blocks(item.blocks)
                case rtcp.ReceiverReport():
                    self._handle_blocks(item.blocks)
                case rtcp.KeyframeRequest():
                    wants_keyframe.add(item.media_ssrc)
                case rtcp.Nack():
                    downtrack = self._downtracks.get(item.media_ssrc)
                    if downtrack is not None:
                        self.room.tally.nacks_received += len(item.seqs)
                        downtrack.handle_nack(item.seqs, now_s)
                case rtcp.ReferenceTime():
                    self._send(
                        rtcp.build_dlrr(REPORTER_SSRC, item.ssrc, rtcp.ntp_middle(item.ntp), 0)
                    )
                case _:
                    pass
        for ssrc in wants_keyframe:
            downtrack = self._downtracks.get(ssrc)
            if downtrack is not None:
                downtrack.handle_keyframe_request(now_s)

    def _handle_blocks(self, blocks: tuple[rtcp.ReportBlock, ...]) -> None:
        for block in blocks:
            downtrack = self._downtracks.get(block.ssrc)
            if downtrack is not None:
                downtrack.handle_report(block)
                rtt_s = downtrack.round_trip_s(block)
                if rtt_s is not None:
                    self.rtt_s += (rtt_s - self.rtt_s) / 4

    def send_pli(self, ssrc: int) -> None:
        """Ask this publisher for a keyframe."""
        self.room.tally.plis_sent += 1
        self._send(rtcp.build_pli(REPORTER_SSRC, ssrc))

    def _send(self, compound: bytes) -> None:
        self.transport.send_rtcp(compound)

    # --- timers

    def handle_connected(self) -> None:
        """Start what waited for the transport."""
        for downtrack in self._downtracks.values():
            downtrack.uptrack.retarget(downtrack)

    def handle_tick(self, now_s: float) -> None:
        """Send the feedback that is due; every 25 ms."""
        for ssrc, stream in self._streams.items():
            if stream.is_rtx:
                continue
            layer = stream.layer
            if layer.reception.has_holes:
                seqs = layer.reception.due_nacks(now_s)
                if seqs:
                    self._send(rtcp.build_nack(REPORTER_SSRC, ssrc, seqs))
            if layer.needs_keyframe:
                layer.handle_tick(now_s)
        if self._arrivals and now_s >= self._next_feedback_s:
            self._send_transport_feedback()
            self._next_feedback_s = now_s + TRANSPORT_FEEDBACK_EVERY_S
        if now_s >= self._next_slow_s:
            self._next_slow_s = now_s + SLOW_TICK_S
            for uplink in tuple(self._uplinks.values()):
                uplink.uptrack.handle_tick(now_s)
        if now_s >= self._next_report_s:
            self._next_report_s = now_s + REPORT_EVERY_S
            self._send_receiver_report(now_s)

    def _send_receiver_report(self, now_s: float) -> None:
        blocks: list[rtcp.ReportBlock] = []
        video: list[int] = []
        for ssrc, stream in self._streams.items():
            if stream.is_rtx:
                continue
            report = stream.layer.reception.take_report(now_s)
            if report is None:
                continue
            if stream.uplink.uptrack.is_video:
                video.append(ssrc)
            blocks.append(
                rtcp.ReportBlock(
                    ssrc,
                    report.fraction_lost,
                    report.cumulative_lost,
                    report.highest_ext_seq,
                    report.jitter,
                    report.last_sr,
                    report.delay_since_last_sr,
                )
            )
        if not blocks:
            return
        compound = rtcp.build_receiver_report(REPORTER_SSRC, blocks)
        if video and not self._transport_cc_id:
            compound += rtcp.build_remb(REPORTER_SSRC, UPLINK_CEILING_BPS, video[:255])
        self._send(compound)

    def _send_transport_feedback(self) -> None:
        arrivals = dict(sorted(self._arrivals))
        self._arrivals.clear()
        # What was reported as missing before and came late is not reported again.
        arrivals = {seq: at for seq, at in arrivals.items() if seq >= self._feedback_base}
        if not arrivals:
            return
        first, last = next(iter(arrivals)), max(arrivals)
        if self._feedback_base >= 0 and first - self._feedback_base > _MAX_ARRIVALS:
            self._feedback_base = first
        if last - first > 4 * _MAX_ARRIVALS:
            self._feedback_base = last + 1
            return
        media_ssrc = next((s for s, stream in self._streams.items() if not stream.is_rtx), 0)
        self._send(
            rtcp.build_transport_feedback(
                REPORTER_SSRC,
                media_ssrc,
                first,
                [arrivals.get(seq) for seq in range(first, last + 1)],
                self._feedback_count,
            )
        )
        self._feedback_count = self._feedback_count + 1 & 0xFF
        self._feedback_base = last + 1

    # --- downlinks

    def add_downtrack(self, downtrack: Downtrack) -> Downtrack | None:
        """Route reports about its SSRC to it; return the ended one that had the SSRC before."""
        self._downtracks[downtrack.ssrc] = downtrack
        return self._ended.pop(downtrack.ssrc, None)

    def remove_downtrack(self, downtrack: Downtrack) -> None:
        """Forget a subscription, save for where its numbers ended."""
        if self._downtracks.get(downtrack.ssrc) is downtrack:
            del self._downtracks[downtrack.ssrc]
            self._ended[downtrack.ssrc] = downtrack
            if len(self._ended) > _MAX_ENDED:
                del self._ended[next(iter(self._ended))]

    def move_to(self, room: RoomMedia) -> None:
        """Let another room call the timers and hear who speaks."""
        self.room.leave(self)
        self.room.speakers.forget(self.participant_sid)
        self.room = room
        if self._uplinks and not self._is_closed:
            room.join(self)

    def close(self) -> None:
        """End everything of this participant, both directions. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self.room.leave(self)
        self.room.speakers.forget(self.participant_sid)
        for mid in tuple(self._uplinks):
            self._uplinks[mid].uptrack.close()
            self.remove_uplink(mid)
        for downtrack in tuple(self._downtracks.values()):
            downtrack.close()
        for downtrack in self._ended.values():
            downtrack.stop_blank()
        self._ended.clear()
