"""Session descriptions as data: parse an offer or answer, change it, write it again.

Only what WebRTC puts on the wire is modelled (RFC 8866, 8829, 8843, 8853); attributes that we
do not act on are kept in `other` and written back. Values given once for the whole session
(fingerprint, ICE credentials, setup) are copied into each section by the parser, so a reader
looks at the section alone; the writer leaves out of a section what the session already says.

Everything here comes from a peer: `parse_sdp` answers with a value or a `ProtocolError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from app.protocol.errors import ProtocolError

MAX_SDP_CHARS = 1_000_000
MAX_SECTIONS = 1_000
# Browsers write about 150 lines for a video section with every codec they know.
MAX_SECTION_LINES = 600
MAX_FINGERPRINTS = 8
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")

EXT_MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
EXT_RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
EXT_REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
EXT_AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
EXT_ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
EXT_TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
EXT_DEPENDENCY_DESCRIPTOR = (
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
)

# RFC 3551: payload types that need no rtpmap line.
_STATIC_CODECS = {
    0: ("PCMU", 8000),
    3: ("GSM", 8000),
    8: ("PCMA", 8000),
    9: ("G722", 8000),
    13: ("CN", 8000),
}


@dataclass
class RtpCodec:
    """One payload type of a section, with its parameters and feedback."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    fmtp: str = ""
    feedback: list[str] = field(default_factory=list)

    def is_named(self, name: str) -> bool:
        """Codec names are compared without case (RFC 8866 §6.6)."""
        return self.name.lower() == name.lower()

    def parameters(self) -> dict[str, str]:
        """Return the `fmtp` line as key and value; keys are lower case."""
        pairs = (part.partition("=") for part in self.fmtp.split(";"))
        return {key.strip().lower(): value.strip() for key, _, value in pairs if key.strip()}


@dataclass
class MediaSection:
    """One m-line and what follows it, up to the next."""

    kind: str
    mid: str
    port: int = 9
    protocol: str = "UDP/TLS/RTP/SAVPF"
    connection: str = "IN IP4 0.0.0.0"
    direction: str = "sendrecv"
    ice_ufrag: str = ""
    ice_pwd: str = ""
    ice_options: str = ""
    fingerprints: list[tuple[str, str]] = field(default_factory=list)
    setup: str = ""
    codecs: list[RtpCodec] = field(default_factory=list)
    extensions: dict[str, int] = field(default_factory=dict)
    ssrcs: dict[int, dict[str, str]] = field(default_factory=dict)
    ssrc_groups: list[tuple[str, list[int]]] = field(default_factory=list)
    msid: tuple[str, str] | None = None
    rids: list[tuple[str, str]] = field(default_factory=list)
    simulcast: tuple[str, list[str]] | None = None
    candidates: list[str] = field(default_factory=list)
    end_of_candidates: bool = False
    sctp_port: int | None = None
    max_message_size: int | None = None
    rtcp_mux: bool = False
    rtcp_rsize: bool = False
    formats: list[str] = field(default_factory=list)
    other: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def is_application(self) -> bool:
        """Whether this section carries data channels."""
        return self.kind == "application"

    def codec(self, payload_type: int) -> RtpCodec | None:
        """Return the codec with this payload type, or None."""
        for codec in self.codecs:
            if codec.payload_type == payload_type:
                return codec
        return None

    def codecs_named(self, name: str) -> list[RtpCodec]:
        """Return the codecs of that name in the order of preference."""
        return [codec for codec in self.codecs if codec.is_named(name)]

    def rtx_for(self, payload_type: int) -> RtpCodec | None:
        """Return the RTX codec (RFC 4588) that repairs `payload_type`, or None."""
        wanted = str(payload_type)
        for codec in self.codecs:
            if codec.is_named("rtx") and codec.parameters().get("apt") == wanted:
                return codec
        return None


@dataclass
class SessionDescription:
    """A whole offer or answer."""

    session_id: str = "0"
    session_version: int = 1
    origin_username: str = "-"
    origin_address: str = "IN IP4 0.0.0.0"
    name: str = "-"
    timing: str = "0 0"
    ice_lite: bool = False
    bundle: list[str] = field(default_factory=list)
    msid_semantic: str = ""
    extmap_allow_mixed: bool = False
    ice_ufrag: str = ""
    ice_pwd: str = ""
    ice_options: str = ""
    fingerprints: list[tuple[str, str]] = field(default_factory=list)
    setup: str = ""
    media: list[MediaSection] = field(default_factory=list)
    other: list[tuple[str, str | None]] = field(default_factory=list)

    def section(self, mid: str) -> MediaSection | None:
        """Return the section with this mid, or None."""
        for media in self.media:
            if media.mid == mid:
                return media
        return None

    def to_text(self) -> str:
        """Write the description with CRLF line ends."""
        lines = [
            "v=0",
            f"o={self.origin_username} {self.session_id} {self.session_version} "
            f"{self.origin_address}",
            f"s={self.name}",
            f"t={self.timing}",
        ]
        if self.ice_lite:
            lines.append("a=ice-lite")
        if self.msid_semantic:
            lines.append(f"a=msid-semantic:{self.msid_semantic}")
        lines += _transport_lines(self)
        if self.extmap_allow_mixed:
            lines.append("a=extmap-allow-mixed")
        if self.bundle:
            lines.append(f"a=group:BUNDLE {' '.join(self.bundle)}")
        lines += _other_lines(self.other)
        for media in self.media:
            lines += _section_lines(media, self)
        return "\r\n".join(lines) + "\r\n"


@dataclass(frozen=True)
class IceCandidate:
    """One candidate line (RFC 8839 §5.1); unknown extensions are dropped."""

    foundation: str
    component: int
    transport: str
    priority: int
    address: str
    port: int
    kind: str
    tcp_type: str = ""
    ufrag: str = ""


# --- writing ---------------------------------------------------------------------------------


def _other_lines(other: Iterable[tuple[str, str | None]]) -> list[str]:
    return [f"a={name}" if value is None else f"a={name}:{value}" for name, value in other]


def _transport_lines(
    part: SessionDescription | MediaSection, outer: SessionDescription | None = None
) -> list[str]:
    """Lines that may stand at either level; what `outer` already says is left out."""
    lines = []
    pairs = (
        ("ice-ufrag", part.ice_ufrag, outer.ice_ufrag if outer else ""),
        ("ice-pwd", part.ice_pwd, outer.ice_pwd if outer else ""),
        ("ice-options", part.ice_options, outer.ice_options if outer else ""),
    )
    lines += [f"a={name}:{value}" for name, value, above in pairs if value and value != above]
    if part.fingerprints and not (outer and outer.fingerprints == part.fingerprints):
        lines += [f"a=fingerprint:{hash_name} {value}" for hash_name, value in part.fingerprints]
    if part.setup and not (outer and outer.setup == part.setup):
        lines.append(f"a=setup:{part.setup}")
    return lines


def _section_lines(media: MediaSection, session: SessionDescription) -> list[str]:
    if media.is_application:
        formats = media.formats or ["webrtc-datachannel"]
    else:
        formats = [str(codec.payload_type) for codec in media.codecs] or media.formats or ["0"]
    lines = [
        f"m={media.kind} {media.port} {media.protocol} {' '.join(formats)}",
        f"c={media.connection}",
    ]
    lines += [f"a={candidate}" for candidate in media.candidates]
    if media.end_of_candidates:
        lines.append("a=end-of-candidates")
    lines += _transport_lines(media, session)
    if media.mid:
        lines.append(f"a=mid:{media.mid}")
    lines += [f"a=extmap:{number} {uri}" for uri, number in media.extensions.items()]
    lines.append(f"a={media.direction}")
    if media.msid is not None:
        lines.append(f"a=msid:{' '.join(part for part in media.msid if part)}")
    if media.rtcp_mux:
        lines.append("a=rtcp-mux")
    if media.rtcp_rsize:
        lines.append("a=rtcp-rsize")
    for codec in media.codecs:
        lines += _codec_lines(codec)
    lines += [f"a=rid:{rid} {direction}" for rid, direction in media.rids]
    if media.simulcast is not None:
        lines.append(f"a=simulcast:{media.simulcast[0]} {';'.join(media.simulcast[1])}")
    for semantics, members in media.ssrc_groups:
        lines.append(f"a=ssrc-group:{semantics} {' '.join(map(str, members))}")
    for ssrc, attributes in media.ssrcs.items():
        lines += [f"a=ssrc:{ssrc} {name}:{value}" for name, value in attributes.items()]
    if media.sctp_port is not None:
        lines.append(f"a=sctp-port:{media.sctp_port}")
    if media.max_message_size is not None:
        lines.append(f"a=max-message-size:{media.max_message_size}")
    return lines + _other_lines(media.other)


def _codec_lines(codec: RtpCodec) -> list[str]:
    number = codec.payload_type
    lines = []
    if codec.name:
        channels = f"/{codec.channels}" if codec.channels > 1 else ""
        lines.append(f"a=rtpmap:{number} {codec.name}/{codec.clock_rate}{channels}")
    lines += [f"a=rtcp-fb:{number} {feedback}" for feedback in codec.feedback]
    if codec.fmtp:
        lines.append(f"a=fmtp:{number} {codec.fmtp}")
    return lines


# --- parsing ---------------------------------------------------------------------------------


def parse_sdp(text: str) -> SessionDescription:
    """Read an offer or answer; anything malformed raises `ProtocolError`."""
    if len(text) > MAX_SDP_CHARS:
        raise ProtocolError("session description too long")
    session = SessionDescription()
    section: MediaSection | None = None
    parsers: list[_SectionParser] = []
    line_count = 0
    text = text.replace("\r\n", "\n")
    if "\r" in text or "\0" in text:
        raise ProtocolError("control character in session description")
    lines = [line for line in text.split("\n") if line]
    if not lines or lines[0] != "v=0":
        raise ProtocolError("session description without version line")
    for line in lines[1:]:
        if len(line) < 2 or line[1] != "=":
            raise ProtocolError("session description line without type")
        kind, value = line[0], line[2:]
        line_count = 0 if kind == "m" else line_count + 1
        if line_count > MAX_SECTION_LINES:
            raise ProtocolError("too many lines in one section")
        if kind == "m":
            if len(parsers) >= MAX_SECTIONS:
                raise ProtocolError("too many media sections")
            parser = _SectionParser(value)
            parsers.append(parser)
            section = parser.media
        elif section is None:
            _session_line(session, kind, value)
        else:
            parsers[-1].line(kind, value)
    session.media = [parser.finish(session) for parser in parsers]
    mids = [media.mid for media in session.media if media.mid]
    if len(mids) != len(set(mids)):
        raise ProtocolError("duplicate mid")
    return session


def parse_candidate(text: str) -> IceCandidate:
    """Read a candidate, with or without the `a=` and `candidate:` in front."""
    fields = text.strip().removeprefix("a=").removeprefix("candidate:").split()
    if len(fields) < 8 or fields[6] != "typ":
        raise ProtocolError("malformed candidate")
    extras = dict(zip(fields[8::2], fields[9::2], strict=False))
    return IceCandidate(
        foundation=fields[0],
        component=_number(fields[1], 256, "candidate component"),
        transport=fields[2].lower(),
        priority=_number(fields[3], 2**32 - 1, "candidate priority"),
        address=fields[4],
        port=_number(fields[5], 65_535, "candidate port"),
        kind=fields[7],
        tcp_type=extras.get("tcptype", ""),
        ufrag=extras.get("ufrag", ""),
    )


def _number(text: str, maximum: int, what: str) -> int:
    # `str.isdigit` alone would let other scripts' digits through.
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        raise ProtocolError(f"{what} is not a number")
    value = int(text)
    if value > maximum:
        raise ProtocolError(f"{what} out of range")
    return value


def _session_line(session: SessionDescription, kind: str, value: str) -> None:
    if kind == "o":
        fields = value.split(" ")
        if len(fields) != 6:
            raise ProtocolError("malformed origin line")
        session.origin_username, session.session_id = fields[0], fields[1]
        session.session_version = _number(fields[2], 2**64 - 1, "session version")
        session.origin_address = " ".join(fields[3:])
    elif kind == "s":
        session.name = value
    elif kind == "t":
        session.timing = value
    elif kind == "a":
        _session_attribute(session, *_split_attribute(value))


def _split_attribute(text: str) -> tuple[str, str | None]:
    name, colon, value = text.partition(":")
    return name, value if colon else None


def _session_attribute(session: SessionDescription, name: str, value: str | None) -> None:
    if name == "ice-lite":
        session.ice_lite = True
    elif name == "extmap-allow-mixed":
        session.extmap_allow_mixed = True
    elif name == "group" and value is not None and value.startswith("BUNDLE"):
        session.bundle = value.split()[1:]
    elif name == "msid-semantic" and value:
        session.msid_semantic = value
    elif not _transport_attribute(session, name, value):
        session.other.append((name, value))


def _transport_attribute(
    part: SessionDescription | MediaSection, name: str, value: str | None
) -> bool:
    text = value or ""
    if name == "ice-ufrag":
        part.ice_ufrag = text
    elif name == "ice-pwd":
        part.ice_pwd = text
    elif name == "ice-options":
        part.ice_options = text
    elif name == "setup":
        if text not in ("active", "passive", "actpass", "holdconn"):
            raise ProtocolError("unknown setup role")
        part.setup = text
    elif name == "fingerprint":
        hash_name, _, digest = text.partition(" ")
        if not digest:
            raise ProtocolError("malformed fingerprint")
        part.fingerprints.append((hash_name.lower(), digest.strip()))
    else:
        return False
    return True


class _SectionParser:
    """Collects one section; codecs are put together when all its lines are known."""

    def __init__(self, m_line: str) -> None:
        fields = m_line.split()
        if len(fields) < 4:
            raise ProtocolError("malformed media line")
        kind, port_text, protocol, *formats = fields
        port = _number(port_text.partition("/")[0], 65_535, "media port")
        self.media = MediaSection(kind=kind, mid="", port=port, protocol=protocol)
        self._formats = formats
        self._rtpmap: dict[int, tuple[str, int, int]] = {}
        self._fmtp: dict[int, str] = {}
        self._feedback: dict[int, list[str]] = {}
        self._feedback_for_all: list[str] = []

    def line(self, kind: str, value: str) -> None:
        if kind == "c":
            self.media.connection = value
        elif kind == "a":
            name, text = _split_attribute(value)
            if name in DIRECTIONS and text is None:
                self.media.direction = name
            elif not _transport_attribute(self.media, name, text):
                self._attribute(name, text)

    def _attribute(self, name: str, value: str | None) -> None:
        media, text = self.media, value or ""
        match name:
            case "mid":
                if not text or " " in text:
                    raise ProtocolError("malformed mid")
                media.mid = text
            case "rtpmap" | "fmtp" | "rtcp-fb":
                self._codec_attribute(name, text)
            case "extmap":
                self._extension(text)
            case "ssrc":
                self._ssrc(text)
            case "ssrc-group":
                semantics, *members = text.split()[:64] or [""]
                media.ssrc_groups.append((semantics, [_ssrc_number(m) for m in members]))
            case "msid":
                stream, _, track = text.partition(" ")
                media.msid = (stream, track.strip())
            case "rid":
                rid, direction = [*text.split(), "", ""][:2]
                if direction not in ("send", "recv"):
                    raise ProtocolError("malformed rid")
                media.rids.append((rid, direction))
            case "simulcast":
                media.simulcast = _simulcast(text)
            case "candidate":
                media.candidates.append(f"candidate:{text}")
            case "end-of-candidates":
                media.end_of_candidates = True
            case "sctp-port":
                media.sctp_port = _number(text, 65_535, "sctp port")
            case "max-message-size":
                media.max_message_size = _number(text, 2**64 - 1, "max message size")
            case "rtcp-mux":
                media.rtcp_mux = True
            case "rtcp-rsize":
                media.rtcp_rsize = True
            case _:
                media.other.append((name, value))

    def _codec_attribute(self, name: str, text: str) -> None:
        number_text, _, rest = text.partition(" ")
        if name == "rtcp-fb" and number_text == "*":
            self._feedback_for_all.append(rest)
            return
        number = _number(number_text, 127, "payload type")
        if name == "fmtp":
            self._fmtp[number] = rest
        elif name == "rtcp-fb":
            self._feedback.setdefault(number, []).append(rest)
        else:
            fields = rest.strip().split("/")
            if len(fields) < 2 or not fields[0]:
                raise ProtocolError("malformed rtpmap")
            rate = _number(fields[1], 10_000_000, "clock rate")
            channels = _number(fields[2], 255, "channel count") if len(fields) > 2 else 1
            self._rtpmap[number] = (fields[0], rate, channels)

    def _extension(self, text: str) -> None:
        number_text, _, rest = text.partition(" ")
        uri = rest.split(" ")[0]
        if not uri:
            raise ProtocolError("malformed extmap")
        number = _number(number_text.partition("/")[0], 255, "extension id")
        if number == 0:
            raise ProtocolError("extension id out of range")
        self.media.extensions[uri] = number

    def _ssrc(self, text: str) -> None:
        number_text, _, rest = text.partition(" ")
        name, _, value = rest.partition(":")
        attributes = self.media.ssrcs.setdefault(_ssrc_number(number_text), {})
        if name:
            attributes[name] = value

    def finish(self, session: SessionDescription) -> MediaSection:
        media = self.media
        media.ice_ufrag = media.ice_ufrag or session.ice_ufrag
        media.ice_pwd = media.ice_pwd or session.ice_pwd
        media.ice_options = media.ice_options or session.ice_options
        media.fingerprints = list(media.fingerprints or session.fingerprints)[:MAX_FINGERPRINTS]
        media.setup = media.setup or session.setup
        if "RTP" not in media.protocol:
            media.formats = self._formats
            return media
        seen: set[int] = set()
        for text in self._formats:
            number = _number(text, 127, "payload type")
            if number in seen:
                raise ProtocolError("duplicate payload type")
            seen.add(number)
            media.codecs.append(self._codec(number))
        return media

    def _codec(self, number: int) -> RtpCodec:
        static_name, static_rate = _STATIC_CODECS.get(number, ("", 0))
        name, rate, channels = self._rtpmap.get(number, (static_name, static_rate, 1))
        # Each once: what stands for all codecs is written for each of them.
        feedback = list(dict.fromkeys(self._feedback.get(number, []) + self._feedback_for_all))
        return RtpCodec(number, name, rate, channels, self._fmtp.get(number, ""), feedback)


def _ssrc_number(text: str) -> int:
    return _number(text, 2**32 - 1, "ssrc")


def _simulcast(text: str) -> tuple[str, list[str]]:
    """Read the first direction of `a=simulcast`; of alternatives the first, paused or not."""
    fields = text.split()
    if len(fields) < 2 or fields[0] not in ("send", "recv"):
        raise ProtocolError("malformed simulcast line")
    rids = [part.split(",")[0].removeprefix("~") for part in fields[1].split(";")]
    return fields[0], [rid for rid in rids if rid]
