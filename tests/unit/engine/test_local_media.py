from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from app.engine import local_media as module
from app.engine.events import (
    DeviceFailed,
    DeviceKind,
    Event,
    LevelChanged,
    LocalMediaChanged,
)
from app.engine.local_media import LocalMedia
from app.media.devices import MediaDevice
from app.media.process.processor import PassThrough
from app.runtime.errors import Reason, WorldError

DEADLINE_S = 30.0


class Device:
    """Stands in for a microphone or a camera; `made` keeps all of them."""

    made: list[Device] = []  # noqa: RUF012 - reset by the fixture
    refusal: WorldError | None = None

    def __init__(self, source: object, sink: Callable[..., None], *rest: Any, **named: Any) -> None:
        self.source = source
        self.sink = sink
        self.is_open = False
        self.on_failed: Any = named.get("on_failed") or (rest[1] if len(rest) > 1 else None)
        Device.made.append(self)

    def start(self) -> None:
        if Device.refusal is not None:
            raise Device.refusal
        self.is_open = True

    def close(self) -> None:
        self.is_open = False


class Outlet:
    """The meeting's side; `refusal` is what publishing is answered with."""

    def __init__(self, refusal: WorldError | None = None) -> None:
        self.told: list[tuple[str, bool]] = []
        self._refusal = refusal

    async def show_microphone(self, on: bool) -> None:
        self.told.append(("mic", on))
        if on and self._refusal is not None:
            raise self._refusal

    async def show_camera(self, on: bool) -> None:
        self.told.append(("camera", on))


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def cameras(monkeypatch: pytest.MonkeyPatch) -> list[MediaDevice]:
    found = [MediaDevice("camera", "cam", "Camera", "/dev/video0", is_default=True)]
    Device.made, Device.refusal = [], None
    monkeypatch.setattr(module, "MicrophoneInput", Device)
    monkeypatch.setattr(module, "CameraCapture", Device)
    monkeypatch.setattr(module, "list_cameras_fallback", lambda: found)
    return found


@pytest.fixture
async def media(events: list[Event], cameras: list[MediaDevice]) -> LocalMedia:
    assert cameras
    return LocalMedia(
        events.append, PassThrough(), generated=None, show_own=lambda _picture, _ts: None
    )


def failures(events: list[Event]) -> list[tuple[DeviceKind, Reason]]:
    return [(e.kind, e.reason) for e in events if isinstance(e, DeviceFailed)]


def last_state(events: list[Event]) -> LocalMediaChanged:
    return [e for e in events if isinstance(e, LocalMediaChanged)][-1]


def opened() -> list[object]:
    return [device.source for device in Device.made if device.is_open]


async def test_join_takes_the_previews_devices_over(media: LocalMedia) -> None:
    await media.preview(mic=True, camera=True)
    outlet = Outlet()
    await media.enter(outlet, mic=True, camera=True)

    assert sorted(outlet.told) == [("camera", True), ("mic", True)]
    assert len(Device.made) == 2
    await media.aclose()
    assert opened() == []


async def test_a_muted_microphone_stays_open_in_a_meeting_and_a_stopped_camera_does_not(
    media: LocalMedia, events: list[Event]
) -> None:
    await media.enter(Outlet(), mic=True, camera=True)

    await media.set_microphone(False)
    await media.set_camera(False)

    assert opened() == [None]
    assert last_state(events) == LocalMediaChanged(mic_on=False, camera_on=False)
    await media.aclose()


@pytest.mark.parametrize("reason", [Reason.DEVICE_BUSY, Reason.DEVICE_GONE, Reason.DEVICE_DENIED])
async def test_a_device_that_does_not_open_is_told_and_keeps_nobody_out(
    media: LocalMedia, events: list[Event], reason: Reason
) -> None:
    Device.refusal = WorldError(reason)
    outlet = Outlet()

    await media.enter(outlet, mic=True, camera=True)

    assert set(failures(events)) == {(DeviceKind.MICROPHONE, reason), (DeviceKind.CAMERA, reason)}
    assert sorted(outlet.told) == [("camera", False), ("mic", False)]
    assert last_state(events) == LocalMediaChanged(mic_on=False, camera_on=False)
    Device.refusal = None
    await media.set_camera(True)
    assert last_state(events).camera_on
    await media.aclose()


async def test_no_camera_at_all_is_told(
    media: LocalMedia, events: list[Event], cameras: list[MediaDevice]
) -> None:
    cameras.clear()

    await media.set_camera(True)

    assert failures(events) == [(DeviceKind.CAMERA, Reason.DEVICE_GONE)]
    await media.aclose()


async def test_a_device_torn_out_is_told_and_muted(media: LocalMedia, events: list[Event]) -> None:
    outlet = Outlet()
    await media.enter(outlet, mic=True, camera=True)

    def tear_out() -> None:
        for device in list(Device.made):
            device.on_failed(WorldError(Reason.DEVICE_GONE))

    await asyncio.to_thread(tear_out)
    async with asyncio.timeout(DEADLINE_S):
        off = LocalMediaChanged(mic_on=False, camera_on=False)
        while last_state(events) != off:  # noqa: ASYNC110 - events are kept in a plain list here
            await asyncio.sleep(0)

    assert len(failures(events)) == 2
    assert {("mic", False), ("camera", False)} <= set(outlet.told)
    await media.aclose()
    assert opened() == []


async def test_another_camera_takes_over_at_once(
    media: LocalMedia, cameras: list[MediaDevice]
) -> None:
    cameras.append(MediaDevice("camera", "other", "Other", "/dev/video2"))
    await media.set_camera(True)

    await media.choose_camera("other")

    assert opened() == ["/dev/video2"]
    await media.aclose()


async def test_another_microphone_takes_over_at_once(media: LocalMedia) -> None:
    await media.enter(Outlet(), mic=True, camera=False)

    await media.choose_microphone("headset")

    assert opened() == ["headset"]
    await media.aclose()


async def test_holding_to_talk_ends_where_it_began(media: LocalMedia, events: list[Event]) -> None:
    outlet = Outlet()
    await media.enter(outlet, mic=False, camera=False)

    await media.hold_to_talk(True)
    await media.hold_to_talk(True)
    assert last_state(events).mic_on
    await media.hold_to_talk(False)

    assert [on for kind, on in outlet.told if kind == "mic"] == [False, True, False]
    await media.aclose()


async def test_who_may_not_speak_is_told_so_and_stays_muted(
    media: LocalMedia, events: list[Event]
) -> None:
    outlet = Outlet(WorldError(Reason.DENIED))
    with pytest.raises(WorldError):
        await media.enter(outlet, mic=True, camera=True)

    assert last_state(events) == LocalMediaChanged(mic_on=False, camera_on=True)
    await media.aclose()


async def test_a_meeting_that_ends_while_devices_open_leaves_nothing_open(
    media: LocalMedia, events: list[Event]
) -> None:
    entering = asyncio.get_running_loop().create_task(media.enter(Outlet(), mic=True, camera=True))
    await asyncio.sleep(0)
    await media.exit()
    await entering

    assert opened() == []
    assert last_state(events) == LocalMediaChanged(mic_on=False, camera_on=False)
    await media.aclose()


async def test_the_meter_moves_at_most_fifteen_times_a_second(
    media: LocalMedia, events: list[Event]
) -> None:
    heard: list[int] = []
    media.pcm_sink = lambda pcm: heard.append(len(pcm))
    await media.set_microphone(True)
    microphone = Device.made[0]
    loud = np.full((480, 1), 8000, np.int16)

    started_s = time.monotonic()
    await asyncio.to_thread(lambda: [microphone.sink(loud) for _ in range(100)])
    took_s = time.monotonic() - started_s
    await asyncio.sleep(0)

    levels = [event.level for event in events if isinstance(event, LevelChanged)]
    assert len(heard) == 100
    assert 1 <= len(levels) <= 2 + took_s * 15
    assert 0.5 < levels[0] < 1.0
    await media.aclose()
