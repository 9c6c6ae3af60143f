"""One meeting, from the handshake to the end: the room's events become the interface's.

A `Meeting` belongs to the engine thread. It drives the public door (`rtc.Room`) like any script
would, plus the tracks' lower halves for pictures and sound, and owns the chat's desk and transfers.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.engine import rtc
from app.engine.caption_desk import CaptionDesk
from app.engine.chat_desk import ChatDesk
from app.engine.dev_watch import DevWatch
from app.engine.enums import ConnectionQuality, DisconnectReason, TrackSource
from app.engine.events import (
    Caption,
    CaptionsChanged,
    EndCause,
    Event,
    JoinProgressed,
    JoinStage,
    MeetingEnded,
    MeetingJoined,
    MutedByHost,
    Person,
    Reconnected,
    ReconnectStarted,
    SpeakersChanged,
)
from app.engine.layer_wishes import LayerWishes
from app.engine.local_media import LocalMedia
from app.engine.local_participant import PublishTrackError
from app.engine.moderation import Moderation
from app.engine.people import Roster, person_of, video_kind
from app.engine.pictures import Pictures
from app.engine.playback import Playback
from app.engine.room_transfers import RoomTransfers
from app.engine.transfers import ReceivePolicy, Transfers
from app.media.frames import Picture
from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

_LEAVE_TIMEOUT_S = 3.0
_TILE_WATCH_S = 1.0
# The interface shows the last words of two people; others may have spoken between them.
MAX_SHOWN_CAPTIONS = 12
_CAUSES = {
    DisconnectReason.CLIENT_INITIATED: EndCause.LEFT,
    DisconnectReason.DUPLICATE_IDENTITY: EndCause.DUPLICATE,
    DisconnectReason.PARTICIPANT_REMOVED: EndCause.REMOVED,
    DisconnectReason.ROOM_DELETED: EndCause.ENDED,
    DisconnectReason.ROOM_CLOSED: EndCause.ENDED,
    DisconnectReason.SERVER_SHUTDOWN: EndCause.HOST_STOPPED,
}


def end_cause(reason: int) -> EndCause:
    """Say what a disconnect reason means to a person; whatever is not listed is a loss."""
    try:
        return _CAUSES.get(DisconnectReason(reason), EndCause.LOST)
    except ValueError:
        return EndCause.LOST


class _Room(rtc.Room):
    """The door's room, which also tells what the SDK's events leave out."""

    on_welcome: Callable[[], None] | None = None
    """The server has let us in; media is being set up."""
    on_session_lost: Callable[[], None] | None = None
    """The way back is a new session: what was on its way is lost. A resume does not tell this."""
    chat: ChatDesk | None = None
    """Sees packets that the SDK's events leave out, and what their readers leave out."""
    moderation: Moderation | None = None

    def register_call(
        self, method: str, handler: Callable[[rtc.RpcInvocationData], Awaitable[str]]
    ) -> None:
        """Answer calls of `method` from the first moment in the room."""
        self._rpc.register(method, handler)

    def on_joined(self, join: lk_rtc.JoinResponse, *, again: bool) -> None:
        super().on_joined(join, again=again)
        if self.on_welcome is not None and not again:
            self.on_welcome()

    def on_rejoining(self) -> None:
        super().on_rejoining()
        if self.on_session_lost is not None:
            self.on_session_lost()

    def on_data(self, packet: lk_models.DataPacket, reliable: bool) -> None:
        if self.chat is not None:
            self.chat.handle_packet(packet)
        super().on_data(packet, reliable)
        if self.moderation is not None:
            self.moderation.handle_data(packet)

    def on_mute_request(self, track_sid: str, muted: bool) -> None:
        # Nobody opens a person's microphone but that person.
        if muted:
            super().on_mute_request(track_sid, muted)
            if self.moderation is not None:
                self.moderation.handle_mute_request(track_sid)


class Meeting:
    """This person's stay in one room."""

    def __init__(
        self,
        *,
        post: Callable[[Event], None],
        local: LocalMedia,
        playback: Playback,
        pictures: Pictures,
        policy: Callable[[], ReceivePolicy],
        on_ended: Callable[[], None],
        typing_wished: Callable[[], bool] = lambda: True,
    ) -> None:
        self._post = post
        self._local = local
        self._playback = playback
        self._pictures = pictures
        self._policy = policy
        self._on_ended = on_ended
        self._owner = TaskOwner("meeting")
        self._room = _Room()
        self.dev_watch = DevWatch(self._room, self._owner)
        self._roster = Roster()
        self._layers = LayerWishes()
        self.moderation = self._room.moderation = Moderation(
            self._room, url=lambda: self._url, post=self._moderated, name_of=self._name_of
        )
        self._qualities: dict[str, int] = {}
        self._joined_at_ms: dict[str, int] = {}
        self._url = ""
        self._host_name = ""
        self._started_s = 0.0
        self._is_reconnecting = False
        self._connected = asyncio.Event()
        self._files = RoomTransfers(
            self._room,
            post=post,
            policy=policy,
            connected=self._connected,
            name_of=self._name_of,
            register_call=self._room.register_call,
        )
        self._transfers = self._files.transfers
        self._chat = ChatDesk(
            room=self._room,
            post=post,
            person=self._roster.get,
            connected=self._connected,
            typing_wished=typing_wished,
            take_file=self._files.handle_stream,
        )
        self._is_over = False
        self._ended = asyncio.Event()
        self._microphone: rtc.LocalAudioTrack | None = None
        self._camera: rtc.LocalVideoTrack | None = None
        self._captions = CaptionDesk(self._room, self._on_captions)
        self._listen()

    @property
    def room(self) -> rtc.Room:
        """The public door's room (statistics, headless participants)."""
        return self._room

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or is just ending."""
        return self._is_over

    @property
    def transfers(self) -> Transfers:
        """Files on their way."""
        return self._transfers

    @property
    def chat(self) -> ChatDesk:
        """What is said in writing."""
        return self._chat

    # -- entering and leaving ---------------------------------------------------------------

    async def join(self, url: str, token: str, *, host_name: str = "") -> None:
        """Connect and post `MeetingJoined`; nothing of one's own is published yet."""
        self._url = url
        self._host_name = host_name
        self._room.on_session_lost = self._on_session_lost
        self._room.chat = self._chat
        self._room.on_welcome = lambda: self._progress(JoinStage.SIGNED_IN)
        try:
            await self._room.connect(url, token, rtc.RoomOptions(auto_subscribe=True))
        except rtc.ConnectError as error:
            cause = error.__cause__
            raise (
                cause
                if isinstance(cause, WorldError)
                else WorldError(Reason.NO_ROUTE, retry=True, detail=str(error))
            ) from error
        self._started_s = time.monotonic()
        self._connected.set()
        self._progress(JoinStage.MEDIA_READY)
        self._roster.replace(self._everybody())
        log.info("joined", people=len(self._roster.people))
        self._post(
            MeetingJoined(
                room=self._room.name,
                me=self._room.local_participant.identity,
                host_name=self.host_name,
                people=self._roster.people,
            )
        )
        self._chat.handle_joined()
        self.moderation.begin()
        self._pictures.set_me(self._room.local_participant.identity)
        self._pictures.on_demand = self._ask_for_layers
        self._files.handle_joined()
        spawn(self._watch_tiles(), name="tiles", owner=self._owner)

    @property
    def host_name(self) -> str:
        """The host as the list knows it, else as the door said."""
        return self._roster.host_name or self._host_name

    async def leave(self, *, end_for_all: bool = False) -> None:
        """Leave, or end the meeting for everybody; DENIED without the right to."""
        if end_for_all:
            await self.moderation.end_for_all()
        cause = EndCause.ENDED if end_for_all else EndCause.LEFT
        await self._end(cause)

    async def retry_now(self) -> None:
        """Cut the wait for the next attempt short."""
        if self._is_reconnecting and self._room.session is not None:
            self._room.session.retry_now()

    async def abandon(self) -> None:
        """Take down a join that was given up, without an event."""
        self._is_over = True
        await self._release()

    async def _end(self, cause: EndCause, detail: str = "") -> None:
        if self._is_over:
            await self._ended.wait()
            return
        self._is_over = True
        name, host_name = self._room.name, self.host_name
        await self._release()
        log.info("meeting over", cause=str(cause))
        self._post(
            MeetingEnded(
                cause=cause,
                room=name,
                host_name=host_name,
                duration_s=time.monotonic() - self._started_s if self._started_s else 0.0,
                files_saved=self._transfers.files_saved,
                folder=self._policy().folder,
                detail=detail,
            )
        )
        self._on_ended()
        self._ended.set()

    async def _release(self) -> None:
        await self._transfers.aclose()
        await self._chat.aclose()
        await self._captions.aclose()
        await self._local.exit()
        self._playback.remove_all_voices()
        self._pictures.on_demand = None
        self._pictures.set_me("")
        self._pictures.drop_all_tracks()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_TIMEOUT_S):
                await self._room.disconnect()
        for identity in list(self._room.remote_participants):
            self._forget(identity)
        await self._owner.close()

    # -- one's own media (LocalMedia's outlet) ------------------------------------------------

    async def show_microphone(self, on: bool) -> None:
        """Publish or unmute, or mute."""
        if self._is_over:
            return
        if self._microphone is None:
            if not on:
                return
            source = rtc.AudioSource(48_000, 1, queue_size_ms=0)
            track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
            options = rtc.TrackPublishOptions(source=TrackSource.SOURCE_MICROPHONE)
            await self._publish(track, options)
            self._microphone = track
            self._local.pcm_sink = source.feed_pcm
        elif on:
            self._microphone.unmute()
        else:
            self._microphone.mute()
        self._refresh_me()

    async def show_camera(self, on: bool) -> None:
        """Publish or unmute, or mute."""
        if self._is_over:
            return
        if self._camera is None:
            if not on:
                return
            source = rtc.VideoSource(*self._local.size)
            track = rtc.LocalVideoTrack.create_video_track("camera", source)
            options = rtc.TrackPublishOptions(source=TrackSource.SOURCE_CAMERA)

            def feed(picture: Picture, _ts_rtp: int) -> None:
                source.feed_picture(picture)

            # Before it is published: nobody sees the black of a source without a picture.
            self._local.picture_sink = feed
            await self._publish(track, options)
            self._camera = track
        elif on:
            self._camera.unmute()
        else:
            self._camera.mute()
        self._refresh_me()

    async def _publish(self, track: rtc.LocalTrack, options: rtc.TrackPublishOptions) -> None:
        """Publish; a connection that drops meanwhile is waited for, a refusal is raised."""
        while not self._is_over:
            await self._connected.wait()
            try:
                await self._room.local_participant.publish_track(track, options)
            except PublishTrackError as error:
                if self._is_over or self._is_reconnecting:
                    continue
                if isinstance(error.__cause__, WorldError):
                    raise error.__cause__ from error
                raise WorldError(Reason.DENIED, detail=str(error)) from error
            return
        raise WorldError(Reason.PEER_GONE, detail="the meeting is over")

    async def set_name(self, name: str) -> None:
        """Change one's own name; DENIED when the token does not allow it."""
        await self._room.local_participant.set_name(name)

    # -- files ------------------------------------------------------------------------------

    async def send_file(self, path: Path, to: tuple[str, ...]) -> str:
        """Start to send a file; returns the transfer's id."""
        peer_name = self._name_of(to[0]) if len(to) == 1 else ""
        return await self._transfers.send(path, to=to, peer_name=peer_name)

    # -- layers -----------------------------------------------------------------------------

    async def _watch_tiles(self) -> None:
        """Tiles change their size without telling anybody but their slots."""
        while True:
            await asyncio.sleep(_TILE_WATCH_S)
            self._ask_for_layers()

    def _ask_for_layers(self) -> None:
        if self._is_over or self._is_reconnecting:
            return
        now_s = time.monotonic()
        seen: set[str] = set()
        for participant in self._room.remote_participants.values():
            for publication in participant.track_publications.values():
                kind = video_kind(publication.source)
                if kind is None or not isinstance(publication.track, rtc.RemoteVideoTrack):
                    continue
                seen.add(publication.sid)
                demand = self._pictures.demand(participant.identity, kind)
                wish = self._layers.handle_demand(publication.sid, demand, now_s)
                if wish is None:
                    continue
                if wish.size is not None:
                    publication.set_video_dimension(*wish.size)
                publication.set_enabled(wish.size is not None)
        self._layers.forget_all_but(seen)

    # -- the room's events --------------------------------------------------------------------

    def _listen(self) -> None:
        room = self._room
        room.on("track_published", lambda _publication, participant: self._refresh(participant))
        room.on("track_unpublished", lambda _publication, participant: self._refresh(participant))
        room.on("track_muted", lambda participant, _publication: self._refresh(participant))
        room.on("track_unmuted", lambda participant, _publication: self._refresh(participant))
        room.on("local_track_published", lambda *_: self._refresh_me())
        room.on("local_track_unpublished", lambda *_: self._refresh_me())
        room.on("participant_connected", self._refresh)
        room.on("participant_active", self._refresh)
        room.on("participant_name_changed", lambda participant, *_: self._refresh(participant))
        room.on(
            "participant_attributes_changed",
            lambda _changed, participant: self._refresh(participant),
        )
        room.on("participant_disconnected", self._on_left)
        room.on("connection_quality_changed", self._on_quality)
        room.on("track_subscribed", self._on_track)
        room.on("track_unsubscribed", self._on_track_gone)
        room.on("active_speakers_changed", self._on_speakers)
        room.on("reconnecting", self._on_reconnecting)
        room.on("reconnected", self._on_reconnected)
        room.on("disconnected", self._on_disconnected)
        self._chat.listen()

    def _on_captions(self, captions: tuple[Caption, ...]) -> None:
        if self._connected.is_set() and not self._is_over:
            latest = captions[-MAX_SHOWN_CAPTIONS:]
            named = tuple(replace(each, name=self._name_of(each.identity)) for each in latest)
            self._post(CaptionsChanged(named))

    def _refresh(self, participant: Any) -> None:
        if self._is_reconnecting or not self._connected.is_set() or self._is_over:
            return
        person = self._snapshot(participant)
        if person.is_me:
            self.moderation.handle_role(person.role)
        for event in self._roster.handle_person(person):
            self._post(event)

    def _refresh_me(self) -> None:
        self._refresh(self._room.local_participant)

    def _moderated(self, event: Event) -> None:
        """Pass on what the moderation tells; our own buttons follow a host who muted us."""
        self._post(event)
        match event:
            case MutedByHost(microphone=True):
                spawn(self._local.set_microphone(False), name="muted", owner=self._owner)
            case MutedByHost(camera=True):
                spawn(self._local.set_camera(False), name="stopped", owner=self._owner)
            case _:
                return

    def _snapshot(self, participant: Any) -> Person:
        identity = participant.identity
        now_ms = time.time_ns() // 1_000_000
        is_me = participant is self._room.local_participant
        return person_of(
            participant,
            is_me=is_me,
            # What one's own token says of oneself is nobody else's claim.
            has_role=is_me or self._room.keeps_roles,
            quality=self._qualities.get(identity, ConnectionQuality.QUALITY_EXCELLENT),
            joined_at_ms=self._joined_at_ms.setdefault(identity, now_ms),
        )

    def _everybody(self) -> list[Person]:
        others = list(self._room.remote_participants.values())
        return [self._snapshot(p) for p in [*others, self._room.local_participant]]

    def _name_of(self, identity: str) -> str:
        person = self._roster.get(identity)
        return person.name if person is not None else identity

    def _on_left(self, participant: Any) -> None:
        self._forget(participant.identity)
        if self._is_reconnecting or self._is_over:
            return
        self._joined_at_ms.pop(participant.identity, None)
        self._chat.handle_left(participant.identity)
        for event in self._roster.handle_left(participant.identity):
            self._post(event)

    def _forget(self, identity: str) -> None:
        self._qualities.pop(identity, None)
        self.moderation.forget(identity)

    def _on_quality(self, participant: Any, quality: int) -> None:
        self._qualities[participant.identity] = quality
        self._refresh(participant)

    def _on_track(self, track: rtc.RemoteTrack, publication: Any, participant: Any) -> None:
        if isinstance(track, rtc.RemoteAudioTrack):
            self._playback.add_voice(track)
            return
        kind = video_kind(publication.source)
        if kind is not None:
            self._pictures.set_track(participant.identity, kind, track)

    def _on_track_gone(self, track: rtc.RemoteTrack, _publication: Any, _participant: Any) -> None:
        if isinstance(track, rtc.RemoteAudioTrack):
            self._playback.remove_voice(track)
        else:
            self._pictures.drop_track(track)

    def _on_speakers(self, speakers: Any) -> None:
        loud = [(p.identity, float(p.audio_level)) for p in speakers]
        self._post(SpeakersChanged(tuple(sorted(loud, key=lambda s: -s[1]))))

    def _on_reconnecting(self) -> None:
        if self._is_over or self._is_reconnecting:
            return
        self._is_reconnecting = True
        self._connected.clear()
        self._post(ReconnectStarted())

    def _on_session_lost(self) -> None:
        self._chat.handle_connection_lost()

    def _on_reconnected(self) -> None:
        if self._is_over or not self._is_reconnecting:
            return
        self._is_reconnecting = False
        self._connected.set()
        self._roster.replace(self._everybody())
        self._files.handle_reconnected()
        self._post(Reconnected(self._roster.people))
        self._chat.handle_reconnected()

    def _on_disconnected(self, reason: int) -> None:
        if not self._is_over and self._started_s:
            spawn(self._end(end_cause(reason)), name="end", owner=self._owner)

    def _progress(self, stage: JoinStage) -> None:
        self._post(JoinProgressed(stage))
