"""A hosted meeting for flow tests: the real server process, and people with generated media."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from app.engine.client import EngineClient, GeneratedMedia, JoinSpec
from app.engine.events import Event, MeetingJoined, Person, VideoKind
from app.host.hosted import HostedRoom, HostedServer
from app.media.capture.generated import read_counter
from app.protocol.invite import Link, parse_link
from app.roles.demo.flows import Ear
from app.runtime.paths import Paths
from app.runtime.settings import Settings

DEADLINE_S = 30.0
ROOM = "jam"

E = TypeVar("E", bound=Event)


def colour_of(number: int) -> tuple[int, int, int]:
    return ((200, 60, 60), (60, 200, 60), (60, 60, 200))[number % 3]


def tone_of(number: int) -> float:
    return 330.0 + 110.0 * number


class Attendee:
    """An engine and everything it has posted."""

    def __init__(self, folder: Path, number: int = 0, *, generated: bool = True) -> None:
        self.folder = folder
        self.number = number
        self.settings = Settings(downloads_folder=str(folder))
        media = GeneratedMedia(colour_of(number), tone_of(number)) if generated else None
        self.engine = EngineClient(self.settings, generated=media)
        self.events: list[Event] = []
        self._loop = asyncio.get_running_loop()
        self._posted = asyncio.Event()
        self.engine.on_events = self._on_events

    def _on_events(self) -> None:
        self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        self.events += self.engine.take_events()
        self._posted.set()

    async def wait(self, kind: type[E], condition: Callable[[E], bool] = lambda _: True) -> E:
        """Return the first event of a kind that fulfils the condition, past ones included."""
        seen = 0
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    while seen < len(self.events):
                        event = self.events[seen]
                        seen += 1
                        if isinstance(event, kind) and condition(event):
                            return event
                    self._posted.clear()
                    await self._posted.wait()
        except TimeoutError as error:
            came = "\n".join(str(event)[:300] for event in self.all(kind)[-12:])
            raise AssertionError(f"no such {kind.__name__}; there came\n{came}") from error

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def forget(self) -> None:
        """Start over, so that `wait` sees new events alone."""
        self._take()
        self.events = []

    async def join(self, spec: JoinSpec) -> Person:
        await self.engine.join(spec)
        joined = await self.wait(MeetingJoined)
        return next(person for person in joined.people if person.is_me)


def host_spec(room: HostedRoom, **changes: bool) -> JoinSpec:
    spec = JoinSpec(name=room.host_name, server_url=room.ws_url, token=room.token, room=room.room)
    return replace(spec, **changes)  # type: ignore[arg-type]


def guest_link(room: HostedRoom) -> Link:
    return parse_link(room.invite_link)


@asynccontextmanager
async def hosted(
    folder: Path, passcode: str = ""
) -> AsyncIterator[tuple[HostedServer, HostedRoom]]:
    """Host a meeting on loopback, on any ports."""
    settings = Settings(host_port=0, host_rtc_port=0)
    server = HostedServer(settings, Paths.under(folder), use_keyring=False)
    room = await server.start(ROOM, "Ada", passcode, lan=False)
    try:
        yield server, room
    finally:
        await server.stop()


@asynccontextmanager
async def attending(
    folder: Path, number: int = 0, *, generated: bool = True
) -> AsyncIterator[Attendee]:
    """Make an engine that is closed at the end, whatever happened."""
    attendee = Attendee(folder, number, generated=generated)
    try:
        yield attendee
    finally:
        await attendee.engine.aclose()


async def collect_counters(attendee: Attendee, identity: str, wanted: int) -> list[int]:
    """Look at somebody's tile until `wanted` numbered pictures have come."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()

    def on_ready() -> None:
        loop.call_soon_threadsafe(ready.set)

    slot = attendee.engine.tile_slot(identity, VideoKind.CAMERA, on_ready)
    slot.set_target(320, 180)
    counters: list[int] = []
    try:
        async with asyncio.timeout(DEADLINE_S):
            while len(counters) < wanted:
                await ready.wait()
                ready.clear()
                frame = slot.take()
                counter = read_counter(frame) if frame is not None else None
                if counter is not None:
                    counters.append(counter)
    finally:
        attendee.engine.release_slot(slot)
    return counters


async def hear(attendee: Attendee, freq_hz: float) -> None:
    """Listen to the mix until the tone is in it."""
    ear = Ear()
    loop = asyncio.get_running_loop()
    heard = asyncio.Event()

    def listen(pcm: object) -> None:
        ear.hear(pcm)  # type: ignore[arg-type]
        loop.call_soon_threadsafe(heard.set)

    await attendee.engine.call(lambda desk: desk.add_mix_tap(listen))
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                await heard.wait()
                heard.clear()
                reading = await asyncio.to_thread(ear.read, freq_hz)
                if reading is not None and reading.is_tone(freq_hz):
                    return
    finally:
        await attendee.engine.call(lambda desk: desk.remove_mix_tap(listen))
