"""What is said about a transfer that ended: a toast, and a word for screen readers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from app.engine.events import Transfer, TransferState
from app.ui.files.model import failure_text
from app.ui.widgets import ToastArea


class TransferNews:
    """Tells every end once; a file that is sent again may end again."""

    def __init__(
        self,
        toasts: ToastArea,
        announce: Callable[[str], None],
        open_folder: Callable[[Path], None],
    ) -> None:
        self._toasts = toasts
        self._announce = announce
        self._open_folder = open_folder
        self._told: set[str] = set()

    def handle_transfer(self, transfer: Transfer) -> None:
        """Take a transfer's newest state."""
        if transfer.state is TransferState.RUNNING:
            self._told.discard(transfer.id)
        elif transfer.id not in self._told:
            self._told.add(transfer.id)
            self._tell(transfer)

    def _tell(self, transfer: Transfer) -> None:
        name = transfer.file_name
        if transfer.state is TransferState.FAILED:
            text = failure_text(transfer.error, transfer.peer_name)
            self._toasts.show_toast(f"file_{transfer.id}", name, text, tone="danger", stays=True)
            self._announce(f"{name}: {text}")
        elif transfer.state is TransferState.DONE and transfer.outgoing:
            self._announce(f"{name} sent")
        elif transfer.state is TransferState.DONE:
            path = transfer.path
            self._toasts.show_toast(
                f"file_{transfer.id}",
                name,
                f"From {transfer.peer_name}" if transfer.peer_name else "Received",
                tone="success",
                action="Open folder" if path is not None else "",
                on_action=partial(self._open_folder, path.parent) if path is not None else None,
            )
            self._announce(f"{name} received")
