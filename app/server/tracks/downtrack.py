"""One subscription: which layer it is on, with which offsets, and what its receiver reports."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.protocol.rtp.header import FIXED, MARKER
from app.protocol.rtp.wrap import unwrap_seq
from app.rtc.rtcp import ReportBlock, SenderReport, build_cname, build_sender_report, ntp_middle
from app.server.tracks.fanout import Entry, Group, patch
from app.server.tracks.model import DownlinkMapping
from app.sfu import blanks
from app.sfu.history import ResendLimiter
from app.sfu.layer_selector import HIGH
from app.sfu.munger import Offsets, Place, Spans

if TYPE_CHECKING:
    from app.server.tracks.media import ParticipantMedia
    from app.server.tracks.uptrack import UplinkLayer, Uptrack

SENDER_REPORT_EVERY_S = 3.0
_FIRST_REPORT_AFTER_S = 0.2


class Downtrack:
    """One subscriber's copy of one track. Made by `Uptrack.subscribe`."""

    def __init__(
        self,
        uptrack: Uptrack,
        to: ParticipantMedia,
        mapping: DownlinkMapping,
        ssrc: int,
        rtx_ssrc: int | None,
    ) -> None:
        self.uptrack = uptrack
        self.to = to
        self.transport = to.transport
        self.mapping = mapping
        self.ssrc = ssrc
        self.rtx_ssrc = rtx_ssrc if mapping.rtx_payload_type is not None else None
        self.is_enabled = True
        self.is_closed = False
        self.max_quality = HIGH
        self.layer: UplinkLayer | None = None
        self.wanted: UplinkLayer | None = None
        self.group: Group | None = None
        self.offsets = Offsets()
        self.last: Place | None = None
        self.left_s = 0.0
        self._counted = (0, 0)
        self._group_counted = (0, 0)
        self.refused = 0
        self.resent = 0
        self.fraction_lost = 0
        self._spans = Spans()
        self._limiter = ResendLimiter()
        self._rtx_seq = 0
        self._next_report_s = 0.0
        self._report_sent = (0, 0.0)
        self._blank_timer: asyncio.TimerHandle | None = None
        before = to.add_downtrack(self)
        if before is not None:
            self._continue(before)

    def _continue(self, before: Downtrack) -> None:
        """Number on from an ended subscription with the same SSRC.

        SRTP on both sides goes on counting for it: numbers that start elsewhere would be
        taken for replays.
        """
        before.stop_blank()
        self.last = before.last
        self._rtx_seq = before._rtx_seq

    # --- what the subscriber chooses

    def set_enabled(self, enabled: bool) -> None:
        """Stop or resume sending; resuming video waits for a keyframe."""
        if enabled != self.is_enabled:
            self.is_enabled = enabled
            self.uptrack.retarget(self)

    def set_max_quality(self, quality: int) -> None:
        """Never send a layer above this VideoQuality."""
        if quality != self.max_quality:
            self.max_quality = quality
            self.uptrack.retarget(self)

    def close(self) -> None:
        """End the subscription; the receiver is left with a blank picture. Idempotent."""
        if self.is_closed:
            return
        self.is_closed = True
        self.uptrack.forget(self)
        self.to.remove_downtrack(self)
        if self.last is not None and self.uptrack.kind == "video":
            self._send_blank(blanks.BLANK_FRAMES)

    # --- the layer it is on

    def current_place(self) -> Place | None:
        """Return what was sent last, as the subscriber saw it."""
        if self.group is None or self.group.last is None:
            return self.last
        place = self.offsets.apply(self.group.last)
        # The group may not have sent anything since this subscriber came.
        return place if self.last is None or place.ext_seq > self.last.ext_seq else self.last

    def sent(self) -> tuple[int, int]:
        """Return packets and payload octets sent so far, without resends."""
        packets, octets = self._counted
        if self.group is not None:
            packets += self.group.packets - self._group_counted[0]
            octets += self.group.octets - self._group_counted[1]
        return packets, octets

    def enter(self, layer: UplinkLayer, group: Group, offsets: Offsets, first: Place) -> None:
        """Go on with `first` of `layer`."""
        self.layer = layer
        self.group = group
        self.offsets = offsets
        self._group_counted = (group.packets, group.octets)
        self._spans.start(first.ext_seq + offsets.seq, group, offsets)
        group.attach(self)
        if self._next_report_s == 0.0:
            self._next_report_s = self.to.room.now_s() + _FIRST_REPORT_AFTER_S

    def leave(self, now_s: float) -> None:
        """Stop where it is, remembering where that was."""
        if self.group is not None:
            self.group.detach(self)
            self.last = self.current_place()
            self._counted = self.sent()
            self.left_s = now_s
            self.group = None
        if self.layer is not None:
            self.layer.drop_empty_groups()

    # --- what the receiver reports

    def handle_keyframe_request(self, now_s: float) -> None:
        """Pass PLI or FIR on to the layer it is on, and to the one it waits for."""
        if self.layer is not None:
            self.layer.request_keyframe(now_s)
        if self.wanted is not None and self.wanted is not self.layer:
            self.wanted.request_keyframe(now_s)

    def handle_report(self, block: ReportBlock) -> None:
        """Remember the receiver's loss."""
        self.fraction_lost = block.fraction_lost

    def round_trip_s(self, block: ReportBlock) -> float | None:
        """Return the round trip that a report of the receiver implies."""
        middle, sent_s = self._report_sent
        if not block.last_sr or block.last_sr != middle:
            return None
        return max(0.0, self.to.room.now_s() - sent_s - block.delay_since_last_sr / 65_536)

    def handle_nack(self, seqs: tuple[int, ...], now_s: float) -> None:
        """Send again what is still in the history."""
        place = self.current_place()
        if place is None:
            return
        rtt_s = self.to.rtt_s
        for seq in seqs:
            ext_seq = unwrap_seq(place.ext_seq, seq)
            found = self._spans.find(ext_seq)
            if found is None:
                continue
            source, offsets = found
            assert isinstance(source, Group)
            entry = source.history.find(ext_seq - offsets.seq)
            if entry is not None and self._limiter.allow(ext_seq, now_s, rtt_s):
                self._resend(entry, offsets)

    def _resend(self, entry: Entry, offsets: Offsets) -> None:
        packet = bytearray(entry[2])
        if not offsets.are_zero:
            patch(packet, [entry], 0, 0, offsets)
        if self.rtx_ssrc is not None and self.mapping.rtx_payload_type is not None:
            # RFC 4588: own SSRC and numbers, the original number before the payload.
            original = bytes(packet[2:4])
            _, second, _, ts_rtp, _ = FIXED.unpack_from(packet)
            head = FIXED.pack(
                0x80,
                second & MARKER | self.mapping.rtx_payload_type,
                self._rtx_seq,
                ts_rtp,
                self.rtx_ssrc,
            )
            self._rtx_seq = self._rtx_seq + 1 & 0xFFFF
            packet = bytearray(head + original) + packet[12:]
        if self.transport.send_rtp(packet):
            self.resent += 1

    # --- what the server says about the stream

    def handle_tick(self, now_s: float) -> None:
        """Send a sender report when it is time and the publisher has sent one."""
        layer = self.layer
        if self.group is None or layer is None or now_s < self._next_report_s:
            return
        clock = layer.clock_at(now_s)
        if clock is None or not self._next_report_s:
            return
        self._next_report_s = now_s + SENDER_REPORT_EVERY_S
        ntp, ts_rtp = clock
        self._report_sent = (ntp_middle(ntp), now_s)
        report = SenderReport(self.ssrc, ntp, ts_rtp + self.offsets.ts_rtp, *self.sent())
        cname = build_cname(self.ssrc, self.uptrack.stream_id)
        self.transport.send_rtcp(build_sender_report(report) + cname)

    def _send_blank(self, frames_left: int) -> None:
        """Send blank keyframes at 30 fps, so that the old picture goes away."""
        last = self.last
        if last is None or not frames_left or not self.transport.is_connected:
            return
        place = Place(
            last.ext_seq + 1,
            last.ts_rtp + blanks.BLANK_FRAME_TS & 0xFFFFFFFF,
            last.picture_id + 1 & 0x7FFF if last.picture_id >= 0 else -1,
            last.tl0 + 1 & 0xFF if last.tl0 >= 0 else -1,
        )
        if self.uptrack.codec == "VP8":
            payload = blanks.blank_vp8(place.picture_id, place.tl0)
        else:
            payload = blanks.blank_h264()
        head = FIXED.pack(
            0x80,
            MARKER | self.mapping.payload_type,
            place.ext_seq & 0xFFFF,
            place.ts_rtp,
            self.ssrc,
        )
        self.transport.send_rtp(head + payload)
        self.last = place
        self._blank_timer = self.to.room.loop.call_later(
            blanks.BLANK_FRAME_S, self._send_blank, frames_left - 1
        )

    def stop_blank(self) -> None:
        """Send no more blank pictures: somebody else uses the SSRC now."""
        if self._blank_timer is not None:
            self._blank_timer.cancel()
            self._blank_timer = None
