"""The public door: `from app.engine import rtc` where a script says `from livekit import rtc`.

Every name that the official SDK exports is here, with its signature; what is not built raises
`NotImplementedError` that says what is missing (`unbuilt.py`).
"""

from app.engine import rtc_stats as stats
from app.engine.apm import AudioProcessingModule
from app.engine.audio_source import AudioSource
from app.engine.audio_stream import AudioFrameEvent, AudioStream, NoiseCancellationOptions
from app.engine.audio_tools import AudioMixer, AudioResampler
from app.engine.data_track import (
    DataTrackFrame,
    DataTrackInfo,
    DataTrackStream,
    LocalDataTrack,
    PushFrameError,
    RemoteDataTrack,
    SubscribeDataTrackError,
)
from app.engine.emitter import EventEmitter
from app.engine.enums import (
    AudioResamplerQuality,
    ConnectionQuality,
    ConnectionState,
    ContinualGatheringPolicy,
    DataPacketKind,
    DegradationPreference,
    DisconnectReason,
    EncodedFrameType,
    EncryptionState,
    EncryptionType,
    FrameMetadataFeature,
    IceTransportType,
    KeyDerivationFunction,
    ParticipantKind,
    ParticipantKindDetail,
    ParticipantState,
    SimulateScenarioKind,
    StreamState,
    TrackKind,
    TrackSource,
    VideoBufferType,
    VideoCodec,
    VideoEncoderBackend,
    VideoQuality,
    VideoRotation,
)
from app.engine.frame_processor import FrameProcessor
from app.engine.frames import AudioFrame, VideoFrame, combine_audio_frames
from app.engine.local_participant import LocalParticipant
from app.engine.options import (
    DataStreamOptions,
    E2EEOptions,
    FrameMetadata,
    IceServer,
    KeyProviderOptions,
    ParticipantTrackPermission,
    RoomOptions,
    RtcConfiguration,
    TrackPublishOptions,
    VideoEncoding,
)
from app.engine.participant import Participant, RemoteParticipant
from app.engine.publication import (
    LocalTrackPublication,
    RemoteTrackPublication,
    TrackPublication,
)
from app.engine.room import Room
from app.engine.room_types import ConnectError, DataPacket, RtcStats, SipDTMF
from app.engine.rpc import RpcCallInfo, RpcError, RpcInterceptor, RpcInvocationData
from app.engine.script_logging import leave_logging_to_the_script
from app.engine.streams import (
    ByteStreamInfo,
    ByteStreamReader,
    ByteStreamWriter,
    StreamError,
    TextStreamInfo,
    TextStreamReader,
    TextStreamWriter,
)
from app.engine.synchronizer import AVSynchronizer
from app.engine.track import (
    AudioTrack,
    LocalAudioTrack,
    LocalTrack,
    LocalVideoTrack,
    RemoteAudioTrack,
    RemoteTrack,
    RemoteVideoTrack,
    Track,
    VideoTrack,
)
from app.engine.transcription import Transcription, TranscriptionSegment
from app.engine.unbuilt import (
    AudioDeviceInfo,
    AudioFilter,
    E2EEManager,
    EncodedRateControl,
    EncodedVideoFrame,
    EncodedVideoSource,
    EncodedVideoSourceFeedback,
    FrameCryptor,
    KeyProvider,
    MediaDevices,
    PlatformAudio,
    PlatformAudioError,
    PlatformAudioOptions,
    PlatformAudioSource,
)
from app.engine.video_source import VideoSource
from app.engine.video_stream import VideoFrameEvent, VideoStream

leave_logging_to_the_script()

__version__ = "1.2.0"
"""The version of the official SDK whose names these are."""

__all__ = [
    "AVSynchronizer",
    "AudioDeviceInfo",
    "AudioFilter",
    "AudioFrame",
    "AudioFrameEvent",
    "AudioMixer",
    "AudioProcessingModule",
    "AudioResampler",
    "AudioResamplerQuality",
    "AudioSource",
    "AudioStream",
    "AudioTrack",
    "ByteStreamInfo",
    "ByteStreamReader",
    "ByteStreamWriter",
    "ConnectError",
    "ConnectionQuality",
    "ConnectionState",
    "ContinualGatheringPolicy",
    "DataPacket",
    "DataPacketKind",
    "DataStreamOptions",
    "DataTrackFrame",
    "DataTrackInfo",
    "DataTrackStream",
    "DegradationPreference",
    "DisconnectReason",
    "E2EEManager",
    "E2EEOptions",
    "EncodedFrameType",
    "EncodedRateControl",
    "EncodedVideoFrame",
    "EncodedVideoSource",
    "EncodedVideoSourceFeedback",
    "EncryptionState",
    "EncryptionType",
    "EventEmitter",
    "FrameCryptor",
    "FrameMetadata",
    "FrameMetadataFeature",
    "FrameProcessor",
    "IceServer",
    "IceTransportType",
    "KeyDerivationFunction",
    "KeyProvider",
    "KeyProviderOptions",
    "LocalAudioTrack",
    "LocalDataTrack",
    "LocalParticipant",
    "LocalTrack",
    "LocalTrackPublication",
    "LocalVideoTrack",
    "MediaDevices",
    "NoiseCancellationOptions",
    "Participant",
    "ParticipantKind",
    "ParticipantKindDetail",
    "ParticipantState",
    "ParticipantTrackPermission",
    "PlatformAudio",
    "PlatformAudioError",
    "PlatformAudioOptions",
    "PlatformAudioSource",
    "PushFrameError",
    "RemoteAudioTrack",
    "RemoteDataTrack",
    "RemoteParticipant",
    "RemoteTrack",
    "RemoteTrackPublication",
    "RemoteVideoTrack",
    "Room",
    "RoomOptions",
    "RpcCallInfo",
    "RpcError",
    "RpcInterceptor",
    "RpcInvocationData",
    "RtcConfiguration",
    "RtcStats",
    "SimulateScenarioKind",
    "SipDTMF",
    "StreamError",
    "StreamState",
    "SubscribeDataTrackError",
    "TextStreamInfo",
    "TextStreamReader",
    "TextStreamWriter",
    "Track",
    "TrackKind",
    "TrackPublication",
    "TrackPublishOptions",
    "TrackSource",
    "Transcription",
    "TranscriptionSegment",
    "VideoBufferType",
    "VideoCodec",
    "VideoEncoderBackend",
    "VideoEncoding",
    "VideoFrame",
    "VideoFrameEvent",
    "VideoQuality",
    "VideoRotation",
    "VideoSource",
    "VideoStream",
    "VideoTrack",
    "__version__",
    "combine_audio_frames",
    "stats",
]
