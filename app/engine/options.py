"""What a caller asks for: options of rooms, tracks and connections, with the SDK's fields.

The SDK's are protobuf messages. A field that is None here is one that was never set there: the
default that stands in the comment applies. Sub-messages exist from the start, as theirs do.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from app.engine.enums import (
    ContinualGatheringPolicy,
    DegradationPreference,
    EncryptionType,
    FrameMetadataFeature,
    IceTransportType,
    KeyDerivationFunction,
    TrackSource,
    VideoCodec,
    VideoEncoderBackend,
)


@dataclass
class VideoEncoding:
    """Upper limits of an encoder; 0 means that the track's size decides."""

    max_bitrate: int = 0
    max_framerate: float = 0.0


@dataclass
class AudioEncoding:
    """Upper limit of a sound encoder; 0 means the default for its channels."""

    max_bitrate: int = 0


@dataclass
class TrackPublishOptions:
    """How a track is published.

    Defaults: VP8, DTX on, simulcast on, source unknown. `red`, hardware encoders,
    `scalability_mode` and frame metadata are accepted and have no effect.
    """

    video_encoding: VideoEncoding = field(default_factory=VideoEncoding)
    audio_encoding: AudioEncoding = field(default_factory=AudioEncoding)
    video_codec: VideoCodec | int = VideoCodec.VP8
    dtx: bool | None = None
    red: bool | None = None
    simulcast: bool | None = None
    source: TrackSource | int = TrackSource.SOURCE_UNKNOWN
    stream: str = ""
    preconnect_buffer: bool | None = None
    frame_metadata_features: list[FrameMetadataFeature] = field(default_factory=list)
    scalability_mode: str = ""
    video_encoder: VideoEncoderBackend | int = VideoEncoderBackend.ENCODER_BACKEND_AUTO
    degradation_preference: DegradationPreference | int = DegradationPreference.BALANCED


@dataclass
class IceServer:
    """A STUN or TURN server."""

    urls: list[str] = field(default_factory=list)
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass
class FrameMetadata:
    """Facts that travel beside one picture."""

    user_timestamp: int = 0
    frame_id: int = 0
    user_data: bytes = b""


@dataclass
class ParticipantTrackPermission:
    """Which of one's tracks one participant may subscribe to."""

    participant_identity: str = ""
    allow_all: bool = False
    allowed_track_sids: list[str] = field(default_factory=list)


@dataclass
class ParticipantPermission:
    """What a participant may do in the room."""

    can_subscribe: bool = False
    can_publish: bool = False
    can_publish_data: bool = False
    can_publish_sources: list[TrackSource] = field(default_factory=list)
    hidden: bool = False
    can_update_metadata: bool = False
    can_subscribe_metrics: bool = False
    can_manage_agent_session: bool = False


@dataclass
class KeyProviderOptions:
    """How keys for end-to-end encryption are made."""

    shared_key: bytes | None = field(default=None, repr=False)
    ratchet_salt: bytes = b"LKFrameEncryptionKey"
    ratchet_window_size: int = 16
    failure_tolerance: int = -1
    key_ring_size: int = 16
    key_derivation_function: KeyDerivationFunction | int = KeyDerivationFunction.PBKDF2


@dataclass
class E2EEOptions:
    """End-to-end encryption of a room."""

    key_provider_options: KeyProviderOptions = field(default_factory=KeyProviderOptions)
    encryption_type: EncryptionType | int = EncryptionType.GCM


@dataclass
class RtcConfiguration:
    """How the connection for media is made."""

    ice_transport_type: IceTransportType | int = IceTransportType.TRANSPORT_ALL
    continual_gathering_policy: ContinualGatheringPolicy | int = (
        ContinualGatheringPolicy.GATHER_CONTINUALLY
    )
    ice_servers: list[IceServer] = field(default_factory=list)


@dataclass
class DataStreamOptions:
    """Limits for incoming streams; None means 5 GB."""

    max_payload_byte_length: int | None = None


@dataclass
class RoomOptions:
    """How to join a room. `connect_timeout` is in seconds, None means 5."""

    auto_subscribe: bool = True
    dynacast: bool = False
    e2ee: E2EEOptions | None = None
    encryption: E2EEOptions | None = None
    rtc_config: RtcConfiguration | None = None
    connect_timeout: float | None = None
    single_peer_connection: bool | None = None
    data_stream: DataStreamOptions | None = None
