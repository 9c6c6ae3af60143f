"""Media sections of our descriptions: what we write into them and read out of theirs.

One section carries one track, or the data channels. Everything a server writes comes through
`parse_sdp` first; what is left to judge here is whether a section makes sense as a transport, as
a track that reaches us, or as the answer to a track of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

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
)

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


# --- writing sections ------------------------------------------------------------------------


def blank_media(kind: str, mid: str, direction: str, local: LocalTransport) -> MediaSection:
    """Return a section with our transport and nothing in it."""
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


def offered_codecs(kind: str, uplink: Uplink | None) -> list[RtpCodec]:
    """Return what a slot can receive, or what an uplink sends."""
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


def offered_extensions(kind: str, *, is_uplink: bool) -> dict[str, int]:
    """Return the header extensions of a section by their numbers."""
    # Without transport-wide numbers in the slots no server waits for feedback about them.
    uris = [EXT_MID]
    if is_uplink:
        uris.append(EXT_TRANSPORT_CC)
    if kind == "audio":
        uris.append(EXT_AUDIO_LEVEL)
    else:
        uris += [EXT_RID, EXT_REPAIRED_RID]
    return {uri: _EXTENSION_IDS[uri] for uri in uris}


def describe_uplink(media: MediaSection, uplink: Uplink) -> None:
    """Name the streams of a published track in its section."""
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


def answer_media(theirs: MediaSection, local: LocalTransport, *, is_first: bool) -> MediaSection:
    """Return our answer to one section of the server's offer."""
    direction = "recvonly" if theirs.direction in ("sendrecv", "sendonly") else "inactive"
    if theirs.is_application:
        direction = "sendrecv"
    media = blank_media(theirs.kind, theirs.mid, direction, local)
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


def remote_transport(description: SessionDescription, *, we_offered: bool) -> RemoteTransport:
    """Read the server's transport; all sections share one."""
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


def downlink_of(media: MediaSection, track_ids: Mapping[str, str]) -> DownlinkTrack | None:
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


def accepted_uplink(uplink: Uplink, media: MediaSection) -> UplinkParameters | None:
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
