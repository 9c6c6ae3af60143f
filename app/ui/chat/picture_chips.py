"""The pictures that go with the next message: a line for each, with a way to leave it out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QRectF, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.ui.chat.previews import Previews
from app.ui.theme import TypeStyle, color, fill_rounded, paint_icon, rounded_path
from app.ui.widgets import ElidedLabel, IconButton, TextLabel

_THUMBNAIL_PX = 32


class PictureChips(QWidget):
    """The pictures that go with the next message."""

    removed = Signal(int)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("chatPictures")
        self.previews = Previews(self)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(4)
        self.hide()

    def show_files(self, files: Sequence[Path], *, coming: int = 0) -> None:
        """List these pictures; `coming` says how many more there will be in a moment."""
        while (item := self._column.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        for number, path in enumerate(files):
            line = QWidget(self)
            row = QHBoxLayout(line)
            row.setContentsMargins(4, 0, 0, 0)
            row.addWidget(_Thumbnail(path, self.previews, line))
            row.addWidget(ElidedLabel(path.name, TypeStyle.CAPTION, "text2"), 1)
            remove = IconButton("x", f"Remove {path.name}", side_px=28, icon_px=12)
            remove.setObjectName(f"chatPictureRemove_{number}")
            remove.clicked.connect(lambda _checked=False, n=number: self.removed.emit(n))
            row.addWidget(remove)
            self._column.addWidget(line)
        if coming:
            self._column.addWidget(TextLabel("Adding a picture…", TypeStyle.CAPTION, "text3"))
        self.setVisible(bool(files) or coming > 0)


class _Thumbnail(QWidget):
    """The picture itself, small; its icon until it was read, or when it cannot be."""

    def __init__(self, path: Path, previews: Previews, parent: QWidget) -> None:
        super().__init__(parent)
        self._path = path
        self._previews = previews
        self.setFixedSize(_THUMBNAIL_PX, _THUMBNAIL_PX)
        previews.ready.connect(self._on_ready)

    def _on_ready(self, path: str) -> None:
        if path == str(self._path):
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the middle of the picture under round corners."""
        painter = QPainter(self)
        box = QRectF(self.rect())
        pixels = round(2 * _THUMBNAIL_PX * self.devicePixelRatioF())
        image = self._previews.picture(self._path, pixels)
        if image is None or image.isNull():
            fill_rounded(painter, box, 6, color("surface3"))
            paint_icon(painter, box.adjusted(8, 8, -8, -8), "image", color("text2"))
            return
        side = min(image.width(), image.height())
        middle = QRectF((image.width() - side) / 2, (image.height() - side) / 2, side, side)
        painter.setRenderHints(
            QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform
        )
        painter.setClipPath(rounded_path(box, 6))
        painter.drawImage(box, image, middle)
