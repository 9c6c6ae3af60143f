"""The enums of the public door: the official SDK's names and numbers.

The SDK's are wrappers around plain integers; these are `IntEnum`s that offer the wrappers'
`Name`, `Value`, `keys`, `values`, `items` and `ValueType` too, so that code written for either
runs with both. Where the numbers differ from those on the wire, `wire.py` maps them.
"""

from __future__ import annotations

from enum import Enum, EnumMeta, IntEnum


class _WireEnumMeta(EnumMeta):
    @property
    def ValueType(cls) -> type:  # noqa: N802 - the SDK's name
        """The type of a member, for annotations."""
        return cls


class WireEnum(IntEnum, metaclass=_WireEnumMeta):
    """An enum that also answers as the SDK's wrappers do."""

    @classmethod
    def Name(cls, number: int) -> str:  # noqa: N802 - the SDK's name
        """Return the name of the member with this number, or raise `ValueError`."""
        return cls(number).name

    @classmethod
    def Value(cls, name: str) -> int:  # noqa: N802 - the SDK's name
        """Return the number of the member with this name, or raise `ValueError`."""
        member = cls.__members__.get(name)
        if member is None:
            raise ValueError(f"{cls.__name__} has no value defined for name {name!r}")
        return int(member)

    @classmethod
    def keys(cls) -> list[str]:
        """Return the names."""
        return list(cls.__members__)

    @classmethod
    def values(cls) -> list[int]:
        """Return the numbers."""
        return [int(member) for member in cls.__members__.values()]

    @classmethod
    def items(cls) -> list[tuple[str, int]]:
        """Return (name, number) pairs."""
        return [(name, int(member)) for name, member in cls.__members__.items()]


class ConnectionState(WireEnum):
    """How the room stands with the server."""

    CONN_DISCONNECTED = 0
    CONN_CONNECTED = 1
    CONN_RECONNECTING = 2


class ContinualGatheringPolicy(WireEnum):
    """Whether ICE keeps looking for candidates."""

    GATHER_ONCE = 0
    GATHER_CONTINUALLY = 1


class DataPacketKind(WireEnum):
    """Which channel a data packet took."""

    KIND_LOSSY = 0
    KIND_RELIABLE = 1


class DisconnectReason(WireEnum):
    """Why a participant is no longer in the room."""

    UNKNOWN_REASON = 0
    CLIENT_INITIATED = 1
    DUPLICATE_IDENTITY = 2
    SERVER_SHUTDOWN = 3
    PARTICIPANT_REMOVED = 4
    ROOM_DELETED = 5
    STATE_MISMATCH = 6
    JOIN_FAILURE = 7
    MIGRATION = 8
    SIGNAL_CLOSE = 9
    ROOM_CLOSED = 10
    USER_UNAVAILABLE = 11
    USER_REJECTED = 12
    SIP_TRUNK_FAILURE = 13
    CONNECTION_TIMEOUT = 14
    MEDIA_FAILURE = 15
    AGENT_ERROR = 16


class EncodedFrameType(WireEnum):
    """Whether an encoded picture stands alone."""

    ENCODED_FRAME_KEY = 0
    ENCODED_FRAME_DELTA = 1


class EncryptionState(WireEnum):
    """How end-to-end encryption of a participant fares."""

    NEW = 0
    OK = 1
    ENCRYPTION_FAILED = 2
    DECRYPTION_FAILED = 3
    MISSING_KEY = 4
    KEY_RATCHETED = 5
    INTERNAL_ERROR = 6


class EncryptionType(WireEnum):
    """How a track is encrypted end to end."""

    NONE = 0
    GCM = 1
    CUSTOM = 2


class FrameMetadataFeature(WireEnum):
    """What may travel beside an encoded picture."""

    FMF_USER_TIMESTAMP = 0
    FMF_FRAME_ID = 1
    FMF_USER_DATA = 2


class IceTransportType(WireEnum):
    """Which ICE candidates may be used."""

    TRANSPORT_RELAY = 0
    TRANSPORT_NOHOST = 1
    TRANSPORT_ALL = 2


class KeyDerivationFunction(WireEnum):
    """How frame keys are derived."""

    PBKDF2 = 0
    HKDF = 1


class ParticipantKind(WireEnum):
    """What a participant is. The numbers differ from the wire's."""

    PARTICIPANT_KIND_STANDARD = 0
    PARTICIPANT_KIND_INGRESS = 1
    PARTICIPANT_KIND_EGRESS = 2
    PARTICIPANT_KIND_SIP = 3
    PARTICIPANT_KIND_AGENT = 4
    PARTICIPANT_KIND_CONNECTOR = 5
    PARTICIPANT_KIND_BRIDGE = 6


class ParticipantKindDetail(WireEnum):
    """What a participant is, more precisely."""

    PARTICIPANT_KIND_DETAIL_CLOUD_AGENT = 0
    PARTICIPANT_KIND_DETAIL_FORWARDED = 1
    PARTICIPANT_KIND_DETAIL_CONNECTOR_WHATSAPP = 2
    PARTICIPANT_KIND_DETAIL_CONNECTOR_TWILIO = 3
    PARTICIPANT_KIND_DETAIL_BRIDGE_RTSP = 4
    PARTICIPANT_KIND_DETAIL_SIMULATION = 5


class ParticipantState(WireEnum):
    """How far a participant has come into the room."""

    PARTICIPANT_STATE_JOINING = 0
    PARTICIPANT_STATE_JOINED = 1
    PARTICIPANT_STATE_ACTIVE = 2
    PARTICIPANT_STATE_DISCONNECTED = 3


class SimulateScenarioKind(WireEnum):
    """A fault to ask for in tests."""

    SIMULATE_SIGNAL_RECONNECT = 0
    SIMULATE_SPEAKER = 1
    SIMULATE_NODE_FAILURE = 2
    SIMULATE_SERVER_LEAVE = 3
    SIMULATE_MIGRATION = 4
    SIMULATE_FORCE_TCP = 5
    SIMULATE_FORCE_TLS = 6
    SIMULATE_FULL_RECONNECT = 7
    SIMULATE_DISCONNECT_SIGNAL_ON_RESUME = 8


class StreamState(WireEnum):
    """Whether the server forwards a track. The numbers differ from the wire's."""

    STATE_UNKNOWN = 0
    STATE_ACTIVE = 1
    STATE_PAUSED = 2


class TrackKind(WireEnum):
    """Sound or picture. The numbers differ from the wire's."""

    KIND_UNKNOWN = 0
    KIND_AUDIO = 1
    KIND_VIDEO = 2


class TrackSource(WireEnum):
    """Where a track's media comes from."""

    SOURCE_UNKNOWN = 0
    SOURCE_CAMERA = 1
    SOURCE_MICROPHONE = 2
    SOURCE_SCREENSHARE = 3
    SOURCE_SCREENSHARE_AUDIO = 4


class VideoBufferType(WireEnum):
    """How the pixels of a picture lie in memory."""

    RGBA = 0
    ABGR = 1
    ARGB = 2
    BGRA = 3
    RGB24 = 4
    I420 = 5
    I420A = 6
    I422 = 7
    I444 = 8
    I010 = 9
    NV12 = 10


class VideoCodec(WireEnum):
    """How pictures are encoded."""

    VP8 = 0
    H264 = 1
    AV1 = 2
    VP9 = 3
    H265 = 4


class VideoEncoderBackend(WireEnum):
    """Who encodes pictures."""

    ENCODER_BACKEND_AUTO = 0
    ENCODER_BACKEND_SOFTWARE = 1
    ENCODER_BACKEND_HARDWARE = 2
    ENCODER_BACKEND_NVENC = 3
    ENCODER_BACKEND_VAAPI = 4
    ENCODER_BACKEND_VIDEOTOOLBOX = 5
    ENCODER_BACKEND_PRE_ENCODED = 6


class VideoQuality(WireEnum):
    """One of the simulcast layers."""

    VIDEO_QUALITY_LOW = 0
    VIDEO_QUALITY_MEDIUM = 1
    VIDEO_QUALITY_HIGH = 2


class VideoRotation(WireEnum):
    """By how much a picture has to be turned to stand upright."""

    VIDEO_ROTATION_0 = 0
    VIDEO_ROTATION_90 = 1
    VIDEO_ROTATION_180 = 2
    VIDEO_ROTATION_270 = 3


class ConnectionQuality(IntEnum):
    """How good a participant's connection is, as the server judges it."""

    QUALITY_UNKNOWN = -1
    QUALITY_POOR = 0
    QUALITY_GOOD = 1
    QUALITY_EXCELLENT = 2
    QUALITY_LOST = 3


class DegradationPreference(IntEnum):
    """What an encoder gives up first when bandwidth is short."""

    BALANCED = 0
    MAINTAIN_FRAMERATE = 1
    MAINTAIN_RESOLUTION = 2
    MAINTAIN_FRAMERATE_AND_RESOLUTION = 4


class AudioResamplerQuality(str, Enum):  # noqa: UP042 - StrEnum would change str() and format()
    """How much work a resampler spends on its filter."""

    QUICK = "quick"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    VERY_HIGH = "very_high"
