"""A conversation with an agent, as the script or the window at the other end sees it.

`AgentSession` watches one room. It can connect it too: the microphone is recorded from before the
room is joined and what was said meanwhile reaches the agent (`preconnect.py`). The state is
derived in `agent_state.py`; here are only the room's events, the clock, and who waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from app.engine.agent_people import find_agent, find_track, find_worker
from app.engine.agent_state import AGENT_TIMEOUT_S, AgentLife, AgentState, spoken_state
from app.engine.caption_desk import CaptionDesk
from app.engine.emitter import EventEmitter
from app.engine.enums import ConnectionState, TrackKind, TrackSource
from app.engine.events import Caption
from app.engine.options import RoomOptions, TrackPublishOptions
from app.engine.participant import RemoteParticipant
from app.engine.preconnect import PreConnectBuffer, PreConnectSender
from app.engine.publication import RemoteTrackPublication
from app.engine.room import Room
from app.engine.streams import TextStreamInfo
from app.engine.track import LocalAudioTrack
from app.protocol.errors import ProtocolError
from app.protocol.token import peek_claims
from app.runtime.tasks import TaskOwner, spawn

AgentEvents = Literal["state_changed", "camera_changed", "microphone_changed", "captions_changed"]
TEXT_TOPIC = "lk.chat"
_WATCHED: tuple[Any, ...] = (
    "connected",
    "disconnected",
    "reconnecting",
    "reconnected",
    "participant_connected",
    "participant_disconnected",
    "participant_active",
    "participant_attributes_changed",
    "track_published",
    "track_unpublished",
    "track_subscribed",
    "track_unsubscribed",
    "local_track_published",
    "local_track_unpublished",
)


class AgentError(Exception):
    """There is no agent to wait for; `failures` say why."""

    def __init__(self, failures: list[str]) -> None:
        super().__init__(" ".join(failures) or "The session is over.")
        self.failures = failures


class AgentSession(EventEmitter[AgentEvents]):
    """One room's agent; belongs to the loop of the room.

    Events: `state_changed(AgentState)`, `camera_changed` and `microphone_changed` with a
    publication or None, `captions_changed(tuple[Caption, ...])`.
    """

    def __init__(self, room: Room | None = None, *, timeout_s: float = AGENT_TIMEOUT_S) -> None:
        super().__init__()
        self._room = room if room is not None else Room()
        self._life = AgentLife(timeout_s=timeout_s)
        self._owner = TaskOwner("agent-session")
        self._captions = CaptionDesk(self._room, lambda c: self.emit("captions_changed", c))
        self._timer: asyncio.TimerHandle | None = None
        self._is_starting = False
        self._told = AgentState.DISCONNECTED
        self._tracks: dict[TrackSource, RemoteTrackPublication | None] = {}
        self._agent: RemoteParticipant | None = None
        self._changed = asyncio.Event()
        self._is_closed = False
        for name in _WATCHED:
            self._room.on(name, self._refresh)
        self._refresh()

    # --- what it is

    @property
    def room(self) -> Room:
        """The room that is watched."""
        return self._room

    @property
    def state(self) -> AgentState:
        """Where the agent stands."""
        return self._life.state

    @property
    def failures(self) -> list[str]:
        """Why the state is `failed`, in words."""
        return self._life.failures

    @property
    def is_connected(self) -> bool:
        """Whether the agent takes part in the conversation."""
        return self.state.is_connected

    @property
    def can_listen(self) -> bool:
        """Whether what is said now reaches it, sooner or later."""
        return self.state.can_listen

    @property
    def is_pending(self) -> bool:
        """Whether it may be there soon."""
        return self.state.is_pending

    @property
    def is_finished(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state.is_finished

    @property
    def agent(self) -> RemoteParticipant | None:
        """The agent, while its name and tracks mean anything."""
        return self._agent if self.state.has_agent else None

    @property
    def worker(self) -> RemoteParticipant | None:
        """Who publishes in the agent's name, an avatar."""
        return find_worker(self._room, self.agent) if self.agent is not None else None

    @property
    def identity(self) -> str | None:
        """The agent's identity."""
        return self.agent.identity if self.agent is not None else None

    @property
    def name(self) -> str | None:
        """The agent's name."""
        return self.agent.name if self.agent is not None else None

    @property
    def metadata(self) -> str | None:
        """The agent's metadata."""
        return self.agent.metadata if self.agent is not None else None

    @property
    def attributes(self) -> dict[str, str]:
        """The agent's attributes."""
        return self._agent.attributes if self._agent is not None else {}

    @property
    def camera_track(self) -> RemoteTrackPublication | None:
        """The agent's picture, or its worker's."""
        return self._track(TrackSource.SOURCE_CAMERA)

    @property
    def microphone_track(self) -> RemoteTrackPublication | None:
        """The agent's voice, or its worker's."""
        return self._track(TrackSource.SOURCE_MICROPHONE)

    @property
    def captions(self) -> tuple[Caption, ...]:
        """What was said on both sides."""
        return self._captions.captions

    # --- what it does

    async def start(
        self,
        url: str,
        token: str,
        options: RoomOptions | None = None,
        *,
        microphone: LocalAudioTrack | None = None,
        pre_connect_buffer: bool = True,
    ) -> None:
        """Connect, publish the microphone, and wait for the agent if the token names one.

        Raises `ConnectError`, `PublishTrackError`, or `AgentError` when the agent fails.
        """
        buffer: PreConnectBuffer | None = None
        if microphone is not None and pre_connect_buffer:
            buffer = PreConnectBuffer(microphone.source)
            buffer.start()
        self._is_starting = True
        self._refresh()
        try:
            await self._room.connect(url, token, options or RoomOptions())
            if microphone is not None:
                await self._publish(microphone, buffer)
        except BaseException:
            if buffer is not None:
                buffer.stop()
            raise
        finally:
            self._is_starting = False
            self._refresh()
        if _names_agents(token):
            await self.wait_until_connected()

    async def end(self) -> None:
        """Leave the room."""
        await self._room.disconnect()
        self._refresh()

    async def send_text(self, text: str) -> TextStreamInfo:
        """Write to the agent; it answers like to something said."""
        if self.agent is None:
            raise AgentError(self.failures or ["There is no agent to write to."])
        return await self._room.local_participant.send_text(
            text, topic=TEXT_TOPIC, destination_identities=[self.agent.identity]
        )

    async def aclose(self) -> None:
        """Stop watching; the room stays as it is, and who waits is told."""
        self._is_closed = True
        self._changed.set()
        for name in _WATCHED:
            self._room.off(name, self._refresh)
        if self._timer is not None:
            self._timer.cancel()
        await self._captions.aclose()
        await self._owner.close()

    async def wait_until_connected(self) -> None:
        """Return when the agent takes part; `AgentError` when it fails or the session ends."""
        await self._wait_for_state(lambda state: state.is_connected)

    async def wait_until_could_be_listening(self) -> None:
        """Return when what is said reaches the agent, sooner or later; or `AgentError`."""
        await self._wait_for_state(lambda state: state.can_listen)

    async def wait_until_finished(self) -> None:
        """Return when nothing more comes of it."""
        while not self.is_finished and not self._is_closed:
            await self._changed.wait()

    async def wait_until_camera(self) -> RemoteTrackPublication:
        """Return the agent's picture when there is one; or `AgentError`."""
        return await self._wait_for_track(TrackSource.SOURCE_CAMERA)

    async def wait_until_microphone(self) -> RemoteTrackPublication:
        """Return the agent's voice when there is one; or `AgentError`."""
        return await self._wait_for_track(TrackSource.SOURCE_MICROPHONE)

    # --- inside

    async def _publish(self, track: LocalAudioTrack, buffer: PreConnectBuffer | None) -> None:
        options = TrackPublishOptions(
            source=TrackSource.SOURCE_MICROPHONE, preconnect_buffer=buffer is not None
        )
        publication = await self._room.local_participant.publish_track(track, options)
        if buffer is not None:
            sender = PreConnectSender(self._room, buffer, self._owner)
            spawn(sender.run(publication), name="pre-connect", owner=self._owner)

    def _refresh(self, *_: Any) -> None:
        """Look at the room again and tell what has changed."""
        loop = asyncio.get_running_loop()
        life, room = self._life, self._room
        is_up = self._is_starting or room.connection_state != ConnectionState.CONN_DISCONNECTED
        life.handle_room(is_up, loop.time())
        if is_up and room.isconnected():
            self._agent = find_agent(room)
            if self._agent is not None:
                life.handle_agent(spoken_state(self._agent.attributes))
            else:
                life.handle_agent_left()
            life.handle_microphone(_has_microphone(room))
        elif not is_up:
            self._agent = None
        self._set_timer(loop)
        if life.state is not self._told:
            self._told = life.state
            self.emit("state_changed", life.state)
        for source, event in _TRACK_EVENTS.items():
            track = self._track(source)
            if track is not self._tracks.get(source):
                self._tracks[source] = track
                self.emit(event, track)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._life.deadline_s is not None:
            self._timer = loop.call_at(self._life.deadline_s, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        # The loop may be early by its clock's resolution.
        now_s = max(asyncio.get_running_loop().time(), self._life.deadline_s or 0.0)
        self._life.handle_deadline(now_s)
        self._refresh()

    def _track(self, source: TrackSource) -> RemoteTrackPublication | None:
        agent = self.agent
        return find_track(self._room, agent, source) if agent is not None else None

    async def _wait_for_state(self, is_reached: Callable[[AgentState], bool]) -> None:
        has_begun = False
        while not is_reached(self.state):
            has_begun = self._check_alive(has_begun=has_begun)
            await self._changed.wait()

    async def _wait_for_track(self, source: TrackSource) -> RemoteTrackPublication:
        has_begun = False
        while (track := self._track(source)) is None:
            has_begun = self._check_alive(has_begun=has_begun)
            await self._changed.wait()
        return track

    def _check_alive(self, *, has_begun: bool) -> bool:
        """Raise when it is of no use to wait; a session that has not begun may still begin."""
        is_up = self.state is not AgentState.DISCONNECTED
        if self._is_closed or self.state is AgentState.FAILED or (has_begun and not is_up):
            raise AgentError(self.failures)
        return is_up


_TRACK_EVENTS: dict[TrackSource, AgentEvents] = {
    TrackSource.SOURCE_CAMERA: "camera_changed",
    TrackSource.SOURCE_MICROPHONE: "microphone_changed",
}


def _has_microphone(room: Room) -> bool:
    publications = room.local_participant.track_publications.values()
    return any(
        p.kind == TrackKind.KIND_AUDIO and p.source == TrackSource.SOURCE_MICROPHONE
        for p in publications
    )


def _names_agents(token: str) -> bool:
    try:
        config = peek_claims(token).get("roomConfig")
    except ProtocolError:
        return False
    return isinstance(config, dict) and bool(config.get("agents"))
