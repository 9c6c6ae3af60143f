"""Files dragged over the meeting: who would get them, how much it is, and the drop itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QMimeData, QObject, QPoint, QRectF, Signal
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent
from PySide6.QtWidgets import QWidget

from app.ui.files.drop_overlay import DropOverlay
from app.ui.files.model import size_label

# A folder may hold anything, a whole disk too: beyond this its size is not told.
MOST_COUNTED = 20_000

if TYPE_CHECKING:
    from app.ui.bridge import Bridge
    from app.ui.stage.stage import Stage
    from app.ui.stage.tile import VideoTile


class FileDrop(QObject):
    """Watches the drags over `page`; `dropped` carries the paths and the receiver's identity.

    The receiver is "" for everybody, or the person whose tile was under the pointer.
    """

    dropped = Signal(list, str)

    def __init__(
        self, page: QWidget, stage: Stage, bridge: Bridge, may_send: Callable[[], bool]
    ) -> None:
        super().__init__(page)
        self._page = page
        self._stage = stage
        self._bridge = bridge
        self._may_send = may_send
        self.overlay = DropOverlay(stage)
        page.setAcceptDrops(True)
        page.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take the page's drags."""
        match event.type():
            case QEvent.Type.DragEnter if isinstance(event, QDragEnterEvent):
                self._on_enter(event)
            case QEvent.Type.DragMove if isinstance(event, QDragMoveEvent):
                self._on_move(event)
            case QEvent.Type.DragLeave:
                self._end()
            case QEvent.Type.Drop if isinstance(event, QDropEvent):
                self._on_drop(event)
            case _:
                return super().eventFilter(watched, event)
        return True

    def _on_enter(self, event: QDragEnterEvent) -> None:
        paths = _files_of(event.mimeData())
        if not paths or not self._may_send():
            event.ignore()
            return
        event.acceptProposedAction()
        self.overlay.open_(_count_text(len(paths)))
        self._bridge.run(asyncio.to_thread(_measure, paths), on_done=self._say_size)

    def _say_size(self, measured: tuple[int, int]) -> None:
        count, size_bytes = measured
        if size_bytes:
            self.overlay.set_detail(f"{_count_text(count)} · {size_label(size_bytes)}")

    def _on_move(self, event: QDragMoveEvent) -> None:
        tile = self._tile_under(event.position().toPoint())
        name = tile.person.name if tile is not None else ""
        self.overlay.set_target(name, QRectF(tile.geometry()) if tile is not None else None)
        self._light(tile)
        event.acceptProposedAction()

    def _on_drop(self, event: QDropEvent) -> None:
        paths = _files_of(event.mimeData())
        tile = self._tile_under(event.position().toPoint())
        self._end()
        if paths and self._may_send():
            event.acceptProposedAction()
            self.dropped.emit(paths, tile.person.identity if tile is not None else "")

    def _end(self) -> None:
        self.overlay.close_()
        self._light(None)

    def _light(self, lit: VideoTile | None) -> None:
        for identity in self._stage.shown:
            tile = self._stage.tile(identity)
            if tile is not None:
                tile.set_lit(tile is lit)

    def _tile_under(self, at: QPoint) -> VideoTile | None:
        return self._stage.tile_at(self._stage.mapFrom(self._page, at))


def _files_of(mime: QMimeData) -> list[Path]:
    return [Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()]


def _count_text(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _measure(paths: Sequence[Path]) -> tuple[int, int]:
    """Count files, those inside folders too, and their bytes; zeros when it cannot be told.

    Runs on a worker, since a network folder may take its time.
    """
    count = size_bytes = looked_at = 0
    for path in paths:
        try:
            for each in path.rglob("*") if path.is_dir() else (path,):
                looked_at += 1
                if looked_at > MOST_COUNTED:
                    return 0, 0
                # What a folder merely points to is not sent with it.
                is_sent = each.is_file() and (each is path or not each.is_symlink())
                if is_sent:
                    count += 1
                    size_bytes += each.stat().st_size
        except OSError:
            return 0, 0
    return count, size_bytes
