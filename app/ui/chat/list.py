"""The list of messages: a model over `ChatLog`, and a delegate that paints rows.

A row is laid out once per width with a `QTextLayout` and its height is cached; painting and
hit-testing of links use the same layout. Text is always plain: nothing a person writes is
ever read as markup.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from PySide6.QtCore import (
    QAbstractItemModel,
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QMouseEvent,
    QPainter,
    QTextCharFormat,
    QTextLayout,
    QTextOption,
)
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem, QWidget

from app.engine.events import Event
from app.ui.chat.model import (
    Change,
    ChatLog,
    ChatRow,
    Link,
    clock_label,
    day_label,
    find_links,
)
from app.ui.theme import TYPE, TypeStyle, color, font_of, paint_avatar, theme

AnyIndex = QModelIndex | QPersistentModelIndex

_SIDE_PX = 16
_AVATAR_PX = 30
_TEXT_LEFT_PX = _SIDE_PX + _AVATAR_PX + 10
_DAY_HEIGHT_PX = 36
_HEAD_HEIGHT_PX = 19
_GROUP_GAP_PX = 10
_LINE_PX = TYPE[TypeStyle.LABEL][1] + 1
_CACHED_LAYOUTS = 300


class ChatModel(QAbstractListModel):
    """The rows of the log for a view; role `RowRole` gives a `ChatRow`."""

    RowRole = int(Qt.ItemDataRole.UserRole) + 1

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._log = ChatLog()
        # What the views know; the log is one row ahead while they are being told.
        self._count = 0

    def rowCount(self, parent: AnyIndex | None = None) -> int:
        """How many messages there are."""
        return 0 if parent is not None and parent.isValid() else self._count

    def data(self, index: AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """A row, or the sentence a screen reader says for it."""
        if not index.isValid():
            return None
        row = self._log.rows[index.row()]
        if role == self.RowRole:
            return row
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            who = "You" if row.is_mine else row.name
            state = ", not sent" if row.failed is not None else ""
            return f"{who}, {clock_label(row.at_ms)}{state}: {row.text}"
        return None

    def row(self, number: int) -> ChatRow:
        """One message by its place."""
        return self._log.rows[number]

    def handle(self, event: Event) -> Change | None:
        """Apply an event and tell the views."""
        change = self._log.handle(event)
        if change is None:
            return None
        if change.inserted:
            self.beginInsertRows(QModelIndex(), self._count, self._count)
            self._count += 1
            self.endInsertRows()
        else:
            index = self.index(change.first)
            self.dataChanged.emit(index, index)
        return change


@dataclass(slots=True)
class _Laid:
    """A message's text, laid out for one width."""

    layout: QTextLayout
    height_px: float
    links: list[Link]


class ChatDelegate(QStyledItemDelegate):
    """Paints messages; `linkActivated` carries the address that was pressed."""

    linkActivated = Signal(str)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._laid: OrderedDict[tuple[object, ...], _Laid] = OrderedDict()
        theme.changed.connect(self._forget)

    def _forget(self) -> None:
        # The colour of links is part of a layout.
        self._laid.clear()

    def sizeHint(self, option: QStyleOptionViewItem, index: AnyIndex) -> QSize:
        """Height of a row at the view's width."""
        row = _row_of(index)
        width = self._width(option)
        height = self._lay_out(row, width).height_px + _top_px(row) + 3
        if row.failed is not None:
            height += 18
        if _is_last(index):
            height += 8
        return QSize(width, round(height))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: AnyIndex) -> None:
        """Paint day line, avatar, head and text."""
        row = _row_of(index)
        box: QRect = option.rect
        width = self._width(option)
        painter.save()
        painter.translate(box.topLeft())
        y = 0.0
        if row.starts_day:
            _paint_day(painter, width, day_label(row.at_ms, int(time.time() * 1000)))
            y += _DAY_HEIGHT_PX
        if row.starts_group:
            y += _GROUP_GAP_PX if not row.starts_day else 2
            disc = QRectF(_SIDE_PX, y + 1, _AVATAR_PX, _AVATAR_PX)
            paint_avatar(painter, disc, row.identity, row.name)
            _paint_head(painter, row, y, width)
            y += _HEAD_HEIGHT_PX
        laid = self._lay_out(row, width)
        painter.setPen(color("text1" if row.failed is None else "text3"))
        laid.layout.draw(painter, QPointF(_TEXT_LEFT_PX, y))
        if row.failed is not None:
            painter.setFont(font_of(TypeStyle.CAPTION))
            painter.setPen(color("danger_text"))
            bottom = QRectF(_TEXT_LEFT_PX, y + laid.height_px, width - _TEXT_LEFT_PX, 18)
            painter.drawText(bottom, Qt.AlignmentFlag.AlignVCenter, "Not sent")
        painter.restore()

    def editorEvent(
        self,
        event: QEvent,
        model: QAbstractItemModel,
        option: QStyleOptionViewItem,
        index: AnyIndex,
    ) -> bool:
        """Open a link that is pressed."""
        if event.type() == QEvent.Type.MouseButtonRelease and isinstance(event, QMouseEvent):
            url = self.link_at(option, index, event.position())
            if url and event.button() == Qt.MouseButton.LeftButton:
                self.linkActivated.emit(url)
                return True
        return super().editorEvent(event, model, option, index)

    def link_at(self, option: QStyleOptionViewItem, index: AnyIndex, at: QPointF) -> str:
        """The address under a point of the view, or nothing."""
        row = _row_of(index)
        box: QRect = option.rect
        laid = self._lay_out(row, self._width(option))
        x = at.x() - box.x() - _TEXT_LEFT_PX
        y = at.y() - box.y() - _top_px(row)
        for number in range(laid.layout.lineCount()):
            line = laid.layout.lineAt(number)
            if not line.y() <= y < line.y() + max(_LINE_PX, line.height()):
                continue
            if not 0 <= x <= line.naturalTextWidth():
                return ""
            position = _first(line.xToCursor(x))
            utf16 = _utf16_offsets(row.text)
            for link in laid.links:
                if utf16[link.start] <= position < utf16[link.end]:
                    return link.url
        return ""

    def _width(self, option: QStyleOptionViewItem) -> int:
        view = self.parent()
        if isinstance(view, QWidget):
            viewport = getattr(view, "viewport", lambda: view)()
            return max(120, int(viewport.width()))
        return max(120, int(option.rect.width()))

    def _lay_out(self, row: ChatRow, width_px: int) -> _Laid:
        key = (row.identity, row.id, row.text, width_px, row.failed is None)
        laid = self._laid.get(key)
        if laid is not None:
            self._laid.move_to_end(key)
            return laid
        laid = _lay_out(row.text, width_px - _TEXT_LEFT_PX - _SIDE_PX)
        self._laid[key] = laid
        if len(self._laid) > _CACHED_LAYOUTS:
            self._laid.popitem(last=False)
        return laid


def _row_of(index: AnyIndex) -> ChatRow:
    row = index.data(ChatModel.RowRole)
    assert isinstance(row, ChatRow)
    return row


def _is_last(index: AnyIndex) -> bool:
    return index.row() == index.model().rowCount() - 1


def _top_px(row: ChatRow) -> int:
    top = _DAY_HEIGHT_PX if row.starts_day else 0
    if row.starts_group:
        top += _HEAD_HEIGHT_PX + (2 if row.starts_day else _GROUP_GAP_PX)
    return top


def _first(value: object) -> int:
    # PySide6 returns what C++ writes through a pointer as a tuple; the stubs say int.
    first = value[0] if isinstance(value, tuple) else value
    assert isinstance(first, int)
    return first


def _utf16_offsets(text: str) -> list[int]:
    """Qt counts UTF-16 units, Python code points: where each code point begins, and the end."""
    offsets, at = [], 0
    for char in text:
        offsets.append(at)
        at += 2 if ord(char) > 0xFFFF else 1
    offsets.append(at)
    return offsets


def _lay_out(text: str, width_px: float) -> _Laid:
    layout = QTextLayout(text.replace("\n", "\u2028"), font_of(TypeStyle.LABEL, weight=400))
    option = QTextOption()
    option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    layout.setTextOption(option)
    links = find_links(text)
    if links:
        utf16 = _utf16_offsets(text)
        ranges = []
        for link in links:
            style = QTextCharFormat()
            style.setForeground(color("accent_text"))
            style.setFontUnderline(True)
            span = QTextLayout.FormatRange()
            span.start = utf16[link.start]
            span.length = utf16[link.end] - utf16[link.start]
            span.format = style
            ranges.append(span)
        layout.setFormats(ranges)
    layout.beginLayout()
    y = 0.0
    while True:
        line = layout.createLine()
        if not line.isValid():
            break
        line.setLineWidth(width_px)
        line.setPosition(QPointF(0, y))
        y += max(_LINE_PX, line.height())
    layout.endLayout()
    return _Laid(layout, y, links)


def _paint_day(painter: QPainter, width_px: int, text: str) -> None:
    painter.setFont(font_of(TypeStyle.MICRO))
    word = QFontMetricsF(painter.font()).horizontalAdvance(text)
    middle = _DAY_HEIGHT_PX / 2
    line = QColor(color("border"))
    half = (width_px - word) / 2 - 10
    painter.fillRect(QRectF(_SIDE_PX, middle, max(0.0, half - _SIDE_PX), 1), line)
    painter.fillRect(QRectF(width_px - half, middle, max(0.0, half - _SIDE_PX), 1), line)
    painter.setPen(color("text2"))
    painter.drawText(QRectF(0, 0, width_px, _DAY_HEIGHT_PX), Qt.AlignmentFlag.AlignCenter, text)


def _paint_head(painter: QPainter, row: ChatRow, y: float, width_px: int) -> None:
    font, small = font_of(TypeStyle.LABEL_STRONG), font_of(TypeStyle.MICRO, tabular=True)
    metrics = QFontMetricsF(font)
    clock = clock_label(row.at_ms) + (" · edited" if row.edited else "")
    clock_px = QFontMetricsF(small).horizontalAdvance(clock)
    room = width_px - _TEXT_LEFT_PX - _SIDE_PX - clock_px - 8
    name = "You" if row.is_mine else row.name
    name = metrics.elidedText(name, Qt.TextElideMode.ElideRight, room)
    painter.setFont(font)
    painter.setPen(color("text1"))
    box = QRectF(_TEXT_LEFT_PX, y, width_px, 18)
    painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, name)
    painter.setFont(small)
    painter.setPen(color("text3"))
    box.translate(metrics.horizontalAdvance(name) + 8, 0.5)
    painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, clock)
