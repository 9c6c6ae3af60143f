"""One publication as media: its layers, and who gets which of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from app.protocol.rtp.h264 import is_h264_keyframe
from app.protocol.rtp.vp8 import locate_vp8
from app.protocol.rtp.wrap import unwrap_bits
from app.rtc.rtcp import SenderReport, ntp_middle
from app.server.tracks.downtrack import Downtrack
from app.server.tracks.fanout import Group
from app.server.tracks.model import DownlinkMapping, UplinkMedia
from app.sfu import blanks
from app.sfu.keyframes import KeyframeThrottle
from app.sfu.layer_selector import max_spatial, target_layer
from app.sfu.munger import Offsets, Place, mapped_timestamp, offsets_after
from app.sfu.numbering import Numbering
from app.sfu.reception import Reception

if TYPE_CHECKING:
    from app.server.tracks.media import ParticipantMedia

_LIVE_S = 2.0
_NO_PICTURE = (-1, 0, -1, 0)


class UplinkLayer:
    """One encoding of a track: one SSRC from the publisher, many groups of subscribers."""

    def __init__(
        self, uptrack: Uptrack, spatial: int, rid: str, ssrc: int, clock_rate: int
    ) -> None:
        self.uptrack = uptrack
        self.spatial = spatial
        self.rid = rid
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.reception = Reception(clock_rate)
        self.last_s = float("-inf")
        self.is_live = False
        self.waiting: set[Downtrack] = set()
        self.sender_report: tuple[int, int, float] | None = None
        self._numbering = Numbering()
        self._throttle = KeyframeThrottle(spatial)
        self._groups: dict[tuple[int, int, int, int], Group] = {}
        self._is_vp8 = uptrack.codec == "VP8"
        self._is_h264 = uptrack.codec == "H264"
        self._is_gated = False
        self._picture_ext = -1
        self._last_ts = 0

    def handle_packet(
        self,
        seq: int,
        ts_rtp: int,
        marker: int,
        data: bytearray | bytes,
        start: int,
        end: int,
        now_s: float,
    ) -> None:
        """Take one packet in the clear; its payload is data[start:end]. Hot path."""
        ext_seq = self.reception.handle_packet(seq, ts_rtp, now_s)
        if ext_seq < 0:
            return
        numbering = self._numbering
        uptrack = self.uptrack
        if start == end or uptrack.is_muted:
            numbering.drop(ext_seq)
            return
        self.last_s = now_s
        if not self.is_live:
            uptrack.handle_live(self)
        in_order = ext_seq > numbering.highest
        is_key = not uptrack.is_video
        picture = _NO_PICTURE
        if self._is_vp8:
            picture_at, bits, tl0_at, is_key = locate_vp8(data, start, end)
            payload = bytes(data[start:end])
            if bits:
                picture_at -= start
                picture_id, payload, grown = self._picture(payload, picture_at, bits)
                tl0_at = tl0_at - start + grown if tl0_at else 0
                tl0 = payload[tl0_at] if tl0_at else -1
                picture = (picture_id, 12 + picture_at, tl0, 12 + tl0_at if tl0_at else 0)
        else:
            payload = bytes(data[start:end])
            if self._is_h264:
                is_key = is_h264_keyframe(payload)
        if self._is_gated:
            if not (is_key and in_order):
                numbering.drop(ext_seq)
                return
            self._is_gated = False
        out_seq = numbering.map(ext_seq)
        if out_seq is None:
            return
        if in_order:
            self._last_ts = ts_rtp
            if is_key:
                self._throttle.handle_keyframe()
                if self.waiting:
                    first = Place(out_seq, ts_rtp, picture[0], picture[2])
                    for downtrack in tuple(self.waiting):
                        uptrack.switch(downtrack, self, first, now_s)
        for group in self._groups.values():
            group.add(out_seq, ts_rtp, marker, payload, picture)

    def _picture(self, payload: bytes, at: int, bits: int) -> tuple[int, bytes, int]:
        """Return the picture id, the payload with a 15-bit one, and by how much it grew."""
        if bits == 15:
            picture_id = (payload[at] & 0x7F) << 8 | payload[at + 1]
            return picture_id, payload, 0
        # Seven bits would wrap differently on each layer: widen them, so that every
        # subscriber can go on counting after a switch.
        raw = payload[at] & 0x7F
        ext = raw if self._picture_ext < 0 else unwrap_bits(self._picture_ext, raw, 7)
        self._picture_ext = max(ext, self._picture_ext, 0)
        picture_id = ext & 0x7FFF
        wide = (0x8000 | picture_id).to_bytes(2, "big")
        return picture_id, payload[:at] + wide + payload[at + 1 :], 1

    # --- groups

    def group_for(self, downtrack: Downtrack) -> Group:
        """Return the group whose bytes this subscriber can share."""
        transport = downtrack.transport
        assert transport.sender is not None
        tag_bytes = transport.sender.tag_bytes
        payload_type = downtrack.mapping.payload_type
        key = (payload_type, downtrack.ssrc, tag_bytes, id(transport.mux))
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(
                downtrack.to.room,
                transport.mux,
                payload_type=payload_type,
                ssrc=downtrack.ssrc,
                tag_bytes=tag_bytes,
                lingers=self.uptrack.is_video,
            )
        return group

    def drop_empty_groups(self) -> None:
        """Forget groups without subscribers, so that nothing is built for them."""
        for key in [k for k, group in self._groups.items() if group.is_empty]:
            del self._groups[key]

    # --- feedback

    def request_keyframe(self, now_s: float) -> None:
        """Ask the publisher, unless it was asked a moment ago."""
        if self.uptrack.is_video and self._throttle.request(now_s):
            self.uptrack.send_pli(self.ssrc)

    def handle_sender_report(self, report: SenderReport, now_s: float) -> None:
        """Remember the publisher's clock."""
        self.reception.handle_sender_report(ntp_middle(report.ntp), now_s)
        self.sender_report = (report.ntp, report.ts_rtp, now_s)

    def clock_at(self, now_s: float) -> tuple[int, int] | None:
        """Return the publisher's NTP time and this layer's timestamp for now."""
        if self.sender_report is None:
            return None
        ntp, ts_rtp, at_s = self.sender_report
        elapsed_s = now_s - at_s
        return ntp + int(elapsed_s * (1 << 32)), ts_rtp + int(elapsed_s * self.clock_rate)

    @property
    def needs_keyframe(self) -> bool:
        """Whether somebody waits for one."""
        return bool(self.waiting) or self._is_gated or self._throttle.is_wanted

    def handle_tick(self, now_s: float) -> None:
        """Ask again for a keyframe that somebody still waits for."""
        if self.waiting or self._is_gated:
            self._throttle.is_wanted = self.uptrack.is_video
        if self.is_live and self._throttle.repeat(now_s, self.uptrack.publisher_rtt_s()):
            self.uptrack.send_pli(self.ssrc)

    # --- mute

    def gate(self) -> None:
        """Let nothing through until a keyframe: what was muted cannot be referred to."""
        self._is_gated = self.uptrack.is_video

    def insert_silence(self) -> None:
        """Send one frame of Opus silence behind the newest packet."""
        out_seq = self._numbering.insert()
        if out_seq is None:
            return
        self._last_ts = self._last_ts + blanks.OPUS_FRAME_TS & 0xFFFFFFFF
        for group in self._groups.values():
            group.add(out_seq, self._last_ts, 0, blanks.OPUS_SILENCE, _NO_PICTURE)
            group.flush()


class Uptrack:
    """One publication's media. `on_live` is called whenever another layer is first heard.

    `layers` are the declared qualities. Lives on the server's loop; media reaches it through
    `ParticipantMedia.add_uplink`.
    """

    def __init__(
        self,
        track_sid: str,
        kind: str,
        source: int,
        *,
        layers: Sequence[int] = (),
        on_live: Callable[[], None] = lambda: None,
        stream_id: str = "",
    ) -> None:
        self.track_sid = track_sid
        self.kind = kind
        self.source = source
        self.is_video = kind == "video"
        self.codec = ""
        self.is_muted = False
        self.is_closed = False
        self.stream_id = stream_id or track_sid
        self.live_layers: dict[int, tuple[int, str]] = {}
        self._qualities = tuple(sorted(layers))
        self._on_live = on_live
        self._layers: dict[int, UplinkLayer] = {}
        self._media: UplinkMedia | None = None
        self._publisher: ParticipantMedia | None = None
        self._downtracks: list[Downtrack] = []
        self._silence_left = 0
        self._silence_timer: asyncio.TimerHandle | None = None

    @property
    def mime_type(self) -> str:
        """Such as "video/VP8"; empty before the section is known."""
        return f"{self.kind}/{self.codec}" if self.codec else ""

    @property
    def layers(self) -> Mapping[int, UplinkLayer]:
        """Layers that have been heard, by spatial rank."""
        return self._layers

    @property
    def downtracks(self) -> Sequence[Downtrack]:
        """Every subscription."""
        return self._downtracks

    # --- the publisher's side

    def open(self, publisher: ParticipantMedia, media: UplinkMedia) -> None:
        """Take note of the section that the media arrives in."""
        self._publisher = publisher
        self._media = media
        self.codec = media.codec
        if self.stream_id == self.track_sid:
            self.stream_id = f"{publisher.participant_sid}|{self.track_sid}"

    def layer_for(self, rid: str, ssrc: int) -> UplinkLayer:
        """Return the layer of this RID, now carried by `ssrc`; a new SSRC starts it anew."""
        assert self._media is not None
        rids = self._media.rids
        spatial = rids.index(rid) if rid in rids else 0
        layer = self._layers.get(spatial)
        if layer is None or layer.ssrc != ssrc:
            before = layer
            layer = UplinkLayer(self, spatial, rid, ssrc, self._media.clock_rate)
            self._layers[spatial] = layer
            if before is not None:
                self._replace(before, layer)
        return layer

    def _replace(self, before: UplinkLayer, layer: UplinkLayer) -> None:
        """Move everybody who is on, or waits for, a layer whose SSRC has changed."""
        for downtrack in self._downtracks:
            if downtrack.wanted is before or downtrack.layer is before:
                self.retarget(downtrack)

    def handle_live(self, layer: UplinkLayer) -> None:
        """A layer is heard, for the first time or again."""
        layer.is_live = True
        is_new = self.live_layers.get(layer.spatial) != (layer.ssrc, layer.rid)
        self.live_layers[layer.spatial] = (layer.ssrc, layer.rid)
        for downtrack in self._downtracks:
            self.retarget(downtrack)
        if is_new:
            self._on_live()

    def send_pli(self, ssrc: int) -> None:
        """Ask the publisher for a keyframe of one layer."""
        if self._publisher is not None:
            self._publisher.send_pli(ssrc)

    def publisher_rtt_s(self) -> float:
        """Return the round trip to the publisher."""
        return self._publisher.rtt_s if self._publisher is not None else 0.1

    def handle_tick(self, now_s: float) -> None:
        """Notice layers that have stopped, send reports; every half second."""
        changed = False
        for layer in self._layers.values():
            if layer.is_live and not self.is_muted and now_s - layer.last_s > _LIVE_S:
                layer.is_live = False
                changed = True
        for downtrack in self._downtracks:
            if changed:
                self.retarget(downtrack)
            downtrack.handle_tick(now_s)

    # --- mute

    @property
    def muted(self) -> bool:
        """Whether the publisher has muted: nothing of it is forwarded."""
        return self.is_muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        if muted == self.is_muted:
            return
        self.is_muted = muted
        now_s = self._publisher.room.now_s() if self._publisher is not None else 0.0
        for layer in self._layers.values():
            # What was in the air before the mute still belongs to it.
            layer.last_s = now_s
            layer.gate()
        if not muted:
            self._silence_left = 0
            for downtrack in self._downtracks:
                if downtrack.layer is not None:
                    downtrack.layer.request_keyframe(now_s)
        elif not self.is_video:
            self._silence_left = blanks.SILENCE_FRAMES
            self._insert_silence()

    def _insert_silence(self) -> None:
        self._silence_timer = None
        if self._silence_left <= 0 or self.is_closed or self._publisher is None:
            return
        self._silence_left -= 1
        for layer in self._layers.values():
            layer.insert_silence()
        self._silence_timer = self._publisher.room.loop.call_later(
            blanks.OPUS_FRAME_S, self._insert_silence
        )

    # --- the subscribers' side

    def subscribe(
        self, to: ParticipantMedia, mapping: DownlinkMapping, ssrc: int, rtx_ssrc: int | None
    ) -> Downtrack:
        """Send this track to a participant, with its ids and our SSRCs."""
        downtrack = Downtrack(self, to, mapping, ssrc, rtx_ssrc)
        self._downtracks.append(downtrack)
        self.retarget(downtrack)
        return downtrack

    def forget(self, downtrack: Downtrack) -> None:
        """Drop a subscription that is closing."""
        if downtrack in self._downtracks:
            self._downtracks.remove(downtrack)
        self._stop(downtrack)

    def _stop(self, downtrack: Downtrack) -> None:
        if downtrack.wanted is not None:
            downtrack.wanted.waiting.discard(downtrack)
            downtrack.wanted = None
        downtrack.leave(downtrack.to.room.now_s())

    def retarget(self, downtrack: Downtrack) -> None:
        """Decide again which layer a subscriber should be on."""
        if not downtrack.is_enabled or downtrack.is_closed or not downtrack.transport.is_connected:
            self._stop(downtrack)
            return
        live = {spatial for spatial, layer in self._layers.items() if layer.is_live}
        rids = self._media.rids if self._media is not None else ()
        allowed = max_spatial(downtrack.max_quality, self._qualities, max(len(rids), 1))
        current = downtrack.layer if downtrack.group is not None else None
        target = target_layer(allowed, live, current.spatial if current is not None else None)
        wanted = self._layers.get(target) if target is not None else None
        if downtrack.wanted is not None and downtrack.wanted is not wanted:
            downtrack.wanted.waiting.discard(downtrack)
        downtrack.wanted = wanted
        if wanted is None or wanted is current:
            if wanted is not None:
                wanted.waiting.discard(downtrack)
            return
        wanted.waiting.add(downtrack)
        wanted.request_keyframe(downtrack.to.room.now_s())

    def switch(self, downtrack: Downtrack, layer: UplinkLayer, first: Place, now_s: float) -> None:
        """Put a subscriber on `layer`, whose keyframe starts with `first`."""
        layer.waiting.discard(downtrack)
        before = downtrack.layer
        offsets_before = downtrack.offsets
        left_s = now_s if downtrack.group is not None else downtrack.left_s
        downtrack.leave(now_s)
        last = downtrack.last
        ts_rtp: int | None = None
        if last is not None and before is not None:
            ts_rtp = self._timestamp_in(layer, before, offsets_before, first)
            if ts_rtp is None:
                elapsed = int((now_s - left_s) * layer.clock_rate)
                ts_rtp = last.ts_rtp + max(elapsed, layer.clock_rate // 50) & 0xFFFFFFFF
        offsets = offsets_after(last, first, ts_rtp)
        downtrack.enter(layer, layer.group_for(downtrack), offsets, first)

    def _timestamp_in(
        self, layer: UplinkLayer, before: UplinkLayer, offsets: Offsets, first: Place
    ) -> int | None:
        """Return the time of `first` in the subscriber's stream, by the senders' clocks."""
        if layer is before:
            return first.ts_rtp + offsets.ts_rtp & 0xFFFFFFFF
        ours, theirs = layer.sender_report, before.sender_report
        mapped = mapped_timestamp(
            first.ts_rtp,
            layer.clock_rate,
            ours[:2] if ours is not None else None,
            theirs[:2] if theirs is not None else None,
        )
        return None if mapped is None else mapped + offsets.ts_rtp & 0xFFFFFFFF

    def close(self) -> None:
        """End the track and every subscription. Idempotent."""
        if self.is_closed:
            return
        self.is_closed = True
        if self._silence_timer is not None:
            self._silence_timer.cancel()
        for downtrack in tuple(self._downtracks):
            downtrack.close()
        self._layers.clear()
