"""A room as this participant sees it: the model of people and tracks, kept by the session's facts.

The room belongs to the loop that called `connect`, and its events are emitted there. What happens
while `connect` still runs is emitted right after it returned, so that a script may register
handlers before or after. Each decision about one participant's update lives in `updates.py`.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Collection, Mapping, Sequence

import structlog
from livekit.protocol import models as lk
from livekit.protocol import rtc as lk_rtc

from app.engine.emitter import EventEmitter
from app.engine.enums import (
    ConnectionState,
    DataPacketKind,
    DisconnectReason,
    SimulateScenarioKind,
    StreamState,
)
from app.engine.frame_processor import FrameContext
from app.engine.local_participant import LocalParticipant
from app.engine.options import RoomOptions
from app.engine.participant import Participant, RemoteParticipant
from app.engine.publication import RemoteTrackPublication
from app.engine.room_types import (
    ConnectError,
    DataPacket,
    DataTrackEvents,
    EventTypes,
    RtcStats,
    SipDTMF,
)
from app.engine.room_wishes import check_rtc_config, scenario_request, session_options
from app.engine.rpc import RpcDesk
from app.engine.session import AudioRtpReceiver, Session, VideoRtpReceiver
from app.engine.speakers import Speakers
from app.engine.stats_report import transport_report
from app.engine.stream_desk import StreamDesk
from app.engine.stream_sending import send_text
from app.engine.streams import ByteStreamHandler, TextStreamHandler
from app.engine.track import RemoteAudioTrack, RemoteVideoTrack
from app.engine.transcription import segment_of
from app.engine.unbuilt import E2EEManager
from app.engine.updates import describe_changes
from app.engine.wire import connection_quality, disconnect_reason
from app.protocol import compat
from app.protocol.rpc import TOPICS as RPC_TOPICS
from app.protocol.streams.assembler import MAX_STREAM_BYTES
from app.protocol.streams.negotiation import StreamForm, form_for
from app.runtime.errors import WorldError
from app.runtime.tasks import TaskOwner

log = structlog.get_logger(__name__)

# After these somebody may be back in a moment, as the same person with the same data tracks.
_PERHAPS_BACK = frozenset(
    {
        DisconnectReason.UNKNOWN_REASON,
        DisconnectReason.DUPLICATE_IDENTITY,
        DisconnectReason.SERVER_SHUTDOWN,
        DisconnectReason.STATE_MISMATCH,
        DisconnectReason.MIGRATION,
        DisconnectReason.SIGNAL_CLOSE,
        DisconnectReason.CONNECTION_TIMEOUT,
        DisconnectReason.MEDIA_FAILURE,
    }
)
_VIDEO_CODECS = {"video/vp8": "VP8", "video/h264": "H264"}


class Room(EventEmitter[EventTypes]):
    """One room, joined at most once at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__()
        self._loop = loop
        self._info = lk.Room()
        self._session: Session | None = None
        self._connection_state = ConnectionState.CONN_DISCONNECTED
        self._local_participant: LocalParticipant | None = None
        self._remote_participants: dict[str, RemoteParticipant] = {}
        self._speakers = Speakers()
        # Whether the server is one that lets nobody call himself host.
        self.keeps_roles = False
        self._waiting_for_sid: list[asyncio.Future[str]] = []
        self._held: list[tuple[EventTypes, tuple[object, ...]]] | None = None
        self._dynacast = False
        self._url = ""
        self._token = ""
        self._tasks = TaskOwner("room")
        self._streams = StreamDesk()
        self._rpc = RpcDesk(
            self._send_packet,
            self._tasks,
            send_text=self._send_rpc_text,
            protocol_of=self._protocol_of,
        )
        self._streams.reserve_text(RPC_TOPICS, self._rpc.handle_stream)
        self._e2ee_manager = E2EEManager(0, None)

    # What it is

    @property
    async def sid(self) -> str:
        """The server's name for the room, which may come later than the welcome."""
        if self._info.sid:
            return self._info.sid
        waiter: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting_for_sid.append(waiter)
        return await waiter

    @property
    def session(self) -> Session | None:
        """The connection beneath, None before and after."""
        return self._session

    @property
    def local_participant(self) -> LocalParticipant:
        """Oneself; only after `connect`."""
        if self._local_participant is None:
            raise Exception("cannot access local participant before connecting")
        return self._local_participant

    @property
    def connection_state(self) -> ConnectionState:
        """How the room stands with the server."""
        return self._connection_state

    @property
    def remote_participants(self) -> Mapping[str, RemoteParticipant]:
        """The others, by identity."""
        return self._remote_participants

    @property
    def name(self) -> str:
        """The room's name."""
        return self._info.name

    @property
    def metadata(self) -> str:
        """Free text of the application."""
        return self._info.metadata

    @property
    def e2ee_manager(self) -> E2EEManager:
        """End-to-end encryption; off."""
        return self._e2ee_manager

    @property
    def num_participants(self) -> int:
        """How many people the server counts; it tells now and then."""
        return self._info.num_participants

    @property
    def num_publishers(self) -> int:
        """How many of them publish."""
        return self._info.num_publishers

    @property
    def creation_time(self) -> datetime.datetime:
        """When the room was made."""
        milliseconds = self._info.creation_time_ms or self._info.creation_time * 1000
        return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)

    @property
    def is_recording(self) -> bool:
        """Whether somebody records."""
        return self._info.active_recording

    @property
    def departure_timeout(self) -> float:
        """Seconds for which the room stays after the last person left."""
        return float(self._info.departure_timeout)

    @property
    def empty_timeout(self) -> float:
        """Seconds for which the room waits for the first person."""
        return float(self._info.empty_timeout)

    def isconnected(self) -> bool:
        """Say whether the room is joined, a reconnect included."""
        return self._connection_state != ConnectionState.CONN_DISCONNECTED

    # What one does with it

    async def connect(
        self,
        url: str,
        token: str,
        options: RoomOptions = RoomOptions(),  # noqa: B008 - the SDK's signature; never changed
    ) -> None:
        """Join; raises `ConnectError`."""
        if options.encryption or options.e2ee:
            raise NotImplementedError("end-to-end encryption")
        if options.rtc_config is not None:
            check_rtc_config(options.rtc_config)
        if self._session is not None:
            raise RuntimeError("the room is joined already")
        self._loop = asyncio.get_running_loop()
        limit = options.data_stream and options.data_stream.max_payload_byte_length
        self._streams.reset(max_bytes=limit or MAX_STREAM_BYTES)
        self._dynacast = options.dynacast
        self._url, self._token = url, token
        self._held = []
        session = Session(self)
        session.data_tracks.remote.emit = self._emit_data_track
        self._session = session
        try:
            await session.connect(url, token, session_options(options))
        except WorldError as error:
            self._forget()
            raise ConnectError(str(error)) from error
        except BaseException:
            await session.close()
            self._forget()
            raise
        self._set_state(ConnectionState.CONN_CONNECTED)
        self._emit("connected")
        self._loop.call_soon(self._release_held)

    async def disconnect(
        self, *, reason: DisconnectReason | int = DisconnectReason.CLIENT_INITIATED
    ) -> None:
        """Leave."""
        session = self._session
        if session is None:
            return
        self._end(DisconnectReason(reason))
        await session.close()
        await self._tasks.close()
        self._tasks = TaskOwner("room")
        self._rpc.set_tasks(self._tasks)

    async def get_rtc_stats(self) -> RtcStats:
        """Return reports on everything that is sent and received."""
        if self._session is None or not self.isconnected():
            raise RuntimeError("the room isn't connected")
        transports = (await self._session.get_stats()).transports
        sent = [transport_report(each) for each in transports if each.name != "subscriber"]
        received = [transport_report(each) for each in transports]
        for publication in self.local_participant.track_publications.values():
            if publication.track is not None:
                sent.extend(await publication.track.get_stats())
        for participant in self._remote_participants.values():
            for remote in participant.track_publications.values():
                if remote.track is not None:
                    received.extend(await remote.track.get_stats())
        return RtcStats(publisher_stats=sent, subscriber_stats=received)

    def register_byte_stream_handler(self, topic: str, handler: ByteStreamHandler) -> None:
        """Take byte streams of a topic; one handler a topic."""
        self._streams.register_bytes(topic, handler)

    def unregister_byte_stream_handler(self, topic: str) -> None:
        """Ignore byte streams of a topic."""
        self._streams.unregister_bytes(topic)

    def register_text_stream_handler(self, topic: str, handler: TextStreamHandler) -> None:
        """Take text streams of a topic; one handler a topic."""
        self._streams.register_text(topic, handler)

    def unregister_text_stream_handler(self, topic: str) -> None:
        """Ignore text streams of a topic."""
        self._streams.unregister_text(topic)

    async def simulate_scenario(self, scenario: SimulateScenarioKind | int) -> None:
        """Ask for trouble, in tests."""
        if self._session is None or not self.isconnected():
            raise RuntimeError("simulate_scenario requires a connected room")
        if int(scenario) == SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT:
            self._session.drop_signal()
            return
        self._session.simulate(scenario_request(scenario))

    def on(
        self, event: EventTypes, callback: Callable[..., object] | None = None
    ) -> Callable[..., object]:
        """Register a handler; arguments of each event are those of the official SDK."""
        return super().on(event, callback)

    # Events

    def _emit(self, event: EventTypes, *args: object) -> None:
        if self._held is not None:
            self._held.append((event, args))
            return
        try:
            self.emit(event, *args)
        except TypeError:
            log.exception("event handler cannot be called", event_name=event)

    def _release_held(self) -> None:
        held, self._held = self._held or [], None
        for event, args in held:
            self._emit(event, *args)

    def _set_state(self, state: ConnectionState) -> None:
        if state != self._connection_state:
            self._connection_state = state
            self._emit("connection_state_changed", state)

    async def _send_packet(self, packet: lk.DataPacket) -> None:
        packet.participant_identity = self.local_participant.identity
        await self.local_participant.send_packet(packet)

    async def _send_rpc_text(
        self, topic: str, destination: str, text: str, attributes: Mapping[str, str]
    ) -> None:
        await send_text(
            self.local_participant,
            text,
            topic=topic,
            attributes=attributes,
            destinations=[destination],
        )

    def _protocol_of(self, identity: str) -> int:
        participant = self._remote_participants.get(identity)
        return participant.info.client_protocol if participant is not None else 0

    def _form_of(self, destinations: Collection[str]) -> StreamForm:
        people = {identity: p.info for identity, p in self._remote_participants.items()}
        return form_for(people, destinations)

    def _end(self, reason: DisconnectReason) -> None:
        """Come to rest after leaving or being left; the session is done with."""
        self._release_held()
        self._forget()
        self._set_state(ConnectionState.CONN_DISCONNECTED)
        self._emit("disconnected", reason)

    def _forget(self) -> None:
        self._held = None
        self._session = None
        if self._local_participant is not None:
            self._local_participant.release_tracks()
        for participant in self._remote_participants.values():
            for publication in participant.track_publications.values():
                if publication.track is not None:
                    publication.track.handle_end()
            participant.tell_watchers(None)
        self._streams.handle_disconnect()
        self._rpc.handle_disconnect()
        self._speakers = Speakers()

    # Facts of the session

    def on_joined(self, join: lk_rtc.JoinResponse, *, again: bool) -> None:
        """Take over the server's welcome."""
        self._take_room(join.room)
        self._rpc.set_server_version(join.server_info.version)
        self.keeps_roles = join.server_info.debug_info == compat.KEEPS_ROLES
        if self._local_participant is None or not again:
            assert self._session is not None
            self._remote_participants.clear()
            self._local_participant = LocalParticipant(
                self._session,
                join.participant,
                rpc=self._rpc,
                emit=self._emit,
                form_of=self._form_of,
            )
            for info in join.other_participants:
                self._add_participant(info)
                self._take_data_tracks(info)
            return
        self._local_participant.handle_info(join.participant)
        present = {info.identity for info in join.other_participants}
        for identity in [i for i in self._remote_participants if i not in present]:
            self._remove_participant(identity, DisconnectReason.UNKNOWN_REASON)
        self.on_update(join.other_participants)
        for participant in self._remote_participants.values():
            for publication in participant.track_publications.values():
                publication.repeat_requests()

    def on_update(self, participants: Sequence[lk.ParticipantInfo]) -> None:
        """Take over what changed about people."""
        for info in participants:
            local = self._local_participant
            if local is not None and info.identity == local.identity:
                if info.sid == local.sid or not info.sid:
                    self._update(local, info)
                continue
            self._update_remote(info)

    def _update_remote(self, info: lk.ParticipantInfo) -> None:
        known = self._remote_participants.get(info.identity)
        if info.state == lk.ParticipantInfo.DISCONNECTED:
            # A late farewell of an earlier stay must not end the present one.
            if known is not None and known.sid == info.sid:
                self._remove_participant(info.identity, disconnect_reason(info.disconnect_reason))
            return
        if known is not None and known.sid != info.sid:
            self._remove_participant(info.identity, DisconnectReason.UNKNOWN_REASON)
            known = None
        if known is None:
            participant = self._add_participant(info)
            self._emit("participant_connected", participant)
            for publication in list(participant.track_publications.values()):
                self._emit("track_published", publication, participant)
            if info.state == lk.ParticipantInfo.ACTIVE:
                self._emit("participant_active", participant)
            self._take_data_tracks(info)
            return
        self._update(known, info)

    def _add_participant(self, info: lk.ParticipantInfo) -> RemoteParticipant:
        participant = RemoteParticipant(info)
        self._remote_participants[info.identity] = participant
        for track in info.tracks:
            self._add_publication(participant, track)
        return participant

    def _add_publication(
        self, participant: RemoteParticipant, track: lk.TrackInfo
    ) -> RemoteTrackPublication:
        assert self._session is not None
        publication = RemoteTrackPublication(track, participant.sid, self._session)
        participant.add_publication(publication)
        return publication

    def _update(self, participant: Participant, info: lk.ParticipantInfo) -> None:
        old = participant.info
        if info.version and old.version and info.version < old.version:
            return
        changes = describe_changes(old, info)
        participant.handle_info(info)
        if changes.name is not None:
            self._emit("participant_name_changed", participant, changes.name, info.name)
        if changes.metadata is not None:
            self._emit("participant_metadata_changed", participant, changes.metadata, info.metadata)
        if changes.attributes:
            self._emit("participant_attributes_changed", changes.attributes, participant)
        if changes.permission:
            self._emit("participant_permissions_changed", participant, participant.permissions)
        if isinstance(participant, RemoteParticipant):
            if changes.became_active:
                self._emit("participant_active", participant)
            self._update_tracks(participant, info)
            self._take_data_tracks(info)
        elif isinstance(participant, LocalParticipant):
            for track in info.tracks:
                publication = participant.track_publications.get(track.sid)
                if publication is not None:
                    muted = publication.muted
                    publication.handle_info(track)
                    publication.handle_muted(muted)

    def _take_data_tracks(self, info: lk.ParticipantInfo) -> None:
        if self._session is not None:
            self._session.data_tracks.remote.handle_person(info.identity, info.data_tracks)

    def _emit_data_track(self, event: DataTrackEvents, value: object) -> None:
        self._emit(event, value)

    def _update_tracks(self, participant: RemoteParticipant, info: lk.ParticipantInfo) -> None:
        for track in info.tracks:
            publication = participant.track_publications.get(track.sid)
            if publication is None:
                publication = self._add_publication(participant, track)
                self._emit("track_published", publication, participant)
                continue
            was_muted = publication.muted
            publication.handle_info(track)
            if track.muted != was_muted:
                publication.handle_muted(track.muted)
                event: EventTypes = "track_muted" if track.muted else "track_unmuted"
                self._emit(event, participant, publication)
        present = {track.sid for track in info.tracks}
        for sid in [s for s in participant.track_publications if s not in present]:
            self._remove_publication(participant, sid)

    def _remove_publication(self, participant: RemoteParticipant, sid: str) -> None:
        publication = participant.track_publications[sid]
        self._end_subscription(participant, publication)
        participant.remove_publication(sid)
        self._emit("track_unpublished", publication, participant)

    def _end_subscription(
        self, participant: RemoteParticipant, publication: RemoteTrackPublication
    ) -> None:
        track = publication.track
        if track is None:
            return
        track.handle_end()
        publication.attach_track(None)
        self._emit("track_unsubscribed", track, publication, participant)

    def _remove_participant(self, identity: str, reason: DisconnectReason) -> None:
        participant = self._remote_participants.pop(identity)
        for sid in list(participant.track_publications):
            self._remove_publication(participant, sid)
        participant.info.state = lk.ParticipantInfo.DISCONNECTED
        participant.info.disconnect_reason = int(reason)  # type: ignore[assignment]
        participant.tell_watchers(None)
        if self._speakers.handle(participant.sid, None):
            self._emit_speakers()
        if self._session is not None:
            may_return = reason in _PERHAPS_BACK
            self._session.data_tracks.remote.handle_left(identity, may_return=may_return)
        self._streams.handle_sender_left(identity)
        self._rpc.handle_participant_left(identity)
        self._emit("participant_disconnected", participant)

    def on_room_update(self, room: lk.Room) -> None:
        """Take over what changed about the room."""
        old_metadata = self._info.metadata
        self._take_room(room)
        if room.metadata != old_metadata:
            self._emit("room_metadata_changed", old_metadata, room.metadata)
        self._emit("room_updated")

    def _take_room(self, room: lk.Room) -> None:
        self._info = room
        if room.sid:
            waiting, self._waiting_for_sid = self._waiting_for_sid, []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(room.sid)

    def on_room_moved(self, moved: lk_rtc.RoomMovedResponse) -> None:
        """Take over another room's people; media goes on."""
        self._take_room(moved.room)
        if moved.HasField("participant") and self._local_participant is not None:
            self._local_participant.handle_info(moved.participant)
        present = {info.identity for info in moved.other_participants}
        for identity in [i for i in self._remote_participants if i not in present]:
            self._remove_participant(identity, DisconnectReason.UNKNOWN_REASON)
        self.on_update(moved.other_participants)
        self._emit("moved")

    def on_track(
        self,
        participant_sid: str,
        track_sid: str,
        receiver: AudioRtpReceiver | VideoRtpReceiver,
    ) -> None:
        """Take over the media of a publication."""
        found = self._find(track_sid)
        if found is None:
            log.warning("media of an unknown track", track=track_sid)
            return
        participant, publication = found
        self._end_subscription(participant, publication)
        track: RemoteAudioTrack | RemoteVideoTrack
        if isinstance(receiver, AudioRtpReceiver):
            track = RemoteAudioTrack(
                receiver, sid=track_sid, name=publication.name, muted=publication.muted
            )
        else:
            track = RemoteVideoTrack(
                receiver,
                sid=track_sid,
                name=publication.name,
                muted=publication.muted,
                codec=_VIDEO_CODECS.get(publication.mime_type.lower(), "VP8"),
            )
        track.handle_context(self._context_of(participant, track_sid))
        publication.attach_track(track)
        self._emit("track_subscribed", track, publication, participant)
        participant.tell_watchers(publication)

    def on_track_removed(self, track_sid: str) -> None:
        """Take note that media of a publication has ended."""
        found = self._find(track_sid)
        if found is not None:
            self._end_subscription(*found)

    def _context_of(self, participant: Participant, track_sid: str) -> FrameContext:
        return FrameContext(self.name, participant.identity, track_sid, self._token, self._url)

    def _find(self, track_sid: str) -> tuple[RemoteParticipant, RemoteTrackPublication] | None:
        for participant in self._remote_participants.values():
            publication = participant.track_publications.get(track_sid)
            if publication is not None:
                return participant, publication
        return None

    def on_data(self, packet: lk.DataPacket, reliable: bool) -> None:
        """Hand a packet to whom it concerns."""
        sender = self._remote_participants.get(packet.participant_identity)
        match packet.WhichOneof("value"):
            case "user":
                kind = DataPacketKind.KIND_RELIABLE if reliable else DataPacketKind.KIND_LOSSY
                self._emit(
                    "data_received",
                    DataPacket(packet.user.payload, kind, sender, packet.user.topic),
                )
            case "sip_dtmf":
                tone = packet.sip_dtmf
                self._emit("sip_dtmf_received", SipDTMF(tone.code, tone.digit, sender))
            case "transcription":
                self._handle_transcription(packet.transcription)
            case "stream_header" | "stream_chunk" | "stream_trailer":
                self._streams.handle_packet(packet)
            case "rpc_request" | "rpc_ack" | "rpc_response":
                self._rpc.handle_packet(packet)
            case _:
                return

    def _handle_transcription(self, transcription: lk.Transcription) -> None:
        segments = [segment_of(each) for each in transcription.segments]
        who = self._by_identity(transcription.transcribed_participant_identity)
        publication = None if who is None else who.track_publications.get(transcription.track_id)
        self._emit("transcription_received", segments, who, publication)

    def _by_identity(self, identity: str) -> Participant | None:
        local = self._local_participant
        if local is not None and identity == local.identity:
            return local
        return self._remote_participants.get(identity)

    def _by_sid(self, sid: str) -> Participant | None:
        local = self._local_participant
        if local is not None and sid == local.sid:
            return local
        return next((p for p in self._remote_participants.values() if p.sid == sid), None)

    def on_speakers(self, speakers: Sequence[lk.SpeakerInfo]) -> None:
        """Take over who began and ceased to speak."""
        for speaker in speakers:
            participant = self._by_sid(speaker.sid)
            if participant is not None:
                participant.handle_speaking(speaker.level if speaker.active else 0.0)
            is_heard = speaker.active and participant is not None
            self._speakers.handle(speaker.sid, speaker.level if is_heard else None)
        self._emit_speakers()

    def _emit_speakers(self) -> None:
        speaking = [self._by_sid(sid) for sid in self._speakers.loudest_first]
        self._emit("active_speakers_changed", [p for p in speaking if p is not None])

    def on_quality(self, updates: Sequence[lk_rtc.ConnectionQualityInfo]) -> None:
        """Take over how good connections are."""
        for update in updates:
            participant = self._by_sid(update.participant_sid)
            if participant is not None:
                quality = connection_quality(update.quality)
                participant.handle_quality(quality)
                self._emit("connection_quality_changed", participant, quality)

    def on_stream_states(self, states: Sequence[lk_rtc.StreamStateInfo]) -> None:
        """Take over what the server pauses."""
        for state in states:
            found = self._find(state.track_sid)
            if found is not None and found[1].track is not None:
                is_paused = state.state == lk_rtc.StreamState.PAUSED
                found[1].track.handle_stream_state(
                    StreamState.STATE_PAUSED if is_paused else StreamState.STATE_ACTIVE
                )

    def on_mute_request(self, track_sid: str, muted: bool) -> None:
        """Obey a moderator."""
        publication = self.local_participant.track_publications.get(track_sid)
        if publication is not None and publication.track is not None:
            if muted:
                publication.track.mute()
            else:
                publication.track.unmute()

    def on_local_unpublished(self, track_sid: str) -> None:
        """Take note that the server removed our track."""
        publication = self.local_participant.track_publications.get(track_sid)
        if publication is not None:
            self.local_participant.drop_publication(publication)

    def on_local_subscribed(self, track_sid: str) -> None:
        """Take note of a track's first subscriber."""
        publication = self.local_participant.track_publications.get(track_sid)
        if publication is not None:
            publication.handle_first_subscription()
            self._emit("local_track_subscribed", publication.track)

    def on_local_republished(self, old_track_sid: str, track: lk.TrackInfo) -> None:
        """Take over a track's new sid."""
        self.local_participant.rename_publication(old_track_sid, track)

    def on_subscription_permission(
        self, participant_sid: str, track_sid: str, allowed: bool
    ) -> None:
        """Take note of a permission; the subscription itself follows by its own facts."""
        log.debug("subscription permission", track=track_sid, allowed=allowed)

    def on_subscription_failed(self, track_sid: str, error: lk.SubscriptionError) -> None:
        """Tell that a subscription cannot be served."""
        found = self._find(track_sid)
        if found is not None:
            name = lk.SubscriptionError.Name(error)
            self._emit("track_subscription_failed", found[0], track_sid, name)

    def on_subscribed_quality(self, update: lk_rtc.SubscribedQualityUpdate) -> None:
        """Send only the layers that are watched, if dynacast was asked for."""
        if self._dynacast:
            self.local_participant.set_wanted_qualities(
                update.track_sid, update.subscribed_qualities
            )

    def on_token_refreshed(self, token: str) -> None:
        """Tell that there is a newer token."""
        self._token = token
        for participant in self._remote_participants.values():
            for publication in participant.track_publications.values():
                if publication.track is not None:
                    context = self._context_of(participant, publication.sid)
                    publication.track.handle_context(context)
        self._emit("token_refreshed")

    def on_reconnecting(self) -> None:
        """Tell that the connection is being made again."""
        self._set_state(ConnectionState.CONN_RECONNECTING)
        self._emit("reconnecting")

    def on_rejoining(self) -> None:
        """Take note that the session is a new one; the welcome tells what it is like."""

    def on_reconnected(self) -> None:
        """Tell that everything is back."""
        self._set_state(ConnectionState.CONN_CONNECTED)
        self._emit("reconnected")

    def on_disconnected(self, reason: lk.DisconnectReason, detail: str) -> None:
        """Come to rest: the session has ended by itself."""
        self._end(disconnect_reason(reason))

    def __repr__(self) -> str:
        return (
            f"rtc.Room(sid={self._info.sid or 'unknown'}, name={self.name}, "
            f"metadata={self.metadata}, connection_state={self._connection_state.name})"
        )
