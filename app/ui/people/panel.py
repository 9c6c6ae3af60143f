"""The list of people: who is here, who speaks, who cannot be heard.

Rows move only while the pointer is elsewhere, so that nobody presses the wrong person's menu.
"""

from __future__ import annotations

from collections.abc import Collection

from PySide6.QtCore import QEvent, QPoint, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QEnterEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.engine.events import Helper, Person, Role
from app.ui.people.away import AwayCard
from app.ui.people.lobby import LobbyCard
from app.ui.people.model import (
    Roster,
    hand_places,
    is_weak,
    list_order,
    role_label,
    shown_name,
    spoken_description,
)
from app.ui.theme import Radius, TypeStyle, color, fill_rounded, font_of
from app.ui.widgets import (
    Avatar,
    Button,
    Chip,
    ElidedLabel,
    IconButton,
    IconLabel,
    TextField,
    TextLabel,
)

_ROW_HEIGHT_PX = 47


class PersonRow(QWidget):
    """One person: avatar, name, what they are, microphone, camera, menu."""

    menuRequested = Signal(str, QPoint)

    def __init__(self, person: Person, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identity = person.identity
        self.identity = identity
        self.setObjectName(f"person_{identity}")
        self.setFixedHeight(_ROW_HEIGHT_PX)
        self.setMouseTracking(True)
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 0, 4, 0)
        row.setSpacing(10)
        self._avatar = Avatar(person.name, 36)
        row.addWidget(self._avatar)
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addStretch(1)
        head = QHBoxLayout()
        head.setSpacing(8)
        self._name = ElidedLabel("", TypeStyle.BODY)
        self._name.setFont(font_of(TypeStyle.BODY, weight=500))
        head.addWidget(self._name)
        self._chip = Chip("", tone="neutral", small=True)
        head.addWidget(self._chip)
        head.addStretch(1)
        words.addLayout(head)
        self._note = TextLabel("", TypeStyle.CAPTION, "text3")
        words.addWidget(self._note)
        words.addStretch(1)
        row.addLayout(words, 1)
        self._hand = Chip("", "hand-palm", tone="warn", small=True)
        self._hand.setObjectName(f"personHand_{identity}")
        row.addWidget(self._hand)
        self._mic = IconLabel("microphone", 18, "text2")
        self._mic.setObjectName(f"personMic_{identity}")
        row.addWidget(self._mic)
        self._camera = IconLabel("video-camera", 18, "text2")
        row.addWidget(self._camera)
        self._menu = IconButton("dots-three-vertical", "", side_px=28, icon_px=18)
        self._menu.setObjectName(f"personMenu_{identity}")
        self._menu.clicked.connect(
            lambda: self.menuRequested.emit(identity, self._menu.mapToGlobal(QPoint(28, 32)))
        )
        row.addWidget(self._menu)
        self.set_person(person, speaking=False)

    def set_person(self, person: Person, *, speaking: bool, hand: int = 0) -> None:
        """Show a state; `hand` is the place among the raised hands, 0 while it is down."""
        name = shown_name(person)
        self._avatar.set_person(person.name)
        if self._name.full_text() != name:
            self._name.setText(name)
        label = role_label(person)
        self._chip.setVisible(bool(label))
        if label:
            tone = {Role.HOST: "warn"}.get(person.role, "neutral")
            self._chip.set_text(label, tone="agent" if person.is_agent else tone)
        note = ""
        if person.is_arriving:
            note = "Joining…"
        elif is_weak(person):
            note = "Weak connection"
        elif speaking and person.mic_on:
            note = "Speaking"
        elif person.status:
            note = person.status
        self._note.setText(note)
        self._note.setVisible(bool(note))
        self._hand.setVisible(hand > 0)
        if hand:
            self._hand.set_text(str(hand), "hand-palm")
            self._hand.setAccessibleName(f"Hand raised, number {hand}")
        if not person.mic_on:
            self._mic.set_icon("microphone-slash", "danger_text")
        elif speaking:
            self._mic.set_icon("microphone-fill", "accent")
        else:
            self._mic.set_icon("microphone", "text2")
        self._mic.setAccessibleName("Microphone on" if person.mic_on else "Muted")
        if person.camera_on:
            self._camera.set_icon("video-camera", "text2")
        else:
            self._camera.set_icon("video-camera-slash", "text3")
        self._camera.setAccessibleName("Camera on" if person.camera_on else "Camera off")
        self._menu.set_name(f"More about {name}")
        self.setAccessibleName(spoken_description(person, speaking=speaking, hand=hand))

    def enterEvent(self, event: QEnterEvent) -> None:
        """Light the row."""
        super().enterEvent(event)
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        """And put it out."""
        super().leaveEvent(event)
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the hover plate."""
        if self.underMouse():
            box = QRectF(self.rect())
            fill_rounded(QPainter(self), box, Radius.INPUT, color("surface2"))


class PeoplePanel(QWidget):
    """Search, invite, and everybody in the meeting."""

    inviteRequested = Signal()
    menuRequested = Signal(str, QPoint)
    muteAllRequested = Signal()

    def __init__(self, roster: Roster, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._roster = roster
        self._speaking: frozenset[str] = frozenset()
        self._rows: dict[str, PersonRow] = {}
        self._order: list[str] = []
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 10, 0, 0)
        column.setSpacing(0)
        head = QHBoxLayout()
        head.setContentsMargins(12, 0, 12, 0)
        head.setSpacing(8)
        self._search = TextField("Find people", "magnifying-glass", small=True)
        self._search.setObjectName("peopleSearch")
        self._search.setAccessibleName("Find people")
        self._search.textChanged.connect(lambda _text: self.refresh(resort=True))
        head.addWidget(self._search, 1)
        invite = Button("Invite", "user-plus", size="small")
        invite.setFixedHeight(self._search.height())
        invite.setObjectName("peopleInvite")
        invite.setAccessibleName("Invite people")
        invite.clicked.connect(self.inviteRequested)
        head.addWidget(invite)
        column.addLayout(head)
        column.addSpacing(12)
        self.lobby = LobbyCard()
        self.lobby.emptied.connect(self._search.setFocus)
        holder = QVBoxLayout()
        holder.setContentsMargins(12, 0, 12, 0)
        holder.addWidget(self.lobby)
        column.addLayout(holder)
        column.addLayout(self._make_title_row())
        column.addSpacing(2)
        self._area = QScrollArea()
        self._area.setObjectName("peopleList")
        self._area.setAccessibleName("People in the meeting")
        self._area.setWidgetResizable(True)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setFrameShape(QScrollArea.Shape.NoFrame)
        inside = QWidget()
        inside.setProperty("role", "scrolled")
        self._column = QVBoxLayout(inside)
        self._column.setContentsMargins(8, 0, 8, 8)
        self._column.setSpacing(0)
        self._nobody = TextLabel("Nobody by that name", TypeStyle.LABEL, "text3")
        self._nobody.setContentsMargins(10, 0, 0, 0)
        self._nobody.hide()
        self._column.addWidget(self._nobody)
        self._column.addStretch(1)
        self._area.setWidget(inside)
        column.addWidget(self._area, 1)
        self.away = AwayCard()
        self.away.emptied.connect(self._search.setFocus)
        self._foot = QVBoxLayout()
        self._foot.setContentsMargins(12, 0, 12, 0)
        self._foot.addWidget(self.away)
        column.addLayout(self._foot)
        self._sort_timer = QTimer(self)
        self._sort_timer.setInterval(500)
        self._sort_timer.setSingleShot(True)
        self._sort_timer.timeout.connect(lambda: self.refresh(resort=True))

    def _make_title_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setContentsMargins(18, 0, 10, 0)
        self._title = TextLabel("In the meeting", TypeStyle.CAPTION, "text2")
        self._title.setFont(font_of(TypeStyle.CAPTION, weight=600))
        self._title.setFixedHeight(32)
        row.addWidget(self._title)
        row.addStretch(1)
        self._mute_all = Button("Mute all", "microphone-slash", tone="ghost", size="small")
        self._mute_all.setFont(font_of(TypeStyle.CAPTION, weight=500))
        self._mute_all.setObjectName("peopleMuteAll")
        self._mute_all.clicked.connect(self.muteAllRequested)
        self._mute_all.hide()
        row.addWidget(self._mute_all)
        return row

    def set_away(self, helpers: tuple[Helper, ...]) -> None:
        """Show who helps and is away; while nobody is, the list reaches down to the bar."""
        self.away.set_helpers(helpers)
        self._foot.setContentsMargins(12, 0, 12, 12 if helpers else 0)

    def set_moderates(self, moderates: bool) -> None:
        """Offer what a host or co-host can do for everybody at once."""
        self._mute_all.setVisible(moderates and len(self._roster) > 1)

    def set_speaking(self, speaking: Collection[str]) -> None:
        """Mark who speaks; the order follows a little later."""
        if frozenset(speaking) != self._speaking:
            changed = self._speaking ^ frozenset(speaking)
            places = hand_places(self._roster.people)
            self._speaking = frozenset(speaking)
            for identity in changed:
                person, row = self._roster.get(identity), self._rows.get(identity)
                if person is not None and row is not None:
                    speaks = identity in self._speaking
                    row.set_person(person, speaking=speaks, hand=places.get(identity, 0))
            if not self._sort_timer.isActive():
                self._sort_timer.start()

    def refresh(self, *, resort: bool = False) -> None:
        """Follow the roster. Known rows keep their place while the pointer is over the list."""
        people = list_order(self._roster.people, self._speaking, self._search.text())
        wanted = [person.identity for person in people]
        hovered = self._area.isVisible() and self._area.underMouse()
        if hovered and not (resort and self._search.hasFocus()):
            staying = [identity for identity in self._order if identity in wanted]
            wanted = staying + [identity for identity in wanted if identity not in staying]
        by_identity = {person.identity: person for person in people}
        places = hand_places(self._roster.people)
        for identity in [i for i in self._rows if i not in by_identity]:
            row = self._rows.pop(identity)
            focused = self.window().focusWidget()
            if focused is not None and row.isAncestorOf(focused):
                self._search.setFocus(Qt.FocusReason.OtherFocusReason)
            self._column.removeWidget(row)
            row.hide()
            row.deleteLater()
        for place, identity in enumerate(wanted):
            person = by_identity[identity]
            row_or_none = self._rows.get(identity)
            if row_or_none is None:
                row_or_none = PersonRow(person)
                row_or_none.menuRequested.connect(self.menuRequested)
                self._rows[identity] = row_or_none
            speaks = identity in self._speaking
            row_or_none.set_person(person, speaking=speaks, hand=places.get(identity, 0))
            if self._column.indexOf(row_or_none) != place:
                self._column.removeWidget(row_or_none)
                self._column.insertWidget(place, row_or_none)
        self._order = wanted
        self._nobody.setVisible(not wanted)
        self._title.setText(f"In the meeting · {len(self._roster)}")

    def order(self) -> list[str]:
        """The identities as listed, top to bottom."""
        return list(self._order)
