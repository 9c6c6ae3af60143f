"""The tab that calls somebody's method."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtGui import QDoubleValidator
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from app.engine.developer import RpcAnswer, RpcRequest, WatchedPerson
from app.ui.theme import TypeStyle, font_of
from app.ui.widgets import Button, ComboBox, TextField, TextLabel

SHORTEST_S, LONGEST_S = 0.1, 600.0


def mono_area(name: str, spoken: str, *, read_only: bool = False) -> QPlainTextEdit:
    """Make a field of several lines in a fixed-width font."""
    area = QPlainTextEdit()
    area.setObjectName(name)
    area.setAccessibleName(spoken)
    area.setProperty("role", "input")
    area.setReadOnly(read_only)
    area.setTabChangesFocus(True)
    area.setProperty("mono", "true")
    area.setFont(font_of(TypeStyle.LABEL, weight=400))
    return area


class CallTab(QWidget):
    """Person, method, payload and time-out; then the answer, or the error with its code."""

    callRequested = Signal(object)
    """An `RpcRequest`."""
    copyRequested = Signal(object)
    """The `RpcRequest` to be written as a script."""

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        top = QHBoxLayout()
        top.setSpacing(12)
        self.person = ComboBox("user")
        self.person.setObjectName("devCallPerson")
        self.person.setAccessibleName("Whose method")
        self.method = TextField("Method")
        self.method.setObjectName("devCallMethod")
        self.method.setAccessibleName("Method")
        self.timeout = TextField("Seconds")
        self.timeout.setObjectName("devCallTimeout")
        self.timeout.setAccessibleName("Time-out in seconds")
        self.timeout.setText("10")
        self.timeout.setValidator(QDoubleValidator(0.0, LONGEST_S, 3, self.timeout))
        self.timeout.setFixedWidth(96)
        for label, field, stretch in (
            ("Whom", self.person, 3),
            ("Method", self.method, 3),
            ("Time-out, s", self.timeout, 0),
        ):
            part = QVBoxLayout()
            part.setSpacing(4)
            part.addWidget(TextLabel(label, TypeStyle.LABEL, "text2"))
            part.addWidget(field)
            top.addLayout(part, stretch)
        column.addLayout(top)
        column.addWidget(TextLabel("Payload", TypeStyle.LABEL, "text2"))
        self.payload = mono_area("devCallPayload", "Payload")
        column.addWidget(self.payload, 2)
        buttons = QHBoxLayout()
        buttons.setSpacing(10)
        self.state = TextLabel("", TypeStyle.LABEL, "text2")
        self.state.setObjectName("devCallState")
        buttons.addWidget(self.state, 1)
        self.copy = Button("Copy as Python", "copy", tone="ghost", size="small")
        self.copy.setObjectName("devCallCopy")
        self.copy.clicked.connect(lambda: self.copyRequested.emit(self.request()))
        self.call = Button("Call", "play", tone="primary", size="small")
        self.call.setObjectName("devCallButton")
        self.call.clicked.connect(self._on_call)
        buttons.addWidget(self.copy)
        buttons.addWidget(self.call)
        column.addLayout(buttons)
        column.addWidget(TextLabel("Answer", TypeStyle.LABEL, "text2"))
        self.answer = mono_area("devCallAnswer", "Answer", read_only=True)
        column.addWidget(self.answer, 3)
        self._is_calling = False
        self.method.textChanged.connect(lambda _text: self._refresh())
        self.timeout.textChanged.connect(lambda _text: self._refresh())
        self.method.returnPressed.connect(self._on_call)
        self._refresh()

    def request(self) -> RpcRequest:
        """Return the call as it stands in the fields."""
        return RpcRequest(
            identity=str(self.person.currentData() or ""),
            method=self.method.text().strip(),
            payload=self.payload.toPlainText(),
            timeout_s=self._timeout_s() or 10.0,
        )

    def _timeout_s(self) -> float | None:
        try:
            seconds = float(self.timeout.text().replace(",", "."))
        except ValueError:
            return None
        return seconds if SHORTEST_S <= seconds <= LONGEST_S else None

    def set_people(self, people: Sequence[WatchedPerson]) -> None:
        """Offer the others; the choice stays while its person is here."""
        wanted = [(p.identity, f"{p.name} · {p.identity}") for p in people if not p.is_me]
        box = self.person
        shown = [(str(box.itemData(i)), box.itemText(i)) for i in range(box.count())]
        if wanted != shown:
            chosen = box.currentData()
            with QSignalBlocker(box):
                box.clear()
                for identity, text in wanted:
                    box.addItem(text, identity)
                box.setCurrentIndex(max(0, box.findData(chosen)) if wanted else -1)
        self._refresh()

    def _refresh(self) -> None:
        self.timeout.set_problem(self._timeout_s() is None)
        is_whole = bool(self.method.text().strip()) and self.person.count() > 0
        self.copy.setEnabled(is_whole and self._timeout_s() is not None)
        self.call.setEnabled(self.copy.isEnabled() and not self._is_calling)

    def _on_call(self) -> None:
        if not self.call.isEnabled():
            return
        self._is_calling = True
        self.state.set_tone("text2")
        self.state.setText("Calling…")
        self.answer.clear()
        self._refresh()
        self.callRequested.emit(self.request())

    def show_answer(self, answer: RpcAnswer) -> None:
        """Show what came of the call."""
        took = f"{answer.elapsed_ms:.0f} ms"
        if answer.code:
            self._show(f"Error {answer.code}: {answer.message} · {took}", "danger", answer.data)
        else:
            self._show(f"Answered in {took}", "success", answer.payload)

    def show_refusal(self, words: str) -> None:
        """Show that nothing could be called at all."""
        self._show(words, "danger", "")

    def _show(self, words: str, tone: str, text: str) -> None:
        self._is_calling = False
        self.state.set_tone(tone)
        self.state.setText(words)
        self.answer.setPlainText(text)
        self._refresh()
