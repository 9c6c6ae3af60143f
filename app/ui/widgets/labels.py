"""Texts, chips and hairlines."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QLabel, QSizePolicy, QStyle, QWidget

from app.ui.theme import (
    TYPE,
    TypeStyle,
    color,
    fill_rounded,
    font_of,
    mirrored,
    paint_icon,
    set_property,
)


class TextLabel(QLabel):
    """A label in a type style and a token's colour, with the style's line height when it wraps.

    Text is plain unless `rich` is set: names and room names come from other people.
    """

    def __init__(
        self,
        text: str = "",
        style: TypeStyle = TypeStyle.BODY,
        tone: str = "text1",
        *,
        wrap: bool = False,
        tabular: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setFont(font_of(style, tabular=tabular))
        self.setProperty("tone", tone)
        self.setWordWrap(wrap)
        if not wrap:
            self.setFixedHeight(TYPE[style][1])
        self.setText(text)

    def set_tone(self, tone: str) -> None:
        """Change the colour: text1, text2, text3, accent, danger, warn, success, agent."""
        set_property(self, "tone", tone)


class ElidedLabel(TextLabel):
    """A one-line label that ends in "…" when there is no room; the tooltip holds the whole."""

    def __init__(
        self,
        text: str = "",
        style: TypeStyle = TypeStyle.BODY,
        tone: str = "text1",
        *,
        parent: QWidget | None = None,
    ) -> None:
        self._full = text
        super().__init__(text, style, tone, parent=parent)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(24)

    def setText(self, text: str) -> None:
        """Show `text`, shortened to the width there is."""
        self._full = text
        self.setAccessibleName(text)
        self.updateGeometry()
        self._elide()

    def full_text(self) -> str:
        """Return the text before shortening."""
        return self._full

    def sizeHint(self) -> QSize:
        """Ask for the whole text's width."""
        width = QFontMetrics(self.font()).horizontalAdvance(self._full) + 2
        return QSize(width, self.height())

    def minimumSizeHint(self) -> QSize:
        """Be content with a few letters."""
        return QSize(24, self.height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Shorten again."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        metrics = QFontMetrics(self.font())
        shown = metrics.elidedText(self._full, Qt.TextElideMode.ElideRight, max(self.width(), 1))
        super().setText(shown)
        self.setToolTip(self._full if shown != self._full else "")


class Hairline(QFrame):
    """A one-pixel line between rows (horizontal) or groups (vertical)."""

    def __init__(self, *, vertical: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "hairline")
        if vertical:
            self.setFixedWidth(1)
        else:
            self.setFixedHeight(1)


class IconLabel(QWidget):
    """A bare icon in a token's colour, repainted with the theme."""

    def __init__(
        self, icon: str, size_px: int = 20, tone: str = "text2", *, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._icon = icon
        self._tone = tone
        self.setFixedSize(size_px, size_px)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)

    def set_icon(self, icon: str, tone: str | None = None) -> None:
        """Show another icon, in another token's colour if given."""
        self._icon = icon
        self._tone = tone or self._tone
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the glyph."""
        painter = QPainter(self)
        paint_icon(painter, QRectF(self.rect()), self._icon, color(self._tone))


class IconPlate(QWidget):
    """An icon on a soft plate: rounded square by default, a disc with `round_`."""

    def __init__(
        self,
        icon: str,
        size_px: int = 40,
        *,
        tone: str = "accent",
        round_: bool = False,
        icon_px: int | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._icon = icon
        self._tone = tone
        self._round = round_
        self._icon_px = icon_px or round(size_px * 0.5)
        self.setFixedSize(size_px, size_px)

    def set_side(self, side_px: int, icon_px: int) -> None:
        """Become larger or smaller."""
        self._icon_px = icon_px
        self.setFixedSize(side_px, side_px)

    def set_icon(self, icon: str, tone: str) -> None:
        """Show another icon and tone: accent, warn, danger, agent, neutral, alert, picture."""
        self._icon, self._tone = icon, tone
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the plate, then the glyph."""
        back, front = _PLATES[self._tone]
        painter = QPainter(self)
        box = QRectF(self.rect())
        radius = 12.0 if box.width() >= 40 else 10.0
        if self._round:
            radius = box.width() / 2
        fill_rounded(painter, box, radius, color(back))
        inset = (box.width() - self._icon_px) / 2
        paint_icon(painter, box.adjusted(inset, inset, -inset, -inset), self._icon, color(front))


_PLATES = {
    "accent": ("accent_soft", "accent_text"),
    "warn": ("warn_soft", "warn_text"),
    "danger": ("danger_soft", "danger_text"),
    "agent": ("agent_soft", "agent"),
    "neutral": ("surface3", "text2"),
    "alert": ("surface3", "danger_text"),
    "picture": ("surface3", "info"),
}


class Chip(QWidget):
    """A small rounded label with an optional icon; tones as `IconPlate`.

    A `small` one stands beside a name in a list.
    """

    def __init__(
        self,
        text: str,
        icon: str = "",
        tone: str = "accent",
        *,
        small: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._text, self._icon, self._tone = text, icon, tone
        self._height_px, self._pad_px = (20, 8) if small else (24, 10)
        self.setFont(font_of(TypeStyle.MICRO if small else TypeStyle.CAPTION, weight=500))
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(text)

    def set_text(self, text: str, icon: str = "", tone: str | None = None) -> None:
        """Change what it says."""
        self._text, self._icon, self._tone = text, icon, tone or self._tone
        self.setAccessibleName(text)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Fit the text."""
        icon = 18 if self._icon else 0
        pads = 2 * self._pad_px
        return QSize(
            QFontMetrics(self.font()).horizontalAdvance(self._text) + pads + icon, self._height_px
        )

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint pill, icon, text."""
        back, front = _PLATES[self._tone]
        painter = QPainter(self)
        fill_rounded(painter, QRectF(self.rect()), self.height() / 2, color(back))
        left = self._pad_px
        if self._icon:
            at = mirrored(self, QRectF(left, self.height() / 2 - 7, 14, 14))
            paint_icon(painter, at, self._icon, color(front))
            left += 18
        painter.setFont(self.font())
        painter.setPen(color(front))
        words = mirrored(self, QRectF(self.rect()).adjusted(left, 0, 2 - self._pad_px, 0))
        leading = QStyle.visualAlignment(
            self.layoutDirection(), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        )
        painter.drawText(words, leading, self._text)
