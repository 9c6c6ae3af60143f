"""Plugging, from the interface's handle on the engine to the microphone that is open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.engine import devices, local_media
from app.engine.client import EngineClient
from app.engine.events import DeviceFailed, DeviceInfo, DeviceKind, DevicesChanged, Event
from app.media.devices import MediaDevice
from app.runtime.settings import Settings

DEADLINE_S = 30.0
BUILT_IN = MediaDevice("microphone", "mic", "Built-in microphone", is_default=True)
HEADSET = MediaDevice("microphone", "headset", "Headset")


class Microphone:
    """Stands in for an open microphone; `used` holds what was opened, newest last."""

    used: list[object] = []  # noqa: RUF012 - reset by the fixture

    def __init__(self, device_id: object, *rest: Any) -> None:
        self._device_id = device_id

    def start(self) -> None:
        Microphone.used.append(self._device_id)

    def close(self) -> None:
        """There is nothing to close."""


@pytest.fixture
async def engine(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EngineClient]:
    Microphone.used = []
    monkeypatch.setattr(local_media, "MicrophoneInput", Microphone)
    monkeypatch.setattr(devices, "list_cameras_fallback", list)
    engine = EngineClient(Settings(microphone_id="headset"))
    engine.start()
    yield engine
    await engine.aclose()


async def events_until(engine: EngineClient, last: type[Event]) -> list[Event]:
    arrived: list[Event] = []
    async with asyncio.timeout(DEADLINE_S):
        while not any(isinstance(event, last) for event in arrived):
            arrived += engine.take_events()
            await asyncio.sleep(0.01)
    return arrived


async def test_a_headset_is_replaced_while_it_is_unplugged(
    engine: EngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugged = [BUILT_IN, HEADSET]
    monkeypatch.setattr(devices, "list_audio_devices", lambda *, rescan: list(plugged))
    both = tuple(DeviceInfo(DeviceKind.MICROPHONE, f"qt {d.id}", d.name) for d in plugged)
    await engine.report_devices(both)
    await engine.start_preview(mic=True, camera=False)
    assert Microphone.used == ["headset"]
    engine.take_events()

    plugged.remove(HEADSET)
    await engine.report_devices(both[:1])
    told = await events_until(engine, DeviceFailed)
    failed = next(event for event in told if isinstance(event, DeviceFailed))
    assert (failed.device_name, failed.replacement) == ("Headset", "Built-in microphone")

    plugged.append(HEADSET)
    await engine.report_devices(both)
    told = await events_until(engine, DevicesChanged)
    chosen = [event for event in told if isinstance(event, DevicesChanged)][-1].chosen
    assert chosen[DeviceKind.MICROPHONE] == "headset"
    await engine.stop_preview()
    assert Microphone.used == ["headset", None, "headset"]
