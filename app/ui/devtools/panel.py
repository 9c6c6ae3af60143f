"""The developer panel: a window beside the meeting that looks again twice a second."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QCloseEvent, QGuiApplication, QKeyEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QScrollArea,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.engine.client import EngineClient
from app.engine.developer import DeveloperView, RpcRequest
from app.runtime.errors import WorldError
from app.ui.bridge import Bridge
from app.ui.devtools.attributes import AttributesTab
from app.ui.devtools.calls import CallTab
from app.ui.devtools.snippets import attributes_script, call_script, track_script
from app.ui.devtools.tracks import TracksTab
from app.ui.theme import TypeStyle, font_of
from app.ui.widgets import EmptyState, TextLabel

LOOK_MS = 500
SIZE = (720, 620)
TABS = (("Calls", "Call a method"), ("Tracks", "Data tracks"), ("People", "Attributes"))


class DeveloperPanel(QWidget):
    """Calls, data tracks and attributes of the meeting that is on."""

    def __init__(self, engine: EngineClient, bridge: Bridge, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self.setObjectName("developerPanel")
        self.setProperty("role", "page")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setWindowTitle("Developer panel \u2013 Lanai")
        self.resize(*SIZE)
        self._engine = engine
        self._bridge = bridge
        self._is_looking = False
        self.calls = CallTab()
        self.tracks = TracksTab()
        self.people = AttributesTab()
        self.empty = EmptyState(
            "sliders-horizontal",
            "You're not in a meeting",
            "Join one, and what can be called and watched in it shows up here.",
        )
        self._build()
        self.calls.callRequested.connect(self._on_call)
        self.calls.copyRequested.connect(lambda request: self._copy(call_script(request)))
        self.tracks.watchRequested.connect(self._on_watch)
        self.tracks.copyRequested.connect(lambda *key: self._copy(track_script(*key)))
        self.people.copyRequested.connect(lambda who: self._copy(attributes_script(who)))
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        head = QHBoxLayout()
        tabs = QFrame()
        tabs.setProperty("role", "segments")
        row = QHBoxLayout(tabs)
        row.setContentsMargins(3, 3, 3, 3)
        row.setSpacing(2)
        group = QButtonGroup(self)
        group.setExclusive(True)
        self._pages = QStackedWidget()
        self._tabs: dict[str, QToolButton] = {}
        for (name, text), page in zip(TABS, (self.calls, self.tracks, self.people), strict=True):
            button = QToolButton()
            button.setObjectName(f"devTab{name}")
            button.setProperty("role", "segment")
            button.setText(text)
            button.setAccessibleName(text)
            button.setCheckable(True)
            button.setFont(font_of(TypeStyle.LABEL))
            button.setFixedHeight(32)
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            button.clicked.connect(lambda _checked=False, name=name: self.show_tab(name))
            group.addButton(button)
            row.addWidget(button)
            self._tabs[name] = button
            self._pages.addWidget(page if page is self.calls else _scrolled(page))
        head.addWidget(tabs)
        self.note = TextLabel("", TypeStyle.CAPTION, "success")
        self.note.setObjectName("devNote")
        self.note.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        head.addWidget(self.note, 1)
        column.addLayout(head)
        column.addWidget(self._pages, 1)
        column.addWidget(self.empty, 1)
        self._note_timer = QTimer(self)
        self._note_timer.setSingleShot(True)
        self._note_timer.setInterval(3_000)
        self._note_timer.timeout.connect(lambda: self.note.setText(""))
        self.show_tab("Calls")
        self.show_view(DeveloperView())

    def show_tab(self, name: str) -> None:
        """Bring a tab to the front."""
        self._tabs[name].setChecked(True)
        self._pages.setCurrentIndex([each for each, _ in TABS].index(name))

    def open_(self) -> None:
        """Show the window and begin to look."""
        self.show()
        self.raise_()
        self.activateWindow()
        self._timer.start()
        self.look()

    def look(self) -> None:
        """Ask the engine for this moment; one question at a time."""
        if self._is_looking:
            return
        self._is_looking = True
        self._bridge.run(
            self._engine.developer_view(),
            on_done=self._on_view,
            on_error=lambda _error: self._on_view(DeveloperView()),
            name="developer view",
        )

    def _on_view(self, view: DeveloperView) -> None:
        self._is_looking = False
        self.show_view(view)

    def show_view(self, view: DeveloperView) -> None:
        """Show this moment."""
        is_in = bool(view.people)
        self._pages.setVisible(is_in)
        self.empty.setVisible(not is_in)
        self.calls.set_people(view.people)
        self.tracks.show_tracks(view.tracks, {p.identity: p.name for p in view.people})
        self.people.show_people(view.people)

    def _on_call(self, request: RpcRequest) -> None:
        self._bridge.run(
            self._engine.developer_call(request),
            on_done=self.calls.show_answer,
            on_error=lambda error: self.calls.show_refusal(_words(error)),
            name="developer call",
        )

    def _on_watch(self, identity: str, name: str, on: bool) -> None:
        self._bridge.run(
            self._engine.developer_watch(identity, name, on),
            on_done=lambda _result: QTimer.singleShot(0, self.look),
            on_error=lambda error: self._tell(_words(error), "danger"),
            name="developer watch",
        )

    def _copy(self, script: str) -> None:
        QGuiApplication.clipboard().setText(script)
        self._tell("Copied as Python", "success")

    def _tell(self, words: str, tone: str) -> None:
        self.note.set_tone(tone)
        self.note.setText(words)
        self._note_timer.start()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc closes."""
        if event.key() == Qt.Key.Key_Escape:
            self.close()
        else:
            super().keyPressEvent(event)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Stop looking; watched tracks are watched on until the meeting ends."""
        self._timer.stop()
        super().closeEvent(event)


def _words(error: WorldError) -> str:
    return f"Not possible now ({error.detail or error.reason.value})"


def _scrolled(page: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setWidget(page)
    return area
