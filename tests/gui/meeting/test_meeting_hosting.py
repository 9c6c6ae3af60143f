"""Hands, reactions, the lobby and what a host decides, by the objects a person presses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit

from app.engine.events import (
    Helper,
    HelpersAwayChanged,
    Knock,
    KnockArrived,
    KnocksChanged,
    MutedByHost,
    PersonChanged,
    ReactionReceived,
    Role,
    RoomRules,
    RoomRulesChanged,
)
from app.runtime.errors import Reason, WorldError
from app.ui.people.host_popover import HostPopover
from app.ui.theme import color
from app.ui.widgets import Switch, TextLabel
from tests.gui.meeting.conftest import MakeMeeting, Meeting
from tests.support.fake_engine import people

RULES = RoomRules(lobby=True, max_people=16, version=1)
THEO, ELIF = Knock("k1", "Theo"), Knock("k2", "Elif")


def host_menu(meeting: Meeting, identity: str) -> None:
    meeting.page._open_person_menu(identity, QPoint(400, 300))


def menu_actions(meeting: Meeting) -> set[str]:
    menu = meeting.find("personMenu")
    return {action.objectName() for action in menu.actions() if action.objectName()}


def answer(meeting: Meeting, yes: bool) -> None:
    meeting.click("confirmYes" if yes else "confirmNo")


def test_a_hand_goes_up_when_everybody_has_heard_of_it(meeting: Meeting) -> None:
    meeting.click("controlHand")
    assert meeting.engine.calls("set_hand") == [(True,)]
    assert meeting.find("controlHand").accessibleName() == "Raise your hand"

    me = replace(people(4)[0], hand_at_ms=5_000)
    lena = replace(people(4)[3], hand_at_ms=4_000)
    meeting.post(PersonChanged(me), PersonChanged(lena))
    assert meeting.find("controlHand").accessibleName() == "Lower your hand"
    assert meeting.tile("lena-4").accessibleName().endswith("hand raised, first")
    assert meeting.tile("noa-1").accessibleName().endswith("hand raised, second")
    meeting.page.open_panel("people")
    assert meeting.page.people.order()[:2] == ["noa-1", "lena-4"]
    assert meeting.is_shown("personHand_lena-4")
    assert not meeting.is_shown("personHand_mia-2")


def test_a_reaction_is_chosen_by_a_press_or_a_number(meeting: Meeting) -> None:
    meeting.click("controlReact")
    meeting.click("reaction_heart")
    meeting.click("controlReact")
    QTest.keyClick(meeting.find("reactionPicker"), Qt.Key.Key_2)

    sent = [args for name, args, _ in meeting.engine.asked if name == "send_reaction"]
    assert sent == [("\u2764\ufe0f",), ("\U0001f44d",)]


def test_reactions_rise_and_go(meeting: Meeting) -> None:
    layer = meeting.page.people_desk.reactions
    meeting.post(
        ReactionReceived("mia-2", "Mia", "\U0001f44d\U0001f3fd"),
        ReactionReceived("kai-3", "Kai", "\U0001f98a"),
    )
    assert layer.showing == (("mia-2", "thumbs-up"), ("kai-3", "smile"))
    assert layer.isVisible()

    meeting.qtbot.waitUntil(lambda: not layer.isVisible(), timeout=30_000)
    assert layer.showing == ()


def test_ones_own_reaction_rises_from_the_self_view_of_two(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting(2)
    me = meeting.page.roster.me
    assert me is not None
    place = meeting.page.people_desk._place_of(me.identity)

    assert place is not None
    assert place.toRect() == meeting.find("selfView").geometry()


def test_a_raised_hand_comes_first_on_the_stage(meeting: Meeting) -> None:
    before = meeting.page.stage.shown
    last = meeting.page.roster.get(before[-1])
    assert last is not None
    meeting.post(PersonChanged(replace(last, hand_at_ms=5)))
    assert meeting.page.stage.shown[1] == last.identity

    meeting.post(PersonChanged(last))
    assert meeting.page.stage.shown == before


def test_the_keyboard_stays_with_those_who_wait(meeting: Meeting) -> None:
    meeting.post(RoomRulesChanged(RULES), KnocksChanged((THEO, ELIF)))
    meeting.page.open_panel("people")
    meeting.find("lobbyDeny_k1").setFocus()

    meeting.post(KnocksChanged((ELIF,)))
    assert meeting.page.focusWidget() is meeting.find("lobbyAdmit_k2")

    meeting.post(KnocksChanged(()))
    assert meeting.page.focusWidget() is meeting.find("peopleSearch")


def test_the_people_button_counts_who_waits_for_those_who_may_let_them_in(
    meeting: Meeting,
) -> None:
    button = meeting.find("controlPeople")
    meeting.post(RoomRulesChanged(RULES), KnocksChanged((THEO,)))
    assert button.accessibleName() == "People, 1 waiting, 4"
    meeting.post(KnocksChanged(tuple(Knock(f"k{n}", f"Guest {n}") for n in range(12))))
    assert button.accessibleName() == "People, 9+ waiting, 4"
    meeting.post(KnocksChanged((THEO, ELIF)))
    assert button.accessibleName() == "People, 2 waiting, 4"

    guest = replace(people(4)[0], role=Role.GUEST)
    meeting.post(PersonChanged(guest))
    assert button.accessibleName() == "People, 4"
    # Made co-host, one may hear of the list before one's role.
    meeting.post(KnocksChanged((THEO, ELIF)))
    assert button.accessibleName() == "People, 4"
    meeting.post(PersonChanged(replace(guest, role=Role.COHOST)))
    assert button.accessibleName() == "People, 2 waiting, 4"
    meeting.page.open_panel("people")
    assert meeting.is_shown("lobbyAdmit_k2")

    meeting.post(KnocksChanged(()))
    assert button.accessibleName() == "People, 4"


def test_the_badge_is_painted_over_the_button_and_goes(meeting: Meeting) -> None:
    button = meeting.find("controlPeople")

    def accent_px() -> int:
        image = button.grab().toImage()
        accent = color("accent").rgb()
        return sum(
            image.pixel(x, y) == accent for x in range(image.width()) for y in range(image.height())
        )

    meeting.post(RoomRulesChanged(RULES), KnocksChanged((THEO,)))
    assert accent_px() > 100
    meeting.post(KnocksChanged(()))
    assert accent_px() == 0


def test_who_knocks_can_be_looked_at_before_they_are_let_in(meeting: Meeting) -> None:
    meeting.post(RoomRulesChanged(RULES), KnocksChanged((THEO,)), KnockArrived(THEO))
    meeting.click("toastOther_knock_k1")

    assert meeting.page.open_panel_name == "people"
    assert meeting.is_shown("lobbyAdmit_k1")
    assert meeting.engine.calls("answer_knock") == []


def test_the_host_button_is_lit_while_its_controls_are_open(meeting: Meeting) -> None:
    meeting.post(RoomRulesChanged(RULES))
    button = meeting.find("controlHost")
    meeting.click("controlHost")
    popover = meeting.find("hostPopover")
    bar_top = meeting.page.control_bar.mapToGlobal(QPoint(0, 0)).y()

    assert button.property("tone") == "on"
    assert popover.geometry().bottom() - 16 < bar_top
    popover.close()
    assert (button.property("tone"), button.accessibleName()) == ("", "Host controls")


def test_a_persons_menu_stays_within_the_window_and_beside_the_list(meeting: Meeting) -> None:
    meeting.page.open_panel("people")
    corner = meeting.page.rect().bottomRight()
    meeting.page._open_person_menu("mia-2", meeting.page.mapToGlobal(corner))
    menu = meeting.find("personMenu")
    panel = meeting.page.panel.mapToGlobal(QPoint(0, 0)).x()

    assert menu.geometry().right() <= panel + 6
    assert menu.geometry().bottom() < meeting.page.control_bar.mapToGlobal(QPoint(0, 0)).y()
    menu.close()


def test_a_toast_that_goes_leaves_the_keyboard_on_the_stage(meeting: Meeting) -> None:
    meeting.post(RoomRulesChanged(RULES), KnockArrived(THEO))
    meeting.find("toastAction_knock_k1").setFocus()
    meeting.click("toastAction_knock_k1")

    assert meeting.page.focusWidget() is meeting.page.stage


def test_guests_have_no_host_controls(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting(host=False)
    meeting.post(RoomRulesChanged(RULES))
    meeting.page.open_panel("people")

    assert not meeting.is_shown("controlHost")
    assert not meeting.is_shown("peopleMuteAll")
    host_menu(meeting, "mia-2")
    assert menu_actions(meeting).isdisjoint({"actionMute", "actionRemove", "actionCoHost"})


def test_a_cohost_is_not_offered_to_remove_a_host(meeting: Meeting) -> None:
    me, mia, *_ = people(4)
    meeting.post(PersonChanged(replace(mia, role=Role.HOST)))
    meeting.post(PersonChanged(replace(me, role=Role.COHOST)))
    host_menu(meeting, "mia-2")
    assert "actionRename" in menu_actions(meeting)
    assert "actionRemove" not in menu_actions(meeting)


def test_a_server_without_a_door_has_no_rules_to_change(meeting: Meeting) -> None:
    assert not meeting.is_shown("controlHost")
    host_menu(meeting, "mia-2")

    assert "actionRemove" in menu_actions(meeting)
    assert "actionCoHost" not in menu_actions(meeting)


def test_a_host_changes_a_rule_and_the_switch_follows_the_server(meeting: Meeting) -> None:
    meeting.post(RoomRulesChanged(RULES))
    meeting.click("controlHost")
    lobby = meeting.find_as("hostLobby", Switch)
    lock = meeting.find_as("hostLock", Switch)
    assert lobby.isChecked()
    assert not lock.isChecked()

    assert lock.hasFocus()
    lock.click()
    lock.click()
    assert rules_asked(meeting) == [{"locked": True}]
    assert not lock.isChecked()
    assert lock.hasFocus()
    meeting.post(RoomRulesChanged(replace(RULES, locked=True, version=2)))
    assert lock.isChecked()
    assert lock.isEnabled()
    assert meeting.is_shown("topLock")


def rules_asked(meeting: Meeting) -> list[object]:
    return [args[0] for name, args, _ in meeting.engine.asked if name == "change_rules"]


def test_a_refused_rule_is_told_and_not_shown_as_done(meeting: Meeting) -> None:
    meeting.engine.refusals["change_rules"] = WorldError(Reason.DENIED)
    meeting.post(RoomRulesChanged(RULES))
    meeting.click("controlHost")
    chat = meeting.find_as("hostAllowChat", Switch)
    chat.click()

    assert chat.isChecked()
    assert chat.isEnabled()
    assert meeting.is_shown("toast_refused")


def test_the_limit_moves_by_one_and_starts_at_who_is_here(meeting: Meeting) -> None:
    meeting.post(RoomRulesChanged(RULES))
    meeting.click("controlHost")
    meeting.click("hostMaxPeopleMore")
    meeting.post(RoomRulesChanged(replace(RULES, max_people=0, version=2)))
    meeting.click("hostMaxPeopleLess")

    assert rules_asked(meeting) == [{"max_people": 17}, {"max_people": 4}]


def test_ending_for_everyone_is_asked_for_in_the_popover_too(meeting: Meeting) -> None:
    ended: list[bool] = []
    meeting.page.leaveRequested.connect(ended.append)
    meeting.post(RoomRulesChanged(RULES))
    meeting.click("controlHost")
    meeting.click("hostEndForAll")
    assert not meeting.find_as("hostPopover", HostPopover).isVisible()
    answer(meeting, yes=True)

    assert ended == [True]


def test_who_knocks_is_admitted_or_not(meeting: Meeting) -> None:
    meeting.page.open_panel("people")
    meeting.post(
        RoomRulesChanged(RULES),
        KnocksChanged((THEO,)),
        KnockArrived(THEO),
        KnocksChanged((THEO, ELIF)),
        KnockArrived(ELIF),
    )
    assert meeting.is_shown("lobbyList")
    assert meeting.page.toasts.titles() == ["Theo wants to join", "Elif wants to join"]
    meeting.click("lobbyAdmit_k1")
    meeting.click("lobbyDeny_k2")

    asked = [(a, k) for name, a, k in meeting.engine.asked if name == "answer_knock"]
    assert asked == [(("k1",), {"admit": True}), (("k2",), {"admit": False})]
    meeting.post(KnocksChanged(()))
    assert not meeting.is_shown("lobbyList")
    assert meeting.page.toasts.titles() == []


def test_everybody_who_waits_is_admitted_at_once(meeting: Meeting) -> None:
    meeting.page.open_panel("people")
    meeting.post(RoomRulesChanged(RULES), KnocksChanged((THEO, ELIF)))
    meeting.click("lobbyAdmitAll")

    asked = [k for name, _, k in meeting.engine.asked if name == "answer_all_knocks"]
    assert asked == [{"admit": True}]


@pytest.mark.parametrize(
    ("action", "command"),
    [("actionMute", "mute"), ("actionStopVideo", "stop_video")],
)
def test_a_host_mutes_and_stops_video(meeting: Meeting, action: str, command: str) -> None:
    host_menu(meeting, "mia-2")
    meeting.choose(action)

    assert [args for name, args, _ in meeting.engine.asked if name == command] == [("mia-2",)]


def test_removing_is_asked_for_first(meeting: Meeting) -> None:
    meeting.post(RoomRulesChanged(RULES))
    host_menu(meeting, "mia-2")
    meeting.choose("actionRemove")
    assert [one for one in meeting.engine.asked if one[0] == "remove"] == []
    answer(meeting, yes=True)

    assert [args for name, args, _ in meeting.engine.asked if name == "remove"] == [("mia-2",)]


@pytest.mark.parametrize(
    ("lobby", "words"), [(True, "only if you admit them"), (False, "turn on the waiting room")]
)
def test_the_host_is_told_how_far_removing_somebody_goes(
    meeting: Meeting, lobby: bool, words: str
) -> None:
    meeting.post(RoomRulesChanged(replace(RULES, lobby=lobby)))
    host_menu(meeting, "mia-2")
    meeting.choose("actionRemove")

    shown = [label.text() for label in meeting.find("confirmDialog").findChildren(TextLabel)]
    assert any(words in text for text in shown)


def test_who_becomes_cohost_and_guest_again_is_told_so(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting()
    me = replace(people(4)[0], role=Role.GUEST)
    meeting.post(PersonChanged(me))
    assert meeting.page.toasts.titles() == []

    meeting.post(PersonChanged(replace(me, role=Role.COHOST)))
    assert meeting.page.toasts.titles() == ["You\u2019re a co-host now"]

    meeting.post(PersonChanged(me))
    assert meeting.page.toasts.titles() == ["You\u2019re no longer a co-host"]


def test_what_the_host_turned_off_follows_the_role(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting()
    me = replace(people(4)[0], role=Role.GUEST)
    meeting.post(PersonChanged(me), RoomRulesChanged(replace(RULES, chat=False, files=False)))
    meeting.page.open_panel("chat")
    assert not meeting.is_shown("chatInput")
    host_menu(meeting, "mia-2")
    assert menu_actions(meeting).isdisjoint({"actionMessage", "actionSendFile"})
    meeting.find("personMenu").close()

    meeting.post(PersonChanged(replace(me, role=Role.COHOST)))
    assert meeting.is_shown("chatInput")
    host_menu(meeting, "mia-2")
    assert {"actionMessage", "actionSendFile"} <= menu_actions(meeting)
    meeting.find("personMenu").close()

    meeting.post(PersonChanged(me))
    assert not meeting.is_shown("chatInput")


def test_a_refused_deed_names_the_person(meeting: Meeting) -> None:
    meeting.engine.refusals["mute"] = WorldError(Reason.DENIED)
    host_menu(meeting, "mia-2")
    meeting.choose("actionMute")

    assert "Mia" in meeting.find("toast_refused").accessibleName()


def test_a_co_host_is_made_and_made_a_guest_again(meeting: Meeting) -> None:
    meeting.post(RoomRulesChanged(RULES))
    host_menu(meeting, "mia-2")
    meeting.choose("actionCoHost")
    meeting.post(PersonChanged(replace(people(4)[1], role=Role.COHOST)))
    host_menu(meeting, "mia-2")
    meeting.choose("actionCoHost")

    roles = [args for name, args, _ in meeting.engine.asked if name == "set_role"]
    assert roles == [("mia-2", Role.COHOST), ("mia-2", Role.GUEST)]


@pytest.mark.parametrize(
    ("identity", "asked"), [("mia-2", ("mia-2", "Maria")), ("noa-1", ("Maria",))]
)
def test_names_are_changed_by_a_host_or_by_oneself(
    meeting: Meeting, identity: str, asked: tuple[str, ...]
) -> None:
    host_menu(meeting, identity)
    meeting.choose("actionRename")
    field = meeting.find_as("profileName", QLineEdit)
    field.setText("Maria")
    meeting.click("profileSave")

    command = "rename" if identity == "mia-2" else "set_name"
    assert [args for name, args, _ in meeting.engine.asked if name == command] == [asked]


def test_muting_everybody_is_asked_for_first(meeting: Meeting) -> None:
    meeting.page.open_panel("people")
    meeting.click("peopleMuteAll")
    answer(meeting, yes=True)

    assert [name for name, _, _ in meeting.engine.asked if name == "mute_everybody"]


def test_a_host_who_mutes_somebody_is_named_to_that_person(meeting: Meeting) -> None:
    meeting.post(MutedByHost(microphone=True))

    assert meeting.page.toasts.titles() == ["A host muted you"]


def test_a_guest_learns_that_files_are_off(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting(host=False)
    meeting.page.open_panel("files")
    meeting.post(RoomRulesChanged(RULES))
    assert meeting.is_shown("filesChoose")
    meeting.post(RoomRulesChanged(replace(RULES, files=False, version=2)))

    assert not meeting.is_shown("filesChoose")
    assert meeting.is_shown("filesRefusal")
    assert meeting.page.toasts.titles() == ["The host turned file sharing off"]


def test_a_guest_learns_that_chat_is_off(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting(host=False)
    meeting.page.open_panel("chat")
    meeting.post(RoomRulesChanged(replace(RULES, chat=False)))
    assert not meeting.is_shown("chatInput")
    assert meeting.is_shown("chatRefusal")

    meeting.post(RoomRulesChanged(replace(RULES, version=2)))
    assert meeting.is_shown("chatInput")
    assert meeting.page.toasts.titles() == ["You can chat again"]


def test_a_status_stands_beside_the_name(meeting: Meeting) -> None:
    meeting.page.open_panel("people")
    host_menu(meeting, "noa-1")
    meeting.choose("actionStatus")
    meeting.click("statusOffer_1")
    statuses = [args for name, args, _ in meeting.engine.asked if name == "set_status"]
    assert statuses == [("Be right back",)]

    meeting.post(PersonChanged(replace(people(4)[1], status="Away")))
    assert meeting.page.people._rows["mia-2"]._note.text() == "Away"


def test_a_narrow_window_keeps_host_and_reactions_in_more(make_meeting: MakeMeeting) -> None:
    meeting = make_meeting(width=700, height=600)
    meeting.post(RoomRulesChanged(RULES))
    assert not meeting.is_shown("controlHost")
    assert not meeting.is_shown("controlReact")
    meeting.page._open_more_menu(QPoint(300, 500))
    meeting.choose("actionHost")

    popover = meeting.find_as("hostPopover", HostPopover)
    meeting.qtbot.waitUntil(popover.isVisible, timeout=30_000)


def test_a_cohost_who_left_is_made_guest_again_below_the_list(meeting: Meeting) -> None:
    cleo, eve = Helper("cleo-9", "Cleo", Role.COHOST), Helper("eve-9", "Eve", Role.HOST)
    meeting.page.open_panel("people")
    assert not meeting.is_shown("awayList")
    meeting.post(HelpersAwayChanged((cleo, eve)))
    assert meeting.is_shown("awayDemote_eve-9")
    meeting.click("awayDemote_cleo-9")
    answer(meeting, yes=True)
    assert meeting.engine.calls("set_role") == [("cleo-9", Role.GUEST)]
    # A co-host sees no host among them: that role is not for co-hosts to take.
    me = people(4)[0]
    meeting.post(PersonChanged(replace(me, role=Role.COHOST)))
    assert meeting.is_shown("awayDemote_cleo-9")
    assert not meeting.is_shown("awayDemote_eve-9")
    meeting.post(PersonChanged(replace(me, role=Role.GUEST)))
    assert not meeting.is_shown("awayList")


def test_the_keyboard_goes_to_the_search_when_the_row_it_was_in_goes(meeting: Meeting) -> None:
    meeting.page.open_panel("people")
    meeting.post(HelpersAwayChanged((Helper("cleo-9", "Cleo", Role.COHOST),)))
    meeting.find("awayDemote_cleo-9").setFocus()
    meeting.post(HelpersAwayChanged(()))
    assert meeting.page.focusWidget() is meeting.find("peopleSearch")
