"""The frame of the settings: rail on the left, the page, and a foot that says they are saved."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QScrollArea,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.ui.settings.context import SettingsContext
from app.ui.settings.pages import PAGES, PageSpec
from app.ui.theme import TypeStyle, color, font_of, make_icon, theme
from app.ui.widgets import Button, Dialog, Hairline, IconLabel, TextLabel

WIDTH_PX, HEIGHT_PX, RAIL_PX = 920, 680, 216


class RailButton(QToolButton):
    """One entry of the rail."""

    def __init__(self, spec: PageSpec) -> None:
        super().__init__()
        self._icon_name = spec.icon
        self.setObjectName(f"settingsRail{spec.name}")
        self.setProperty("role", "rail")
        self.setText(spec.name)
        self.setAccessibleName(spec.name)
        self.setCheckable(True)
        self.setAutoExclusive(False)
        self.setFont(font_of(TypeStyle.BODY_STRONG))
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.setIconSize(QSize(26, 18))
        self.setFixedSize(RAIL_PX - 24, 40)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.toggled.connect(lambda _on: self._refresh_icon())
        theme.changed.connect(self._refresh_icon)
        self._refresh_icon()

    def _refresh_icon(self) -> None:
        ink = color("accent_text" if self.isChecked() else "text2")
        self.setIcon(make_icon(self._icon_name, ink, 18, gap_px=8))


class SettingsDialog(Dialog):
    """All settings; they count as they are made."""

    def __init__(
        self, host: QWidget, context: SettingsContext, pages: tuple[PageSpec, ...] = PAGES
    ) -> None:
        super().__init__(host, "Settings", width_px=WIDTH_PX)
        self.setObjectName("settingsDialog")
        self._context = context
        self._specs = pages
        self._built: dict[str, QWidget] = {}
        self._buttons: dict[str, RailButton] = {}
        self.card.setMinimumHeight(min(HEIGHT_PX, host.height() - 8))
        # The dialog's own column gives way to rail and page; its parts move into them.
        column = self.card.body
        while (item := column.takeAt(0)) is not None:
            del item
        column.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        row.setSpacing(0)
        row.addWidget(self._make_rail())
        row.addLayout(self._make_right(), 1)
        column.addLayout(row)
        self.show_page(pages[0].name)

    def _make_rail(self) -> QFrame:
        rail = QFrame()
        rail.setObjectName("settingsRail")
        rail.setProperty("role", "rail")
        rail.setFixedWidth(RAIL_PX)
        column = QVBoxLayout(rail)
        column.setContentsMargins(12, 20, 12, 16)
        column.setSpacing(2)
        title_row = QHBoxLayout()
        title_row.setContentsMargins(12, 0, 0, 14)
        title_row.addWidget(self.title_label)
        column.addLayout(title_row)
        group = QButtonGroup(rail)
        group.setExclusive(True)
        for spec in self._specs:
            button = RailButton(spec)
            button.clicked.connect(partial(self.show_page, spec.name))
            group.addButton(button)
            column.addWidget(button)
            self._buttons[spec.name] = button
        column.addStretch(1)
        return rail

    def _make_right(self) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(0)
        head = QHBoxLayout()
        head.setContentsMargins(32, 20, 20, 12)
        self._heading = TextLabel("", TypeStyle.TITLE)
        head.addWidget(self._heading, 1)
        head.addWidget(self.close_button)
        column.addLayout(head)
        self._stack = QStackedWidget()
        column.addWidget(self._stack, 1)
        column.addWidget(Hairline())
        foot = QHBoxLayout()
        foot.setContentsMargins(32, 11, 20, 11)
        foot.setSpacing(8)
        middle = Qt.AlignmentFlag.AlignVCenter
        foot.addWidget(IconLabel("check", 16, "success"), 0, middle)
        saved = TextLabel("Changes are saved as you make them", TypeStyle.CAPTION, "text2")
        foot.addWidget(saved, 1, middle)
        done = Button("Done", tone="primary", size="small")
        done.setObjectName("settingsDone")
        done.clicked.connect(self.close_)
        foot.addWidget(done)
        column.addLayout(foot)
        self.first = done
        return column

    def show_page(self, name: str, _checked: bool = False) -> None:
        """Bring a page to the front; it is built when it is first seen."""
        spec = next(each for each in self._specs if each.name == name)
        if name not in self._built:
            area = QScrollArea()
            area.setObjectName(f"settings{name}")
            area.setWidgetResizable(True)
            area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
            area.setFrameShape(QFrame.Shape.NoFrame)
            area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            area.setWidget(spec.build(self._context))
            self._built[name] = area
            self._stack.addWidget(area)
        self._stack.setCurrentWidget(self._built[name])
        self._heading.setText(name)
        self._buttons[name].setChecked(True)
