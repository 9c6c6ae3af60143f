"""Things that move with a value: level meters, progress bar, spinner."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt, QTimer
from PySide6.QtGui import QHideEvent, QPainter, QPaintEvent, QPen, QShowEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ui.theme import color, fill_rounded, reduced_motion


class SegmentMeter(QWidget):
    """A row of segments that light up with a level 0..1 (pre-join microphone)."""

    SEGMENTS = 24

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.level = 0.0
        self.setFixedHeight(10)
        self.setMinimumWidth(80)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Microphone level")

    def set_level(self, level: float) -> None:
        """Show a level; repaints only when a segment changes."""
        level = min(1.0, max(0.0, level))
        if round(level * self.SEGMENTS) != round(self.level * self.SEGMENTS):
            self.update()
        self.level = level

    def lit_segments(self) -> int:
        """Return how many segments are lit."""
        return round(self.level * self.SEGMENTS)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint every segment."""
        painter = QPainter(self)
        gap = 3.0
        width = (self.width() - gap * (self.SEGMENTS - 1)) / self.SEGMENTS
        for index in range(self.SEGMENTS):
            box = QRectF(index * (width + gap), 0, width, self.height())
            lit = index < self.lit_segments()
            fill_rounded(painter, box, 2.5, color("accent" if lit else "surface3"))


class LevelBar(QWidget):
    """The 3x36 bar beside the Mute button, filled from below."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.level = 0.0
        self.setFixedSize(3, 36)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)

    def set_level(self, level: float) -> None:
        """Show a level 0..1."""
        level = min(1.0, max(0.0, level))
        if round(level * 36) != round(self.level * 36):
            self.update()
        self.level = level

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint track and filling."""
        painter = QPainter(self)
        box = QRectF(self.rect())
        fill_rounded(painter, box, 1.5, color("surface3"))
        height = box.height() * self.level
        if height >= 1:
            filled = QRectF(0, box.height() - height, box.width(), height)
            fill_rounded(painter, filled, 1.5, color("accent"))


class ProgressBar(QWidget):
    """A 6 px progress bar; `tone` accent while it runs, control while it rests."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.fraction = 0.0
        self._token = "accent"
        self.setFixedHeight(6)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_fraction(self, fraction: float) -> None:
        """Show 0..1."""
        self.fraction = min(1.0, max(0.0, fraction))
        self.setAccessibleDescription(f"{round(self.fraction * 100)} %")
        self.update()

    def set_token(self, token: str) -> None:
        """Fill in another token's colour (accent, control, danger_text)."""
        self._token = token
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint track and filling."""
        painter = QPainter(self)
        box = QRectF(self.rect())
        fill_rounded(painter, box, 3, color("surface3"))
        width = box.width() * self.fraction
        if width >= 1:
            filled = QRectF(0, 0, max(6.0, width), box.height())
            fill_rounded(painter, filled, 3, color(self._token))


class Spinner(QWidget):
    """A turning arc, or a static "…" when motion is reduced; turns only while visible."""

    TURN_MS = 33

    def __init__(
        self, side_px: int = 20, token: str = "accent", *, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._token = token
        self._angle = 90
        self._timer = QTimer(self)
        self._timer.setInterval(self.TURN_MS)
        self._timer.timeout.connect(self._turn)
        self.setFixedSize(side_px, side_px)

    def showEvent(self, event: QShowEvent) -> None:
        """Start to turn."""
        super().showEvent(event)
        if not reduced_motion():
            self._timer.start()

    def hideEvent(self, event: QHideEvent) -> None:
        """Stop."""
        super().hideEvent(event)
        self._timer.stop()

    def _turn(self) -> None:
        self._angle = (self._angle - 12) % 360
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the ring and the arc on it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if reduced_motion():
            painter.setPen(color(self._token))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "…")
            return
        width = max(2.0, self.width() / 11)
        box = QRectF(self.rect()).adjusted(width / 2, width / 2, -width / 2, -width / 2)
        painter.setPen(QPen(color("surface3"), width))
        painter.drawEllipse(box)
        pen = QPen(color(self._token), width)
        pen.setCapStyle(Qt.PenCapStyle.FlatCap)
        painter.setPen(pen)
        painter.drawArc(box, (self._angle - 45) * 16, 90 * 16)
