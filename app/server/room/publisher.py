"""A participant's uplinks: which section of its offers brings which publication.

Offers and AddTrack requests may come in either order: the Python SDK waits for the answer to
AddTrack, the JavaScript one sends both at once. A section is matched by the track id in its
msid, else by kind with the oldest publication that has no section. A section that stops
sending ends its publication; there is no request for that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from livekit.protocol import models, rtc

from app.protocol.answer import (
    UplinkAnswer,
    choose_codec,
    is_uplink,
    uplink_extensions,
    uplink_ssrcs,
)
from app.protocol.sdp import MediaSection, SessionDescription
from app.server.room.publication import KIND_NAMES, Publication, new_track_info
from app.server.tracks.media import ParticipantMedia, UplinkMedia, Uptrack

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class PublisherEvents:
    """What the participant wants to know of its uplinks."""

    on_attached: Callable[[Publication], None]
    on_live: Callable[[Publication], None]
    on_ended: Callable[[Publication], None]


class Publisher:
    """Uplinks of one participant; lives on the server's loop."""

    def __init__(
        self, participant_sid: str, media: ParticipantMedia, events: PublisherEvents
    ) -> None:
        self._participant_sid = participant_sid
        self._media = media
        self._events = events
        self._answers: dict[str, UplinkAnswer] = {}
        self._unmatched: dict[str, MediaSection] = {}
        self._unfit: set[str] = set()
        self.publications: dict[str, Publication] = {}

    def find_pending(self, cid: str) -> Publication | None:
        """Return the publication with this client id that waits for its section."""
        for publication in self.publications.values():
            if publication.cid == cid and not publication.mid:
                return publication
        return None

    def add_track(
        self, request: rtc.AddTrackRequest, sid: str, ssrc: int, rtx_ssrc: int | None
    ) -> Publication:
        """Make the publication that an AddTrack asks for."""
        publication = Publication(
            publisher_sid=self._participant_sid,
            cid=request.cid,
            info=new_track_info(request, sid),
            ssrc=ssrc,
            rtx_ssrc=rtx_ssrc,
        )
        self.publications[sid] = publication
        return publication

    def match_waiting(self, publication: Publication) -> None:
        """Attach a new publication to a section that was offered before it."""
        for section in list(self._unmatched.values()):
            if section.kind == publication.kind and self._cid_fits(section, publication):
                self._attach(publication, section)
                return

    def handle_offer(self, offer: SessionDescription) -> Mapping[str, UplinkAnswer]:
        """Follow the offer's sending sections; return what the answer accepts, by mid."""
        sending = {section.mid: section for section in offer.media if is_uplink(section)}
        for publication in list(self.publications.values()):
            section = sending.get(publication.mid)
            if publication.mid and (section is None or self._was_replaced(section, publication)):
                self.end(publication)
        self._unmatched.clear()
        taken = {publication.mid for publication in self.publications.values()}
        self._answers = {mid: answer for mid, answer in self._answers.items() if mid in taken}
        fresh = [section for mid, section in sending.items() if mid not in taken]
        # Named matches first: a section whose AddTrack is late must not take another's place.
        for section in [section for section in fresh if self._attach_named(section)]:
            fresh.remove(section)
        for section in fresh:
            self._attach_first(section)
        return self._answers

    def end(self, publication: Publication) -> None:
        """End a publication: its section is free, its media stops."""
        self.publications.pop(publication.sid, None)
        self._unfit.discard(publication.sid)
        if publication.uptrack is not None:
            publication.uptrack.close()
            self._media.remove_uplink(publication.mid)
            publication.uptrack = None
        self._events.on_ended(publication)

    def _was_replaced(self, section: MediaSection, publication: Publication) -> bool:
        """Whether the client unpublished and reused the section within one offer."""
        cid = section.msid[1] if section.msid else ""
        return bool(cid) and cid != publication.cid and self.find_pending(cid) is not None

    def _cid_fits(self, section: MediaSection, publication: Publication) -> bool:
        cid = section.msid[1] if section.msid else ""
        cids = {publication.cid, *(codec.cid for codec in publication.info.codecs)}
        return not cid or cid in cids

    def _pending(self, section: MediaSection) -> list[Publication]:
        return [
            publication
            for publication in self.publications.values()
            if not publication.mid and publication.kind == section.kind
        ]

    def _attach_named(self, section: MediaSection) -> bool:
        """Attach the publication that the section's msid names."""
        for publication in self._pending(section):
            if section.msid and section.msid[1] and self._cid_fits(section, publication):
                self._attach(publication, section)
                return True
        return False

    def _attach_first(self, section: MediaSection) -> None:
        """Attach the oldest publication of this kind, or wait for one."""
        pending = self._pending(section)
        if pending:
            self._attach(pending[0], section)
        else:
            self._keep_unmatched(section)

    def _keep_unmatched(self, section: MediaSection) -> None:
        """Accept the section already: its AddTrack is under way."""
        codec = choose_codec(section)
        if codec is None:
            return
        self._unmatched[section.mid] = section
        self._answers[section.mid] = UplinkAnswer(codec, section.rtx_for(codec.payload_type))

    def _attach(self, publication: Publication, section: MediaSection) -> None:
        wanted = publication.info.codecs[0].mime_type
        accepted = self._answers.get(section.mid) if section.mid in self._unmatched else None
        codec = accepted.codec if accepted is not None else choose_codec(section, wanted)
        if codec is None:
            if publication.sid not in self._unfit:
                self._unfit.add(publication.sid)
                log.warning("no codec in common for a track", track=publication.sid)
            return
        self._unmatched.pop(section.mid, None)
        rtx = section.rtx_for(codec.payload_type)
        info = publication.info
        if accepted is None:
            accepted = UplinkAnswer(codec, rtx, stereo=info.stereo, dtx=not info.disable_dtx)
        self._answers[section.mid] = accepted
        rids = tuple(rid for rid, direction in section.rids if direction == "send")
        publication.set_mime_type(f"{section.kind}/{codec.name}", section.mid, rids)
        publication.uptrack = self._open_uptrack(publication)
        ssrcs, rtx_ssrcs = uplink_ssrcs(section)
        self._media.add_uplink(
            publication.uptrack,
            UplinkMedia(
                mid=section.mid,
                kind=section.kind,
                codec=codec.name,
                payload_type=codec.payload_type,
                rtx_payload_type=rtx.payload_type if rtx is not None else None,
                clock_rate=codec.clock_rate,
                ssrcs=ssrcs if not rids else (),
                rtx_ssrcs=rtx_ssrcs if not rids else (),
                rids=publication.rids,
                extensions=uplink_extensions(section),
            ),
        )
        self._events.on_attached(publication)

    def _open_uptrack(self, publication: Publication) -> Uptrack:
        info = publication.info
        uptrack = Uptrack(
            publication.sid,
            KIND_NAMES[info.type],
            info.source,
            layers=tuple(layer.quality for layer in info.layers),
            on_live=lambda: self._events.on_live(publication),
        )
        uptrack.muted = info.muted
        return uptrack

    def close(self) -> list[Publication]:
        """End every publication and return them."""
        ended = list(self.publications.values())
        for publication in ended:
            self.end(publication)
        return ended


_SOUND_SOURCES = (models.TrackSource.MICROPHONE, models.TrackSource.SCREEN_SHARE_AUDIO)
_PICTURE_SOURCES = (models.TrackSource.CAMERA, models.TrackSource.SCREEN_SHARE)


def source_is_allowed(permission: models.ParticipantPermission, kind: int, source: int) -> bool:
    """Whether a participant may publish from this source.

    Where sources are restricted the kind has to fit: a picture is no microphone.
    """
    allowed = permission.can_publish_sources
    if not permission.can_publish:
        return False
    if not allowed:
        return True
    fitting = _SOUND_SOURCES if kind == models.TrackType.AUDIO else _PICTURE_SOURCES
    return source in allowed and source in fitting
