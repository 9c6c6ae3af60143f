"""A participant's downlinks: what it should receive, in which slot, at which quality.

`SlotTable` decides the slots; here its decisions meet the media: a downtrack is opened when an
answer puts a track into a slot and closed when it leaves. Changes are collected for a moment
(10 ms, or 150 ms when the last one is fresh) before the client is asked to offer again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog
from livekit.protocol import models, rtc

from app.protocol.answer import DownlinkAnswer, is_slot, section_mapping
from app.protocol.sdp import SessionDescription
from app.server.room.identifiers import fresh_ssrc
from app.server.room.publication import Publication
from app.server.room.slots import SlotTable
from app.server.tracks.media import DownlinkMapping, Downtrack, ParticipantMedia

log = structlog.get_logger(__name__)

QUICK_S = 0.010
CALM_S = 0.150
UNANSWERED_S = 5.0
# Settings may precede their track; these are more than a room has.
MAX_SETTINGS = 1_000
MAX_SID_CHARS = 64
# Tracks that were received before; a room sees fewer while anybody's receiver remembers them.
MAX_HAD = 1_000


@dataclass
class TrackSettings:
    """What the subscriber asked for; kept from before the subscription on."""

    disabled: bool = False
    max_quality: int = models.VideoQuality.HIGH


@dataclass
class _Downlink:
    publication: Publication
    ssrc: int
    rtx_ssrc: int | None
    downtrack: Downtrack | None = None
    mapping: DownlinkMapping | None = None


@dataclass
class _Timing:
    last_request_s: float = -1.0
    held_until_s: float = 0.0
    awaiting_offer: bool = False
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)


class Subscriber:
    """Downlinks of one participant; lives on the server's loop."""

    def __init__(
        self,
        media: ParticipantMedia,
        *,
        request_sections: Callable[[int, int], None],
        on_first_subscriber: Callable[[Publication], None],
    ) -> None:
        self._media = media
        self._request_sections = request_sections
        self._on_first_subscriber = on_first_subscriber
        self._slots = SlotTable()
        self._downlinks: dict[str, _Downlink] = {}
        self._settings: dict[str, TrackSettings] = {}
        self._had: dict[str, None] = {}
        # Tracks it would have but for rights that may be given later.
        self.withheld: set[str] = set()
        self._unfit: set[str] = set()
        self._timing = _Timing()
        self._is_closed = False

    @property
    def track_sids(self) -> set[str]:
        """Tracks that are subscribed to, carried already or not."""
        return set(self._downlinks)

    @property
    def remembered(self) -> int:
        """How many settings are kept."""
        return len(self._settings)

    def forget(self, track_sid: str) -> None:
        """A track is gone: keep nothing of it but that it was here, for it may come back.

        Its owner may be moved to another room and back, or be shown here again.
        """
        self.unsubscribe(track_sid)
        self.withheld.discard(track_sid)
        self._settings.pop(track_sid, None)
        self._unfit.discard(track_sid)

    def subscribe(self, publication: Publication) -> None:
        """Deliver this track from the next answer on. Idempotent."""
        if publication.sid in self._downlinks or self._is_closed:
            return
        ssrc, rtx_ssrc = publication.ssrc, publication.rtx_ssrc
        if publication.sid in self._had:
            # A receiver remembers how far an SSRC has counted: a second subscription starts over.
            ssrc, rtx_ssrc = fresh_ssrc(), fresh_ssrc() if rtx_ssrc is not None else None
        self._had[publication.sid] = None
        if len(self._had) > MAX_HAD:
            del self._had[next(iter(self._had))]
        self._downlinks[publication.sid] = _Downlink(publication, ssrc, rtx_ssrc)
        self._slots.want(publication.sid, publication.kind)
        self._schedule()

    def unsubscribe(self, track_sid: str) -> bool:
        """Stop delivering; the slot is free at the next answer."""
        downlink = self._downlinks.pop(track_sid, None)
        if downlink is None:
            return False
        if downlink.downtrack is not None:
            downlink.downtrack.close()
        self._slots.unwant(track_sid)
        self._schedule()
        return True

    def drop_all(self) -> None:
        """Stop delivering everything, and keep nothing of it."""
        for track_sid in [*self._downlinks, *self._settings, *self.withheld]:
            self.forget(track_sid)

    def disable(self, track_sids: Iterable[str]) -> None:
        """Stop forwarding these tracks, now or when they are subscribed to."""
        for track_sid in track_sids:
            settings = self._settings.get(track_sid)
            if settings is None:
                if len(self._settings) >= MAX_SETTINGS or len(track_sid) > MAX_SID_CHARS:
                    continue
                settings = self._settings[track_sid] = TrackSettings()
            settings.disabled = True
            downlink = self._downlinks.get(track_sid)
            if downlink is not None and downlink.downtrack is not None:
                _apply(settings, downlink.downtrack)

    def apply_settings(
        self, request: rtc.UpdateTrackSettings, publications: Mapping[str, Publication]
    ) -> None:
        """Take a `track_setting`: dimensions beat quality, the smallest layer that fills them."""
        known = set(models.VideoQuality.values())
        quality = request.quality if request.quality in known else models.VideoQuality.HIGH
        for track_sid in request.track_sids:
            is_new = track_sid not in self._settings
            if is_new and (len(self._settings) >= MAX_SETTINGS or len(track_sid) > MAX_SID_CHARS):
                continue
            settings = TrackSettings(request.disabled, quality)
            publication = publications.get(track_sid)
            if publication is not None and request.width and request.height:
                settings.max_quality = quality_for(publication.info, request.width, request.height)
            self._settings[track_sid] = settings
            downlink = self._downlinks.get(track_sid)
            if downlink is not None and downlink.downtrack is not None:
                _apply(settings, downlink.downtrack)

    def handle_offer(self, offer: SessionDescription) -> dict[str, DownlinkAnswer]:
        """Place tracks into the offer's slots; return what the answer carries, by mid."""
        self._timing.awaiting_offer = False
        self._timing.held_until_s = 0.0
        slots = {section.mid: section.kind for section in offer.media if is_slot(section)}
        answers: dict[str, DownlinkAnswer] = {}
        for mid, track_sid in self._slots.handle_offer(slots).items():
            downlink = self._downlinks[track_sid]
            section = offer.section(mid)
            publication = downlink.publication
            mapping = section_mapping(section, publication.info.mime_type) if section else None
            if mapping is None:
                self._refuse_codec(track_sid)
                continue
            answers[mid] = DownlinkAnswer(
                track_sid=track_sid,
                stream_id=publication.stream_id,
                mime_type=publication.info.mime_type,
                ssrc=downlink.ssrc,
                rtx_ssrc=downlink.rtx_ssrc if mapping.rtx_payload_type is not None else None,
            )
            wanted = DownlinkMapping(
                mapping.payload_type, mapping.rtx_payload_type, mapping.extensions
            )
            self._connect(downlink, wanted, answers[mid])
        return answers

    def _refuse_codec(self, track_sid: str) -> None:
        """Say so once: every offer comes here again."""
        if track_sid not in self._unfit:
            self._unfit.add(track_sid)
            log.warning("a subscriber cannot take a track's codec", track=track_sid)

    def hold(self) -> None:
        """Ask for nothing until the offer that a resuming client sends by itself.

        What has been asked for before may never have reached it, so it is asked for again.
        Two offers at once are more than the Rust SDK can take: it applies one answer to the
        other's offer, and is left without the second.
        """
        self._slots.forget_requests()
        self._timing.held_until_s = asyncio.get_running_loop().time() + UNANSWERED_S

    def after_answer(self) -> None:
        """Ask again when the offer that was just answered could not hold everything."""
        self._schedule()

    def _connect(
        self, downlink: _Downlink, mapping: DownlinkMapping, answer: DownlinkAnswer
    ) -> None:
        publication = downlink.publication
        if downlink.downtrack is not None and downlink.mapping == mapping:
            return
        if publication.uptrack is None:
            return
        if downlink.downtrack is not None:
            downlink.downtrack.close()
        downlink.mapping = mapping
        downlink.downtrack = publication.uptrack.subscribe(
            self._media, mapping, answer.ssrc, answer.rtx_ssrc
        )
        settings = self._settings.get(publication.sid)
        if settings is not None:
            _apply(settings, downlink.downtrack)
        if not publication.had_subscriber:
            publication.had_subscriber = True
            self._on_first_subscriber(publication)

    def _schedule(self) -> None:
        if self._is_closed:
            return
        timing, loop = self._timing, asyncio.get_running_loop()
        idle_s = loop.time() - timing.last_request_s
        at_s = loop.time() + (QUICK_S if idle_s > CALM_S else CALM_S)
        if timing.timer is not None:
            if timing.timer.when() <= at_s:
                return
            # It only watches over an offer that does not come.
            timing.timer.cancel()
        timing.timer = loop.call_at(at_s, self._ask)

    def _ask(self) -> None:
        timing, loop = self._timing, asyncio.get_running_loop()
        timing.timer = None
        if loop.time() < timing.held_until_s:
            timing.timer = loop.call_at(timing.held_until_s, self._ask)
            return
        needed = self._slots.requirement()
        if needed is None:
            return
        waited_s = loop.time() - timing.last_request_s
        if timing.awaiting_offer and needed == (0, 0) and waited_s < UNANSWERED_S:
            timing.timer = loop.call_later(UNANSWERED_S - waited_s, self._ask)
            return
        timing.awaiting_offer = True
        timing.last_request_s = loop.time()
        self._request_sections(*needed)

    def close(self) -> None:
        """Close every downtrack."""
        self._is_closed = True
        if self._timing.timer is not None:
            self._timing.timer.cancel()
        for downlink in self._downlinks.values():
            if downlink.downtrack is not None:
                downlink.downtrack.close()
        self._downlinks.clear()


def quality_for(info: models.TrackInfo, width: int, height: int) -> int:
    """Return the lowest quality whose layer is at least that large, else the highest."""
    for layer in sorted(info.layers, key=lambda layer: layer.quality):
        if layer.width >= width and layer.height >= height:
            return layer.quality
    return models.VideoQuality.HIGH


def _apply(settings: TrackSettings, downtrack: Downtrack) -> None:
    downtrack.set_enabled(not settings.disabled)
    downtrack.set_max_quality(settings.max_quality)
