"""What the server's answer says about each section of a client's offer (v1: one connection).

Order, mids and extension ids are the client's, RFC 8829 §5.3. Three kinds of sections: an uplink
(the client sends; we answer recvonly with one codec), a slot carrying a downlink (sendonly, with
the track's stream and SSRCs), and everything else, which is answered inactive and never with
port 0: the first section carries the bundle, and a client whose bundle dies reconnects for
ever. Unused video slots keep the RID extensions too: without them a later simulcast offer
fails in the client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from app.protocol.sdp import (
    EXT_ABS_SEND_TIME,
    EXT_AUDIO_LEVEL,
    EXT_MID,
    EXT_REPAIRED_RID,
    EXT_RID,
    EXT_TRANSPORT_CC,
    MediaSection,
    RtpCodec,
    SessionDescription,
)

MAX_MESSAGE_BYTES = 65_535
SCTP_PORT = 5000

# Without the dependency descriptor on purpose: with it VP8 comes without picture ids.
_EXTENSIONS = {
    "audio": (EXT_MID, EXT_AUDIO_LEVEL),
    # All of them in every section: libwebrtc never offers again what one answer left out.
    "video": (EXT_MID, EXT_RID, EXT_REPAIRED_RID, EXT_ABS_SEND_TIME, EXT_TRANSPORT_CC),
}
_CODECS = {"audio": ("opus",), "video": ("VP8", "H264")}
_UPLINK_FEEDBACK = ("transport-cc", "goog-remb", "ccm fir", "nack", "nack pli")
_DOWNLINK_FEEDBACK = ("goog-remb", "ccm fir", "nack", "nack pli")
_AUDIO_FEEDBACK = ("nack",)


@dataclass(frozen=True)
class LocalTransport:
    """Our end of the connection as the answer announces it."""

    ufrag: str
    pwd: str
    fingerprint: str
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class UplinkAnswer:
    """What we accept in a section that the client sends in."""

    codec: RtpCodec
    rtx: RtpCodec | None = None
    stereo: bool = False
    dtx: bool = True


@dataclass(frozen=True)
class DownlinkAnswer:
    """The track that a slot carries."""

    track_sid: str
    stream_id: str
    mime_type: str
    ssrc: int
    rtx_ssrc: int | None


@dataclass(frozen=True)
class SectionMapping:
    """Numbers that the client chose for what we send it in one section."""

    payload_type: int
    rtx_payload_type: int | None
    extensions: tuple[tuple[str, int], ...]


@dataclass
class AnswerPlan:
    """Everything the answer depends on besides the offer."""

    transport: LocalTransport
    session_id: str
    session_version: int
    uplinks: Mapping[str, UplinkAnswer] = field(default_factory=dict)
    downlinks: Mapping[str, DownlinkAnswer] = field(default_factory=dict)


def is_uplink(section: MediaSection) -> bool:
    """Whether the client sends media here; msid says nothing, it outlives the track."""
    return section.kind in _CODECS and section.direction in ("sendonly", "sendrecv")


def is_slot(section: MediaSection) -> bool:
    """Whether a downlink may use this section."""
    return (
        section.kind in _CODECS
        and section.direction == "recvonly"
        and bool(supported_codecs(section))
    )


def supported_codecs(section: MediaSection, names: Iterable[str] | None = None) -> list[RtpCodec]:
    """Return the codecs of a section that we can forward, in the client's order."""
    wanted = {name.lower() for name in (names or _CODECS.get(section.kind, ()))}
    return [codec for codec in section.codecs if codec.name.lower() in wanted]


def choose_codec(section: MediaSection, mime_type: str = "") -> RtpCodec | None:
    """Pick the codec for a track: the named one if the section has it, else the first known.

    Of several H264 profiles the constrained baseline in packetization mode 1 is preferred:
    every decoder has it.
    """
    known = supported_codecs(section)
    name = mime_type.rpartition("/")[2].lower()
    named = [codec for codec in known if codec.name.lower() == name]
    candidates = named or known
    if candidates and candidates[0].is_named("H264"):
        candidates = sorted((c for c in candidates if c.is_named("H264")), key=_h264_rank)
    return candidates[0] if candidates else None


def _h264_rank(codec: RtpCodec) -> tuple[bool, bool]:
    parameters = codec.parameters()
    return (
        parameters.get("packetization-mode") != "1",
        not parameters.get("profile-level-id", "").lower().startswith("42e0"),
    )


def section_mapping(section: MediaSection, mime_type: str) -> SectionMapping | None:
    """Return the numbers for sending `mime_type` in this slot, None when it cannot take it."""
    codec = choose_codec(section, mime_type)
    if codec is None or codec.name.lower() != mime_type.rpartition("/")[2].lower():
        return None
    rtx = section.rtx_for(codec.payload_type)
    return SectionMapping(
        payload_type=codec.payload_type,
        rtx_payload_type=rtx.payload_type if rtx is not None else None,
        extensions=tuple(_chosen_extensions(section, _EXTENSIONS[section.kind]).items()),
    )


def uplink_extensions(section: MediaSection) -> dict[str, int]:
    """Return the extensions that a client may fill in this section."""
    return _chosen_extensions(section, _EXTENSIONS[section.kind])


def uplink_ssrcs(section: MediaSection) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the media SSRCs and their RTX SSRCs; simulcast sections name none."""
    repairs = {
        members[0]: members[1]
        for semantics, members in section.ssrc_groups
        if semantics == "FID" and len(members) == 2
    }
    repairing = set(repairs.values())
    media = tuple(ssrc for ssrc in section.ssrcs if ssrc not in repairing)
    return media, tuple(repairs[ssrc] for ssrc in media if ssrc in repairs)


def _chosen_extensions(section: MediaSection, wanted: Iterable[str]) -> dict[str, int]:
    return {uri: section.extensions[uri] for uri in wanted if uri in section.extensions}


def build_answer(offer: SessionDescription, plan: AnswerPlan) -> SessionDescription:
    """Answer every section of the offer in its order."""
    answer = SessionDescription(
        session_id=plan.session_id,
        session_version=plan.session_version,
        ice_lite=True,
        msid_semantic="WMS *",
        extmap_allow_mixed=offer.extmap_allow_mixed,
        fingerprints=[("sha-256", plan.transport.fingerprint)],
        bundle=[section.mid for section in offer.media if section.mid],
    )
    for section in offer.media:
        answered = _answer_section(section, plan)
        answered.ice_ufrag, answered.ice_pwd = plan.transport.ufrag, plan.transport.pwd
        answered.fingerprints = list(answer.fingerprints)
        answered.setup = "passive"
        answer.media.append(answered)
    if answer.media:
        answer.media[0].candidates = list(plan.transport.candidates)
        answer.media[0].end_of_candidates = True
    return answer


def _answer_section(section: MediaSection, plan: AnswerPlan) -> MediaSection:
    answered = MediaSection(kind=section.kind, mid=section.mid, protocol=section.protocol)
    if section.is_application:
        answered.formats = list(section.formats)
        answered.sctp_port = SCTP_PORT
        answered.max_message_size = MAX_MESSAGE_BYTES
        return answered
    answered.rtcp_mux = True
    answered.rtcp_rsize = section.rtcp_rsize
    uplink, downlink = plan.uplinks.get(section.mid), plan.downlinks.get(section.mid)
    if uplink is not None:
        _answer_uplink(answered, section, uplink)
        return answered
    _offer_downlink_codecs(answered, section, downlink)
    if downlink is None:
        answered.direction = "inactive"
    else:
        _carry(answered, downlink)
    return answered


def _answer_uplink(answered: MediaSection, section: MediaSection, uplink: UplinkAnswer) -> None:
    answered.direction = "recvonly"
    feedback = _AUDIO_FEEDBACK if section.kind == "audio" else _UPLINK_FEEDBACK
    codec = _with_feedback(uplink.codec, feedback)
    if codec.is_named("opus"):
        codec.fmtp = _opus_parameters(codec, uplink)
    answered.codecs = [codec]
    if uplink.rtx is not None:
        answered.codecs.append(_with_feedback(uplink.rtx, ()))
    answered.extensions = uplink_extensions(section)
    answered.rids = [(rid, "recv") for rid, direction in section.rids if direction == "send"]
    if section.simulcast is not None and section.simulcast[0] == "send":
        answered.simulcast = ("recv", list(section.simulcast[1]))


def _opus_parameters(codec: RtpCodec, uplink: UplinkAnswer) -> str:
    wanted = codec.parameters()
    wanted.pop("stereo", None)
    wanted.setdefault("minptime", "10")
    wanted.setdefault("useinbandfec", "1")
    if uplink.dtx:
        wanted["usedtx"] = "1"
    if uplink.stereo:
        wanted.update({"stereo": "1", "maxaveragebitrate": "510000"})
    return ";".join(f"{key}={value}" if value else key for key, value in wanted.items())


def _offer_downlink_codecs(
    answered: MediaSection, section: MediaSection, downlink: DownlinkAnswer | None
) -> None:
    codecs = supported_codecs(section)
    if downlink is not None:
        first = choose_codec(section, downlink.mime_type)
        codecs.sort(key=lambda codec: codec is not first)
    feedback = _AUDIO_FEEDBACK if section.kind == "audio" else _DOWNLINK_FEEDBACK
    for codec in codecs or section.codecs[:1]:
        answered.codecs.append(_with_feedback(codec, feedback))
        rtx = section.rtx_for(codec.payload_type)
        if rtx is not None:
            answered.codecs.append(_with_feedback(rtx, ()))
    wanted = _EXTENSIONS.get(section.kind, ())
    answered.extensions = _chosen_extensions(section, wanted)


def _with_feedback(codec: RtpCodec, allowed: Iterable[str]) -> RtpCodec:
    return RtpCodec(
        codec.payload_type,
        codec.name,
        codec.clock_rate,
        codec.channels,
        codec.fmtp,
        [feedback for feedback in codec.feedback if feedback in allowed],
    )


def _carry(answered: MediaSection, downlink: DownlinkAnswer) -> None:
    answered.direction = "sendonly"
    answered.msid = (downlink.stream_id, downlink.track_sid)
    about = {
        "cname": downlink.stream_id,
        "msid": f"{downlink.stream_id} {downlink.track_sid}",
    }
    answered.ssrcs[downlink.ssrc] = dict(about)
    has_rtx = any(codec.is_named("rtx") for codec in answered.codecs)
    if downlink.rtx_ssrc is not None and has_rtx:
        answered.ssrc_groups.append(("FID", [downlink.ssrc, downlink.rtx_ssrc]))
        answered.ssrcs[downlink.rtx_ssrc] = dict(about)
