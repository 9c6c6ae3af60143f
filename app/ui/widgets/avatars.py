"""Round initials, alone or overlapping."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ui.theme import color, mirrored, paint_avatar


class Avatar(QWidget):
    """A disc with a person's initial; the colour belongs to the name."""

    def __init__(self, name: str, side_px: int = 32, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self.setFixedSize(side_px, side_px)
        self.setAccessibleName(name)

    def set_person(self, name: str) -> None:
        """Show somebody else."""
        self._name = name
        self.setAccessibleName(name)
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the disc."""
        paint_avatar(QPainter(self), QRectF(self.rect()), self._name)


class AvatarRow(QWidget):
    """Up to `most` overlapping discs, each with a rim in the colour of what lies behind."""

    def __init__(
        self,
        side_px: int = 28,
        *,
        most: int = 3,
        behind: str = "window",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._side, self._most, self._behind = side_px, most, behind
        self._names: tuple[str, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def set_names(self, names: Sequence[str]) -> None:
        """Show these people's initials."""
        self._names = tuple(names[: self._most])
        self.setVisible(bool(self._names))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Fit the discs."""
        count = len(self._names)
        step = self._side - 6
        return QSize(step * (count - 1) + self._side + 4 if count else 0, self._side + 4)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint from left to right, the first on top of nothing."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for index, name in enumerate(self._names):
            left = 2 + index * (self._side - 6)
            box = mirrored(self, QRectF(left, 2, self._side, self._side))
            painter.setPen(color(self._behind))
            painter.setBrush(color(self._behind))
            painter.drawEllipse(box.adjusted(-2, -2, 2, 2))
            paint_avatar(painter, box, name)
