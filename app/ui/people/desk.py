"""What people can do for and to each other beside talking: hands, reactions, roles, the door.

One object for the meeting page to hand its events and menus to. It knows the engine's commands
and the parts that show their effect; whether something worked is told by the next event, and
what was refused by a message that says why. Belongs to the Qt thread.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from PySide6.QtCore import QObject, QPoint, QRectF, QTimer, Signal
from PySide6.QtWidgets import QApplication, QWidget
from shiboken6 import isValid

from app.engine.client import EngineClient
from app.engine.events import (
    Event,
    Helper,
    HelpersAwayChanged,
    Knock,
    KnockArrived,
    KnocksChanged,
    MutedByHost,
    Person,
    ReactionReceived,
    Role,
    RoomRules,
    RoomRulesChanged,
)
from app.runtime.errors import WorldError
from app.ui.chat.model import badge_label
from app.ui.home.dialogs import ask_name
from app.ui.home.words import typeset
from app.ui.people.host_popover import HostPopover
from app.ui.people.model import Roster, hand_places, may_moderate
from app.ui.people.panel import PeoplePanel
from app.ui.people.status_dialog import ask_status
from app.ui.stage.control_bar import ControlBar
from app.ui.stage.notices import Notices, refusal_text
from app.ui.stage.reactions import ReactionLayer, ReactionPicker
from app.ui.stage.stage import Stage
from app.ui.stage.top_bar import TopBar
from app.ui.widgets import Menu, Question, ToastArea, ask

_RULE_WORDS = {
    "chat": ("The host turned chat off", "You can chat again"),
    "files": ("The host turned file sharing off", "You can send files again"),
    "share": ("The host turned screen sharing off", "You can share your screen again"),
}


_ONLY_IF_ADMITTED = "They can come back only if you admit them."
_MUST_ASK = typeset(
    "They have to ask before they come back, and so does anyone new on the same device. From "
    "another device they aren't recognised: turn on the waiting room to be sure."
)
_ROLE_WORDS = {
    (Role.GUEST, Role.COHOST): (
        typeset("You're a co-host now"),
        "You can admit, mute and remove people, and change the host controls.",
    ),
    (Role.COHOST, Role.GUEST): (typeset("You're no longer a co-host"), ""),
}

_Deed = Callable[[str], Coroutine[Any, Any, None]]


class Run(Protocol):
    """How a command is started; a refusal goes to `on_error`."""

    def __call__(
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        on_error: Callable[[WorldError], None] | None = None,
    ) -> None: ...


class PeopleDesk(QObject):
    """`rulesChanged` carries what guests may do, for the panels; `endRequested` ends for all."""

    rulesChanged = Signal(object)
    endRequested = Signal()
    lobbyWished = Signal()

    def __init__(
        self,
        page: QWidget,
        engine: EngineClient,
        run: Run,
        *,
        roster: Roster,
        stage: Stage,
        panel: PeoplePanel,
        bar: ControlBar,
        top_bar: TopBar,
        toasts: ToastArea,
        notices: Notices,
    ) -> None:
        super().__init__(page)
        self._page = page
        self._engine = engine
        self._run = run
        self._roster = roster
        self._stage = stage
        self._panel = panel
        self._bar = bar
        self._top_bar = top_bar
        self._toasts = toasts
        self._notices = notices
        self._rules: RoomRules | None = None
        self._role: Role | None = None
        self._knocks: tuple[Knock, ...] = ()
        self._shown_knocks: tuple[Knock, ...] = ()
        self._away: tuple[Helper, ...] = ()
        self.reactions = ReactionLayer(stage, self._place_of)
        self.picker = ReactionPicker(page)
        self.popover = HostPopover(page)
        self._wire()

    def _wire(self) -> None:
        engine = self._engine
        self.picker.chosen.connect(lambda emoji: self._do(engine.send_reaction(emoji)))
        self.popover.ruleChanged.connect(self._on_rule)
        self.popover.endRequested.connect(self.endRequested)
        self.popover.closed.connect(partial(self._bar.show_host_open, False))
        self._bar.handToggled.connect(self.toggle_hand)
        self._bar.reactRequested.connect(self.picker.open_above)
        self._bar.hostRequested.connect(self.open_host_controls)
        self._panel.muteAllRequested.connect(self._ask_mute_all)
        self._panel.away.demoteRequested.connect(self._ask_demote)
        self._panel.lobby.answered.connect(self._answer)
        self._panel.lobby.allAdmitted.connect(
            lambda: self._do(engine.answer_all_knocks(admit=True))
        )

    # -- facts ------------------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        """Show what the engine says of people."""
        match event:
            case RoomRulesChanged(rules=rules):
                self._on_rules(rules)
            case KnocksChanged(knocks=knocks):
                self._knocks = knocks
                self._show_knocks()
            case HelpersAwayChanged(helpers=helpers):
                self._away = helpers
                self._show_away()
            case KnockArrived(knock=knock):
                self._tell_knock(knock)
            case ReactionReceived(identity=identity, name=name, emoji=emoji):
                self.reactions.show_reaction(identity, name, emoji)
            case MutedByHost():
                self._tell_muted(event)
            case _:
                pass

    def refresh(self) -> None:
        """Follow the roster: hands, and what this person's role allows."""
        me = self._roster.me
        places = hand_places(self._roster.people)
        self._stage.set_hands(places)
        self._bar.set_hand(me is not None and me.identity in places)
        moderates = may_moderate(me)
        # Without the host's door (a plain LiveKit server) there are no rules to change.
        self._bar.set_host(moderates and self._rules is not None)
        self._panel.set_moderates(moderates)
        self.popover.set_can_end(me is not None and me.role is Role.HOST)
        self._show_knocks()
        self._show_away()
        if not moderates:
            self.popover.close()
        self._tell_role(me.role if me is not None else None)

    def close(self) -> None:
        """The meeting is over here."""
        self.popover.close()
        self.picker.close()
        self.reactions.clear()

    def _on_rules(self, rules: RoomRules) -> None:
        before, self._rules = self._rules, rules
        self._show_rules()
        self.refresh()
        if before is not None and not may_moderate(self._roster.me):
            for rule, (off, on) in _RULE_WORDS.items():
                if getattr(before, rule) != getattr(rules, rule):
                    text = on if getattr(rules, rule) else off
                    self._toasts.show_toast(f"rule_{rule}", text)
                    self._notices.announce(text)
        self.rulesChanged.emit(rules)

    def _tell_role(self, role: Role | None) -> None:
        before, self._role = self._role, role
        if before is not None and role is not None and (before, role) in _ROLE_WORDS:
            title, text = _ROLE_WORDS[before, role]
            self._toasts.show_toast("role", title, text)
            self._notices.announce(f"{title}. {text}".strip())

    def _show_rules(self) -> None:
        if self._rules is not None:
            self._top_bar.set_locked(self._rules.locked)
            self.popover.set_rules(self._rules, here=len(self._roster))

    def _show_knocks(self) -> None:
        """Show who waits to those who may let them in; the role may come after the list."""
        knocks = self._knocks if may_moderate(self._roster.me) else ()
        if knocks == self._shown_knocks:
            return
        for knock in self._shown_knocks:
            if knock not in knocks:
                self._toasts.dismiss(f"knock_{knock.id}")
        self._shown_knocks = knocks
        self._panel.lobby.set_knocks(knocks)
        self._bar.people.set_badge(badge_label(len(knocks)))

    def _show_away(self) -> None:
        """Show who could come back with rights, as far as one may take those away."""
        me = self._roster.me
        may = me is not None and may_moderate(me)
        is_host = me is not None and me.role is Role.HOST
        self._panel.set_away(
            tuple(h for h in self._away if may and (is_host or h.role is not Role.HOST))
        )

    def _tell_knock(self, knock: Knock) -> None:
        QApplication.beep()
        title = f"{knock.name} wants to join"
        self._toasts.show_toast(
            f"knock_{knock.id}",
            title,
            "Waiting in the lobby",
            question=Question(
                knock.name,
                "Admit",
                partial(self._answer, knock.id, True),
                "View",
                self.lobbyWished.emit,
            ),
        )
        self._notices.announce(title)

    def _tell_muted(self, event: MutedByHost) -> None:
        if event.microphone:
            text = "A host muted you"
        elif event.camera:
            text = "A host stopped your video"
        else:
            text = "A host stopped your screen share"
        self._toasts.show_toast("muted_by_host", text, "You can turn it on again.", tone="warn")
        self._notices.announce(text)

    def _place_of(self, identity: str) -> QRectF | None:
        place = self._stage.place_of(identity)
        return QRectF(place) if place is not None else None

    # -- wishes -----------------------------------------------------------------------------

    def toggle_hand(self) -> None:
        """Raise one's hand, or take it down."""
        me = self._roster.me
        if me is not None:
            self._do(self._engine.set_hand(not me.hand_at_ms))

    def open_reactions(self) -> None:
        """Offer the six reactions above their button."""
        self.picker.open_above(self._bar.reactions_at())

    def open_host_controls(self, at: QPoint) -> None:
        """Show what a host decides."""
        if self._rules is not None:
            self._show_rules()
            self.popover.open_above(at)
            self._bar.show_host_open(True)

    def _on_rule(self, rule: str, value: object) -> None:
        def on_error(error: WorldError) -> None:
            self._show_rules()
            self._notices.tell_refused(error.reason)

        self._run(self._engine.change_rules(**{rule: value}), on_error=on_error)  # type: ignore[arg-type]  # the popover's names are the command's

    def _answer(self, knock_id: str, admit: bool) -> None:
        self._do(self._engine.answer_knock(knock_id, admit=admit))

    def _do(self, coro: Coroutine[Any, Any, Any]) -> None:
        self._run(coro, on_error=lambda error: self._notices.tell_refused(error.reason))

    def _do_to(self, name: str, what: str, coro: Coroutine[Any, Any, Any]) -> None:
        def on_error(error: WorldError) -> None:
            title = typeset(f"Couldn't {what} {name}")
            self._toasts.show_toast("refused", title, refusal_text(error.reason), tone="warn")

        self._run(coro, on_error=on_error)

    def _ask_mute_all(self) -> None:
        ask(
            self._page,
            "Mute everyone?",
            "They can unmute themselves. Hosts stay as they are.",
            "Mute all",
            lambda: self._do(self._engine.mute_everybody()),
        )

    def _ask_demote(self, helper: Helper) -> None:
        ask(
            self._page,
            f"Make {helper.name} a guest?",
            "They come back without any say over others. The link they came by gives no role "
            "any more.",
            "Make guest",
            lambda: self._do_to(
                helper.name,
                "change the role of",
                self._engine.set_role(helper.identity, Role.GUEST),
            ),
        )

    # -- menus ------------------------------------------------------------------------------

    def fill_more_menu(self, menu: Menu, *, compact: bool, tight: bool) -> None:
        """Add what the control bar has no room for."""
        if tight:
            menu.add_item(
                "React",
                partial(_after, self, menu, self.open_reactions),
                icon="smiley",
                name="actionReact",
                shortcut="Ctrl+Shift+E",
            )
        if compact and self._bar.has_host_controls:
            menu.add_item(
                "Host controls",
                partial(
                    _after, self, menu, lambda: self.open_host_controls(self._bar.reactions_at())
                ),
                icon="shield-check",
                name="actionHost",
            )

    def fill_own_menu(self, menu: Menu, me: Person) -> None:
        """What a person can do about oneself."""
        menu.add_item(
            "Lower your hand" if me.hand_at_ms else "Raise your hand",
            self.toggle_hand,
            icon="hand-palm",
            name="actionHand",
            shortcut="Ctrl+Shift+H",
        )
        menu.add_item(
            "Change your name",
            partial(self._ask_name, me),
            icon="pencil-simple",
            name="actionRename",
        )
        menu.add_item(
            "Set a status",
            partial(self._ask_status, me.status),
            icon="smiley",
            name="actionStatus",
        )

    def _ask_status(self, status: str) -> None:
        ask_status(self._page, status, lambda text: self._do(self._engine.set_status(text)))

    def fill_person_menu(self, menu: Menu, person: Person) -> None:
        """What a host or co-host can do for or to somebody."""
        me = self._roster.me
        if me is None or not may_moderate(me):
            return
        engine = self._engine
        deeds: tuple[tuple[bool, str, str, str, str, _Deed], ...] = (
            (
                person.hand_at_ms > 0,
                "Lower hand",
                "hand-palm",
                "actionLowerHand",
                "lower the hand of",
                engine.lower_hand,
            ),
            (person.mic_on, "Mute", "microphone-slash", "actionMute", "mute", engine.mute_person),
            (
                person.camera_on,
                "Stop their video",
                "video-camera-slash",
                "actionStopVideo",
                "stop the video of",
                engine.stop_video,
            ),
            (
                person.sharing,
                "Stop their screen share",
                "screencast",
                "actionStopShare",
                "stop the share of",
                engine.stop_share,
            ),
        )
        menu.addSeparator()
        for is_offered, text, icon, name, what, deed in deeds:
            if is_offered:
                menu.add_item(
                    text, partial(self._do_deed, person, what, deed), icon=icon, name=name
                )
        if self._rules is not None and not person.is_agent:
            self._add_role(menu, me, person)
        menu.add_item(
            "Rename",
            partial(self._ask_name, person),
            icon="pencil-simple",
            name="actionRename",
        )
        if _outranks(person, me):
            return
        menu.addSeparator()
        menu.add_item(
            "Remove from meeting",
            partial(self._ask_remove, person),
            icon="user-minus",
            name="actionRemove",
            danger=True,
        )

    def _do_deed(self, person: Person, what: str, deed: _Deed) -> None:
        self._do_to(person.name, what, deed(person.identity))

    def _add_role(self, menu: Menu, me: Person, person: Person) -> None:
        if _outranks(person, me):
            return
        to_guest = person.role is not Role.GUEST
        role = Role.GUEST if to_guest else Role.COHOST
        label = "Make guest again" if to_guest else "Make co-host"
        menu.add_item(
            label,
            lambda: self._do_to(
                person.name, "change the role of", self._engine.set_role(person.identity, role)
            ),
            icon="crown-simple",
            name="actionCoHost",
        )

    def _ask_name(self, person: Person) -> None:
        engine, identity = self._engine, person.identity
        if person.is_me:
            ask_name(self._page, person.name, lambda name: self._do(engine.set_name(name)))
            return
        ask_name(
            self._page,
            person.name,
            lambda name: self._do_to(person.name, "rename", engine.rename_person(identity, name)),
            title=f"Rename {person.name}",
            question="Everybody in this meeting sees the new name.",
        )

    def _ask_remove(self, person: Person) -> None:
        text = ""
        if self._rules is not None:
            # Without a waiting room the door knows people by their app and by their address.
            text = _ONLY_IF_ADMITTED if self._rules.lobby else _MUST_ASK
        ask(
            self._page,
            f"Remove {person.name}?",
            text,
            "Remove",
            lambda: self._do_to(person.name, "remove", self._engine.remove_person(person.identity)),
        )


def _outranks(person: Person, me: Person) -> bool:
    """Whether somebody is host and one is not: the server lets nobody else unmake a host."""
    return person.role is Role.HOST and me.role is not Role.HOST


def _after(context: QObject, menu: Menu, open_: Callable[[], None]) -> None:
    """Open a popup once the menu that led to it is gone: its end would close the popup too."""

    def later() -> None:
        # The menu may have gone with the whole page.
        if isValid(context):
            QTimer.singleShot(0, context, open_)

    menu.destroyed.connect(lambda _menu: later())
