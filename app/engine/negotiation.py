"""Offers and answers of the client: which section carries what, and what an answer changed.

Two negotiators, both without I/O. `PublisherNegotiator` makes the offers: on v1 for both
directions (three audio and three video slots for the server's tracks, data channels, then one
section per published track), on v0 for publishing alone. `SubscriberNegotiator` answers the
server's offers on v0.

A section is never removed. An unpublished one turns inactive for good: some servers do not
notice new media in a section that has carried other media before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from livekit.protocol import rtc as lk_rtc

from app.engine.media_sections import (
    DownlinkTrack,
    LocalTransport,
    RemoteTransport,
    Uplink,
    UplinkParameters,
    accepted_uplink,
    answer_media,
    blank_media,
    describe_uplink,
    downlink_of,
    offered_codecs,
    offered_extensions,
    remote_transport,
)
from app.protocol.errors import ProtocolError
from app.protocol.sdp import MediaSection, SessionDescription, parse_sdp

INITIAL_SLOTS = (3, 3)
MAX_SLOTS_PER_KIND = 200


@dataclass(frozen=True)
class Negotiated:
    """What one description of the server changed. Closed tracks come before opened ones."""

    remote: RemoteTransport
    closed: tuple[DownlinkTrack, ...] = ()
    opened: tuple[DownlinkTrack, ...] = ()
    uplinks: tuple[UplinkParameters, ...] = ()


@dataclass
class _Section:
    """One m-line of ours."""

    mid: str
    kind: str
    direction: str
    uplink: Uplink | None = None


@dataclass
class _Downlinks:
    """The tracks that the sections carry now, by mid."""

    by_mid: dict[str, DownlinkTrack] = field(default_factory=dict)

    def replace_with(
        self, tracks: Iterable[DownlinkTrack]
    ) -> tuple[tuple[DownlinkTrack, ...], tuple[DownlinkTrack, ...]]:
        new = {track.mid: track for track in tracks}
        old = self.by_mid
        self.by_mid = new
        closed = tuple(track for mid, track in old.items() if new.get(mid) != track)
        opened = tuple(track for mid, track in new.items() if old.get(mid) != track)
        return closed, opened


class PublisherNegotiator:
    """Makes offers, reads answers. One offer is in flight at a time.

    `request` says that something changed; `next_offer` returns an offer when one is wanted and
    none is in flight. The caller calls it again after every answer.
    """

    def __init__(
        self, local: LocalTransport, *, session_id: int, slots: tuple[int, int] = (0, 0)
    ) -> None:
        self.local = local
        self._session_id = session_id
        self._sections: list[_Section] = []
        self._offer_id = 0
        # The sections of the offer in flight, with the directions that it named.
        self._in_flight: list[tuple[_Section, str]] | None = None
        self.last_offer: lk_rtc.SessionDescription | None = None
        self.last_answer: lk_rtc.SessionDescription | None = None
        self._is_wanted = True
        self._downlinks = _Downlinks()
        self._add_slots("audio", slots[0])
        self._add_slots("video", slots[1])
        self._append("application", "sendrecv")

    @property
    def is_in_flight(self) -> bool:
        """Whether an offer waits for its answer."""
        return self._in_flight is not None

    @property
    def is_settled(self) -> bool:
        """Whether the server has seen everything and answered."""
        return self._in_flight is None and not self._is_wanted

    def request(self) -> None:
        """Ask for another round, even if nothing of ours has changed."""
        self._is_wanted = True

    def add_uplink(self, uplink: Uplink) -> str:
        """Append a section that sends this track; return its mid."""
        section = self._append(uplink.kind, "sendonly")
        section.uplink = uplink
        self._is_wanted = True
        return section.mid

    def remove_uplink(self, cid: str) -> None:
        """Stop sending a track."""
        for section in self._sections:
            if section.uplink is not None and section.uplink.cid == cid:
                section.direction = "inactive"
                section.uplink = replace(section.uplink, cid="")
                self._is_wanted = True

    def add_slots(self, audios: int, videos: int) -> None:
        """Take `media_sections_requirement`: that many more slots, and another round."""
        for kind, count in (("audio", audios), ("video", videos)):
            have = sum(s.kind == kind and s.direction == "recvonly" for s in self._sections)
            self._add_slots(kind, max(0, min(count, MAX_SLOTS_PER_KIND - have)))
        self._is_wanted = True

    def restart(self, local: LocalTransport) -> None:
        """Offer new ICE credentials. An offer in flight is given up: its answer may be lost."""
        self.local = local
        self._in_flight = None
        self._is_wanted = True

    def next_offer(self) -> lk_rtc.SessionDescription | None:
        """Return the offer to send now, or None."""
        if self._in_flight is not None or not self._is_wanted:
            return None
        self._is_wanted = False
        self._offer_id += 1
        text = self._describe().to_text()
        self._in_flight = [(section, section.direction) for section in self._sections]
        self.last_offer = lk_rtc.SessionDescription(type="offer", sdp=text, id=self._offer_id)
        return self.last_offer

    def handle_answer(self, answer: lk_rtc.SessionDescription) -> Negotiated | None:
        """Read the answer to the offer in flight; None for one that answers another offer."""
        if self._in_flight is None or answer.id not in (0, self._offer_id):
            return None
        offered = self._in_flight
        description = parse_sdp(answer.sdp)
        if len(description.media) != len(offered):
            raise ProtocolError("answer with another number of sections")
        for (ours, _), theirs in zip(offered, description.media, strict=True):
            if ours.mid != theirs.mid or ours.kind != theirs.kind:
                raise ProtocolError("answer with other sections")
        remote = remote_transport(description, we_offered=True)
        self._in_flight = None
        self.last_answer = answer
        tracks: list[DownlinkTrack] = []
        uplinks: list[UplinkParameters] = []
        for (ours, direction), theirs in zip(offered, description.media, strict=True):
            if direction == "recvonly":
                track = downlink_of(theirs, answer.mid_to_track_id)
                if track is not None:
                    tracks.append(track)
            elif direction == "sendonly" and ours.uplink is not None and ours.uplink.cid:
                parameters = accepted_uplink(ours.uplink, theirs)
                if parameters is not None:
                    uplinks.append(parameters)
        closed, opened = self._downlinks.replace_with(tracks)
        return Negotiated(remote, closed, opened, tuple(uplinks))

    # --- the offer ---------------------------------------------------------------------------

    def _add_slots(self, kind: str, count: int) -> None:
        for _ in range(count):
            self._append(kind, "recvonly")

    def _append(self, kind: str, direction: str) -> _Section:
        section = _Section(str(len(self._sections)), kind, direction)
        self._sections.append(section)
        return section

    def _describe(self) -> SessionDescription:
        return SessionDescription(
            session_id=str(self._session_id),
            session_version=self._offer_id,
            origin_address="IN IP4 127.0.0.1",
            bundle=[section.mid for section in self._sections],
            msid_semantic="WMS",
            extmap_allow_mixed=True,
            media=[
                self._media(section, is_first=index == 0)
                for index, section in enumerate(self._sections)
            ],
        )

    def _media(self, section: _Section, *, is_first: bool) -> MediaSection:
        media = blank_media(section.kind, section.mid, section.direction, self.local)
        media.setup = "actpass"
        if is_first:
            # The transport is bundled: its candidates stand once, in the first section.
            media.candidates = [f"candidate:{text}" for text in self.local.candidates]
            media.end_of_candidates = True
        if section.kind == "application":
            return media
        uplink = section.uplink
        media.codecs = offered_codecs(section.kind, uplink)
        media.extensions = offered_extensions(section.kind, is_uplink=uplink is not None)
        if uplink is not None and section.direction == "sendonly":
            describe_uplink(media, uplink)
        return media


class SubscriberNegotiator:
    """Answers the server's offers on v0."""

    def __init__(self, *, session_id: int) -> None:
        self._session_id = session_id
        self._version = 0
        self._downlinks = _Downlinks()

    def handle_offer(
        self, offer: lk_rtc.SessionDescription
    ) -> tuple[SessionDescription, Negotiated]:
        """Read an offer; `answer` completes the reply once our transport is known."""
        description = parse_sdp(offer.sdp)
        if not description.media:
            raise ProtocolError("offer without sections")
        remote = remote_transport(description, we_offered=False)
        tracks = [
            track
            for track in (downlink_of(media, offer.mid_to_track_id) for media in description.media)
            if track is not None
        ]
        closed, opened = self._downlinks.replace_with(tracks)
        return description, Negotiated(remote, closed, opened)

    def answer(
        self, offer: SessionDescription, offer_id: int, local: LocalTransport
    ) -> lk_rtc.SessionDescription:
        """Write the answer to `offer` with the id that the offer had."""
        self._version += 1
        media: list[MediaSection] = []
        for theirs in offer.media:
            media.append(answer_media(theirs, local, is_first=not media))
        description = SessionDescription(
            session_id=str(self._session_id),
            session_version=self._version,
            origin_address="IN IP4 127.0.0.1",
            bundle=[section.mid for section in media if section.port],
            msid_semantic="WMS",
            extmap_allow_mixed=True,
            media=media,
        )
        return lk_rtc.SessionDescription(type="answer", sdp=description.to_text(), id=offer_id)
