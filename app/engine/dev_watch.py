"""The developer panel's side of a meeting: who publishes data, what it carries, calls by hand.

Costs nothing until a track is watched: then its frames are counted, and of the newest one the
first bytes are kept. A track that its publisher publishes again is watched on.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass, field

import structlog

from app.engine import rtc
from app.engine.data_track import SubscribeDataTrackError
from app.engine.developer import (
    DeveloperView,
    RpcAnswer,
    RpcRequest,
    WatchedPerson,
    WatchedTrack,
)
from app.engine.enums import ParticipantKind
from app.engine.participant import Participant
from app.engine.rpc import RpcError
from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

SHOWN_BYTES = 4_096
SHOWN_NUMBERS = 120
RATE_WINDOW_S = 2.0
MAX_COUNTED = 10_000

TrackKey = tuple[str, str]


@dataclass(slots=True)
class _Watch:
    """What has come of one watched track."""

    task: asyncio.Task[None] | None = None
    stream: rtc.DataTrackStream | None = None
    error: str = ""
    frames: int = 0
    recent: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=MAX_COUNTED))
    last: rtc.DataTrackFrame | None = None
    numbers: deque[float] = field(default_factory=lambda: deque(maxlen=SHOWN_NUMBERS))

    def take(self, frame: rtc.DataTrackFrame, now_s: float) -> None:
        self.frames += 1
        self.recent.append((now_s, len(frame.payload)))
        self.last = frame
        number = as_number(frame.payload)
        if number is not None:
            self.numbers.append(number)

    def rates(self, now_s: float) -> tuple[float, float]:
        """Return frames and bytes per second over the window."""
        counted = [size for at_s, size in self.recent if now_s - at_s <= RATE_WINDOW_S]
        return len(counted) / RATE_WINDOW_S, sum(counted) / RATE_WINDOW_S


def as_number(payload: bytes) -> float | None:
    """Read a payload that is one number in decimal."""
    if not payload or len(payload) > 40:
        return None
    try:
        number = float(payload.decode())
    except (UnicodeDecodeError, ValueError):
        return None
    return number if math.isfinite(number) else None


class DevWatch:
    """Data tracks, attributes and calls of one room; lives on the engine's loop."""

    def __init__(self, room: rtc.Room, owner: TaskOwner) -> None:
        self._room = room
        self._owner = owner
        self._tracks: dict[TrackKey, rtc.RemoteDataTrack] = {}
        self._watches: dict[TrackKey, _Watch] = {}
        room.on("data_track_published", self._on_published)
        room.on("data_track_unpublished", self._on_unpublished)

    def _on_published(self, track: rtc.RemoteDataTrack) -> None:
        key = (track.publisher_identity, track.info.name)
        self._tracks[key] = track
        watch = self._watches.get(key)
        if watch is not None:
            self._start(key, watch)

    def _on_unpublished(self, sid: str) -> None:
        for key in [key for key, track in self._tracks.items() if track.info.sid == sid]:
            del self._tracks[key]

    # --- watching

    def watch(self, identity: str, name: str, on: bool) -> None:
        """Begin or cease to read a track; PEER_GONE when nobody publishes it."""
        key = (identity, name)
        watch = self._watches.pop(key, None)
        if watch is not None:
            self._stop(watch)
        if not on:
            return
        if key not in self._tracks:
            raise WorldError(Reason.PEER_GONE, detail="no such data track")
        self._watches[key] = _Watch()
        self._start(key, self._watches[key])

    def _start(self, key: TrackKey, watch: _Watch) -> None:
        self._stop(watch)
        watch.error = ""
        watch.stream = self._tracks[key].subscribe(buffer_size=256)
        watch.task = spawn(self._read(watch, watch.stream), name="watch", owner=self._owner)

    def _stop(self, watch: _Watch) -> None:
        if watch.stream is not None:
            watch.stream.close()
            watch.stream = None

    async def _read(self, watch: _Watch, stream: rtc.DataTrackStream) -> None:
        try:
            async for frame in stream:
                watch.take(frame, time.monotonic())
        except SubscribeDataTrackError as error:
            watch.error = error.message

    # --- what is shown

    def view(self) -> DeveloperView:
        """Describe this moment."""
        if not self._room.isconnected():
            return DeveloperView()
        now_s = time.monotonic()
        people = [self._room.local_participant, *self._room.remote_participants.values()]
        return DeveloperView(
            room=self._room.name,
            people=tuple(self._person(person) for person in people),
            tracks=tuple(
                self._track(key, track, now_s) for key, track in sorted(self._tracks.items())
            ),
        )

    def _person(self, person: Participant) -> WatchedPerson:
        kind = ParticipantKind(person.kind).name.removeprefix("PARTICIPANT_KIND_").lower()
        return WatchedPerson(
            identity=person.identity,
            name=person.name or person.identity,
            kind=kind,
            is_me=person is self._room.local_participant,
            attributes=tuple(sorted(person.attributes.items())),
            metadata=person.metadata,
        )

    def _track(self, key: TrackKey, track: rtc.RemoteDataTrack, now_s: float) -> WatchedTrack:
        watch = self._watches.get(key)
        if watch is None:
            return WatchedTrack(key[0], key[1], track.info.sid)
        frames_per_s, bytes_per_s = watch.rates(now_s)
        last = watch.last
        return WatchedTrack(
            identity=key[0],
            name=key[1],
            sid=track.info.sid,
            is_watched=True,
            error=watch.error,
            frames=watch.frames,
            frames_per_s=frames_per_s,
            bytes_per_s=bytes_per_s,
            size_bytes=0 if last is None else len(last.payload),
            last=b"" if last is None else bytes(last.payload[:SHOWN_BYTES]),
            user_timestamp=None if last is None else last.user_timestamp,
            numbers=tuple(watch.numbers),
        )

    # --- calling

    async def call(self, request: RpcRequest) -> RpcAnswer:
        """Call somebody's method; an error of the call is an answer too."""
        started_s = time.monotonic()
        try:
            payload = await self._room.local_participant.perform_rpc(
                destination_identity=request.identity,
                method=request.method,
                payload=request.payload,
                response_timeout=request.timeout_s,
            )
        except RpcError as error:
            return RpcAnswer(
                code=error.code,
                message=error.message,
                data=error.data or "",
                elapsed_ms=(time.monotonic() - started_s) * 1_000,
            )
        return RpcAnswer(payload=payload, elapsed_ms=(time.monotonic() - started_s) * 1_000)
