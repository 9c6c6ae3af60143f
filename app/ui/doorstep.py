"""What happens while a person stands before the door: preview, devices, who is inside.

Drives the pre-join page with the engine. It never joins; `lookUpFailed` says that the door
could not be asked. Belongs to the Qt thread.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from PySide6.QtCore import QObject, Signal

from app.engine.client import EngineClient, RoomLookup
from app.engine.events import (
    DeviceFailed,
    DeviceKind,
    DevicesChanged,
    Event,
    LevelChanged,
    LocalMediaChanged,
    VideoKind,
)
from app.protocol.invite import LinkKind
from app.runtime.errors import WorldError
from app.runtime.settings import SettingsStore
from app.ui.bridge import Bridge
from app.ui.home.destination import Destination, Wishes
from app.ui.home.prejoin_page import PrejoinPage

log = structlog.get_logger(__name__)

SaveSetting = Callable[[str, str | bool], None]

_SETTINGS = {
    DeviceKind.MICROPHONE: "microphone_id",
    DeviceKind.CAMERA: "camera_id",
    DeviceKind.SPEAKER: "speaker_id",
}


class Doorstep(QObject):
    """Opens the preview while the page is in front and gives the devices back afterwards."""

    lookUpFailed = Signal(object)

    def __init__(
        self,
        page: PrejoinPage,
        engine: EngineClient,
        bridge: Bridge,
        settings: SettingsStore,
        save: SaveSetting,
    ) -> None:
        super().__init__(page)
        self._page = page
        self._engine = engine
        self._bridge = bridge
        self._settings = settings
        self._save = save
        self._visit = 0
        self._is_here = False
        self.host_name = ""
        self.room_name = ""
        page.mediaWished.connect(self._preview)
        page.deviceChosen.connect(self._choose_device)
        page.testSoundRequested.connect(self._test_sound)
        page.mirrorChanged.connect(lambda on: save("mirror_self_view", on))

    def remembered_wishes(self) -> Wishes:
        """What the person chose last time."""
        current = self._settings.current
        return Wishes(
            current.name, mic_on=current.mic_on_at_join, camera_on=current.camera_on_at_join
        )

    def arrive(self, wishes: Wishes) -> None:
        """The page is in front: open what is wished and look which devices there are."""
        self._is_here = True
        self._preview(wishes.mic_on, wishes.camera_on)
        self._bridge.run(self._engine.refresh_devices(), on_error=log_refusal, name="devices")

    def leave(self, *, to_join: bool) -> None:
        """Another page comes; a join ends the preview by itself and takes the devices over."""
        self._visit += 1
        self._page.preview.detach()
        if self._is_here and not to_join:
            self._bridge.run(self._engine.stop_preview(), on_error=log_refusal, name="stop preview")
        self._is_here = False

    def ask_door(self, destination: Destination) -> None:
        """Find out who is there and whether a passcode is needed."""
        self._visit += 1
        self.host_name = self.room_name = ""
        if destination.link is None or not destination.has_door:
            return
        visit = self._visit
        has_invite = destination.link.kind is LinkKind.INVITE
        self._bridge.run(
            self._engine.look_up(destination.link),
            on_done=lambda lookup: self._on_lookup(visit, lookup, has_invite=has_invite),
            on_error=lambda error: self._on_lookup_failed(visit, error),
            name="look up",
        )

    def handle(self, event: Event) -> None:
        """Show what the engine says about devices."""
        match event:
            case DevicesChanged():
                self._page.set_devices(event, self._wished_devices())
            case DeviceFailed():
                self._page.show_problem(event)
            case LevelChanged(level=level):
                self._page.set_level(level)
            case LocalMediaChanged(mic_on=mic_on, camera_on=camera_on):
                self._page.set_media(mic_on=mic_on, camera_on=camera_on)
            case _:
                pass

    def _on_lookup(self, visit: int, lookup: RoomLookup, *, has_invite: bool) -> None:
        if visit != self._visit:
            return
        self.host_name = lookup.host_name
        # As the host wrote it: it may have been typed otherwise.
        self.room_name = lookup.room
        self._page.show_lookup(
            people=lookup.people,
            needs_passcode=lookup.needs_passcode and not has_invite,
            locked=lookup.locked,
            lobby=lookup.lobby,
            hidden=lookup.needs_passcode,
            known=lookup.known,
            host=lookup.host_name,
            room=lookup.room,
        )

    def _on_lookup_failed(self, visit: int, error: WorldError) -> None:
        if visit == self._visit:
            self.lookUpFailed.emit(error)

    def _preview(self, mic: bool, camera: bool) -> None:
        self._bridge.run(self._open_preview(mic, camera), on_error=log_refusal, name="preview")

    async def _open_preview(self, mic: bool, camera: bool) -> None:
        await self._engine.start_preview(mic=mic, camera=camera)
        if not self._is_here:
            await self._engine.stop_preview()
        elif not self._page.preview.is_attached:
            # Only now: the engine is ready, so that asking it for a slot waits for nothing.
            self._page.preview.attach(
                lambda ready: self._engine.tile_slot("", VideoKind.CAMERA, ready),
                self._engine.release_slot,
            )

    def _choose_device(self, kind: DeviceKind, device_id: str) -> None:
        self._save(_SETTINGS[kind], device_id)
        self._bridge.run(
            self._engine.choose_device(kind, device_id),
            on_error=lambda error: self._page.show_problem(DeviceFailed(kind, error.reason)),
        )

    def _test_sound(self) -> None:
        self._bridge.run(
            self._engine.play_test_sound(),
            on_error=lambda error: self._page.show_problem(
                DeviceFailed(DeviceKind.SPEAKER, error.reason)
            ),
        )

    def _wished_devices(self) -> dict[DeviceKind, str]:
        current = self._settings.current
        return {
            DeviceKind.MICROPHONE: current.microphone_id,
            DeviceKind.CAMERA: current.camera_id,
            DeviceKind.SPEAKER: current.speaker_id,
        }


def log_refusal(error: WorldError) -> None:
    """Take an error that needs no words: the page tells by what it shows."""
    log.info("not now", reason=str(error.reason))
