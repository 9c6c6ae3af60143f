"""One participant's stay in a room: join, publish, receive, lose the server and come back.

A `Session` belongs to the loop that called `connect`. It speaks protobuf in both directions and
knows nothing of rooms or tracks as objects: that is the observer's business. What has to outlive
a connection lives here: the newest token, the published tracks with their senders, who may
subscribe. A `Connection` does the rest. When it is interrupted it is resumed, if that is possible,
and nobody's tracks notice; otherwise it is replaced as a whole.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence

import structlog
from google.protobuf.message import Message
from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.engine.channel_wait import open_channel
from app.engine.connection import Connection, ResumeRefusedError
from app.engine.data_lane import RELIABLE, DataLane
from app.engine.data_track import LocalDataTrack
from app.engine.data_tracks import DATA_TRACK, DataTracks
from app.engine.media_sections import (
    DownlinkTrack,
    UplinkParameters,
)
from app.engine.publications import Publications, Sender
from app.engine.session_types import LayerParameters, SessionObserver, SessionOptions
from app.engine.signalling import ResumeTicket, SignalTarget
from app.engine.sync_state import sync_state
from app.engine.track_wishes import TrackWishes
from app.protocol.reconnect import End, ReturnLadder, after_leave
from app.rtc.media_router import MediaRouter
from app.rtc.rtp_receiver import AudioRtpReceiver, VideoRtpReceiver
from app.rtc.rtp_sender import AudioRtpSender, VideoRtpSender
from app.rtc.stats import SessionStats
from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

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

REJOIN_PATIENCE_S = 15.0

Receiver = AudioRtpReceiver | VideoRtpReceiver

# Trying again cannot help against these, whatever the ladder says.
_TERMINAL = frozenset(
    {
        Reason.EXPIRED,
        Reason.FORGED,
        Reason.DENIED,
        Reason.LOCKED,
        Reason.NOT_FOUND,
        Reason.INVALID_LINK,
    }
)


class Session:
    """The client's connection to one room."""

    def __init__(self, observer: SessionObserver) -> None:
        self._observer = observer
        self._tasks = TaskOwner("session")
        self._options = SessionOptions()
        self._url = ""
        self._token = ""
        self._connection: Connection | None = None
        self._join: lk_rtc.JoinResponse | None = None
        # `ready`: data can flow. `settled`: nothing is being resumed or rejoined either.
        self._ready = asyncio.Event()
        self._settled = asyncio.Event()
        self._hurry = asyncio.Event()
        self._is_closed = False
        self._is_returning = False
        self._is_rejoining = False
        self._may_resume = False
        self._rejoins = 0
        self._closers = TaskOwner("session-connections")
        self._closing: set[asyncio.Task[None]] = set()
        self._publications = Publications()
        self._receivers: dict[str, tuple[DownlinkTrack, Receiver, MediaRouter]] = {}
        self._permission: lk_rtc.SubscriptionPermission | None = None
        self._wishes = TrackWishes()
        self._lane = DataLane(open_channel=self._channel, deliver=observer.on_data)
        self.data_tracks = DataTracks(self._send, self._data_track_channel, self._tasks)

    # --- state -------------------------------------------------------------------------------

    @property
    def join_response(self) -> lk_rtc.JoinResponse | None:
        """The welcome of the current stay; None before the first."""
        return self._join

    @property
    def is_connected(self) -> bool:
        """Whether signalling and media are up (False while resuming or rejoining)."""
        return self._settled.is_set() and not self._is_closed

    @property
    def is_v1(self) -> bool:
        """Whether one peer connection carries both directions."""
        return self._connection is None or self._connection.is_v1

    @property
    def token(self) -> str:
        """The newest token that the server gave us."""
        return self._token

    # --- coming and going --------------------------------------------------------------------

    async def connect(
        self, url: str, token: str, options: SessionOptions | None = None
    ) -> lk_rtc.JoinResponse:
        """Join; returns when media and data can flow. Raises `WorldError` with its reason."""
        if self._connection is not None or self._is_closed:
            raise RuntimeError("a session connects once")
        self._options = options or SessionOptions()
        self._url = url
        self._token = token
        try:
            join = await self._join_once()
        except BaseException:
            await self.close()
            raise
        self._ready.set()
        self._settled.set()
        return join

    async def _join_once(self) -> lk_rtc.JoinResponse:
        self._lane.restart()
        self._wishes.restart()
        connection = self._connection = Connection(self)
        return await connection.open(self._target(), timeout_s=self._options.connect_timeout_s)

    def _target(self) -> SignalTarget:
        options = self._options
        return SignalTarget(
            self._url,
            self._token,
            auto_subscribe=options.auto_subscribe,
            adaptive_stream=options.adaptive_stream,
            timeout_s=options.signal_timeout_s,
            ssl_context=options.ssl_context,
        )

    async def close(self) -> None:
        """Leave and release everything; `on_disconnected` is not called. Idempotent."""
        self._is_closed = True
        # Whoever waits for the connection to come back learns that it will not.
        self._ready.set()
        self._settled.set()
        await self._tasks.close()
        self.data_tracks.close()
        await self._release()
        await asyncio.gather(*self._closing)
        self._publications.close()

    async def _release(self) -> None:
        """Drop the current connection with everything that came over it."""
        connection, self._connection = self._connection, None
        self._publications.unbind()
        for sid in list(self._receivers):
            self._close_receiver(sid)
        if connection is not None:
            # Its own task: whoever waits here may be cancelled, the sockets close all the same.
            task = spawn(connection.close(), name="close", owner=self._closers)
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            await asyncio.shield(task)

    def retry_now(self) -> None:
        """Cut the current wait between two rejoin attempts short."""
        self._hurry.set()

    # --- coming back -------------------------------------------------------------------------

    def _start_return(self, cause: str, reason: lk_models.ReconnectReason | None) -> None:
        """Resume for this reason, or join anew when it is None."""
        if self._is_closed or not self._ready.is_set():
            if reason is not None and self._connection is not None:
                # Lost again before it was complete: whatever waits for it has to know.
                self._connection.lose(cause)
            return
        self._may_resume = reason is not None
        if self._is_returning:
            # The attempt under way fails by itself; do not wait long before the next.
            self._hurry.set()
            return
        self._is_returning = True
        self._settled.clear()
        log.info("resuming" if self._may_resume else "rejoining", cause=cause)
        spawn(self._return(reason), name="return", owner=self._tasks)

    async def _return(self, reason: lk_models.ReconnectReason | None) -> None:
        self._observer.on_reconnecting()
        ladder = ReturnLadder(
            self._options.rejoin_attempts, may_resume=reason is not None, now_s=time.monotonic()
        )
        failure: WorldError | None = None
        while not self._is_closed:
            if not self._may_resume:
                ladder.give_up_resuming()
            attempt = ladder.next_attempt(random.random(), time.monotonic())
            if attempt is None:
                break
            if not attempt.resumes:
                await self._give_up_resuming()
            if not await self._wait(attempt.wait_s):
                return
            try:
                if attempt.resumes and reason is not None:
                    await self._resume(reason)
                else:
                    await self._join_once()
                    await self._republish()
                    self._rejoins += 1
            except WorldError as error:
                failure = error
                log.info("return failed", attempt=ladder.made, reason=str(error.reason))
                if error.reason in _TERMINAL:
                    break
                if isinstance(error, ResumeRefusedError) or not error.retry:
                    ladder.give_up_resuming()
                continue
            self._is_returning = self._is_rejoining = False
            self._ready.set()
            self._settled.set()
            self._observer.on_reconnected()
            return
        detail = "" if failure is None else str(failure.reason)
        is_refused = failure is not None and failure.reason in _TERMINAL
        reasons = lk_models.DisconnectReason
        self._end(reasons.JOIN_FAILURE if is_refused else reasons.SIGNAL_CLOSE, detail)

    async def _resume(self, reason: lk_models.ReconnectReason) -> None:
        """Go on with the session: same sid, same tracks, same numbers."""
        connection, welcome = self._require_connection(), self._join
        assert welcome is not None
        reconnect = await connection.resume(
            self._target(),
            ResumeTicket(welcome.participant.sid, reason),
            state=self._sync_state,
            timeout_s=self._options.connect_timeout_s,
        )
        resent = self._lane.resend(connection, reconnect.last_message_seq)
        if self._permission is not None:
            connection.send(lk_rtc.SignalRequest(subscription_permission=self._permission))
        self.data_tracks.handle_resumed()
        log.info("resumed", resent=resent)

    def _sync_state(self) -> lk_rtc.SyncState:
        connection = self._require_connection()
        offer, answer = connection.descriptions
        state = sync_state(
            wishes=self._wishes,
            auto_subscribe=self._options.auto_subscribe,
            publications=self._publications,
            receive_states=self._lane.receive_states(),
            channel_ids=connection.channel_ids(),
            offer=offer,
            answer=answer,
        )
        self.data_tracks.describe(state)
        return state

    async def _give_up_resuming(self) -> None:
        """Begin with a fresh join: what the old session had under way is lost."""
        if not self._is_rejoining:
            self._is_rejoining = True
            self._ready.clear()
            self.data_tracks.handle_lost()
            log.info("rejoining")
            self._observer.on_rejoining()
        await self._release()

    async def _wait(self, wait_s: float) -> bool:
        """Wait, or until somebody is in a hurry; False when the session has ended."""
        self._hurry.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._hurry.wait()
        except TimeoutError:
            pass
        return not self._is_closed

    async def _republish(self) -> None:
        connection = self._require_connection()
        if self._permission is not None:
            connection.send(lk_rtc.SignalRequest(subscription_permission=self._permission))
        for old_sid, publication in self._publications:
            if old_sid not in self._publications:
                continue
            was_muted = publication.request.muted
            try:
                track = await connection.publish(publication.request, publication.uplink)
            except WorldError as error:
                if error.reason is not Reason.DENIED:
                    raise
                self._publications.forget(old_sid)
                self._observer.on_local_unpublished(old_sid)
                continue
            if not self._publications.rename(old_sid, track):
                # Unpublished meanwhile, under the old name.
                connection.forget_uplink(publication.uplink.cid)
                continue
            if publication.request.muted != was_muted:
                self.set_muted(track.sid, publication.request.muted)
            self._observer.on_local_republished(old_sid, track)
        self.data_tracks.handle_rejoined()

    def _end(self, reason: lk_models.DisconnectReason, detail: str) -> None:
        """End the stay for good; resources go in the background."""
        if self._is_closed:
            return
        self._is_closed = True
        self._ready.set()
        self._settled.set()
        self._hurry.set()
        self._publications.close()
        self.data_tracks.close()
        spawn(self._release(), name="release", owner=self._tasks)
        log.info("session ended", reason=lk_models.DisconnectReason.Name(reason), detail=detail)
        self._observer.on_disconnected(reason, detail)

    def _require_connection(self) -> Connection:
        if self._connection is None or self._is_closed:
            raise WorldError(Reason.NO_ROUTE, retry=not self._is_closed, detail="not connected")
        return self._connection

    async def _settled_connection(self) -> Connection:
        """Return the connection; while it is coming back, wait for it."""
        if self._is_returning and not self._is_closed:
            try:
                async with asyncio.timeout(REJOIN_PATIENCE_S):
                    await self._settled.wait()
            except TimeoutError as error:
                raise WorldError(Reason.NO_ROUTE, retry=True, detail="reconnecting") from error
        return self._require_connection()

    # --- publishing --------------------------------------------------------------------------

    async def publish(
        self,
        request: lk_rtc.AddTrackRequest,
        *,
        codec: str,
        layers: Sequence[LayerParameters] = (),
    ) -> tuple[lk_models.TrackInfo, Sender]:
        """Announce and negotiate a track. `codec` is "opus", "VP8" or "H264".

        `request.cid` is filled when empty. Several layers need the rids q, h, f, lowest first.
        """
        connection = await self._settled_connection()
        # The sender has to be known before the answer arrives, which binds it.
        publication = self._publications.add(request, codec, layers)
        cid = request.cid
        try:
            track = await connection.publish(request, publication.uplink)
        except BaseException:
            self._publications.forget(cid)
            connection.forget_uplink(cid)
            raise
        self._publications.rename(cid, track)
        return track, publication.sender

    async def unpublish(self, track_sid: str) -> None:
        """Stop sending a track; returns when the server has answered."""
        publication = self._publications.forget(track_sid)
        if publication is not None and self._connection is not None and not self._is_rejoining:
            await self._connection.unpublish(publication.uplink.cid)

    def set_muted(self, track_sid: str, muted: bool) -> None:
        """Tell the server that our track is muted; the caller stops or resumes sending."""
        publication = self._publications.get(track_sid)
        if publication is not None:
            publication.request.muted = muted
        self._send(lk_rtc.SignalRequest(mute=lk_rtc.MuteTrackRequest(sid=track_sid, muted=muted)))

    # --- subscribing -------------------------------------------------------------------------

    def set_subscribed(
        self, participant_sid: str, track_sids: Sequence[str], subscribed: bool
    ) -> None:
        """Ask for tracks or give them up; media follows as `on_track`, `on_track_removed`.

        Not repeated after a rejoin: every sid is new then.
        """
        self._wishes.note_subscribed(track_sids, subscribed)
        update = lk_rtc.UpdateSubscription(track_sids=track_sids, subscribe=subscribed)
        update.participant_tracks.add(participant_sid=participant_sid, track_sids=track_sids)
        self._send(lk_rtc.SignalRequest(subscription=update))

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
        self._wishes.note_disabled(track_sids, disabled)
        settings = lk_rtc.UpdateTrackSettings(
            track_sids=track_sids,
            disabled=disabled,
            quality=lk_models.VideoQuality.HIGH if quality is None else quality,
            width=width,
            height=height,
            fps=fps,
            priority=priority,
        )
        self._send(lk_rtc.SignalRequest(track_setting=settings))

    def set_subscription_permission(self, permission: lk_rtc.SubscriptionPermission) -> None:
        """Say who may subscribe to our tracks; repeated after every rejoin."""
        self._permission = permission
        self._send(lk_rtc.SignalRequest(subscription_permission=permission))

    def _send(self, request: lk_rtc.SignalRequest) -> None:
        """Send a request that describes sids of now; while rejoining it would be void.

        While resuming it waits for the end of that.
        """
        if self._connection is not None and not self._is_closed:
            self._connection.send(request)

    # --- data --------------------------------------------------------------------------------

    async def send_data(self, packet: lk_models.DataPacket, *, reliable: bool) -> None:
        """Send a packet. Reliable ones are numbered here and wait while 2 MiB are buffered.

        While rejoining it waits for the new connection; a resume does not stop data. Lossy
        packets are dropped, and counted, when the network does not keep up.
        """
        if reliable:
            await self._lane.send_reliable(packet)
        else:
            await self._lane.send_lossy(packet)

    async def drain_reliable(self, below_bytes: int) -> None:
        """Wait until at most that much waits in the reliable channel."""
        connection = await self._channel(RELIABLE)
        if connection.buffered_bytes(RELIABLE) > below_bytes:
            await connection.drain(RELIABLE, below_bytes)

    async def _channel(self, label: str) -> Connection:
        """Return the connection once this channel of it, or of the next one, is open."""
        return await open_channel(label, self._ready_connection, self._comes_back)

    async def _ready_connection(self) -> Connection:
        await self._ready.wait()
        return self._require_connection()

    async def _comes_back(self) -> bool:
        is_lost = self._is_returning
        await self._settled.wait()
        return is_lost and not self._is_closed

    async def publish_data_track(self, name: str) -> LocalDataTrack:
        """Publish a data track; raises `PublishDataTrackError` or `WorldError`."""
        await self._settled_connection()
        await self._channel(DATA_TRACK)
        return await self.data_tracks.local.publish(name)

    def _data_track_channel(self) -> Connection | None:
        connection = self._connection
        if connection is None or not connection.is_channel_open(DATA_TRACK):
            return None
        return connection

    def on_message(self, label: str, data: bytes) -> None:
        """Take a message of a data channel; none after the end."""
        if self._is_closed:
            return
        if label == DATA_TRACK:
            self.data_tracks.remote.handle_packet(data)
            return
        self._lane.handle_message(label, data)

    # --- ourselves ---------------------------------------------------------------------------

    async def update_metadata(
        self,
        *,
        name: str = "",
        metadata: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """Change what people see of us; raises `WorldError(DENIED)` when the server refuses."""
        connection = await self._settled_connection()
        request = lk_rtc.UpdateParticipantMetadata(
            name=name, metadata=metadata, attributes=attributes or {}
        )
        response = await connection.update_metadata(request)
        if response.reason is None:
            raise WorldError(Reason.TIMEOUT, retry=True, detail=response.detail)
        if response.reason != lk_rtc.RequestResponse.OK:
            too_large = response.reason == lk_rtc.RequestResponse.LIMIT_EXCEEDED
            reason = Reason.TOO_LARGE if too_large else Reason.DENIED
            raise WorldError(reason, detail=response.detail)

    def simulate(self, scenario: lk_rtc.SimulateScenario) -> None:
        """Ask the server to misbehave (tests)."""
        self._send(lk_rtc.SignalRequest(simulate=scenario))

    def drop_signal(self) -> None:
        """Lose the signalling socket on purpose (tests)."""
        if self._connection is not None and not self._is_closed:
            self._connection.drop_signal()

    async def get_stats(self) -> SessionStats:
        """Return counters of every sender and receiver."""
        stats = SessionStats(rejoins=self._rejoins)
        if self._connection is not None:
            stats.transports = self._connection.transport_stats()
        stats.senders = self._publications.stats()
        stats.receivers = [receiver.stats for _, receiver, _ in self._receivers.values()]
        return stats

    # --- ConnectionObserver: for the connection alone ----------------------------------------

    def on_welcome(self, join: lk_rtc.JoinResponse) -> None:
        """Take the server's welcome."""
        self._join = join
        self._observer.on_joined(join, again=self._is_rejoining)

    def on_interrupted(self, cause: str, reason: lk_models.ReconnectReason) -> None:
        """Take an interruption of the connection."""
        self._start_return(cause, reason)

    def on_lost(self, cause: str) -> None:
        """Take the loss of the connection."""
        self._start_return(cause, None)

    def on_token(self, token: str) -> None:
        """Take a newer token."""
        self._token = token
        self._observer.on_token_refreshed(token)

    def on_track_opened(self, track: DownlinkTrack, router: MediaRouter) -> None:
        """Take a track that reaches us; none after the end, for nobody would close it."""
        if self._is_closed:
            return
        receiver: Receiver
        if track.kind == "audio":
            receiver = AudioRtpReceiver(track.track_sid, track.ssrc, dict(track.codecs))
        else:
            receiver = VideoRtpReceiver(
                track.track_sid,
                track.ssrc,
                dict(track.codecs),
                rtx_ssrc=track.rtx_ssrc,
                rtx_of=dict(track.rtx_of),
            )
        self._close_receiver(track.track_sid)
        self._receivers[track.track_sid] = (track, receiver, router)
        router.attach_receiver(receiver)
        self._observer.on_track(track.participant_sid, track.track_sid, receiver)

    def on_track_closed(self, track: DownlinkTrack) -> None:
        """Take the end of a track."""
        known = self._receivers.get(track.track_sid)
        if known is not None and known[0] == track:
            self._close_receiver(track.track_sid)

    def _close_receiver(self, track_sid: str) -> None:
        known = self._receivers.pop(track_sid, None)
        if known is None:
            return
        _, receiver, router = known
        router.detach_receiver(receiver)
        receiver.close()
        self._observer.on_track_removed(track_sid)

    def on_uplink(self, parameters: UplinkParameters, router: MediaRouter) -> None:
        """Take what the server accepted for a published track."""
        self._publications.bind(parameters, router)

    def on_leave(self, leave: lk_rtc.LeaveRequest) -> None:
        """Take the server's goodbye."""
        match after_leave(leave):
            case End(reason):
                self._end(reason, "")
            case _:
                # Also RESUME: on v1 the connection takes that for an interruption.
                self._start_return(f"leave {lk_rtc.LeaveRequest.Action.Name(leave.action)}", None)

    def on_signal(self, kind: str, message: Message) -> None:
        """Take a message about the room; while the socket is being closed nobody wants it."""
        if self._is_closed:
            return
        observer = self._observer
        match message:
            case lk_rtc.ParticipantUpdate():
                observer.on_update(message.participants)
            case lk_rtc.RoomUpdate():
                observer.on_room_update(message.room)
            case lk_rtc.SpeakersChanged():
                observer.on_speakers(message.speakers)
            case lk_rtc.ConnectionQualityUpdate():
                observer.on_quality(message.updates)
            case lk_rtc.StreamStateUpdate():
                observer.on_stream_states(message.stream_states)
            case lk_rtc.MuteTrackRequest():
                observer.on_mute_request(message.sid, message.muted)
            case lk_rtc.TrackUnpublishedResponse():
                self._on_unpublished(message.track_sid)
            case lk_rtc.TrackSubscribed():
                observer.on_local_subscribed(message.track_sid)
            case lk_rtc.SubscriptionPermissionUpdate():
                observer.on_subscription_permission(
                    message.participant_sid, message.track_sid, message.allowed
                )
            case lk_rtc.SubscriptionResponse():
                observer.on_subscription_failed(message.track_sid, message.err)
            case lk_rtc.SubscribedQualityUpdate():
                observer.on_subscribed_quality(message)
            case lk_rtc.RoomMovedResponse():
                if message.token:
                    self.on_token(message.token)
                observer.on_room_moved(message)
            case _:
                if not self.data_tracks.handle_signal(message):
                    log.debug("signal message without effect", kind=kind)

    def _on_unpublished(self, track_sid: str) -> None:
        publication = self._publications.forget(track_sid)
        if publication is None:
            return
        if self._connection is not None:
            self._connection.forget_uplink(publication.uplink.cid)
        self._observer.on_local_unpublished(track_sid)
