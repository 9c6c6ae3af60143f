"""The menus behind the arrows of microphone and camera: which devices there are, which is used."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QObject, QPoint, Signal
from PySide6.QtWidgets import QWidget

from app.engine.events import DeviceInfo, DeviceKind, DevicesChanged
from app.ui.stage.control_bar import popup_above
from app.ui.widgets import Menu

_TITLES = {
    DeviceKind.MICROPHONE: "Microphone",
    DeviceKind.SPEAKER: "Speakers",
    DeviceKind.CAMERA: "Camera",
}
SOUND = (DeviceKind.MICROPHONE, DeviceKind.SPEAKER)
PICTURE = (DeviceKind.CAMERA,)


class DeviceMenus(QObject):
    """Knows the devices that the engine named; `chosen` says what a person picked.

    A menu shows the list known when it opens; `refreshWished` asks for a fresh one, which is
    there the next time, because a menu that changes under the pointer picks the wrong entry.
    """

    chosen = Signal(DeviceKind, str)
    refreshWished = Signal()

    def __init__(self, host: QWidget) -> None:
        super().__init__(host)
        self._host = host
        self._devices: tuple[DeviceInfo, ...] = ()
        self._used: dict[DeviceKind, str] = {}

    def handle(self, event: DevicesChanged) -> None:
        """Take the newest list."""
        self._devices, self._used = event.devices, dict(event.chosen)

    def open_(self, kinds: tuple[DeviceKind, ...], at: QPoint) -> None:
        """Open the menu for these kinds with its lower edge at `at`."""
        self.refreshWished.emit()
        menu = Menu(self._host)
        menu.setObjectName("deviceMenu")
        for kind in kinds:
            if kind is not kinds[0]:
                menu.addSeparator()
            self._add_kind(menu, kind)
        popup_above(menu, at, align_right=False)

    def _add_kind(self, menu: Menu, kind: DeviceKind) -> None:
        menu.add_heading(_TITLES[kind])
        found = [device for device in self._devices if device.kind is kind]
        if not found:
            menu.addAction("None found").setEnabled(False)
        used = self._used.get(kind, "")
        for device in found:
            menu.add_item(
                device.name,
                partial(self._choose, kind, device.id),
                name=f"device_{device.id}",
                checked=device.id == used or (not used and device.is_default),
            )

    def _choose(self, kind: DeviceKind, device_id: str) -> None:
        self._used[kind] = device_id
        self.chosen.emit(kind, device_id)
