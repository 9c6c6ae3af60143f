"""The first page: join by a link, host a meeting, go back to a recent one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QFrame,
    QHBoxLayout,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app.protocol.errors import ProtocolError
from app.protocol.invite import DEFAULT_PORT, Link, LinkKind, build_invite, parse_link
from app.runtime.settings import Recent
from app.ui.home.band import LOW_PX, TALL_PX, Band
from app.ui.home.destination import Destination
from app.ui.home.footer import StatusFooter
from app.ui.home.profile_chip import BandButton, ProfileChip
from app.ui.home.recents import RecentsCard
from app.ui.home.words import typeset
from app.ui.theme import BAND, TypeStyle
from app.ui.widgets import (
    Button,
    Card,
    ElidedLabel,
    IconLabel,
    IconPlate,
    Logo,
    TextField,
    TextLabel,
)

COMPACT_WIDTH_PX = 1100
COMPACT_HEIGHT_PX = 720
SINGLE_COLUMN_PX = 860


class StartPage(QWidget):
    """Asks where to go; decides nothing about connecting.

    `joinRequested` carries a `Destination` whose link was understood; `hostRequested` and
    `hostOptionsRequested` ask for a meeting on this computer.
    """

    joinRequested = Signal(object)
    hostRequested = Signal()
    hostOptionsRequested = Signal()
    hostAgainRequested = Signal(str)
    profileRequested = Signal()
    settingsRequested = Signal(object)
    howItWorksRequested = Signal()
    recentsCleared = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("startPage")
        self.setProperty("role", "page")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._compact: bool | None = None
        self._single: bool | None = None
        self._name = ""
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.band = Band(self)
        column.addWidget(self.band)
        self._fill_band()
        self._content = QWidget()
        self._content.setProperty("role", "scrolled")
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.viewport().setAutoFillBackground(False)
        scroll.setWidget(self._content)
        column.addWidget(scroll, 1)
        self._fill_content()
        self.footer = StatusFooter()
        column.addWidget(self.footer)
        self.set_name("")
        self._reflow()

    # -- what the application tells it --------------------------------------------------------

    def set_name(self, name: str) -> None:
        """Greet by this name."""
        self._name = name
        self.profile.set_name(name)
        self._greet()

    def set_recents(self, recents: Sequence[Recent]) -> None:
        """List these meetings, newest first."""
        self.recents.set_recents(recents)

    def edit_address(self, text: str) -> None:
        """Put a text into the field, selected, to be corrected or replaced."""
        self.join_input.setText(text)
        self.join_input.selectAll()
        self.join_input.setFocus(Qt.FocusReason.OtherFocusReason)

    def open_text(self, text: str) -> None:
        """Do as if somebody pasted `text` and pressed Join."""
        self.join_input.setText(text)
        self._on_join()

    def focus_first(self) -> None:
        """Give the focus to the join field."""
        self.join_input.setFocus(Qt.FocusReason.OtherFocusReason)

    # -- building ------------------------------------------------------------------------------

    def _fill_band(self) -> None:
        self._band_box = QVBoxLayout(self.band)
        self._band_box.setSpacing(0)
        top = QHBoxLayout()
        top.setSpacing(12)
        top.addWidget(Logo(36))
        top.addSpacing(4)
        wordmark = TextLabel("Lanai", TypeStyle.TITLE)
        wordmark.setStyleSheet(f"color: {BAND.text};")
        top.addWidget(wordmark)
        top.addStretch(1)
        self.profile = ProfileChip()
        self.profile.setObjectName("startProfile")
        self.profile.clicked.connect(self.profileRequested)
        top.addWidget(self.profile)
        top.setSpacing(8)
        self.settings_button = BandButton("gear-six", "Settings")
        self.settings_button.setObjectName("startSettings")
        self.settings_button.clicked.connect(
            lambda: self.settingsRequested.emit(self.settings_button)
        )
        top.addWidget(self.settings_button)
        self._band_box.addLayout(top)
        self.greeting = TextLabel("", TypeStyle.DISPLAY)
        self.greeting.setStyleSheet(f"color: {BAND.text};")
        self.tagline = TextLabel("Meetings that stay on your own network.")
        self.tagline.setStyleSheet(f"color: {BAND.text_soft};")
        self._band_box.addStretch(1)
        self._band_box.addWidget(self.greeting)
        self._band_box.addWidget(self.tagline)

    def _fill_content(self) -> None:
        outer = QVBoxLayout(self._content)
        outer.setContentsMargins(0, 0, 0, 0)
        self._columns = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        outer.addLayout(self._columns)
        outer.addStretch(1)
        left = self._left = QVBoxLayout()
        left.addWidget(self._make_join_card())
        left.addWidget(self._make_host_card())
        self.privacy_card = self._make_privacy_card()
        left.addWidget(self.privacy_card)
        self.recents = RecentsCard()
        self.recents.chosen.connect(self._on_recent)
        self.recents.clearRequested.connect(self.recentsCleared)
        self._columns.addLayout(left, 536)
        self._right = QVBoxLayout()
        self._right.addWidget(self.recents)
        self._columns.addLayout(self._right, 632)

    def _make_join_card(self) -> Card:
        card = self.join_card = Card()
        card.setObjectName("startJoinCard")
        card.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        card.body.addWidget(TextLabel("Join a meeting", TypeStyle.HEADING))
        card.body.addSpacing(2)
        hint = TextLabel("Paste an invite link or a server address.", TypeStyle.NOTE, "text2")
        card.body.addWidget(hint)
        card.body.addSpacing(13)
        row = QHBoxLayout()
        row.setSpacing(10)
        self.join_input = TextField("lanai://192.168.1.24/garden-club", "link", large=True)
        self.join_input.setObjectName("startJoinInput")
        self.join_input.setAccessibleName("Invite link or address")
        self.join_input.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
        self.join_input.textChanged.connect(self._on_text)
        self.join_input.returnPressed.connect(self._on_join)
        row.addWidget(self.join_input, 1)
        self.join_button = Button("Join", tone="primary", size="large")
        self.join_button.setObjectName("startJoinButton")
        self.join_button.setEnabled(False)
        self.join_button.clicked.connect(self._on_join)
        row.addWidget(self.join_button)
        card.body.addLayout(row)
        card.body.addSpacing(11)
        note = QHBoxLayout()
        note.setSpacing(7)
        self._note_icon = IconLabel("info", 16, "text3")
        note.addWidget(self._note_icon)
        self.join_note = ElidedLabel("", TypeStyle.CAPTION, "text3")
        self.join_note.setObjectName("startJoinNote")
        note.addWidget(self.join_note, 1)
        card.body.addLayout(note)
        self._say("")
        return card

    def _make_host_card(self) -> Card:
        card = self.host_card = Card()
        card.setObjectName("startHostCard")
        card.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        head = QHBoxLayout()
        head.setSpacing(16)
        head.addWidget(IconPlate("house-line", 52, tone="warn", icon_px=28))
        words = QVBoxLayout()
        words.setSpacing(1)
        words.addStretch(1)
        words.addWidget(TextLabel("Host a meeting", TypeStyle.HEADING))
        sentence = TextLabel(
            "Runs on this computer. People nearby can join at once.",
            TypeStyle.NOTE,
            "text2",
            wrap=True,
        )
        words.addWidget(sentence)
        words.addStretch(1)
        head.addLayout(words, 1)
        card.body.addLayout(head)
        card.body.addSpacing(16)
        row = QHBoxLayout()
        row.setSpacing(10)
        self.host_button = Button("Start hosting", "broadcast", tone="soft", size="large")
        self.host_button.setObjectName("startHostButton")
        self.host_button.clicked.connect(self.hostRequested)
        row.addWidget(self.host_button, 1)
        options = Button("Options", "sliders-horizontal", tone="outline", size="large")
        options.setObjectName("startHostOptions")
        options.clicked.connect(self.hostOptionsRequested)
        row.addWidget(options)
        card.body.addLayout(row)
        return card

    def _make_privacy_card(self) -> Card:
        card = Card(padding=0)
        card.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        card.setFixedHeight(66)
        row = QHBoxLayout()
        row.setContentsMargins(24, 0, 20, 0)
        row.setSpacing(14)
        row.addWidget(IconLabel("shield-check", 24, "success"))
        words = QVBoxLayout()
        words.setSpacing(1)
        words.addStretch(1)
        words.addWidget(TextLabel("Your calls stay here", TypeStyle.BODY_STRONG))
        words.addWidget(
            TextLabel(
                "Sound, video and files go only to the server you join.",
                TypeStyle.CAPTION,
                "text2",
            )
        )
        words.addStretch(1)
        row.addLayout(words, 1)
        how = Button("How it works", tone="link", size="small")
        how.setObjectName("startHowItWorks")
        how.clicked.connect(self.howItWorksRequested)
        row.addWidget(how)
        card.body.addLayout(row)
        return card

    # -- reacting ------------------------------------------------------------------------------

    def _on_text(self, text: str) -> None:
        self.join_button.setEnabled(bool(text.strip()))
        self._say("")

    def _on_join(self) -> None:
        text = self.join_input.text().strip()
        if not text:
            return
        try:
            link = parse_link(text)
        except ProtocolError:
            self._say(typeset("That doesn't look like a link or an address."))
            return
        if not link.room and not link.token:
            self._say("This address names no meeting. Add its name: address/meeting.")
            return
        self.joinRequested.emit(Destination(link=link, text=text))

    def _say(self, problem: str) -> None:
        self.join_input.set_problem(bool(problem))
        tone = "danger" if problem else "text3"
        self.join_note.setText(
            problem or "Works with Lanai and LiveKit servers. No account needed."
        )
        self.join_note.set_tone(tone)
        icon_tone = "danger_text" if problem else "text3"
        self._note_icon.set_icon("warning-circle" if problem else "info", icon_tone)

    def _on_recent(self, recent: Recent) -> None:
        if recent.hosted_here:
            self.hostAgainRequested.emit(recent.room)
            return
        host, _, port = recent.address.rpartition(":")
        link = Link(
            LinkKind.DOOR,
            host.strip("[]"),
            int(port) if port.isdigit() else DEFAULT_PORT,
            room=recent.room,
            secure=recent.secure,
        )
        self.open_text(build_invite(link, web=recent.secure))

    def _greet(self) -> None:
        hour = datetime.now().astimezone().hour
        part = "morning" if 4 <= hour < 12 else "afternoon" if 12 <= hour < 18 else "evening"
        self.greeting.setText(f"Good {part}, {self._name}" if self._name else f"Good {part}")

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Choose between tall and low, two columns and one."""
        super().resizeEvent(event)
        self._reflow()

    def _reflow(self) -> None:
        compact = self.width() < COMPACT_WIDTH_PX or self.height() < COMPACT_HEIGHT_PX
        single = self.width() < SINGLE_COLUMN_PX
        if (compact, single) == (self._compact, self._single):
            return
        self._compact, self._single = compact, single
        edge = 24 if compact else 40
        self.band.setFixedHeight(LOW_PX if compact else TALL_PX)
        self._band_box.setContentsMargins(edge, 32, edge, 26)
        self.footer.set_edge(edge)
        self.greeting.setVisible(not compact)
        self.tagline.setVisible(not compact)
        self.privacy_card.setVisible(not compact)
        self._columns.setContentsMargins(edge, 20 if compact else 28, edge, 24)
        self._columns.setSpacing(20 if compact else 32)
        self._left.setSpacing(14 if compact else 20)
        inner = 18 if compact else 24
        for card in (self.join_card, self.host_card):
            card.body.setContentsMargins(inner, inner, inner, inner)
        direction = QBoxLayout.Direction
        self._columns.setDirection(direction.TopToBottom if single else direction.LeftToRight)
        self._columns.setStretch(0, 0 if single else (400 if compact else 536))
        self._columns.setStretch(1, 1 if single else (492 if compact else 632))
