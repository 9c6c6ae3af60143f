"""Buttons that keep their icon in the theme's colour and say their name aloud."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QFocusEvent, QIcon, QKeyEvent
from PySide6.QtWidgets import QAbstractButton, QPushButton, QSizePolicy, QToolButton, QWidget

from app.ui.theme import TypeStyle, color, font_of, font_px, make_icon, set_property, theme
from app.ui.widgets.focus import note_focus, note_key

_ICON_TOKENS = {
    "": "text1",
    "primary": "on_accent",
    "soft": "accent_text",
    "outline": "text1",
    "danger": "on_danger",
    "danger_soft": "danger_text",
    "ghost": "text2",
    "link": "accent_text",
}
_GAP_PX = 4
_HEIGHTS = {"small": 32, "": 40, "large": 48}


def pressed_by_enter(button: QAbstractButton, event: QKeyEvent) -> bool:
    """Press the button that has the focus with Enter too; Qt itself knows Space alone."""
    if event.key() not in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
        return False
    if not event.isAutoRepeat():
        button.click()
    return True


class ToolButton(QToolButton):
    """Enter presses it, as Space does; `focus.shows_focus` says when to paint its ring."""

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Remember whether it was pressed with the mouse."""
        super().focusInEvent(event)
        note_focus(self, event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter presses, as Space does."""
        note_key(self)
        if not pressed_by_enter(self, event):
            super().keyPressEvent(event)


class Button(QPushButton):
    """A push button; `tone`: primary, soft, outline, danger, danger_soft, ghost, link or ""
    (secondary).

    Unset `takes_enter` where a page comes up under the key that led to it.
    """

    takes_enter = True

    def __init__(
        self,
        text: str,
        icon: str = "",
        *,
        tone: str = "",
        size: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(text, parent)
        self._icon_name = icon
        self.setProperty("tone", tone)
        self.setProperty("extent", size)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFixedHeight(_HEIGHTS[size])
        self.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        strong = TypeStyle.LABEL_STRONG if size == "small" else TypeStyle.BODY_STRONG
        self.setFont(font_px(15, 600) if size == "large" else font_of(strong))
        side = 16 if size == "small" else 18
        self._side_px = side
        self.setIconSize(QSize(side + _GAP_PX, side))
        theme.changed.connect(self._refresh_icon)
        self._refresh_icon()

    def set_icon_name(self, icon: str) -> None:
        """Show another Phosphor icon, or none."""
        self._icon_name = icon
        self._refresh_icon()

    def set_tone(self, tone: str) -> None:
        """Change the tone."""
        set_property(self, "tone", tone)
        self._refresh_icon()

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Remember whether it was pressed with the mouse."""
        super().focusInEvent(event)
        note_focus(self, event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter presses, as Space does."""
        note_key(self)
        if not (self.takes_enter and pressed_by_enter(self, event)):
            super().keyPressEvent(event)

    def _refresh_icon(self) -> None:
        if self._icon_name:
            ink = color(_ICON_TOKENS[str(self.property("tone") or "")])
            off = color("text3")
            self.setIcon(
                make_icon(self._icon_name, ink, self._side_px, gap_px=_GAP_PX, disabled=off)
            )
        else:
            self.setIcon(QIcon())


class IconButton(ToolButton):
    """A square button with an icon alone; `name` is its accessible name and tooltip."""

    def __init__(
        self,
        icon: str,
        name: str,
        *,
        side_px: int = 32,
        icon_px: int = 18,
        token: str = "text2",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._icon_name, self._token = icon, token
        self.setProperty("role", "icon")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFixedSize(side_px, side_px)
        self.setIconSize(QSize(icon_px, icon_px))
        self.set_name(name)
        theme.changed.connect(self._refresh_icon)
        self._refresh_icon()

    def set_name(self, name: str, shortcut: str = "") -> None:
        """Say what a press does; the shortcut stands in the tooltip and the description."""
        self.setAccessibleName(name)
        self.setAccessibleDescription(shortcut)
        self.setToolTip(f"{name} ({shortcut})" if shortcut else name)

    def set_icon_name(self, icon: str, token: str | None = None) -> None:
        """Show another icon, in another token's colour if given."""
        self._icon_name, self._token = icon, token or self._token
        self._refresh_icon()

    def _refresh_icon(self) -> None:
        ink = color(self._token)
        self.setIcon(make_icon(self._icon_name, ink, self.iconSize().width()))


class ControlButton(ToolButton):
    """A button of the control bar: icon over label, its tone tells the state.

    `set_state(icon, text, tone)`: tone "" (rest), on, off, raised or problem. The label says
    what a press does. `set_compact` hides the label (narrow windows).
    """

    def __init__(self, icon: str, text: str, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon_name = icon
        self.setProperty("role", "control")
        self.setProperty("tone", "")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setIconSize(QSize(22, 22))
        self.setFont(font_of(TypeStyle.MICRO))
        self.set_compact(False)
        theme.changed.connect(self._refresh_icon)
        self.set_state(icon, text, "")

    def set_state(self, icon: str, text: str, tone: str) -> None:
        """Show a state: icon, label and tone change together."""
        self._icon_name = icon
        self.setText(text)
        self.setAccessibleName(text)
        set_property(self, "tone", tone)
        self._refresh_icon()

    def set_shortcut_hint(self, shortcut: str) -> None:
        """Name the shortcut in tooltip and description."""
        self.setAccessibleDescription(shortcut)
        self.setToolTip(f"{self.text()} ({shortcut})")

    def set_compact(self, compact: bool) -> None:
        """Show the icon alone (44x44), or icon and label (64x56)."""
        style = Qt.ToolButtonStyle
        set_property(self, "compact", "true" if compact else "false")
        if compact:
            self.setToolButtonStyle(style.ToolButtonIconOnly)
            self.setFixedHeight(44)
            self.setMinimumWidth(44)
        else:
            self.setToolButtonStyle(style.ToolButtonTextUnderIcon)
            self.setFixedHeight(56)
            self.setMinimumWidth(64)

    def _refresh_icon(self) -> None:
        token = {
            "on": "accent_text",
            "off": "danger_text",
            "raised": "warn_text",
            "problem": "warn_text",
        }.get(str(self.property("tone") or ""), "text1")
        self.setIcon(make_icon(self._icon_name, color(token), 22))
