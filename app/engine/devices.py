"""Which devices there are, which one was chosen, and which one is used meanwhile.

Sound devices are those that PortAudio opens. It looks for them only while no stream is open, so
after plugging the streams are closed for a moment. Cameras are those that the system names. What
the interface reports (Qt's lists) adds the cameras' names, and its changes say that something
was plugged: without such reports the lists are read when somebody asks for them, and a device
that stops tells by itself. Belongs to the engine thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from app.engine.events import DeviceFailed, DeviceInfo, DeviceKind, DevicesChanged, Event
from app.engine.local_media import LocalMedia
from app.engine.playback import Playback
from app.media.devices import MediaDevice, list_audio_devices, list_cameras_fallback
from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

SETTLE_S = 0.5
MOST_LOOKS = 4
MOST_LOOKS_WITHIN_S = 20.0
SOUND = (DeviceKind.MICROPHONE, DeviceKind.SPEAKER)


class Devices:
    """Keeps the lists, and the used devices among those that exist.

    A device that vanishes while it is used is replaced by the default one until it comes back.
    Nothing is switched on by plugging: what was off stays off.
    """

    def __init__(
        self,
        post: Callable[[Event], None],
        local: LocalMedia,
        playback: Playback,
        wished: dict[DeviceKind, str],
        *,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._post = post
        self._local = local
        self._playback = playback
        self._wished = dict(wished)
        self._wished_names: dict[DeviceKind, str] = {}
        self._settle_s = settle_s
        self._owner = TaskOwner("devices")
        self._lock = asyncio.Lock()
        self._devices: tuple[DeviceInfo, ...] = ()
        self._used: dict[DeviceKind, DeviceInfo] = {}
        self._reported: tuple[DeviceInfo, ...] | None = None
        self._settling = False
        self._sound_changed = False
        self._interrupted_at_s: list[float] = []
        self._apply()
        local.list_cameras = self._cameras
        local.on_lost = self._on_lost
        playback.on_lost = self._on_speaker_lost

    @property
    def speaker_id(self) -> str:
        """The speaker to open; empty: the system's default."""
        return self._open_id(DeviceKind.SPEAKER)

    def wish(self, kind: DeviceKind, device_id: str) -> None:
        """Note the person's choice; it is used when it is next opened."""
        self._wished[kind] = device_id
        self._wished_names.pop(kind, None)
        self._settle_kind(kind)
        self._apply()

    async def choose(self, kind: DeviceKind, device_id: str) -> None:
        """Use another device from now on."""
        async with self._lock:
            self.wish(kind, device_id)
            match kind:
                case DeviceKind.MICROPHONE:
                    await self._local.choose_microphone(self._local.microphone_id)
                case DeviceKind.CAMERA:
                    await self._local.choose_camera(self._local.camera_id)
                case DeviceKind.SPEAKER:
                    await self._playback.choose(self.speaker_id)

    async def refresh(self) -> None:
        """Look which devices there are; what is open is not interrupted."""
        async with self._lock:
            await self._look(interrupt=False)

    async def take_report(self, reported: tuple[DeviceInfo, ...]) -> None:
        """Take Qt's lists; the first report names devices, any later one means plugging."""
        before, self._reported = self._reported, reported
        if before == reported:
            return
        if before is None:
            await self.refresh()
            return
        # The first sound devices change nothing for what is open: it was opened without Qt.
        if _sounds(before) and _sounds(before) != _sounds(reported):
            self._sound_changed = True
        if not self._settling:
            # One plug is several reports, and PortAudio sees it a moment later than Qt.
            self._settling = True
            spawn(self._after_settling(), name="plugged", owner=self._owner)

    async def aclose(self) -> None:
        """Look no more."""
        await self._owner.close()

    # -- looking ----------------------------------------------------------------------------

    async def _after_settling(self) -> None:
        await asyncio.sleep(self._settle_s)
        self._settling = False
        async with self._lock:
            changed, self._sound_changed = self._sound_changed, False
            await self._look(interrupt=changed and self._may_interrupt())

    def _may_interrupt(self) -> bool:
        """Whether streams may be closed once more.

        WORKAROUND: some headsets (Bluetooth) change their devices because a stream opens or
        closes; looking again would go on for ever. Delete when PortAudio notices plugging itself.
        """
        now_s = asyncio.get_running_loop().time()
        recent = [at_s for at_s in self._interrupted_at_s if now_s - at_s < MOST_LOOKS_WITHIN_S]
        self._interrupted_at_s = recent
        if len(recent) >= MOST_LOOKS:
            return False
        recent.append(now_s)
        return True

    async def _look(self, *, interrupt: bool) -> set[DeviceKind]:
        """Read the lists, go on with what is there; returns what was missed and told."""
        async with AsyncExitStack() as stack:
            is_open = {
                DeviceKind.MICROPHONE: self._local.has_microphone,
                DeviceKind.SPEAKER: self._playback.is_open,
                DeviceKind.CAMERA: self._local.camera_on,
            }
            aside = self._local.microphone_aside(interrupt=interrupt)
            is_free = await stack.enter_async_context(aside)
            quiet = self._playback.speaker_aside(interrupt=interrupt)
            is_free = await stack.enter_async_context(quiet) and is_free
            found = await self._list(rescan=is_free)
            before = dict(self._used)
            self._devices = found
            for kind in DeviceKind:
                self._settle_kind(kind)
            # On the way out the sound devices that were open are opened anew, by these ids.
            self._apply()
            self._post(DevicesChanged(found, {kind: self._used_id(kind) for kind in DeviceKind}))
            missed = {
                kind
                for kind in DeviceKind
                if is_open[kind] and kind in before and not _is_among(before[kind], found)
            }
            for kind in missed:
                other = self._used[kind].name if kind in self._used else ""
                name = before[kind].name
                self._post(DeviceFailed(kind, Reason.DEVICE_GONE, name, other))
        await self._follow_camera(before.get(DeviceKind.CAMERA), is_open[DeviceKind.CAMERA])
        return missed

    async def _follow_camera(self, before: DeviceInfo | None, was_open: bool) -> None:
        if not was_open or before is None:
            return
        now = self._used.get(DeviceKind.CAMERA)
        if now is None:
            await self._local.give_up(DeviceKind.CAMERA)
        elif now.id != before.id:
            try:
                await self._local.choose_camera(self._local.camera_id)
            except WorldError as error:
                log.info("camera not replaced", reason=str(error.reason))

    async def _list(self, *, rescan: bool) -> tuple[DeviceInfo, ...]:
        found = list(await asyncio.to_thread(self._cameras))
        try:
            sounds = await asyncio.to_thread(list_audio_devices, rescan=rescan)
            found += [_device_info(device) for device in sounds]
        except WorldError as error:
            self._post(DeviceFailed(DeviceKind.SPEAKER, error.reason))
        return tuple(found)

    def _cameras(self) -> list[DeviceInfo]:
        """What can be opened now (any thread), under Qt's names where it knows them."""
        found = [_device_info(device) for device in list_cameras_fallback()]
        reported = [d for d in self._reported or () if d.kind is DeviceKind.CAMERA]
        # A camera that has just gone is gone before Qt says so.
        there = [d for d in reported if not d.os_path or Path(d.os_path).exists()]
        return merge_cameras(there, found)

    # -- choosing ---------------------------------------------------------------------------

    def _settle_kind(self, kind: DeviceKind) -> None:
        """Decide which device of a kind is the used one."""
        there = [device for device in self._devices if device.kind is kind]
        wished, known_name = self._wished.get(kind, ""), self._wished_names.get(kind)
        chosen = next((device for device in there if device.id == wished), None)
        if chosen is None and wished and known_name:
            # Plugged in again it may have got another node, but it has kept its name.
            chosen = next((device for device in there if device.name == known_name), None)
        if chosen is not None:
            self._wished_names[kind] = chosen.name
        elif kind is DeviceKind.CAMERA and not wished:
            # An open camera is not left because another one is the default now.
            used = self._used.get(kind)
            chosen = next((device for device in there if device == used), None)
        default = next((device for device in there if device.is_default), None)
        settled = chosen or default or (there[0] if there else None)
        if settled is None:
            self._used.pop(kind, None)
        else:
            self._used[kind] = settled

    def _apply(self) -> None:
        self._local.microphone_id = self._open_id(DeviceKind.MICROPHONE)
        self._local.camera_id = self._open_id(DeviceKind.CAMERA)
        self._playback.use(self.speaker_id)

    def _open_id(self, kind: DeviceKind) -> str:
        """The id to open: the system's default unless a device was chosen and is there."""
        wished = self._wished.get(kind, "")
        if not any(device.kind is kind for device in self._devices):
            return wished
        used = self._used.get(kind)
        if used is None:
            return wished
        is_chosen = wished and used.name == self._wished_names.get(kind)
        return used.id if is_chosen or kind is DeviceKind.CAMERA else ""

    def _used_id(self, kind: DeviceKind) -> str:
        return self._used[kind].id if kind in self._used else ""

    # -- loss -------------------------------------------------------------------------------

    async def _on_lost(self, kind: DeviceKind, error: WorldError) -> None:
        async with self._lock:
            missed = await self._look(interrupt=kind in SOUND)
        if kind not in missed:
            await self._local.give_up(kind, error)

    async def _on_speaker_lost(self, error: WorldError) -> None:
        async with self._lock:
            missed = await self._look(interrupt=True)
        if DeviceKind.SPEAKER not in missed:
            self._post(DeviceFailed(DeviceKind.SPEAKER, error.reason))


def merge_cameras(reported: Sequence[DeviceInfo], found: Sequence[DeviceInfo]) -> list[DeviceInfo]:
    """Put together what Qt names and what the system lists: the same camera is one device.

    The id is the one of the list that is always there, so that settings hold without Qt. A
    camera that nothing can open (no `os_path`) is left out.
    """
    merged: list[DeviceInfo] = []
    for device in found:
        twin = next((one for one in reported if _is_same(one, device)), None)
        if twin is None:
            merged.append(device)
        else:
            merged.append(
                DeviceInfo(device.kind, device.id, twin.name, device.os_path, twin.is_default)
            )
    listed = {device.id for device in found}
    merged += [
        one
        for one in reported
        if one.os_path and one.id not in listed and not any(_is_same(one, d) for d in found)
    ]
    defaults = [device for device in merged if device.is_default]
    named = next((one for one in reported if one.is_default), None)
    best = next((d for d in defaults if named is not None and _is_same(named, d)), None)
    best = best or (defaults[0] if defaults else (merged[0] if merged else None))
    return [DeviceInfo(d.kind, d.id, d.name, d.os_path, is_default=d is best) for d in merged]


def _is_same(one: DeviceInfo, other: DeviceInfo) -> bool:
    if one.os_path and other.os_path:
        return one.os_path == other.os_path
    return one.id.casefold() == other.id.casefold() or one.name == other.name


def _is_among(device: DeviceInfo, devices: Sequence[DeviceInfo]) -> bool:
    return any(one.kind is device.kind and one.id == device.id for one in devices)


def _sounds(devices: Sequence[DeviceInfo]) -> set[tuple[DeviceKind, str, bool]]:
    return {(d.kind, d.id, d.is_default) for d in devices if d.kind in SOUND}


def _device_info(device: MediaDevice) -> DeviceInfo:
    return DeviceInfo(
        kind=DeviceKind(device.kind),
        id=device.id,
        name=device.name,
        os_path=device.os_path,
        is_default=device.is_default,
    )
