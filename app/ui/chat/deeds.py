"""What the chat panel's wishes become: calls on the engine, questions, files on disk.

Belongs to one meeting page; every refusal is said by `notices`.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from PySide6.QtCore import QObject, QPoint, Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFileDialog, QWidget
from shiboken6 import isValid

from app.engine.client import EngineClient
from app.engine.safe_names import free_path, safe_file_name
from app.runtime.errors import WorldError
from app.ui.chat import export
from app.ui.chat.composer import Draft
from app.ui.chat.links import needs_asking
from app.ui.chat.model import ChatRow
from app.ui.chat.panel import ChatPanel
from app.ui.chat.pasted import PICTURE_SUFFIXES, Clip, PastedPictures
from app.ui.stage.notices import Notices
from app.ui.widgets import Menu, ToastArea, ask


class Run(Protocol):
    """Runs a coroutine from a slot."""

    def __call__(
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        on_error: Callable[[WorldError], None] | None = None,
        on_done: Callable[[Any], None] | None = None,
    ) -> None: ...


class ChatDeeds(QObject):
    """Connects a panel with the engine; `save_setting` keeps a choice."""

    def __init__(
        self,
        page: QWidget,
        panel: ChatPanel,
        engine: EngineClient,
        run: Run,
        notices: Notices,
        toasts: ToastArea,
        *,
        room: Callable[[], str],
        send_files: Callable[[Sequence[Path], str], None],
        open_panel: Callable[[str], None],
        save_setting: Callable[[str, bool], None],
    ) -> None:
        super().__init__(page)
        self._page = page
        self._panel = panel
        self._engine = engine
        self._run = run
        self._notices = notices
        self._toasts = toasts
        self._room = room
        self._send_files = send_files
        self._save_setting = save_setting
        self._open_panel = open_panel
        self._last_folder = Path.home()
        self._typing = False
        self._pasted = PastedPictures()
        panel.sendRequested.connect(self._send)
        panel.editRequested.connect(self._edit)
        panel.deleteRequested.connect(self._ask_delete)
        panel.retryRequested.connect(lambda row: run(engine.retry_chat(row.id)))
        panel.reactRequested.connect(
            lambda row, glyph, on: run(engine.react_to_chat(row.identity, row.id, glyph, on))
        )
        panel.typed.connect(self._on_typed)
        panel.linkRequested.connect(self._open_link)
        panel.pictureRequested.connect(_open_path)
        panel.saveRequested.connect(self._save_picture)
        panel.filesRequested.connect(lambda: open_panel("files"))
        panel.attachRequested.connect(self._choose_attachments)
        panel.composer.picturePasted.connect(self._paste)
        panel.moreRequested.connect(self._open_more)
        panel.announced.connect(notices.announce)

    # -- messages ---------------------------------------------------------------------------

    def _send(self, draft: Draft) -> None:
        def on_error(error: WorldError) -> None:
            self._panel.restore_draft(draft)
            self._notices.tell_chat_refused(error.reason)

        self._typing = False
        self._run(
            self._engine.send_chat(
                draft.text, to=draft.to, reply_to=draft.reply_to, files=draft.files
            ),
            on_error=on_error,
        )

    def _edit(self, row: ChatRow, text: str) -> None:
        if text:
            self._run(self._engine.edit_chat(row.id, text), on_error=self._on_refused)
        else:
            self._ask_delete(row)

    def _ask_delete(self, row: ChatRow) -> None:
        whose = "your" if row.is_mine else f"{row.name}'s"
        ask(
            self._page,
            "Delete this message?",
            f"It takes {whose} message away for everyone who has it in Lanai. "
            "Other apps may go on showing it.",
            "Delete",
            lambda: self._run(
                self._engine.delete_chat(row.identity, row.id), on_error=self._on_refused
            ),
        )

    def _on_refused(self, error: WorldError) -> None:
        self._notices.tell_chat_refused(error.reason)

    def _on_typed(self, is_typing: bool, to: tuple[str, ...]) -> None:
        # Deleting the last character tells it once; every key may be told, the engine throttles.
        if is_typing or self._typing:
            self._typing = is_typing
            self._run(self._engine.set_typing(is_typing, to))

    # -- links and pictures -------------------------------------------------------------------

    def _open_link(self, shown: str, address: str) -> None:
        url = QUrl(address)
        if url.scheme().lower() not in ("http", "https") or not url.host():
            return
        if not needs_asking(shown, address):
            _open(url)
            return
        # The encoded form shows what looks like another host.
        plain = bytes(url.toEncoded().data()).decode("ascii", errors="replace")
        ask(
            self._page,
            "Open this link?",
            f"It leads to {url.host(QUrl.ComponentFormattingOption.FullyEncoded)}:\n{plain[:400]}",
            "Open link",
            partial(_open, url),
            tone="primary",
        )

    def _choose_attachments(self) -> None:
        dialog = QFileDialog(self._page, "Choose pictures or files")
        dialog.setObjectName("chatAttachDialog")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
        dialog.setDirectory(str(self._last_folder))
        self._open_dialog(dialog, lambda names: self.attach([Path(name) for name in names]))

    def attach(self, paths: Sequence[Path]) -> None:
        """Put pictures beside the draft; other files are sent as files, to the same receiver."""
        if not paths:
            return
        self._last_folder = paths[-1].parent
        pictures = [path for path in paths if path.suffix.lower() in PICTURE_SUFFIXES]
        others = [path for path in paths if path not in pictures]
        if others:
            self._send_files(others, next(iter(self._panel.composer.to), ""))
        if pictures:
            self._open_panel("chat")
            self._panel.add_pictures(pictures)

    def _paste(self, clip: Clip) -> None:
        if clip.files:
            self.attach(clip.files)
            return
        composer = self._panel.composer
        composer.expect_picture()

        def on_done(path: Path) -> None:
            if isValid(self):
                composer.take_picture(path)

        def on_error(error: WorldError) -> None:
            if isValid(self):
                composer.take_picture(None)
                self._notices.tell_paste_refused(error.reason)

        work = asyncio.to_thread(self._pasted.keep, clip)
        self._run(work, on_done=on_done, on_error=on_error)

    def close(self) -> None:
        """The meeting is over."""
        self._pasted.close()

    def _save_picture(self, path: Path, name: str) -> None:
        folder = self._engine.settings.downloads

        def copy() -> Path:
            folder.mkdir(parents=True, exist_ok=True)
            target = free_path(folder, safe_file_name(name or path.name))
            shutil.copyfile(path, target)
            return target

        self._save(copy, "Picture saved")

    # -- options ----------------------------------------------------------------------------

    def _open_more(self, at: QPoint) -> None:
        menu = Menu(self._page)
        menu.setObjectName("chatMoreMenu")
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        on = self._engine.settings.typing_notices
        menu.add_item(
            "Show others when I type",
            lambda: self._save_setting("typing_notices", not on),
            name="actionTypingNotices",
            checked=on,
        )
        if self._panel.model.rowCount():
            menu.add_item(
                "Save chat as a file",
                self._choose_export,
                icon="download-simple",
                name="actionExportChat",
            )
        size = menu.sizeHint()
        menu.popup(at - QPoint(size.width() - 28, size.height() + 4))

    def _choose_export(self) -> None:
        dialog = QFileDialog(self._page, "Save chat")
        dialog.setObjectName("chatExportDialog")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilters(["Text (*.txt)", "Markdown (*.md)", "JSON (*.json)"])
        dialog.setDirectory(str(self._last_folder))
        dialog.selectFile(export.suggested_name(self._room(), datetime.now().astimezone()))

        def on_filter(chosen: str) -> None:
            dialog.setDefaultSuffix(chosen[chosen.rfind(".") + 1 : -1])

        dialog.filterSelected.connect(on_filter)
        on_filter("(*.txt)")
        self._open_dialog(dialog, lambda names: self.export_to(Path(names[0])))

    def export_to(self, path: Path) -> None:
        """Write the chat to a file; its suffix says how."""
        rows = list(self._panel.model.log.rows)
        room = self._room()
        self._save(partial(export.save, path, rows, room), "Chat saved")

    def _save(self, work: Callable[[], Path], done: str) -> None:
        async def save() -> Path:
            try:
                return await asyncio.to_thread(work)
            except OSError as error:
                raise export.refusal(error) from error

        def on_done(path: Path) -> None:
            self._toasts.show_toast("chat_saved", done, path.name, tone="success")
            self._notices.announce(f"{done}: {path.name}")

        def on_error(error: WorldError) -> None:
            self._notices.tell_file_refused(done.split(" ", maxsplit=1)[0], error.reason)

        self._run(save(), on_done=on_done, on_error=on_error)

    def _open_dialog(self, dialog: QFileDialog, on_chosen: Callable[[list[str]], None]) -> None:
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.filesSelected.connect(lambda names: on_chosen(names) if names else None)
        # Not exec(): a nested event loop would stop the one that runs our coroutines.
        dialog.open()


def _open(url: QUrl) -> None:
    QDesktopServices.openUrl(url)


def _open_path(path: Path) -> None:
    _open(QUrl.fromLocalFile(str(path)))
