"""One's own picture before joining: what others will see, mirrored if the person likes that."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QImage, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractButton, QHBoxLayout, QSizePolicy, QWidget

from app.ui.theme import (
    TypeStyle,
    color,
    fill_rounded,
    font_of,
    paint_avatar,
    paint_icon,
    paint_placeholder,
    rounded_path,
    stroke_rounded,
)

if TYPE_CHECKING:
    from app.media.play.video_slot import VideoSlot

_RADIUS = 16
_DISC_PX = 52


class DiscToggle(QAbstractButton):
    """A round toggle over the preview; its name says what a press does."""

    def __init__(
        self,
        icons: tuple[str, str],
        names: tuple[str, str],
        *,
        off_token: str = "danger",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._icons, self._names, self._off_token = icons, names, off_token
        self.setCheckable(True)
        self.setFixedSize(_DISC_PX, _DISC_PX)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.toggled.connect(self._on_toggled)
        self._on_toggled(False)

    def _on_toggled(self, on: bool) -> None:
        self.setAccessibleName(self._names[0 if on else 1])
        self.setToolTip(self._names[0 if on else 1])
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint disc, icon and focus ring."""
        painter = QPainter(self)
        box = QRectF(self.rect())
        on = self.isChecked()
        plain = on is (self._off_token == "danger")
        back = color("video_pill") if plain else color(f"{self._off_token}_soft")
        front = color("on_video") if plain else color(f"{self._off_token}_text")
        if plain and (self.underMouse() or self.isDown()):
            back.setAlphaF(0.95)
        painter.setOpacity(1.0 if self.isEnabled() else 0.45)
        fill_rounded(painter, box, box.width() / 2, back)
        paint_icon(painter, box.adjusted(14, 14, -14, -14), self._icons[0 if on else 1], front)
        if self.hasFocus():
            stroke_rounded(painter, box, box.width() / 2, color("accent"), 2)


class Preview(QWidget):
    """Paints the newest frame of a slot, or who will be seen without a picture.

    `attach` takes the function that opens a slot; frames are announced on a media thread and
    painted on this one, at most once per turn of the loop.
    """

    _frame_waiting = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("prejoinPreview")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Your picture")
        self._slot: VideoSlot | None = None
        self._release: Callable[[VideoSlot], None] | None = None
        self._image: QImage | None = None
        self._source: tuple[int, int] = (0, 0)
        self._name = ""
        self._camera_on = False
        self._mirrored = True
        self._message = ""
        self.painted_frames = 0
        self._frame_waiting.connect(self._on_frame, Qt.ConnectionType.QueuedConnection)
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 0, 16, 18)
        row.setSpacing(14)
        row.addStretch(1)
        self.mic = DiscToggle(
            ("microphone", "microphone-slash-fill"), ("Join muted", "Join unmuted")
        )
        self.mic.setObjectName("prejoinMic")
        self.camera = DiscToggle(
            ("video-camera", "video-camera-slash-fill"), ("Turn camera off", "Turn camera on")
        )
        self.camera.setObjectName("prejoinCamera")
        self.mirror = DiscToggle(
            ("arrows-left-right", "arrows-left-right"),
            ("Show it as others see it", "Show it as in a mirror"),
            off_token="accent",
        )
        self.mirror.setObjectName("prejoinMirror")
        for disc in (self.mic, self.camera, self.mirror):
            row.addWidget(disc, 0, Qt.AlignmentFlag.AlignBottom)
        row.addStretch(1)
        self.mirror.toggled.connect(self._on_mirror)
        self.mirror.setChecked(True)

    @property
    def is_attached(self) -> bool:
        """Whether a slot is held."""
        return self._slot is not None

    def attach(
        self,
        open_slot: Callable[[Callable[[], None]], VideoSlot],
        release: Callable[[VideoSlot], None],
    ) -> None:
        """Show frames from now on."""
        self.detach()
        self._slot = open_slot(self._on_ready)
        self._release = release
        self._set_target()

    def detach(self) -> None:
        """Give the slot back."""
        slot, self._slot = self._slot, None
        if slot is not None and self._release is not None:
            self._release(slot)
        self._image = None
        self.update()

    def set_state(self, *, name: str, camera_on: bool, message: str = "") -> None:
        """Say whose preview it is and whether the camera is on; `message` explains."""
        self._name, self._camera_on, self._message = name, camera_on, message
        if not camera_on:
            self._image = None
            if self._slot is not None:
                self._slot.clear()
        self.update()

    def hasHeightForWidth(self) -> bool:
        """The preview is 16:9."""
        return True

    def heightForWidth(self, width: int) -> int:
        """16:9."""
        return round(width * 9 / 16)

    def sizeHint(self) -> QSize:
        """As in the design at 1280 pixels."""
        return QSize(760, 428)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Ask for frames of the new size."""
        super().resizeEvent(event)
        self._set_target()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the frame or the placeholder, then the pills."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect())
        if self._image is not None and self._camera_on:
            self._paint_frame(painter, box, self._image)
        else:
            self._paint_nobody(painter, box)

    # -- frames --------------------------------------------------------------------------------

    def _on_ready(self) -> None:
        # On a media thread; the widget may be going down.
        try:
            self._frame_waiting.emit()
        except RuntimeError:
            return

    def _on_frame(self) -> None:
        frame = self._slot.take() if self._slot is not None else None
        if frame is None or not self._camera_on:
            return
        image = QImage(
            frame.data.data,
            frame.width,
            frame.height,
            frame.stride,
            QImage.Format.Format_RGB32,
        )
        # The buffer belongs to the frame; a preview is small enough to copy.
        self._image = image.copy()
        self._source = (frame.source_width, frame.source_height)
        self.painted_frames += 1
        self.update()

    def _set_target(self) -> None:
        if self._slot is not None:
            ratio = self.devicePixelRatioF()
            self._slot.set_target(round(self.width() * ratio), round(self.height() * ratio))

    def _on_mirror(self, _on: bool) -> None:
        self._mirrored = self.mirror.isChecked()
        self.update()

    # -- painting ------------------------------------------------------------------------------

    def _paint_frame(self, painter: QPainter, box: QRectF, image: QImage) -> None:
        painter.save()
        painter.setClipPath(rounded_path(box, _RADIUS))
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        if self._mirrored:
            painter.translate(box.width(), 0)
            painter.scale(-1, 1)
        painter.drawImage(box, image)
        painter.restore()
        width, height = self._source
        if min(width, height) > 0:
            self._paint_pill(painter, f"{min(width, height)}p", right=True)

    def _paint_nobody(self, painter: QPainter, box: QRectF) -> None:
        paint_placeholder(painter, box, _RADIUS, self._name)
        # What is left above the round buttons.
        room = box.height() - _DISC_PX - 18
        side = min(112.0, max(36.0, room * 0.36))
        has_words = room >= side + 62
        top = box.top() + (room - side - (34 if has_words else 0)) / 2 + (14 if has_words else 4)
        disc = QRectF(box.center().x() - side / 2, top, side, side)
        if self._name:
            paint_avatar(painter, disc, self._name)
        else:
            paint_icon(painter, disc, "user", color("on_video"))
        if not has_words:
            return
        if self._camera_on and not self._message:
            text = "Starting your camera\u2026"
        else:
            text = self._message or "Your camera is off"
        painter.setFont(font_of(TypeStyle.BODY, weight=500))
        painter.setPen(color("on_video"))
        words = QRectF(box.left() + 24, disc.bottom() + 10, box.width() - 48, 24)
        shown = QFontMetrics(painter.font()).elidedText(
            text, Qt.TextElideMode.ElideRight, int(words.width())
        )
        painter.drawText(words, Qt.AlignmentFlag.AlignCenter, shown)

    def _paint_pill(self, painter: QPainter, text: str, *, right: bool) -> None:
        font = font_of(TypeStyle.CAPTION, weight=600)
        width = QFontMetrics(font).horizontalAdvance(text) + 20
        left = self.width() - width - 14 if right else 14
        box = QRectF(left, 14, width, 28)
        fill_rounded(painter, box, 8, color("video_pill"))
        painter.setFont(font)
        painter.setPen(color("on_video"))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
