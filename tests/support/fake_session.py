"""A session without a network: tests tell the room facts and read what it asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from livekit.protocol import models as lk
from livekit.protocol import rtc as lk_rtc

from app.engine.data_tracks import DataTracks
from app.engine.session import (
    AudioRtpReceiver,
    AudioRtpSender,
    LayerParameters,
    SessionObserver,
    SessionOptions,
    VideoRtpReceiver,
    VideoRtpSender,
)
from app.protocol.rtp.encoded import AudioPacket, EncodedVideoFrame
from app.rtc.stats import ReceiverStats, SenderStats, SessionStats, TransportStats
from app.runtime.errors import WorldError
from app.runtime.tasks import TaskOwner

DEADLINE_S = 30.0


class Arrivals:
    """Wakes a test whenever something has arrived."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def note(self) -> None:
        self._news.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition` holds."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._news.clear()
                await self._news.wait()


ALL_PERMISSIONS = lk.ParticipantPermission(
    can_subscribe=True, can_publish=True, can_publish_data=True, can_update_metadata=True
)


def person(
    identity: str, *tracks: lk.TrackInfo, sid: str = "", version: int = 1, **fields: Any
) -> lk.ParticipantInfo:
    """Describe a participant as the server does."""
    fields.setdefault("state", lk.ParticipantInfo.ACTIVE)
    return lk.ParticipantInfo(
        sid=sid or f"PA_{identity}",
        identity=identity,
        tracks=tracks,
        version=version,
        permission=ALL_PERMISSIONS,
        **fields,
    )


def track_info(sid: str, *, video: bool = False, **fields: Any) -> lk.TrackInfo:
    """Describe a track as the server does."""
    kind = lk.TrackType.VIDEO if video else lk.TrackType.AUDIO
    source = lk.TrackSource.CAMERA if video else lk.TrackSource.MICROPHONE
    return lk.TrackInfo(sid=sid, type=kind, source=source, **fields)


class FakeAudioReceiver(AudioRtpReceiver):
    """Takes packets from the test."""

    def __init__(self) -> None:
        self.sink = None
        self.stats = ReceiverStats(kind="audio", codec="opus")

    def deliver(self, packet: AudioPacket) -> None:
        assert self.sink is not None
        self.sink(packet)


class FakeVideoReceiver(VideoRtpReceiver):
    """Takes frames from the test and counts keyframe requests."""

    def __init__(self) -> None:
        self.sink = None
        self.stats = ReceiverStats(kind="video", codec="VP8")
        self.keyframe_requests = 0

    def request_keyframe(self) -> None:
        self.keyframe_requests += 1

    def deliver(self, frame: EncodedVideoFrame) -> None:
        if self.sink is not None:
            self.sink(frame)


class FakeAudioSender(AudioRtpSender):
    """Keeps what was sent: (payload, ts_rtp, level, marker)."""

    def __init__(self) -> None:
        self.stats = SenderStats()
        self.sent: list[tuple[bytes, int, int | None, bool]] = []
        self.arrivals = Arrivals()

    def send(
        self, payload: bytes, ts_rtp: int, *, level_dbov: int | None = None, marker: bool = False
    ) -> None:
        self.sent.append((payload, ts_rtp, level_dbov, marker))
        self.arrivals.note()


class FakeVideoSender(VideoRtpSender):
    """Keeps what was sent: (layer, frame)."""

    def __init__(self) -> None:
        self.stats = [SenderStats()]
        self.sent: list[tuple[int, EncodedVideoFrame]] = []
        self.arrivals = Arrivals()
        self.on_keyframe_request = None
        self.on_target_bitrate = None

    def send(self, layer: int, frame: EncodedVideoFrame) -> None:
        self.sent.append((layer, frame))
        self.arrivals.note()


class FakeSession:
    """Stands where the room expects a `Session`; `people` are in the room at join.

    Set on the class: `people`, `refuse` (a `WorldError` for `connect`). The newest instance is
    `FakeSession.last`.
    """

    people: Sequence[lk.ParticipantInfo] = ()
    refuse: WorldError | None = None
    last: FakeSession

    def __init__(self, observer: SessionObserver) -> None:
        self.observer = observer
        self.requests: list[tuple[Any, ...]] = []
        self.packets: list[tuple[lk.DataPacket, bool]] = []
        self.published: list[lk_rtc.AddTrackRequest] = []
        self.layers: Sequence[LayerParameters] = ()
        self.senders: list[FakeAudioSender | FakeVideoSender] = []
        self.options: SessionOptions | None = None
        self.closed = False
        self.send_error: WorldError | None = None
        self.signals: list[lk_rtc.SignalRequest] = []
        self.data_tracks = DataTracks(self.signals.append, lambda: None, TaskOwner("fake"))
        type(self).last = self

    def join(self, *people: lk.ParticipantInfo, me: str = "PA_me") -> lk_rtc.JoinResponse:
        return lk_rtc.JoinResponse(
            room=lk.Room(sid="RM_1", name="room", metadata="m", creation_time=1_700_000_000),
            participant=person("me", sid=me),
            other_participants=people,
        )

    async def connect(
        self, url: str, token: str, options: SessionOptions | None = None
    ) -> lk_rtc.JoinResponse:
        self.options = options
        if self.refuse is not None:
            raise self.refuse
        join = self.join(*self.people)
        self.observer.on_joined(join, again=False)
        return join

    async def close(self) -> None:
        self.closed = True

    async def publish(
        self,
        request: lk_rtc.AddTrackRequest,
        *,
        codec: str,
        layers: Sequence[LayerParameters] = (),
    ) -> tuple[lk.TrackInfo, AudioRtpSender | VideoRtpSender]:
        self.published.append(request)
        self.layers = layers
        is_video = request.type == lk.TrackType.VIDEO
        sender: FakeAudioSender | FakeVideoSender
        sender = FakeVideoSender() if is_video else FakeAudioSender()
        self.senders.append(sender)
        sid = f"TR_{len(self.published)}"
        return track_info(sid, video=is_video, name=request.name, muted=request.muted), sender

    async def unpublish(self, track_sid: str) -> None:
        self.requests.append(("unpublish", track_sid))

    def set_muted(self, track_sid: str, muted: bool) -> None:
        self.requests.append(("muted", track_sid, muted))

    def set_subscribed(
        self, participant_sid: str, track_sids: Sequence[str], subscribed: bool
    ) -> None:
        self.requests.append(("subscribed", participant_sid, tuple(track_sids), subscribed))

    def set_track_settings(self, track_sids: Sequence[str], **settings: Any) -> None:
        self.requests.append(("settings", tuple(track_sids), settings))

    def set_subscription_permission(self, permission: lk_rtc.SubscriptionPermission) -> None:
        self.requests.append(("permission", permission))

    async def send_data(self, packet: lk.DataPacket, *, reliable: bool) -> None:
        if self.send_error is not None:
            raise self.send_error
        copy = lk.DataPacket()
        copy.CopyFrom(packet)
        self.packets.append((copy, reliable))

    async def update_metadata(
        self,
        *,
        name: str = "",
        metadata: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        self.requests.append(("metadata", name, metadata, dict(attributes or {})))

    def simulate(self, scenario: lk_rtc.SimulateScenario) -> None:
        self.requests.append(("simulate", scenario))

    async def get_stats(self) -> SessionStats:
        return SessionStats(transports=[TransportStats(name="publisher", packets_sent=3)])
