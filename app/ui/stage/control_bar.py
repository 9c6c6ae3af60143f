"""The control bar: microphone and camera never move, Leave is always the last.

Shows what it is told (`set_*`) and says what was pressed (signals); it decides nothing about
the meeting. A control whose function does not exist is not made at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPoint, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QFont,
    QFontMetricsF,
    QPainter,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QFrame, QHBoxLayout, QStyle, QWidget

from app.ui.theme import (
    Radius,
    TypeStyle,
    color,
    fill_rounded,
    font_of,
    font_px,
    mirrored,
    paint_icon,
    stroke_rounded,
)
from app.ui.widgets import ControlButton, Hairline, LevelBar, Menu, ToolButton
from app.ui.widgets.focus import shows_focus

HEIGHT_PX = 76
COMPACT_HEIGHT_PX = 60
BADGE_PX = 18.0
_MENU_WIDTH_PX = 232


@dataclass(frozen=True, slots=True)
class MediaLook:
    """The two faces of a microphone or camera button, and the one for trouble."""

    icon_on: str
    icon_off: str
    text_on: str
    text_off: str
    text_problem: str
    shortcut: str
    menu_name: str


MIC = MediaLook(
    "microphone", "microphone-slash-fill", "Mute", "Unmute", "No mic", "Ctrl+D", "Microphone"
)
CAMERA = MediaLook(
    "video-camera",
    "video-camera-slash-fill",
    "Stop video",
    "Start video",
    "No camera",
    "Ctrl+E",
    "Camera",
)


class ArrowButton(ToolButton):
    """The narrow half of a pair: opens the menu of devices."""

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFixedWidth(24)
        self.setAccessibleName(name)
        self.setToolTip(name)
        self.token = "text2"
        self.danger = False

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the caret, and a plate of its own when it belongs to Leave."""
        painter = QPainter(self)
        box = QRectF(self.rect())
        if self.danger:
            painter.setClipRect(box)
            hot = self.underMouse() or self.isDown()
            plate = mirrored(self, box.adjusted(-20, 0, 0, 0))
            fill_rounded(painter, plate, Radius.TILE, color(_danger(hot)))
        elif self.underMouse() and self.isEnabled():
            fill_rounded(painter, box.adjusted(1, 3, -3, -3), Radius.SMALL, color("surface3"))
        if shows_focus(self):
            ring = color("on_danger" if self.danger else "accent")
            stroke_rounded(painter, box.adjusted(1, 1, -1, -1), Radius.SMALL, ring, 2)
        token = "on_danger" if self.danger else self.token
        ink = color(token)
        if not self.isEnabled():
            ink.setAlphaF(0.45)
        side = 14.0
        rect = QRectF((box.width() - side) / 2, (box.height() - side) / 2, side, side)
        paint_icon(painter, rect, "caret-up", ink)


def _danger(hot: bool) -> str:
    return "danger_hover" if hot else "danger"


class MediaPair(QWidget):
    """Microphone or camera: the button and its arrow on one rounded plate."""

    toggled = Signal()
    menuRequested = Signal(QPoint)

    def __init__(self, look: MediaLook, name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._look = look
        self._plate = "surface2"
        self.button = ControlButton(look.icon_on, look.text_on)
        self.button.setObjectName(name)
        self.button.clicked.connect(self.toggled)
        self.arrow = ArrowButton(f"{look.menu_name} choices", self)
        self.arrow.setObjectName(f"{name}Menu")
        self.arrow.clicked.connect(self._on_arrow)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(1)
        row.addWidget(self.button)
        row.addWidget(self.arrow)
        self.level = LevelBar(parent=self)
        self.level.setVisible(look is MIC)
        self.set_compact(False)
        self.set_state(on=False, problem=False)

    def set_state(self, *, on: bool, problem: bool) -> None:
        """Show open, closed, or that there is no device to open."""
        look = self._look
        if problem:
            self.button.set_state("warning", look.text_problem, "problem")
            self._plate, self.arrow.token = "warn_soft", "warn_text"
        elif on:
            self.button.set_state(look.icon_on, look.text_on, "")
            self._plate, self.arrow.token = "surface2", "text2"
        else:
            self.button.set_state(look.icon_off, look.text_off, "off")
            self._plate, self.arrow.token = "danger_soft", "danger_text"
        self.button.set_shortcut_hint(look.shortcut)
        self.level.setVisible(look is MIC and on and not problem)
        if not on:
            self.level.set_level(0.0)
        self.update()

    def set_compact(self, compact: bool) -> None:
        """Icon alone in a narrow window."""
        self.button.set_compact(compact)
        height = 44 if compact else 56
        self.arrow.setFixedHeight(height)
        self.setFixedHeight(height)
        self._place_level()
        self.level.raise_()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the level at the outer edge, which may be the right one."""
        super().resizeEvent(event)
        self._place_level()

    def _place_level(self) -> None:
        top = (self.height() - self.level.height()) // 2
        box = mirrored(self, QRectF(5, top, self.level.width(), self.level.height()))
        self.level.move(box.topLeft().toPoint())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the plate under both halves."""
        fill_rounded(QPainter(self), QRectF(self.rect()), Radius.TILE, color(self._plate))

    def _on_arrow(self) -> None:
        self.menuRequested.emit(_over_bar(self, 0))


class PanelButton(ControlButton):
    """Opens a panel; carries a badge (unread, waiting) or a quiet number (people).

    `counted` is what a screen reader hears after the badge's number.
    """

    def __init__(
        self, icon: str, text: str, name: str, shortcut: str, *, counted: str = "unread"
    ) -> None:
        super().__init__(icon, text)
        self.setObjectName(name)
        self.setCheckable(True)
        self._icon, self._text = icon, text
        self._shortcut = shortcut
        self._counted = counted
        self._badge, self._number = "", ""
        self.set_open(False)

    def set_open(self, is_open: bool) -> None:
        """Light the button while its panel is on screen."""
        self.setChecked(is_open)
        self.set_state(self._icon, self._text, "on" if is_open else "")
        self.set_shortcut_hint(self._shortcut)
        self._name()

    def set_badge(self, badge: str) -> None:
        """Show how many want attention; "" shows nothing."""
        self._badge = badge
        self._name()
        self.update()

    def set_number(self, number: str) -> None:
        """Show a quiet number beside the icon."""
        self._number = number
        self._name()
        self.update()

    def _name(self) -> None:
        extra = f", {self._badge} {self._counted}" if self._badge else ""
        extra += f", {self._number}" if self._number else ""
        self.setAccessibleName(self._text + extra)

    def badge_box(self) -> QRectF:
        """Where the badge is: beside the icon, and whole on a small button too."""
        box = QRectF(self.width() / 2 + 5, self._top(), badge_width(self._badge), BADGE_PX)
        box.moveRight(min(box.right(), self.width()))
        return box

    def _top(self) -> float:
        return 3.0 if self.height() > 50 else 1.0

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the button, then what it carries."""
        super().paintEvent(event)
        painter = QPainter(self)
        top = self._top()
        middle = self.width() / 2
        if self._badge:
            box = self.badge_box()
            paint_badge(painter, box.x(), box.y(), self._badge)
        elif self._number and self.toolButtonStyle() != Qt.ToolButtonStyle.ToolButtonIconOnly:
            painter.setFont(font_of(TypeStyle.MICRO, tabular=True))
            painter.setPen(color("accent_text" if self.isChecked() else "text2"))
            box = mirrored(self, QRectF(middle + 14, top + 1, 24, 18))
            leading = QStyle.visualAlignment(
                self.layoutDirection(), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
            )
            painter.drawText(box, leading | Qt.AlignmentFlag.AlignAbsolute, self._number)


def _badge_font() -> QFont:
    return font_px(11, 700, tabular=True)


def badge_width(text: str) -> float:
    """How wide a badge is with this text."""
    return max(BADGE_PX, QFontMetricsF(_badge_font()).horizontalAdvance(text) + 9)


def paint_badge(painter: QPainter, x: float, y: float, text: str) -> None:
    """An 18 px accent disc, longer for "9+"."""
    box = QRectF(x, y, badge_width(text), BADGE_PX)
    fill_rounded(painter, box, BADGE_PX / 2, color("accent"))
    painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
    painter.setFont(_badge_font())
    painter.setPen(color("on_accent"))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


class LeaveButton(ToolButton):
    """The red one: 48 px high, always at the end of the bar."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("controlLeave")
        self.setText("Leave")
        self.setAccessibleName("Leave meeting")
        self.setAccessibleDescription("Ctrl+Shift+W")
        self.setToolTip("Leave meeting (Ctrl+Shift+W)")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFixedSize(100, 48)
        self.joined_right = False

    def set_compact(self, compact: bool) -> None:
        """Lower in a narrow window; the word stays."""
        self.setFixedHeight(44 if compact else 48)

    def sizeHint(self) -> QSize:
        """Fixed."""
        return QSize(100, 48)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint plate, icon and word."""
        painter = QPainter(self)
        box = QRectF(self.rect())
        hot = self.underMouse() or self.isDown()
        painter.setClipRect(box)
        plate = mirrored(self, box.adjusted(0, 0, 20, 0)) if self.joined_right else box
        fill_rounded(painter, plate, Radius.TILE, color(_danger(hot)))
        if shows_focus(self):
            ring = box.adjusted(2, 2, -2, -2)
            stroke_rounded(painter, ring, Radius.INPUT, color("on_danger"), 2)
        font = font_px(15, 600)
        word = QFontMetricsF(font).horizontalAdvance(self.text())
        left = (box.width() - 20 - 8 - word) / 2
        paint_icon(
            painter,
            QRectF(left, (box.height() - 20) / 2, 20, 20),
            "phone-x-fill",
            color("on_danger"),
        )
        painter.setFont(font)
        painter.setPen(color("on_danger"))
        painter.drawText(
            QRectF(left + 28, 0, word + 4, box.height()),
            Qt.AlignmentFlag.AlignVCenter,
            self.text(),
        )


class ControlBar(QFrame):
    """Microphone, camera, more · chat, people, files, leave."""

    micToggled = Signal()
    cameraToggled = Signal()
    micMenuRequested = Signal(QPoint)
    cameraMenuRequested = Signal(QPoint)
    handToggled = Signal()
    reactRequested = Signal(QPoint)
    hostRequested = Signal(QPoint)
    moreRequested = Signal(QPoint)
    panelToggled = Signal(str)
    leaveRequested = Signal()
    endForAllRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("controlBar")
        self.setProperty("role", "bottombar")
        self.setAccessibleName("Controls")
        self.mic = MediaPair(MIC, "controlMic", self)
        self.mic.toggled.connect(self.micToggled)
        self.mic.menuRequested.connect(self.micMenuRequested)
        self.camera = MediaPair(CAMERA, "controlCamera", self)
        self.camera.toggled.connect(self.cameraToggled)
        self.camera.menuRequested.connect(self.cameraMenuRequested)
        self._line = Hairline(vertical=True)
        self._line.setFixedHeight(32)
        self._make_people_buttons()
        self.more = ControlButton("dots-three-outline", "More")
        self.more.setObjectName("controlMore")
        self.more.setToolTip("More")
        self.more.clicked.connect(lambda: self.moreRequested.emit(_over_bar(self.more, 0)))
        self.captions = ControlButton("closed-captioning", "Captions")
        self.captions.setObjectName("controlCaptions")
        self.chat = PanelButton("chat-circle-text", "Chat", "controlChat", "Ctrl+1")
        self.people = PanelButton("users", "People", "controlPeople", "Ctrl+2", counted="waiting")
        self.files = PanelButton(
            "folder-open", "Files", "controlFiles", "Ctrl+3", counted="on their way"
        )
        for key, button in self.panel_buttons().items():
            button.clicked.connect(lambda _checked=False, panel=key: self.panelToggled.emit(panel))
        self.leave = LeaveButton(self)
        self.leave.clicked.connect(self.leaveRequested)
        self.leave_menu = ArrowButton("Leave choices", self)
        self.leave_menu.setObjectName("controlLeaveMenu")
        self.leave_menu.danger = True
        self.leave_menu.setFixedSize(28, 48)
        self.leave_menu.clicked.connect(self._on_leave_menu)
        self.leave_menu.hide()
        self._row = QHBoxLayout(self)
        self._fill_row()
        self.set_compact(False)

    def _make_people_buttons(self) -> None:
        self.hand = ControlButton("hand-palm", "Raise")
        self.hand.setObjectName("controlHand")
        self.hand.clicked.connect(self.handToggled)
        self.set_hand(False)
        self.react = ControlButton("smiley", "React")
        self.react.setObjectName("controlReact")
        self.react.set_shortcut_hint("Ctrl+Shift+E")
        self.react.clicked.connect(lambda: self.reactRequested.emit(_above(self.react)))
        self.host = ControlButton("shield-check", "Host")
        self.host.setObjectName("controlHost")
        self.host.setAccessibleName("Host controls")
        self.host.setToolTip("Host controls")
        self.host.clicked.connect(lambda: self.hostRequested.emit(_above(self.host)))
        self.host.hide()
        self.has_host_controls = False
        self._is_compact = self._is_tight = False

    def set_hand(self, raised: bool) -> None:
        """Light the hand while it is up."""
        if raised:
            self.hand.set_state("hand-palm-fill", "Lower", "raised")
        else:
            self.hand.set_state("hand-palm", "Raise", "")
        self.hand.setAccessibleName("Lower your hand" if raised else "Raise your hand")
        self.hand.set_shortcut_hint("Ctrl+Shift+H")

    def set_host(self, is_host: bool) -> None:
        """Offer the host controls; a narrow window keeps them in More."""
        self.has_host_controls = is_host
        self.host.setVisible(is_host and not self._is_compact)

    def show_host_open(self, is_open: bool) -> None:
        """Light the Host button while its controls are on screen."""
        self.host.set_state("shield-check", "Host", "on" if is_open else "")
        self.host.setAccessibleName("Host controls")

    def reactions_at(self) -> QPoint:
        """Where a popover stands that belongs to React, or to More while React is in there."""
        return _above(self.more if self._is_tight else self.react)

    def _fill_row(self) -> None:
        row = self._row
        row.setSpacing(4)
        row.addWidget(self.mic)
        row.addSpacing(8)
        row.addWidget(self.camera)
        row.addSpacing(8)
        row.addWidget(self._line)
        row.addSpacing(4)
        for button in (self.hand, self.react, self.captions, self.host):
            row.addWidget(button)
        row.addWidget(self.more)
        row.addStretch(1)
        for button in self.panel_buttons().values():
            row.addWidget(button)
        row.addSpacing(6)
        leave = QHBoxLayout()
        leave.setSpacing(1)
        leave.addWidget(self.leave)
        leave.addWidget(self.leave_menu)
        row.addLayout(leave)

    def minimumSizeHint(self) -> QSize:
        """Let the window become as narrow as the bar can be once buttons have moved into More."""
        return QSize(560, self.height())

    def panel_buttons(self) -> dict[str, PanelButton]:
        """The three buttons by the name of their panel."""
        return {"chat": self.chat, "people": self.people, "files": self.files}

    def set_compact(self, compact: bool) -> None:
        """76 px with labels, or 60 px with icons of 44."""
        self.setFixedHeight(COMPACT_HEIGHT_PX if compact else HEIGHT_PX)
        side = 12 if compact else 16
        self._row.setContentsMargins(side, 1, side, 0)
        self.mic.set_compact(compact)
        self.camera.set_compact(compact)
        self.captions.setVisible(not compact)
        self._is_compact = compact
        for plain in (self.hand, self.react, self.host, self.more):
            plain.set_compact(compact)
        self.set_host(self.has_host_controls)
        for button in self.panel_buttons().values():
            button.set_compact(compact)
        self.leave.set_compact(compact)
        self.leave_menu.setFixedHeight(44 if compact else 48)

    def set_tight(self, tight: bool) -> None:
        """Below 760 px: reactions and the files button move into More."""
        self._is_tight = tight
        self.files.setVisible(not tight)
        self.react.setVisible(not tight)
        self._line.setVisible(not tight)

    def set_can_end(self, can_end: bool) -> None:
        """Hosts may end the meeting for everybody."""
        self.leave.joined_right = can_end
        self.leave_menu.setVisible(can_end)
        self.leave.update()

    def set_open_panel(self, panel: str) -> None:
        """Light the button of the panel on screen; "" for none."""
        for key, button in self.panel_buttons().items():
            button.set_open(key == panel)

    def _on_leave_menu(self) -> None:
        menu = Menu(self)
        menu.add_item(
            "Leave meeting",
            self.leaveRequested.emit,
            icon="phone-x",
            name="actionLeave",
            shortcut="Ctrl+Shift+W",
        )
        menu.add_item(
            "End meeting for everyone",
            self.endForAllRequested.emit,
            icon="x-circle",
            name="actionEndForAll",
            danger=True,
        )
        popup_above(menu, _over_bar(self.leave_menu, self.leave_menu.width()))


def _above(button: QWidget) -> QPoint:
    return _over_bar(button, button.width() // 2)


def _over_bar(button: QWidget, x: int) -> QPoint:
    """Where a menu ends that belongs to the button: above the bar, whose edge stays free."""
    bar = button.parentWidget() or button
    return QPoint(button.mapToGlobal(QPoint(x, 0)).x(), bar.mapToGlobal(QPoint(0, -8)).y())


def popup_above(menu: Menu, at: QPoint, *, align_right: bool = True) -> None:
    """Open a menu whose lower edge stands at `at`; it deletes itself when it closes."""
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    menu.setMinimumWidth(_MENU_WIDTH_PX)
    size = menu.sizeHint()
    left = at.x() - (size.width() if align_right else 0)
    host = menu.parentWidget()
    if host is not None:
        window = QRect(host.window().mapToGlobal(QPoint(0, 0)), host.window().size())
        left = max(window.left() + 8, min(left, window.right() - 7 - size.width()))
    menu.popup(QPoint(left, at.y() - size.height()))
