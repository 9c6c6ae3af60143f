"""Statistics in the official SDK's shape; `rtc.stats` of the public door.

All kinds of reports exist with their fields. Filled in are codec, inbound and outbound streams
and transports; a count that is not kept stays 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from app.engine.enums import WireEnum


class DataChannelState(WireEnum):
    """Data Channel State, as WebRTC names it."""

    DC_CONNECTING = 0
    DC_OPEN = 1
    DC_CLOSING = 2
    DC_CLOSED = 3


class QualityLimitationReason(WireEnum):
    """Quality Limitation Reason, as WebRTC names it."""

    LIMITATION_NONE = 0
    LIMITATION_CPU = 1
    LIMITATION_BANDWIDTH = 2
    LIMITATION_OTHER = 3


class IceRole(WireEnum):
    """Ice Role, as WebRTC names it."""

    ICE_UNKNOWN = 0
    ICE_CONTROLLING = 1
    ICE_CONTROLLED = 2


class DtlsTransportState(WireEnum):
    """Dtls Transport State, as WebRTC names it."""

    DTLS_TRANSPORT_NEW = 0
    DTLS_TRANSPORT_CONNECTING = 1
    DTLS_TRANSPORT_CONNECTED = 2
    DTLS_TRANSPORT_CLOSED = 3
    DTLS_TRANSPORT_FAILED = 4


class IceTransportState(WireEnum):
    """Ice Transport State, as WebRTC names it."""

    ICE_TRANSPORT_NEW = 0
    ICE_TRANSPORT_CHECKING = 1
    ICE_TRANSPORT_CONNECTED = 2
    ICE_TRANSPORT_COMPLETED = 3
    ICE_TRANSPORT_DISCONNECTED = 4
    ICE_TRANSPORT_FAILED = 5
    ICE_TRANSPORT_CLOSED = 6


class DtlsRole(WireEnum):
    """Dtls Role, as WebRTC names it."""

    DTLS_CLIENT = 0
    DTLS_SERVER = 1
    DTLS_UNKNOWN = 2


class IceCandidatePairState(WireEnum):
    """Ice Candidate Pair State, as WebRTC names it."""

    PAIR_FROZEN = 0
    PAIR_WAITING = 1
    PAIR_IN_PROGRESS = 2
    PAIR_FAILED = 3
    PAIR_SUCCEEDED = 4


class IceCandidateType(WireEnum):
    """Ice Candidate Type, as WebRTC names it."""

    HOST = 0
    SRFLX = 1
    PRFLX = 2
    RELAY = 3


class IceServerTransportProtocol(WireEnum):
    """Ice Server Transport Protocol, as WebRTC names it."""

    TRANSPORT_UDP = 0
    TRANSPORT_TCP = 1
    TRANSPORT_TLS = 2


class IceTcpCandidateType(WireEnum):
    """Ice Tcp Candidate Type, as WebRTC names it."""

    CANDIDATE_ACTIVE = 0
    CANDIDATE_PASSIVE = 1
    CANDIDATE_SO = 2


@dataclass
class RtcStatsData:
    """`RtcStatsData` of the SDK."""

    id: str = ""
    timestamp: int = 0


@dataclass
class CodecStats:
    """`CodecStats` of the SDK."""

    payload_type: int = 0
    transport_id: str = ""
    mime_type: str = ""
    clock_rate: int = 0
    channels: int = 0
    sdp_fmtp_line: str = ""


@dataclass
class RtpStreamStats:
    """`RtpStreamStats` of the SDK."""

    ssrc: int = 0
    kind: str = ""
    transport_id: str = ""
    codec_id: str = ""


@dataclass
class ReceivedRtpStreamStats:
    """`ReceivedRtpStreamStats` of the SDK."""

    packets_received: int = 0
    packets_lost: int = 0
    jitter: float = 0.0


@dataclass
class InboundRtpStreamStats:
    """`InboundRtpStreamStats` of the SDK."""

    track_identifier: str = ""
    mid: str = ""
    remote_id: str = ""
    frames_decoded: int = 0
    key_frames_decoded: int = 0
    frames_rendered: int = 0
    frames_dropped: int = 0
    frame_width: int = 0
    frame_height: int = 0
    frames_per_second: float = 0.0
    qp_sum: int = 0
    total_decode_time: float = 0.0
    total_inter_frame_delay: float = 0.0
    total_squared_inter_frame_delay: float = 0.0
    pause_count: int = 0
    total_pause_duration: float = 0.0
    freeze_count: int = 0
    total_freeze_duration: float = 0.0
    last_packet_received_timestamp: float = 0.0
    header_bytes_received: int = 0
    packets_discarded: int = 0
    fec_bytes_received: int = 0
    fec_packets_received: int = 0
    fec_packets_discarded: int = 0
    bytes_received: int = 0
    nack_count: int = 0
    fir_count: int = 0
    pli_count: int = 0
    total_processing_delay: float = 0.0
    estimated_playout_timestamp: float = 0.0
    jitter_buffer_delay: float = 0.0
    jitter_buffer_target_delay: float = 0.0
    jitter_buffer_emitted_count: int = 0
    jitter_buffer_minimum_delay: float = 0.0
    total_samples_received: int = 0
    concealed_samples: int = 0
    silent_concealed_samples: int = 0
    concealment_events: int = 0
    inserted_samples_for_deceleration: int = 0
    removed_samples_for_acceleration: int = 0
    audio_level: float = 0.0
    total_audio_energy: float = 0.0
    total_samples_duration: float = 0.0
    frames_received: int = 0
    decoder_implementation: str = ""
    playout_id: str = ""
    power_efficient_decoder: bool = False
    frames_assembled_from_multiple_packets: int = 0
    total_assembly_time: float = 0.0
    retransmitted_packets_received: int = 0
    retransmitted_bytes_received: int = 0
    rtx_ssrc: int = 0
    fec_ssrc: int = 0


@dataclass
class SentRtpStreamStats:
    """`SentRtpStreamStats` of the SDK."""

    packets_sent: int = 0
    bytes_sent: int = 0


@dataclass
class OutboundRtpStreamStats:
    """`OutboundRtpStreamStats` of the SDK."""

    mid: str = ""
    media_source_id: str = ""
    remote_id: str = ""
    rid: str = ""
    header_bytes_sent: int = 0
    retransmitted_packets_sent: int = 0
    retransmitted_bytes_sent: int = 0
    rtx_ssrc: int = 0
    target_bitrate: float = 0.0
    total_encoded_bytes_target: int = 0
    frame_width: int = 0
    frame_height: int = 0
    frames_per_second: float = 0.0
    frames_sent: int = 0
    huge_frames_sent: int = 0
    frames_encoded: int = 0
    key_frames_encoded: int = 0
    qp_sum: int = 0
    total_encode_time: float = 0.0
    total_packet_send_delay: float = 0.0
    quality_limitation_reason: QualityLimitationReason | int = 0
    quality_limitation_durations: dict[str, float] = field(default_factory=dict)
    quality_limitation_resolution_changes: int = 0
    nack_count: int = 0
    fir_count: int = 0
    pli_count: int = 0
    encoder_implementation: str = ""
    power_efficient_encoder: bool = False
    active: bool = False
    scalability_mode: str = ""


@dataclass
class RemoteInboundRtpStreamStats:
    """`RemoteInboundRtpStreamStats` of the SDK."""

    local_id: str = ""
    round_trip_time: float = 0.0
    total_round_trip_time: float = 0.0
    fraction_lost: float = 0.0
    round_trip_time_measurements: int = 0


@dataclass
class RemoteOutboundRtpStreamStats:
    """`RemoteOutboundRtpStreamStats` of the SDK."""

    local_id: str = ""
    remote_timestamp: float = 0.0
    reports_sent: int = 0
    round_trip_time: float = 0.0
    total_round_trip_time: float = 0.0
    round_trip_time_measurements: int = 0


@dataclass
class MediaSourceStats:
    """`MediaSourceStats` of the SDK."""

    track_identifier: str = ""
    kind: str = ""


@dataclass
class AudioSourceStats:
    """`AudioSourceStats` of the SDK."""

    audio_level: float = 0.0
    total_audio_energy: float = 0.0
    total_samples_duration: float = 0.0
    echo_return_loss: float = 0.0
    echo_return_loss_enhancement: float = 0.0
    dropped_samples_duration: float = 0.0
    dropped_samples_events: int = 0
    total_capture_delay: float = 0.0
    total_samples_captured: int = 0


@dataclass
class VideoSourceStats:
    """`VideoSourceStats` of the SDK."""

    width: int = 0
    height: int = 0
    frames: int = 0
    frames_per_second: float = 0.0


@dataclass
class AudioPlayoutStats:
    """`AudioPlayoutStats` of the SDK."""

    kind: str = ""
    synthesized_samples_duration: float = 0.0
    synthesized_samples_events: int = 0
    total_samples_duration: float = 0.0
    total_playout_delay: float = 0.0
    total_samples_count: int = 0


@dataclass
class PeerConnectionStats:
    """`PeerConnectionStats` of the SDK."""

    data_channels_opened: int = 0
    data_channels_closed: int = 0


@dataclass
class DataChannelStats:
    """`DataChannelStats` of the SDK."""

    label: str = ""
    protocol: str = ""
    data_channel_identifier: int = 0
    state: DataChannelState | int = 0
    messages_sent: int = 0
    bytes_sent: int = 0
    messages_received: int = 0
    bytes_received: int = 0


@dataclass
class TransportStats:
    """`TransportStats` of the SDK."""

    packets_sent: int = 0
    packets_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    ice_role: IceRole | int = 0
    ice_local_username_fragment: str = ""
    dtls_state: DtlsTransportState | int = 0
    ice_state: IceTransportState | int = 0
    selected_candidate_pair_id: str = ""
    local_certificate_id: str = ""
    remote_certificate_id: str = ""
    tls_version: str = ""
    dtls_cipher: str = ""
    dtls_role: DtlsRole | int = 0
    srtp_cipher: str = ""
    selected_candidate_pair_changes: int = 0


@dataclass
class CandidatePairStats:
    """`CandidatePairStats` of the SDK."""

    transport_id: str = ""
    local_candidate_id: str = ""
    remote_candidate_id: str = ""
    state: IceCandidatePairState | int = 0
    nominated: bool = False
    packets_sent: int = 0
    packets_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    last_packet_sent_timestamp: float = 0.0
    last_packet_received_timestamp: float = 0.0
    total_round_trip_time: float = 0.0
    current_round_trip_time: float = 0.0
    available_outgoing_bitrate: float = 0.0
    available_incoming_bitrate: float = 0.0
    requests_received: int = 0
    requests_sent: int = 0
    responses_received: int = 0
    responses_sent: int = 0
    consent_requests_sent: int = 0
    packets_discarded_on_send: int = 0
    bytes_discarded_on_send: int = 0


@dataclass
class IceCandidateStats:
    """`IceCandidateStats` of the SDK."""

    transport_id: str = ""
    address: str = ""
    port: int = 0
    protocol: str = ""
    candidate_type: IceCandidateType | int = 0
    priority: int = 0
    url: str = ""
    relay_protocol: IceServerTransportProtocol | int = 0
    foundation: str = ""
    related_address: str = ""
    related_port: int = 0
    username_fragment: str = ""
    tcp_type: IceTcpCandidateType | int = 0


@dataclass
class CertificateStats:
    """`CertificateStats` of the SDK."""

    fingerprint: str = ""
    fingerprint_algorithm: str = ""
    base64_certificate: str = ""
    issuer_certificate_id: str = ""


@dataclass
class StreamStats:
    """`StreamStats` of the SDK."""

    id: str = ""
    stream_identifier: str = ""


@dataclass
class _Codec:
    """One kind of report."""

    rtc: RtcStatsData = field(default_factory=RtcStatsData)
    codec: CodecStats = field(default_factory=CodecStats)


@dataclass
class _InboundRtp:
    """One kind of report."""

    rtc: RtcStatsData = field(default_factory=RtcStatsData)
    stream: RtpStreamStats = field(default_factory=RtpStreamStats)
    received: ReceivedRtpStreamStats = field(default_factory=ReceivedRtpStreamStats)
    inbound: InboundRtpStreamStats = field(default_factory=InboundRtpStreamStats)


@dataclass
class _OutboundRtp:
    """One kind of report."""

    rtc: RtcStatsData = field(default_factory=RtcStatsData)
    stream: RtpStreamStats = field(default_factory=RtpStreamStats)
    sent: SentRtpStreamStats = field(default_factory=SentRtpStreamStats)
    outbound: OutboundRtpStreamStats = field(default_factory=OutboundRtpStreamStats)


@dataclass
class _RemoteInboundRtp:
    """One kind of report."""

    rtc: RtcStatsData = field(default_factory=RtcStatsData)
    stream: RtpStreamStats = field(default_factory=RtpStreamStats)
    received: ReceivedRtpStreamStats = field(default_factory=ReceivedRtpStreamStats)
    remote_inbound: RemoteInboundRtpStreamStats = field(default_factory=RemoteInboundRtpStreamStats)


@dataclass
class _RemoteOutboundRtp:
    """One kind of report."""

    rtc: RtcStatsData = field(default_factory=RtcStatsData)
    stream: RtpStreamStats = field(default_factory=RtpStreamStats)
    sent: SentRtpStreamStats = field(default_factory=SentRtpStreamStats)
    remote_outbound: RemoteOutboundRtpStreamStats = field(
        default_factory=RemoteOutboundRtpStreamStats
    )


@dataclass
class _MediaSource:
    """One kind of report."""

    rtc: RtcStatsData = field(default_factory=RtcStatsData)
    source: MediaSourceStats = field(default_factory=MediaSourceStats)
    audio: AudioSourceStats = field(default_factory=AudioSourceStats)
    video: VideoSourceStats = field(default_factory=VideoSourceStats)


@dataclass
class _MediaPlayout:
    """One kind of report."""

    rtc: RtcStatsData = field(default_factory=RtcStatsData)
    audio_playout: AudioPlayoutStats = field(default_factory=AudioPlayoutStats)


@dataclass
class _PeerConnection:
    """One kind of report."""

    rtc: RtcStatsData = field(default_factory=RtcStatsData)
    pc: PeerConnectionStats = field(default_factory=PeerConnectionStats)


@dataclass
class _DataChannel:
    """One kind of report."""

    rtc: RtcStatsData = field(default_factory=RtcStatsData)
    dc: DataChannelStats = field(default_factory=DataChannelStats)


@dataclass
class _Transport:
    """One kind of report."""

    rtc: RtcStatsData = field(default_factory=RtcStatsData)
    transport: TransportStats = field(default_factory=TransportStats)


@dataclass
class _CandidatePair:
    """One kind of report."""

    rtc: RtcStatsData = field(default_factory=RtcStatsData)
    candidate_pair: CandidatePairStats = field(default_factory=CandidatePairStats)


@dataclass
class _LocalCandidate:
    """One kind of report."""

    rtc: RtcStatsData = field(default_factory=RtcStatsData)
    candidate: IceCandidateStats = field(default_factory=IceCandidateStats)


@dataclass
class _RemoteCandidate:
    """One kind of report."""

    rtc: RtcStatsData = field(default_factory=RtcStatsData)
    candidate: IceCandidateStats = field(default_factory=IceCandidateStats)


@dataclass
class _Certificate:
    """One kind of report."""

    rtc: RtcStatsData = field(default_factory=RtcStatsData)
    certificate: CertificateStats = field(default_factory=CertificateStats)


@dataclass
class _Stream:
    """One kind of report."""

    rtc: RtcStatsData = field(default_factory=RtcStatsData)
    stream: StreamStats = field(default_factory=StreamStats)


@dataclass
class _Track:
    """One kind of report."""


@dataclass
class RtcStats:
    """One report; exactly one of the fields is set."""

    codec: _Codec | None = None
    inbound_rtp: _InboundRtp | None = None
    outbound_rtp: _OutboundRtp | None = None
    remote_inbound_rtp: _RemoteInboundRtp | None = None
    remote_outbound_rtp: _RemoteOutboundRtp | None = None
    media_source: _MediaSource | None = None
    media_playout: _MediaPlayout | None = None
    peer_connection: _PeerConnection | None = None
    data_channel: _DataChannel | None = None
    transport: _Transport | None = None
    candidate_pair: _CandidatePair | None = None
    local_candidate: _LocalCandidate | None = None
    remote_candidate: _RemoteCandidate | None = None
    certificate: _Certificate | None = None
    stream: _Stream | None = None
    track: _Track | None = None

    def WhichOneof(self, group: str) -> str | None:  # noqa: N802 - the SDK's name
        """Return the name of the field that is set."""
        if group != "stats":
            raise ValueError(f"RtcStats has no oneof {group!r}")
        for each in fields(self):
            if getattr(self, each.name) is not None:
                return each.name
        return None

    def HasField(self, name: str) -> bool:  # noqa: N802 - the SDK's name
        """Say whether this field is the one that is set."""
        return getattr(self, name) is not None


# The SDK nests the kinds inside `RtcStats`; a dataclass body would take them for fields.
RtcStats.Codec = _Codec  # type: ignore[attr-defined]
RtcStats.InboundRtp = _InboundRtp  # type: ignore[attr-defined]
RtcStats.OutboundRtp = _OutboundRtp  # type: ignore[attr-defined]
RtcStats.RemoteInboundRtp = _RemoteInboundRtp  # type: ignore[attr-defined]
RtcStats.RemoteOutboundRtp = _RemoteOutboundRtp  # type: ignore[attr-defined]
RtcStats.MediaSource = _MediaSource  # type: ignore[attr-defined]
RtcStats.MediaPlayout = _MediaPlayout  # type: ignore[attr-defined]
RtcStats.PeerConnection = _PeerConnection  # type: ignore[attr-defined]
RtcStats.DataChannel = _DataChannel  # type: ignore[attr-defined]
RtcStats.Transport = _Transport  # type: ignore[attr-defined]
RtcStats.CandidatePair = _CandidatePair  # type: ignore[attr-defined]
RtcStats.LocalCandidate = _LocalCandidate  # type: ignore[attr-defined]
RtcStats.RemoteCandidate = _RemoteCandidate  # type: ignore[attr-defined]
RtcStats.Certificate = _Certificate  # type: ignore[attr-defined]
RtcStats.Stream = _Stream  # type: ignore[attr-defined]
RtcStats.Track = _Track  # type: ignore[attr-defined]

# The SDK's module offers enum members under their own names too.
for _enum in (
    DataChannelState,
    QualityLimitationReason,
    IceRole,
    DtlsTransportState,
    IceTransportState,
    DtlsRole,
    IceCandidatePairState,
    IceCandidateType,
    IceServerTransportProtocol,
    IceTcpCandidateType,
):
    globals().update(_enum.__members__)
