"""What is said about a transfer that ended or is offered: a toast, a word for screen readers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from app.engine.events import Transfer, TransferState
from app.ui.files.model import failure_of, size_label
from app.ui.files.receivers import sent_to
from app.ui.widgets import ToastArea


class TransferNews:
    """Tells every end once; a file that is sent again may end again."""

    def __init__(
        self,
        toasts: ToastArea,
        announce: Callable[[str], None],
        open_folder: Callable[[Path], None],
        accept: Callable[[str], None],
    ) -> None:
        self._toasts = toasts
        self._announce = announce
        self._open_folder = open_folder
        self._accept = accept
        self._told: set[tuple[str, bool]] = set()

    def handle_transfer(self, transfer: Transfer) -> None:
        """Take a transfer's newest state."""
        offered = transfer.state is TransferState.OFFERED
        if transfer.state.is_over or (offered and not transfer.outgoing):
            key = (transfer.id, offered)
            if key not in self._told:
                self._told.add(key)
                self._tell(transfer)
            return
        self._told -= {(transfer.id, True), (transfer.id, False)}
        # Answered in the panel: nobody is asked again by what lies over the stage.
        self._toasts.dismiss(f"offer_{transfer.id}")
        # It goes on: how it ended the last time is no news any more.
        self._toasts.dismiss(f"file_{transfer.id}")

    def _tell(self, transfer: Transfer) -> None:
        name = transfer.file_name
        if transfer.state is TransferState.OFFERED:
            self._tell_offer(transfer)
            return
        self._toasts.dismiss(f"offer_{transfer.id}")
        if transfer.state is TransferState.FAILED:
            text = failure_of(transfer)
            self._toasts.show_toast(f"file_{transfer.id}", name, text, tone="danger", stays=True)
            self._announce(f"{name}: {text}")
        elif transfer.state is TransferState.DONE and transfer.outgoing:
            self._announce(f"{name} sent to {sent_to(transfer)}")
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

    def _tell_offer(self, transfer: Transfer) -> None:
        who = transfer.peer_name or "Somebody"
        self._toasts.show_toast(
            f"offer_{transfer.id}",
            f"{who} wants to send you a {'folder' if transfer.is_folder else 'file'}",
            f"{transfer.file_name}, {size_label(transfer.size_bytes)}",
            action="Accept",
            on_action=partial(self._accept, transfer.id),
            stays=True,
        )
        self._announce(f"{who} wants to send you {transfer.file_name}")
