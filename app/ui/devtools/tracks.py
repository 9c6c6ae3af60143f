"""The tab that watches data tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.engine.developer import WatchedTrack
from app.ui.devtools.payloads import describe_payload, describe_rate, describe_size
from app.ui.devtools.sparkline import Sparkline
from app.ui.theme import TypeStyle
from app.ui.widgets import (
    ElidedLabel,
    EmptyState,
    Hairline,
    IconButton,
    Switch,
    TextLabel,
)


class TrackRow(QWidget):
    """One track: whose, how much comes, the newest payload, its line of numbers."""

    watchToggled = Signal(bool)
    copyRequested = Signal()

    def __init__(self, track: WatchedTrack) -> None:
        super().__init__()
        key = f"{track.identity}_{track.name}"
        self.setObjectName(f"devTrack_{key}")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 10, 0, 10)
        column.setSpacing(4)
        top = QHBoxLayout()
        top.setSpacing(12)
        words = QVBoxLayout()
        words.setSpacing(0)
        self.title = ElidedLabel(track.name, TypeStyle.BODY_STRONG)
        words.addWidget(self.title)
        self.facts = ElidedLabel("", TypeStyle.CAPTION, "text2")
        self.facts.setObjectName(f"devTrackFacts_{key}")
        words.addWidget(self.facts)
        top.addLayout(words, 1)
        self.line = Sparkline()
        self.line.setObjectName(f"devTrackLine_{key}")
        top.addWidget(self.line)
        copy = IconButton("copy", f"Copy as Python: {track.name}")
        copy.setObjectName(f"devTrackCopy_{key}")
        copy.clicked.connect(self.copyRequested)
        top.addWidget(copy)
        self.watch = Switch(f"Watch {track.name}")
        self.watch.setObjectName(f"devTrackWatch_{key}")
        self.watch.toggled.connect(self.watchToggled)
        top.addWidget(self.watch, 0, Qt.AlignmentFlag.AlignVCenter)
        column.addLayout(top)
        self.payload = ElidedLabel("", TypeStyle.CAPTION, "text1")
        self.payload.setObjectName(f"devTrackPayload_{key}")
        self.payload.setProperty("mono", "true")
        column.addWidget(self.payload)
        self.show_track(track, track.identity)

    def show_track(self, track: WatchedTrack, person: str) -> None:
        """Show this moment."""
        facts = [person]
        if track.error:
            facts.append(track.error)
        elif track.is_watched:
            facts.append(describe_rate(track.frames_per_s, track.bytes_per_s))
            facts.append(f"{track.frames} frames")
            if track.size_bytes:
                facts.append(describe_size(track.size_bytes))
            if track.user_timestamp is not None:
                facts.append(f"stamp {track.user_timestamp}")
        self.facts.set_tone("danger" if track.error else "text2")
        self.facts.setText(" · ".join(facts))
        self.payload.setVisible(track.is_watched and bool(track.size_bytes))
        self.payload.setText(describe_payload(track.last, track.size_bytes))
        self.line.set_numbers(track.numbers)
        if self.watch.isChecked() != track.is_watched:
            blocked = self.watch.blockSignals(True)
            self.watch.setChecked(track.is_watched)
            self.watch.blockSignals(blocked)
            self.watch.update()


class TracksTab(QWidget):
    """All data tracks in the meeting."""

    watchRequested = Signal(str, str, bool)
    copyRequested = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "scrolled")
        self._rows: dict[tuple[str, str], TrackRow] = {}
        self._lines: dict[tuple[str, str], Hairline] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 8, 0)
        self._column.setSpacing(0)
        self.empty = EmptyState(
            "broadcast", "No data tracks", "Nobody in this meeting publishes one right now."
        )
        self._column.addWidget(self.empty)
        self._column.addStretch(1)
        self.note = TextLabel("", TypeStyle.CAPTION, "danger")
        self._column.addWidget(self.note)

    def show_tracks(self, tracks: Sequence[WatchedTrack], names: Mapping[str, str]) -> None:
        """Show this moment; rows stay where they are."""
        present = {(track.identity, track.name): track for track in tracks}
        for key in [key for key in self._rows if key not in present]:
            for gone in (self._rows.pop(key), self._lines.pop(key)):
                self._column.removeWidget(gone)
                gone.hide()
                gone.deleteLater()
        for key, track in present.items():
            if key not in self._rows:
                self._add(key, track)
            self._rows[key].show_track(track, names.get(track.identity, track.identity))
        self.empty.setVisible(not present)

    def _add(self, key: tuple[str, str], track: WatchedTrack) -> None:
        row, line = TrackRow(track), Hairline()
        row.watchToggled.connect(lambda on: self.watchRequested.emit(*key, on))
        row.copyRequested.connect(lambda: self.copyRequested.emit(*key))
        at = self._column.count() - 2
        self._column.insertWidget(at, row)
        self._column.insertWidget(at + 1, line)
        self._rows[key], self._lines[key] = row, line
