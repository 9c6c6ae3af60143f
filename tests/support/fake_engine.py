"""The engine's handle without an engine: records what the window asks for, posts what it is told.

Everything the window calls goes through `EngineClient.call(work)` with a desk; here the desk
is a recorder, so a test reads `engine.asked` and no thread, socket or device exists. Pictures
go into real `VideoSlot`s with `show_picture`. `DirectBridge` runs a slot's coroutine at once,
because nothing in it ever has to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from PySide6.QtCore import QObject

from app.engine.client import EngineClient
from app.engine.developer import DeveloperView
from app.engine.events import (
    DeviceInfo,
    DeviceKind,
    DevicesChanged,
    Event,
    LocalMediaChanged,
    MeetingJoined,
    Person,
    Role,
    VideoKind,
)
from app.media.frames import Picture
from app.media.play.video_slot import VideoSlot
from app.runtime.errors import WorldError
from app.runtime.settings import Settings
from app.ui.bridge import Bridge, OnError

T = TypeVar("T")


@dataclass
class FakeDesk:
    """Stands where the engine thread's desk stands; every method is a coroutine that records."""

    engine: FakeEngine

    @property
    def here(self) -> FakeDesk:
        """The meeting that is on, and its parts: their commands are recorded alike."""
        return self

    moderation = here

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, object]]:
        async def record(*args: object, **options: object) -> object:
            return self.engine.handle_call(name, args, options)

        return record


@dataclass
class OpenSlot:
    """A slot that a tile holds."""

    identity: str
    kind: VideoKind
    slot: VideoSlot
    shown: int = field(default=0)


class FakeEngine(EngineClient):
    """An `EngineClient` whose far side is a list."""

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings or Settings())
        self.asked: list[tuple[str, tuple[object, ...], dict[str, object]]] = []
        self.refusals: dict[str, WorldError] = {}
        self.answers_media = True
        self.open_slots: list[OpenSlot] = []
        self.released = 0
        self._fake_desk = FakeDesk(self)
        self._next_id = 0
        self._mic_on = True
        self._camera_on = True

    # -- the engine's side ------------------------------------------------------------------

    def start(self) -> None:
        """There is no thread."""

    async def aclose(self) -> None:
        """Nothing to end."""

    async def call(self, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Run the work against the recorder."""
        return await work(cast("Any", self._fake_desk))

    def handle_call(
        self, name: str, args: tuple[object, ...], options: dict[str, object]
    ) -> object:
        """Note one command, refuse it if the test says so, and answer as the engine would."""
        self.asked.append((name, args, options))
        if name in self.refusals:
            raise self.refusals[name]
        if name in ("set_microphone", "set_camera") and self.answers_media:
            if name == "set_microphone":
                self._mic_on = bool(args[0])
            else:
                self._camera_on = bool(args[0])
            self.post(LocalMediaChanged(self._mic_on, self._camera_on))
        if name in ("send_chat", "send_file"):
            self._next_id += 1
            return f"{name}-{self._next_id}"
        if name == "developer_view":
            return DeveloperView()
        return None

    def tile_slot(self, identity: str, kind: VideoKind, on_ready: Callable[[], None]) -> VideoSlot:
        """Give a real slot that the test fills."""
        slot = VideoSlot(on_ready)
        self.open_slots.append(OpenSlot(identity, kind, slot))
        return slot

    def release_slot(self, slot: VideoSlot) -> None:
        """Note that the tile let go."""
        slot.close()
        self.open_slots = [one for one in self.open_slots if one.slot is not slot]
        self.released += 1

    # -- the test's side --------------------------------------------------------------------

    def post(self, *events: Event) -> None:
        """Post events as the engine does."""
        for event in events:
            self._outbox.post(event)

    def show_picture(self, identity: str, picture: Picture, ts_rtp: int = 0) -> bool:
        """Offer a picture to every tile of a person; "" is one's own. False when none looks."""
        found = [one for one in self.open_slots if one.identity == identity]
        for one in found:
            one.slot.offer(picture, ts_rtp)
            one.shown += 1
        return bool(found)

    def calls(self, name: str) -> list[tuple[object, ...]]:
        """The arguments of every call of one command."""
        return [args for one, args, _ in self.asked if one == name]


class DirectBridge(Bridge):
    """A bridge whose commands are over when `run` returns; for tests without a running loop."""

    def __init__(self, engine: EngineClient, parent: QObject | None = None) -> None:
        super().__init__(engine, parent)
        self.failures: list[WorldError] = []
        self.commandFailed.connect(self.failures.append)

    def run(
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        on_error: OnError | None = None,
        on_done: Callable[[Any], None] | None = None,
        name: str = "command",
    ) -> None:
        """Run to the end at once."""
        del name
        asyncio.run(self._guarded(coro, on_error, on_done))

    def deliver(self) -> None:
        """Hand over what was posted without waiting for the event loop."""
        self._on_woken()


PEOPLE = ("Mia", "Kai", "Lena", "Tariq", "Amina", "Jun", "Rosa", "Sam")


def people(count: int, *, host: bool = True, camera_on: bool = True) -> tuple[Person, ...]:
    """You ("Noa") and others, in the order in which they joined."""
    me = Person(
        "noa-1",
        "Noa",
        is_me=True,
        role=Role.HOST if host else Role.GUEST,
        mic_on=True,
        has_mic=True,
        camera_on=camera_on,
        joined_at_ms=1,
    )
    names = [PEOPLE[i % len(PEOPLE)] + (str(i) if i >= len(PEOPLE) else "") for i in range(count)]
    others = [
        Person(
            f"{name.lower()}-{number + 2}",
            name,
            mic_on=True,
            has_mic=True,
            camera_on=camera_on,
            joined_at_ms=number + 2,
        )
        for number, name in enumerate(names[: count - 1])
    ]
    return (me, *others)


def joined(count: int, *, host: bool = True, camera_on: bool = True) -> MeetingJoined:
    """The event that fills the window."""
    return MeetingJoined(
        "Garden club", "noa-1", "Noa", people(count, host=host, camera_on=camera_on)
    )


DEVICES = DevicesChanged(
    (
        DeviceInfo(DeviceKind.MICROPHONE, "mic-1", "Built-in microphone", is_default=True),
        DeviceInfo(DeviceKind.MICROPHONE, "mic-2", "USB headset"),
        DeviceInfo(DeviceKind.SPEAKER, "out-1", "Built-in speakers"),
        DeviceInfo(DeviceKind.SPEAKER, "out-2", "Headphones", is_default=True),
        DeviceInfo(DeviceKind.CAMERA, "cam-1", "HD webcam", is_default=True),
        DeviceInfo(DeviceKind.CAMERA, "cam-2", "Document camera"),
    ),
    {DeviceKind.MICROPHONE: "mic-1"},
)
