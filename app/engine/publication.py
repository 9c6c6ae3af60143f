"""Publications: what the room knows of a track, subscribed or not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from livekit.protocol import models as lk

from app.engine.enums import (
    EncryptionType,
    FrameMetadataFeature,
    TrackKind,
    TrackSource,
    VideoQuality,
)
from app.engine.track import (
    LocalAudioTrack,
    LocalVideoTrack,
    RemoteAudioTrack,
    RemoteVideoTrack,
    Track,
)
from app.engine.wire import encryption_type, track_kind, track_source


class TrackPublication:
    """What local and remote publications have in common."""

    def __init__(self, owned_info: lk.TrackInfo) -> None:
        self._info = owned_info
        self._track: Track | None = None

    def handle_info(self, info: lk.TrackInfo) -> None:
        """Take over the server's newest words."""
        self._info = info

    def handle_muted(self, muted: bool) -> None:
        """Take over a change of muting alone."""
        self._info.muted = muted
        if self._track is not None:
            self._track.handle_muted(muted)

    @property
    def track(self) -> Track | None:
        """The track, where there is one here."""
        return self._track

    @property
    def sid(self) -> str:
        """The server's name for it."""
        return self._info.sid

    @property
    def name(self) -> str:
        """The publisher's name for it."""
        return self._info.name

    @property
    def kind(self) -> TrackKind:
        """Sound or picture."""
        return track_kind(self._info.type)

    @property
    def source(self) -> TrackSource:
        """Where its media comes from."""
        return track_source(self._info.source)

    @property
    def simulcasted(self) -> bool:
        """Whether there are several layers to choose from."""
        return self._info.simulcast or len(self._info.layers) > 1

    @property
    def width(self) -> int:
        """Columns of the largest layer."""
        return self._info.width

    @property
    def height(self) -> int:
        """Rows of the largest layer."""
        return self._info.height

    @property
    def mime_type(self) -> str:
        """The codec, such as video/VP8; empty before media flows."""
        return self._info.mime_type

    @property
    def muted(self) -> bool:
        """Whether the publisher has muted it."""
        return self._info.muted

    @property
    def encryption_type(self) -> EncryptionType:
        """How its media is encrypted end to end."""
        return encryption_type(self._info.encryption)

    @property
    def audio_features(self) -> list[int]:
        """Features of sound that the publisher announced, by the wire's numbers."""
        return list(self._info.audio_features)

    @property
    def frame_metadata_features(self) -> list[FrameMetadataFeature]:
        """What travels beside its pictures."""
        known = {int(feature) for feature in FrameMetadataFeature}
        return [
            FrameMetadataFeature(number)
            for number in self._info.packet_trailer_features
            if number in known
        ]


class LocalTrackPublication(TrackPublication):
    """A publication of ours."""

    def __init__(self, owned_info: lk.TrackInfo) -> None:
        super().__init__(owned_info)
        self._subscribed = asyncio.Event()

    @property
    def track(self) -> LocalAudioTrack | LocalVideoTrack | None:
        """The track, None once unpublished."""
        assert self._track is None or isinstance(self._track, LocalAudioTrack | LocalVideoTrack)
        return self._track

    def attach_track(self, track: LocalAudioTrack | LocalVideoTrack | None) -> None:
        """Tie the track to this publication, or cut the tie."""
        self._track = track

    def handle_first_subscription(self) -> None:
        """Take note that somebody subscribed."""
        self._subscribed.set()

    async def wait_for_subscription(self) -> None:
        """Wait until somebody has subscribed once."""
        await self._subscribed.wait()

    def __repr__(self) -> str:
        return (
            f"rtc.LocalTrackPublication(sid={self.sid}, name={self.name}, "
            f"kind={self.kind}, source={self.source})"
        )


class SubscriptionRequests(Protocol):
    """What a remote publication asks of the session."""

    def set_subscribed(
        self, participant_sid: str, track_sids: Sequence[str], subscribed: bool
    ) -> None:
        """Ask for tracks or give them up."""

    def set_track_settings(
        self,
        track_sids: Sequence[str],
        *,
        disabled: bool = False,
        quality: lk.VideoQuality | None = None,
        width: int = 0,
        height: int = 0,
        fps: int = 0,
        priority: int = 0,
    ) -> None:
        """Choose a layer."""


class RemoteTrackPublication(TrackPublication):
    """A publication of somebody else."""

    def __init__(
        self, owned_info: lk.TrackInfo, participant_sid: str, requests: SubscriptionRequests
    ) -> None:
        super().__init__(owned_info)
        self._participant_sid = participant_sid
        self._requests = requests
        self._wanted: bool | None = None
        self._has_settings = False
        self._disabled = False
        self._quality: lk.VideoQuality | None = None
        self._size = (0, 0)

    @property
    def track(self) -> RemoteAudioTrack | RemoteVideoTrack | None:
        """The track while subscribed."""
        assert self._track is None or isinstance(self._track, RemoteAudioTrack | RemoteVideoTrack)
        return self._track

    @property
    def subscribed(self) -> bool:
        """Whether media of it arrives here."""
        return self._track is not None

    def attach_track(self, track: RemoteAudioTrack | RemoteVideoTrack | None) -> None:
        """Begin or end the subscription."""
        self._track = track

    def set_subscribed(self, subscribed: bool) -> None:
        """Ask for the track, or give it up; events follow."""
        self._wanted = subscribed
        self._requests.set_subscribed(self._participant_sid, [self.sid], subscribed)

    def set_video_quality(self, quality: VideoQuality | int) -> None:
        """Ask for one of the layers of a simulcasted video."""
        if self.kind != TrackKind.KIND_VIDEO:
            raise ValueError(
                f"set_video_quality is only supported on video publications (sid={self.sid})"
            )
        if not self.simulcasted:
            raise ValueError(
                f"set_video_quality requires a simulcasted publication (sid={self.sid})"
            )
        self._quality = _WIRE_QUALITY[int(quality)]
        self._size = (0, 0)
        self._send_settings()

    def set_video_dimension(self, width: int, height: int) -> None:
        """Ask for the smallest layer that fills this many pixels."""
        self._size = (width, height)
        self._send_settings()

    def set_enabled(self, enabled: bool) -> None:
        """Pause or resume forwarding without giving up the subscription."""
        self._disabled = not enabled
        self._send_settings()

    def repeat_requests(self) -> None:
        """Ask again for what was asked before: the server has forgotten it after a rejoin."""
        if self._wanted is not None:
            self._requests.set_subscribed(self._participant_sid, [self.sid], self._wanted)
        if self._has_settings:
            self._send_settings()

    def _send_settings(self) -> None:
        self._has_settings = True
        self._requests.set_track_settings(
            [self.sid],
            disabled=self._disabled,
            quality=self._quality,
            width=self._size[0],
            height=self._size[1],
        )

    def __repr__(self) -> str:
        return (
            f"rtc.RemoteTrackPublication(sid={self.sid}, name={self.name}, "
            f"kind={self.kind}, source={self.source})"
        )


_WIRE_QUALITY = {0: lk.VideoQuality.LOW, 1: lk.VideoQuality.MEDIUM, 2: lk.VideoQuality.HIGH}
