"""One person's tile: the picture and everything that lies over it.

The picture was scaled on a media thread to this tile's device pixels, so painting is a copy;
only while a resize is under way, or when the source is smaller than the tile, Qt scales it.
Belongs to the Qt thread; frames are taken by the stage's clock, never by the tile itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QEnterEvent,
    QFocusEvent,
    QHideEvent,
    QImage,
    QKeyEvent,
    QPainter,
    QPaintEvent,
    QPixmap,
    QResizeEvent,
    QShowEvent,
)
from PySide6.QtWidgets import QAbstractButton, QWidget

from app.engine.events import Person, Role
from app.ui.people.model import is_weak, kind_label, shown_name, spoken_description
from app.ui.stage.agent_face import AgentFace, paint_state
from app.ui.stage.overlays import (
    BADGE_PX,
    MARGIN_PX,
    PILL_HEIGHT_PX,
    RING_PX,
    PillContent,
    avatar_diameter_px,
    paint_corners,
    render_bars,
    render_hand,
    render_pill,
)
from app.ui.stage.picture import as_image, covering, fitted, grey
from app.ui.theme import (
    Radius,
    color,
    fill_rounded,
    paint_avatar,
    paint_icon,
    paint_placeholder,
    rounded_path,
    stroke_rounded,
    theme,
)
from app.ui.widgets import IconButton

if TYPE_CHECKING:
    from app.media.play.video_slot import TileFrame, VideoSlot

FrameProbe = Callable[["TileFrame"], int | None]
"""Reads the counter out of a generated picture; the demo and the benchmarks use one."""


class PaintRecord:
    """What a tile has painted: frames, and the counters that a probe read from them."""

    def __init__(self) -> None:
        self.frames = 0
        self.distinct = 0
        self.last_counter = -1

    def handle_painted(self, counter: int | None) -> None:
        """One new frame reached the screen; `counter` is what the picture says it is."""
        self.frames += 1
        if counter is not None and counter > self.last_counter:
            self.last_counter = counter
            self.distinct += 1


class CornerButton(IconButton):
    """A 28 px button on a dark plate, readable over any picture."""

    def __init__(self, icon: str, parent: QWidget) -> None:
        self._glyph = icon
        super().__init__(icon, "", side_px=28, icon_px=16, token="on_video", parent=parent)
        # The tile has the focus; its keys do what these buttons do.
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def set_icon_name(self, icon: str, token: str | None = None) -> None:
        """Show another icon."""
        self._glyph = icon
        super().set_icon_name(icon, token)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint plate and icon."""
        painter = QPainter(self)
        plate = color("video_pill")
        if self.underMouse():
            plate.setAlphaF(0.95)
        fill_rounded(painter, QRectF(self.rect()), Radius.SMALL, plate)
        paint_icon(painter, QRectF(6, 6, 16, 16), self._glyph, color("on_video"))


class VideoTile(QAbstractButton):
    """A tile on the stage; `pinRequested` and `menuRequested` come from its corner buttons."""

    pinRequested = Signal(str)
    menuRequested = Signal(str, QPoint)

    def __init__(
        self,
        person: Person,
        *,
        record: PaintRecord | None = None,
        floating: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.person = person
        self.record = record or PaintRecord()
        self.probe: FrameProbe | None = None
        self._floating = floating
        self._speaking = False
        self._ring_allowed = True
        self._frozen = False
        self._pinned = False
        self._hand = 0
        self._lit = False
        self._mirrored = False
        self._slot: VideoSlot | None = None
        self._frame: TileFrame | None = None
        self._image: QImage | None = None
        self._pending_probe = False
        self._pill: QPixmap | None = None
        self._pill_key: object = None
        self.face = AgentFace(self, time.monotonic) if person.is_agent else None
        self.setObjectName(f"tile_{person.identity}")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._on_context_menu)
        self._pin_button = self._corner_button("push-pin", f"tilePin_{person.identity}")
        self._more_button = self._corner_button(
            "dots-three-vertical", f"tileMore_{person.identity}"
        )
        self._pin_button.clicked.connect(lambda: self.pinRequested.emit(self.person.identity))
        self._more_button.clicked.connect(self._on_more)
        theme.changed.connect(self._on_theme)
        self.set_person(person)

    def _corner_button(self, icon: str, name: str) -> CornerButton:
        button = CornerButton(icon, self)
        button.setObjectName(name)
        button.hide()
        return button

    # -- state ------------------------------------------------------------------------------

    def set_person(self, person: Person) -> None:
        """Show another state of the same person."""
        self.person = person
        if self.face is not None:
            self.face.set_state(person.agent_state)
        if not person.camera_on:
            self._drop_frame()
        name = shown_name(person)
        self._pin_button.set_name(f"Unpin {name}" if self._pinned else f"Pin {name}")
        self._more_button.set_name(f"More about {name}")
        self._say()
        self.update()

    def set_speaking(self, speaking: bool, *, ring: bool = True) -> None:
        """Light the microphone and, where a ring helps (`ring`), the edge."""
        if (speaking, ring) == (self._speaking, self._ring_allowed):
            return
        self._speaking, self._ring_allowed = speaking, ring
        # No announcement: who speaks changes too often to be read aloud.
        self._say()
        self.update()

    def set_hand(self, place: int) -> None:
        """Show a raised hand with its place in the queue; 0 takes it away."""
        if place != self._hand:
            self._hand = place
            self._say()
            self.update()

    def set_pinned(self, pinned: bool) -> None:
        """Show the pin, and what a press on its button does."""
        self._pinned = pinned
        name = shown_name(self.person)
        self._pin_button.set_name(f"Unpin {name}" if pinned else f"Pin {name}")
        self._place_buttons()
        self.update()

    def set_frozen(self, frozen: bool) -> None:
        """Keep the last frame, without colour and darkened, while the connection is gone."""
        if frozen == self._frozen:
            return
        self._frozen = frozen
        if frozen and self._image is not None and self._frame is not None:
            self._image = self._as_seen(grey(self._frame))
        self.update()

    def set_lit(self, lit: bool) -> None:
        """Mark the tile as the one a dragged file would go to."""
        if lit != self._lit:
            self._lit = lit
            self.update()

    @property
    def is_speaking(self) -> bool:
        """Whether the ring's rule says that this person speaks."""
        return self._speaking

    @property
    def has_ring(self) -> bool:
        """Whether the speaking ring is painted now."""
        return self._speaking and self._ring_allowed and not self._frozen

    @property
    def has_picture(self) -> bool:
        """Whether a frame is shown."""
        return self._image is not None

    def image(self) -> QImage | None:
        """The frame on show, for tests and the demo's screenshots."""
        return self._image

    # -- pictures ---------------------------------------------------------------------------

    @property
    def slot(self) -> VideoSlot | None:
        """Where this tile's frames arrive, while it has a camera to show."""
        return self._slot

    def attach_slot(self, slot: VideoSlot, *, mirrored: bool) -> None:
        """Show the frames of `slot` from now on."""
        self._slot = slot
        self._mirrored = mirrored
        self._aim()

    def detach_slot(self) -> VideoSlot | None:
        """Give the slot back to the caller, who releases it; the picture goes."""
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.set_target(0, 0)
        self._drop_frame()
        return slot

    def take_frame(self) -> None:
        """Fetch the newest frame, if there is one, and ask for a repaint."""
        slot = self._slot
        if slot is None or self._frozen:
            return
        frame = slot.take()
        if frame is None:
            return
        first = self._frame is None
        portrait_before = self._is_portrait()
        self._frame = frame
        self._image = self._as_seen(as_image(frame))
        self._pending_probe = True
        if self._is_portrait() != portrait_before:
            self._aim()
        if first:
            self._say()
        self.update()

    def _as_seen(self, image: QImage) -> QImage:
        # People know their own face from a mirror.
        return image.flipped(Qt.Orientation.Horizontal) if self._mirrored else image

    def _drop_frame(self) -> None:
        self._frame = None
        self._image = None
        self._pending_probe = False
        if self._slot is not None:
            self._slot.clear()
        self.update()

    def _is_portrait(self) -> bool:
        frame = self._frame
        return frame is not None and frame.source_height > frame.source_width

    def _aim(self) -> None:
        if self._slot is None or not self.isVisible():
            return
        ratio = self.devicePixelRatioF()
        fit = "fit" if self._is_portrait() else "cover"
        self._slot.set_target(round(self.width() * ratio), round(self.height() * ratio), fit)

    # -- painting ---------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Picture or avatar, then what lies over it."""
        painter = QPainter(self)
        box = QRectF(self.rect())
        if self._image is not None:
            self._paint_picture(painter, box, self._image)
        else:
            if not self._floating:
                painter.fillRect(self.rect(), color("stage"))
            self._paint_without_picture(painter, box)
        self._paint_over(painter, box)
        painter.end()
        if self._pending_probe and self._frame is not None:
            self._pending_probe = False
            self.record.handle_painted(self.probe(self._frame) if self.probe else None)

    def _paint_picture(self, painter: QPainter, box: QRectF, image: QImage) -> None:
        ratio = self.devicePixelRatioF()
        device = QSize(round(box.width() * ratio), round(box.height() * ratio))
        if self._floating:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setClipPath(rounded_path(box, Radius.TILE))
        if image.size() == device:
            image.setDevicePixelRatio(ratio)
            painter.drawImage(0, 0, image)
        else:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            image.setDevicePixelRatio(1.0)
            if self._is_portrait():
                painter.fillRect(box, color("stage"))
                painter.drawImage(fitted(box, image), image)
            else:
                painter.drawImage(box, image, covering(box, image))
        if not self._floating:
            paint_corners(painter, box, Radius.TILE, color("stage"))
        else:
            painter.setClipping(False)

    def _paint_without_picture(self, painter: QPainter, box: QRectF) -> None:
        if self.face is not None:
            self.face.paint(painter, box)
            return
        paint_placeholder(painter, box, Radius.TILE, self.person.name)
        side = avatar_diameter_px(box.width(), box.height())
        disc = QRectF(0, 0, side, side)
        disc.moveCenter(box.center())
        # In a low tile the name would lie over the initial.
        above_name = box.bottom() - MARGIN_PX - PILL_HEIGHT_PX - 4
        if disc.bottom() > above_name:
            disc.moveBottom(max(above_name, side))
        paint_avatar(painter, disc, self.person.name)
        if self._frozen:
            fill_rounded(painter, box, Radius.TILE, color("veil"))

    def _paint_over(self, painter: QPainter, box: QRectF) -> None:
        inset = MARGIN_PX
        pill = self._pill_pixmap()
        if self._frozen:
            painter.setOpacity(0.75)
        if pill is not None:
            painter.drawPixmap(QPoint(inset, self.height() - inset - PILL_HEIGHT_PX), pill)
        if self._hand:
            hand = render_hand(self._hand, theme.tokens, self.devicePixelRatioF())
            painter.drawPixmap(QPoint(inset, inset), hand)
        hovering = self._more_button.isVisible()
        if is_weak(self.person) or hovering:
            x = self.width() - inset - BADGE_PX - (68 if hovering else 0)
            if self._pinned and not hovering:
                x -= 34
            bars = render_bars(self.person.quality, theme.tokens, self.devicePixelRatioF())
            if x > inset and self.height() >= 90:
                painter.drawPixmap(QPoint(round(x), inset + (1 if hovering else 0)), bars)
        if self.face is not None and self.height() >= 90:
            paint_state(painter, self.face.state)
        painter.setOpacity(1.0)
        if self._lit:
            stroke_rounded(painter, box, Radius.TILE, color("accent"), RING_PX)
        elif self.has_ring:
            token = "agent" if self.person.is_agent else "accent"
            stroke_rounded(painter, box, Radius.TILE, color(token), RING_PX)
            inner = box.adjusted(RING_PX, RING_PX, -RING_PX, -RING_PX)
            stroke_rounded(painter, inner, Radius.TILE - RING_PX, _contrast(), 1)
        elif self._floating:
            stroke_rounded(painter, box, Radius.TILE, _contrast(), 1)
        if self.hasFocus() and self._focus_shown:
            ring = box.adjusted(1, 1, -1, -1)
            stroke_rounded(painter, ring, Radius.TILE - 1, color("on_video"), 2)

    def _pill_pixmap(self) -> QPixmap | None:
        person = self.person
        content = PillContent(
            name=shown_name(person),
            suffix=kind_label(person),
            muted=not person.mic_on and (person.has_mic or not person.is_agent),
            # An agent's state says it already.
            speaking=person.mic_on and self._speaking and not self._frozen and not person.is_agent,
            host=person.role is Role.HOST,
            agent=person.is_agent,
        )
        ratio = self.devicePixelRatioF()
        key = (content, self.width(), self.height(), theme.tokens.name, ratio)
        if key != self._pill_key:
            self._pill_key = key
            self._pill = render_pill(content, self.width(), self.height(), theme.tokens, ratio)
        return self._pill

    # -- input ------------------------------------------------------------------------------

    _focus_shown = False

    def _claim_all_pixels(self) -> None:
        """Spare Qt the painting of the stage under every frame.

        Fusion takes this attribute from every button that it polishes. A floating tile lies
        over another picture: its corners show what is behind.
        """
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent, not self._floating)

    def showEvent(self, event: QShowEvent) -> None:
        """Polished by now: claim the pixels, and ask for pictures."""
        super().showEvent(event)
        self._claim_all_pixels()
        self._aim()
        if self.face is not None:
            self.face.handle_visibility(True)

    def hideEvent(self, event: QHideEvent) -> None:
        """Nobody looks (a minimised window): nothing is to be scaled."""
        super().hideEvent(event)
        if self.face is not None:
            self.face.handle_visibility(False)
        if self._slot is not None:
            self._slot.set_target(0, 0)

    def changeEvent(self, event: QEvent) -> None:
        """A new style sheet polishes again."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self._claim_all_pixels()

    def enterEvent(self, event: QEnterEvent) -> None:
        """Show the corner buttons."""
        super().enterEvent(event)
        self._show_buttons(True)

    def leaveEvent(self, event: QEvent) -> None:
        """Hide them, unless the keyboard is here."""
        super().leaveEvent(event)
        self._show_buttons(self.hasFocus() and self._focus_shown)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show a ring when the keyboard brought the focus, not for a click."""
        reasons = (
            Qt.FocusReason.TabFocusReason,
            Qt.FocusReason.BacktabFocusReason,
            Qt.FocusReason.ShortcutFocusReason,
        )
        self._focus_shown = event.reason() in reasons or event.reason() == (
            Qt.FocusReason.OtherFocusReason
        )
        super().focusInEvent(event)
        if self._focus_shown:
            self._show_buttons(True)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Hide ring and buttons."""
        super().focusOutEvent(event)
        self._focus_shown = False
        self._show_buttons(self.underMouse())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter pins, Menu opens the menu; Space stays free for talking."""
        key = event.key()
        shifted = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if not self.person.is_me:
                self.pinRequested.emit(self.person.identity)
        elif key == Qt.Key.Key_Menu or (key == Qt.Key.Key_F10 and shifted):
            self._on_more()
        else:
            event.ignore()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Ask the worker for the new size."""
        super().resizeEvent(event)
        self._aim()
        self._place_buttons()

    def sizeHint(self) -> QSize:
        """A tile has no wish of its own: the stage decides."""
        return QSize(320, 180)

    def _show_buttons(self, show: bool) -> None:
        others = show and not self._floating and not self.person.is_me
        self._more_button.setVisible(others)
        self._place_buttons(others)
        self.update()

    def _place_buttons(self, hovering: bool | None = None) -> None:
        if hovering is None:
            hovering = self._more_button.isVisible()
        right = self.width() - MARGIN_PX - 28
        self._more_button.move(right, MARGIN_PX)
        self._pin_button.move(right - (34 if hovering else 0), MARGIN_PX)
        # A pin that holds stays in sight; otherwise it is an offer on hover.
        offer = "push-pin-slash" if hovering else "push-pin-fill"
        self._pin_button.set_icon_name(offer if self._pinned else "push-pin")
        self._pin_button.setVisible(hovering or (self._pinned and not self._floating))

    def _on_more(self) -> None:
        if self._more_button.isVisible():
            at = self._more_button.mapToGlobal(QPoint(0, self._more_button.height() + 4))
        else:
            at = self.mapToGlobal(self.rect().center())
        self.menuRequested.emit(self.person.identity, at)

    def _on_context_menu(self, at: QPoint) -> None:
        self.menuRequested.emit(self.person.identity, self.mapToGlobal(at))

    def _on_theme(self) -> None:
        self._pill_key = None
        self.update()

    def _say(self) -> None:
        self.setAccessibleName(spoken_description(self.person, hand=self._hand))
        self.setToolTip("")


def _contrast() -> QColor:
    line = color("scrim")
    line.setAlphaF(0.55)
    return line
