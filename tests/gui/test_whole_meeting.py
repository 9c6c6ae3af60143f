"""The real window, engine and server process; the other person is an official SDK."""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import ifaddr
import pytest
import structlog.testing
from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QPlainTextEdit, QWidget
from qasync import QEventLoop  # type: ignore[import-untyped]  # ships no stubs

from app.engine import door
from app.engine.client import GeneratedMedia
from app.media.capture.generated import read_counter
from app.protocol.invite import parse_link
from app.runtime.paths import Paths
from app.runtime.settings import SettingsStore
from app.ui.application import Desktop, DesktopOptions
from app.ui.stage.tile import VideoTile
from tests.support.sdk_peer import SdkPeer

pytestmark = [pytest.mark.gui, pytest.mark.interop]

T = TypeVar("T")
DEADLINE_S = 30.0
FILE_BYTES = 1_500_000


class PeerThread:
    """An `SdkPeer` on a loop of its own: its pipes have nothing to do with Qt's loop."""

    def __init__(self, identity: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="peer")
        self._thread.start()
        self._peer = SdkPeer(identity)

    async def run(self, work: Callable[[SdkPeer], Coroutine[Any, Any, T]]) -> T:
        """Let the peer do something."""
        future = asyncio.run_coroutine_threadsafe(work(self._peer), self._loop)
        return await asyncio.wrap_future(future)

    async def open(self) -> None:
        """Start its process."""
        await self.run(lambda peer: peer.__aenter__())

    async def close(self) -> None:
        """End its process, loop and thread."""
        try:
            await self.run(lambda peer: peer.__aexit__(None, None, None))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            await asyncio.to_thread(self._thread.join)
            self._loop.close()


class Person:
    """Somebody in front of the window, who finds controls by their object names."""

    def __init__(self, desktop: Desktop) -> None:
        self._desktop = desktop

    def find(self, name: str) -> QWidget | None:
        """What is on screen under this name."""
        found = self._desktop.window.findChildren(QWidget, name)
        return next((one for one in found if one.isVisible()), None)

    async def see(self, name: str) -> QWidget:
        """Wait until it is there."""
        await self.until(lambda: self.find(name) is not None, name)
        found = self.find(name)
        assert found is not None
        return found

    async def press(self, name: str) -> None:
        """Click on it."""
        widget = await self.see(name)
        await self.until(widget.isEnabled, f"{name} enabled")
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton)

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait with a generous deadline."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < deadline_s, f"never came: {what}"
            await asyncio.sleep(0.02)


def drop_file(on: QWidget, path: Path, at: QPoint) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    how = (Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    action = Qt.DropAction.CopyAction
    QApplication.sendEvent(on, QDragEnterEvent(at, action, mime, *how))
    QApplication.sendEvent(on, QDropEvent(at, action, mime, *how))


async def the_story(folder: Path) -> None:
    paths = Paths.under(folder)
    SettingsStore(paths).update(
        name="Noa",
        host_port=0,
        host_rtc_port=0,
        host_on_network=False,
        downloads_folder=str(folder / "Downloads"),
    )
    media = GeneratedMedia(colour=(62, 120, 187), tone_hz=330.0)
    desktop = Desktop(DesktopOptions(paths=paths, generated=media, use_keyring=False))
    peer = PeerThread("kai")
    try:
        await peer.open()
        desktop.show()
        await desktop.start()
        await meet(desktop, Person(desktop), peer, folder)
    finally:
        await peer.close()
        await desktop.aclose()


async def meet(desktop: Desktop, noa: Person, peer: PeerThread, folder: Path) -> None:
    # Host.
    await noa.press("startHostButton")
    await noa.press("prejoinJoin")
    await noa.see("meetingPage")
    page = desktop.meeting_page
    assert page is not None
    page.stage.set_probe(read_counter)
    assert desktop.server is not None
    assert desktop.server.room is not None
    me = page.roster.me
    assert me is not None
    await noa.until(lambda: page.stage.record_of(me.identity).frames > 0, "own picture")

    # Somebody joins with an official SDK, through the door, with the invitation.
    link = parse_link(desktop.server.room.invite_link)
    admission = await desktop.engine.call(lambda _desk: door.enter(link, name="Kai"))
    await peer.run(lambda kai: kai.connect(admission.server_url, admission.token))
    await peer.run(lambda kai: kai.call("listen", topic="lk.chat"))
    await peer.run(lambda kai: kai.call("listen", topic="lanai.file"))
    await peer.run(lambda kai: kai.call("publish_tone", freq_hz=440))
    await peer.run(
        lambda kai: kai.call(
            "publish_video", colour=[200, 40, 40], simulcast=False, size=[640, 360], fps=15
        )
    )
    await noa.until(lambda: len(page.roster.others) == 1, "the other person")
    kai_identity = page.roster.others[0].identity
    tile = await noa.see(f"tile_{kai_identity}")
    assert isinstance(tile, VideoTile)
    await noa.until(lambda: page.stage.record_of(kai_identity).distinct >= 15, "moving pictures")
    await noa.see("selfView")
    await peer.run(
        lambda sdk: sdk.wait_media("frames", identity=me.identity, frames=15, deadline_s=30)
    )

    # Chat, both ways.
    await noa.press("controlChat")
    field = await noa.see("chatInput")
    assert isinstance(field, QPlainTextEdit)
    QTest.keyClicks(field, "Hello from the window")
    QTest.keyClick(field, Qt.Key.Key_Return)
    inbox = await peer.run(lambda kai: kai.call("wait_inbox", count=1, within_s=DEADLINE_S))
    assert inbox[0]["text"] == "Hello from the window"
    await peer.run(lambda kai: kai.call("send_text", topic="lk.chat", text="Hello from the SDK"))
    model = page.chat.model
    await noa.until(lambda: model.rowCount() == 2, "both lines")
    assert model.row(0).is_mine
    assert (model.row(1).text, model.row(1).name) == ("Hello from the SDK", "Kai")

    # A file by drop.
    path = folder / "notes.bin"
    content = random.Random(3).randbytes(FILE_BYTES)
    path.write_bytes(content)
    drop_file(page, path, page.stage.mapTo(page, QPoint(6, 6)))
    inbox = await peer.run(lambda kai: kai.call("wait_inbox", count=2, within_s=DEADLINE_S))
    arrived = inbox[1]
    assert (arrived["name"], arrived["size"]) == ("notes.bin", FILE_BYTES)
    assert arrived["sha256"] == hashlib.sha256(content).hexdigest()
    await noa.until(lambda: page.files.running == 0, "the transfer's end")

    # Mute: the other side is told.
    await noa.press("controlMic")
    await peer.run(lambda kai: kai.wait_event("track_muted", identity=me.identity))
    mic = await noa.see("controlMic")
    assert isinstance(mic, QAbstractButton)
    await noa.until(lambda: mic.text() == "Unmute", "Unmute")

    # Leave.
    await noa.press("controlLeave")
    await noa.see("endPage")
    await peer.run(lambda kai: kai.wait_event("participant_disconnected", identity=me.identity))


def has_network() -> bool:
    """The official SDK gathers nothing on loopback alone."""
    return any(
        ip.is_IPv4 and not str(ip.ip).startswith("127.")
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
    )


@pytest.mark.skipif(not has_network(), reason="the SDK needs one non-loopback interface")
def test_host_join_chat_drop_mute_leave(qapp: QApplication, tmp_path: Path) -> None:
    loop = QEventLoop(qapp)
    with loop, structlog.testing.capture_logs():
        loop.run_until_complete(the_story(tmp_path))
