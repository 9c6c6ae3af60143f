"""The composition root: application, loop, engine, window, and the way from page to page.

`Desktop` is everything a running window consists of, and the demo and the tests drive it as
`run_desktop` does. Pages ask through signals; here is decided what happens, and what the
engine then says decides what is shown. Belongs to the Qt thread, whose asyncio loop is qasync's.
"""

from __future__ import annotations

import asyncio
import platform
import signal
import time
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import TYPE_CHECKING

import structlog
from PySide6.QtCore import QObject, QTimer, QUrl, Signal
from PySide6.QtGui import (
    QAccessible,
    QAccessibleAnnouncementEvent,
    QDesktopServices,
    QGuiApplication,
)
from PySide6.QtWidgets import QApplication, QWidget

from app.engine.client import EngineClient, GeneratedMedia, JoinSpec
from app.engine.events import (
    DeviceInfo,
    DeviceKind,
    DevicesChanged,
    EndCause,
    Event,
    JoinProgressed,
    JoinStage,
    MeetingEnded,
    MeetingJoined,
)
from app.runtime.errors import Reason, WorldError
from app.runtime.paths import Paths
from app.runtime.saver import Saver
from app.runtime.settings import Recents, SettingsStore
from app.ui.bridge import Bridge
from app.ui.capture.device_watch import DeviceWatch
from app.ui.collector import Collector
from app.ui.doorstep import Doorstep, log_refusal
from app.ui.home.connecting_page import ConnectingPage
from app.ui.home.destination import Destination, HostPlan, Wishes, recent_of
from app.ui.home.dialogs import ask_host_options, ask_name, show_how_it_works
from app.ui.home.end_page import EndPage
from app.ui.home.prejoin_page import PrejoinPage
from app.ui.home.start_page import StartPage
from app.ui.home.words import ENDINGS, Facts, NextStep, typeset
from app.ui.hosting import Hosting
from app.ui.identity import login_name, make_application, product_version
from app.ui.main_window import MINIMUM_SIZE, MainWindow
from app.ui.settings.context import SettingsContext
from app.ui.settings.opener import SettingsOpener
from app.ui.single_instance import SingleInstance
from app.ui.theme import ThemeChoice, theme
from app.ui.widgets import ask

if TYPE_CHECKING:
    from app.host.hosted import HostedServer
    from app.ui.meeting_window import MeetingPage

__all__ = ["Desktop", "DesktopOptions", "make_application", "run_desktop"]

log = structlog.get_logger(__name__)

FULL_RETRY_S = 5.0
NETWORK_LOOK_MS = 10_000
_CLOSE_DEADLINE_S = 8.0


@dataclass(frozen=True, slots=True)
class DesktopOptions:
    """How the window was started: with a link, already hosting, or plainly."""

    link: str = ""
    host: bool = False
    room_name: str = ""
    paths: Paths = field(default_factory=Paths.default)
    generated: GeneratedMedia | None = None
    use_keyring: bool = True


class Desktop(QObject):
    """One window with its engine and, when hosting, its server.

    `show()` paints the start page and imports nothing heavy; `start()` then starts the engine
    and does what the options ask; `aclose()` ends everything. `pageChanged` carries the object
    name of the page now shown.
    """

    pageChanged = Signal(str)

    def __init__(
        self,
        options: DesktopOptions,
        *,
        engine: EngineClient | None = None,
        bridge: Bridge | None = None,
        device_watch: DeviceWatch | None = None,
    ) -> None:
        super().__init__()
        self.options = options
        self.saver = Saver()
        self.settings = SettingsStore(options.paths, self.saver.save)
        self.recents = Recents.load(options.paths.recents_file, self.saver.save)
        self._apply_theme()
        self.engine = engine or EngineClient(self.settings.current, generated=options.generated)
        self.bridge = bridge or Bridge(self.engine, self)
        self._collector = Collector(self)
        self.hosting = Hosting(self.settings, options.paths, use_keyring=options.use_keyring)
        self.meeting_page: MeetingPage | None = None
        self.window = MainWindow(options.paths.config / "window.json")
        self.closed = asyncio.Event()
        self._destination = Destination()
        self._wishes = Wishes("")
        self._attempt = 0
        self._waiting_to_enter = False
        self._end: MeetingEnded | None = None
        self._retry_look = False
        self._make_pages()
        self.settings_opener = self._make_settings_opener()
        self._network_timer = QTimer(self)
        self._network_timer.setInterval(NETWORK_LOOK_MS)
        self._network_timer.timeout.connect(self._look_at_network)
        self._device_watch = device_watch
        if device_watch is not None:
            device_watch.changed.connect(self._on_devices)
        self.bridge.eventPosted.connect(self._on_event)
        self.bridge.commandFailed.connect(self._on_command_failed)
        self.window.closeRequested.connect(self.request_quit)

    @property
    def server(self) -> HostedServer | None:
        """The server process of the meeting hosted here."""
        return self.hosting.server

    # -- life ----------------------------------------------------------------------------------

    def show(self) -> None:
        """Show the window; nothing heavy is imported before it is painted."""
        self.show_start()
        self.window.show()

    async def start(self) -> None:
        """Wait for the first picture, start the engine, do what the options ask."""
        await self._first_picture()
        # From here on other threads allocate, and must not be the ones that collect.
        self._collector.start()
        self.engine.start()
        self.bridge.run(self.engine.stats(), on_done=self._on_engine_ready, name="engine ready")
        self._network_timer.start()
        self._look_at_network()
        self.bridge.run(self.engine.refresh_devices(), on_error=log_refusal, name="devices")
        if self.options.link:
            self.open_link(self.options.link)
        elif self.options.host:
            self.host_at_once(self.options.room_name)

    def _on_engine_ready(self, _stats: object) -> None:
        # Everything heavy is imported now; later collections need not look at it again.
        self._collector.settle()
        if self._device_watch is not None:
            self._device_watch.start()

    def _on_devices(self, devices: tuple[DeviceInfo, ...]) -> None:
        """Qt's lists have changed: what the engine makes of them comes as `DevicesChanged`."""
        self.bridge.run(
            self.engine.report_devices(devices), on_error=log_refusal, name="device report"
        )

    async def aclose(self) -> None:
        """Leave, end the engine and the server, close the window."""
        self._network_timer.stop()
        if self._device_watch is not None:
            await asyncio.to_thread(self._device_watch.stop)
        self.doorstep.leave(to_join=True)
        self._drop_meeting_page()
        self.settings_opener.close()
        await self.bridge.aclose()
        await self.engine.aclose()
        await self.hosting.stop()
        self._collector.stop()
        await asyncio.to_thread(self.saver.flush)
        self.window.close_for_good()
        self.closed.set()

    def request_quit(self) -> None:
        """Quit, after asking when others would lose their meeting."""
        others = self._others_here()
        if self.hosting.room is None or others == 0:
            self.closed.set()
            return
        people = {None: "everybody in it", 1: "1 person"}.get(others, f"{others} people")
        ask(
            self.window.pages,
            "Quit Lanai?",
            f"This computer hosts the meeting. Quitting ends it for {people}.",
            "End and quit",
            self.closed.set,
        )

    async def _first_picture(self) -> None:
        if self.window.painted:
            return
        painted = asyncio.Event()
        self.window.firstPainted.connect(painted.set)
        try:
            # A window that never becomes visible (minimised start) must not stop the rest.
            await asyncio.wait_for(painted.wait(), 2.0)
        except TimeoutError:
            log.info("no first picture yet")

    # -- pages ---------------------------------------------------------------------------------

    def _make_pages(self) -> None:
        start = self.start_page = StartPage()
        start.joinRequested.connect(self.show_prejoin)
        start.hostRequested.connect(lambda: self.show_prejoin(Destination(host=self._host_plan())))
        start.hostOptionsRequested.connect(self._ask_host_options)
        start.hostAgainRequested.connect(self._host_again)
        start.profileRequested.connect(self._ask_name)
        start.settingsRequested.connect(lambda _button: self.settings_opener.open_())
        start.howItWorksRequested.connect(lambda: show_how_it_works(self.window.pages))
        start.recentsCleared.connect(self._clear_recents)
        prejoin = self.prejoin_page = PrejoinPage()
        prejoin.backRequested.connect(self.show_start)
        prejoin.joinRequested.connect(self._on_join)
        prejoin.settingsRequested.connect(lambda _button: self.settings_opener.open_())
        self.doorstep = Doorstep(
            prejoin,
            self.engine,
            self.bridge,
            self.settings,
            lambda name, value: self._save(**{name: value}),
        )
        self.doorstep.lookUpFailed.connect(self._on_lookup_failed)
        connecting = self.connecting_page = ConnectingPage()
        connecting.cancelRequested.connect(self.cancel_join)
        end = self.end_page = EndPage()
        end.stepChosen.connect(self._on_step)
        self.window.pages.addWidget(start)

    def _show(self, page: QWidget, *, minimum: tuple[int, int] | None = None) -> None:
        if page is not self.prejoin_page:
            self.doorstep.leave(to_join=self._waiting_to_enter)
        if minimum is None:
            self.window.show_page(page)
        else:
            self.window.show_page(page, minimum=minimum)
        self.pageChanged.emit(page.objectName())

    def show_start(self) -> None:
        """Go to the start page."""
        self._attempt += 1
        self.start_page.set_name(self.settings.current.name)
        self.start_page.set_recents(self.recents.items)
        self.window.set_room("")
        self._show(self.start_page)
        self.start_page.focus_first()

    def show_prejoin(self, destination: Destination) -> None:
        """Prepare to enter: preview, devices, name."""
        self._attempt += 1
        self._destination = destination
        wishes = self.doorstep.remembered_wishes()
        mirrored = self.settings.current.mirror_self_view
        self.prejoin_page.open_for(destination, wishes, mirrored=mirrored)
        self._enter_prejoin(wishes)
        self.doorstep.ask_door(destination)

    def _enter_prejoin(self, wishes: Wishes) -> None:
        self.window.set_room("")
        self._show(self.prejoin_page)
        self.prejoin_page.focus_first()
        self.doorstep.arrive(wishes)

    def _on_lookup_failed(self, error: WorldError) -> None:
        self._retry_look = True
        self._show_refusal(error)

    # -- entering ------------------------------------------------------------------------------

    def open_link(self, text: str) -> None:
        """Do as if somebody had pasted `text` into the join field and pressed Join."""
        self.show_start()
        self.start_page.open_text(text)

    def host_at_once(self, room_name: str = "") -> None:
        """Host without asking: the role `host` and the demo."""
        plan = self._host_plan()
        self._destination = Destination(host=replace(plan, room=room_name or plan.room))
        wishes = self.doorstep.remembered_wishes()
        self._enter_with(replace(wishes, name=wishes.name or login_name()))

    def _on_join(self, wishes: Wishes) -> None:
        self._save(
            name=wishes.name, mic_on_at_join=wishes.mic_on, camera_on_at_join=wishes.camera_on
        )
        running = self.hosting.room
        if running is None or not self.hosting.would_end_another(self._destination.host):
            self._enter_with(wishes)
            return
        ask(
            self.window.pages,
            "End the other meeting?",
            typeset(f'"{running.room}" still runs on this computer. Starting another one ends it.'),
            "End it and start",
            lambda: self._enter_with(wishes),
        )

    def _enter_with(self, wishes: Wishes, *, until_free: bool = False) -> None:
        self._attempt += 1
        self._wishes = wishes
        self._waiting_to_enter = True
        self._retry_look = False
        self._end = None
        waiting = (
            Facts(self._destination.room).fill(ENDINGS[Reason.FULL].text) if until_free else ""
        )
        self.connecting_page.begin(
            self.doorstep.room_name or self._destination.room,
            hosting=self._destination.host is not None,
            waiting=waiting,
        )
        self._show(self.connecting_page)
        self.connecting_page.focus_first()
        self._make_meeting_page()
        attempt = self._attempt
        self.bridge.run(
            self._enter(attempt, self._destination, wishes, until_free=until_free),
            on_error=lambda error: self._on_refused(attempt, error),
            name="enter",
        )

    async def _enter(
        self, attempt: int, destination: Destination, wishes: Wishes, *, until_free: bool
    ) -> None:
        spec = JoinSpec(
            name=wishes.name,
            link=destination.link,
            room=destination.room,
            passcode=wishes.passcode,
            mic_on=wishes.mic_on,
            camera_on=wishes.camera_on,
        )
        if destination.host is not None:
            hosted = await self.hosting.host(destination.host, wishes.name)
            if attempt != self._attempt:
                return
            self.connecting_page.reach(JoinStage.FOUND_SERVER)
            spec = replace(spec, server_url=hosted.ws_url, token=hosted.token, room=hosted.room)
        while attempt == self._attempt:
            try:
                await self.engine.join(spec)
            except WorldError as error:
                if error.reason is not Reason.FULL or not until_free:
                    raise
                await asyncio.sleep(FULL_RETRY_S)
            else:
                break
        else:
            return
        if attempt != self._attempt:
            # Cancelled at the moment it worked: go out again.
            await self.engine.leave()

    def cancel_join(self) -> None:
        """Give up and go back to where Join was pressed."""
        self._attempt += 1
        self._waiting_to_enter = False
        self._drop_meeting_page()
        self.bridge.run(self.engine.cancel_join(), on_error=log_refusal, name="cancel join")
        if self._destination.host is not None:
            self.bridge.run(self.hosting.stop(), name="stop server")
        self._enter_prejoin(self.prejoin_page.wishes())

    def _on_refused(self, attempt: int, error: WorldError) -> None:
        if attempt != self._attempt:
            return
        self._waiting_to_enter = False
        self._drop_meeting_page()
        if error.reason is Reason.PASSCODE and self._destination.link is not None:
            self._enter_prejoin(self._wishes)
            self.prejoin_page.ask_passcode_again()
        else:
            self._show_refusal(error)

    def _show_refusal(self, error: WorldError) -> None:
        facts = Facts(
            room=self._destination.room,
            host=self.doorstep.host_name,
            address=self._destination.address,
        )
        self._show_end(error.reason, facts, error.detail)

    # -- in the meeting ------------------------------------------------------------------------

    def _make_meeting_page(self) -> None:
        from app.ui.meeting_window import MeetingPage

        self._drop_meeting_page()
        page = MeetingPage(self.engine, self.bridge)
        page.leaveRequested.connect(self.leave)
        page.inviteRequested.connect(self.show_invite)
        page.settingChosen.connect(lambda name, on: self._save(**{name: on}))
        page.settingsRequested.connect(self.settings_opener.open_)
        self.meeting_page = page
        self.window.pages.addWidget(page)

    def _drop_meeting_page(self) -> None:
        page, self.meeting_page = self.meeting_page, None
        if page is not None:
            page.close_meeting()
            self.window.pages.removeWidget(page)
            page.deleteLater()

    def leave(self, end_for_all: bool = False) -> None:
        """Leave the meeting, or end it for everybody."""
        self.bridge.run(
            self.engine.leave(end_for_all=end_for_all),
            on_error=self._on_command_failed,
            name="leave",
        )

    def show_invite(self) -> None:
        """Open the invite dialog over the meeting."""
        from app.ui.home.invite_dialog import InviteDialog, invitation_of

        invitation = invitation_of(self._destination, self.hosting.room, self._wishes.passcode)
        if invitation is not None:
            InviteDialog(self.window.pages, invitation).open_()

    def _toast(self, toast_id: str, title: str, text: str, tone: str = "info") -> None:
        if self.meeting_page is not None:
            self.meeting_page.toasts.show_toast(toast_id, typeset(title), text, tone=tone)

    def _on_command_failed(self, error: WorldError) -> None:
        ending = ENDINGS[error.reason]
        facts = Facts(self._destination.room, self.doorstep.host_name, self._destination.address)
        self._toast("command", ending.title, facts.fill(ending.text), "warn")

    def _others_here(self) -> int | None:
        """How many others are in the meeting; None when this person is not in it."""
        page = self.meeting_page
        if page is None or self.window.pages.currentWidget() is not page:
            return None
        return len(page.roster.others)

    # -- what the engine says ------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        self.doorstep.handle(event)
        match event:
            case JoinProgressed(stage=JoinStage.IN_LOBBY):
                self.connecting_page.wait_for_host(self.doorstep.host_name)
            case JoinProgressed(stage=stage):
                self.connecting_page.reach(stage)
            case MeetingJoined():
                self._on_joined(event)
            case MeetingEnded():
                self._on_ended(event)
            case DevicesChanged(devices=devices):
                kinds = {device.kind for device in devices}
                self.start_page.footer.set_devices(
                    (DeviceKind.MICROPHONE in kinds, DeviceKind.CAMERA in kinds), product_version()
                )
            case _:
                pass

    def _on_joined(self, event: MeetingJoined) -> None:
        if self.meeting_page is None or not self._waiting_to_enter:
            return
        self._show(self.meeting_page, minimum=MINIMUM_SIZE)
        self._waiting_to_enter = False
        self.window.set_room(event.room)
        at_ms = time.time_ns() // 1_000_000
        recent = recent_of(self._destination, self.hosting.room, event, at_ms)
        if recent is not None:
            self.recents.add(recent)

    def _on_ended(self, event: MeetingEnded) -> None:
        self._waiting_to_enter = False
        self._attempt += 1
        self._end = event
        self._drop_meeting_page()
        host_is_me = self.server is not None and self._destination.host is not None
        if host_is_me and event.cause is EndCause.ENDED:
            self.bridge.run(self.hosting.stop(), name="stop server")
        facts = Facts(
            room=event.room,
            host=event.host_name,
            address=self._destination.address,
            duration_s=event.duration_s,
            files_saved=event.files_saved,
            folder=event.folder,
            host_is_me=host_is_me,
            still_hosted=host_is_me and event.cause is EndCause.LEFT,
        )
        self.window.set_room("")
        self._show_end(event.cause, facts, event.detail)

    # -- after the meeting ---------------------------------------------------------------------

    def _show_end(self, why: EndCause | Reason, facts: Facts, detail: str) -> None:
        lines = [
            f"Lanai {product_version()}",
            f"Reason: {why.value}",
            f"Detail: {detail or 'none'}",
            f"System: {platform.platform()}, Python {platform.python_version()}",
        ]
        self.end_page.show_end(why, facts, "\n".join(lines))
        self._show(self.end_page)
        self.end_page.focus_first()
        if QAccessible.isActive():
            words = f"{self.end_page.title.text()}. {self.end_page.text.text()}"
            QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self.end_page, words))
        self._look_at_network()

    def _on_step(self, step: NextStep) -> None:
        match step:
            case NextStep.REJOIN | NextStep.USE_DEVICE | NextStep.TRY_AGAIN:
                if self._retry_look:
                    self._retry_look = False
                    self.show_prejoin(self._destination)
                else:
                    self._enter_with(self._wishes)
            case NextStep.KEEP_TRYING:
                self._enter_with(self._wishes, until_free=True)
            case NextStep.EDIT_ADDRESS:
                self.show_start()
                self.start_page.edit_address(self._destination.text)
            case NextStep.PASTE_LINK:
                self.show_start()
                self.start_page.edit_address(QGuiApplication.clipboard().text().strip()[:16_384])
            case NextStep.HOST_HERE:
                room = self._end.room if self._end is not None else self._destination.room
                plan = self._host_plan()
                self.show_prejoin(Destination(host=replace(plan, room=room or plan.room)))
            case NextStep.OPEN_FOLDER:
                if self._end is not None:
                    QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._end.folder)))
            case NextStep.BACK:
                self.show_start()

    # -- small things --------------------------------------------------------------------------

    def take_message(self, link: str) -> None:
        """Serve a later start of the program: come up, and open its link unless in a meeting."""
        self.window.bring_up()
        if not link:
            return
        if self.meeting_page is not None:
            self._toast(
                "second", "You're in a meeting", "Leave it first, then open the link again."
            )
        else:
            self.open_link(link)

    def _host_plan(self) -> HostPlan:
        current = self.settings.current
        room = f"{current.name}'s meeting" if current.name else "My meeting"
        return HostPlan(room, on_network=current.host_on_network)

    def _host_again(self, room: str) -> None:
        running = self.hosting.room
        passcode = running.passcode if running is not None and running.room == room else ""
        plan = replace(self._host_plan(), room=room, passcode=passcode)
        self.show_prejoin(Destination(host=plan))

    def _ask_host_options(self) -> None:
        def on_start(plan: HostPlan) -> None:
            self._save(host_on_network=plan.on_network)
            self.show_prejoin(Destination(host=plan))

        ask_host_options(self.window.pages, self._host_plan(), on_start)

    def _ask_name(self) -> None:
        def on_name(name: str) -> None:
            self._save(name=name)
            self.start_page.set_name(name)

        ask_name(self.window.pages, self.settings.current.name, on_name)

    def _make_settings_opener(self) -> SettingsOpener:
        context = SettingsContext(
            current=lambda: self.settings.current,
            save=self._save,
            paths=self.options.paths,
            choose_theme=self.choose_theme,
            clear_recents=self._clear_recents,
            open_developer_panel=lambda: self.settings_opener.open_developer_panel(),
        )
        return SettingsOpener(self.window.pages, context, self.engine, self.bridge)

    def choose_theme(self, choice: ThemeChoice) -> None:
        """Use a theme from now on."""
        self._save(theme=choice.value)
        theme.choose(choice)

    def _apply_theme(self) -> None:
        app = QApplication.instance()
        if not isinstance(app, QApplication):
            raise TypeError("a QApplication must exist first")
        known = {choice.value for choice in ThemeChoice}
        wanted = self.settings.current.theme
        theme.apply_to(app, ThemeChoice(wanted) if wanted in known else ThemeChoice.SYSTEM)

    def _clear_recents(self) -> None:
        self.recents.clear()
        self.start_page.set_recents(())

    def _save(self, **changes: str | bool | int) -> None:
        self.engine.settings = self.settings.update(**changes)

    def _look_at_network(self) -> None:
        from app.host.network import lan_address

        def on_found(address: str | None) -> None:
            self.start_page.footer.set_network(address)
            self.end_page.footer.set_network(address)

        page = self.window.pages.currentWidget()
        if page in (self.start_page, self.end_page):
            self.bridge.run(asyncio.to_thread(lan_address), on_done=on_found, name="network")


def run_desktop(options: DesktopOptions) -> int:
    """Run the window until it is closed; returns the exit code.

    A second start for the same configuration hands its link to the first window and returns 0.
    """
    app = make_application()
    instance = SingleInstance(options.paths.config)
    if instance.hand_over(options.link):
        return 0
    instance.listen()
    from qasync import QEventLoop  # type: ignore[import-untyped]  # ships no types

    loop = QEventLoop(app)
    with loop:
        return int(loop.run_until_complete(_run(options, instance)))


async def _run(options: DesktopOptions, instance: SingleInstance) -> int:
    desktop = Desktop(options, device_watch=DeviceWatch())
    instance.messageReceived.connect(desktop.take_message)
    _quit_on_signals(desktop)
    desktop.show()
    await desktop.start()
    await desktop.closed.wait()
    instance.close()
    try:
        await asyncio.wait_for(desktop.aclose(), _CLOSE_DEADLINE_S)
    except TimeoutError:
        log.warning("closing took too long")
    return 0


def _quit_on_signals(desktop: Desktop) -> None:
    """Leave properly on Ctrl+C and SIGTERM.

    Python runs the handler when Qt next enters Python, which a timer of ours does twice a second.
    """

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        desktop.closed.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
