"""The pages of the settings dialog, in the order of the rail."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata

from PySide6.QtCore import QUrl, qVersion
from PySide6.QtGui import QDesktopServices, QFocusEvent, QIntValidator
from PySide6.QtWidgets import QFileDialog, QWidget

from app.ui.identity import product_version
from app.ui.settings.context import SettingsContext
from app.ui.settings.rows import PageBody, Row, Segments
from app.ui.theme import ThemeChoice
from app.ui.widgets import Button, TextField

LEAST_PORT, MOST_PORT = 1_024, 65_535
MOST_MEGABYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class PageSpec:
    """A page: its word on the rail, its icon, and who builds it when it is first opened."""

    name: str
    icon: str
    build: Callable[[SettingsContext], QWidget]


def appearance_page(context: SettingsContext) -> QWidget:
    """How the window looks."""
    page = PageBody()
    choices = (
        (ThemeChoice.SYSTEM.value, "System"),
        (ThemeChoice.DARK.value, "Dark"),
        (ThemeChoice.LIGHT.value, "Light"),
    )
    theme = Segments(
        "setAppearanceTheme",
        choices,
        context.current().theme,
        lambda value: context.choose_theme(ThemeChoice(value)),
    )
    page.add(Row("Theme", "System follows what your computer uses", theme))
    return page


def network_page(context: SettingsContext) -> QWidget:
    """Where hosting listens."""
    page = PageBody()
    current = context.current()
    page.add_switch(
        "setNetworkOpen",
        "Open to your network",
        "Off: only programs on this computer can join what you host",
        current.host_on_network,
        lambda on: context.save(host_on_network=on),
    )
    port = _number_field(
        "setNetworkPort",
        "Port for joining",
        current.host_port,
        (LEAST_PORT, MOST_PORT),
        lambda number: context.save(host_port=number),
    )
    page.add(Row("Port for joining", "TCP; the next free one if it is taken", port))
    media = _number_field(
        "setNetworkMediaPort",
        "Port for sound and video",
        current.host_rtc_port,
        (LEAST_PORT, MOST_PORT),
        lambda number: context.save(host_rtc_port=number),
    )
    page.add(Row("Port for sound and video", "UDP; the next free one if it is taken", media))
    return page


def files_page(context: SettingsContext) -> QWidget:
    """What happens to files that others send."""
    page = PageBody()
    current = context.current()
    choose = Button("Choose…", "folder-open", size="small")
    choose.setObjectName("setFilesFolder")
    folder = Row("Save files in", str(current.downloads), choose)

    def on_folder(path: str) -> None:
        context.save(downloads_folder=path)
        folder.explanation.setText(path)

    def on_choose() -> None:
        dialog = QFileDialog(page, "Where to save files")
        dialog.setObjectName("settingsFolderDialog")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setDirectory(str(context.current().downloads))
        dialog.fileSelected.connect(on_folder)
        # Not exec(): a nested event loop would stop the one that runs our coroutines.
        dialog.open()

    choose.clicked.connect(on_choose)
    page.add(folder)
    page.add_switch(
        "setFilesAsk",
        "Ask before accepting",
        "Nothing is saved until you take it",
        current.ask_before_accepting,
        lambda on: context.save(ask_before_accepting=on),
    )
    limit = _number_field(
        "setFilesLimit",
        "Largest file in megabytes",
        current.max_receive_mb,
        (1, MOST_MEGABYTES),
        lambda number: context.save(max_receive_mb=number),
    )
    page.add(Row("Largest file", "In megabytes; anything bigger is refused", limit))
    return page


def privacy_page(context: SettingsContext) -> QWidget:
    """What others see of you, and what this computer remembers."""
    page = PageBody()
    current = context.current()
    page.add_switch(
        "setPrivacyMicOff",
        "Join with microphone off",
        "You choose when others hear you",
        not current.mic_on_at_join,
        lambda off: context.save(mic_on_at_join=not off),
    )
    page.add_switch(
        "setPrivacyCameraOff",
        "Join with camera off",
        "You choose when others see you",
        not current.camera_on_at_join,
        lambda off: context.save(camera_on_at_join=not off),
    )
    page.add_switch(
        "setPrivacyTyping",
        "Typing notice",
        "Others see that you are writing",
        current.typing_notices,
        lambda on: context.save(typing_notices=on),
    )
    clear = Button("Clear", size="small")
    clear.setObjectName("setPrivacyClear")
    history = Row(
        "Recent meetings", "Names and addresses of the last twenty, on this computer", clear
    )

    def on_clear() -> None:
        context.clear_recents()
        clear.setEnabled(False)
        history.explanation.setText("Nothing is remembered now")

    clear.clicked.connect(on_clear)
    page.add(history)
    return page


def advanced_page(context: SettingsContext) -> QWidget:
    """For those who want to look inside."""
    page = PageBody()
    developer = Button("Open", "sliders-horizontal", size="small")
    developer.setObjectName("setAdvancedDeveloper")
    developer.setAccessibleName("Open the developer panel")
    developer.clicked.connect(context.open_developer_panel)
    page.add(
        Row("Developer panel", "Call methods, watch data tracks and attributes live", developer)
    )
    logs = Button("Open folder", "folder-open", size="small")
    logs.setObjectName("setAdvancedLog")

    def on_logs() -> None:
        context.paths.logs.mkdir(parents=True, exist_ok=True)
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(context.paths.logs)))

    logs.clicked.connect(on_logs)
    page.add(Row("Logs", "What happened, without names, addresses or chat", logs))
    return page


# What the app stands on most; each package's own words say under which licence.
_PARTS = (
    "PySide6-Essentials",
    "aiortc",
    "aioice",
    "pylibsrtp",
    "av",
    "aiohttp",
    "livekit-protocol",
    "numpy",
    "sounddevice",
    "QtAwesome",
)


def about_page(_context: SettingsContext) -> QWidget:
    """Version and licences."""
    page = PageBody()
    version = Row(
        f"Lanai {product_version()}", f"Qt {qVersion()}, Python {platform.python_version()}"
    )
    version.setObjectName("setAboutVersion")
    page.add(version)
    for part in _PARTS:
        try:
            facts = metadata(part)
        except PackageNotFoundError:
            continue
        page.add(Row(f"{part} {facts['Version']}", _licence_of(part)))
    page.add(Row("Inter typeface", "SIL Open Font License 1.1"))
    page.add(Row("Phosphor icons", "MIT"))
    return page


def _licence_of(part: str) -> str:
    facts = metadata(part)
    classifiers = [
        line.rsplit(" :: ", 1)[-1]
        for line in facts.get_all("Classifier") or []
        if line.startswith("License :: ") and line != "License :: OSI Approved"
    ]
    stated = (facts.get_all("License-Expression") or [""])[0] or ", ".join(classifiers)
    stated = stated or (facts.get_all("License") or [""])[0] or "See the package"
    return str(stated).splitlines()[0][:120]


class _NumberField(TextField):
    """A whole number; what lies outside `span` is marked, not saved, and gone when one leaves."""

    def __init__(
        self, name: str, value: int, span: tuple[int, int], on_number: Callable[[int], None]
    ) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setFixedWidth(120)
        self.setValidator(QIntValidator(0, 10_000_000, self))
        self.setText(str(value))
        self._saved = value
        self._span = span
        self._on_number = on_number
        self.textEdited.connect(self._on_edited)

    def _on_edited(self, text: str) -> None:
        is_sound = text.isdigit() and self._span[0] <= int(text) <= self._span[1]
        self.set_problem(not is_sound)
        if is_sound:
            self._saved = int(text)
            self._on_number(self._saved)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Show what holds: a number that was not taken must not be read as one that was."""
        super().focusOutEvent(event)
        self.setText(str(self._saved))
        self.set_problem(False)


def _number_field(
    name: str,
    spoken: str,
    value: int,
    span: tuple[int, int],
    on_number: Callable[[int], None],
) -> TextField:
    field = _NumberField(name, value, span, on_number)
    field.setAccessibleName(spoken)
    return field


PAGES: tuple[PageSpec, ...] = (
    PageSpec("Appearance", "palette", appearance_page),
    PageSpec("Network", "share-network", network_page),
    PageSpec("Files", "folder-open", files_page),
    PageSpec("Privacy", "shield-check", privacy_page),
    PageSpec("Advanced", "sliders-horizontal", advanced_page),
    PageSpec("About", "info", about_page),
)
