"""Names of the public door behind which nothing is built yet.

Each can be imported and named in annotations; using one raises `NotImplementedError` that names
what is missing. The plain data classes among them work.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, NoReturn

from app.engine.enums import EncodedFrameType, VideoCodec
from app.engine.options import E2EEOptions, FrameMetadata, KeyProviderOptions


def _missing(what: str) -> NoReturn:
    raise NotImplementedError(what)


# End-to-end encryption


class FrameCryptor:
    """Encrypts or decrypts one track."""

    def __init__(
        self,
        room_handle: int,
        participant_identity: str,
        track_sid: str,
        key_index: int,
        enabled: bool,
    ) -> None:
        _missing("end-to-end encryption")

    @property
    def participant_identity(self) -> str:
        """Whose track it is."""
        _missing("end-to-end encryption")

    @property
    def track_sid(self) -> str:
        """Which track it is."""
        _missing("end-to-end encryption")

    @property
    def key_index(self) -> int:
        """Which key of the ring is used."""
        _missing("end-to-end encryption")

    @property
    def enabled(self) -> bool:
        """Whether it works."""
        _missing("end-to-end encryption")

    def set_enabled(self, enabled: bool) -> None:
        """Switch it."""
        _missing("end-to-end encryption")

    def set_key_index(self, key_index: int) -> None:
        """Choose a key."""
        _missing("end-to-end encryption")


class KeyProvider:
    """Holds keys for end-to-end encryption."""

    def __init__(self, room_handle: int, options: KeyProviderOptions) -> None:
        _missing("end-to-end encryption")

    @property
    def options(self) -> KeyProviderOptions:
        """How keys are made."""
        _missing("end-to-end encryption")

    def set_shared_key(self, key: bytes, key_index: int) -> None:
        """Set the key of everybody."""
        _missing("end-to-end encryption")

    def export_shared_key(self, key_index: int) -> bytes:
        """Return the key of everybody."""
        _missing("end-to-end encryption")

    def ratchet_shared_key(self, key_index: int) -> bytes:
        """Advance the key of everybody."""
        _missing("end-to-end encryption")

    def set_key(self, participant_identity: str, key: bytes, key_index: int) -> None:
        """Set a participant's key."""
        _missing("end-to-end encryption")

    def export_key(self, participant_identity: str, key_index: int) -> bytes:
        """Return a participant's key."""
        _missing("end-to-end encryption")

    def ratchet_key(self, participant_identity: str, key_index: int) -> bytes:
        """Advance a participant's key."""
        _missing("end-to-end encryption")


class E2EEManager:
    """End-to-end encryption of a room; always off."""

    def __init__(self, room_handle: int, options: E2EEOptions | None) -> None:
        if options is not None:
            _missing("end-to-end encryption")

    @property
    def key_provider(self) -> KeyProvider | None:
        """No keys while encryption is off."""
        return None

    @property
    def enabled(self) -> bool:
        """Always False."""
        return False

    def set_enabled(self, enabled: bool) -> None:
        """Stay off."""
        if enabled:
            _missing("end-to-end encryption")

    def frame_cryptors(self) -> list[FrameCryptor]:
        """Return none."""
        return []


# Pictures that are encoded already


@dataclass
class EncodedVideoFrame:
    """One encoded picture."""

    data: bytes
    width: int
    height: int
    codec: VideoCodec | int
    frame_type: EncodedFrameType | int
    timestamp_us: int
    metadata: FrameMetadata | None = None


@dataclass
class EncodedRateControl:
    """What an encoder is asked to stay under."""

    target_bitrate_bps: int
    framerate_fps: float


@dataclass
class EncodedVideoSourceFeedback:
    """What receivers ask of an encoder."""

    keyframe_requested: bool
    rate_control: EncodedRateControl | None


class EncodedVideoSource:
    """A source of pictures that are encoded already."""

    def __init__(self, width: int, height: int) -> None:
        _missing("sources of encoded video")

    def capture_frame(self, frame: EncodedVideoFrame) -> bool:
        """Send a frame."""
        _missing("sources of encoded video")

    def take_feedback(self) -> EncodedVideoSourceFeedback:
        """Return what was asked since the last time."""
        _missing("sources of encoded video")

    async def aclose(self) -> None:
        """End."""
        _missing("sources of encoded video")


# Devices of the platform


class PlatformAudioError(Exception):
    """A device of the platform failed."""


@dataclass
class AudioDeviceInfo:
    """A microphone or a speaker."""

    index: int
    name: str
    id: str


@dataclass
class PlatformAudioOptions:
    """How a microphone is processed."""

    echo_cancellation: bool = True
    noise_suppression: bool = True
    auto_gain_control: bool = True
    prefer_hardware: bool = False


class PlatformAudioSource:
    """A microphone of the platform."""

    def __init__(self, ffi_handle: Any, info: Any) -> None:
        _missing("platform audio")

    def close(self) -> None:
        """End."""
        _missing("platform audio")


class PlatformAudio:
    """Microphones and speakers of the platform."""

    def __init__(self) -> None:
        _missing("platform audio")

    def recording_devices(self) -> list[AudioDeviceInfo]:
        """Return the microphones."""
        _missing("platform audio")

    def playout_devices(self) -> list[AudioDeviceInfo]:
        """Return the speakers."""
        _missing("platform audio")

    def set_recording_device(self, device_id: str) -> None:
        """Choose a microphone."""
        _missing("platform audio")

    def set_playout_device(self, device_id: str) -> None:
        """Choose a speaker."""
        _missing("platform audio")

    def create_audio_source(
        self, options: PlatformAudioOptions | None = None
    ) -> PlatformAudioSource:
        """Open the microphone."""
        _missing("platform audio")

    def close(self) -> None:
        """End."""
        _missing("platform audio")


class MediaDevices:
    """Microphones and speakers for scripts."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        input_sample_rate: int = 48000,
        output_sample_rate: int = 48000,
        num_channels: int = 1,
        blocksize: int = 4800,
    ) -> None:
        _missing("media devices")

    def list_input_devices(self) -> list[dict[str, Any]]:
        """Return the microphones."""
        _missing("media devices")

    def list_output_devices(self) -> list[dict[str, Any]]:
        """Return the speakers."""
        _missing("media devices")

    def default_input_device(self) -> int | None:
        """Return the usual microphone."""
        _missing("media devices")

    def default_output_device(self) -> int | None:
        """Return the usual speaker."""
        _missing("media devices")

    def open_input(
        self,
        *,
        enable_aec: bool = True,
        noise_suppression: bool = True,
        high_pass_filter: bool = True,
        auto_gain_control: bool = True,
        input_device: int | None = None,
        queue_capacity: int = 50,
        input_channel_index: int | None = None,
    ) -> NoReturn:
        """Open a microphone."""
        _missing("media devices")

    def open_output(self, *, output_device: int | None = None) -> NoReturn:
        """Open a speaker."""
        _missing("media devices")


class AudioFilter:
    """A native filter plug-in of the official SDK."""

    def __init__(self, module_id: str, path: str, dependencies: list[str] | None = None) -> None:
        _missing("native audio filters")
