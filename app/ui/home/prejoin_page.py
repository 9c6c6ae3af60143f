"""Before the door: how one looks and sounds, which devices, under which name.

Nothing here keeps anybody out: a missing device is said in words, and joining goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QFrame,
    QHBoxLayout,
    QScrollArea,
    QSizePolicy,
    QSpacerItem,
    QVBoxLayout,
    QWidget,
)

from app.engine.events import DeviceFailed, DeviceInfo, DeviceKind, DevicesChanged
from app.protocol.ids import slug
from app.ui.home.destination import Destination, Wishes
from app.ui.home.page_header import PageHeader
from app.ui.home.preview import Preview
from app.ui.home.words import device_words, list_names, typeset
from app.ui.theme import TypeStyle, set_property
from app.ui.widgets import (
    AvatarRow,
    Button,
    Card,
    Chip,
    ComboBox,
    ElidedLabel,
    Hairline,
    IconButton,
    IconLabel,
    SegmentMeter,
    TextField,
    TextLabel,
)

_HEARD_LEVEL = 0.06
NARROW_PX = 880


class PrejoinPage(QWidget):
    """Collects `Wishes` for a `Destination`.

    `mediaWished` says which devices the preview shall open; `deviceChosen` which one to use.
    """

    backRequested = Signal()
    joinRequested = Signal(object)
    mediaWished = Signal(bool, bool)
    deviceChosen = Signal(object, str)
    testSoundRequested = Signal()
    mirrorChanged = Signal(bool)
    settingsRequested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("prejoinPage")
        self.setProperty("role", "page")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._destination = Destination()
        self._narrow: bool | None = None
        self._short: bool | None = None
        self._devices: dict[DeviceKind, list[DeviceInfo]] = {}
        self._problems: dict[DeviceKind, str] = {}
        self._heard = False
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._make_header())
        content = QWidget()
        content.setProperty("role", "scrolled")
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.viewport().setAutoFillBackground(False)
        scroll.setWidget(content)
        self._scroll = scroll
        column.addWidget(scroll, 1)
        self._columns = QBoxLayout(QBoxLayout.Direction.LeftToRight, content)
        self._columns.addWidget(self._make_left(), 1, Qt.AlignmentFlag.AlignVCenter)
        self._columns.addWidget(self._make_form(), 0, Qt.AlignmentFlag.AlignVCenter)
        self._reflow()

    # -- what the application tells it --------------------------------------------------------

    def open_for(self, destination: Destination, wishes: Wishes, *, mirrored: bool) -> None:
        """Start afresh for a destination, with what the person chose last time."""
        self._destination = destination
        self._problems.clear()
        self._heard = False
        hosting = destination.host is not None
        self.room_name.setText(destination.room or "Meeting")
        self.nearby_chip.setVisible(destination.is_nearby)
        self.nearby_chip.set_text(
            "This computer" if hosting else "This network", "house-line" if hosting else "broadcast"
        )
        self.passcode_chip.setVisible(bool(destination.host and destination.host.passcode))
        self.locked_chip.hide()
        self.lobby_chip.setVisible(bool(destination.host and destination.host.lobby))
        self.avatars.set_names(())
        self.who.setText("You're hosting this meeting" if hosting else destination.address)
        self.who.setText(typeset(self.who.full_text()))
        self.join_button.setText("Start meeting" if hosting else "Join now")
        self._hint_end.setText("to start" if hosting else "to join")
        self.name_field.setText(wishes.name)
        self.passcode_field.clear()
        self._show_passcode(False)
        self.preview.mirror.setChecked(mirrored)
        self.preview.mic.setChecked(wishes.mic_on)
        self.preview.camera.setChecked(wishes.camera_on)
        self._refresh()

    def show_lookup(
        self,
        *,
        people: Sequence[str],
        needs_passcode: bool,
        locked: bool,
        known: bool,
        lobby: bool = False,
        hidden: bool = False,
        host: str = "",
        room: str = "",
    ) -> None:
        """Say who is there, as the door told."""
        if not known:
            return
        if slug(room) == slug(self._destination.room):
            # As the host wrote it: it may have been typed otherwise.
            self.room_name.setText(room)
        self.avatars.set_names(people)
        # Behind a passcode the door does not say who is in, not even to those with an invitation.
        unnamed = (needs_passcode or hidden) and not people
        told = f"Hosted by {host}" if host else self._destination.address
        self.who.setText(typeset(told) if unnamed else list_names(tuple(people)))
        self.locked_chip.setVisible(locked)
        self.lobby_chip.setVisible(lobby and not locked)
        self._show_passcode(needs_passcode)
        self._reflow()

    def ask_passcode_again(self) -> None:
        """Show the passcode field with its mistake; the person only types it again."""
        self._show_passcode(True)
        self._say_passcode(typeset("That passcode isn't right. Check it with the host."))
        self.passcode_field.selectAll()
        self.passcode_field.setFocus(Qt.FocusReason.OtherFocusReason)

    def set_devices(
        self, event: DevicesChanged, wished: Mapping[DeviceKind, str] | None = None
    ) -> None:
        """Fill the three lists; an empty one says so and is disabled.

        `wished` holds what the person chose, "" for the system's default.
        """
        self._devices = {
            kind: [device for device in event.devices if device.kind is kind] for kind in DeviceKind
        }
        for kind, combo in self._combos.items():
            chosen = event.chosen.get(kind, "")
            if wished is not None and not wished.get(kind):
                chosen = ""
            _fill(combo, self._devices[kind], chosen, _NOTHING[kind])
            if self._devices[kind]:
                self._problems.pop(kind, None)
        self.test_button.setEnabled(bool(self._devices[DeviceKind.SPEAKER]))
        self._refresh()

    def show_problem(self, event: DeviceFailed) -> None:
        """Explain a device that could not be opened."""
        self._problems[event.kind] = device_words(event.kind.value, event.reason)
        self._refresh()

    def set_media(self, *, mic_on: bool, camera_on: bool) -> None:
        """Forget a problem that is over: the device is open now."""
        if mic_on:
            self._problems.pop(DeviceKind.MICROPHONE, None)
        if camera_on:
            self._problems.pop(DeviceKind.CAMERA, None)
        self._refresh()

    def set_level(self, level: float) -> None:
        """Show the microphone's level."""
        self.meter.set_level(level)
        if level > _HEARD_LEVEL and not self._heard:
            self._heard = True
            self._refresh()

    def wishes(self) -> Wishes:
        """Return what the person chose."""
        return Wishes(
            name=self.name_field.text().strip(),
            passcode=self.passcode_field.text() if self._passcode_box.isVisibleTo(self) else "",
            mic_on=self.preview.mic.isChecked(),
            camera_on=self.preview.camera.isChecked(),
        )

    def focus_first(self) -> None:
        """Give the focus to the name, or to the passcode when the name is known."""
        asks = self._passcode_box.isVisibleTo(self) and self.name_field.text().strip()
        field = self.passcode_field if asks else self.name_field
        field.setFocus(Qt.FocusReason.OtherFocusReason)
        self._scroll.ensureWidgetVisible(field)

    # -- building ------------------------------------------------------------------------------

    def _make_header(self) -> PageHeader:
        header = PageHeader()
        back = Button("Back", "arrow-left", tone="ghost", size="small")
        back.setObjectName("prejoinBack")
        back.clicked.connect(self.backRequested)
        header.set_left(back)
        gear = IconButton("gear-six", "Settings", side_px=36, icon_px=20)
        gear.setObjectName("prejoinSettings")
        gear.clicked.connect(lambda: self.settingsRequested.emit(gear))
        header.set_right(gear)
        return header

    def _make_left(self) -> QWidget:
        left = self._left = QWidget()
        left.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(16)
        self.preview = Preview()
        self.preview.mic.toggled.connect(self._on_media)
        self.preview.camera.toggled.connect(self._on_media)
        self.preview.mirror.toggled.connect(self.mirrorChanged)
        column.addWidget(self.preview)
        card = Card(padding=0)
        card.setObjectName("prejoinLevelCard")
        card.setFixedHeight(62)
        row = QHBoxLayout()
        row.setContentsMargins(20, 0, 18, 0)
        row.setSpacing(14)
        self._hear_icon = IconLabel("microphone", 18, "accent")
        row.addWidget(self._hear_icon)
        self.hear_label = TextLabel("", TypeStyle.LABEL)
        row.addWidget(self.hear_label)
        self.meter = SegmentMeter()
        self.meter.setObjectName("prejoinLevel")
        row.addWidget(self.meter, 1)
        # Takes the room when there is no meter, so that the button keeps its size.
        row.addStretch(0)
        line = Hairline(vertical=True)
        line.setFixedHeight(32)
        row.addWidget(line)
        self.test_button = Button("Test speakers", "speaker-high", size="small")
        self.test_button.setObjectName("prejoinTestSpeaker")
        self.test_button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.test_button.clicked.connect(self.testSoundRequested)
        row.addWidget(self.test_button)
        card.body.addLayout(row)
        column.addWidget(card)
        return left

    def _make_form(self) -> QWidget:
        form = self._form = QWidget()
        column = self._form_box = QVBoxLayout(form)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self._chip_row = QWidget()
        chips = QHBoxLayout(self._chip_row)
        chips.setContentsMargins(0, 0, 0, 12)
        chips.setSpacing(8)
        self.nearby_chip = Chip("This network", "broadcast", "neutral")
        self.passcode_chip = Chip("Passcode", "key", "neutral")
        self.locked_chip = Chip("Locked", "lock-key", "warn")
        self.lobby_chip = Chip("Waiting room", "hourglass", "neutral")
        self.lobby_chip.setToolTip("The host lets each person in")
        for chip in (self.nearby_chip, self.passcode_chip, self.lobby_chip, self.locked_chip):
            chips.addWidget(chip)
        chips.addStretch(1)
        column.addWidget(self._chip_row)
        self.room_name = ElidedLabel("", TypeStyle.DISPLAY)
        self.room_name.setObjectName("prejoinRoom")
        column.addWidget(self.room_name)
        column.addSpacing(8)
        people = QHBoxLayout()
        people.setSpacing(10)
        self.avatars = AvatarRow(28)
        people.addWidget(self.avatars)
        self.who = ElidedLabel("", TypeStyle.NOTE, "text2")
        self.who.setObjectName("prejoinWho")
        people.addWidget(self.who, 1, Qt.AlignmentFlag.AlignVCenter)
        people.addStrut(32)
        column.addLayout(people)
        self._gap = QSpacerItem(0, 22)
        column.addItem(self._gap)
        self.name_field = TextField("Your name", "user")
        self.name_field.setObjectName("prejoinName")
        self.name_field.setMaxLength(64)
        self.name_field.textChanged.connect(self._refresh)
        self.name_field.returnPressed.connect(self._on_join)
        column.addWidget(_Labelled("Your name", self.name_field))
        self._make_passcode(column)
        self._combos = {
            DeviceKind.MICROPHONE: ComboBox("microphone"),
            DeviceKind.CAMERA: ComboBox("video-camera"),
            DeviceKind.SPEAKER: ComboBox("speaker-high"),
        }
        for kind, combo in self._combos.items():
            combo.setObjectName(_COMBO_NAMES[kind])
            _fill(combo, [], "", "Looking for devices\u2026")
            combo.activated.connect(
                lambda _index, kind=kind, combo=combo: self.deviceChosen.emit(
                    kind, str(combo.currentData() or "")
                )
            )
            column.addWidget(_Labelled(_LABELS[kind], combo))
        column.addSpacing(10)
        self.join_button = Button("Join now", tone="primary", size="large")
        self.join_button.setObjectName("prejoinJoin")
        self.join_button.clicked.connect(self._on_join)
        column.addWidget(self.join_button)
        self._hint = self._make_hint()
        column.addWidget(self._hint)
        return form

    def _make_passcode(self, column: QVBoxLayout) -> None:
        self.passcode_field = TextField("From the host", "key")
        self.passcode_field.setObjectName("prejoinPasscode")
        self.passcode_field.setMaxLength(128)
        self.passcode_field.textEdited.connect(lambda _text: self._say_passcode(""))
        self.passcode_field.textChanged.connect(self._refresh)
        self.passcode_field.returnPressed.connect(self._on_join)
        self._passcode_box = _Labelled("Passcode", self.passcode_field)
        self.passcode_problem = TextLabel("", TypeStyle.CAPTION, "danger")
        self.passcode_problem.setObjectName("prejoinPasscodeProblem")
        column.addWidget(self._passcode_box)
        box = self._passcode_box.layout()
        if box is not None:
            box.addWidget(self.passcode_problem)
        self.passcode_problem.hide()

    def _make_hint(self) -> QWidget:
        hint = QWidget()
        row = QHBoxLayout(hint)
        row.setContentsMargins(0, 12, 0, 0)
        row.setSpacing(6)
        row.addStretch(1)
        row.addWidget(TextLabel("Press", TypeStyle.CAPTION, "text2"))
        key = TextLabel("Enter", TypeStyle.CAPTION)
        key.setProperty("role", "key")
        key.setFixedHeight(20)
        row.addWidget(key)
        self._hint_end = TextLabel("to join", TypeStyle.CAPTION, "text2")
        row.addWidget(self._hint_end)
        row.addStretch(1)
        return hint

    # -- reacting ------------------------------------------------------------------------------

    def _on_media(self, _on: bool) -> None:
        self._heard = False
        self.meter.set_level(0.0)
        self._refresh()
        if self.isVisible():
            self.mediaWished.emit(self.preview.mic.isChecked(), self.preview.camera.isChecked())

    def _on_join(self) -> None:
        if self.join_button.isEnabled():
            self.joinRequested.emit(self.wishes())

    def _show_passcode(self, needed: bool) -> None:
        self._passcode_box.setVisible(needed)
        self._say_passcode("")
        self._refresh()

    def _say_passcode(self, problem: str) -> None:
        self.passcode_field.set_problem(bool(problem))
        self.passcode_problem.setText(problem)
        self.passcode_problem.setVisible(bool(problem))

    def _refresh(self) -> None:
        name = self.name_field.text().strip()
        needs = self._passcode_box.isVisibleTo(self) and not self.passcode_field.text()
        self.join_button.setEnabled(bool(name) and not needs)
        camera_on = self.preview.camera.isChecked()
        self.preview.set_state(
            name=name,
            camera_on=camera_on,
            message=self._problems.get(DeviceKind.CAMERA, "") if camera_on else "",
        )
        problem = self._problems.get(DeviceKind.MICROPHONE, "")
        mic_on = self.preview.mic.isChecked()
        if problem and mic_on:
            text, icon, tone = problem, "warning", "warn_text"
        elif not mic_on:
            text, icon, tone = "You'll join muted", "microphone-slash-fill", "danger_text"
        elif self._heard:
            text, icon, tone = "We can hear you", "microphone", "accent"
        else:
            text, icon, tone = "Say something to test", "microphone", "text2"
        self.hear_label.setText(typeset(text))
        self._hear_icon.set_icon(icon, tone)
        self.meter.setVisible(mic_on and not problem)
        set_property(self.hear_label, "tone", "warn" if problem and mic_on else "text1")

    def showEvent(self, event: QShowEvent) -> None:
        """Lay out for the size there is."""
        super().showEvent(event)
        self._reflow()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Two columns or one, airy or tight."""
        super().resizeEvent(event)
        self._reflow()

    def _reflow(self) -> None:
        narrow = self.width() < NARROW_PX
        short = self.height() < 720
        edge = 24 if narrow or short else 50
        form_px = 320 if self.width() < 1100 else 380
        gap = 24 if narrow or short else 40
        self._form.setMinimumWidth(0 if narrow else form_px)
        self._form.setMaximumWidth(16_777_215 if narrow else form_px)
        room_px = self.width() - 2 * edge - (0 if narrow else form_px + gap)
        high_px = max(160, self.height() - 56 - 2 * 24 - 16 - 62)
        preview_px = max(240, min(room_px, 960, round(high_px * 16 / 9)))
        if narrow:
            # The form comes underneath: leave it room, and use the whole width.
            preview_px = room_px
        wide_px = round(preview_px * 9 / 16)
        self.preview.setFixedHeight(min(wide_px, self.height() * 2 // 5) if narrow else wide_px)
        self._left.setMaximumWidth(preview_px)
        # Both columns together stand in the middle.
        used = preview_px + (0 if narrow else form_px + gap)
        side = max(edge, (self.width() - used) // 2)
        self._gap.changeSize(0, 10 if short else 22)
        for box in self._form.findChildren(_Labelled):
            box.set_tight(short)
        self._columns.setContentsMargins(side, 10, side, 10)
        self._columns.setSpacing(gap)
        direction = QBoxLayout.Direction
        self._columns.setDirection(direction.TopToBottom if narrow else direction.LeftToRight)
        self._hint.setVisible(not short)
        self._chip_row.setVisible(not short or self.locked_chip.isVisibleTo(self._chip_row))


_COMBO_NAMES = {
    DeviceKind.MICROPHONE: "prejoinMicDevice",
    DeviceKind.CAMERA: "prejoinCameraDevice",
    DeviceKind.SPEAKER: "prejoinSpeakerDevice",
}
_LABELS = {
    DeviceKind.MICROPHONE: "Microphone",
    DeviceKind.CAMERA: "Camera",
    DeviceKind.SPEAKER: "Speakers",
}
_NOTHING = {
    DeviceKind.MICROPHONE: "No microphone found",
    DeviceKind.CAMERA: "No camera found",
    DeviceKind.SPEAKER: "No speakers found",
}


class _Labelled(QWidget):
    """A field under its label."""

    def __init__(self, label: str, field: QWidget) -> None:
        super().__init__()
        self._column = QVBoxLayout(self)
        self.set_tight(False)
        words = TextLabel(label, TypeStyle.LABEL, "text2")
        words.setBuddy(field)
        field.setAccessibleName(label)
        self._column.addWidget(words)
        self._column.addWidget(field)

    def set_tight(self, tight: bool) -> None:
        """Use less room in a low window."""
        self._column.setSpacing(4 if tight else 6)
        self._column.setContentsMargins(0, 0, 0, 8 if tight else 14)


def _fill(combo: ComboBox, devices: list[DeviceInfo], chosen: str, nothing: str) -> None:
    combo.blockSignals(True)
    combo.clear()
    combo.setEnabled(bool(devices))
    if not devices:
        combo.addItem(nothing, "")
    default = next((device for device in devices if device.is_default), None)
    if default is not None and default.kind is not DeviceKind.CAMERA:
        combo.addItem(f"System default \u2013 {default.name}", "")
    for device in devices:
        combo.addItem(device.name, device.id)
    combo.setCurrentIndex(max(0, combo.findData(chosen)))
    combo.blockSignals(False)
