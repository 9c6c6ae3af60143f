"""Offers and answers of the client: which section carries what, and what an answer changed.

Two negotiators, both without I/O. `PublisherNegotiator` makes the offers: on v1 for both
directions (three audio and three video slots for the server's tracks, data channels, then one
section per published track), on v0 for publishing alone. `SubscriberNegotiator` answers the
server's offers on v0.

A section is never removed. An unpublished one turns inactive for good: some servers do not
notice new media in a section that has carried other media before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from livekit.protocol import rtc as lk_rtc

from app.protocol.errors import ProtocolError
from app.protocol.sdp import (
    EXT_AUDIO_LEVEL,
    EXT_MID,
    EXT_REPAIRED_RID,
    EXT_RID,
    EXT_TRANSPORT_CC,
    MediaSection,
    RtpCodec,
    SessionDescription,
    parse_sdp,
)

INITIAL_SLOTS = (3, 3)
MAX_SLOTS_PER_KIND = 200
LOCAL_SCTP_PORT = 5000
MAX_MESSAGE_BYTES = 65_535

# The numbers are libwebrtc's (as in the official wheel): servers that build one packet for all
# subscribers with the same numbers have fewer to build.
_EXTENSION_IDS = {
    EXT_AUDIO_LEVEL: 1,
    EXT_TRANSPORT_CC: 3,
    EXT_MID: 4,
    EXT_RID: 10,
    EXT_REPAIRED_RID: 11,
}
_VIDEO_FEEDBACK = ("ccm fir", "nack", "nack pli")
_H264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id="
_VIDEO_CODECS = (
    (96, "VP8", ""),
    (109, "H264", _H264 + "42e01f"),
    (103, "H264", _H264 + "42001f"),
)
_RTX_OF = {96: 97, 109: 114, 103: 104}


@dataclass(frozen=True)
class LocalTransport:
    """Our end of a peer connection, as its descriptions name it."""

    ufrag: str
    pwd: str
    fingerprint: str
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class RemoteTransport:
    """The server's end. `dtls_role` is ours."""

    ufrag: str
    pwd: str
    is_lite: bool
    fingerprints: tuple[tuple[str, str], ...]
    dtls_role: Literal["client", "server"]
    candidates: tuple[str, ...]
    sctp_port: int | None
    max_message_bytes: int


@dataclass(frozen=True)
class UplinkLayer:
    """The streams of one layer of a published track."""

    rid: str
    ssrc: int
    rtx_ssrc: int


@dataclass(frozen=True)
class Uplink:
    """A track to publish. `codec` is its SDP name; audio has one layer without RTX."""

    cid: str
    kind: Literal["audio", "video"]
    codec: str
    layers: tuple[UplinkLayer, ...]
    stereo: bool = False
    dtx: bool = False


@dataclass(frozen=True)
class UplinkParameters:
    """What the server accepted for an uplink: the numbers that its packets have to carry."""

    cid: str
    mid: str
    payload_type: int
    rtx_payload_type: int | None
    extensions: Mapping[str, int]


@dataclass(frozen=True)
class DownlinkTrack:
    """A track of the room as it reaches us: in which section, under which numbers."""

    mid: str
    kind: Literal["audio", "video"]
    participant_sid: str
    track_sid: str
    ssrc: int
    rtx_ssrc: int | None
    codecs: tuple[tuple[int, str], ...]
    rtx_of: tuple[tuple[int, int], ...]


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
        """Offer new ICE credentials."""
        self.local = local
        self._is_wanted = True

    def next_offer(self) -> lk_rtc.SessionDescription | None:
        """Return the offer to send now, or None."""
        if self._in_flight is not None or not self._is_wanted:
            return None
        self._is_wanted = False
        self._offer_id += 1
        text = self._describe().to_text()
        self._in_flight = [(section, section.direction) for section in self._sections]
        return lk_rtc.SessionDescription(type="offer", sdp=text, id=self._offer_id)

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
        remote = _remote_transport(description, we_offered=True)
        self._in_flight = None
        tracks: list[DownlinkTrack] = []
        uplinks: list[UplinkParameters] = []
        for (ours, direction), theirs in zip(offered, description.media, strict=True):
            if direction == "recvonly":
                track = _downlink(theirs, answer.mid_to_track_id)
                if track is not None:
                    tracks.append(track)
            elif direction == "sendonly" and ours.uplink is not None and ours.uplink.cid:
                parameters = _accepted(ours.uplink, theirs)
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
        media = _blank_media(section.kind, section.mid, section.direction, self.local)
        media.setup = "actpass"
        if is_first:
            # The transport is bundled: its candidates stand once, in the first section.
            media.candidates = [f"candidate:{text}" for text in self.local.candidates]
            media.end_of_candidates = True
        if section.kind == "application":
            return media
        uplink = section.uplink
        media.codecs = _codecs(section.kind, uplink)
        media.extensions = _extensions(section.kind, is_uplink=uplink is not None)
        if uplink is not None and section.direction == "sendonly":
            _describe_uplink(media, uplink)
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
        remote = _remote_transport(description, we_offered=False)
        tracks = [
            track
            for track in (_downlink(media, offer.mid_to_track_id) for media in description.media)
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
            media.append(_answer_media(theirs, local, is_first=not media))
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


# --- writing sections ------------------------------------------------------------------------


def _blank_media(kind: str, mid: str, direction: str, local: LocalTransport) -> MediaSection:
    media = MediaSection(
        kind=kind,
        mid=mid,
        direction=direction,
        ice_ufrag=local.ufrag,
        ice_pwd=local.pwd,
        ice_options="trickle",
        fingerprints=[("sha-256", local.fingerprint)],
    )
    if kind == "application":
        media.protocol = "UDP/DTLS/SCTP"
        media.formats = ["webrtc-datachannel"]
        media.sctp_port = LOCAL_SCTP_PORT
        media.max_message_size = MAX_MESSAGE_BYTES
    else:
        media.rtcp_mux = True
        media.rtcp_rsize = True
    return media


def _codecs(kind: str, uplink: Uplink | None) -> list[RtpCodec]:
    if kind == "audio":
        fmtp = "minptime=10;useinbandfec=1"
        if uplink is not None and uplink.stereo:
            fmtp += ";stereo=1;sprop-stereo=1"
        if uplink is not None and uplink.dtx:
            fmtp += ";usedtx=1"
        feedback = ["transport-cc"] if uplink is not None else []
        return [RtpCodec(111, "opus", 48_000, 2, fmtp, feedback)]
    feedback = list(_VIDEO_FEEDBACK)
    if uplink is not None:
        feedback = ["goog-remb", "transport-cc", *feedback]
    codecs: list[RtpCodec] = []
    for number, name, fmtp in _VIDEO_CODECS:
        if uplink is not None and name.lower() != uplink.codec.lower():
            continue
        codecs.append(RtpCodec(number, name, 90_000, 1, fmtp, list(feedback)))
        codecs.append(RtpCodec(_RTX_OF[number], "rtx", 90_000, 1, f"apt={number}"))
        if uplink is not None:
            break
    return codecs


def _extensions(kind: str, *, is_uplink: bool) -> dict[str, int]:
    # Without transport-wide numbers in the slots no server waits for feedback about them.
    uris = [EXT_MID]
    if is_uplink:
        uris.append(EXT_TRANSPORT_CC)
    if kind == "audio":
        uris.append(EXT_AUDIO_LEVEL)
    else:
        uris += [EXT_RID, EXT_REPAIRED_RID]
    return {uri: _EXTENSION_IDS[uri] for uri in uris}


def _describe_uplink(media: MediaSection, uplink: Uplink) -> None:
    media.msid = ("-", uplink.cid)
    if len(uplink.layers) > 1:
        # Simulcast: streams are named by rid alone (RFC 8853), as libwebrtc does.
        rids = [layer.rid for layer in uplink.layers]
        media.rids = [(rid, "send") for rid in rids]
        media.simulcast = ("send", rids)
        return
    layer = uplink.layers[0]
    attributes = {"cname": "lanai", "msid": f"- {uplink.cid}"}
    media.ssrcs = {layer.ssrc: dict(attributes)}
    if uplink.kind == "video":
        media.ssrcs[layer.rtx_ssrc] = dict(attributes)
        media.ssrc_groups = [("FID", [layer.ssrc, layer.rtx_ssrc])]


def _answer_media(theirs: MediaSection, local: LocalTransport, *, is_first: bool) -> MediaSection:
    direction = "recvonly" if theirs.direction in ("sendrecv", "sendonly") else "inactive"
    if theirs.is_application:
        direction = "sendrecv"
    media = _blank_media(theirs.kind, theirs.mid, direction, local)
    media.setup = "active"
    media.protocol = theirs.protocol
    if is_first:
        media.candidates = [f"candidate:{text}" for text in local.candidates]
        media.end_of_candidates = True
    if theirs.is_application:
        return media
    codecs = _known_codecs(theirs)
    if not codecs:
        # Nothing of it can be decoded here: refuse the section (RFC 3264 §6).
        media.port = 0
        media.direction = "inactive"
        media.candidates = []
        media.formats = [str(codec.payload_type) for codec in theirs.codecs[:1]] or ["0"]
        return media
    media.codecs = [
        replace(codec, feedback=[f for f in codec.feedback if f in _VIDEO_FEEDBACK])
        for codec in codecs
    ]
    if EXT_MID in theirs.extensions:
        media.extensions = {EXT_MID: theirs.extensions[EXT_MID]}
    return media


# --- reading sections ------------------------------------------------------------------------


def _known_codecs(media: MediaSection) -> list[RtpCodec]:
    """Return what we can decode, each followed by its RTX."""
    known: list[RtpCodec] = []
    for codec in media.codecs:
        name = codec.name.lower()
        if media.kind == "audio":
            if name == "opus" and codec.clock_rate == 48_000:
                known.append(codec)
            continue
        if name not in ("vp8", "h264"):
            continue
        known.append(codec)
        rtx = media.rtx_for(codec.payload_type)
        if rtx is not None:
            known.append(rtx)
    return known


def _remote_transport(description: SessionDescription, *, we_offered: bool) -> RemoteTransport:
    for media in description.media:
        if media.port and media.ice_ufrag and media.ice_pwd and media.fingerprints:
            break
    else:
        raise ProtocolError("description without transport")
    if we_offered and media.setup not in ("active", "passive"):
        raise ProtocolError("answer without DTLS role")
    # An offer may leave the choice to us; we take the active part, as we do in `answer`.
    is_client = media.setup != "active"
    application = next((m for m in description.media if m.is_application and m.port), None)
    return RemoteTransport(
        ufrag=media.ice_ufrag,
        pwd=media.ice_pwd,
        is_lite=description.ice_lite,
        fingerprints=tuple(media.fingerprints),
        dtls_role="client" if is_client else "server",
        candidates=tuple(text for m in description.media for text in m.candidates),
        sctp_port=None if application is None else application.sctp_port,
        max_message_bytes=(application.max_message_size or 0) if application is not None else 0,
    )


def _downlink(media: MediaSection, track_ids: Mapping[str, str]) -> DownlinkTrack | None:
    """Return the track that a section of the server's description carries, if any."""
    if media.kind not in ("audio", "video") or not media.port:
        return None
    if media.direction not in ("sendonly", "sendrecv") or not media.ssrcs:
        return None
    stream, track = media.msid or ("", "")
    participant_sid = stream.partition("|")[0]
    track_sid = track_ids.get(media.mid) or (track if track.startswith("TR_") else "")
    if not track_sid:
        track_sid = stream.partition("|")[2]
    if not participant_sid or not track_sid:
        return None
    ssrc, rtx_ssrc = _streams(media)
    codecs = _known_codecs(media)
    if not codecs:
        return None
    return DownlinkTrack(
        mid=media.mid,
        kind="audio" if media.kind == "audio" else "video",
        participant_sid=participant_sid,
        track_sid=track_sid,
        ssrc=ssrc,
        rtx_ssrc=rtx_ssrc,
        codecs=tuple((c.payload_type, c.name) for c in codecs if not c.is_named("rtx")),
        rtx_of=tuple(_rtx_pairs(codecs)),
    )


def _streams(media: MediaSection) -> tuple[int, int | None]:
    for semantics, members in media.ssrc_groups:
        if semantics == "FID" and len(members) == 2:
            return members[0], members[1]
    return next(iter(media.ssrcs)), None


def _rtx_pairs(codecs: Sequence[RtpCodec]) -> Iterable[tuple[int, int]]:
    for codec in codecs:
        apt = codec.parameters().get("apt", "")
        if codec.is_named("rtx") and apt.isascii() and apt.isdigit():
            yield codec.payload_type, int(apt)


def _accepted(uplink: Uplink, media: MediaSection) -> UplinkParameters | None:
    """Return the numbers for an uplink that the server wants to receive."""
    if not media.port or media.direction not in ("recvonly", "sendrecv"):
        return None
    codecs = media.codecs_named(uplink.codec)
    if not codecs:
        return None
    rtx = media.rtx_for(codecs[0].payload_type)
    return UplinkParameters(
        cid=uplink.cid,
        mid=media.mid,
        payload_type=codecs[0].payload_type,
        rtx_payload_type=None if rtx is None else rtx.payload_type,
        extensions=dict(media.extensions),
    )
