"""The list of messages: a model over `ChatLog`, a delegate that lays rows out, and the view.

A view asks for the height of every row whenever one changes, so heights are kept per row and
width, and asking costs a look into a dictionary. The laid-out text of the rows that were on
screen lately is kept too. Few messages stand at the bottom of the view, not at its top.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import replace

from PySide6.QtCore import (
    QAbstractItemModel,
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QPointF,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QContextMenuEvent,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
)

from app.engine.events import AttachmentState, ChatAttachment, Event
from app.ui.chat.model import Change, ChatLog, ChatRow, Key, day_label, spoken
from app.ui.chat.previews import Previews
from app.ui.chat.row_layout import PICTURE_PX, Hit, RowLayout, Target, lay_out, paint_row
from app.ui.theme import Radius, color, stroke_rounded, theme

AnyIndex = QModelIndex | QPersistentModelIndex
Anchor = tuple[Key, int]

WINDOW_ROWS = 100
_CACHED_LAYOUTS = 300
_BOTTOM_PX = 6
_NARROW_PX = 120


class ChatModel(QAbstractListModel):
    """The newest rows of the log for a view; role `RowRole` gives a `ChatRow`.

    A view lays out every row of its model whenever one changes, so the model holds `WINDOW_ROWS`
    of them, and more once somebody scrolls up to where they end.
    """

    RowRole = int(Qt.ItemDataRole.UserRole) + 1

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.log = ChatLog()
        # What the views know: the log is ahead while they are being told.
        self._start = 0
        self._count = 0

    def rowCount(self, parent: AnyIndex | None = None) -> int:
        """How many messages the view has."""
        return 0 if parent is not None and parent.isValid() else self._count

    def data(self, index: AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """A row, or the sentence a screen reader says for it."""
        if not index.isValid() or self._start + index.row() >= len(self.log.rows):
            return None
        row = self.row(index.row())
        if role == self.RowRole:
            return row
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return spoken(row)
        return None

    def row(self, number: int) -> ChatRow:
        """One message by its place in the view."""
        return self.log.rows[self._start + number]

    def number_of(self, key: Key) -> int:
        """The place of a message in the view, negative when it is not there."""
        place = self.log.place_of(key)
        return place - self._start if place >= 0 else -1

    def handle(self, event: Event) -> Change | None:
        """Apply an event and tell the views; the change counts as they do."""
        change = self.log.handle(event)
        if change is None:
            return None
        if change.removed:
            self._drop(change.removed)
        first = change.first - self._start
        if change.is_old and first <= 0:
            # They end where the view begins: show as many as a view has.
            self._start += change.count
            self.extend(max(0, WINDOW_ROWS - self._count))
        elif change.inserted:
            self.beginInsertRows(QModelIndex(), first, first + change.count - 1)
            self._count += change.count
            self.endInsertRows()
        elif first >= 0:
            self._tell_changed(first)
        if change.regrouped >= self._start:
            self._tell_changed(change.regrouped - self._start)
        return replace(change, first=first)

    def _tell_changed(self, number: int) -> None:
        index = self.index(number)
        self.dataChanged.emit(index, index)

    def _drop(self, count: int) -> None:
        """The log forgot its oldest rows."""
        visible = max(0, count - self._start)
        self._start = max(0, self._start - count)
        if visible:
            self.beginRemoveRows(QModelIndex(), 0, visible - 1)
            self._count -= visible
            self.endRemoveRows()

    def extend(self, count: int) -> bool:
        """Show so many older rows too; False when there are none."""
        count = min(count, self._start)
        if count <= 0:
            return False
        self.beginInsertRows(QModelIndex(), 0, count - 1)
        self._start -= count
        self._count += count
        self.endInsertRows()
        return True

    def shrink(self) -> None:
        """Show no more rows than a view needs."""
        count = self._count - WINDOW_ROWS
        if count > 0:
            self.beginRemoveRows(QModelIndex(), 0, count - 1)
            self._start += count
            self._count -= count
            self.endRemoveRows()

    def reveal(self, key: Key) -> int:
        """Have a message in the view; returns its place, -1 when it is gone."""
        if self.log.place_of(key) < 0:
            return -1
        missing = -self.number_of(key)
        if missing > 0:
            self.extend(missing + 20)
        return self.number_of(key)


class ChatDelegate(QStyledItemDelegate):
    """Lays messages out and paints them; `pressed` carries the row and what was hit in it."""

    pressed = Signal(object, object)

    def __init__(self, view: QListView, model: ChatModel, previews: Previews) -> None:
        super().__init__(view)
        self._view = view
        self._model = model
        self._previews = previews
        self._laid: OrderedDict[Key, RowLayout] = OrderedDict()
        self._heights: dict[Key, tuple[ChatRow, int]] = {}
        self._width_px = 0
        self.offline = False
        theme.changed.connect(self.forget)

    def forget(self) -> None:
        """Lay everything out anew: the theme or something else that all rows share changed."""
        self._laid.clear()
        self._heights.clear()

    def forget_picture(self, path: str) -> None:
        """The size of a picture became known."""
        for row in self._model.log.rows:
            if any(str(one.path) == path for one in row.attachments):
                self._laid.pop(row.key, None)
                self._heights.pop(row.key, None)

    def sizeHint(self, option: QStyleOptionViewItem, index: AnyIndex) -> QSize:
        """Height of a row at the view's width; hot: asked for every row at every change."""
        del option
        return QSize(_NARROW_PX, self.height_of(index.row()))

    def height_of(self, number: int) -> int:
        """Height of a row by its number."""
        row = self._model.row(number)
        key = (row.identity, row.id)
        known = self._heights.get(key)
        if known is not None and known[0] is row:
            return known[1]
        height = round(self.laid(number).height_px)
        self._heights[key] = (row, height)
        return height

    def laid(self, number: int) -> RowLayout:
        """A row's layout at the view's width."""
        row = self._model.row(number)
        key = row.key
        width_px = self._width_px or self.set_width()
        laid = self._laid.get(key)
        if laid is not None and laid.row is row and laid.width_px == width_px:
            self._laid.move_to_end(key)
            return laid
        laid = lay_out(
            row,
            width_px,
            day=day_label(row.at_ms, int(time.time() * 1000)) if row.starts_day else "",
            offline=self.offline,
            size_of=self._size_of,
        )
        self._laid[key] = laid
        while len(self._laid) > _CACHED_LAYOUTS:
            self._laid.popitem(last=False)
        return laid

    def set_width(self) -> int:
        """Take over the view's width; returns it.

        The scroll bar lies over the margin: when it comes, no text has to move.
        """
        width_px = max(_NARROW_PX, self._view.width())
        if width_px != self._width_px:
            self._width_px = width_px
            self.forget()
        return width_px

    def _size_of(self, attachment: ChatAttachment) -> QSize | None:
        return self._previews.size_of(attachment.path)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: AnyIndex) -> None:
        """Paint a message, and a ring around the one that has the keyboard."""
        box = QRectF(option.rect)
        painter.save()
        painter.translate(box.topLeft())
        ratio = painter.device().devicePixelRatio()
        paint_row(
            painter,
            self.laid(index.row()),
            lambda attachment: (
                self._previews.picture(attachment.path, round(PICTURE_PX * ratio))
                if attachment.state is AttachmentState.HERE
                else None
            ),
        )
        painter.restore()
        if option.state & QStyle.StateFlag.State_HasFocus:
            ring = box.adjusted(6, 0, -6, 0)
            stroke_rounded(painter, ring, Radius.SMALL, color("accent"), 2)

    def editorEvent(
        self,
        event: QEvent,
        model: QAbstractItemModel,
        option: QStyleOptionViewItem,
        index: AnyIndex,
    ) -> bool:
        """Tell what was pressed."""
        if event.type() == QEvent.Type.MouseButtonRelease and isinstance(event, QMouseEvent):
            hit = self.hit(option, index, event.position())
            if hit is not None and event.button() == Qt.MouseButton.LeftButton:
                self.pressed.emit(self._model.row(index.row()), hit)
                return True
        return super().editorEvent(event, model, option, index)

    def hit(self, option: QStyleOptionViewItem, index: AnyIndex, at: QPointF) -> Hit | None:
        """What lies under a point of the view."""
        return self.laid(index.row()).hit(at - QPointF(option.rect.topLeft()))

    def link_at(self, option: QStyleOptionViewItem, index: AnyIndex, at: QPointF) -> str:
        """The address under a point of the view, or nothing."""
        hit = self.hit(option, index, at)
        return hit.value if hit is not None and hit.target is Target.LINK else ""


class ChatList(QListView):
    """Messages from oldest to newest; keeps its place, or the end when it was there.

    `menuRequested` carries a row and where to open the menu, `copyRequested` and
    `deleteRequested` the row that has the keyboard.
    """

    menuRequested = Signal(object, QPoint)
    copyRequested = Signal(object)
    deleteRequested = Signal(object)
    replyRequested = Signal(object)
    resized = Signal()

    def __init__(self, model: ChatModel, previews: Previews) -> None:
        super().__init__()
        self._messages = model
        self._is_laying_out = False
        self.delegate = ChatDelegate(self, model, previews)
        self.setObjectName("chatList")
        self.setAccessibleName("Messages")
        self.setModel(model)
        self.setItemDelegate(self.delegate)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setMouseTracking(True)
        self.viewport().setMouseTracking(True)
        self._sticks = True
        bar = self.verticalScrollBar()
        bar.setSingleStep(24)
        bar.valueChanged.connect(self._on_scrolled)
        bar.rangeChanged.connect(self._on_range)
        previews.ready.connect(self._on_picture)
        theme.changed.connect(self.lay_out)

    # -- layout -----------------------------------------------------------------------------

    def lay_out(self) -> None:
        """Place every row now, at the bottom when they do not fill the view."""
        self.delegate.set_width()
        # Other margins resize the viewport, which would come back to here.
        self._is_laying_out = True
        self._push_down()
        self._is_laying_out = False
        self.doItemsLayout()
        self.viewport().update()

    def _push_down(self) -> None:
        full, content = self.height() - _BOTTOM_PX, 0
        for number in range(self._messages.rowCount()):
            content += self.delegate.height_of(number)
            if content >= full:
                break
        top = max(0, full - content)
        if self.viewportMargins().top() != top:
            self.setViewportMargins(0, top, 0, _BOTTOM_PX)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width makes other heights; the end stays in sight when it was."""
        super().resizeEvent(event)
        if not self._is_laying_out:
            self.lay_out()
            self.resized.emit()

    def is_at_end(self) -> bool:
        """Whether the newest message is in sight, and the next one will be."""
        return self._sticks

    def scroll_to_end(self) -> None:
        """Show the newest message, and those that follow."""
        self._messages.shrink()
        self.lay_out()
        self._sticks = True
        self._on_range()

    def _on_scrolled(self) -> None:
        bar = self.verticalScrollBar()
        self._sticks = bar.value() >= bar.maximum() - 4
        if bar.value() < self.height() and not self._is_laying_out:
            anchor = self.anchor()
            if anchor is not None and self._messages.extend(WINDOW_ROWS):
                self._lay_out_around(anchor)

    def _on_range(self) -> None:
        # Whatever makes the list longer or the view lower: who was at the end stays there.
        if self._sticks:
            bar = self.verticalScrollBar()
            bar.setValue(bar.maximum())

    def anchor(self) -> Anchor | None:
        """What must not move: the first message in sight, None at the end."""
        return None if self._sticks else self._first_in_sight()

    def handle(self, change: Change, anchor: Anchor | None) -> None:
        """Follow a change of the model; `anchor` was taken before it."""
        if anchor is None and self._messages.rowCount() > 2 * WINDOW_ROWS:
            self._messages.shrink()
            self.lay_out()
            return
        if not change.inserted and change.first < 0:
            return
        if not change.inserted and not self._height_changes(change):
            self.update(self._messages.index(change.first))
            return
        self._lay_out_around(anchor)

    def _lay_out_around(self, anchor: Anchor | None) -> None:
        self.lay_out()
        if anchor is not None:
            self._hold(*anchor)

    def _height_changes(self, change: Change) -> bool:
        index = self._messages.index(change.first)
        return self.visualRect(index).height() != self.delegate.height_of(change.first)

    def _first_in_sight(self) -> Anchor | None:
        index = self.indexAt(QPoint(self.viewport().width() // 2, 1))
        if not index.isValid() or index.row() >= self._messages.rowCount():
            return None
        return self._messages.row(index.row()).key, self.visualRect(index).top()

    def _hold(self, key: Key, top_px: int) -> None:
        place = self._messages.number_of(key)
        if place >= 0:
            moved = self.visualRect(self._messages.index(place)).top() - top_px
            bar = self.verticalScrollBar()
            bar.setValue(bar.value() + moved)

    def _on_picture(self, path: str) -> None:
        anchor = self.anchor()
        self.delegate.forget_picture(path)
        self._lay_out_around(anchor)

    # -- pointer and keys -------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """A hand over what can be pressed."""
        super().mouseMoveEvent(event)
        at = event.position().toPoint()
        index = self.indexAt(at)
        hit = None
        if index.isValid():
            option = QStyleOptionViewItem()
            option.rect = self.visualRect(index)
            hit = self.delegate.hit(option, index, event.position())
        shape = Qt.CursorShape.ArrowCursor if hit is None else Qt.CursorShape.PointingHandCursor
        self.viewport().setCursor(shape)
        tip = hit.value if hit is not None and hit.target is Target.LINK else ""
        self.viewport().setToolTip(tip)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Ask for the menu of the message under the pointer, or of the current one."""
        position = event.pos()
        index = self.indexAt(position)
        if event.reason() is QContextMenuEvent.Reason.Keyboard:
            index = self.currentIndex()
            position = self.visualRect(index).center()
        if index.isValid():
            row = self._messages.row(index.row())
            self.menuRequested.emit(row, self.viewport().mapToGlobal(position))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter answers, Delete deletes, Ctrl+C copies, the menu keys open the menu."""
        index = self.currentIndex()
        if not index.isValid():
            super().keyPressEvent(event)
            return
        row = self._messages.row(index.row())
        key, control = event.key(), event.modifiers() & Qt.KeyboardModifier.ControlModifier
        shifted = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        if key == Qt.Key.Key_Menu or (key == Qt.Key.Key_F10 and shifted):
            at = self.visualRect(index).center()
            self.menuRequested.emit(row, self.viewport().mapToGlobal(at))
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.replyRequested.emit(row)
        elif key == Qt.Key.Key_Delete:
            self.deleteRequested.emit(row)
        elif key == Qt.Key.Key_C and control:
            self.copyRequested.emit(row)
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """The keyboard begins at the newest message."""
        had_one = self.currentIndex().isValid()
        super().focusInEvent(event)
        by_key = event.reason() in (
            Qt.FocusReason.TabFocusReason,
            Qt.FocusReason.BacktabFocusReason,
            Qt.FocusReason.ShortcutFocusReason,
        )
        if by_key and not had_one and self._messages.rowCount():
            self.setCurrentIndex(self._messages.index(self._messages.rowCount() - 1))

    def show_message(self, key: Key) -> None:
        """Bring a message into sight."""
        place = self._messages.reveal(key)
        if place >= 0:
            self.lay_out()
            index = self._messages.index(place)
            self.scrollTo(index, QAbstractItemView.ScrollHint.PositionAtCenter)
            self.setCurrentIndex(index)
