"""One session of one person in a room: signalling, its peer connection, uplinks and downlinks.

A participant knows nothing of the others. What concerns them goes up through `RoomEvents`; what
they do comes down as method calls of the room. Lives on the server's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence

import structlog
from livekit.protocol import models, rtc

from app.protocol import compat
from app.protocol.signal_server import leave_response
from app.protocol.token import Claims
from app.rtc.server_transport import PEER_CLOSED, ServerTransport, TransportObserver
from app.server.room.data_flow import DataFlow
from app.server.room.data_router import RELIABLE, DataSender
from app.server.room.early_data import EarlyData
from app.server.room.first_info import first_info, is_dependent
from app.server.room.identifiers import fresh_id, fresh_ssrc, fresh_track_id
from app.server.room.metadata import MetadataRefusal, apply_update, check_update
from app.server.room.negotiation import Negotiation
from app.server.room.permissions import SubscriptionRules
from app.server.room.ports import RoomEvents, SignalSink
from app.server.room.publication import Publication, known_values
from app.server.room.publisher import Publisher, PublisherEvents, source_is_allowed
from app.server.room.signal_channel import SignalChannel
from app.server.room.simulation import MAX_SPEAKING_S, ResumeFault, SimulatedResumes
from app.server.room.subscriber import Subscriber
from app.server.room.sync_state import MAX_TRACKS, knows_published, named_tracks
from app.server.tracks.media import ParticipantMedia, RoomMedia

log = structlog.get_logger(__name__)

JOIN_TIMEOUT_S = 60.0
# A client that leaves closes its media at once; its `leave` may arrive a moment later.
GOODBYE_GRACE_S = 1.0
# A `leave` must not be overtaken by the end of the media: the client would take that for a loss.
FAREWELL_S = 0.5
# A person publishes a handful; beyond it somebody fills our memory and everybody's screens.
MAX_PUBLICATIONS = 64
MAX_CID_CHARS = 512
# What a client may say of its own leaving; the rest is ours to say.
_OWN_REASONS = (
    models.DisconnectReason.CLIENT_INITIATED,
    models.DisconnectReason.USER_UNAVAILABLE,
    models.DisconnectReason.USER_REJECTED,
    models.DisconnectReason.AGENT_ERROR,
)
# Lines in the log that one session can cause; what follows is counted.
MAX_FAULT_LINES = 5

Reasons = models.DisconnectReason
States = models.ParticipantInfo


class Participant(TransportObserver):
    """State of one session; `info` is what others see of it."""

    def __init__(
        self,
        claims: Claims,
        request: rtc.JoinRequest,
        *,
        sink: SignalSink,
        events: RoomEvents,
        open_transport: Callable[[TransportObserver], ServerTransport],
        room_media: RoomMedia,
    ) -> None:
        self.claims = claims
        self._loop = asyncio.get_running_loop()
        self.signal = SignalChannel(sink, self._loop.time)
        self.resume_faults = SimulatedResumes()
        # Where it was moved from: a client that missed the move still has that room's token.
        self.former_rooms: deque[str] = deque(maxlen=8)
        self.sid = fresh_id("PA_")
        self.identity = claims.identity
        self.client_info = request.client_info
        self.settings = request.connection_settings
        self.rules = SubscriptionRules()
        self.info = first_info(self.sid, claims, request, now_ms=_now_us() // 1000)
        # Kept by the room's data tracks.
        self.data_tracks: Sequence[models.DataTrackInfo] = ()
        self.is_closed = False
        self.was_active = False
        # What others were sent because of this participant: its socket is read accordingly.
        self.told_bytes = 0
        self._faults = 0
        self._events = events
        self._early = EarlyData()
        self._has_said_goodbye = False
        self.transport = open_transport(self)
        self.data_flow = DataFlow(
            self.sid,
            self.transport,
            lambda: self.send_back(Reasons.CONNECTION_TIMEOUT),
            has_socket=lambda: self.signal.is_attached,
        )
        self._media = ParticipantMedia(self.transport, room_media, self.sid)
        self.publisher = Publisher(
            self.sid,
            self._media,
            PublisherEvents(
                on_attached=self._on_track_attached,
                on_live=self._on_track_live,
                on_ended=self._on_track_ended,
            ),
        )
        self.subscriber = Subscriber(
            self._media,
            request_sections=self._request_sections,
            on_first_subscriber=lambda publication: self._events.track_subscribed(publication),
        )
        self._negotiation = Negotiation(self.transport, self.publisher, self.subscriber, self.send)
        grant = claims.video
        self.data_sender = DataSender(
            sid=self.sid,
            identity=self.identity,
            may_publish_data=grant.may_publish_data,
            hidden=grant.hidden,
            is_agent=self.info.kind == States.AGENT,
        )
        self._deadline = self._loop.call_later(JOIN_TIMEOUT_S, self._on_join_timeout)
        self._grace: asyncio.TimerHandle | None = None
        self._silence: asyncio.TimerHandle | None = None

    # --- facts

    @property
    def is_active(self) -> bool:
        """Whether its peer connection is up."""
        return self.info.state == States.ACTIVE

    @property
    def is_dependent(self) -> bool:
        """Agents and recorders keep no room open."""
        return is_dependent(self.claims)

    @property
    def is_hidden(self) -> bool:
        """Whether the others hear nothing of it."""
        return self.claims.video.hidden

    @property
    def data_track_sids(self) -> set[str]:
        """Data tracks that it publishes."""
        return {info.sid for info in self.data_tracks}

    @property
    def is_publisher(self) -> bool:
        """Whether any of its tracks is announced, or it publishes data."""
        return bool(self.data_tracks) or any(
            p.is_announced for p in self.publisher.publications.values()
        )

    def snapshot(self) -> models.ParticipantInfo:
        """Return a copy of what others see, tracks included."""
        info = models.ParticipantInfo()
        info.CopyFrom(self.info)
        publications = self.publisher.publications.values()
        info.tracks.extend(p.info for p in publications if p.is_announced)
        info.data_tracks.extend(self.data_tracks)
        info.is_publisher = self.is_publisher
        return info

    def bump(self) -> None:
        """Count a change: clients drop older versions."""
        self.info.version += 1

    def note_fault(self, what: str, reason: str) -> None:
        """Log something malformed, unless this session has filled enough lines already."""
        self._faults += 1
        if self._faults <= MAX_FAULT_LINES:
            log.warning(what, participant=self.sid, reason=reason)

    # --- down from the room

    def send(self, response: rtc.SignalResponse) -> None:
        """Queue a message for the client."""
        self.signal.send(response)

    def send_token(self) -> None:
        """Hand out a token with the claims of now."""
        self._events.claims_changed(self)

    def send_data(self, label: str, data: bytes, sender: DataFlow | None = None) -> None:
        """Deliver a data packet, reliable ones even before the channel is open.

        What waits goes first: nothing overtakes it, even if the channel opens meanwhile.
        """
        is_early = label == RELIABLE and not self._early.is_open
        if not is_early and self.transport.send_data(label, data):
            if label == RELIABLE:
                self.data_flow.note_sent(sender)
            return
        if label == RELIABLE and not self._early.keep(data):
            log.debug("reliable packet dropped", participant=self.sid)

    def move_to(self, events: RoomEvents, room_media: RoomMedia) -> None:
        """Go on in another room: connection, tracks and sid stay, subscriptions do not."""
        self.subscriber.drop_all()
        self._events = events
        self._media.move_to(room_media)
        self.bump()

    def dismiss(self, action: int, reason: int) -> None:
        """Tell the client to go and close its socket."""
        self.send(leave_response(action, reason))  # type: ignore[arg-type]  # enums are ints
        self.signal.close()

    def close(self, reason: int) -> None:
        """End media and tracks; the room closes the transport."""
        if self.is_closed:
            return
        self.is_closed = True
        self._deadline.cancel()
        for timer in (self._grace, self._silence):
            if timer is not None:
                timer.cancel()
        self.data_flow.close()
        self.subscriber.close()
        self.publisher.close()
        self._media.close()
        self.info.state = States.DISCONNECTED
        self.info.disconnect_reason = reason  # type: ignore[assignment]  # enums are ints
        self.bump()
        if self._faults > MAX_FAULT_LINES:
            log.warning("malformed input dropped", participant=self.sid, count=self._faults)

    async def close_transport(self) -> None:
        """Close the connection once the client knows why."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await self.signal.wait_closed()
        await self.transport.close()

    # --- up from the socket

    def handle_request(self, request: rtc.SignalRequest) -> None:
        """Act on one message; `ProtocolError` when it makes no sense."""
        if self.is_closed:
            return
        match request.WhichOneof("message"):
            case "offer":
                self.handle_offer(request.offer)
            case "add_track":
                self.handle_add_track(request.add_track)
            case "mute":
                self._handle_mute(request.mute)
            case "subscription":
                self._handle_subscription(request.subscription)
            case "track_setting":
                self._events.settings_requested(self, request.track_setting)
            case "subscription_permission":
                self.rules = SubscriptionRules.from_request(request.subscription_permission)
                self._events.permissions_changed(self)
            case "leave":
                self._handle_leave(request.leave)
            case "ping":
                self.send(rtc.SignalResponse(pong=_now_us() // 1000))
            case "ping_req":
                self.send(
                    rtc.SignalResponse(
                        pong_resp=rtc.Pong(
                            last_ping_timestamp=request.ping_req.timestamp,
                            timestamp=_now_us() // 1000,
                        )
                    )
                )
            case "update_metadata":
                self._handle_metadata(request.update_metadata)
            case "update_audio_track":
                self._handle_audio_track(request.update_audio_track)
            case "update_video_track":
                self._handle_video_track(request.update_video_track)
            case (
                "publish_data_track_request"
                | "unpublish_data_track_request"
                | "update_data_subscription"
            ):
                self._events.data_track_requested(self, request)
            case "store_data_blob_request":
                blob_id = request.store_data_blob_request.request_id
                self._refuse(rtc.RequestResponse(request_id=blob_id))
            case "get_data_blob_request":
                # Nothing was ever stored.
                blob = request.get_data_blob_request
                reasons = rtc.RequestResponse
                self._respond(
                    rtc.RequestResponse(request_id=blob.request_id),
                    reasons.NOT_FOUND if blob.HasField("key") else reasons.INVALID_REQUEST,
                )
            case "sync_state":
                self._handle_sync_state(request.sync_state)
            case "simulate":
                self._handle_simulation(request.simulate)
            case _:
                # trickle: a lite agent learns addresses from checks. answer: v1 servers never
                # offer. The rest is deprecated.
                log.debug("signal request without effect", participant=self.sid)

    def handle_signal_lost(self, sink: SignalSink) -> None:
        """A socket closed without `leave`: media goes on, and the client may resume.

        A client that is gone altogether is noticed by its transport.
        """
        if self.is_closed or not self.signal.detach(sink):
            return
        if not self.was_active or self._has_said_goodbye:
            self._events.participant_left(self, Reasons.SIGNAL_CLOSE)
            return
        log.info("signalling lost", participant=self.sid)

    # --- negotiation

    def handle_offer(self, description: rtc.SessionDescription) -> None:
        """Answer an offer; a broken one raises `ProtocolError` and changes nothing."""
        self._negotiation.handle_offer(description)

    def _request_sections(self, audios: int, videos: int) -> None:
        self.send(
            rtc.SignalResponse(
                media_sections_requirement=rtc.MediaSectionsRequirement(
                    num_audios=audios, num_videos=videos
                )
            )
        )

    # --- tracks

    def handle_add_track(self, request: rtc.AddTrackRequest) -> None:
        """Promise a track sid, or say why not."""
        echo = rtc.RequestResponse(add_track=request)
        is_known = request.type in (models.TrackType.AUDIO, models.TrackType.VIDEO)
        if not request.cid or len(request.cid) > MAX_CID_CHARS or not is_known:
            self._respond(echo, rtc.RequestResponse.UNSUPPORTED_TYPE)
            return
        if not source_is_allowed(self.info.permission, request.type, request.source):
            self._refuse(echo)
            return
        if request.sid:
            # A backup codec for an existing track: clients go on without it.
            self._respond(echo, rtc.RequestResponse.UNSUPPORTED_TYPE)
            return
        if self.publisher.find_pending(request.cid) is not None:
            self._respond(echo, rtc.RequestResponse.QUEUED)
            return
        if len(self.publisher.publications) >= MAX_PUBLICATIONS:
            self._respond(echo, rtc.RequestResponse.LIMIT_EXCEEDED)
            return
        is_video = request.type == models.TrackType.VIDEO
        publication = self.publisher.add_track(
            request,
            fresh_track_id(request.type, request.source),
            fresh_ssrc(),
            fresh_ssrc() if is_video else None,
        )
        self.send(
            rtc.SignalResponse(
                track_published=rtc.TrackPublishedResponse(cid=request.cid, track=publication.info)
            )
        )
        self.publisher.match_waiting(publication)

    def _on_track_attached(self, publication: Publication) -> None:
        if publication.kind == "audio" or publication.info.muted:
            self._announce(publication)

    def _on_track_live(self, publication: Publication) -> None:
        if self.is_closed or publication.sid not in self.publisher.publications:
            return
        publication.note_live_layers(_now_us())
        if publication.is_announced:
            self.bump()
            self._events.participant_changed(self)
        else:
            self._announce(publication)

    def _announce(self, publication: Publication) -> None:
        if publication.is_announced:
            return
        publication.is_announced = True
        publication.note_live_layers(_now_us())
        self.bump()
        self._events.track_announced(self, publication)

    def _on_track_ended(self, publication: Publication) -> None:
        was_announced, publication.is_announced = publication.is_announced, False
        if was_announced:
            self.bump()
            self._events.track_ended(self, publication)

    def _handle_mute(self, request: rtc.MuteTrackRequest) -> None:
        publication = self.publisher.publications.get(request.sid)
        if publication is None:
            self._respond(rtc.RequestResponse(mute=request), rtc.RequestResponse.NOT_FOUND)
            return
        self.set_muted(publication, request.muted)

    def set_muted(self, publication: Publication, muted: bool) -> None:
        """Note that a track is muted or not, and tell everybody."""
        if publication.info.muted == muted:
            return
        publication.info.muted = muted
        if publication.uptrack is not None:
            publication.uptrack.muted = muted
        if publication.is_announced:
            self.bump()
            self._events.participant_changed(self)

    def _handle_audio_track(self, request: rtc.UpdateLocalAudioTrack) -> None:
        publication = self.publisher.publications.get(request.track_sid)
        if publication is None:
            echo = rtc.RequestResponse(update_audio_track=request)
            self._respond(echo, rtc.RequestResponse.NOT_FOUND)
            return
        del publication.info.audio_features[:]
        publication.info.audio_features.extend(
            known_values(models.AudioTrackFeature, request.features)
        )
        self.bump()
        self._events.participant_changed(self)

    def _handle_video_track(self, request: rtc.UpdateLocalVideoTrack) -> None:
        publication = self.publisher.publications.get(request.track_sid)
        if publication is None:
            echo = rtc.RequestResponse(update_video_track=request)
            self._respond(echo, rtc.RequestResponse.NOT_FOUND)
            return
        publication.info.width, publication.info.height = request.width, request.height
        self.bump()
        self._events.participant_changed(self)

    # --- the rest

    def _handle_subscription(self, request: rtc.UpdateSubscription) -> None:
        self._events.subscription_requested(self, named_tracks(request), request.subscribe)

    def _handle_sync_state(self, state: rtc.SyncState) -> None:
        tracks = self.publisher.publications
        if not knows_published(state, tracks=tracks, data_tracks=self.data_track_sids):
            log.info("a resumed client publishes what is not here", participant=self.sid)
            self.send_back(Reasons.STATE_MISMATCH)
            return
        disabled = state.track_sids_disabled[:MAX_TRACKS]
        if disabled:
            self.subscriber.disable(disabled)
        if state.HasField("subscription"):
            self._handle_subscription(state.subscription)

    def _handle_leave(self, request: rtc.LeaveRequest) -> None:
        is_own = request.reason in _OWN_REASONS
        reason = request.reason if is_own else Reasons.CLIENT_INITIATED
        self._events.participant_left(self, reason)
        self.signal.close()

    def _handle_metadata(self, request: rtc.UpdateParticipantMetadata) -> None:
        echo = rtc.RequestResponse(request_id=request.request_id, update_metadata=request)
        try:
            check_update(request, self.info)
        except MetadataRefusal as refusal:
            echo.message = refusal.message
            self._respond(echo, refusal.reason)
            return
        self.describe(request)
        self._respond(echo, rtc.RequestResponse.OK)

    def describe(self, update: rtc.UpdateParticipantMetadata) -> None:
        """Write an accepted update, tell everybody, and give the client a token that has it."""
        is_news = False
        for _ in apply_update(update, self.info):
            is_news = True
            self.bump()
            self._events.participant_described(self)
        if is_news:
            self._events.claims_changed(self)

    def take_back(self, publication: Publication) -> None:
        """End a track that may not be published any more, and tell its owner's client."""
        self.publisher.end(publication)
        self.send(
            rtc.SignalResponse(
                track_unpublished=rtc.TrackUnpublishedResponse(track_sid=publication.sid)
            )
        )

    def tell_permission(self, *, was_hidden: bool) -> None:
        """Tell everybody of new rights; the client gets a token that has them."""
        self._events.participant_permitted(self, was_hidden=was_hidden)
        self._events.claims_changed(self)

    def _handle_simulation(self, request: rtc.SimulateScenario) -> None:
        match request.WhichOneof("scenario"):
            case "leave_request_full_reconnect":
                self.dismiss(rtc.LeaveRequest.RECONNECT, Reasons.UNKNOWN_REASON)
                self._events.participant_left(self, Reasons.MIGRATION)
            case "node_failure" | "migration":
                # Gone without a word: the client tries to resume and is told to come back anew.
                self.signal.close()
                self._events.participant_left(self, Reasons.MIGRATION)
            case "server_leave":
                self.dismiss(rtc.LeaveRequest.DISCONNECT, Reasons.SERVER_SHUTDOWN)
                self._events.participant_left(self, Reasons.SERVER_SHUTDOWN)
            case "speaker_update":
                seconds = max(0.0, min(float(request.speaker_update), MAX_SPEAKING_S))
                self._events.speaking_simulated(self, seconds)
            case "disconnect_signal_on_resume":
                self.resume_faults.arm(ResumeFault.CUT_AFTERWARDS, self._loop.time())
            case "disconnect_signal_on_resume_no_messages":
                self.resume_faults.arm(ResumeFault.CUT_AT_ONCE, self._loop.time())
            case _:
                log.debug("simulation is not offered", participant=self.sid)

    def fall_silent_after(self, seconds: float, silence: Callable[[], None]) -> None:
        """End its simulated speech; the newest end is the only one."""
        if self._silence is not None:
            self._silence.cancel()
        self._silence = self._loop.call_later(seconds, silence)

    def _refuse(self, echo: rtc.RequestResponse) -> None:
        self._respond(echo, rtc.RequestResponse.NOT_ALLOWED)

    def _respond(self, echo: rtc.RequestResponse, reason: int) -> None:
        is_ok = reason == rtc.RequestResponse.OK
        if is_ok and self.client_info.protocol < compat.OK_RESPONSE_PROTOCOL:
            return
        echo.reason = reason  # type: ignore[assignment]  # enums are ints
        self.send(rtc.SignalResponse(request_response=echo))

    # --- up from the transport (TransportObserver)

    def on_connected(self) -> None:
        """Media flows: the participant is in the meeting."""
        if self.is_closed or self.is_active:
            return
        self._deadline.cancel()
        self.was_active = True
        self.info.state = States.ACTIVE
        self.bump()
        self._events.participant_active(self)

    def on_failed(self, reason: str) -> None:
        """The connection is gone for good: the client has to come back anew."""
        if self.is_closed:
            return
        log.info("connection lost", participant=self.sid, reason=reason)
        self._has_said_goodbye = reason == PEER_CLOSED
        if not self._has_said_goodbye:
            self.send_back(Reasons.CONNECTION_TIMEOUT)
        elif not self.signal.is_attached:
            self._events.participant_left(self, Reasons.SIGNAL_CLOSE)
        elif self._grace is None:
            self._grace = self._loop.call_later(
                GOODBYE_GRACE_S, self.send_back, Reasons.CONNECTION_TIMEOUT
            )

    def on_interrupted(self) -> None:
        """Nothing comes from the client any more: it should look for another way to us."""
        if self.is_closed or not self.signal.is_attached:
            return
        log.info("connection interrupted", participant=self.sid)
        if self.client_info.protocol >= compat.LEAVE_ACTION_PROTOCOL:
            self.send(leave_response(rtc.LeaveRequest.RESUME, Reasons.CONNECTION_TIMEOUT))
        self.signal.drop()

    def send_back(self, reason: int) -> None:
        """Send the client round for a new session; this one is over."""
        self.dismiss(rtc.LeaveRequest.RECONNECT, reason)
        self._events.participant_left(self, Reasons.CONNECTION_TIMEOUT)

    def on_data_open(self, label: str) -> None:
        """Deliver what came too early."""
        if label != RELIABLE or self._early.is_open:
            return
        for data in self._early.open():
            self.transport.send_data(label, data)
        self.data_flow.note_sent(None)

    def on_data(self, label: str, data: bytes) -> None:
        """Pass a message up to be routed."""
        if self.is_closed:
            return
        if self.data_flow.admits(label, len(data)):
            self._events.data_received(self, label, data)
        else:
            self._events.data_over_budget(label, len(data))

    def _on_join_timeout(self) -> None:
        self.dismiss(rtc.LeaveRequest.DISCONNECT, Reasons.JOIN_FAILURE)
        self._events.participant_left(self, Reasons.JOIN_FAILURE)


def _now_us() -> int:
    return int(time.time() * 1_000_000)
