"""Tracks: one medium of one participant, sent or received.

A track object outlives nothing: a remote one belongs to one subscription, a local one may be
published, unpublished and published again. Both belong to the room's loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Union

import structlog

from app.engine.enums import StreamState, TrackKind
from app.engine.frame_processor import FrameContext
from app.engine.rtc_stats import RtcStats
from app.engine.stats_report import receiver_report, sender_report
from app.engine.uplink import AudioUplink, VideoUplink
from app.media.decode.audio import AudioReceiveStream
from app.media.decode.video import VideoDecoder
from app.protocol.rtp.encoded import AudioPacket, EncodedVideoFrame
from app.rtc.rtp_receiver import AudioRtpReceiver, VideoRtpReceiver

if TYPE_CHECKING:
    from app.engine.audio_source import AudioSource
    from app.engine.unbuilt import EncodedVideoSource, PlatformAudioSource
    from app.engine.video_source import VideoSource

log = structlog.get_logger(__name__)

ContextWatcher = Callable[["FrameContext | None"], None]


class Track:
    """What local and remote tracks have in common."""

    def __init__(self, *, sid: str, name: str, kind: TrackKind, muted: bool = False) -> None:
        self._sid = sid
        self._name = name
        self._kind = kind
        self._muted = muted
        self._stream_state = StreamState.STATE_ACTIVE
        self._context: FrameContext | None = None
        self._context_watchers: list[ContextWatcher] = []

    @property
    def sid(self) -> str:
        """The server's name for the track, empty before a local one is published."""
        return self._sid

    @property
    def name(self) -> str:
        """The publisher's name for the track."""
        return self._name

    @property
    def kind(self) -> TrackKind:
        """Sound or picture."""
        return self._kind

    @property
    def stream_state(self) -> StreamState:
        """Whether the server forwards the track or has paused it."""
        return self._stream_state

    @property
    def muted(self) -> bool:
        """Whether the publisher has muted it."""
        return self._muted

    def handle_muted(self, muted: bool) -> None:
        """Take over what the server says."""
        self._muted = muted

    def handle_stream_state(self, state: StreamState) -> None:
        """Take over what the server says."""
        self._stream_state = state

    def handle_context(self, context: FrameContext | None) -> None:
        """Take over in which room and by whose hand the track is; None when in none."""
        if context == self._context:
            return
        self._context = context
        for watcher in list(self._context_watchers):
            watcher(context)

    def watch_context(self, watcher: ContextWatcher) -> Callable[[], None]:
        """Tell `watcher` the context, now and when it changes; returns what stops it."""
        self._context_watchers.append(watcher)
        if self._context is not None:
            watcher(self._context)

        def stop() -> None:
            if watcher in self._context_watchers:
                self._context_watchers.remove(watcher)

        return stop

    def handle_sid(self, sid: str) -> None:
        """Take over the sid of a publication."""
        self._sid = sid

    async def get_stats(self) -> list[RtcStats]:
        """Return reports on the track's streams."""
        return []


class _LocalTrack(Track):
    def __init__(self, *, name: str, kind: TrackKind) -> None:
        super().__init__(sid="", name=name, kind=kind)
        self._on_mute: Callable[[bool], None] | None = None

    def bind_mute(self, on_mute: Callable[[bool], None] | None) -> None:
        """Say who tells the server; None when the track is not published."""
        self._on_mute = on_mute

    def _set_muted(self, muted: bool) -> None:
        if muted == self._muted:
            return
        self._muted = muted
        if self._on_mute is not None:
            self._on_mute(muted)

    def mute(self) -> None:
        """Stop sending without unpublishing."""
        self._set_muted(True)

    def unmute(self) -> None:
        """Send again."""
        self._set_muted(False)


class LocalAudioTrack(_LocalTrack):
    """Sound of ours. Made by `create_audio_track`."""

    def __init__(self, info: AudioSource, name: str = "") -> None:
        super().__init__(name=name, kind=TrackKind.KIND_AUDIO)
        self._source = info
        self._uplink: AudioUplink | None = None

    @staticmethod
    def create_audio_track(name: str, source: AudioSource | PlatformAudioSource) -> LocalAudioTrack:
        """Make a track of a source."""
        from app.engine.audio_source import AudioSource

        if not isinstance(source, AudioSource):
            raise NotImplementedError("tracks of a PlatformAudioSource")
        return LocalAudioTrack(source, name)

    @property
    def source(self) -> AudioSource:
        """Where the sound comes from."""
        return self._source

    def attach_uplink(self, uplink: AudioUplink | None) -> None:
        """Send through `uplink` from now on, or nowhere."""
        if self._uplink is not None:
            self._source.remove_sink(self._uplink.feed)
        self._uplink = uplink
        if uplink is not None:
            uplink.muted = self._muted
            self._source.add_sink(uplink.feed)

    def _set_muted(self, muted: bool) -> None:
        if self._uplink is not None:
            self._uplink.muted = muted
        super()._set_muted(muted)

    async def get_stats(self) -> list[RtcStats]:
        """Return reports on the stream that is sent."""
        if self._uplink is None:
            return []
        return [sender_report(self._uplink.sender.stats, "audio", "audio/opus")]

    def __repr__(self) -> str:
        return f"rtc.LocalAudioTrack(sid={self.sid}, name={self.name})"


class LocalVideoTrack(_LocalTrack):
    """Pictures of ours. Made by `create_video_track`."""

    def __init__(self, info: VideoSource, name: str = "") -> None:
        super().__init__(name=name, kind=TrackKind.KIND_VIDEO)
        self._source = info
        self._uplink: VideoUplink | None = None

    @staticmethod
    def create_video_track(name: str, source: VideoSource | EncodedVideoSource) -> LocalVideoTrack:
        """Make a track of a source."""
        from app.engine.video_source import VideoSource

        if not isinstance(source, VideoSource):
            raise NotImplementedError("tracks of an EncodedVideoSource")
        return LocalVideoTrack(source, name)

    @property
    def source(self) -> VideoSource:
        """Where the pictures come from."""
        return self._source

    @property
    def uplink(self) -> VideoUplink | None:
        """Who encodes and sends, while published."""
        return self._uplink

    def attach_uplink(self, uplink: VideoUplink | None) -> None:
        """Send through `uplink` from now on, or nowhere; the old one is closed."""
        if self._uplink is not None:
            self._source.remove_sink(self._uplink.submit)
            self._uplink.close()
        self._uplink = uplink
        if uplink is not None:
            uplink.muted = self._muted
            self._source.add_sink(uplink.submit)

    def _set_muted(self, muted: bool) -> None:
        if self._uplink is not None:
            self._uplink.muted = muted
            if not muted:
                self._uplink.force_keyframes()
        super()._set_muted(muted)

    async def get_stats(self) -> list[RtcStats]:
        """Return one report for each layer that is sent."""
        if self._uplink is None:
            return []
        mime_type = f"video/{self._uplink.codec}"
        return [sender_report(each, "video", mime_type) for each in self._uplink.sender.stats]

    def __repr__(self) -> str:
        return f"rtc.LocalVideoTrack(sid={self.sid}, name={self.name})"


class RemoteAudioTrack(Track):
    """Somebody's sound that we subscribe to."""

    def __init__(self, info: AudioRtpReceiver, *, sid: str, name: str, muted: bool) -> None:
        super().__init__(sid=sid, name=name, kind=TrackKind.KIND_AUDIO, muted=muted)
        self._receiver = info
        self._streams: tuple[AudioReceiveStream, ...] = ()
        self._on_end: list[Callable[[], None]] = []
        self._ended = False
        self._receiver.sink = self._handle_packet

    def _handle_packet(self, packet: AudioPacket) -> None:
        for stream in self._streams:
            stream.put(packet)

    @property
    def ended(self) -> bool:
        """Whether the subscription is over."""
        return self._ended

    def open_audio(self, channels: int = 2) -> AudioReceiveStream:
        """Return a new jitter buffer that gets every packet from now on."""
        stream = AudioReceiveStream(channels=channels)
        self._streams = (*self._streams, stream)
        return stream

    def close_audio(self, stream: AudioReceiveStream) -> None:
        """Stop feeding a jitter buffer."""
        self._streams = tuple(s for s in self._streams if s is not stream)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back when the subscription ends; at once if it has."""
        if self._ended:
            callback()
        else:
            self._on_end.append(callback)

    def handle_end(self) -> None:
        """Take note that the subscription is over."""
        if self._ended:
            return
        self._ended = True
        self.handle_context(None)
        self._receiver.sink = None
        self._streams = ()
        callbacks, self._on_end = self._on_end, []
        for callback in callbacks:
            callback()

    async def get_stats(self) -> list[RtcStats]:
        """Return a report on the stream that is received."""
        return [receiver_report(self._receiver.stats, "audio")]

    def __repr__(self) -> str:
        return f"rtc.RemoteAudioTrack(sid={self.sid}, name={self.name})"


class RemoteVideoTrack(Track):
    """Somebody's pictures that we subscribe to. Nothing is decoded while nobody looks."""

    def __init__(
        self, info: VideoRtpReceiver, *, sid: str, name: str, muted: bool, codec: str
    ) -> None:
        super().__init__(sid=sid, name=name, kind=TrackKind.KIND_VIDEO, muted=muted)
        self._receiver = info
        self._codec = codec
        self._decoder: VideoDecoder | None = None
        self._opened = 0
        self._on_end: list[Callable[[], None]] = []
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the subscription is over."""
        return self._ended

    def open_decoder(self) -> VideoDecoder:
        """Return the track's decoder, shared by all who look; balance with `close_decoder`."""
        self._opened += 1
        if self._decoder is None:
            self._decoder = VideoDecoder(self._codec, self._receiver.request_keyframe)
            if not self._ended:
                self._receiver.sink = self._handle_frame
                self._receiver.request_keyframe()
        return self._decoder

    def _handle_frame(self, frame: EncodedVideoFrame) -> None:
        if self._decoder is not None:
            self._decoder.submit(frame)

    def close_decoder(self) -> None:
        """Give the decoder back; it stops when nobody has it."""
        self._opened -= 1
        if self._opened <= 0:
            self._opened = 0
            self._stop_decoding()

    def _stop_decoding(self) -> None:
        if self._decoder is not None:
            self._receiver.sink = None
            self._decoder.close()
            self._decoder = None

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back when the subscription ends; at once if it has."""
        if self._ended:
            callback()
        else:
            self._on_end.append(callback)

    def handle_end(self) -> None:
        """Take note that the subscription is over."""
        if self._ended:
            return
        self._ended = True
        self.handle_context(None)
        self._stop_decoding()
        callbacks, self._on_end = self._on_end, []
        for callback in callbacks:
            callback()

    async def get_stats(self) -> list[RtcStats]:
        """Return a report on the stream that is received."""
        return [receiver_report(self._receiver.stats, "video")]

    def __repr__(self) -> str:
        return f"rtc.RemoteVideoTrack(sid={self.sid}, name={self.name})"


LocalTrack = Union[LocalVideoTrack, LocalAudioTrack]  # noqa: UP007 - the SDK's form
RemoteTrack = Union[RemoteVideoTrack, RemoteAudioTrack]  # noqa: UP007 - the SDK's form
AudioTrack = Union[LocalAudioTrack, RemoteAudioTrack]  # noqa: UP007 - the SDK's form
VideoTrack = Union[LocalVideoTrack, RemoteVideoTrack]  # noqa: UP007 - the SDK's form
