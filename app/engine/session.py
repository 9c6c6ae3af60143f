"""One participant's stay in a room: join, publish, receive, lose the server and come back.

A `Session` belongs to the loop that called `connect`. It speaks protobuf in both directions and
knows nothing of rooms or tracks as objects: that is the observer's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.engine.session_types import LayerParameters, SessionObserver, SessionOptions
from app.rtc.rtp_receiver import AudioRtpReceiver, VideoRtpReceiver
from app.rtc.rtp_sender import AudioRtpSender, VideoRtpSender
from app.rtc.stats import SessionStats

__all__ = [
    "AudioRtpReceiver",
    "AudioRtpSender",
    "LayerParameters",
    "Session",
    "SessionObserver",
    "SessionOptions",
    "VideoRtpReceiver",
    "VideoRtpSender",
]


class Session:
    """The client's connection to one room."""

    def __init__(self, observer: SessionObserver) -> None:
        raise NotImplementedError("session")

    @property
    def join_response(self) -> lk_rtc.JoinResponse | None:
        """The welcome of the current stay; None before the first."""
        raise NotImplementedError("session")

    @property
    def is_connected(self) -> bool:
        """Whether signalling and media are up (False while rejoining)."""
        raise NotImplementedError("session")

    @property
    def token(self) -> str:
        """The newest token that the server gave us."""
        raise NotImplementedError("session")

    async def connect(
        self, url: str, token: str, options: SessionOptions | None = None
    ) -> lk_rtc.JoinResponse:
        """Join; returns when media and data can flow. Raises `WorldError` with its reason."""
        raise NotImplementedError("session")

    async def close(self) -> None:
        """Leave and release everything; `on_disconnected` is not called. Idempotent."""
        raise NotImplementedError("session")

    def retry_now(self) -> None:
        """Cut the current wait between two rejoin attempts short."""
        raise NotImplementedError("session")

    async def publish(
        self,
        request: lk_rtc.AddTrackRequest,
        *,
        codec: str,
        layers: Sequence[LayerParameters] = (),
    ) -> tuple[lk_models.TrackInfo, AudioRtpSender | VideoRtpSender]:
        """Announce and negotiate a track. `codec` is "opus", "VP8" or "H264".

        `request.cid` is filled when empty. Several layers need the rids q, h, f, lowest first.
        """
        raise NotImplementedError("session")

    async def unpublish(self, track_sid: str) -> None:
        """Stop sending a track; returns when the server has answered."""
        raise NotImplementedError("session")

    def set_muted(self, track_sid: str, muted: bool) -> None:
        """Tell the server that our track is muted; the caller stops or resumes sending."""
        raise NotImplementedError("session")

    def set_subscribed(
        self, participant_sid: str, track_sids: Sequence[str], subscribed: bool
    ) -> None:
        """Ask for tracks or give them up; media follows as `on_track`, `on_track_removed`."""
        raise NotImplementedError("session")

    def set_track_settings(
        self,
        track_sids: Sequence[str],
        *,
        disabled: bool = False,
        quality: lk_models.VideoQuality | None = None,
        width: int = 0,
        height: int = 0,
        fps: int = 0,
        priority: int = 0,
    ) -> None:
        """Say which layer of subscribed tracks we want; sizes beat quality."""
        raise NotImplementedError("session")

    def set_subscription_permission(self, permission: lk_rtc.SubscriptionPermission) -> None:
        """Say who may subscribe to our tracks; repeated after every rejoin."""
        raise NotImplementedError("session")

    async def send_data(self, packet: lk_models.DataPacket, *, reliable: bool) -> None:
        """Send a packet. Reliable ones are numbered here and wait while 2 MiB are buffered."""
        raise NotImplementedError("session")

    async def update_metadata(
        self,
        *,
        name: str = "",
        metadata: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """Change what people see of us; raises `WorldError(DENIED)` when the server refuses."""
        raise NotImplementedError("session")

    async def simulate(self, scenario: lk_rtc.SimulateScenario) -> None:
        """Ask the server to misbehave (tests)."""
        raise NotImplementedError("session")

    async def get_stats(self) -> SessionStats:
        """Return counters of every sender and receiver."""
        raise NotImplementedError("session")
