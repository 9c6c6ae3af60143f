"""The meeting: top bar, stage, panel, control bar, and what lies over them.

Read `MeetingPage.handle` first: every fact comes in there, from the engine, and is passed to
the part that shows it. What a person does goes out as a call on the engine through the bridge,
or as a signal where the application decides (leaving, inviting). The truth behind the buttons
is always the engine's next event, never the press itself. Belongs to the Qt thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QPoint, QRect, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import (
    QDesktopServices,
    QKeyEvent,
    QKeySequence,
    QResizeEvent,
    QShortcut,
)
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QVBoxLayout,
    QWidget,
)

from app.engine.events import (
    CaptionsChanged,
    ChatFailed,
    ChatHistoryReceived,
    ChatReceived,
    DeviceFailed,
    DeviceKind,
    DevicesChanged,
    Event,
    LevelChanged,
    LocalMediaChanged,
    MeetingEnded,
    MeetingJoined,
    Person,
    PersonChanged,
    PersonJoined,
    PersonLeft,
    Reconnected,
    ReconnectStarted,
    Role,
    RoomRules,
    SpeakersChanged,
    TransferChanged,
    TypingChanged,
)
from app.runtime.errors import Reason, WorldError
from app.ui.chat.deeds import ChatDeeds
from app.ui.chat.model import badge_label
from app.ui.chat.panel import ChatPanel
from app.ui.files.drop import FileDrop
from app.ui.files.news import TransferNews
from app.ui.files.panel import FilesPanel
from app.ui.files.row import Wish
from app.ui.people.desk import PeopleDesk
from app.ui.people.model import Roster, may_moderate
from app.ui.people.panel import PeoplePanel
from app.ui.stage.banner import ReconnectBanner
from app.ui.stage.captions import Captions
from app.ui.stage.control_bar import ControlBar, popup_above
from app.ui.stage.device_menu import PICTURE, SOUND, DeviceMenus
from app.ui.stage.keyboard import PushToTalk, focus_next_region
from app.ui.stage.notices import Notices
from app.ui.stage.side_panel import WIDTH_PX as PANEL_WIDTH_PX
from app.ui.stage.side_panel import SidePanel
from app.ui.stage.stage import Stage
from app.ui.stage.top_bar import TopBar
from app.ui.widgets import Menu, ToastArea, ask, popup_beside

if TYPE_CHECKING:
    from app.engine.client import EngineClient
    from app.ui.bridge import Bridge

DOCKED_FROM_PX = 1100
TIGHT_BELOW_PX = 760


class MeetingPage(QWidget):
    """The meeting screen for one meeting; the application makes a new one for the next.

    `leaveRequested` carries whether the meeting ends for everybody; `inviteRequested` asks for
    the invite dialog. Connects itself to the bridge's events; `close_meeting` gives the video
    slots back and is called by itself when the meeting ends.
    """

    leaveRequested = Signal(bool)
    inviteRequested = Signal()
    settingChosen = Signal(str, bool)
    settingsRequested = Signal()

    def __init__(self, engine: EngineClient, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("meetingPage")
        self.setProperty("role", "page")
        self._engine = engine
        self._bridge = bridge
        self.roster = Roster()
        self._room = ""
        self._joined_at_s = time.monotonic()
        self._panel_open = ""
        self._last_folder = Path.home()
        self._is_reconnecting = False
        self._mic_on = False
        self._camera_on = False
        self._problems: set[DeviceKind] = set()
        self._build()
        self._wire()
        self._make_shortcuts()
        self._clock_timer = QTimer(self)
        self._clock_timer.setInterval(500)
        self._clock_timer.timeout.connect(self._on_clock)
        bridge.eventPosted.connect(self.handle)

    # -- parts ------------------------------------------------------------------------------

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.top_bar = TopBar()
        column.addWidget(self.top_bar)
        self._middle = QWidget()
        row = QHBoxLayout(self._middle)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        settings = self._engine.settings
        self.stage = Stage(self._engine, self.roster, mirror_self=settings.mirror_self_view)
        row.addWidget(self.stage, 1)
        self.chat = ChatPanel()
        self.people = PeoplePanel(self.roster)
        self.files = FilesPanel(settings.downloads)
        self.panel = SidePanel(
            {"chat": self.chat, "people": self.people, "files": self.files}, self._middle
        )
        self.panel.hide()
        self._row = row
        column.addWidget(self._middle, 1)
        self.control_bar = ControlBar()
        self.device_menus = DeviceMenus(self)
        self.push_to_talk = PushToTalk(self)
        column.addWidget(self.control_bar)
        self.captions = Captions(
            self.stage,
            self.control_bar.captions,
            self.roster,
            is_on=settings.show_captions,
            keep=partial(self.settingChosen.emit, "show_captions"),
        )
        self.banner = ReconnectBanner(self.stage)
        self._rules = RoomRules()
        self._files_allowed = self._chat_allowed = True
        self.drop = FileDrop(self, self.stage, self._bridge, self._may_send_files)
        self.toasts = ToastArea(self.stage)
        self.notices = Notices(self, self.toasts)
        self._transfer_news = TransferNews(
            self.toasts,
            self.notices.announce,
            _open_folder,
            lambda transfer: self._on_transfer_asked(transfer, Wish.ACCEPT),
        )

        self.people_desk = PeopleDesk(
            self,
            self._engine,
            self._run,
            roster=self.roster,
            stage=self.stage,
            panel=self.people,
            bar=self.control_bar,
            top_bar=self.top_bar,
            toasts=self.toasts,
            notices=self.notices,
        )

    def _wire(self) -> None:
        bar = self.control_bar
        self.people_desk.endRequested.connect(self._ask_end_for_all)
        self.people_desk.rulesChanged.connect(self._on_rules)
        self.people_desk.lobbyWished.connect(partial(self.open_panel, "people"))
        bar.micToggled.connect(self.toggle_microphone)
        bar.cameraToggled.connect(self.toggle_camera)
        bar.micMenuRequested.connect(partial(self.device_menus.open_, SOUND))
        bar.cameraMenuRequested.connect(partial(self.device_menus.open_, PICTURE))
        self.device_menus.chosen.connect(self._choose_device)
        self.device_menus.refreshWished.connect(lambda: self._run(self._engine.refresh_devices()))
        bar.moreRequested.connect(self._open_more_menu)
        bar.panelToggled.connect(self.toggle_panel)
        bar.leaveRequested.connect(lambda: self.leaveRequested.emit(False))
        bar.endForAllRequested.connect(self._ask_end_for_all)
        self.top_bar.inviteRequested.connect(self.inviteRequested)
        self.top_bar.fullScreenRequested.connect(self.toggle_full_screen)
        self.stage.inviteRequested.connect(self.inviteRequested)
        self.stage.tileMenuRequested.connect(self._open_person_menu)
        self.banner.retryRequested.connect(lambda: self._run(self._engine.retry_now()))
        self.banner.leaveRequested.connect(lambda: self.leaveRequested.emit(False))
        self.drop.dropped.connect(self.send_files)
        self.push_to_talk.held.connect(lambda held: self._run(self._engine.set_push_to_talk(held)))
        self.panel.tabChosen.connect(self.open_panel)
        self.panel.closeRequested.connect(self.close_panel)
        self.chat_deeds = ChatDeeds(
            self,
            self.chat,
            self._engine,
            self._run,
            self.notices,
            self.toasts,
            room=lambda: self._room,
            send_files=self.send_files,
            open_panel=self.open_panel,
            save_setting=self.settingChosen.emit,
        )
        self.chat.unreadChanged.connect(self._show_unread)
        self.people.inviteRequested.connect(self.inviteRequested)
        self.people.menuRequested.connect(self._open_person_menu)
        self.files.chooseRequested.connect(self._choose_files)
        self.files.chooseFolderRequested.connect(self._choose_folder)
        self.files.asked.connect(self._on_transfer_asked)
        self.files.openFolderRequested.connect(_open_folder)
        self.files.runningChanged.connect(self._show_running)

    def _make_shortcuts(self) -> None:
        keys: dict[str, Callable[[], None]] = {
            "Ctrl+D": self.toggle_microphone,
            "Ctrl+E": self.toggle_camera,
            "Ctrl+T": self.captions.toggle,
            "Ctrl+1": lambda: self.toggle_panel("chat"),
            "Ctrl+2": lambda: self.toggle_panel("people"),
            "Ctrl+3": lambda: self.toggle_panel("files"),
            "Ctrl+I": self.inviteRequested.emit,
            "Ctrl+Shift+H": self.people_desk.toggle_hand,
            "Ctrl+Shift+E": self.people_desk.open_reactions,
            "Ctrl+Shift+W": lambda: self.leaveRequested.emit(False),
            "F11": self.toggle_full_screen,
            "F6": lambda: self._focus_region(1),
            "Shift+F6": lambda: self._focus_region(-1),
        }
        for keys_text, action in keys.items():
            shortcut = QShortcut(QKeySequence(keys_text), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.setAutoRepeat(False)
            shortcut.activated.connect(action)

    # -- facts ------------------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        """Show what the engine says."""
        if self.roster.handle(event):
            self._show_people()
        match event:
            case MeetingJoined():
                self._on_joined(event)
            case ReconnectStarted():
                self._set_reconnecting(True)
            case Reconnected():
                self._set_reconnecting(False)
                self.notices.tell_back()
            case MeetingEnded():
                self.close_meeting()
            case PersonJoined(person=person):
                self.notices.tell_joined(person.name)
            case PersonLeft() | PersonChanged():
                pass
            case SpeakersChanged(speakers=speakers):
                self.stage.handle_speakers(speakers)
                self.people.set_speaking([identity for identity, _ in speakers])
            case ChatReceived() | ChatFailed() | ChatHistoryReceived() | TypingChanged():
                self.chat.handle(event)
            case TransferChanged(transfer=transfer):
                self.files.handle_transfer(transfer)
                self._transfer_news.handle_transfer(transfer)
            case CaptionsChanged(captions=captions):
                self.captions.handle(captions)
            case LevelChanged(level=level):
                heard = level if self._mic_on else 0.0
                self.control_bar.mic.level.set_level(heard)
                self.stage.set_my_level(heard)
            case DevicesChanged():
                self.device_menus.handle(event)
            case DeviceFailed(kind=kind, device_name=name, replacement=other) if other:
                self.notices.tell_device_replaced(kind, name, other)
            case DeviceFailed(kind=kind, reason=reason, device_name=name):
                self._on_device_failed(kind, reason, name)
            case LocalMediaChanged(mic_on=mic_on, camera_on=camera_on):
                self._on_local_media(mic_on, camera_on)
            case _:
                self.people_desk.handle(event)

    def _on_joined(self, event: MeetingJoined) -> None:
        self._room = event.room
        self._joined_at_s = time.monotonic()
        self.top_bar.room.setText(event.room)
        self._on_clock()
        self._clock_timer.start()
        me = self.roster.me
        if me is not None:
            self._on_local_media(me.mic_on, me.camera_on)
        self.stage.setFocus(Qt.FocusReason.OtherFocusReason)
        self._run(self._engine.refresh_devices())

    def _show_people(self) -> None:
        self.stage.refresh_people()
        self.people.refresh()
        self.top_bar.agent.setVisible(any(p.is_agent for p in self.roster.people))
        count = str(len(self.roster))
        self.control_bar.people.set_number(count)
        self.panel.tabs["people"].set_number(count)
        me = self.roster.me
        self.chat.set_people(self.roster.others, can_moderate=may_moderate(me))
        self.control_bar.set_can_end(me is not None and me.role is Role.HOST)
        self._show_allowed()
        self.people_desk.refresh()

    def _set_reconnecting(self, on: bool) -> None:
        self._is_reconnecting = on
        self.stage.set_frozen(on)
        self.chat.set_offline(on)
        # Microphone, camera, chat drafts, the panel and Leave stay usable.
        bar = self.control_bar
        for button in (bar.more, bar.hand, bar.react, bar.captions):
            button.setEnabled(not on)
        self.control_bar.host.setEnabled(not on)
        self.top_bar.invite.setEnabled(not on)
        if on:
            self.banner.place(self.stage.width(), self._padding())
            self.banner.start()
            self.toasts.set_top(self.banner.geometry().bottom() + 1)
            self.notices.tell_reconnecting()
        else:
            self.banner.stop()
            self.toasts.set_top(0)

    def _on_local_media(self, mic_on: bool, camera_on: bool) -> None:
        self._mic_on, self._camera_on = mic_on, camera_on
        self.push_to_talk.is_muted = not mic_on
        if mic_on:
            self._problems.discard(DeviceKind.MICROPHONE)
        if camera_on:
            self._problems.discard(DeviceKind.CAMERA)
        self._show_media()

    def _show_media(self) -> None:
        no_mic = DeviceKind.MICROPHONE in self._problems
        no_camera = DeviceKind.CAMERA in self._problems
        self.control_bar.mic.set_state(on=self._mic_on, problem=no_mic)
        self.control_bar.camera.set_state(on=self._camera_on, problem=no_camera)

    def _on_device_failed(self, kind: DeviceKind, reason: Reason, name: str) -> None:
        self._problems.add(kind)
        self._show_media()
        self.notices.tell_device_failed(kind, reason, name)

    def _on_clock(self) -> None:
        self.top_bar.set_elapsed(time.monotonic() - self._joined_at_s)

    def close_meeting(self) -> None:
        """Give the video slots back and stop listening; the page can then be deleted."""
        self._clock_timer.stop()
        self.notices.stop()
        self.banner.stop()
        self.chat.close_chat()
        self.chat_deeds.close()
        self.people_desk.close()
        self.stage.close_slots()

    def _on_rules(self, rules: RoomRules) -> None:
        self._rules = rules
        self._show_allowed()

    def _show_allowed(self) -> None:
        """What guests may do holds for guests: the rules or one's own role may have changed."""
        moderates = may_moderate(self.roster.me)
        self._files_allowed = self._rules.files or moderates
        self._chat_allowed = self._rules.chat or moderates
        self.files.set_allowed(self._files_allowed)
        self.chat.set_allowed(self._chat_allowed)

    def _may_send_files(self) -> bool:
        return self._files_allowed and not self._is_reconnecting

    # -- deeds ------------------------------------------------------------------------------

    def _run(
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        on_error: Callable[[WorldError], None] | None = None,
        on_done: Callable[[Any], None] | None = None,
    ) -> None:
        self._bridge.run(coro, on_error=on_error or self._on_refused, on_done=on_done)

    def _on_refused(self, error: WorldError) -> None:
        self.notices.tell_refused(error.reason)

    def toggle_microphone(self) -> None:
        """Mute or unmute."""
        self._run(
            self._engine.set_microphone(not self._mic_on),
            on_error=partial(self._on_media_refused, DeviceKind.MICROPHONE),
        )

    def toggle_camera(self) -> None:
        """Start or stop the camera."""
        self._run(
            self._engine.set_camera(not self._camera_on),
            on_error=partial(self._on_media_refused, DeviceKind.CAMERA),
        )

    def _on_media_refused(self, kind: DeviceKind, error: WorldError) -> None:
        self._on_device_failed(kind, error.reason, "")

    def _choose_device(self, kind: DeviceKind, device_id: str) -> None:
        self._run(
            self._engine.choose_device(kind, device_id),
            on_error=partial(self._on_media_refused, kind),
        )

    def send_files(self, paths: Sequence[Path], to: str = "") -> None:
        """Send files to one person, or to everybody."""
        if paths and not self.roster.others:
            # It would count as sent, and nobody would ever have it.
            self.notices.tell_nobody_receives()
            return
        if paths:
            self._last_folder = paths[-1].parent
            self.open_panel("files")
        receivers = (to,) if to else ()
        for path in paths:
            self._run(
                self._engine.send_file(path, receivers),
                on_error=partial(self._on_file_refused, path.name),
            )

    def _on_file_refused(self, name: str, error: WorldError) -> None:
        self.notices.tell_file_refused(name, error.reason)

    def _show_running(self, count: int) -> None:
        # On the bar too: a file may come while the panel is closed.
        badge = badge_label(count)
        self.control_bar.files.set_badge(badge)
        self.panel.tabs["files"].set_badge(badge)

    def _on_transfer_asked(self, transfer: str, wish: Wish) -> None:
        engine = self._engine
        command = {
            Wish.ACCEPT: engine.accept_transfer,
            Wish.DECLINE: engine.decline_transfer,
            Wish.PAUSE: engine.pause_transfer,
            Wish.RESUME: engine.resume_transfer,
            Wish.CANCEL: engine.cancel_transfer,
            Wish.RETRY: engine.retry_transfer,
        }[wish]
        self._run(command(transfer))

    def _choose_folder(self) -> None:
        self._choose("Choose a folder to send", QFileDialog.FileMode.Directory, "")

    def _choose_files(self, to: str = "") -> None:
        self._choose("Choose files to send", QFileDialog.FileMode.ExistingFiles, to)

    def _choose(self, title: str, mode: QFileDialog.FileMode, to: str) -> None:
        dialog = QFileDialog(self, title)
        dialog.setObjectName("filesDialog")
        dialog.setFileMode(mode)
        dialog.setDirectory(str(self._last_folder))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.filesSelected.connect(
            lambda names: self.send_files([Path(name) for name in names], to)
        )
        # Not exec(): a nested event loop would stop the one that runs our coroutines.
        dialog.open()

    def _ask_end_for_all(self) -> None:
        others = len(self.roster.others)
        people = "1 person" if others == 1 else f"{others} people"
        ask(
            self,
            "End for everyone?",
            f"{people} will be disconnected.",
            "End meeting",
            lambda: self.leaveRequested.emit(True),
        )

    def toggle_full_screen(self) -> None:
        """Cover the screen, or go back."""
        window = self.window()
        window.setWindowState(window.windowState() ^ Qt.WindowState.WindowFullScreen)

    # -- panel ------------------------------------------------------------------------------

    @property
    def open_panel_name(self) -> str:
        """Which panel is on screen: chat, people, files, or "" for none."""
        return self._panel_open

    def toggle_panel(self, page: str) -> None:
        """Open a panel, or close it when it is the one on screen."""
        if self._panel_open == page:
            self.close_panel()
        else:
            self.open_panel(page)

    def open_panel(self, page: str) -> None:
        """Bring a panel on screen."""
        self._panel_open = page
        self.panel.show_page(page)
        self.control_bar.set_open_panel(page)
        self._place_panel()
        if page == "people":
            self.people.refresh(resort=True)
        elif page == "chat":
            self.chat.focus_field()

    def close_panel(self) -> None:
        """Give the stage all the room."""
        self._panel_open = ""
        self.control_bar.set_open_panel("")
        self.panel.hide()
        self._place_panel()
        self.stage.setFocus(Qt.FocusReason.OtherFocusReason)

    def _place_panel(self) -> None:
        docked = self.width() >= DOCKED_FROM_PX
        in_row = self._row.indexOf(self.panel) >= 0
        if docked and not in_row:
            self.panel.setFixedWidth(PANEL_WIDTH_PX)
            self._row.addWidget(self.panel)
        elif not docked:
            if in_row:
                self._row.removeWidget(self.panel)
            width = min(PANEL_WIDTH_PX, self._middle.width())
            if self.width() < TIGHT_BELOW_PX:
                width = self._middle.width()
            self.panel.setFixedWidth(width)
            self.panel.setGeometry(
                QRect(self._middle.width() - width, 0, width, self._middle.height())
            )
            self.panel.raise_()
        self.panel.setVisible(bool(self._panel_open))

    def _show_unread(self, badge: str) -> None:
        self.control_bar.chat.set_badge(badge)
        self.panel.tabs["chat"].set_badge(badge)

    # -- menus ------------------------------------------------------------------------------

    def _open_more_menu(self, at: QPoint) -> None:
        menu = Menu(self)
        compact, tight = self.width() < DOCKED_FROM_PX, self.width() < TIGHT_BELOW_PX
        if compact:
            menu.add_item(
                "Hide captions" if self.captions.is_on else "Show captions",
                self.captions.toggle,
                icon="closed-captioning",
                name="actionCaptions",
                shortcut="Ctrl+T",
            )
        self.people_desk.fill_more_menu(menu, compact=compact, tight=tight)
        if tight:
            menu.add_item(
                "Files",
                lambda: self.open_panel("files"),
                icon="folder-open",
                name="actionFiles",
                shortcut="Ctrl+3",
            )
        menu.add_item(
            "Invite people",
            self.inviteRequested.emit,
            icon="user-plus",
            name="actionInvite",
            shortcut="Ctrl+I",
        )
        full = bool(self.window().windowState() & Qt.WindowState.WindowFullScreen)
        menu.add_item(
            "Leave full screen" if full else "Full screen",
            self.toggle_full_screen,
            icon="corners-in" if full else "corners-out",
            name="actionFullScreen",
            shortcut="F11",
        )
        menu.add_item(
            "Settings",
            self.settingsRequested.emit,
            icon="gear-six",
            name="actionSettings",
            shortcut="Ctrl+,",
        )
        popup_above(menu, at, align_right=False)

    def _open_person_menu(self, identity: str, at: QPoint) -> None:
        person = self.roster.get(identity)
        if person is None:
            return
        # Some systems send a context menu event beside the key that the tile understands.
        if any(one.isVisible() for one in self.findChildren(Menu, "personMenu")):
            return
        menu = Menu(self)
        menu.setObjectName("personMenu")
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        if person.is_me:
            self.people_desk.fill_own_menu(menu, person)
            popup_beside(menu, at, self.panel, self._middle)
            return
        pinned = self.stage.is_pinned(identity)
        menu.add_item(
            "Unpin" if pinned else "Pin to stage",
            partial(self.stage.toggle_pin, identity),
            icon="push-pin-slash" if pinned else "push-pin",
            name="actionPin",
        )
        if self._chat_allowed:
            menu.add_item(
                "Message privately",
                partial(self._message, person),
                icon="chat-circle-text",
                name="actionMessage",
            )
        if self._files_allowed:
            menu.add_item(
                "Send a file",
                partial(self._choose_files, identity),
                icon="file-arrow-up",
                name="actionSendFile",
            )
        self.people_desk.fill_person_menu(menu, person)
        popup_beside(menu, at, self.panel, self._middle)

    def _message(self, person: Person) -> None:
        self.open_panel("chat")
        self.chat.write_to(person)

    # -- keyboard and size --------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Page keys turn pages, Esc closes the top layer."""
        key = event.key()
        if key == Qt.Key.Key_Escape:
            self._close_top_layer()
        elif key in (Qt.Key.Key_PageUp, Qt.Key.Key_PageDown):
            self.stage.turn_page(-1 if key == Qt.Key.Key_PageUp else 1)
        else:
            super().keyPressEvent(event)

    def _close_top_layer(self) -> None:
        window = self.window()
        if self._panel_open:
            self.close_panel()
        elif window.windowState() & Qt.WindowState.WindowFullScreen:
            self.toggle_full_screen()

    def _focus_region(self, step: int) -> None:
        regions: list[tuple[QWidget, QWidget]] = [
            (self.top_bar, self.top_bar.invite),
            (self.stage, self.stage.first_control),
            (self.control_bar, self.control_bar.mic.button),
        ]
        if self._panel_open:
            regions.insert(2, (self.panel, self.panel.tabs[self._panel_open]))
        if self.banner.isVisible():
            regions.insert(0, (self.banner, self.banner.retry))
        focus_next_region(regions, self.focusWidget(), step)

    def _padding(self) -> int:
        return 12 if self.width() >= DOCKED_FROM_PX else 8

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Follow the breakpoints."""
        super().resizeEvent(event)
        compact = self.width() < DOCKED_FROM_PX
        tight = self.width() < TIGHT_BELOW_PX
        self.control_bar.set_compact(compact)
        self.control_bar.set_tight(tight)
        self.stage.set_compact(compact)
        # The rows have their new sizes only after the layout ran.
        layout = self.layout()
        if layout is not None:
            layout.activate()
        self._place_panel()
        middle = self._middle.layout()
        if middle is not None:
            middle.activate()
        self.banner.place(self.stage.width(), self._padding())
        self.drop.overlay.setGeometry(self.stage.rect())


def _open_folder(folder: Path) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
