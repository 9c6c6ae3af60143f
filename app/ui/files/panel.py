"""The files panel: what is on its way, what has been shared, and the button to send more.

Progress comes at most four times a second; a row's words change twice a second, its bar with
every report. The panel only says what a person wants done with a transfer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.engine.events import Transfer, TransferState
from app.ui.chat.model import clock_label
from app.ui.files.model import (
    REFRESH_S,
    RateMeter,
    Section,
    TransferBook,
    icon_name,
    meta_text,
)
from app.ui.theme import TypeStyle, font_of
from app.ui.widgets import (
    Button,
    ElidedLabel,
    EmptyState,
    Hairline,
    IconButton,
    IconPlate,
    Inset,
    ProgressBar,
    TextLabel,
)

_ENDED = (TransferState.FAILED, TransferState.CANCELLED)


class TransferRow(Inset):
    """One transfer: kind, name, bar while it runs, a line of words, what can be done."""

    cancelRequested = Signal(str)
    retryRequested = Signal(str)
    dismissRequested = Signal(str)
    openRequested = Signal(str)

    def __init__(self, transfer: Transfer, meter: RateMeter, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._transfer = transfer
        self._meter = meter
        self._words_at_s = float("-inf")
        self.setObjectName(f"transfer_{transfer.id}")
        self.setMinimumHeight(57)
        self.body.setContentsMargins(12, 9, 10, 10)
        self._plate = IconPlate(icon_name(transfer.file_name), 36, tone="neutral", icon_px=20)
        self.body.addWidget(self._plate, 0, Qt.AlignmentFlag.AlignTop)
        self._words = QGridLayout()
        self._words.setHorizontalSpacing(12)
        self._words.setColumnStretch(0, 1)
        self._name = ElidedLabel(transfer.file_name, TypeStyle.LABEL)
        self._bar = ProgressBar()
        self._bar.setObjectName(f"transferProgress_{transfer.id}")
        self._bar.setAccessibleName(f"Progress of {transfer.file_name}")
        self._meta = ElidedLabel("", TypeStyle.CAPTION, "text2")
        self._words.addWidget(self._name, 0, 0)
        self._words.addWidget(self._bar, 1, 0)
        self.body.addLayout(self._words, 1)
        self._actions = QWidget()
        self._buttons = QHBoxLayout(self._actions)
        self._buttons.setContentsMargins(0, 0, 0, 0)
        self._buttons.setSpacing(2)
        self._retry = self._action("arrow-clockwise", "Send again", "transferRetry_")
        self._retry.clicked.connect(lambda: self.retryRequested.emit(transfer.id))
        self._cancel = self._action("x", "Cancel", "transferCancel_")
        self._cancel.clicked.connect(self._on_cancel)
        self._open = self._action("folder-open", "Open folder", "transferOpen_")
        self._open.clicked.connect(lambda: self.openRequested.emit(transfer.id))
        self._arrange(running=transfer.state is TransferState.RUNNING)
        self.set_transfer(transfer, time.monotonic())

    def _arrange(self, *, running: bool) -> None:
        """Let the figures of a running transfer reach under the buttons: they are long."""
        for widget in (self._actions, self._meta):
            self._words.removeWidget(widget)
        middle = Qt.AlignmentFlag.AlignTop if running else Qt.AlignmentFlag.AlignVCenter
        self._words.setVerticalSpacing(5 if running else 0)
        self._words.addWidget(self._actions, 0, 1, 2 if running else 3, 1, middle)
        self._words.addWidget(self._meta, 2, 0, 1, 2 if running else 1)

    def _action(self, icon: str, what: str, prefix: str) -> IconButton:
        button = IconButton(icon, what, side_px=28, icon_px=18)
        button.setObjectName(prefix + self._transfer.id)
        button.set_name(f"{what}: {self._transfer.file_name}")
        self._buttons.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
        return button

    def set_transfer(self, transfer: Transfer, now_s: float) -> None:
        """Show the newest report."""
        state_changed = transfer.state is not self._transfer.state
        self._transfer = transfer
        running = transfer.state is TransferState.RUNNING
        failed = transfer.state is TransferState.FAILED
        done = transfer.state is TransferState.DONE
        self._bar.setVisible(running)
        if state_changed:
            self._arrange(running=running)
        self._bar.set_fraction(transfer.done_bytes / max(1, transfer.size_bytes))
        # Only the sender can start again: a receiver has nothing to ask with.
        self._retry.setVisible(transfer.state in _ENDED and transfer.outgoing)
        self._cancel.setVisible(not done)
        self._cancel.set_name(f"{'Cancel' if running else 'Dismiss'}: {transfer.file_name}")
        self._open.setVisible(done and transfer.path is not None)
        kind = icon_name(transfer.file_name)
        self._plate.set_icon(kind, "danger" if failed else "neutral")
        self._meta.set_tone("danger" if failed else "text2" if running else "text3")
        if state_changed or not running or now_s - self._words_at_s >= REFRESH_S:
            self.refresh_words(now_s)

    def refresh_words(self, now_s: float) -> None:
        """Say again how much, how fast and how long still."""
        self._words_at_s = now_s
        clock = clock_label(self._transfer.started_at_ms) if self._transfer.started_at_ms else ""
        text = meta_text(self._transfer, self._meter, now_s, clock)
        if text != self._meta.full_text():
            self._meta.setText(text)
        self.setAccessibleName(f"{self._transfer.file_name}, {text}")

    @property
    def is_running(self) -> bool:
        """Whether its words change by themselves."""
        return self._transfer.state is TransferState.RUNNING

    def _on_cancel(self) -> None:
        if self.is_running:
            self.cancelRequested.emit(self._transfer.id)
        else:
            self.dismissRequested.emit(self._transfer.id)


class FilesPanel(QWidget):
    """Sections of transfers; `runningChanged` carries the tab's number."""

    chooseRequested = Signal()
    cancelRequested = Signal(str)
    retryRequested = Signal(str)
    openFolderRequested = Signal(object)
    runningChanged = Signal(int)

    def __init__(
        self,
        downloads: Path,
        *,
        now_s: Callable[[], float] = time.monotonic,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._downloads = downloads
        self._now_s = now_s
        self._book = TransferBook()
        self._rows: dict[str, TransferRow] = {}
        self._running = 0
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self._area = QScrollArea()
        self._area.setObjectName("filesList")
        self._area.setAccessibleName("Files")
        self._area.setWidgetResizable(True)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setFrameShape(QScrollArea.Shape.NoFrame)
        inside = QWidget()
        inside.setProperty("role", "scrolled")
        sections = QVBoxLayout(inside)
        sections.setContentsMargins(12, 14, 12, 12)
        sections.setSpacing(0)
        self._empty = EmptyState(
            "file-arrow-up", "Drop a file here", "It goes straight to the people in this call."
        )
        self._open_folder = Button("Open folder", tone="ghost", size="small")
        self._open_folder.setObjectName("filesOpenFolder")
        self._open_folder.clicked.connect(lambda: self.openFolderRequested.emit(self._downloads))
        self._titles: dict[Section, TextLabel] = {}
        self._blocks: dict[Section, QWidget] = {}
        self._columns: dict[Section, QVBoxLayout] = {}
        sections.addWidget(self._empty)
        for section in Section:
            self._add_section(section, sections)
        sections.addStretch(1)
        self._area.setWidget(inside)
        column.addWidget(self._area, 1)
        column.addWidget(Hairline())
        foot = QVBoxLayout()
        foot.setContentsMargins(12, 12, 12, 12)
        choose = Button("Choose files to send", "paperclip")
        choose.setObjectName("filesChoose")
        choose.clicked.connect(self.chooseRequested)
        foot.addWidget(choose)
        column.addLayout(foot)
        self._timer = QTimer(self)
        self._timer.setInterval(round(REFRESH_S * 1000))
        self._timer.timeout.connect(self._on_refresh)
        self._show_sections()

    def _add_section(self, section: Section, into: QVBoxLayout) -> None:
        block = QWidget()
        block.setObjectName(f"filesSection_{section.name.lower()}")
        rows_and_head = QVBoxLayout(block)
        rows_and_head.setContentsMargins(0, 0, 0, 12)
        rows_and_head.setSpacing(0)
        head = QWidget()
        row = QHBoxLayout(head)
        row.setContentsMargins(8, 0, 0, 0)
        title = TextLabel(section.value, TypeStyle.CAPTION, "text2")
        title.setFont(font_of(TypeStyle.CAPTION, weight=600))
        row.addWidget(title)
        row.addStretch(1)
        if section is Section.SHARED:
            row.addWidget(self._open_folder)
        head.setFixedHeight(32 if section is Section.SHARED else 24)
        rows = QVBoxLayout()
        rows.setSpacing(8)
        rows_and_head.addWidget(head)
        rows_and_head.addLayout(rows)
        into.addWidget(block)
        self._titles[section], self._blocks[section] = title, block
        self._columns[section] = rows

    def handle_transfer(self, transfer: Transfer) -> None:
        """Show a transfer's newest state."""
        now_s = self._now_s()
        moved = self._book.handle(transfer, now_s)
        row = self._rows.get(transfer.id)
        if row is None:
            row = TransferRow(transfer, self._book.meter(transfer.id))
            row.cancelRequested.connect(self.cancelRequested)
            row.retryRequested.connect(self.retryRequested)
            row.dismissRequested.connect(self._on_dismiss)
            row.openRequested.connect(self._on_open)
            self._rows[transfer.id] = row
        row.set_transfer(transfer, now_s)
        if moved:
            self._place_rows()
        if self._book.running != self._running:
            self._running = self._book.running
            self.runningChanged.emit(self._running)
        if self._running and not self._timer.isActive():
            self._timer.start()
        elif not self._running:
            self._timer.stop()

    @property
    def running(self) -> int:
        """How many transfers are on their way."""
        return self._running

    def _place_rows(self) -> None:
        for section, column in self._columns.items():
            for place, transfer in enumerate(self._book.in_section(section)):
                row = self._rows[transfer.id]
                if column.indexOf(row) != place:
                    for other in self._columns.values():
                        other.removeWidget(row)
                    column.insertWidget(place, row)
                    row.show()
        self._show_sections()

    def _show_sections(self) -> None:
        for section, block in self._blocks.items():
            count = len(self._book.in_section(section))
            # The whole block: an empty one must not leave its margins behind.
            block.setVisible(count > 0)
            if section is Section.SHARED:
                self._titles[section].setText(f"{section.value} · {count}")
        self._empty.setVisible(not self._rows)

    def _on_refresh(self) -> None:
        now_s = self._now_s()
        for row in self._rows.values():
            if row.is_running:
                row.refresh_words(now_s)

    def _on_dismiss(self, transfer_id: str) -> None:
        row = self._rows.pop(transfer_id)
        self._book.forget(transfer_id)
        for column in self._columns.values():
            column.removeWidget(row)
        row.hide()
        row.deleteLater()
        self._show_sections()

    def _on_open(self, transfer_id: str) -> None:
        path = self._book.get(transfer_id).path
        self.openFolderRequested.emit(path.parent if path is not None else self._downloads)
