"""The demo's story: the real window, from the start page to the end of the meeting.

Everything is done as a person would do it: buttons are pressed by their object names, the server
is the real process, the other people are processes of their own. What is seen to arrive goes
into `Flows`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from PySide6.QtCore import QMessageLogContext, QtMsgType, qInstallMessageHandler
from PySide6.QtWidgets import QAbstractButton
from qasync import QEventLoop  # type: ignore[import-untyped]  # ships no stubs

from app.engine import door
from app.engine.client import GeneratedMedia
from app.engine.events import (
    ChatReceived,
    ChatState,
    Event,
    MeetingEnded,
    Reconnected,
    ReconnectStarted,
    TransferChanged,
    TransferState,
)
from app.media.capture.generated import read_counter
from app.protocol.invite import parse_link
from app.roles.demo.cameraman import HEIGHT, WIDTH, Cameraman
from app.roles.demo.flows import Ear, Expected, Flows, report_lines
from app.roles.demo.people import NAMES, PersonGoneError, SyntheticPerson
from app.roles.join import colour, tone_hz
from app.runtime.paths import Paths
from app.runtime.settings import SettingsStore
from app.ui.application import Desktop, DesktopOptions, make_application
from app.ui.chat.composer import Draft
from app.ui.home.destination import Destination, HostPlan
from app.ui.meeting_window import MeetingPage
from app.ui.theme import ThemeChoice

ROOM = "Design review"
MY_NAME = "Maya Keller"
MY_LINE = "Welcome, everybody! Can you all see and hear me?"
LINES = (
    "Hi Maya, loud and clear.",
    "Good morning! The new layout looks great.",
    "Hello from the train, picture is steady.",
    "Here too. I'm sending the sketches now.",
    "Morning!",
    "Ready when you are.",
)
THEIR_FILE, THEIR_FILE_BYTES = "sketches.zip", 2_000_000
MY_FILE, MY_FILE_BYTES = "agenda.pdf", 1_500_000
STEP_DEADLINE_S = 30.0
CRASH_DEADLINE_S = 60.0
GRACE_S = 40.0
POLL_S = 0.1


class StoryError(Exception):
    """A step of the story did not happen; the message says which."""


def play(people: int, seconds: float, screenshots: Path | None) -> int:
    """Play the whole story in a fresh Qt application; returns the exit status."""
    app = make_application()
    qInstallMessageHandler(_on_qt_message)
    with tempfile.TemporaryDirectory(prefix="lanai-demo-") as folder:
        loop = QEventLoop(app)
        with loop:
            return int(loop.run_until_complete(_play(Path(folder), people, seconds, screenshots)))


async def _play(folder: Path, people: int, seconds: float, screenshots: Path | None) -> int:
    # Made inside the loop, which the people's reports come back to.
    return await Story(folder, people, seconds, screenshots).run()


class Story:
    """One run; lives on the Qt thread."""

    def __init__(self, folder: Path, people: int, seconds: float, screenshots: Path | None) -> None:
        self._folder = folder
        self._seconds = seconds
        paths = Paths.under(folder)
        # Port 0: the demo must not be in the way of a meeting that is on already.
        SettingsStore(paths).update(
            name=MY_NAME,
            theme="dark",
            host_port=0,
            host_rtc_port=0,
            host_on_network=False,
            downloads_folder=str(folder / "Downloads" / "Lanai"),
        )
        generated = GeneratedMedia(colour=colour(0), tone_hz=tone_hz(0))
        self._desktop = Desktop(DesktopOptions(paths=paths, generated=generated, use_keyring=False))
        self._cameraman = Cameraman(self._desktop.window, screenshots)
        self._people = [
            SyntheticPerson(number, name=NAMES[(number - 1) % len(NAMES)])
            for number in range(1, people)
        ]
        self._flows = Flows()
        self._ear = Ear()
        self._events: list[Event] = []
        self._changed = asyncio.Event()
        self._shot_reconnecting = False
        self._desktop.bridge.eventPosted.connect(self._on_event)

    async def run(self) -> int:
        """Play, report, clean up."""
        started_s = time.monotonic()
        complaint = ""
        arrived = False
        try:
            await self._open_window()
            await self._host()
            await self._gather()
            await self._talk()
            await self._send_files()
            await self._look_and_listen()
            arrived = self._report()
            if self._cameraman.is_present:
                await self._show_dialogs()
                arrived = await self._lose_the_server() and arrived
            await self._end()
        except (StoryError, TimeoutError) as error:
            complaint = str(error) or "took too long"
        finally:
            for person in self._people:
                await person.stop()
            await self._desktop.aclose()
        if complaint:
            _say(f"MISS {complaint}")
        for name in self._cameraman.taken:
            _say(f"     screenshot {name}")
        is_good = arrived and not complaint
        took_s = time.monotonic() - started_s
        _say(f"demo: {'everything arrived' if is_good else 'FAILED'} ({took_s:.0f} s)")
        return 0 if is_good else 1

    # -- the story ----------------------------------------------------------------------------

    async def _open_window(self) -> None:
        desktop = self._desktop
        desktop.show()
        desktop.window.resize(WIDTH, HEIGHT)
        await desktop.start()
        await self._cameraman.take("start")
        if self._cameraman.is_present:
            desktop.choose_theme(ThemeChoice.LIGHT)
            await self._cameraman.take("start-light")
            desktop.choose_theme(ThemeChoice.DARK)

    async def _host(self) -> None:
        desktop = self._desktop
        desktop.show_prejoin(Destination(host=HostPlan(ROOM, on_network=False)))
        async with self._step("the preview shows a picture"):
            await self._until(lambda: desktop.prejoin_page.preview.painted_frames > 0)
        await self._cameraman.take("pre-join")
        self._press("prejoinJoin")
        async with self._step("the meeting is on"):
            await self._until(lambda: desktop.window.pages.currentWidget() is desktop.meeting_page)
        self._page.stage.set_probe(read_counter)
        await desktop.engine.call(lambda desk: desk.add_mix_tap(self._ear.hear))
        assert desktop.server is not None
        assert desktop.server.room is not None
        _say(f"demo: hosting {ROOM!r} in server process {desktop.server.pid}")

    async def _gather(self) -> None:
        first = self._people[0]
        await self._let_in(first)
        async with self._step(f"a picture of {first.name}"):
            await self._until(lambda: self._painted(first) >= 15)
        await self._cameraman.take("two-people")
        for person in self._people[1:]:
            await self._let_in(person)
        async with self._step("everybody's picture"):
            await self._until(lambda: all(self._painted(p) >= 15 for p in self._people))
        await self._cameraman.take("grid")
        if self._cameraman.is_present:
            self._desktop.choose_theme(ThemeChoice.LIGHT)
            await self._cameraman.take("grid-light")
            self._desktop.choose_theme(ThemeChoice.DARK)

    async def _let_in(self, person: SyntheticPerson) -> None:
        """Through the door, with the invitation that people would be sent."""
        assert self._desktop.server is not None
        assert self._desktop.server.room is not None
        link = parse_link(self._desktop.server.room.invite_link)
        admission = await self._desktop.engine.call(
            lambda _desk: door.enter(link, name=person.name)
        )
        person.start(admission.server_url, admission.token)
        async with self._step(f"{person.name} joins"):
            await person.wait_for("publishing")

    async def _talk(self) -> None:
        self._open_panel("chat")
        field = self._page.chat
        for person in self._people:
            person.tell(chat=LINES[(person.number - 1) % len(LINES)])
        field.sendRequested.emit(Draft(MY_LINE))
        async with self._step("every line of the chat"):
            await self._until(lambda: len(self._flows.lines) >= len(self._people) + 1)
        async with self._step("the window's line at everybody"):
            for person in self._people:
                await person.wait_for("chat", text=MY_LINE)
        await self._cameraman.take("chat")

    async def _send_files(self) -> None:
        self._open_panel("files")
        theirs, mine = self._folder / THEIR_FILE, self._folder / MY_FILE
        self._their_sha256 = await asyncio.to_thread(_make_file, theirs, THEIR_FILE_BYTES, 1)
        self._my_sha256 = await asyncio.to_thread(_make_file, mine, MY_FILE_BYTES, 2)
        self._people[-1].tell(file=str(theirs))
        await self._desktop.engine.send_file(mine)
        async with self._step("the files"):
            await self._until(lambda: THEIR_FILE in self._flows.received)
            for person in self._people:
                await person.wait_for("file", name=MY_FILE)
        await self._cameraman.take("files")

    async def _look_and_listen(self) -> None:
        """Until everything has arrived and the time is up; with a grace for slow machines."""
        self._open_panel("")
        started_s = time.monotonic()
        while True:
            self._take_stock()
            took_s = time.monotonic() - started_s
            if took_s >= self._seconds and self._is_complete():
                return
            if took_s >= self._seconds + GRACE_S:
                return
            await asyncio.sleep(POLL_S * 2)

    async def _show_dialogs(self) -> None:
        self._open_panel("people")
        await self._cameraman.take("people")
        self._open_panel("")
        self._press("topInvite")
        await self._cameraman.take("invite")
        self._press("inviteDone")

    async def _lose_the_server(self) -> bool:
        """Kill the server process: it is started again, and everybody comes back."""
        server = self._desktop.server
        assert server is not None
        painted = {person.identity: self._painted(person) for person in self._people}
        died_s = time.monotonic()
        self._shot_reconnecting = True
        _say(f"demo: killing server process {server.pid} to see everybody come back")
        os.kill(server.pid, signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
        try:
            async with self._step("everybody back after a crash of the server", CRASH_DEADLINE_S):
                await self._until(lambda: self._find(Reconnected) is not None)
                for person in self._people:
                    await person.wait_for("reconnected")
                await self._until(
                    lambda: all(self._painted(p) >= painted[p.identity] + 15 for p in self._people)
                )
        except StoryError as error:
            _say(f"MISS {error}")
            return False
        _say(f"ok   server killed: everybody back after {time.monotonic() - died_s:.1f} s")
        return True

    async def _end(self) -> None:
        self._desktop.leave(end_for_all=True)
        async with self._step("the end of the meeting"):
            await self._until(lambda: self._find(MeetingEnded) is not None)
            for person in self._people:
                await person.wait_for("left")
        await self._cameraman.take("ended")

    # -- stock-taking -------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        self._changed.set()
        match event:
            case ChatReceived(identity=identity, text=text, growing=False, state=ChatState.SENT):
                self._flows.lines[identity, text] += 1
            case TransferChanged(transfer=transfer):
                if not transfer.outgoing and transfer.state is TransferState.DONE:
                    assert transfer.path is not None
                    content = transfer.path.read_bytes()
                    digest = hashlib.sha256(content).hexdigest()
                    self._flows.received[transfer.file_name] = digest
            case ReconnectStarted() if self._shot_reconnecting:
                self._shot_reconnecting = False
                # In this very turn: the server will be back before the next one is over.
                self._desktop.bridge.run(self._cameraman.take("reconnecting", settle=False))
                self._events.append(event)
            case MeetingEnded() | Reconnected():
                self._events.append(event)
            case _:
                pass

    def _take_stock(self) -> None:
        for person in self._expected():
            record = self._page.stage.record_of(person.identity)
            self._flows.frames[person.identity] = record.distinct
            self._flows.note_tone(person, self._ear.read(person.tone_hz))
        for other in self._people:
            if other.find("chat", text=MY_LINE) is not None:
                self._flows.answered.add(other.identity)
            delivered = other.find("file", name=MY_FILE)
            if delivered is not None:
                self._flows.delivered[other.identity] = str(delivered["sha256"])

    def _expected(self) -> list[Expected]:
        return [
            Expected(
                person.identity,
                person.name,
                tone_hz(person.number),
                LINES[(person.number - 1) % len(LINES)],
            )
            for person in self._people
        ]

    def _is_complete(self) -> bool:
        return self._judge()[1]

    def _judge(self) -> tuple[list[str], bool]:
        return report_lines(
            self._flows,
            self._expected(),
            file_name=THEIR_FILE,
            file_sha256=self._their_sha256,
            own_sha256=self._my_sha256,
        )

    def _report(self) -> bool:
        self._take_stock()
        lines, arrived = self._judge()
        me = self._page.roster.me
        if me is not None:
            own = self._page.stage.record_of(me.identity).distinct
            _say(f"     {me.name}: {own} frames of the window's own camera painted")
        for line in lines:
            _say(line)
        return arrived

    # -- hands and eyes -----------------------------------------------------------------------

    @property
    def _page(self) -> MeetingPage:
        page = self._desktop.meeting_page
        if page is None:
            raise StoryError("the meeting ended too early")
        return page

    def _painted(self, person: SyntheticPerson) -> int:
        return self._page.stage.record_of(person.identity).distinct

    def _find(self, kind: type[Event]) -> Event | None:
        return next((event for event in self._events if isinstance(event, kind)), None)

    def _open_panel(self, tab: str) -> None:
        if tab:
            self._page.open_panel(tab)
        else:
            self._page.close_panel()

    def _press(self, name: str) -> None:
        button = self._desktop.window.findChild(QAbstractButton, name)
        if button is None or not button.isEnabled():
            raise StoryError(f"no {name} to press")
        button.click()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 - what was painted raises no event
            await asyncio.sleep(POLL_S)

    @asynccontextmanager
    async def _step(self, what: str, deadline_s: float = STEP_DEADLINE_S) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(deadline_s):
                yield
        except TimeoutError:
            raise StoryError(f"{what}: not within {deadline_s:.0f} s") from None
        except PersonGoneError as error:
            raise StoryError(f"{what}: {error}") from None


def _on_qt_message(kind: QtMsgType, _context: QMessageLogContext, text: str) -> None:
    # The offscreen platform complains about what it cannot do for every window that is shown.
    if kind is not QtMsgType.QtDebugMsg and not text.startswith("This plugin does not support"):
        print(f"qt: {text}", file=sys.stderr)


def _make_file(path: Path, size_bytes: int, seed: int) -> str:
    content = random.Random(seed).randbytes(size_bytes)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _say(line: str) -> None:
    print(line, flush=True)
