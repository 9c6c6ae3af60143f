"""One room: who is in it, who hears of what, who receives whose tracks and data.

The room is where participants meet: it passes on updates (always before the answer that exposes a
track: clients drop media of people they have not heard of), turns announcements into
subscriptions, routes data, and reports its life to the webhooks. Lives on the server's loop.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from app.server.room.participant import Participant, Reasons, States
from app.server.room.ports import SignalSink
from app.server.room.publication import Publication
from app.server.room.reports import RoomReports
from app.server.room.resume import may_resume, resume
from app.server.room.server_calls import ServerCalls
from app.server.room.update_batch import UpdateBatch
from app.server.tally import Tally
from app.server.tracks.media import RoomMedia

log = structlog.get_logger(__name__)

ROOM_UPDATE_DELAY_S = 0.5


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
        self._services = services
        self._router = DataRouter(self.calls.handle_packet)
        self._batch = UpdateBatch()
        self._batch_timer: asyncio.TimerHandle | None = None
        self.data_tracks = DataTracks(
            changed=self._data_tracks_changed, may_subscribe=self._may_subscribe
        )
        self._sif_trailer = secrets.token_bytes(24)
        self._media = RoomMedia(speakers_changed=self._on_speakers, tally=services.tally)
        self._loop = asyncio.get_running_loop()
        self._created_s = self._loop.time()
        self._last_left_s: float | None = None
        self._had_people = False
        self._update_timer: asyncio.TimerHandle | None = None
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
        if self._had_people and self._last_left_s is not None:
            return now_s - self._last_left_s >= self.info.departure_timeout
        return now_s - self._created_s >= self.info.empty_timeout

    # --- joining and leaving

    def join(self, claims: Claims, request: rtc.JoinRequest, sink: SignalSink) -> Participant:
        """Let somebody in; an older session of the same identity has to go first."""
        older = self.by_identity(claims.identity)
        if older is not None:
            self.remove(older, Reasons.DUPLICATE_IDENTITY)
        guest = self.guest_by_identity(claims.identity)
        if guest is not None:
            self.end_guest(guest, Reasons.DUPLICATE_IDENTITY)
        participant = Participant(
            claims,
            request,
            sink=sink,
            events=self,
            open_transport=self._services.open_transport,
            room_media=self._media,
        )
        others = self._visible()
        self.participants[participant.sid] = participant
        self._had_people = self._had_people or not participant.is_dependent
        if self._gates is not None:
            self._gates.participant_entered(self, participant)
        participant.send(
            join_response(
                room=self.snapshot(),
                participant=participant.snapshot(),
                others=others,
                node_id=self._services.node_id,
                sif_trailer=self._sif_trailer,
                can_publish=claims.video.may_publish,
            )
        )
        participant.info.state = States.JOINED
        participant.bump()
        self.claims_changed(participant)
        self._broadcast_update(participant, to_self=False)
        if participant.settings.auto_subscribe:
            self._subscribe_to_all(participant)
        self.data_tracks.join(participant)
        self._schedule_room_update()
        self.agents.participant_joined(participant)
        self._services.tally.joined += 1
        log.info("participant joined", room=self.info.sid, participant=participant.sid)
        return participant

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
            visible=self._visible(),
            room=self.snapshot(),
            node_id=self._services.node_id,
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
        if self._gates is not None:
            self._gates.participant_left(self, participant, reason)
        self.data_tracks.leave(participant)
        participant.close(reason)
        participant.signal.close()
        self._forget(participant, reason)
        self.agents.participant_left(participant, reason)
        self._broadcast_update(participant, to_self=False)
        self._services.reports.participant_left(
            self.snapshot(), participant.snapshot(), was_active=participant.was_active
        )
        services = self._services
        closing = spawn(participant.close_transport(), name="close", owner=services.tasks)
        services.closing.add(closing)
        closing.add_done_callback(services.closing.discard)
        self._schedule_room_update()
        log.info(
            "participant left",
            room=self.info.sid,
            participant=participant.sid,
            reason=models.DisconnectReason.Name(reason),
        )

    def remove(self, participant: Participant, reason: int) -> None:
        """Send somebody away."""
        participant.dismiss(rtc.LeaveRequest.DISCONNECT, reason)
        self.participant_left(participant, reason)

    def close(self, reason: int) -> None:
        """Send everybody away and end the room."""
        if self.is_closed:
            return
        self.is_closed = True
        for participant in list(self.participants.values()):
            self.remove(participant, reason)
        for guest in list(self.guests.values()):
            self.end_guest(guest, reason)
        for timer in (self._update_timer, self._batch_timer):
            if timer is not None:
                timer.cancel()
        self._media.close()
        if self._gates is not None:
            self._gates.room_closed(self)
        self.agents.close()
        log.info("room finished", room=self.info.sid)
        self._services.reports.room_finished(self.snapshot())

    # --- what participants report (RoomEvents)

    def participant_changed(self, participant: Participant) -> None:
        """Tell everybody, the participant included."""
        self._broadcast_update(participant, to_self=True)

    def participant_described(self, participant: Participant) -> None:
        """Tell the participant at once, and the others as soon as there is room for it."""
        self._broadcast_update(participant, to_self=True, may_wait=True)

    def participant_permitted(self, participant: Participant, *, was_hidden: bool) -> None:
        """Tell everybody; who hides is gone for the others, who shows itself has come."""
        rooms = (self, *(room for room, _ in self.windows.of(participant.sid)))
        if participant.is_hidden and not was_hidden:
            gone = participant.snapshot()
            gone.state = States.DISCONNECTED
            del gone.data_tracks[:]
            update = rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=[gone]))
            for room in rooms:
                room.tell_gone(participant.sid, update)
        if self._gates is not None:
            self._gates.permission_set(self, participant)
        self._broadcast_update(participant, to_self=True)
        self.permissions_changed(participant)
        for publisher, publication in self._publications().values():
            self._review(participant, publisher, publication)
        if was_hidden and not participant.is_hidden:
            for publication in participant.publisher.publications.values():
                for room in rooms:
                    room.offer_track(participant, publication)
            for room in rooms:
                room.data_tracks.offer_all(participant)

    def participant_active(self, participant: Participant) -> None:
        """Media flows."""
        self._broadcast_update(participant, to_self=True)
        self._services.reports.participant_joined(self.snapshot(), participant.snapshot())

    def claims_changed(self, participant: Participant) -> None:
        """Send a token that carries the claims as they are now."""
        token = self._services.refresh_token(participant.claims, participant.info)
        participant.send(rtc.SignalResponse(refresh_token=token))

    def refresh_tokens(self) -> None:
        """Give everybody a token that lasts."""
        for participant in self.participants.values():
            self.claims_changed(participant)

    def tell_gone(self, sid: str, update: rtc.SignalResponse) -> None:
        """Tell the people here that somebody is not to be seen any more."""
        self._batch.forget(sid)
        self._broadcast(update, except_sid=sid)

    def track_announced(self, participant: Participant, publication: Publication) -> None:
        """Tell everybody, then subscribe those who want everything."""
        self._broadcast_update(participant, to_self=True)
        self._services.reports.track_published(
            self.snapshot(), participant.snapshot(), publication.info
        )
        self.offer_track(participant, publication)
        for room, guest in self.windows.of(participant.sid):
            room.offer_track(guest, publication)
        self._schedule_room_update()
        self.agents.participant_published(participant)

    def track_ended(self, participant: Participant, publication: Publication) -> None:
        """Tell everybody and end the subscriptions."""
        self._broadcast_update(participant, to_self=not participant.is_closed)
        for room in (self, *(room for room, _ in self.windows.of(participant.sid))):
            for other in room.participants.values():
                other.subscriber.forget(publication.sid)
        self._services.reports.track_unpublished(
            self.snapshot(), participant.snapshot(), publication.info
        )
        self._schedule_room_update()

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
        known = self._publications()
        for track_sid in track_sids:
            if not subscribe:
                participant.subscriber.withheld.discard(track_sid)
                participant.subscriber.unsubscribe(track_sid)
            elif track_sid in known:
                self._subscribe(participant, *known[track_sid])

    def permissions_changed(self, participant: Participant) -> None:
        """Take tracks away from those who may no longer have them, and give them back."""
        self.data_tracks.permissions_changed()
        self.review_tracks(participant)
        for room, guest in self.windows.of(participant.sid):
            room.data_tracks.permissions_changed()
            room.review_tracks(guest)

    def review_tracks(self, participant: Participant | Guest) -> None:
        """Look again who here may have somebody's tracks."""
        for publication in participant.publisher.publications.values():
            for other in self.participants.values():
                self._review(other, participant, publication)

    def _review(
        self, other: Participant, publisher: Participant | Guest, publication: Publication
    ) -> None:
        """Look again whether somebody may have a track."""
        if other is publisher or not publication.is_announced:
            return
        allowed = self._may_subscribe(other, publisher, publication.sid)
        subscriber = other.subscriber
        if publication.sid in subscriber.track_sids and not allowed:
            subscriber.unsubscribe(publication.sid)
            subscriber.withheld.add(publication.sid)
            self._send_permission(other, publisher, publication, allowed=False)
        elif allowed and publication.sid in subscriber.withheld:
            subscriber.withheld.discard(publication.sid)
            self._send_permission(other, publisher, publication, allowed=True)
            subscriber.subscribe(publication)

    def settings_requested(
        self, participant: Participant, request: rtc.UpdateTrackSettings
    ) -> None:
        """Apply what a subscriber wants of its downlinks."""
        known = {sid: publication for sid, (_, publication) in self._publications().items()}
        participant.subscriber.apply_settings(request, known)

    def speaking_simulated(self, participant: Participant, seconds: float) -> None:
        """Let the participant seem to speak, and fall silent."""
        self._on_speakers([(participant.sid, 0.9, True)])
        participant.fall_silent_after(
            seconds, lambda: self._on_speakers([(participant.sid, 0.0, False)])
        )

    def data_received(self, participant: Participant, label: str, data: bytes) -> None:
        """Route a data packet to whom it is for."""
        if label == DATA_TRACK:
            for shown_in in (self, *(room for room, _ in self.windows.of(participant.sid))):
                shown_in.data_tracks.forward(participant.sid, data)
            return
        if label not in (RELIABLE, LOSSY):
            # Other labels are no part of the protocol.
            return
        self._services.tally.data_received[label] += 1
        try:
            self.route_data(participant.data_sender, label, data)
            for room, guest in self.windows.of(participant.sid):
                room.route_data(guest.data_sender, label, data)
        except ProtocolError as error:
            self._services.tally.data_dropped += 1
            participant.note_fault("data packet dropped", error.reason)

    def data_track_requested(self, participant: Participant, request: rtc.SignalRequest) -> None:
        """Publish, unpublish or subscribe to data tracks."""
        self.data_tracks.handle_request(participant, request)

    def _data_tracks_changed(self, participant: Participant) -> None:
        participant.data_tracks = self.data_tracks.infos(participant)
        participant.bump()
        self._broadcast_update(participant, to_self=True)
        for room, _ in self.windows.of(participant.sid):
            room.data_tracks.show(participant)
        self._schedule_room_update()

    # --- what the server API does

    def send_data(self, user: models.UserPacket, label: str) -> None:
        """Deliver a packet that nobody here sent; `ProtocolError` when it is too large."""
        routed = self._router.route_from_server(user, label, self._sids())
        if routed is not None:
            self._deliver(routed)

    def set_metadata(self, metadata: str) -> None:
        """Change the room's metadata and tell everybody."""
        self.info.metadata = metadata
        if self._update_timer is not None:
            self._update_timer.cancel()
        self._send_room_update()

    def forward(self, participant: Participant, target: Room) -> None:
        """Show one of ours in another room too; once is enough."""
        if self.windows.is_shown(participant.sid, target):
            return
        guest = Guest(participant, self)
        target.guests[guest.sid] = guest
        self.windows.open(guest, target)
        target.guest_changed(guest, may_wait=False)
        for publication in participant.publisher.publications.values():
            target.offer_track(guest, publication)
        target.data_tracks.show(participant)
        target._schedule_room_update()

    def guest_changed(self, guest: Guest, *, may_wait: bool) -> None:
        """Tell everybody of a guest."""
        if not guest.is_hidden:
            self._tell_others(guest, may_wait=may_wait)

    def end_guest(self, guest: Guest, reason: int) -> None:
        """Show a guest no longer."""
        if self.guests.pop(guest.sid, None) is None:
            return
        guest.home.windows.close(guest.sid, self)
        self.data_tracks.hide(guest.sid)
        self._batch.forget(guest.sid)
        for other in self.participants.values():
            for track_sid in guest.publisher.publications:
                other.subscriber.forget(track_sid)
        if not guest.is_hidden:
            gone = _departed(guest.snapshot(), reason)
            self._broadcast(rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=[gone])))
        self._last_left_s = self._loop.time()
        self._schedule_room_update()

    def release(self, participant: Participant) -> None:
        """Let somebody go who moves on to another room: here it has left."""
        for publication in participant.publisher.publications.values():
            for other in self.participants.values():
                other.subscriber.forget(publication.sid)
        participant.former_rooms.append(self.name)
        departed = participant.snapshot()
        self.data_tracks.leave(participant)
        for publication_info in departed.tracks:
            self._services.reports.track_unpublished(self.snapshot(), departed, publication_info)
        del self.participants[participant.sid]
        if self._gates is not None:
            self._gates.participant_left(self, participant, Reasons.MIGRATION)
        self._forget(participant, Reasons.MIGRATION)
        self.agents.participant_left(participant, Reasons.MIGRATION)
        departed = _departed(departed, Reasons.MIGRATION)
        if not participant.is_hidden:
            update = rtc.ParticipantUpdate(participants=[departed])
            self._broadcast(rtc.SignalResponse(update=update))
        # Some SDKs keep the people of the old room unless they are told of each.
        others = [_departed(info, Reasons.MIGRATION) for info in self._visible()]
        if others:
            update = rtc.ParticipantUpdate(participants=others)
            participant.send(rtc.SignalResponse(update=update))
        self._services.reports.participant_left(
            self.snapshot(), departed, was_active=participant.was_active
        )
        self._schedule_room_update()

    def adopt(
        self, participant: Participant, data_tracks: Sequence[models.DataTrackInfo] = ()
    ) -> None:
        """Take in somebody who comes from another room with all its connections."""
        guest = self.guest_by_identity(participant.identity)
        if guest is not None:
            self.end_guest(guest, Reasons.MIGRATION)
        others = self._visible()
        participant.move_to(self, self._media)
        self.participants[participant.sid] = participant
        self._had_people = self._had_people or not participant.is_dependent
        if self._gates is not None:
            self._gates.participant_entered(self, participant)
        participant.data_tracks = data_tracks
        participant.send(
            rtc.SignalResponse(
                room_moved=rtc.RoomMovedResponse(
                    room=self.snapshot(),
                    token=self._services.refresh_token(participant.claims, participant.info),
                    participant=participant.snapshot(),
                    other_participants=others,
                )
            )
        )
        self._broadcast_update(participant, to_self=False)
        if participant.settings.auto_subscribe:
            self._subscribe_to_all(participant)
        self.data_tracks.join(participant, data_tracks)
        reports = self._services.reports
        if participant.is_active:
            reports.participant_joined(self.snapshot(), participant.snapshot())
        for publication in participant.publisher.publications.values():
            self.offer_track(participant, publication)
            if publication.is_announced:
                reports.track_published(self.snapshot(), participant.snapshot(), publication.info)
        self._schedule_room_update()
        self.agents.participant_joined(participant)
        if participant.is_publisher:
            self.agents.participant_published(participant)
        log.info("participant moved in", room=self.info.sid, participant=participant.sid)

    # --- inside

    def _visible(self) -> list[models.ParticipantInfo]:
        return [person.snapshot() for person in self.people if not person.is_hidden]

    def _person(self, sid: str) -> Participant | Guest | None:
        return self.participants.get(sid) or self.guests.get(sid)

    def _forget(self, participant: Participant, reason: int) -> None:
        """Let go of what is kept of somebody who is no longer here."""
        self.calls.handle_left(participant.sid)
        self._batch.forget(participant.sid)
        for room, guest in self.windows.of(participant.sid):
            room.end_guest(guest, reason)
        self._last_left_s = self._loop.time()

    def offer_track(self, publisher: Participant | Guest, publication: Publication) -> None:
        """Subscribe those who want everything."""
        for other in self.participants.values():
            if other.settings.auto_subscribe:
                self._subscribe(other, publisher, publication)

    def route_data(self, sender: DataSender, label: str, data: bytes) -> None:
        """Route a packet to the people here; `ProtocolError` when it is none."""
        routed = self._router.route(sender, label, data, self._sids())
        if routed is not None:
            self._deliver(routed, sender.sid)
        else:
            self._services.tally.data_dropped += 1

    def _sids(self) -> Mapping[str, str]:
        return {p.identity: p.sid for p in self.participants.values()}

    def _deliver(self, routed: RoutedPacket, sender_sid: str = "") -> None:
        sender = self._person(sender_sid)
        flow = sender.data_flow if sender is not None else None
        if flow is not None:
            flow.note_receivers(routed.label, len(routed.to))
        receivers = [self.participants[sid] for sid in routed.to]
        self._services.tally.data_sent[routed.label] += len(receivers)
        for receiver in receivers:
            receiver.send_data(routed.label, routed.data, flow)

    def _publications(self) -> Mapping[str, tuple[Participant | Guest, Publication]]:
        return {
            publication.sid: (participant, publication)
            for participant in self.people
            for publication in participant.publisher.publications.values()
            if publication.is_announced
        }

    def _subscribe_to_all(self, participant: Participant) -> None:
        for publisher, publication in self._publications().values():
            self._subscribe(participant, publisher, publication)

    def _subscribe(
        self, subscriber: Participant, publisher: Participant | Guest, publication: Publication
    ) -> None:
        if subscriber is publisher or not publication.is_announced:
            return
        if publisher.is_hidden:
            # Nobody has heard of it: clients drop such media.
            return
        if self._may_subscribe(subscriber, publisher, publication.sid):
            subscriber.subscriber.subscribe(publication)
        elif publication.sid not in subscriber.subscriber.withheld:
            subscriber.subscriber.withheld.add(publication.sid)
            if subscriber.info.permission.can_subscribe:
                self._send_permission(subscriber, publisher, publication, allowed=False)

    def _may_subscribe(
        self, subscriber: Participant, publisher: Participant | Guest, track_sid: str
    ) -> bool:
        return (
            subscriber.info.permission.can_subscribe
            and not publisher.is_hidden
            and publisher.rules.allows(
                sid=subscriber.sid, identity=subscriber.identity, track_sid=track_sid
            )
        )

    def _send_permission(
        self,
        to: Participant,
        publisher: Participant | Guest,
        publication: Publication,
        *,
        allowed: bool,
    ) -> None:
        to.send(
            rtc.SignalResponse(
                subscription_permission_update=rtc.SubscriptionPermissionUpdate(
                    participant_sid=publisher.sid, track_sid=publication.sid, allowed=allowed
                )
            )
        )

    def _broadcast_update(
        self, participant: Participant, *, to_self: bool, may_wait: bool = False
    ) -> None:
        update = _update_of(participant)
        if to_self:
            participant.send(update)
        if not participant.is_hidden:
            self._tell_others(participant, may_wait=may_wait, update=update)
            participant.told_bytes += update.ByteSize()
        for room, guest in self.windows.of(participant.sid):
            room.guest_changed(guest, may_wait=may_wait)

    def _tell_others(
        self,
        person: Participant | Guest,
        *,
        may_wait: bool,
        update: rtc.SignalResponse | None = None,
    ) -> None:
        people, now_s = len(self.participants), self._loop.time()
        if self._batch.handle_change(person.sid, may_wait=may_wait, people=people, now_s=now_s):
            self._broadcast(update or _update_of(person), except_sid=person.sid)
        else:
            self._schedule_batch()

    def _broadcast(self, response: rtc.SignalResponse, *, except_sid: str = "") -> None:
        for sid, participant in self.participants.items():
            if sid != except_sid:
                participant.send(response)

    def _schedule_batch(self) -> None:
        deadline_s = self._batch.deadline_s
        if self._batch_timer is None and deadline_s is not None and not self.is_closed:
            self._batch_timer = self._loop.call_at(deadline_s, self._send_batch)

    def _send_batch(self) -> None:
        self._batch_timer = None
        known = (self._person(sid) for sid in self._batch.handle_deadline(self._loop.time()))
        infos = [p.snapshot() for p in known if p is not None and not p.is_hidden]
        if infos:
            self._broadcast(rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=infos)))
        self._schedule_batch()

    def _schedule_room_update(self) -> None:
        if self._update_timer is None and not self.is_closed:
            self._update_timer = self._loop.call_later(ROOM_UPDATE_DELAY_S, self._send_room_update)

    def _send_room_update(self) -> None:
        self._update_timer = None
        self._broadcast(rtc.SignalResponse(room_update=rtc.RoomUpdate(room=self.snapshot())))

    def _on_speakers(self, deltas: Iterable[tuple[str, float, bool]]) -> None:
        """Tell each who speaks among those it listens to, itself included."""
        deltas = list(deltas)
        shown: dict[Room, list[tuple[str, float, bool]]] = {self: deltas}
        for delta in deltas:
            for room, _ in self.windows.of(delta[0]):
                shown.setdefault(room, []).append(delta)
        for room, heard in shown.items():
            room.tell_speakers(heard)

    def tell_speakers(self, deltas: Iterable[tuple[str, float, bool]]) -> None:
        """Tell the people here."""
        speakers = {
            sid: models.SpeakerInfo(sid=sid, level=level, active=active)
            for sid, level, active in deltas
        }
        if not speakers:
            return
        people = {person.sid: person for person in self.people if person.sid in speakers}
        tracks = {sid: set(person.publisher.publications) for sid, person in people.items()}
        for participant in self.participants.values():
            heard = participant.subscriber.track_sids
            chosen = [
                speaker
                for sid, speaker in speakers.items()
                if sid == participant.sid or tracks.get(sid, set()) & heard
            ]
            if chosen:
                chosen.sort(key=lambda speaker: -speaker.level)
                participant.send(
                    rtc.SignalResponse(speakers_changed=rtc.SpeakersChanged(speakers=chosen))
                )


def _update_of(person: Participant | Guest) -> rtc.SignalResponse:
    return rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=[person.snapshot()]))


def _departed(info: models.ParticipantInfo, reason: int) -> models.ParticipantInfo:
    """Return the last word on somebody."""
    departed = models.ParticipantInfo()
    departed.CopyFrom(info)
    del departed.tracks[:]
    del departed.data_tracks[:]
    departed.is_publisher = False
    departed.state = States.DISCONNECTED
    departed.disconnect_reason = reason  # type: ignore[assignment]  # enums are ints
    return departed
