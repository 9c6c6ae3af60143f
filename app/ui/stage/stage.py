"""The stage: one widget that places everybody's tile itself.

Alone, you fill it and are offered an invitation; two people share it with a floating self view;
more stand in a grid, in pages. Tiles are positioned by `layout`, ordered by `slots`, lit by
`speaking`; a tile holds a video slot only while it is on screen and its person has a camera on.
Banners, toasts and the drop overlay are raised over the tiles and never move them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import ceil
from typing import TYPE_CHECKING

from PySide6.QtCore import QEasingCurve, QPoint, QPropertyAnimation, QRect, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QWidget

from app.engine.events import Person, VideoKind
from app.ui.people.model import Roster
from app.ui.stage.alone_card import HEIGHT_PX as ALONE_HEIGHT_PX
from app.ui.stage.alone_card import AloneCard
from app.ui.stage.frame_clock import FrameClock
from app.ui.stage.layout import COMPACT, ROOMY, Box, arrange, fill, page_capacity, self_view
from app.ui.stage.pager import PageDots, RoundButton
from app.ui.stage.self_view import SelfView
from app.ui.stage.slots import StageSlots
from app.ui.stage.speaking import SpeakingRings
from app.ui.stage.tile import FrameProbe, PaintRecord, VideoTile
from app.ui.theme import Motion, color, duration_ms, theme

if TYPE_CHECKING:
    from app.engine.client import EngineClient

_LEAVER_STAYS_MS = 400
_ANIMATE_BELOW = 17
DOTS_PX = 8


class Stage(QWidget):
    """Shows the people of a `Roster`; call `refresh_people` after it changed.

    `record_of` and `set_probe` let the demo and the benchmarks count what was really painted.
    """

    tileMenuRequested = Signal(str, QPoint)
    inviteRequested = Signal()

    def __init__(
        self,
        engine: EngineClient,
        roster: Roster,
        *,
        mirror_self: bool = True,
        now_s: Callable[[], float] = time.monotonic,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName("stage")
        self.setAccessibleName("Stage")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._engine = engine
        self._roster = roster
        self._mirror_self = mirror_self
        self._now_s = now_s
        self._slots = StageSlots()
        self._rings = SpeakingRings()
        self._tiles: dict[str, VideoTile] = {}
        self._records: dict[str, PaintRecord] = {}
        self._leavers: dict[str, Person] = {}
        self._hands: dict[str, int] = {}
        self._self_view: SelfView | None = None
        self._self_hidden = False
        self._corner_right, self._corner_bottom = True, True
        self._motions: dict[str, QPropertyAnimation] = {}
        self._probe: FrameProbe | None = None
        self._spacing = ROOMY
        self._columns, self._columns_for = 0, 0
        self._page, self._pages = 0, 1
        self._reserved_px = 0
        self._frozen = False
        self._closed = False
        self._shown: tuple[str, ...] = ()
        self._clock = FrameClock(self)
        self._clock.ticked.connect(self._on_tick)
        self._ring_timer = QTimer(self)
        self._ring_timer.setSingleShot(True)
        self._ring_timer.timeout.connect(self._on_ring_deadline)
        self._swap_timer = QTimer(self)
        self._swap_timer.setInterval(500)
        self._swap_timer.timeout.connect(self._on_swap_check)
        self._alone = AloneCard(self)
        self._alone.inviteRequested.connect(self.inviteRequested)
        self._alone.hide()
        self._self_back = RoundButton("user-circle", "Show my picture", self)
        self._self_back.setObjectName("selfViewShow")
        self._self_back.clicked.connect(self._on_self_back)
        self._self_back.hide()
        self._prev = RoundButton("caret-left", "Previous page", self)
        self._prev.setObjectName("pagePrev")
        self._prev.clicked.connect(lambda: self.turn_page(-1))
        self._next = RoundButton("caret-right", "Next page", self)
        self._next.setObjectName("pageNext")
        self._next.clicked.connect(lambda: self.turn_page(1))
        self._dots = PageDots(self)
        self._dots.pageChosen.connect(lambda page: self.turn_page(page - self._page))
        for widget in (self._prev, self._next, self._dots):
            widget.hide()
        theme.changed.connect(self.update)

    # -- people -----------------------------------------------------------------------------

    def refresh_people(self) -> None:
        """Follow the roster: newcomers get a tile, changes are shown, leavers fade out."""
        here = {person.identity: person for person in self._roster.people}
        for identity in [i for i in self._leavers if i in here]:
            del self._leavers[identity]
        for identity, tile in self._tiles.items():
            gone = identity not in here and identity not in self._leavers
            if gone and self.isVisible() and tile.isVisible():
                self._leavers[identity] = tile.person
                self._rings.forget(identity)
                QTimer.singleShot(
                    _LEAVER_STAYS_MS, self, lambda leaver=identity: self._on_leaver_gone(leaver)
                )
        for identity, person in here.items():
            if identity in self._tiles:
                self._tiles[identity].set_person(person)
        me = self._roster.me
        if me is not None and self._self_view is not None:
            self._self_view.set_person(me)
        self._slots.handle_people([*self._roster.people, *self._leavers.values()])
        self._show_speaking()
        self._relayout(animate=True)

    def set_hands(self, places: dict[str, int]) -> None:
        """Show whose hand is up, with the place in the queue."""
        self._hands = places
        for identity, tile in self._tiles.items():
            tile.set_hand(places.get(identity, 0))
        if self._self_view is not None:
            self._self_view.set_hand(places.get(self._self_view.person.identity, 0))
        if self._slots.set_hands(sorted(places, key=lambda identity: places[identity])):
            self._relayout(animate=True)

    def place_of(self, identity: str) -> QRect | None:
        """Where somebody is seen, the floating self view included; None off the page."""
        view = self._self_view
        if view is not None and view.isVisible() and view.person.identity == identity:
            return view.geometry()
        tile = self._tiles.get(identity)
        return tile.geometry() if tile is not None and tile.isVisible() else None

    def _on_leaver_gone(self, identity: str) -> None:
        if self._leavers.pop(identity, None) is None:
            return
        self._slots.handle_people([*self._roster.people, *self._leavers.values()])
        self._relayout(animate=True)

    def _person(self, identity: str) -> Person | None:
        return self._roster.get(identity) or self._leavers.get(identity)

    def handle_speakers(self, speakers: Sequence[tuple[str, float]]) -> None:
        """Take the list of everybody who speaks now."""
        now_s = self._now_s()
        identities = [identity for identity, _ in speakers]
        levels = dict(speakers)
        for identity, tile in self._tiles.items():
            if tile.face is not None:
                tile.face.set_level("speaking", levels.get(identity, 0.0))
        self._rings.handle_speakers(identities, now_s)
        self._slots.handle_speakers(identities, now_s)
        self._show_speaking()
        self._arm_ring_timer()
        if identities and self._pages > 1:
            self._swap_timer.start()
        elif not identities:
            self._swap_timer.stop()

    def _on_ring_deadline(self) -> None:
        self._rings.handle_deadline(self._now_s())
        self._show_speaking()
        self._arm_ring_timer()

    def _arm_ring_timer(self) -> None:
        deadline_s = self._rings.deadline_s
        if deadline_s is None:
            self._ring_timer.stop()
        else:
            self._ring_timer.start(max(1, ceil((deadline_s - self._now_s()) * 1000)))

    def _on_swap_check(self) -> None:
        if self._slots.swap_in_speaker(self._capacity(), self._now_s()):
            self._relayout(animate=False)

    def _show_speaking(self) -> None:
        lit = self._rings.lit
        # With one other person it is plain who speaks; a ring would only flicker.
        ring = len(self._roster.others) > 1
        for identity, tile in self._tiles.items():
            tile.set_speaking(identity in lit, ring=ring)
        if self._self_view is not None:
            self._self_view.set_speaking(self._self_view.person.identity in lit, ring=False)

    @property
    def speaking(self) -> frozenset[str]:
        """The people whose tiles say that they speak."""
        return self._rings.lit

    def toggle_pin(self, identity: str) -> None:
        """Hold a person's place right after yours, or let it go."""
        self._slots.toggle_pin(identity)
        for one, tile in self._tiles.items():
            tile.set_pinned(one in self._slots.pinned)
        self._relayout(animate=True)

    def is_pinned(self, identity: str) -> bool:
        """Whether the place is held."""
        return identity in self._slots.pinned

    # -- modes ------------------------------------------------------------------------------

    def set_compact(self, compact: bool) -> None:
        """Narrow windows have smaller gaps and smaller smallest tiles."""
        spacing = COMPACT if compact else ROOMY
        if spacing is not self._spacing:
            self._spacing = spacing
            self._relayout()

    @property
    def room_px(self) -> int:
        """How much of the height is for tiles."""
        return self.height() - self._reserved_px

    def set_reserved(self, height_px: int) -> None:
        """Leave so much free at the lower edge: tiles move up."""
        if height_px != self._reserved_px:
            self._reserved_px = height_px
            self._relayout(animate=True)

    def set_my_level(self, level: float) -> None:
        """How loud you speak: an agent that listens shows it."""
        for tile in self._tiles.values():
            if tile.face is not None:
                tile.face.set_level("listening", level)

    def set_frozen(self, frozen: bool) -> None:
        """The connection is gone: keep the last pictures, without colour."""
        self._frozen = frozen
        if frozen:
            self._rings.clear()
            self._show_speaking()
        for tile in self._all_tiles():
            tile.set_frozen(frozen)

    def set_mirror_self(self, mirror: bool) -> None:
        """Show one's own picture as a mirror does, or as others see it."""
        self._mirror_self = mirror

    # -- what was painted -------------------------------------------------------------------

    def set_probe(self, probe: FrameProbe | None) -> None:
        """Read a counter out of every painted frame (demo, benchmarks)."""
        self._probe = probe
        for tile in self._all_tiles():
            tile.probe = probe

    def record_of(self, identity: str) -> PaintRecord:
        """What has been painted of this person since they joined, over all tiles."""
        return self._records.setdefault(identity, PaintRecord())

    def tile(self, identity: str) -> VideoTile | None:
        """The tile of somebody on the page now."""
        return self._tiles.get(identity)

    def tile_at(self, at: QPoint) -> VideoTile | None:
        """The tile of somebody else under a point of the stage."""
        for tile in self._tiles.values():
            if tile.isVisible() and not tile.person.is_me and tile.geometry().contains(at):
                return tile
        return None

    @property
    def shown(self) -> tuple[str, ...]:
        """The people on the page now, in slot order."""
        return self._shown

    @property
    def pages(self) -> tuple[int, int]:
        """The current page, counted from 0, and how many there are."""
        return self._page, self._pages

    def turn_page(self, by: int) -> None:
        """Go to another page; past the ends nothing happens."""
        page = min(max(0, self._page + by), self._pages - 1)
        if page != self._page:
            self._page = page
            self._relayout()

    def close_slots(self) -> None:
        """Give every video slot back, for good; the page is going away."""
        self._closed = True
        for tile in self._all_tiles():
            self._release(tile)
        self._ring_timer.stop()
        self._swap_timer.stop()

    # -- layout -----------------------------------------------------------------------------

    def _all_tiles(self) -> list[VideoTile]:
        floating = [self._self_view] if self._self_view is not None else []
        return [*self._tiles.values(), *floating]

    def _capacity(self) -> int:
        capacity = page_capacity(self.width(), self.room_px, self._spacing)
        if len(self._slots.order) > capacity:
            capacity = page_capacity(self.width(), self.room_px - DOTS_PX, self._spacing)
        return capacity

    def _relayout(self, *, animate: bool = False) -> None:
        order = self._slots.order
        if not order or self.width() < 40 or self.room_px < 40:
            return
        me = self._roster.me
        duo = len(order) == 2 and me is not None and not self._leavers
        alone = len(order) == 1 and me is not None
        if duo and me is not None:
            shown = tuple(identity for identity in order if identity != me.identity)
            boxes = [fill(self.width(), self.room_px, self._spacing)]
            self._page, self._pages = 0, 1
        elif alone:
            shown, boxes = order, [self._box_alone()]
            self._page, self._pages = 0, 1
        else:
            shown, boxes = self._grid_page(order)
        self._show_tiles(shown, boxes, animate=animate and len(shown) < _ANIMATE_BELOW)
        self._place_self_view(boxes[0] if duo else None)
        self._place_extras(boxes[0] if alone else None)

    def _box_alone(self) -> Box:
        height = self.room_px - ALONE_HEIGHT_PX - 2 * self._spacing.padding_px
        boxes, _ = arrange(1, self.width(), max(80, height), self._spacing)
        block = boxes[0].height + self._spacing.padding_px + ALONE_HEIGHT_PX
        return boxes[0]._replace(y=max(self._spacing.padding_px, (self.room_px - block) // 2))

    def _grid_page(self, order: tuple[str, ...]) -> tuple[tuple[str, ...], list[Box]]:
        capacity = self._capacity()
        self._pages = max(1, ceil(len(order) / capacity))
        self._page = min(self._page, self._pages - 1)
        shown = order[self._page * capacity : (self._page + 1) * capacity]
        keep = self._columns if self._columns_for == len(shown) else 0
        height = self.room_px - (DOTS_PX if self._pages > 1 else 0)
        boxes, self._columns = arrange(
            len(shown), self.width(), height, self._spacing, keep_columns=keep
        )
        self._columns_for = len(shown)
        return shown, boxes

    def _show_tiles(self, shown: tuple[str, ...], boxes: Sequence[Box], *, animate: bool) -> None:
        self._shown = shown
        for identity in [i for i in self._tiles if i not in shown]:
            self._remove_tile(identity)
        before: QWidget = self
        for identity, box in zip(shown, boxes, strict=True):
            person = self._person(identity)
            if person is None:
                continue
            tile = self._tiles.get(identity)
            is_new = tile is None
            if tile is None:
                tile = self._make_tile(person)
            self._move(tile, QRect(*box), animate=animate and not is_new)
            tile.show()
            self._serve(tile)
            if before is not self:
                QWidget.setTabOrder(before, tile)
            before = tile

    def _make_tile(self, person: Person) -> VideoTile:
        tile = VideoTile(person, record=self.record_of(person.identity), parent=self)
        tile.probe = self._probe
        tile.set_pinned(person.identity in self._slots.pinned)
        ring = len(self._roster.others) > 1
        tile.set_speaking(person.identity in self._rings.lit, ring=ring)
        tile.set_frozen(self._frozen)
        tile.set_hand(self._hands.get(person.identity, 0))
        tile.pinRequested.connect(self.toggle_pin)
        tile.menuRequested.connect(self.tileMenuRequested)
        self._tiles[person.identity] = tile
        # Under banners, toasts and overlays, which are siblings.
        tile.lower()
        return tile

    def _remove_tile(self, identity: str) -> None:
        motion = self._motions.pop(identity, None)
        if motion is not None:
            motion.stop()
        tile = self._tiles.pop(identity)
        self._release(tile)
        tile.hide()
        tile.deleteLater()

    def _move(self, tile: VideoTile, to: QRect, *, animate: bool) -> None:
        identity = tile.person.identity
        running = self._motions.pop(identity, None)
        if running is not None:
            running.stop()
        wait_ms = duration_ms(Motion.TILE)
        if not animate or wait_ms == 0 or not tile.isVisible() or tile.geometry() == to:
            tile.setGeometry(to)
            return
        motion = QPropertyAnimation(tile, b"geometry", self)
        motion.setDuration(wait_ms)
        motion.setEasingCurve(QEasingCurve.Type.OutCubic)
        motion.setEndValue(to)
        motion.finished.connect(lambda: self._motions.pop(identity, None))
        self._motions[identity] = motion
        motion.start(QPropertyAnimation.DeletionPolicy.DeleteWhenStopped)

    def _place_self_view(self, inside: Box | None) -> None:
        me = self._roster.me
        if inside is None or me is None:
            if self._self_view is not None:
                self._release(self._self_view)
                self._self_view.hide()
            self._self_back.hide()
            return
        if self._self_view is None:
            view = SelfView(me, self.record_of(me.identity), self)
            view.probe = self._probe
            view.set_hand(self._hands.get(me.identity, 0))
            view.dropped.connect(self._on_self_dropped)
            view.hideRequested.connect(self._on_self_hidden)
            self._self_view = view
        view = self._self_view
        box = self_view(inside, right=self._corner_right, bottom=self._corner_bottom)
        view.setGeometry(QRect(*box))
        view.setVisible(not self._self_hidden)
        self._self_back.setVisible(self._self_hidden)
        self._self_back.move(
            box.x + (box.width - 32 if self._corner_right else 0),
            box.y + (box.height - 32 if self._corner_bottom else 0),
        )
        view.set_speaking(me.identity in self._rings.lit, ring=False)
        if self._self_hidden:
            self._release(view)
        else:
            self._serve(view)
        for tile in self._tiles.values():
            view.stackUnder(self._prev)
            tile.stackUnder(view)

    def _on_self_dropped(self, middle: QPoint) -> None:
        self._corner_right = middle.x() > self.width() / 2
        self._corner_bottom = middle.y() > self.height() / 2
        self._relayout()

    def _on_self_hidden(self) -> None:
        self._self_hidden = True
        self._relayout()

    def _on_self_back(self) -> None:
        self._self_hidden = False
        self._relayout()

    def _place_extras(self, alone: Box | None) -> None:
        focused = self.window().focusWidget()
        if alone is None and focused is not None and self._alone.isAncestorOf(focused):
            # Qt would give the keyboard to the next in line: the microphone's arrow.
            self.setFocus(Qt.FocusReason.OtherFocusReason)
        self._alone.setVisible(alone is not None)
        if alone is not None:
            width = min(420, self.width() - 2 * self._spacing.padding_px)
            top = alone.y + alone.height + self._spacing.padding_px
            self._alone.setGeometry((self.width() - width) // 2, top, width, ALONE_HEIGHT_PX)
        many = self._pages > 1
        self._prev.setVisible(many and self._page > 0)
        self._next.setVisible(many and self._page < self._pages - 1)
        self._dots.setVisible(many)
        if many:
            middle = (self.room_px - 32) // 2
            self._prev.move(6, middle)
            self._next.move(self.width() - 38, middle)
            self._dots.set_pages(self._page, self._pages)
            self._dots.move((self.width() - self._dots.width()) // 2, self.room_px - 16)

    # -- slots ------------------------------------------------------------------------------

    def _serve(self, tile: VideoTile) -> None:
        """Give the tile a slot while its person shows a picture, take it back otherwise."""
        person = tile.person
        wanted = person.camera_on and person.identity not in self._leavers and not self._closed
        if wanted and tile.slot is None:
            identity = "" if person.is_me else person.identity
            slot = self._engine.tile_slot(identity, VideoKind.CAMERA, self._clock.ring)
            tile.attach_slot(slot, mirrored=person.is_me and self._mirror_self)
            tile.take_frame()
        elif not wanted:
            self._release(tile)

    def _release(self, tile: VideoTile) -> None:
        slot = tile.detach_slot()
        if slot is not None:
            self._engine.release_slot(slot)

    def _on_tick(self) -> None:
        for tile in self._tiles.values():
            tile.take_frame()
        if self._self_view is not None and self._self_view.isVisible():
            self._self_view.take_frame()

    # -- Qt ---------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint what lies behind the tiles."""
        QPainter(self).fillRect(event.rect(), color("stage"))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Place everything anew."""
        super().resizeEvent(event)
        self._relayout()

    def showEvent(self, event: QShowEvent) -> None:
        """Learn the screen's refresh rate."""
        super().showEvent(event)
        screen = self.screen()
        if screen is not None:
            self._clock.set_refresh_rate(screen.refreshRate())
        self._relayout()

    @property
    def first_control(self) -> QWidget:
        """Where the keyboard enters: the first tile, which shows that it has the focus."""
        return self._tiles.get(self._shown[0], self) if self._shown else self

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move among tiles, Page Up and Down among pages."""
        steps = {
            Qt.Key.Key_Left: -1,
            Qt.Key.Key_Right: 1,
            Qt.Key.Key_Up: -max(1, self._columns),
            Qt.Key.Key_Down: max(1, self._columns),
        }
        key = Qt.Key(event.key())
        if key in (Qt.Key.Key_PageUp, Qt.Key.Key_PageDown):
            self.turn_page(-1 if key == Qt.Key.Key_PageUp else 1)
        elif key in steps and self._shown:
            self._focus_by(steps[key])
        else:
            event.ignore()

    def _focus_by(self, step: int) -> None:
        focused = self.focusWidget()
        order = list(self._shown)
        if isinstance(focused, VideoTile) and focused.person.identity in order:
            at = order.index(focused.person.identity) + step
            if not 0 <= at < len(order):
                return
        else:
            at = 0
        tile = self._tiles.get(order[at])
        if tile is not None:
            tile.setFocus(Qt.FocusReason.TabFocusReason)
