"""One's own microphone and camera: opened, shown, metered, and handed to the meeting.

They outlive a meeting: the preview before joining uses the same open devices, so that nothing
blinks when Join is pressed. A device that is missing, busy or torn out is told by an event and
changes nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

import structlog

from app.engine.client import GeneratedMedia
from app.engine.events import (
    DeviceFailed,
    DeviceInfo,
    DeviceKind,
    Event,
    LevelChanged,
    LocalMediaChanged,
)
from app.media.capture.camera import CameraCapture
from app.media.capture.generated import GeneratedTone, GeneratedVideo
from app.media.capture.microphone import MicrophoneInput
from app.media.devices import MediaDevice, list_cameras_fallback
from app.media.frames import Pcm, Picture
from app.media.process.levels import level_unit
from app.media.process.processor import AudioProcessor
from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

CAMERA_SIZE = (1280, 720)
_LEVEL_PERIOD_S = 1 / 15

PcmSink = Callable[[Pcm], None]
PictureSink = Callable[[Picture, int], None]
ListCameras = Callable[[], Sequence[MediaDevice | DeviceInfo]]
OnLost = Callable[[DeviceKind, WorldError], Awaitable[None]]


class Capture(Protocol):
    """An open device, or what stands in for one."""

    def start(self) -> None:
        """Open; blocks, and raises `WorldError`."""

    def close(self) -> None:
        """Close; blocks."""


class Outlet(Protocol):
    """The meeting's side: told what is open, so that it can publish and mute."""

    async def show_microphone(self, on: bool) -> None:
        """Publish or unmute, or mute."""

    async def show_camera(self, on: bool) -> None:
        """Publish or unmute, or mute."""


class LocalMedia:
    """Belongs to the engine thread; sinks are called on media threads."""

    def __init__(
        self,
        post: Callable[[Event], None],
        processor: AudioProcessor,
        *,
        generated: GeneratedMedia | None,
        show_own: PictureSink,
    ) -> None:
        self._post = post
        self._processor = processor
        self._generated = generated
        self._show_own = show_own
        self._loop = asyncio.get_running_loop()
        self._owner = TaskOwner("local media")
        self._mic_lock = asyncio.Lock()
        self._camera_lock = asyncio.Lock()
        self._microphone: Capture | None = None
        self._camera: Capture | None = None
        # A device that was replaced may still say that it failed: its number is out of date.
        self._microphone_number = 0
        self._camera_number = 0
        self._level_at_s = 0.0
        self._is_previewing = False
        self._outlet: Outlet | None = None
        self.pcm_sink: PcmSink | None = None
        self.picture_sink: PictureSink | None = None
        self.microphone_id = ""
        self.camera_id = ""
        self.list_cameras: ListCameras = lambda: list_cameras_fallback()
        """Which cameras there are; called on a worker thread."""
        self.on_lost: OnLost = self.give_up
        """What happens when an open device has stopped."""
        self.mic_on = False
        self.camera_on = False
        self._is_held = False
        self._mic_before_hold = False

    @property
    def has_microphone(self) -> bool:
        """Whether a microphone is open, muted or not."""
        return self._microphone is not None

    @property
    def size(self) -> tuple[int, int]:
        """Picture size that the camera, real or generated, is asked for."""
        if self._generated is not None:
            return self._generated.width, self._generated.height
        return CAMERA_SIZE

    # -- wishes -----------------------------------------------------------------------------

    async def preview(self, *, mic: bool, camera: bool) -> None:
        """Open what is wished, close the rest."""
        self._is_previewing = True
        await asyncio.gather(self.set_microphone(mic), self.set_camera(camera))

    async def end_preview(self) -> None:
        """Close what the preview opened, unless a meeting uses it."""
        self._is_previewing = False
        if self._outlet is None:
            await self.close_devices()

    async def enter(self, outlet: Outlet, *, mic: bool, camera: bool) -> None:
        """Hand everything to a meeting, and open what is wished there."""
        self._outlet = outlet
        self._is_previewing = False
        results = await asyncio.gather(
            self._switch_microphone(mic, outlet),
            self._switch_camera(camera, outlet),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def exit(self) -> None:
        """The meeting is over: close the devices."""
        self._outlet = None
        self.pcm_sink = None
        self.picture_sink = None
        self._is_held = False
        await self.close_devices()

    async def set_microphone(self, on: bool) -> None:
        """Open and unmute, or mute.

        In a meeting a muted microphone stays open, so that unmuting takes no time; before the
        meeting it is closed.
        """
        await self._switch_microphone(on, self._outlet)

    async def set_camera(self, on: bool) -> None:
        """Start or stop the camera; a stopped one is closed, its light goes out."""
        await self._switch_camera(on, self._outlet)

    async def hold_to_talk(self, held: bool) -> None:
        """Unmute while `held`, then go back; repeated calls change nothing."""
        if held == self._is_held:
            return
        self._is_held = held
        if held:
            self._mic_before_hold = self.mic_on
            await self.set_microphone(True)
        else:
            await self.set_microphone(self._mic_before_hold)

    async def choose_microphone(self, device_id: str) -> None:
        """Use another microphone, at once when one is open."""
        self.microphone_id = device_id
        async with self._mic_lock:
            was_open = self._microphone is not None
            await self._close_microphone()
            is_lost = was_open and not await self._ensure_microphone()
        if is_lost and self.mic_on:
            await self.set_microphone(False)

    async def choose_camera(self, device_id: str) -> None:
        """Use another camera, at once when one is open."""
        self.camera_id = device_id
        async with self._camera_lock:
            if not self.camera_on:
                return
            await self._close_camera()
            is_lost = not await self._ensure_camera()
        if is_lost:
            await self.set_camera(False)

    @asynccontextmanager
    async def microphone_aside(self, *, interrupt: bool) -> AsyncIterator[bool]:
        """Keep the microphone from being opened meanwhile; with `interrupt` close it as long.

        Gives whether none is open. Afterwards `microphone_id` decides which one is opened.
        """
        was_open = False
        async with self._mic_lock:
            if interrupt and self._microphone is not None:
                was_open = True
                await self._close_microphone()
            yield self._microphone is None
            # Still under the lock: whoever closes all devices now must find it.
            is_lost = was_open and not await self._ensure_microphone()
        if is_lost and self.mic_on:
            await self.set_microphone(False)

    async def close_devices(self) -> None:
        """Close both, after what is being opened now."""
        async with self._mic_lock:
            self.mic_on = False
            await self._close_microphone()
        async with self._camera_lock:
            self.camera_on = False
            await self._close_camera()
        self._tell()

    async def aclose(self) -> None:
        """Close both for good."""
        await self._owner.close()
        await self.close_devices()

    # -- switching --------------------------------------------------------------------------

    async def _switch_microphone(self, on: bool, outlet: Outlet | None) -> None:
        """Do it for `outlet`, unless the meeting has ended while this waited for its turn."""
        async with self._mic_lock:
            if outlet is not self._outlet:
                return
            try:
                is_open = on and await self._ensure_microphone()
                if not on and outlet is None:
                    await self._close_microphone()
                self.mic_on = is_open
                if outlet is not None:
                    await outlet.show_microphone(is_open)
            except WorldError:
                # Not allowed to speak, or the meeting is over: then it is not on.
                self.mic_on = False
                raise
            finally:
                self._tell()

    async def _switch_camera(self, on: bool, outlet: Outlet | None) -> None:
        """Do it for `outlet`, unless the meeting has ended while this waited for its turn."""
        async with self._camera_lock:
            if outlet is not self._outlet:
                return
            try:
                is_open = on and await self._ensure_camera()
                if not on:
                    await self._close_camera()
                self.camera_on = is_open
                if outlet is not None:
                    await outlet.show_camera(is_open)
            except WorldError:
                self.camera_on = False
                await self._close_camera()
                raise
            finally:
                self._tell()

    # -- devices ----------------------------------------------------------------------------

    async def _ensure_microphone(self) -> bool:
        if self._microphone is None:
            self._microphone = await self._open(self._make_microphone(), DeviceKind.MICROPHONE)
        return self._microphone is not None

    async def _ensure_camera(self) -> bool:
        if self._camera is None:
            try:
                camera = await asyncio.to_thread(self._make_camera)
            except WorldError as error:
                self._post(DeviceFailed(DeviceKind.CAMERA, error.reason))
                return False
            self._camera = await self._open(camera, DeviceKind.CAMERA)
        return self._camera is not None

    def _make_microphone(self) -> Capture:
        if self._generated is not None:
            return GeneratedTone(self._generated.tone_hz, self._on_pcm)
        self._microphone_number += 1
        return MicrophoneInput(
            self.microphone_id or None,
            self._on_pcm,
            self._processor,
            partial(self._on_microphone_failed, self._microphone_number),
        )

    def _make_camera(self) -> Capture:
        if self._generated is not None:
            made = self._generated
            size = (made.width, made.height)
            return GeneratedVideo(made.colour, self._on_picture, size, made.fps)
        cameras = self.list_cameras()
        chosen = next((c for c in cameras if c.id == self.camera_id), None)
        default = next((c for c in cameras if c.is_default), None)
        source = chosen or default
        if source is None and not self.camera_id:
            raise WorldError(Reason.DEVICE_GONE, detail="no camera")
        path = source.os_path if source is not None else self.camera_id
        self._camera_number += 1
        return CameraCapture(
            int(path) if path.isdecimal() else path,
            self._on_picture,
            width=CAMERA_SIZE[0],
            height=CAMERA_SIZE[1],
            on_failed=partial(self._on_camera_failed, self._camera_number),
        )

    async def _open(self, device: Capture, kind: DeviceKind) -> Capture | None:
        try:
            await asyncio.to_thread(device.start)
        except WorldError as error:
            log.info("device not opened", kind=str(kind), reason=str(error.reason))
            self._post(DeviceFailed(kind, error.reason))
            return None
        return device

    async def _close_microphone(self) -> None:
        device, self._microphone = self._microphone, None
        if device is not None:
            await asyncio.to_thread(device.close)
            self._post(LevelChanged(0.0))

    async def _close_camera(self) -> None:
        device, self._camera = self._camera, None
        if device is not None:
            await asyncio.to_thread(device.close)

    # -- media threads ----------------------------------------------------------------------

    def _on_pcm(self, pcm: Pcm) -> None:
        sink = self.pcm_sink
        if sink is not None:
            sink(pcm)
        now_s = time.monotonic()
        if now_s - self._level_at_s >= _LEVEL_PERIOD_S:
            self._level_at_s = now_s
            level = level_unit(pcm)
            self._soon(lambda: self._post(LevelChanged(level)))

    def _on_picture(self, picture: Picture, ts_rtp: int) -> None:
        sink = self.picture_sink
        if sink is not None:
            sink(picture, ts_rtp)
        self._show_own(picture, ts_rtp)

    def _on_microphone_failed(self, number: int, error: WorldError) -> None:
        self._soon(lambda: self._handle_lost(DeviceKind.MICROPHONE, number, error))

    def _on_camera_failed(self, number: int, error: WorldError) -> None:
        self._soon(lambda: self._handle_lost(DeviceKind.CAMERA, number, error))

    def _soon(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            # The engine has ended; so will this thread, any moment.
            return

    def _handle_lost(self, kind: DeviceKind, number: int, error: WorldError) -> None:
        newest = self._camera_number if kind is DeviceKind.CAMERA else self._microphone_number
        if number == newest:
            spawn(self._after_loss(kind, error), name="device lost", owner=self._owner)

    async def _after_loss(self, kind: DeviceKind, error: WorldError) -> None:
        await self.on_lost(kind, error)

    async def give_up(self, kind: DeviceKind, error: WorldError | None = None) -> None:
        """Close a device that does not work any more, and say so when there is an `error`."""
        if error is not None:
            self._post(DeviceFailed(kind, error.reason))
        if kind is DeviceKind.CAMERA:
            await self.set_camera(False)
            return
        async with self._mic_lock:
            await self._close_microphone()
        await self.set_microphone(False)

    def _tell(self) -> None:
        self._post(LocalMediaChanged(mic_on=self.mic_on, camera_on=self.camera_on))
