"""Parts every page is built from; they know nothing about rooms.

Decides how a button, field, card, dialog or toast looks and behaves. Belongs to the Qt thread.
All of them follow a theme change by themselves. What there is:

- labels: `TextLabel(text, TypeStyle, tone, wrap=)`, `ElidedLabel`, `Chip(text, icon, tone)`,
  `IconLabel(icon, px, token)`, `IconPlate(icon, px, tone=, round_=)`, `Hairline(vertical=)`.
- buttons: `Button(text, icon, tone=, size=)` (tones primary, soft, outline, danger, ghost, link;
  sizes small, large), `IconButton(icon, name, side_px=, icon_px=)`, `ControlButton(icon, text)`
  with `set_state(icon, text, tone)` and `set_compact(bool)`; `ToolButton` for those that paint
  themselves.
- fields: `TextField(placeholder, icon, large=)`, `ComboBox(icon)`, `Switch(name)`.
- meters: `SegmentMeter`, `LevelBar` (3x36), `ProgressBar` (6 px, `set_fraction`), `Spinner(px)`.
- avatars: `Avatar(name, px)`, `AvatarRow`.
- cards: `Card` (`.body`), `Inset` (`.body`), `EmptyState(icon, title, text)`.
- toasts: `ToastArea(host)` with `show_toast(id, title, text, tone=, action=, on_action=, stays=)`.
- dialogs: `Dialog(host, title, subtitle, width_px=)` with `.body`, `.buttons`, `open_`, `close_`,
  `closed`; `ask(host, title, text, yes, on_yes)` for a question.
- popovers: `Popover(name, title, radius=, shade_px=, blur=)`, to be filled by a subclass; round
  corners of every small window are `floating.Floating`'s.
- menus: `Menu` with `add_item(text, on_chosen, icon=, name=, danger=, checked=, shortcut=)`.
- logo: `Logo(px)`, `app_icon()`.
"""

from app.ui.widgets.avatars import Avatar, AvatarRow
from app.ui.widgets.buttons import (
    Button,
    ControlButton,
    IconButton,
    ToolButton,
    pressed_by_enter,
)
from app.ui.widgets.cards import Card, EmptyState, Inset
from app.ui.widgets.dialogs import Dialog, ask
from app.ui.widgets.fields import ComboBox, Switch, TextField
from app.ui.widgets.labels import Chip, ElidedLabel, Hairline, IconLabel, IconPlate, TextLabel
from app.ui.widgets.logo import Logo, app_icon
from app.ui.widgets.menus import Menu, popup_beside
from app.ui.widgets.meters import LevelBar, ProgressBar, SegmentMeter, Spinner
from app.ui.widgets.popover import Popover
from app.ui.widgets.toasts import Question, Toast, ToastArea

__all__ = [
    "Avatar",
    "AvatarRow",
    "Button",
    "Card",
    "Chip",
    "ComboBox",
    "ControlButton",
    "Dialog",
    "ElidedLabel",
    "EmptyState",
    "Hairline",
    "IconButton",
    "IconLabel",
    "IconPlate",
    "Inset",
    "LevelBar",
    "Logo",
    "Menu",
    "Popover",
    "ProgressBar",
    "Question",
    "SegmentMeter",
    "Spinner",
    "Switch",
    "TextField",
    "TextLabel",
    "Toast",
    "ToastArea",
    "ToolButton",
    "app_icon",
    "ask",
    "popup_beside",
    "pressed_by_enter",
]
