"""The files panel: what is on its way, what has been shared, and the button to send more.

Progress comes at most four times a second; a row's words change twice a second, its bar with
every report. The panel only says what a person wants done with a transfer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.engine.events import Transfer
from app.ui.files.model import REFRESH_S, Section, TransferBook
from app.ui.files.row import TransferRow, Wish
from app.ui.theme import TypeStyle, font_of
from app.ui.widgets import Button, EmptyState, Hairline, IconButton, TextLabel


class FilesPanel(QWidget):
    """Sections of transfers; `runningChanged` carries the tab's number.

    `asked` carries a transfer's id and what the engine is to do with it (a `Wish`).
    """

    chooseRequested = Signal()
    chooseFolderRequested = Signal()
    asked = Signal(str, object)
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
        sections.setContentsMargins(12, 10, 12, 0)
        sections.setSpacing(0)
        self._empty = EmptyState(
            "file-arrow-up", "Drop a file here", "It goes straight to the people in this call."
        )
        self._open_folder = Button("Open folder", tone="ghost", size="small")
        self._open_folder.setFont(font_of(TypeStyle.CAPTION, weight=500))
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
        foot = QHBoxLayout()
        foot.setContentsMargins(12, 12, 12, 12)
        foot.setSpacing(8)
        self._refusal = TextLabel(
            "The host has turned off file sharing", TypeStyle.CAPTION, "text2", wrap=True
        )
        self._refusal.setObjectName("filesRefusal")
        self._refusal.hide()
        foot.addWidget(self._refusal, 1)
        choose = Button("Choose files to send", "paperclip")
        choose.setObjectName("filesChoose")
        choose.clicked.connect(self.chooseRequested)
        foot.addWidget(choose, 1)
        # Without it a folder could only be dragged here.
        folder = IconButton("folder-simple-plus", "Send a folder", side_px=40, icon_px=20)
        folder.setObjectName("filesChooseFolder")
        folder.clicked.connect(self.chooseFolderRequested)
        foot.addWidget(folder)
        self._choosers = (choose, folder)
        column.addLayout(foot)
        self._timer = QTimer(self)
        self._timer.setInterval(round(REFRESH_S * 1000))
        self._timer.timeout.connect(self._on_refresh)
        self._show_sections()

    def _add_section(self, section: Section, into: QVBoxLayout) -> None:
        block = QWidget()
        block.setObjectName(f"filesSection_{section.name.lower()}")
        rows_and_head = QVBoxLayout(block)
        rows_and_head.setContentsMargins(0, 0, 0, 14)
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
        head.setFixedHeight(32 if section is Section.SHARED else 28)
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
            row.asked.connect(self._on_asked)
            self._rows[transfer.id] = row
        row.set_transfer(transfer, now_s)
        if moved:
            self._place_rows()
        if self._book.running != self._running:
            self._running = self._book.running
            self.runningChanged.emit(self._running)
        if self._book.is_moving and not self._timer.isActive():
            self._timer.start()
        elif not self._book.is_moving:
            self._timer.stop()

    def set_allowed(self, allowed: bool) -> None:
        """Offer to send, or say who has decided otherwise."""
        for button in self._choosers:
            button.setVisible(allowed)
        self._refusal.setVisible(not allowed)

    @property
    def running(self) -> int:
        """How many transfers are on their way or wait for an answer."""
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

    def _on_asked(self, transfer_id: str, wish: Wish) -> None:
        match wish:
            case Wish.DISMISS:
                self._on_dismiss(transfer_id)
            case Wish.OPEN:
                self._on_open(transfer_id)
            case _:
                self.asked.emit(transfer_id, wish)

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
