"""The waiting room between a real window and a real server, from either side of the door."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QAbstractButton

from app.engine.client import JoinSpec
from app.engine.events import EndCause, KnockArrived, MeetingEnded, MeetingJoined, PersonJoined
from app.host.hosted import HostedServer
from app.protocol.invite import parse_link
from app.runtime.errors import Reason, WorldError
from app.runtime.paths import Paths
from app.runtime.settings import Settings
from app.ui.widgets import Menu
from tests.gui.whole.test_real_window import Guest, Stage, guest, stage
from tests.support.meeting import host_spec

__all__ = ["guest", "stage"]


def knocking(guest: Guest, stage: Stage) -> JoinSpec:
    server = stage.desktop.server
    assert server is not None
    assert server.room is not None
    link = parse_link(server.room.invite_link)
    return JoinSpec(name="Mia", link=link, mic_on=False, camera_on=False)


def test_the_host_admits_removes_and_then_denies_somebody(stage: Stage, guest: Guest) -> None:
    stage.click("startHostOptions")
    stage.click("hostOptionLobby")
    stage.click("hostStart")
    stage.wait_for_page("prejoinPage")
    stage.click("prejoinJoin")
    stage.wait_for_page("meetingPage")
    page = stage.desktop.meeting_page
    assert page is not None

    entering = stage.loop.create_task(guest.engine.join(knocking(guest, stage)))
    stage.wait(lambda: page.toasts.titles() == ["Mia wants to join"])
    assert not entering.done()
    (knock,) = stage.seen(KnockArrived)
    stage.click(f"toastAction_knock_{knock.knock.id}")
    stage.wait(entering.done)
    stage.wait(lambda: stage.seen(PersonJoined))
    (inside,) = guest.seen(MeetingJoined)

    page._open_person_menu(inside.me, QPoint(400, 300))
    (menu,) = [one for one in page.findChildren(Menu, "personMenu") if one.isVisible()]
    next(one for one in menu.actions() if one.objectName() == "actionRemove").trigger()
    menu.close()
    stage.click("confirmYes")
    stage.wait(lambda: guest.seen(MeetingEnded, lambda end: end.cause is EndCause.REMOVED))
    stage.wait(lambda: len(page.roster) == 1)

    entering = stage.loop.create_task(guest.engine.join(knocking(guest, stage)))
    stage.click("controlPeople")
    stage.wait(lambda: len(stage.seen(KnockArrived)) == 2)
    people = stage.find("controlPeople")
    assert people.accessibleName() == "People, 1 waiting, 1"
    again = stage.seen(KnockArrived)[1].knock.id
    deny = stage.find(f"lobbyDeny_{again}")
    assert isinstance(deny, QAbstractButton)
    deny.click()
    stage.wait(entering.done)
    error = entering.exception()
    assert isinstance(error, WorldError)
    assert error.reason is Reason.DENIED
    stage.wait(lambda: people.accessibleName() == "People, 1")


@pytest.mark.parametrize("admit", [True, False])
def test_a_guest_at_the_window_waits_for_the_host_and_is_told_the_answer(
    stage: Stage, guest: Guest, tmp_path: Path, admit: bool
) -> None:
    server = HostedServer(
        Settings(host_port=0, host_rtc_port=0), Paths.under(tmp_path / "other"), use_keyring=False
    )
    room = stage.run(server.start("Tea", "Mia", lan=False, lobby=True))
    try:
        stage.run(guest.engine.join(host_spec(room, mic_on=False, camera_on=False)))
        stage.desktop.open_link(room.invite_link)
        stage.wait_for_page("prejoinPage")
        stage.wait(stage.desktop.prejoin_page.lobby_chip.isVisible)
        stage.click("prejoinJoin")
        connecting = stage.desktop.connecting_page
        stage.wait(lambda: connecting.title.text() == "Waiting for the host")
        assert connecting.text.text().startswith("Mia has been told")
        stage.wait(lambda: guest.seen(KnockArrived))
        (knock,) = guest.seen(KnockArrived)
        stage.run(guest.engine.answer_knock(knock.knock.id, admit=admit))
        stage.wait_for_page("meetingPage" if admit else "endPage")
        if admit:
            stage.desktop.leave()
            stage.wait_for_page("endPage")
        else:
            assert stage.desktop.end_page.title.text() == "You weren\u2019t let in"
    finally:
        stage.run(server.stop())
