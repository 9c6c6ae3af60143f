"""When it is over, or never began: what happened, in words, and what to do next."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QSpacerItem, QVBoxLayout, QWidget

from app.engine.events import EndCause
from app.runtime.errors import Reason
from app.ui.home.footer import StatusFooter
from app.ui.home.page_header import PageHeader
from app.ui.home.words import ENDINGS, STEP_TEXT, Ending, Facts, NextStep, clock_duration, typeset
from app.ui.theme import TypeStyle
from app.ui.widgets import Button, Card, IconLabel, IconPlate, TextLabel

_LOW_PX = 620


class EndPage(QWidget):
    """Shows one entry of the table of words; `stepChosen` carries a `NextStep`."""

    stepChosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("endPage")
        self.setProperty("role", "page")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._steps: dict[str, NextStep] = {}
        self._details = ""
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(PageHeader(logo_left=True))
        column.addStretch(1)
        middle = Qt.AlignmentFlag.AlignHCenter
        self.plate = IconPlate("link-break", 96, tone="warn", round_=True, icon_px=44)
        column.addWidget(self.plate, 0, middle)
        self._gaps = [QSpacerItem(0, 24), QSpacerItem(0, 28), QSpacerItem(0, 32)]
        column.addItem(self._gaps[0])
        self.title = TextLabel("", TypeStyle.DISPLAY)
        self.title.setObjectName("endTitle")
        column.addWidget(self.title, 0, middle)
        column.addSpacing(6)
        self.text = TextLabel("", TypeStyle.LEAD, "text2", wrap=True)
        self.text.setObjectName("endText")
        self.text.setAlignment(middle)
        self.text.setFixedWidth(460)
        # A row with stretches, since an aligned label gets the height of one line.
        words = QHBoxLayout()
        words.addStretch(1)
        words.addWidget(self.text)
        words.addStretch(1)
        column.addLayout(words)
        column.addItem(self._gaps[1])
        buttons = QHBoxLayout()
        buttons.setSpacing(12)
        buttons.addStretch(1)
        self.secondary = Button("", size="large")
        self.secondary.setObjectName("endSecondary")
        self.primary = Button("", tone="primary", size="large")
        self.primary.setObjectName("endPrimary")
        for button in (self.secondary, self.primary):
            button.clicked.connect(self._on_button)
            buttons.addWidget(button)
        buttons.addStretch(1)
        column.addLayout(buttons)
        column.addItem(self._gaps[2])
        column.addWidget(self._make_tips(), 0, middle)
        column.addStretch(1)
        self.footer = StatusFooter()
        self.footer.network.setObjectName("endNetworkStatus")
        self.footer.set_edge(24)
        column.addWidget(self.footer)

    def show_end(self, why: EndCause | Reason, facts: Facts, details: str) -> None:
        """Show why it ended; `details` is what "Copy technical details" copies."""
        ending = ENDINGS[why]
        self._details = details
        self.plate.set_icon(ending.icon, ending.tone)
        self.title.setText(typeset(ending.title))
        self.text.setText(facts.fill(ending.text))
        self._set_buttons(*_steps_for(ending, facts))
        self._wifi_tip.setVisible(ending.check_network)
        self._host_tip.setVisible(ending.check_network)
        self._details_words.setText(
            "Still stuck?" if ending.check_network else "Want to know more?"
        )
        self._host_words.setText(
            typeset(f"Ask {facts.host or 'the host'} whether the host computer is awake")
        )
        self._details_button.setText("Copy technical details")
        lasted = facts.duration_s > 0
        self.footer.set_note(
            f"Call lasted {clock_duration(facts.duration_s)} \u00b7 Received files are kept"
            if lasted
            else ""
        )

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Draw closer together in a low window."""
        super().resizeEvent(event)
        low = event.size().height() < _LOW_PX
        self.plate.set_side(*((56, 26) if low else (96, 44)))
        for gap, (tight, airy) in zip(self._gaps, ((12, 24), (16, 28), (16, 32)), strict=True):
            gap.changeSize(0, tight if low else airy)

    def focus_first(self) -> None:
        """Give the focus to the main button; the page must be in front."""
        self.primary.setFocus(Qt.FocusReason.OtherFocusReason)

    def _set_buttons(self, primary: NextStep, secondary: NextStep | None) -> None:
        for button, step in ((self.primary, primary), (self.secondary, secondary)):
            button.setVisible(step is not None)
            if step is not None:
                text, icon = STEP_TEXT[step]
                button.setText(text)
                button.set_icon_name(icon)
                self._steps[button.objectName()] = step
        # A single way back is no invitation: it stays quiet.
        self.primary.set_tone("primary" if secondary is not None else "")

    def _on_button(self) -> None:
        button = self.sender()
        if button is not None:
            self.stepChosen.emit(self._steps[button.objectName()])

    def _make_tips(self) -> Card:
        card = Card(padding=0)
        card.setObjectName("endTips")
        card.setFixedWidth(460)
        card.body.setContentsMargins(18, 12, 18, 12)
        card.body.setSpacing(4)
        self._wifi_tip, _ = _tip(
            "wifi-slash", "Check that Wi-Fi or the cable is connected", "warn_text"
        )
        self._host_tip, self._host_words = _tip("house-line", "", "text2")
        last, self._details_words = _tip("clipboard-text", "", "text2", stretch=False)
        self._details_button = Button("Copy technical details", tone="link", size="small")
        self._details_button.setObjectName("endDetails")
        self._details_button.clicked.connect(self._copy_details)
        row = last.layout()
        if isinstance(row, QHBoxLayout):
            row.setSpacing(4)
            row.insertSpacing(1, 6)
            row.addWidget(self._details_button)
            row.addStretch(1)
        for tip in (self._wifi_tip, self._host_tip, last):
            card.body.addWidget(tip)
        return card

    def _copy_details(self) -> None:
        QGuiApplication.clipboard().setText(self._details)
        self._details_button.setText("Copied")


def _steps_for(ending: Ending, facts: Facts) -> tuple[NextStep, NextStep | None]:
    """Leave out what cannot be done: a folder without files."""
    steps = [ending.primary, *([ending.secondary] if ending.secondary else [])]
    if not facts.files_saved:
        steps = [step for step in steps if step is not NextStep.OPEN_FOLDER]
    return (steps[0], steps[1]) if len(steps) > 1 else (steps[0], None)


def _tip(icon: str, text: str, token: str, *, stretch: bool = True) -> tuple[QWidget, TextLabel]:
    tip = QWidget()
    row = QHBoxLayout(tip)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(10)
    row.addWidget(IconLabel(icon, 18, token))
    words = TextLabel(text, TypeStyle.NOTE)
    words.setFixedHeight(24)
    row.addWidget(words, 1 if stretch else 0)
    return tip, words
