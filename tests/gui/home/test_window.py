"""The window as a whole: identity, place, one instance, theme, quitting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QAbstractButton, QApplication, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from app.engine.events import EndCause, MeetingEnded
from app.host.hosted import HostedRoom, HostedServer
from app.runtime.errors import Reason, WorldError
from app.runtime.paths import Paths
from app.runtime.settings import Recent, SettingsStore
from app.ui.identity import make_application, product_version
from app.ui.main_window import MainWindow
from app.ui.single_instance import SingleInstance
from app.ui.theme import theme
from tests.gui.home.conftest import Window, delete_now
from tests.support.fake_engine import joined

Open = Callable[..., Window]


class FakeServer:
    """A hosted server that is only asked and answers at once."""

    def __init__(self, error: WorldError | None = None) -> None:
        self.error = error
        self.stopped = 0
        self.started: list[tuple[str, str, str, bool]] = []
        self.room: HostedRoom | None = None

    async def start(
        self,
        room: str,
        name: str,
        passcode: str = "",
        *,
        lan: bool,
        lobby: bool = False,
        locked: bool = False,
    ) -> HostedRoom:
        self.started.append((room, name, passcode, lan))
        if self.error is not None:
            raise self.error
        self.room = HostedRoom(
            room=room,
            host_name=name,
            passcode=passcode,
            ws_url="ws://127.0.0.1:7880",
            token="secret-token",
            door_url="http://192.168.1.20:7880",
            address="192.168.1.20:7880",
            on_network=True,
            invite_link="lanai://192.168.1.20:7880/x?i=a.b.c",
            web_link="",
            invite_expires_at_s=0.0,
        )
        return self.room

    async def stop(self) -> None:
        self.stopped += 1
        self.room = None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    """Hosting starts this instead of a process."""
    fake = FakeServer()
    monkeypatch.setattr(
        "app.host.hosted.HostedServer",
        lambda *_args, **_options: cast("HostedServer", fake),
    )
    return fake


def hosting(open_window: Open) -> Window:
    window = open_window()
    window.click("startHostButton")
    window.wait_for_page("prejoinPage")
    window.click("prejoinJoin")
    window.qtbot.waitUntil(lambda: bool(window.engine.calls("join")), timeout=30_000)
    window.post(joined(3))
    window.wait_for_page("meetingPage")
    return window


def test_hosting_joins_with_the_servers_own_token_over_loopback(
    open_window: Open, server: FakeServer
) -> None:
    window = hosting(open_window)

    assert server.started == [("Noa's meeting", "Noa", "", True)]
    spec = window.joins()[0]
    assert (spec.server_url, spec.token) == ("ws://127.0.0.1:7880", "secret-token")
    (recent,) = window.desktop.recents.items
    assert recent.hosted_here
    window.desktop.saver.flush()
    text = window.desktop.options.paths.recents_file.read_text("utf-8")
    assert "secret" not in text


def test_a_server_that_cannot_start_is_explained(open_window: Open, server: FakeServer) -> None:
    server.error = WorldError(Reason.PORT_TAKEN, retry=True)
    window = open_window()
    window.click("startHostButton")
    window.wait_for_page("prejoinPage")
    window.click("prejoinJoin")
    window.wait_for_page("endPage")

    assert window.desktop.end_page.title.text() == "The meeting couldn\u2019t start"
    assert window.desktop.server is None


def test_the_host_invites_with_the_servers_link(open_window: Open, server: FakeServer) -> None:
    window = hosting(open_window)

    window.desktop.show_invite()
    window.settle()

    field = window.find("inviteLink")
    assert field.property("text") == "lanai://192.168.1.20:7880/x?i=a.b.c"


def test_cancelling_a_hosted_meeting_stops_the_server(
    open_window: Open, server: FakeServer
) -> None:
    window = open_window()
    window.click("startHostButton")
    window.wait_for_page("prejoinPage")
    window.click("prejoinJoin")
    window.qtbot.waitUntil(lambda: bool(window.engine.calls("join")), timeout=30_000)

    window.click("connectingCancel")
    window.qtbot.waitUntil(lambda: server.stopped == 1, timeout=30_000)
    window.wait_for_page("prejoinPage")


def test_quitting_while_others_are_there_asks_first(open_window: Open, server: FakeServer) -> None:
    window = hosting(open_window)

    window.desktop.window.close()
    window.settle()
    assert window.desktop.window.isVisible()
    assert not window.desktop.closed.is_set()
    window.click("confirmNo")
    assert not window.desktop.closed.is_set()

    window.desktop.window.close()
    window.settle()
    window.click("confirmYes")
    assert window.desktop.closed.is_set()


def test_hosting_another_meeting_asks_before_it_ends_the_first(
    open_window: Open, server: FakeServer
) -> None:
    window = hosting(open_window)
    window.post(MeetingEnded(EndCause.LEFT, "Noa's meeting", "Noa", 5.0, 0, Path("/tmp")))
    window.wait_for_page("endPage")
    assert "still hosts it" in window.desktop.end_page.text.text()
    window.click("endSecondary")
    window.click("startHostOptions")
    window.type_into("hostRoomName", "Standup")
    window.click("hostStart")
    window.wait_for_page("prejoinPage")
    window.click("prejoinJoin")

    assert window.shows("confirmDialog")
    assert server.stopped == 0
    window.click("confirmYes")
    window.qtbot.waitUntil(lambda: len(window.joins()) == 2, timeout=30_000)
    assert server.stopped == 1
    assert [one[0] for one in server.started] == ["Noa's meeting", "Standup"]


def test_the_host_who_left_is_asked_before_quitting(open_window: Open, server: FakeServer) -> None:
    window = hosting(open_window)
    window.post(MeetingEnded(EndCause.LEFT, "Noa's meeting", "Noa", 5.0, 0, Path("/tmp")))
    window.wait_for_page("endPage")

    window.desktop.window.close()
    window.settle()

    assert window.shows("confirmDialog")
    assert not window.desktop.closed.is_set()


def test_rejoining_ones_own_meeting_keeps_its_server(open_window: Open, server: FakeServer) -> None:
    window = hosting(open_window)
    window.post(MeetingEnded(EndCause.LEFT, "Noa's meeting", "Noa", 5.0, 0, Path("/tmp")))
    window.wait_for_page("endPage")
    window.click("endPrimary")
    window.qtbot.waitUntil(lambda: len(window.joins()) == 2, timeout=30_000)

    assert len(server.started) == 1
    assert server.stopped == 0


def test_ending_it_for_everybody_stops_the_server(open_window: Open, server: FakeServer) -> None:
    window = hosting(open_window)
    window.post(MeetingEnded(EndCause.ENDED, "Noa's meeting", "Noa", 5.0, 0, Path("/tmp")))
    window.qtbot.waitUntil(lambda: server.stopped == 1, timeout=30_000)

    assert window.desktop.end_page.text.text().startswith("You ended")


def test_a_guest_quits_without_being_asked(open_window: Open) -> None:
    window = open_window()
    window.desktop.open_link("192.168.1.24/Garden%20club")
    window.wait_for_page("prejoinPage")
    window.click("prejoinJoin")
    window.post(joined(2, host=False))
    window.wait_for_page("meetingPage")

    window.desktop.window.close()
    window.settle()

    assert window.desktop.closed.is_set()


def test_a_link_at_the_start_opens_its_pre_join_page(open_window: Open) -> None:
    window = open_window(link="192.168.1.24/Tea")

    window.wait_for_page("prejoinPage")


def test_a_refused_command_becomes_a_toast(open_window: Open) -> None:
    window = open_window()
    window.desktop.open_link("192.168.1.24/Garden%20club")
    window.wait_for_page("prejoinPage")
    window.click("prejoinJoin")
    window.post(joined(2, host=False))
    window.wait_for_page("meetingPage")
    window.engine.refusals["leave"] = WorldError(Reason.DENIED)

    window.desktop.leave(end_for_all=True)
    window.settle()

    page = window.desktop.meeting_page
    assert page is not None
    assert len(page.toasts.titles()) == 1


def test_captions_chosen_in_a_meeting_are_kept_with_the_other_choices(
    open_window: Open, tmp_path: Path
) -> None:
    window = open_window()
    window.desktop.open_link("192.168.1.24/Garden%20club")
    window.wait_for_page("prejoinPage")
    window.click("prejoinJoin")
    page = window.desktop.meeting_page
    assert page is not None
    page.captions.toggle()
    window.desktop.saver.flush()

    assert window.engine.settings.show_captions
    assert SettingsStore(Paths.under(tmp_path)).current.show_captions


def test_the_theme_follows_the_system_until_somebody_chooses(
    open_window: Open, qapp: QApplication
) -> None:
    window = open_window()
    hints = qapp.styleHints()
    hints.setColorScheme(Qt.ColorScheme.Light)
    window.settle()
    light = theme.tokens.name
    hints.setColorScheme(Qt.ColorScheme.Dark)
    window.settle()
    dark = theme.tokens.name
    hints.unsetColorScheme()

    # A platform that knows no colour scheme stays dark.
    assert (light, dark) in (("light", "dark"), ("dark", "dark"))


def test_the_window_comes_back_where_it_was(qtbot: QtBot, tmp_path: Path) -> None:
    place = tmp_path / "window.json"
    first = MainWindow(place)
    first.setGeometry(20, 30, 700, 500)
    first.show()
    qtbot.waitExposed(first)
    first.close_for_good()
    delete_now(first)

    second = MainWindow(place)
    assert second.geometry().getRect() == (20, 30, 700, 500)
    delete_now(second)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"last": 7}', '{"last": "S", "S": [1, 2, 3]}', '{"last": "S", "S": "x"}'],
)
def test_an_odd_geometry_file_gives_the_default_size(
    qtbot: QtBot, tmp_path: Path, content: str
) -> None:
    place = tmp_path / "window.json"
    screen = QGuiApplication.primaryScreen()
    place.write_text(content.replace('"S"', json.dumps(screen.name())), "utf-8")

    window = MainWindow(place)

    assert window.size().boundedTo(screen.availableSize()) == window.size()
    delete_now(window)


def test_a_second_start_hands_its_link_to_the_first(qtbot: QtBot, tmp_path: Path) -> None:
    first = SingleInstance(tmp_path)
    assert not first.hand_over("nobody there")
    assert first.listen()
    second = SingleInstance(tmp_path)
    with qtbot.waitSignal(first.messageReceived, timeout=30_000) as got:
        assert second.hand_over("lanai://192.168.1.24/Tea")

    assert got.args == ["lanai://192.168.1.24/Tea"]
    first.close()
    delete_now(first)
    delete_now(second)


def test_other_configurations_do_not_find_each_other(qtbot: QtBot, tmp_path: Path) -> None:
    first = SingleInstance(tmp_path / "a")
    assert first.listen()

    assert not SingleInstance(tmp_path / "b").hand_over("x")
    first.close()
    delete_now(first)


def test_a_later_start_brings_its_link_up(open_window: Open) -> None:
    window = open_window()

    window.desktop.take_message("192.168.1.24/Tea")
    window.wait_for_page("prejoinPage")
    assert window.desktop.prejoin_page.room_name.full_text() == "Tea"


def test_the_application_carries_the_products_identity(qapp: QApplication) -> None:
    app = make_application()

    assert app is qapp
    assert product_version().count(".") == 2


def test_nothing_keeps_running_after_closing(
    open_window: Open, ui_loop: asyncio.AbstractEventLoop
) -> None:
    window = open_window()
    window.desktop.open_link("192.168.1.24/Garden%20club")
    window.wait_for_page("prejoinPage")
    closing = ui_loop.create_task(window.desktop.aclose())
    window.qtbot.waitUntil(closing.done, timeout=30_000)
    window.settle()

    assert not window.desktop.window.isVisible()
    assert window.engine.open_slots == []
    assert not [task for task in asyncio.all_tasks(ui_loop) if not task.done()]


def test_everything_that_can_be_pressed_has_a_name_and_is_large_enough(
    open_window: Open, server: FakeServer
) -> None:
    window = open_window()
    window.desktop.recents.add(Recent("Tea", "192.168.1.24:7880", 1_700_000_000_000))
    window.desktop.show_start()

    def look() -> None:
        window.settle()
        for button in window.desktop.window.findChildren(QAbstractButton):
            if button.isVisible() and button.objectName() not in ("qt_toolbar_ext_button",):
                said = button.accessibleName() or button.text() or button.toolTip()
                assert said, button.objectName() or type(button)
                assert min(button.width(), button.height()) >= 28, said
                assert button.objectName() or said == "Close", said
        for field in window.desktop.window.findChildren(QLineEdit):
            if field.isVisible():
                assert field.accessibleName(), field.objectName()

    look()
    window.click("startHostOptions")
    look()
    window.click("hostStart")
    window.wait_for_page("prejoinPage")
    look()
    window.click("prejoinJoin")
    window.wait_for_page("connectingPage")
    look()
    window.post(MeetingEnded(EndCause.LOST, "Tea", "Noa", 5.0, 0, Path("/tmp")))
    window.wait_for_page("endPage")
    look()


def test_object_names_are_unique_in_the_window(open_window: Open, server: FakeServer) -> None:
    window = hosting(open_window)
    window.desktop.show_invite()
    window.settle()

    names = [
        widget.objectName()
        for widget in window.desktop.window.findChildren(QWidget)
        if widget.objectName() and not widget.objectName().startswith("qt_")
    ]
    assert sorted(names) == sorted(set(names))


def test_the_pages_mirror_for_languages_read_from_the_right(
    open_window: Open, server: FakeServer, qapp: QApplication
) -> None:
    window = open_window()
    qapp.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
    try:
        window.settle()
        assert window.box("startJoinCard")[0] > window.box("startRecentCard")[0]
        window.click("startHostButton")
        window.wait_for_page("prejoinPage")
        assert window.box("prejoinPreview")[0] > window.box("prejoinJoin")[0]
        field_ = window.find("prejoinName")
        assert isinstance(field_, QLineEdit)
        assert field_.textMargins().right() == 28
        assert not window.desktop.window.grab().isNull()
    finally:
        qapp.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
