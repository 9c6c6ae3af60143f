"""One room: who is in it, who hears of what, who receives whose tracks and data.

The room is where participants meet: it passes on updates (always before the answer that exposes a
track: clients drop media of people they have not heard of), turns announcements into
subscriptions, routes data, and reports its life to the webhooks. Lives on the server's loop.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog
from livekit.protocol import models, rtc

from app.protocol.errors import ProtocolError
from app.protocol.signal_server import ROOM_MIMES, join_response
from app.protocol.token import Claims
from app.rtc.server_transport import ServerTransport, TransportObserver
from app.runtime.tasks import TaskOwner, spawn
from app.server.agents.pool import WorkerPool
from app.server.agents.room_agents import RoomAgents
from app.server.gate.gates import Gates
from app.server.room.announcements import Announcements
from app.server.room.configuration import RoomConfiguration
from app.server.room.data_router import (
    DATA_TRACK,
    LOSSY,
    RELIABLE,
    DataRouter,
    DataSender,
    RoutedPacket,
)
from app.server.room.data_tracks import DataTracks
from app.server.room.first_info import is_dependent
from app.server.room.forwarding import Guest, Windows
from app.server.room.identifiers import fresh_id
from app.server.room.moving import end_guest
from app.server.room.occupancy import Occupancy
from app.server.room.participant import Participant, Reasons, States
from app.server.room.ports import SignalSink
from app.server.room.publication import Publication
from app.server.room.reports import RoomReports
from app.server.room.resume import may_resume, resume
from app.server.room.server_calls import ServerCalls
from app.server.room.subscriptions import Subscriptions
from app.server.tally import Tally
from app.server.tracks.media import RoomMedia

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class RoomServices:
    """What a room needs of the server around it."""

    node_id: str
    open_transport: Callable[[TransportObserver], ServerTransport]
    reports: RoomReports
    workers: WorkerPool
    refresh_token: Callable[[Claims, models.ParticipantInfo], str]
    tasks: TaskOwner
    gates: Gates | None = None
    tally: Tally = field(default_factory=Tally)
    closing: set[asyncio.Task[None]] = field(default_factory=set)


class Room:
    """Everything that happens under one room name."""

    def __init__(self, name: str, services: RoomServices, configuration: RoomConfiguration) -> None:
        now_ms = int(time.time() * 1000)
        self.info = models.Room(
            sid=fresh_id("RM_"),
            name=name,
            empty_timeout=configuration.empty_timeout,
            departure_timeout=configuration.departure_timeout,
            max_participants=configuration.max_participants,
            metadata=configuration.metadata,
            turn_password=secrets.token_urlsafe(32),
            creation_time=now_ms // 1000,
            creation_time_ms=now_ms,
            enabled_codecs=[models.Codec(mime=mime) for mime in ROOM_MIMES],
        )
        self.configuration = configuration
        self.participants: dict[str, Participant] = {}
        self.guests: dict[str, Guest] = {}
        self.windows = Windows()
        self.calls = ServerCalls()
        self.is_closed = False
        self.services = services
        self.subscriptions = Subscriptions(self.participants, self.guests)
        self.announcements = Announcements(
            self.participants, self.guests, self.windows, self.snapshot
        )
        self.data_tracks = DataTracks(
            changed=self._data_tracks_changed, may_subscribe=self.subscriptions.may_subscribe
        )
        self.media = RoomMedia(
            speakers_changed=self.announcements.speakers_changed, tally=services.tally
        )
        self._loop = asyncio.get_running_loop()
        self.occupancy = Occupancy(self._loop.time())
        self._router = DataRouter(self.calls.handle_packet)
        self._sif_trailer = secrets.token_bytes(24)
        self._gates = services.gates
        if self._gates is not None:
            self._gates.room_opened(self)
        log.info("room started", room=self.info.sid)
        services.reports.room_started(self.snapshot())
        self.agents = RoomAgents(self, services.workers, services.reports, services.tasks)
        self.agents.configure(configuration.agents)

    @property
    def name(self) -> str:
        """The room's name."""
        return self.info.name

    def snapshot(self) -> models.Room:
        """Return a copy of the room's facts with current counts."""
        people = [p for p in self.people if not p.is_dependent]
        room = models.Room()
        room.CopyFrom(self.info)
        room.num_participants = len(people)
        room.num_publishers = sum(1 for p in people if p.is_publisher)
        room.active_recording = any(p.claims.video.recorder for p in self.participants.values())
        return room

    @property
    def people(self) -> list[Participant | Guest]:
        """Everybody who is seen here: those who are in, and guests of other rooms."""
        return [*self.participants.values(), *self.guests.values()]

    def guest_by_identity(self, identity: str) -> Guest | None:
        """Return the guest under this identity."""
        return next((guest for guest in self.guests.values() if guest.identity == identity), None)

    def by_identity(self, identity: str) -> Participant | None:
        """Return who is here under this identity."""
        for participant in self.participants.values():
            if participant.identity == identity:
                return participant
        return None

    def is_full_for(self, claims: Claims) -> bool:
        """Whether there is no place left for somebody who is not here yet."""
        limit = self.info.max_participants
        if not limit or is_dependent(claims) or self.by_identity(claims.identity) is not None:
            return False
        return self.snapshot().num_participants >= limit

    def is_over(self, now_s: float) -> bool:
        """Whether the room has been empty for longer than it may be."""
        if any(not p.is_dependent for p in self.people):
            return False
        return self.occupancy.is_over(
            now_s,
            empty_timeout_s=self.info.empty_timeout,
            departure_timeout_s=self.info.departure_timeout,
        )

    def now_s(self) -> float:
        """The loop's time."""
        return self._loop.time()

    def visible(self) -> list[models.ParticipantInfo]:
        """Everybody whom the others see."""
        return [person.snapshot() for person in self.people if not person.is_hidden]

    # --- joining and leaving

    def join(self, claims: Claims, request: rtc.JoinRequest, sink: SignalSink) -> Participant:
        """Let somebody in; an older session of the same identity has to go first."""
        older = self.by_identity(claims.identity)
        if older is not None:
            self.remove(older, Reasons.DUPLICATE_IDENTITY)
        guest = self.guest_by_identity(claims.identity)
        if guest is not None:
            end_guest(guest, self, Reasons.DUPLICATE_IDENTITY)
        participant = Participant(
            claims,
            request,
            sink=sink,
            events=self,
            open_transport=self.services.open_transport,
            room_media=self.media,
        )
        others = self.visible()
        self.admit(participant)
        participant.send(
            join_response(
                room=self.snapshot(),
                participant=participant.snapshot(),
                others=others,
                node_id=self.services.node_id,
                sif_trailer=self._sif_trailer,
                can_publish=claims.video.may_publish,
            )
        )
        participant.info.state = States.JOINED
        participant.bump()
        self.claims_changed(participant)
        self.announcements.tell(participant, to_self=False)
        self.subscriptions.welcome(participant)
        self.data_tracks.join(participant)
        self.announcements.room_changes()
        self.agents.participant_joined(participant)
        self.services.tally.joined += 1
        log.info("participant joined", room=self.info.sid, participant=participant.sid)
        return participant

    def admit(self, participant: Participant) -> None:
        """Count somebody in; the room's rules apply from the first word."""
        self.participants[participant.sid] = participant
        self.occupancy.note_came(is_dependent=participant.is_dependent)
        if self._gates is not None:
            self._gates.participant_entered(self, participant)

    def resume(
        self, claims: Claims, request: rtc.JoinRequest, sink: SignalSink
    ) -> Participant | None:
        """Let a session go on over another socket; None when it cannot."""
        participant = self.by_identity(claims.identity)
        if participant is None or not may_resume(participant, request):
            return None
        resume(
            participant,
            sink,
            visible=self.visible(),
            room=self.snapshot(),
            node_id=self.services.node_id,
            fault=participant.resume_faults.take(self._loop.time()),
        )
        self.data_tracks.resend(participant)
        log.info("participant resumed", room=self.info.sid, participant=participant.sid)
        return participant

    def start(self, participant: Participant, request: rtc.JoinRequest) -> None:
        """Act on what came with the join request: tracks, and the first offer."""
        for add_track in request.add_track_requests:
            participant.handle_add_track(add_track)
        if request.HasField("publisher_offer") and request.publisher_offer.sdp:
            participant.handle_offer(request.publisher_offer)

    def participant_left(self, participant: Participant, reason: int) -> None:
        """Remove somebody, end the tracks, tell the others."""
        if self.participants.pop(participant.sid, None) is None:
            return
        self.data_tracks.leave(participant)
        participant.close(reason)
        participant.signal.close()
        self.forget(participant, reason)
        self.announcements.tell(participant, to_self=False)
        self.services.reports.participant_left(
            self.snapshot(), participant.snapshot(), was_active=participant.was_active
        )
        services = self.services
        if participant.was_active:
            stay_ms = time.time() * 1000 - participant.info.joined_at_ms
            services.tally.note_session(participant.client_info.protocol, max(0.0, stay_ms))
        closing = spawn(participant.close_transport(), name="close", owner=services.tasks)
        services.closing.add(closing)
        closing.add_done_callback(services.closing.discard)
        self.announcements.room_changes()
        log.info(
            "participant left",
            room=self.info.sid,
            participant=participant.sid,
            reason=models.DisconnectReason.Name(reason),
        )

    def forget(self, participant: Participant, reason: int) -> None:
        """Let go of what is kept of somebody who is no longer here."""
        if self._gates is not None:
            self._gates.participant_left(self, participant, reason)
        self.calls.handle_left(participant.sid)
        self.announcements.forget(participant.sid)
        for room, guest in self.windows.of(participant.sid):
            end_guest(guest, room, reason)
        self.occupancy.note_left(self._loop.time())
        self.agents.participant_left(participant, reason)

    def remove(self, participant: Participant, reason: int) -> None:
        """Send somebody away."""
        participant.dismiss(rtc.LeaveRequest.DISCONNECT, reason)
        self.participant_left(participant, reason)

    def close(self, reason: int) -> None:
        """Send everybody away and end the room."""
        if self.is_closed:
            return
        self.is_closed = True
        # Nobody needs to hear who else has to go: everybody has.
        self.announcements.close()
        for participant in list(self.participants.values()):
            self.remove(participant, reason)
        for guest in list(self.guests.values()):
            end_guest(guest, self, reason)
        self.media.close()
        if self._gates is not None:
            self._gates.room_closed(self)
        self.agents.close()
        self.services.tally.rooms_s.note(max(0.0, time.time() - self.info.creation_time))
        log.info("room finished", room=self.info.sid)
        self.services.reports.room_finished(self.snapshot())

    # --- what participants report (RoomEvents)

    def participant_changed(self, participant: Participant) -> None:
        """Tell everybody, the participant included."""
        self.announcements.tell(participant, to_self=True)

    def participant_described(self, participant: Participant) -> None:
        """Tell the participant at once, and the others as soon as there is room for it."""
        self.announcements.tell(participant, to_self=True, may_wait=True)

    def participant_permitted(self, participant: Participant, *, was_hidden: bool) -> None:
        """Tell everybody; who hides is gone for the others, who shows itself has come."""
        if participant.is_hidden and not was_hidden:
            self.announcements.tell_hidden(participant)
        if self._gates is not None:
            self._gates.permission_set(self, participant)
        self.announcements.tell(participant, to_self=True)
        self.permissions_changed(participant)
        self.subscriptions.review_received(participant)
        if was_hidden and not participant.is_hidden:
            for room in (self, *self.windows.rooms_of(participant.sid)):
                for publication in participant.publisher.publications.values():
                    room.subscriptions.offer(participant, publication)
                room.data_tracks.offer_all(participant)

    def participant_active(self, participant: Participant) -> None:
        """Media flows."""
        self.announcements.tell(participant, to_self=True)
        self.services.reports.participant_joined(self.snapshot(), participant.snapshot())

    def claims_changed(self, participant: Participant) -> None:
        """Send a token that carries the claims as they are now."""
        token = self.services.refresh_token(participant.claims, participant.info)
        participant.send(rtc.SignalResponse(refresh_token=token))

    def refresh_tokens(self) -> None:
        """Give everybody a token that lasts."""
        for participant in self.participants.values():
            self.claims_changed(participant)

    def track_announced(self, participant: Participant, publication: Publication) -> None:
        """Tell everybody, then subscribe those who want everything."""
        self.announcements.tell(participant, to_self=True)
        self.services.reports.track_published(
            self.snapshot(), participant.snapshot(), publication.info
        )
        self.subscriptions.offer(participant, publication)
        for room, guest in self.windows.of(participant.sid):
            room.subscriptions.offer(guest, publication)
        self.announcements.room_changes()
        self.agents.participant_published(participant)

    def track_ended(self, participant: Participant, publication: Publication) -> None:
        """Tell everybody and end the subscriptions."""
        self.announcements.tell(participant, to_self=not participant.is_closed)
        for room in (self, *self.windows.rooms_of(participant.sid)):
            room.subscriptions.forget(publication.sid)
        self.services.reports.track_unpublished(
            self.snapshot(), participant.snapshot(), publication.info
        )
        self.announcements.room_changes()

    def track_subscribed(self, publication: Publication) -> None:
        """Tell the publisher that somebody listens: agents wait for it."""
        publisher = self._person(publication.publisher_sid)
        if isinstance(publisher, Guest):
            publisher = publisher.participant
        if publisher is not None:
            publisher.send(
                rtc.SignalResponse(track_subscribed=rtc.TrackSubscribed(track_sid=publication.sid))
            )

    def subscription_requested(
        self, participant: Participant, track_sids: set[str], subscribe: bool
    ) -> None:
        """Subscribe to announced tracks, or stop."""
        self.subscriptions.request(participant, track_sids, subscribe=subscribe)

    def permissions_changed(self, participant: Participant) -> None:
        """Take tracks away from those who may no longer have them, and give them back."""
        self.data_tracks.permissions_changed()
        self.subscriptions.review(participant)
        for room, guest in self.windows.of(participant.sid):
            room.data_tracks.permissions_changed()
            room.subscriptions.review(guest)

    def settings_requested(
        self, participant: Participant, request: rtc.UpdateTrackSettings
    ) -> None:
        """Apply what a subscriber wants of its downlinks."""
        self.subscriptions.apply_settings(participant, request)

    def speaking_simulated(self, participant: Participant, seconds: float) -> None:
        """Let the participant seem to speak, and fall silent."""
        tell = self.announcements.speakers_changed
        tell([(participant.sid, 0.9, True)])
        participant.fall_silent_after(seconds, lambda: tell([(participant.sid, 0.0, False)]))

    def data_received(self, participant: Participant, label: str, data: bytes) -> None:
        """Route a data packet to whom it is for."""
        if label == DATA_TRACK:
            self._forward_data_track(participant.sid, data)
            return
        if label not in (RELIABLE, LOSSY):
            # Other labels are no part of the protocol.
            return
        self.services.tally.note_data(label, len(data))
        try:
            self.route_data(participant.data_sender, label, data)
            for room, guest in self.windows.of(participant.sid):
                room.route_data(guest.data_sender, label, data)
        except ProtocolError as error:
            self.services.tally.data_dropped += 1
            participant.note_fault("data packet dropped", error.reason)

    def _forward_data_track(self, sid: str, data: bytes) -> None:
        tally = self.services.tally
        tally.note_data(DATA_TRACK, len(data))
        sent = self.data_tracks.forward(sid, data)
        if sent is None:
            tally.data_dropped += 1
        for room in self.windows.rooms_of(sid):
            sent = (sent or 0) + (room.data_tracks.forward(sid, data) or 0)
        if sent:
            tally.note_data_sent(DATA_TRACK, len(data), sent)

    def data_over_budget(self, label: str, size_bytes: int) -> None:
        """Count a data packet that is not passed on."""
        self.services.tally.data_dropped += 1
        if label in (RELIABLE, LOSSY, DATA_TRACK):
            self.services.tally.note_data(label, size_bytes)

    def data_track_requested(self, participant: Participant, request: rtc.SignalRequest) -> None:
        """Publish, unpublish or subscribe to data tracks."""
        self.data_tracks.handle_request(participant, request)

    def _data_tracks_changed(self, participant: Participant) -> None:
        participant.data_tracks = self.data_tracks.infos(participant)
        participant.bump()
        self.announcements.tell(participant, to_self=True)
        for room in self.windows.rooms_of(participant.sid):
            room.data_tracks.show(participant)
        self.announcements.room_changes()

    # --- what the server API does

    def send_data(self, user: models.UserPacket, label: str) -> None:
        """Deliver a packet that nobody here sent; `ProtocolError` when it is too large."""
        routed = self._router.route_from_server(user, label, self._sids())
        if routed is not None:
            self._deliver(routed)

    def set_metadata(self, metadata: str) -> None:
        """Change the room's metadata and tell everybody."""
        if metadata == self.info.metadata:
            return
        self.info.metadata = metadata
        self.announcements.tell_of_room()

    # --- inside

    def _person(self, sid: str) -> Participant | Guest | None:
        return self.participants.get(sid) or self.guests.get(sid)

    def route_data(self, sender: DataSender, label: str, data: bytes) -> None:
        """Route a packet to the people here; `ProtocolError` when it is none."""
        routed = self._router.route(sender, label, data, self._sids())
        if routed is not None:
            self._deliver(routed, sender.sid)
        else:
            self.services.tally.data_dropped += 1

    def _sids(self) -> Mapping[str, str]:
        return {p.identity: p.sid for p in self.participants.values()}

    def _deliver(self, routed: RoutedPacket, sender_sid: str = "") -> None:
        sender = self._person(sender_sid)
        flow = sender.data_flow if sender is not None else None
        if flow is not None:
            flow.note_receivers(routed.label, len(routed.to))
        receivers = [self.participants[sid] for sid in routed.to]
        self.services.tally.note_data_sent(routed.label, len(routed.data), len(receivers))
        for receiver in receivers:
            receiver.send_data(routed.label, routed.data, flow)
