"""What crosses the border between a session and the room above it."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.rtc.rtp_receiver import AudioRtpReceiver, VideoRtpReceiver


@dataclass(frozen=True)
class SessionOptions:
    """How to join; the same options are used again for every rejoin."""

    auto_subscribe: bool = True
    adaptive_stream: bool = False
    dynacast: bool = False
    signal_timeout_s: float = 5.0
    connect_timeout_s: float = 15.0
    rejoin_attempts: int = 10
    ssl_context: ssl.SSLContext | None = None


@dataclass(frozen=True)
class LayerParameters:
    """One encoding of a published video: `rid` is "" for a video sent in a single layer.

    `scale_down_by` tells by how much the layer is smaller than the captured picture.
    """

    rid: str = ""
    max_bitrate_bps: int = 1_700_000
    scale_down_by: float = 1.0
    max_framerate: float = 30.0


class SessionObserver(Protocol):
    """Facts of a session, in the order in which they happened.

    Called on the session's loop. A method must not raise and must not wait; it may start
    further requests of the session.
    """

    def on_joined(self, join: lk_rtc.JoinResponse, *, again: bool) -> None:
        """Report the server's welcome; `again` after a full rejoin: every sid may have changed."""

    def on_update(self, participants: Sequence[lk_models.ParticipantInfo]) -> None:
        """Report participants; each info replaces the previous one entirely."""

    def on_room_update(self, room: lk_models.Room) -> None:
        """Report the room's new metadata, sid or counts."""

    def on_room_moved(self, moved: lk_rtc.RoomMovedResponse) -> None:
        """Report that the server moved this participant to another room."""

    def on_track(
        self,
        participant_sid: str,
        track_sid: str,
        receiver: AudioRtpReceiver | VideoRtpReceiver,
    ) -> None:
        """Report media of a subscribed track; its publication was reported before."""

    def on_track_removed(self, track_sid: str) -> None:
        """Report that a track's media is gone; its receiver is closed already."""

    def on_data(self, packet: lk_models.DataPacket, reliable: bool) -> None:
        """Report a data packet; repeated reliable ones have been dropped."""

    def on_speakers(self, speakers: Sequence[lk_models.SpeakerInfo]) -> None:
        """Report changes of who speaks (deltas)."""

    def on_quality(self, updates: Sequence[lk_rtc.ConnectionQualityInfo]) -> None:
        """Report changed connection qualities."""

    def on_stream_states(self, states: Sequence[lk_rtc.StreamStateInfo]) -> None:
        """Report tracks that the server paused or resumed for lack of bandwidth."""

    def on_mute_request(self, track_sid: str, muted: bool) -> None:
        """Report that a moderator muted our track; the observer obeys through `set_muted`."""

    def on_local_unpublished(self, track_sid: str) -> None:
        """Report that the server removed our track."""

    def on_local_subscribed(self, track_sid: str) -> None:
        """Report the first subscriber of our track."""

    def on_local_republished(self, old_track_sid: str, track: lk_models.TrackInfo) -> None:
        """Report a track's new sid after a rejoin; the sender object is the same."""

    def on_subscription_permission(
        self, participant_sid: str, track_sid: str, allowed: bool
    ) -> None:
        """Report whether we may subscribe to a track."""

    def on_subscription_failed(self, track_sid: str, error: lk_models.SubscriptionError) -> None:
        """Report that a subscription cannot be served."""

    def on_subscribed_quality(self, update: lk_rtc.SubscribedQualityUpdate) -> None:
        """Report which layers of our track anybody wants (dynacast)."""

    def on_token_refreshed(self, token: str) -> None:
        """Report a newer token; the session uses it for rejoining by itself."""

    def on_reconnecting(self) -> None:
        """Report that the connection is lost and being made again."""

    def on_rejoining(self) -> None:
        """Report that it is joined anew: what was on its way is lost, every sid will change."""

    def on_reconnected(self) -> None:
        """Report that the connection is back: resumed, or joined anew with all our tracks."""

    def on_disconnected(self, reason: lk_models.DisconnectReason, detail: str) -> None:
        """Report the end of the session; nothing follows. Not reported after `close`."""
