"""The real window, its engine, the real server process, and a guest with an engine of its own.

What a person does goes through object names; what arrives is what the guest's engine reports.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import structlog.testing
from PySide6.QtCore import QMimeData, QPoint, QPointF, QSize, Qt, QUrl
from PySide6.QtGui import QColor, QDragEnterEvent, QDropEvent, QGuiApplication, QImage
from PySide6.QtWidgets import QApplication, QPlainTextEdit, QTextEdit, QWidget
from pytestqt.qtbot import QtBot

from app.engine.client import EngineClient, GeneratedMedia, JoinSpec
from app.engine.events import (
    AttachmentState,
    ChatAttachment,
    ChatReceived,
    EndCause,
    Event,
    MeetingEnded,
    MeetingJoined,
    PersonChanged,
    PersonJoined,
    Reconnected,
    ReconnectStarted,
    TransferChanged,
    TransferState,
)
from app.host.hosted import HostedServer
from app.host.keys import KeyPair, load_or_make_keys
from app.host.tokens import INVITE_TTL_S, invitation
from app.protocol.invite import parse_link
from app.runtime.paths import Paths
from app.runtime.settings import Settings
from app.ui.application import Desktop, DesktopOptions
from app.ui.theme import ThemeChoice

T = TypeVar("T")
E = TypeVar("E", bound=Event)
DEADLINE_MS = 30_000


@dataclass
class Guest:
    """Somebody else in the meeting: an engine without a window."""

    engine: EngineClient
    events: list[Event] = field(default_factory=list)

    def seen(self, kind: type[E], test: Callable[[E], bool] = lambda _event: True) -> list[E]:
        """The events of one kind so far that pass `test`."""
        self.events += self.engine.take_events()
        return [event for event in self.events if isinstance(event, kind) and test(event)]


@dataclass
class Stage:
    """The window under test and short ways to use it."""

    desktop: Desktop
    loop: asyncio.AbstractEventLoop
    qtbot: QtBot
    events: list[Event] = field(default_factory=list)

    def wait(self, test: Callable[[], object]) -> None:
        """Wait in Qt's loop until `test` is true."""
        self.qtbot.waitUntil(lambda: bool(test()), timeout=DEADLINE_MS)

    def run(self, coro: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end while Qt goes on."""
        task = self.loop.create_task(coro)
        self.wait(task.done)
        return task.result()

    def find(self, name: str) -> QWidget:
        """The one visible widget of this name."""
        found = [w for w in self.desktop.window.findChildren(QWidget, name) if w.isVisible()]
        assert len(found) == 1, f"{name}: {len(found)} visible"
        return found[0]

    def click(self, name: str) -> None:
        """Press it."""
        self.qtbot.mouseClick(self.find(name), Qt.MouseButton.LeftButton)

    def wait_for_page(self, name: str) -> None:
        """Wait until a page is in front."""

        def is_there() -> bool:
            page = self.desktop.window.pages.currentWidget()
            return page is not None and page.objectName() == name

        self.wait(is_there)

    def seen(self, kind: type[E]) -> list[E]:
        """What the window's own engine told it."""
        return [event for event in self.events if isinstance(event, kind)]

    def text_on_screen(self, text: str) -> bool:
        """Whether a chat line is in the list."""
        page = self.desktop.meeting_page
        assert page is not None
        return any(text in line.text for line in self.seen(ChatReceived))


@pytest.fixture
def stage(ui_loop: asyncio.AbstractEventLoop, qtbot: QtBot, tmp_path: Path) -> Iterator[Stage]:
    """A window that hosts on any free port, loopback only."""
    paths = Paths.under(tmp_path / "host")
    options = DesktopOptions(paths=paths, generated=GeneratedMedia(), use_keyring=False)
    desktop = Desktop(options)
    desktop.choose_theme(ThemeChoice.DARK)
    desktop._save(
        name="Noa",
        host_port=0,
        host_rtc_port=0,
        host_on_network=False,
        downloads_folder=str(tmp_path / "host" / "downloads"),
    )
    one = Stage(desktop, ui_loop, qtbot)
    desktop.bridge.eventPosted.connect(one.events.append)
    desktop.window.resize(1280, 800)
    desktop.show()
    qtbot.waitExposed(desktop.window)
    one.run(desktop.start())
    yield one
    with structlog.testing.capture_logs():
        one.run(desktop.aclose())
    desktop.window.deleteLater()
    desktop.deleteLater()
    QApplication.processEvents()


@pytest.fixture
def guest(stage: Stage, tmp_path: Path) -> Iterator[Guest]:
    """An engine whose files go into a folder of its own."""
    settings = Settings(name="Mia", downloads_folder=str(tmp_path / "guest"))
    media = GeneratedMedia(colour=(220, 60, 60), tone_hz=550.0)
    one = Guest(EngineClient(settings, generated=media))
    one.engine.start()
    yield one
    stage.run(one.engine.aclose())


def host_a_meeting(stage: Stage) -> None:
    stage.click("startHostButton")
    stage.wait_for_page("prejoinPage")
    stage.click("prejoinJoin")
    stage.wait_for_page("meetingPage")


def bring_in(stage: Stage, guest: Guest) -> None:
    server = stage.desktop.server
    assert server is not None
    assert server.room is not None
    link = parse_link(server.room.invite_link)
    stage.run(guest.engine.join(JoinSpec(name="Mia", link=link)))
    stage.wait(lambda: stage.seen(PersonJoined))


def test_host_join_chat_drop_a_file_mute_and_leave(
    stage: Stage, guest: Guest, tmp_path: Path
) -> None:
    host_a_meeting(stage)
    bring_in(stage, guest)
    (joined,) = guest.seen(MeetingJoined)
    assert {person.name for person in joined.people} == {"Noa", "Mia"}
    stage.wait(lambda: f"tile_{joined.me}" in tile_names(stage))

    stage.click("controlChat")
    field_ = stage.find("chatInput")
    assert isinstance(field_, QPlainTextEdit | QTextEdit)
    stage.qtbot.keyClicks(field_, "Hello Mia")
    stage.qtbot.keyClick(field_, Qt.Key.Key_Return)
    stage.wait(lambda: guest.seen(ChatReceived, lambda line: line.text == "Hello Mia"))
    paste_a_picture(stage, field_)
    stage.wait(lambda: pictures_here(guest))
    (picture,) = pictures_here(guest)
    assert picture.name == "Pasted picture.png"
    assert QImage(str(picture.path)).size() == QSize(320, 200)
    stage.run(guest.engine.send_chat("Hello Noa"))
    stage.wait(lambda: stage.text_on_screen("Hello Noa"))

    content = bytes(range(256)) * 2_000
    path = tmp_path / "sketch.bin"
    path.write_bytes(content)
    drop(stage, path)
    stage.wait(
        lambda: guest.seen(
            TransferChanged, lambda event: event.transfer.state is TransferState.DONE
        )
    )
    received = tmp_path / "guest" / "sketch.bin"
    assert hashlib.sha256(received.read_bytes()).digest() == hashlib.sha256(content).digest()

    stage.click("controlMic")
    stage.wait(
        lambda: guest.seen(
            PersonChanged,
            lambda event: event.person.name == "Noa" and not event.person.mic_on,
        )
    )

    stage.click("controlLeave")
    stage.wait_for_page("endPage")
    (end,) = stage.seen(MeetingEnded)
    assert end.cause is EndCause.LEFT


def paste_a_picture(stage: Stage, field_: QWidget) -> None:
    """Ctrl+V, and Enter once the picture lies beside the draft."""
    image = QImage(320, 200, QImage.Format.Format_RGB32)
    image.fill(QColor("#3ecfbb"))
    clipboard = QGuiApplication.clipboard()
    clipboard.setImage(image)
    stage.qtbot.keyClick(field_, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    clipboard.clear()
    page = stage.desktop.meeting_page
    assert page is not None
    stage.wait(lambda: page.chat.composer.draft().files)
    stage.qtbot.keyClick(field_, Qt.Key.Key_Return)


def pictures_here(guest: Guest) -> list[ChatAttachment]:
    """The pictures that the guest has whole."""
    lines = guest.seen(ChatReceived)
    pictures = {one.id: one for line in lines for one in line.attachments}
    return [one for one in pictures.values() if one.state is AttachmentState.HERE]


def test_everybody_is_sent_home_when_the_host_ends_it(stage: Stage, guest: Guest) -> None:
    host_a_meeting(stage)
    bring_in(stage, guest)

    stage.desktop.leave(end_for_all=True)

    stage.wait_for_page("endPage")
    stage.wait(lambda: guest.seen(MeetingEnded, lambda event: event.cause is EndCause.ENDED))
    stage.wait(lambda: stage.desktop.server is None)


def test_a_killed_server_comes_back_and_the_meeting_goes_on(stage: Stage, guest: Guest) -> None:
    host_a_meeting(stage)
    bring_in(stage, guest)
    server = stage.desktop.server
    assert server is not None

    # The supervisor's complaint is expected here, and only here.
    with structlog.testing.capture_logs():
        os.kill(server.pid, signal.SIGKILL)
        stage.wait(lambda: stage.seen(ReconnectStarted))
        assert stage.find("bannerReconnect").isVisible()
        assert stage.find("controlMic").isEnabled()
        assert stage.find("controlLeave").isEnabled()
        stage.wait(lambda: stage.seen(Reconnected))
        stage.wait(lambda: guest.seen(Reconnected))
        stage.wait(lambda: len(tile_names(stage)) == 1)
        stage.run(guest.engine.send_chat("Still here"))
        stage.wait(lambda: stage.text_on_screen("Still here"))
    assert server.restarts == 1
    assert stage.desktop.meeting_page is not None


def test_a_link_to_nobody_is_told_and_the_address_can_be_edited(stage: Stage) -> None:
    # Port 9 (discard) is closed on loopback.
    stage.desktop.open_link("127.0.0.1:9/Nowhere")

    stage.wait_for_page("endPage")
    assert stage.desktop.end_page.title.text() == "Can\u2019t reach the server"
    stage.click("endSecondary")
    stage.wait_for_page("startPage")
    assert stage.desktop.start_page.join_input.text() == "127.0.0.1:9/Nowhere"


def test_a_wrong_passcode_comes_back_to_its_field_and_the_right_one_opens(
    stage: Stage, tmp_path: Path
) -> None:
    server = HostedServer(
        Settings(host_port=0, host_rtc_port=0), Paths.under(tmp_path / "other"), use_keyring=False
    )
    room = stage.run(server.start("Tea", "Mia", "plum", lan=False))
    try:
        stage.desktop.open_link(f"{room.address}/Tea")
        stage.wait_for_page("prejoinPage")
        stage.wait(lambda: stage.desktop.prejoin_page.passcode_field.isVisible())
        stage.qtbot.keyClicks(stage.find("prejoinPasscode"), "pear")
        stage.click("prejoinJoin")
        stage.wait(lambda: stage.desktop.prejoin_page.passcode_problem.isVisible())
        stage.desktop.prejoin_page.passcode_field.clear()
        stage.qtbot.keyClicks(stage.find("prejoinPasscode"), "plum")
        stage.click("prejoinJoin")
        stage.wait_for_page("meetingPage")
        stage.desktop.leave()
        stage.wait_for_page("endPage")
    finally:
        stage.run(server.stop())


@pytest.mark.parametrize(
    ("how", "title"),
    [
        ("expired", "This invite has expired"),
        ("forged", "This invite doesn\u2019t work"),
        ("cut off", "This invite doesn\u2019t work"),
    ],
)
def test_an_invite_that_is_no_good_any_more_says_why(
    stage: Stage, tmp_path: Path, how: str, title: str
) -> None:
    paths = Paths.under(tmp_path / "other")
    server = HostedServer(Settings(host_port=0, host_rtc_port=0), paths, use_keyring=False)
    room = stage.run(server.start("Tea", "Mia", lan=False))
    try:
        keys = load_or_make_keys(paths, use_keyring=False)
        made_at_s = time.time() - (INVITE_TTL_S + 3600 if how == "expired" else 0)
        invite = invitation(keys, room="Tea", now_s=made_at_s)
        if how == "forged":
            other = KeyPair(keys.api_key, "another secret, just as long as it", in_keyring=False)
            invite = invitation(other, room="Tea", now_s=made_at_s)
        elif how == "cut off":
            invite = invite[:-9]
        stage.desktop.open_link(f"lanai://{room.address}/Tea?i={invite}")
        stage.wait_for_page("prejoinPage")
        stage.wait(stage.desktop.prejoin_page.join_button.isEnabled)
        stage.click("prejoinJoin")
        stage.wait_for_page("endPage")
    finally:
        stage.run(server.stop())

    assert stage.desktop.end_page.title.text() == title
    assert invite not in stage.desktop.end_page._details


def test_a_meeting_that_does_not_run_is_told(stage: Stage, tmp_path: Path) -> None:
    paths = Paths.under(tmp_path / "other")
    server = HostedServer(Settings(host_port=0, host_rtc_port=0), paths, use_keyring=False)
    room = stage.run(server.start("Tea", "Mia", lan=False))
    try:
        stage.desktop.open_link(f"{room.address}/Coffee")
        stage.wait_for_page("endPage")
    finally:
        stage.run(server.stop())

    assert stage.desktop.end_page.title.text() == "This meeting isn\u2019t running"


def tile_names(stage: Stage) -> set[str]:
    return {
        widget.objectName()
        for widget in stage.desktop.window.findChildren(QWidget)
        if widget.isVisible() and widget.objectName().startswith("tile_")
    }


def drop(stage: Stage, path: Path) -> None:
    """Let go of a file over the top bar, which means: for everybody."""
    page = stage.desktop.meeting_page
    assert page is not None
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    at = QPoint(page.width() // 2, 20)
    how = (Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    action = Qt.DropAction.CopyAction
    # Qt gives a drop only to what accepted the drag.
    QApplication.sendEvent(page, QDragEnterEvent(at, action, mime, *how))
    QApplication.sendEvent(page, QDropEvent(QPointF(at), action, mime, *how))
