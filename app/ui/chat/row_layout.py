"""Where everything of one message lies, for one width: made once, painted and pressed many times.

Text is always plain: nothing a person writes is ever read as markup. A layout knows nothing of
the list; `y` counts from the row's own top.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from PySide6.QtCore import QPointF, QRectF, QSize, QSizeF, Qt
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QImage,
    QPainter,
    QTextCharFormat,
    QTextLayout,
    QTextOption,
)

from app.engine.events import AttachmentState, ChatAttachment, ChatState
from app.ui.chat.links import Link, find_links
from app.ui.chat.model import ChatRow, clock_label, private_label, told_note
from app.ui.files.model import size_label
from app.ui.theme import (
    TYPE,
    Radius,
    TypeStyle,
    color,
    fill_rounded,
    font_of,
    paint_avatar,
    paint_icon,
    rounded_path,
    stroke_rounded,
)

PICTURE_PX = 252
_MAX_PICTURE_HEIGHT_PX = 320
_MIN_PICTURE_HEIGHT_PX = 40
_UNKNOWN_PICTURE_PX = 142
SIDE_PX = 16
AVATAR_PX = 30
TEXT_LEFT_PX = SIDE_PX + AVATAR_PX + 10
DAY_HEIGHT_PX = 36
HEAD_HEIGHT_PX = 19
GROUP_GAP_PX = 10
QUOTE_PX = 22
NOTE_PX = 18
CHIP_PX = 22
LINE_PX = TYPE[TypeStyle.LABEL][1] + 1
# Room for the ring around the message that has the keyboard: it touches no letter.
_ABOVE_PX, _BELOW_PX = 2, 1

SizeOf = Callable[[ChatAttachment], QSize | None]
PictureOf = Callable[[ChatAttachment], QImage | None]


class Target(StrEnum):
    """What can be pressed in a message."""

    LINK = "link"
    QUOTE = "quote"
    PICTURE = "picture"
    FILE = "file"
    RETRY = "retry"
    REACTION = "reaction"


@dataclass(frozen=True, slots=True)
class Hit:
    """Something under the pointer: an address, the id of an attachment, a glyph, or nothing more.

    `shown` is what stands in the text for a link.
    """

    target: Target
    value: str = ""
    shown: str = ""


@dataclass(slots=True)
class RowLayout:
    """One message, laid out."""

    row: ChatRow
    width_px: int
    day: str = ""
    height_px: float = 0.0
    head_y: float = -1.0
    text_y: float = 0.0
    note_y: float = -1.0
    note: str = ""
    layout: QTextLayout | None = None
    links: list[Link] = field(default_factory=list)
    quote: QRectF | None = None
    pictures: list[tuple[ChatAttachment, QRectF]] = field(default_factory=list)
    labels: list[tuple[ChatAttachment, QRectF]] = field(default_factory=list)
    chips: list[tuple[str, QRectF]] = field(default_factory=list)

    def hit(self, at: QPointF) -> Hit | None:
        """What lies under a point of the row."""
        for attachment, box in [*self.pictures, *self.labels]:
            if box.contains(at):
                is_file = attachment.state is AttachmentState.FILE
                if is_file or attachment.state is AttachmentState.HERE:
                    return Hit(Target.FILE if is_file else Target.PICTURE, attachment.id)
        for glyph, box in self.chips:
            if box.contains(at):
                return Hit(Target.REACTION, glyph)
        if self.quote is not None and self.quote.contains(at):
            return Hit(Target.QUOTE)
        if self.row.failed is not None and self.note_y >= 0:
            box = QRectF(TEXT_LEFT_PX, self.note_y, self.width_px - TEXT_LEFT_PX, NOTE_PX)
            if box.contains(at):
                return Hit(Target.RETRY)
        return self._link_at(at)

    def _link_at(self, at: QPointF) -> Hit | None:
        if self.layout is None or not self.links:
            return None
        x, y = at.x() - TEXT_LEFT_PX, at.y() - self.text_y
        for number in range(self.layout.lineCount()):
            line = self.layout.lineAt(number)
            if not line.y() <= y < line.y() + max(LINE_PX, line.height()):
                continue
            if not 0 <= x <= line.naturalTextWidth():
                return None
            position = _first(line.xToCursor(x))
            utf16 = _utf16_offsets(self.row.text)
            for link in self.links:
                if utf16[link.start] <= position < utf16[link.end]:
                    return Hit(Target.LINK, link.url, self.row.text[link.start : link.end])
        return None


def lay_out(row: ChatRow, width_px: int, *, day: str, offline: bool, size_of: SizeOf) -> RowLayout:
    """Lay one message out."""
    laid = RowLayout(row, width_px, day)
    y = float(_ABOVE_PX)
    if row.starts_day:
        y += DAY_HEIGHT_PX
    if row.starts_group:
        y += 2 if row.starts_day else GROUP_GAP_PX
        laid.head_y = y
        y += HEAD_HEIGHT_PX
    inner_px = float(width_px - TEXT_LEFT_PX - SIDE_PX)
    if row.quote is not None and not row.deleted:
        laid.quote = QRectF(TEXT_LEFT_PX, y + 3, inner_px, QUOTE_PX)
        y += QUOTE_PX + 9
    laid.text_y = y
    laid.layout, laid.links, text_px = _lay_out_text(row, inner_px)
    y += text_px
    y = _place_attachments(laid, y, inner_px, size_of)
    y = _place_chips(laid, y, inner_px)
    laid.note = _note_of(row, offline=offline)
    if laid.note:
        laid.note_y = y
        y += NOTE_PX
    laid.height_px = y + _BELOW_PX
    return laid


def _note_of(row: ChatRow, *, offline: bool) -> str:
    if row.failed is not None:
        return "Not sent"
    return "Waiting for the connection" if offline and row.state is ChatState.SENDING else ""


def _place_attachments(laid: RowLayout, y: float, inner_px: float, size_of: SizeOf) -> float:
    for attachment in laid.row.attachments:
        if attachment.state in (AttachmentState.HERE, AttachmentState.COMING):
            box = _picture_size(size_of(attachment), min(PICTURE_PX, inner_px))
            laid.pictures.append((attachment, QRectF(QPointF(TEXT_LEFT_PX, y + 6), box)))
            y += 6 + box.height() + 3
        else:
            y += 3
        laid.labels.append((attachment, QRectF(TEXT_LEFT_PX, y, inner_px, NOTE_PX)))
        y += NOTE_PX
    return y


def _picture_size(size: QSize | None, width_px: float) -> QSizeF:
    if size is None or size.isEmpty():
        return QSizeF(width_px, _UNKNOWN_PICTURE_PX)
    # A small picture keeps its size; a tall one is cut, not squeezed.
    width = min(width_px, max(48.0, float(size.width())))
    height = width * size.height() / size.width()
    return QSizeF(width, min(_MAX_PICTURE_HEIGHT_PX, max(_MIN_PICTURE_HEIGHT_PX, round(height))))


def _place_chips(laid: RowLayout, y: float, inner_px: float) -> float:
    if not laid.row.reactions:
        return y
    metrics = QFontMetricsF(font_of(TypeStyle.MICRO, tabular=True))
    x, top = float(TEXT_LEFT_PX), y + 4
    for reaction in laid.row.reactions:
        width = 8 + 13 + 5 + metrics.horizontalAdvance(str(len(reaction.names))) + 8
        if x > TEXT_LEFT_PX and x + width > TEXT_LEFT_PX + inner_px:
            x, top = float(TEXT_LEFT_PX), top + CHIP_PX + 4
        laid.chips.append((reaction.glyph, QRectF(x, top, width, CHIP_PX)))
        x += width + 4
    return top + CHIP_PX + 2


def _lay_out_text(row: ChatRow, width_px: float) -> tuple[QTextLayout | None, list[Link], float]:
    text = "Message deleted" if row.deleted else row.text
    if not text and not row.growing:
        return None, [], 0.0
    font = font_of(TypeStyle.NOTE)
    font.setItalic(row.deleted)
    links = [] if row.deleted else find_links(text)
    tail = ""
    if row.growing:
        tail = " ●"
    elif row.broken:
        tail = " … (broke off)"
    elif row.edited and not row.starts_group and not row.deleted:
        tail = "  (edited)"
    layout = QTextLayout((text + tail).replace("\n", "\u2028"), font)
    option = QTextOption()
    option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    layout.setTextOption(option)
    ranges = []
    if links or tail:
        utf16 = _utf16_offsets(text)
        for link in links:
            style = QTextCharFormat()
            style.setForeground(color("accent_text"))
            style.setFontUnderline(True)
            ranges.append(_span(utf16[link.start], utf16[link.end], style))
        if tail:
            style = QTextCharFormat()
            style.setForeground(color("accent" if row.growing else "text3"))
            style.setFont(font_of(TypeStyle.MICRO))
            ranges.append(_span(utf16[-1], utf16[-1] + len(tail), style))
        layout.setFormats(ranges)
    layout.beginLayout()
    y = 0.0
    while True:
        line = layout.createLine()
        if not line.isValid():
            break
        line.setLineWidth(width_px)
        line.setPosition(QPointF(0, y))
        y += max(LINE_PX, line.height())
    layout.endLayout()
    return layout, links, y


def _span(start: int, end: int, style: QTextCharFormat) -> QTextLayout.FormatRange:
    span = QTextLayout.FormatRange()
    span.start, span.length = start, end - start
    span.format = style
    return span


def _first(value: object) -> int:
    # PySide6 returns what C++ writes through a pointer as a tuple; the stubs say int.
    first = value[0] if isinstance(value, tuple) else value
    assert isinstance(first, int)
    return first


def _utf16_offsets(text: str) -> Sequence[int]:
    """Qt counts UTF-16 units, Python code points: where each code point begins, and the end."""
    if not text or max(text) <= "\uffff":
        return range(len(text) + 1)
    offsets, at = [], 0
    for char in text:
        offsets.append(at)
        at += 2 if ord(char) > 0xFFFF else 1
    offsets.append(at)
    return offsets


# -- painting ---------------------------------------------------------------------------------


def paint_row(painter: QPainter, laid: RowLayout, picture_of: PictureOf) -> None:
    """Paint a message with its top at the painter's origin."""
    row = laid.row
    if row.starts_day:
        _paint_day(painter, laid.width_px, laid.day)
    if laid.head_y >= 0:
        disc = QRectF(SIDE_PX, laid.head_y + 1, AVATAR_PX, AVATAR_PX)
        paint_avatar(painter, disc, row.name)
        _paint_head(painter, laid)
    if laid.quote is not None:
        _paint_quote(painter, laid)
    if laid.layout is not None:
        faint = row.failed is not None or row.deleted or row.state is ChatState.SENDING
        painter.setPen(color("text3" if faint else "text1"))
        laid.layout.draw(painter, QPointF(TEXT_LEFT_PX, laid.text_y))
    for attachment, box in laid.pictures:
        _paint_picture(painter, box, attachment, picture_of(attachment))
    for attachment, box in laid.labels:
        _paint_label(painter, box, attachment)
    for glyph, box in laid.chips:
        _paint_chip(painter, laid, glyph, box)
    if laid.note:
        _paint_note(painter, laid)


def _paint_day(painter: QPainter, width_px: int, text: str) -> None:
    painter.setFont(font_of(TypeStyle.MICRO))
    word = QFontMetricsF(painter.font()).horizontalAdvance(text)
    middle = DAY_HEIGHT_PX / 2
    line = QColor(color("border"))
    half = (width_px - word) / 2 - 10
    painter.fillRect(QRectF(SIDE_PX, middle, max(0.0, half - SIDE_PX), 1), line)
    painter.fillRect(QRectF(width_px - half, middle, max(0.0, half - SIDE_PX), 1), line)
    painter.setPen(color("text2"))
    painter.drawText(QRectF(0, 0, width_px, DAY_HEIGHT_PX), Qt.AlignmentFlag.AlignCenter, text)


def _paint_head(painter: QPainter, laid: RowLayout) -> None:
    row, y = laid.row, laid.head_y
    font, small = font_of(TypeStyle.LABEL_STRONG), font_of(TypeStyle.MICRO, tabular=True)
    metrics, small_metrics = QFontMetricsF(font), QFontMetricsF(small)
    clock = clock_label(row.at_ms) + (" · edited" if row.edited and not row.deleted else "")
    if row.told_by:
        most_px = (laid.width_px - TEXT_LEFT_PX - SIDE_PX) / 2
        clock = small_metrics.elidedText(
            f"{clock} · {told_note(row)}", Qt.TextElideMode.ElideRight, most_px
        )
    clock_px = small_metrics.horizontalAdvance(clock)
    room = laid.width_px - TEXT_LEFT_PX - SIDE_PX - clock_px - 8
    badge, badge_px = private_label(row), 0.0
    if badge:
        room_for_badge = max(40.0, room - 8 - min(80.0, metrics.horizontalAdvance(row.author)))
        badge = small_metrics.elidedText(badge, Qt.TextElideMode.ElideRight, room_for_badge - 34)
        badge_px = 26 + small_metrics.horizontalAdvance(badge) + 8
    name = metrics.elidedText(
        row.author, Qt.TextElideMode.ElideRight, room - (badge_px + 8 if badge else 0)
    )
    painter.setFont(font)
    painter.setPen(color("text1"))
    box = QRectF(TEXT_LEFT_PX, y, laid.width_px, 18)
    painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, name)
    box.translate(metrics.horizontalAdvance(name) + 8, 0.5)
    painter.setFont(small)
    if badge:
        pill = QRectF(box.left(), y, badge_px, 18)
        fill_rounded(painter, pill, 9, color("agent_soft"))
        paint_icon(
            painter, QRectF(pill.left() + 8, y + 3, 12, 12), "lock-simple-fill", color("agent")
        )
        painter.setPen(color("agent"))
        painter.drawText(pill.adjusted(26, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, badge)
        box.translate(badge_px + 8, 0)
    painter.setPen(color("text3"))
    painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, clock)


def _paint_quote(painter: QPainter, laid: RowLayout) -> None:
    box, quote = laid.quote, laid.row.quote
    assert box is not None
    assert quote is not None
    painter.save()
    painter.setClipPath(rounded_path(box.adjusted(-6, 0, 0, 0), 6))
    painter.fillRect(box, color("surface2"))
    painter.fillRect(QRectF(box.left(), box.top(), 3, box.height()), color("accent"))
    painter.restore()
    strong, plain = font_of(TypeStyle.CAPTION, weight=600), font_of(TypeStyle.CAPTION)
    strong_metrics = QFontMetricsF(strong)
    name = strong_metrics.elidedText(quote.name, Qt.TextElideMode.ElideRight, box.width() / 2)
    words = box.adjusted(11, 0, -8, 0)
    painter.setFont(strong)
    painter.setPen(color("text1"))
    painter.drawText(words, Qt.AlignmentFlag.AlignVCenter, name)
    words.setLeft(words.left() + strong_metrics.horizontalAdvance(name))
    painter.setFont(plain)
    painter.setPen(color("text2"))
    text = QFontMetricsF(plain).elidedText(
        f" · {quote.text}", Qt.TextElideMode.ElideRight, words.width()
    )
    painter.drawText(words, Qt.AlignmentFlag.AlignVCenter, text)


def _paint_picture(
    painter: QPainter, box: QRectF, attachment: ChatAttachment, picture: QImage | None
) -> None:
    if picture is None or picture.isNull():
        fill_rounded(painter, box, Radius.SMALL, color("surface2"))
        failed = picture is not None
        side = 24.0
        icon = QRectF(box.center().x() - side / 2, box.center().y() - side / 2, side, side)
        paint_icon(painter, icon, "image", color("danger_text" if failed else "text3"))
        return
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.setClipPath(rounded_path(box, Radius.SMALL))
    # Cover the box, from the middle: a picture too tall for it is cut above and below.
    scale = max(box.width() / picture.width(), box.height() / picture.height())
    part = QSizeF(box.width() / scale, box.height() / scale)
    source = QRectF(
        QPointF((picture.width() - part.width()) / 2, (picture.height() - part.height()) / 2), part
    )
    painter.drawImage(box, picture, source)
    painter.restore()


def _paint_label(painter: QPainter, box: QRectF, attachment: ChatAttachment) -> None:
    is_file = attachment.state is AttachmentState.FILE
    icon = "file" if is_file else "image"
    paint_icon(painter, QRectF(box.left(), box.top() + 2.5, 13, 13), icon, color("text3"))
    font = font_of(TypeStyle.CAPTION)
    words = box.adjusted(20, 0, 0, 0)
    parts = [attachment.name or "Picture"]
    if attachment.size_bytes:
        parts.append(size_label(attachment.size_bytes))
    parts += {
        AttachmentState.MISSED: ["sent before you came"],
        AttachmentState.FAILED: ["did not arrive"],
        AttachmentState.FILE: ["in Files"],
    }.get(attachment.state, [])
    tail = "".join(f" · {part}" for part in parts[1:])
    metrics = QFontMetricsF(font)
    name = metrics.elidedText(
        parts[0], Qt.TextElideMode.ElideMiddle, words.width() - metrics.horizontalAdvance(tail)
    )
    failed = attachment.state is AttachmentState.FAILED
    painter.setFont(font)
    painter.setPen(color("danger_text" if failed else "text3"))
    painter.drawText(words, Qt.AlignmentFlag.AlignVCenter, name + tail)


def _paint_chip(painter: QPainter, laid: RowLayout, glyph: str, box: QRectF) -> None:
    reaction = next(one for one in laid.row.reactions if one.glyph == glyph)
    mine = reaction.is_mine
    fill_rounded(painter, box, box.height() / 2, color("accent_soft" if mine else "surface2"))
    if mine:
        stroke_rounded(painter, box, box.height() / 2, color("accent"), 1)
    ink = color("accent_text" if mine else "text2")
    paint_icon(painter, QRectF(box.left() + 8, box.top() + 4.5, 13, 13), f"{glyph}-fill", ink)
    painter.setFont(font_of(TypeStyle.MICRO, tabular=True))
    painter.setPen(ink)
    count = box.adjusted(26, 0, 0, 0)
    painter.drawText(count, Qt.AlignmentFlag.AlignVCenter, str(len(reaction.names)))


def _paint_note(painter: QPainter, laid: RowLayout) -> None:
    font = font_of(TypeStyle.CAPTION)
    box = QRectF(TEXT_LEFT_PX, laid.note_y, laid.width_px - TEXT_LEFT_PX, NOTE_PX)
    painter.setFont(font)
    failed = laid.row.failed is not None
    painter.setPen(color("danger_text" if failed else "text3"))
    painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, laid.note)
    if failed:
        box.setLeft(box.left() + QFontMetricsF(font).horizontalAdvance(laid.note))
        painter.setPen(color("accent_text"))
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, " · Retry")
