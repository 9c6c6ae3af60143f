"""Menus with real rounded corners, icons in the theme's colour, and quiet shortcuts."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPoint, QRect, QRectF, Qt
from PySide6.QtGui import QAction, QFont, QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import QMenu, QStyle, QWidget

from app.ui.theme import (
    Radius,
    TypeStyle,
    color,
    fill_rounded,
    font_of,
    make_icon,
    mirrored,
    stroke_rounded,
)
from app.ui.widgets.floating import Floating

_PAD_PX = 10
_ICON_PX = 18
_TEXT_AFTER_ICON_PX = 37
_SHORTCUT_GAP_PX = 32
_FRAME_PX = 7
_OVERLAP_PX = 6


class Menu(QMenu):
    """A context or drop-down menu; made when it is needed, so it always has today's colours.

    Qt keeps the places, the keyboard and what a screen reader hears; the rows are painted here,
    since a style sheet can give neither one row nor a shortcut a colour of its own.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        Floating(self, radius=Radius.TILE)
        self.setFont(font_of(TypeStyle.LABEL))

    def add_item(
        self,
        text: str,
        on_chosen: Callable[[], None],
        *,
        icon: str = "",
        name: str = "",
        danger: bool = False,
        checked: bool | None = None,
        shortcut: str = "",
    ) -> QAction:
        """Add an entry; `name` is its object name. A checked one carries a check mark."""
        action = QAction(f"{text}\t{shortcut}" if shortcut else text, self)
        if checked:
            icon = icon or "check"
        if icon:
            token = "danger_text" if danger else "accent_text" if checked else "text2"
            action.setIcon(make_icon(icon, color(token), _ICON_PX))
        if checked is not None:
            action.setCheckable(True)
            action.setChecked(checked)
        action.setObjectName(name)
        action.setProperty("danger", danger)
        action.triggered.connect(lambda _checked=False: on_chosen())
        self.addAction(action)
        self._make_room(text, shortcut)
        return action

    def add_heading(self, text: str) -> QAction:
        """Name what follows; nobody can choose it."""
        action = QAction(text, self)
        action.setEnabled(False)
        action.setProperty("heading", True)
        self.addAction(action)
        return action

    def _make_room(self, text: str, shortcut: str) -> None:
        # Qt measures with one font and gaps of its own; what is painted here may be wider.
        need = _TEXT_AFTER_ICON_PX + QFontMetricsF(self.font()).horizontalAdvance(text) + _PAD_PX
        if shortcut:
            need += _SHORTCUT_GAP_PX + QFontMetricsF(_shortcut_font()).horizontalAdvance(shortcut)
        self.setMinimumWidth(max(self.minimumWidth(), round(need) + 2 * _FRAME_PX))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the plate, then each row that Qt has placed on it."""
        painter = QPainter(self)
        plate = QRectF(self.rect())
        fill_rounded(painter, plate, Radius.TILE, color("surface2"))
        stroke_rounded(painter, plate, Radius.TILE, color("border"), 1)
        indented = any(
            action.isCheckable() or not action.icon().isNull() for action in self.actions()
        )
        for action in self.actions():
            box = self.actionGeometry(action)
            if action.isVisible() and box.intersects(event.rect()):
                self._paint_row(painter, action, QRectF(box), indented=indented)

    def _paint_row(
        self, painter: QPainter, action: QAction, box: QRectF, *, indented: bool
    ) -> None:
        if action.isSeparator():
            line = QRectF(box.x() + 4, round(box.center().y()), box.width() - 8, 1)
            painter.fillRect(line, color("border"))
            return
        if action is self.activeAction() and action.isEnabled():
            fill_rounded(painter, box, Radius.SMALL, color("surface3"))
        text, _, shortcut = action.text().partition("\t")
        left = _PAD_PX
        font = self.font()
        if action.property("heading"):
            font = font_of(TypeStyle.CAPTION, weight=500)
        elif indented:
            left = _TEXT_AFTER_ICON_PX
        icon = QRectF(box.x() + _PAD_PX, box.center().y() - _ICON_PX / 2, _ICON_PX, _ICON_PX)
        action.icon().paint(painter, mirrored(self, icon).toRect())
        words = box.adjusted(left, 0, -_PAD_PX, 0)
        if shortcut:
            keys_font = _shortcut_font()
            keys_px = QFontMetricsF(keys_font).horizontalAdvance(shortcut) + 1
            keys = QRectF(words.right() - keys_px, words.y(), keys_px, words.height())
            # Keys are read from the left everywhere: "Ctrl+," is not ",+Ctrl".
            painter.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
            self._say(painter, shortcut, keys, keys_font, "text3")
            painter.setLayoutDirection(Qt.LayoutDirection.LayoutDirectionAuto)
            words.setRight(keys.left() - _PAD_PX)
        token = "text1" if action.isEnabled() else "text3"
        self._say(painter, text, words, font, "danger_text" if action.property("danger") else token)

    def _say(self, painter: QPainter, text: str, box: QRectF, font: QFont, token: str) -> None:
        painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
        painter.setFont(font)
        painter.setPen(color(token))
        leading = QStyle.visualAlignment(
            self.layoutDirection(), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        )
        shown = QFontMetricsF(font).elidedText(text, Qt.TextElideMode.ElideRight, box.width())
        painter.drawText(mirrored(self, box), leading, shown)


def _shortcut_font() -> QFont:
    return font_of(TypeStyle.CAPTION)


def popup_beside(menu: Menu, at: QPoint, panel: QWidget, area: QWidget) -> None:
    """Open a menu at `at` (global) or as near as `area` holds it, and not over `panel`'s list.

    The screen may be larger than the window, and a menu beside it looks lost.
    """
    size, corner = menu.sizeHint(), panel.mapToGlobal(QPoint(0, 0))
    inside = QRect(area.mapToGlobal(QPoint(0, 0)), area.size()).adjusted(8, 8, -8, -8)
    if panel.isVisible() and at.x() > corner.x() and corner.x() - inside.x() > size.width():
        at = QPoint(corner.x() + _OVERLAP_PX - size.width(), at.y() - 64)
    left = max(inside.left(), min(at.x(), inside.right() + 1 - size.width()))
    top = max(inside.top(), min(at.y(), inside.bottom() + 1 - size.height()))
    menu.popup(QPoint(left, top))
