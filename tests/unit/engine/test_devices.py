from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.engine import devices as module
from app.engine import local_media, playback
from app.engine.devices import Devices, merge_cameras
from app.engine.events import (
    DeviceFailed,
    DeviceInfo,
    DeviceKind,
    DevicesChanged,
    Event,
    LocalMediaChanged,
)
from app.engine.local_media import LocalMedia
from app.engine.playback import Playback
from app.media.devices import MediaDevice
from app.media.process.processor import PassThrough
from app.runtime.errors import Reason, WorldError

DEADLINE_S = 30.0
MIC, SPEAKER, CAMERA = DeviceKind.MICROPHONE, DeviceKind.SPEAKER, DeviceKind.CAMERA

BUILT_IN = MediaDevice("microphone", "mic", "Built-in microphone", is_default=True)
HEADSET = MediaDevice("microphone", "headset", "Headset")
PHONES = MediaDevice("speaker", "phones", "Headset")
SPEAKERS = MediaDevice("speaker", "loud", "Speakers", is_default=True)


class Device:
    """Stands in for anything that is opened; `source` is what it was asked to open."""

    def __init__(self, world: World, source: object, *rest: Any, **named: Any) -> None:
        self.world, self.source = world, source
        self.on_failed: Any = named.get("on_failed") or rest[-1]
        world.made.append(self)
        self.is_open = False

    def start(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False


class World:
    """The machine: which devices are plugged in, what is open, and what was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sounds = [BUILT_IN, HEADSET, SPEAKERS, PHONES]
        self.cameras: list[MediaDevice] = []
        self.made: list[Device] = []
        self.events: list[Event] = []
        self.rescans: list[bool] = []

    def plug_camera(self, node: str, name: str) -> None:
        path = self.folder / node
        path.touch()
        first = not self.cameras
        self.cameras.append(MediaDevice("camera", str(path), name, str(path), is_default=first))

    def unplug_camera(self, name: str) -> None:
        for camera in [one for one in self.cameras if one.name == name]:
            Path(camera.os_path).unlink()
            self.cameras.remove(camera)

    def list_sounds(self, *, rescan: bool) -> list[MediaDevice]:
        self.rescans.append(rescan)
        # What PortAudio forbids: looking again while a stream is open.
        assert not (rescan and self.opened("mic") + self.opened("speaker"))
        return list(self.sounds)

    def report(self) -> tuple[DeviceInfo, ...]:
        """What Qt says of this machine."""
        return tuple(
            DeviceInfo(DeviceKind(d.kind), f"qt {d.id}" if d in self.sounds else d.id, d.name)
            for d in [*self.sounds, *self.cameras]
        )

    def opened(self, what: str) -> list[object]:
        return [
            device.source[1]
            for device in self.made
            if device.is_open and isinstance(device.source, tuple) and device.source[0] == what
        ]

    def newest(self, kind: type[Any]) -> Any:
        return [event for event in self.events if isinstance(event, kind)][-1]

    def failures(self) -> list[tuple[DeviceKind, str, str]]:
        failed = [event for event in self.events if isinstance(event, DeviceFailed)]
        return [(event.kind, event.device_name, event.replacement) for event in failed]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - the world is made of plain lists
                await asyncio.sleep(0)


class Outlet:
    async def show_microphone(self, on: bool) -> None:
        """Nobody listens."""

    async def show_camera(self, on: bool) -> None:
        """Nobody looks."""


class Rig:
    """Devices with the media that uses them, in a meeting with everything on."""

    def __init__(self, world: World, wished: dict[DeviceKind, str]) -> None:
        self.local = LocalMedia(
            world.events.append,
            PassThrough(),
            generated=None,
            show_own=lambda _picture, _ts: None,
        )
        self.playback = Playback(world.events.append, PassThrough())
        self.devices = Devices(world.events.append, self.local, self.playback, wished, settle_s=0.0)

    async def enter(self, *, camera: bool = True) -> None:
        await self.devices.refresh()
        await self.playback.start(self.devices.speaker_id)
        await self.local.enter(Outlet(), mic=True, camera=camera)

    async def aclose(self) -> None:
        await self.devices.aclose()
        await self.local.aclose()
        await self.playback.aclose()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)

    def make(what: str) -> Callable[..., Device]:
        return lambda source, *rest, **named: Device(world, (what, source), *rest, **named)

    def open_speaker(device_id: str | None, *rest: Any) -> tuple[Device, None]:
        device = Device(world, ("speaker", device_id), *rest)
        device.start()
        return device, None

    monkeypatch.setattr(local_media, "MicrophoneInput", make("mic"))
    monkeypatch.setattr(local_media, "CameraCapture", make("camera"))
    monkeypatch.setattr(playback, "open_output", open_speaker)
    monkeypatch.setattr(playback, "SpeakerOutput", Device)
    monkeypatch.setattr(module, "list_audio_devices", world.list_sounds)
    monkeypatch.setattr(module, "list_cameras_fallback", lambda: list(world.cameras))
    return world


async def replug(world: World, rig: Rig) -> None:
    """Qt reports, and the engine has looked."""
    looks = len(world.rescans)
    await rig.devices.take_report(world.report())
    await world.until(lambda: len(world.rescans) > looks)
    async with rig.devices._lock:
        return


async def test_an_unplugged_headset_gives_way_to_the_default_and_comes_back(world: World) -> None:
    rig = Rig(world, {MIC: "headset", SPEAKER: "phones"})
    await rig.enter(camera=False)
    await rig.devices.take_report(world.report())
    assert (world.opened("mic"), world.opened("speaker")) == (["headset"], ["phones"])

    world.sounds = [BUILT_IN, SPEAKERS]
    await replug(world, rig)

    assert (world.opened("mic"), world.opened("speaker")) == ([None], [None])
    assert set(world.failures()) == {
        (MIC, "Headset", "Built-in microphone"),
        (SPEAKER, "Headset", "Speakers"),
    }
    assert world.newest(DevicesChanged).chosen == {MIC: "mic", SPEAKER: "loud", CAMERA: ""}
    assert world.newest(LocalMediaChanged).mic_on

    world.sounds = [BUILT_IN, HEADSET, SPEAKERS, PHONES]
    await replug(world, rig)

    assert (world.opened("mic"), world.opened("speaker")) == (["headset"], ["phones"])
    assert world.newest(DevicesChanged).chosen == {MIC: "headset", SPEAKER: "phones", CAMERA: ""}
    assert len(world.failures()) == 2
    await rig.aclose()


async def test_an_unplugged_camera_gives_way_and_comes_back_on_another_node(world: World) -> None:
    world.plug_camera("video0", "HD webcam")
    world.plug_camera("video2", "Document camera")
    chosen, other = (camera.id for camera in world.cameras)
    rig = Rig(world, {CAMERA: chosen})
    await rig.enter()
    await rig.devices.take_report(world.report())
    assert world.opened("camera") == [chosen]

    world.unplug_camera("HD webcam")
    await replug(world, rig)

    assert world.opened("camera") == [other]
    assert world.failures() == [(CAMERA, "HD webcam", "Document camera")]
    assert True not in world.rescans[1:], "the sound goes on while cameras come and go"

    world.plug_camera("video4", "HD webcam")
    await replug(world, rig)

    assert world.opened("camera") == [str(world.folder / "video4")]
    assert len(world.failures()) == 1
    await rig.aclose()


async def test_the_only_camera_is_missed_and_does_not_switch_itself_on_again(world: World) -> None:
    world.plug_camera("video0", "HD webcam")
    rig = Rig(world, {})
    await rig.enter()
    await rig.devices.take_report(world.report())

    world.unplug_camera("HD webcam")
    await replug(world, rig)
    assert world.failures() == [(CAMERA, "HD webcam", "")]
    assert not world.newest(LocalMediaChanged).camera_on
    world.plug_camera("video0", "HD webcam")
    await replug(world, rig)

    assert world.opened("camera") == []
    await rig.local.set_camera(True)
    assert world.opened("camera") == [str(world.folder / "video0")]
    await rig.aclose()


async def test_without_reports_a_camera_that_stops_is_replaced(world: World) -> None:
    world.plug_camera("video0", "HD webcam")
    world.plug_camera("video2", "Document camera")
    rig = Rig(world, {})
    await rig.enter()
    camera = next(device for device in world.made if device.source[0] == "camera")  # type: ignore[index]  # a pair

    world.unplug_camera("HD webcam")
    await asyncio.to_thread(camera.on_failed, WorldError(Reason.DEVICE_GONE))
    await world.until(lambda: world.opened("camera") == [str(world.folder / "video2")])

    assert world.failures() == [(CAMERA, "HD webcam", "Document camera")]
    # It is told once, whoever notices it too.
    await asyncio.to_thread(camera.on_failed, WorldError(Reason.DEVICE_GONE))
    await asyncio.sleep(0)
    assert len(world.failures()) == 1
    await rig.aclose()


async def test_a_microphone_that_is_there_but_silent_is_given_up(world: World) -> None:
    rig = Rig(world, {})
    await rig.enter(camera=False)
    microphone = next(device for device in world.made if device.source[0] == "mic")  # type: ignore[index]  # a pair

    await asyncio.to_thread(microphone.on_failed, WorldError(Reason.DEVICE_GONE))
    await world.until(lambda: (MIC, "", "") in world.failures())
    await world.until(lambda: not world.newest(LocalMediaChanged).mic_on)

    assert world.opened("speaker") == [None]
    await rig.aclose()


async def test_a_headset_that_changes_with_every_stream_does_not_stop_the_sound_for_ever(
    world: World,
) -> None:
    rig = Rig(world, {})
    await rig.enter(camera=False)
    await rig.devices.take_report(world.report())

    for turn in range(10):
        world.sounds = [BUILT_IN, SPEAKERS] if turn % 2 else [BUILT_IN, HEADSET, SPEAKERS]
        await replug(world, rig)

    assert world.rescans.count(True) == 1 + module.MOST_LOOKS
    assert world.opened("mic") == [None]
    await rig.aclose()


async def test_the_same_report_again_is_no_plugging(world: World) -> None:
    rig = Rig(world, {})
    await rig.devices.take_report(world.report())
    looks = len(world.rescans)

    await rig.devices.take_report(world.report())

    assert len(world.rescans) == looks
    await rig.aclose()


def camera(device_id: str, name: str, path: str = "", *, default: bool = False) -> DeviceInfo:
    return DeviceInfo(CAMERA, device_id, name, path, is_default=default)


def test_qt_names_the_cameras_and_the_system_says_how_they_are_opened() -> None:
    found = [
        camera(r"\\?\USB#1", "usb video", "1400", default=True),
        camera("2", "OBS", "701"),
    ]
    reported = [camera(r"\\?\usb#1", "HD Webcam"), camera("x", "OBS", default=True)]

    assert merge_cameras(reported, found) == [
        camera(r"\\?\USB#1", "HD Webcam", "1400"),
        camera("2", "OBS", "701", default=True),
    ]


def test_a_camera_that_only_qt_knows_needs_a_way_to_be_opened() -> None:
    reported = [
        camera("/dev/video3", "Scope", "/dev/video3", default=True),
        camera("y", "Phantom"),
    ]

    assert merge_cameras(reported, []) == [reported[0]]


def test_two_cameras_of_one_name_stay_two() -> None:
    found = [
        camera("/dev/video0", "Cam", "/dev/video0", default=True),
        camera("/dev/video2", "Cam", "/dev/video2"),
    ]

    assert merge_cameras(list(reversed(found)), found) == found
