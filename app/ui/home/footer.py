"""The line at the bottom of start and end pages: network on the left, anything on the right."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from app.ui.theme import TypeStyle, color, fill_rounded
from app.ui.widgets import IconLabel, TextLabel


class _Dot(QWidget):
    """An 8 px status dot."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedSize(8, 8)
        self.token = "text3"

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint it."""
        fill_rounded(QPainter(self), QRectF(self.rect()), 4, color(self.token))


class StatusFooter(QFrame):
    """Says whether there is a network and, once known, which devices are ready."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "bottombar")
        self.setFixedHeight(40)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(40, 0, 40, 0)
        self._row.setSpacing(8)
        self._dot = _Dot()
        self._row.addWidget(self._dot)
        self.network = TextLabel("", TypeStyle.CAPTION, "text2")
        self.network.setObjectName("startNetworkStatus")
        self._row.addWidget(self.network)
        self._row.addStretch(1)
        self._mic = IconLabel("microphone", 14, "text2")
        self._camera = IconLabel("video-camera", 16, "text2")
        self._row.addWidget(self._mic)
        self._row.addWidget(self._camera)
        self.note = TextLabel("", TypeStyle.CAPTION, "text2")
        self._row.addWidget(self.note)
        self.set_devices(None)
        self.set_network(None, known=False)

    def set_edge(self, edge_px: int) -> None:
        """Align with the page's margin."""
        self._row.setContentsMargins(edge_px, 0, edge_px, 0)

    def set_network(self, address: str | None, *, known: bool = True) -> None:
        """Show this computer's address; None: no network (or not looked yet)."""
        if not known:
            self._dot.token = "text3"
            self.network.setText("Looking at your network\u2026")
        elif address is None:
            self._dot.token = "warn"
            self.network.setText("No network")
        else:
            self._dot.token = "success"
            self.network.setText(f"Connected to your network  \u00b7  {address}")
        self._dot.update()

    def set_devices(self, ready: tuple[bool, bool] | None, version: str = "") -> None:
        """Say whether there is a microphone and a camera; None while nobody looked yet."""
        mic, camera = ready or (False, False)
        self._mic.setVisible(mic)
        self._camera.setVisible(camera)
        words = {
            (True, True): "Devices ready",
            (True, False): "No camera found",
            (False, True): "No microphone found",
            (False, False): "No microphone or camera found",
        }
        parts = [words[(mic, camera)]] if ready is not None else []
        self.set_note("  \u00b7  ".join([*parts, *([f"Lanai {version}"] if version else [])]))

    def set_note(self, text: str) -> None:
        """Show a text on the right."""
        self.note.setText(text)
        self.note.setAlignment(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight)
