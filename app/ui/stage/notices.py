"""Short messages about the meeting: who came, what could not be done, which device failed.

One place for their words and for what a screen reader is told. Joins are gathered for two
seconds, so that a class that enters is one message; so are devices that are not there, for a
moment, so that a computer without any is told once.
"""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent
from PySide6.QtWidgets import QWidget

from app.engine.events import DeviceKind
from app.runtime.errors import Reason
from app.ui.files.model import failure_text
from app.ui.home.words import device_words, typeset
from app.ui.widgets import ToastArea

JOINS_BATCHED_MS = 2000
MISSING_BATCHED_MS = 250

_DEVICES = {
    DeviceKind.MICROPHONE: "Microphone",
    DeviceKind.CAMERA: "Camera",
    DeviceKind.SPEAKER: "Speakers",
}

_PLAIN_DEVICES = {
    DeviceKind.MICROPHONE: "microphone",
    DeviceKind.CAMERA: "camera",
    DeviceKind.SPEAKER: "speakers",
}

_PASTE_WORDS = {
    Reason.TOO_LARGE: "It is too large to send here.",
    Reason.DISK_FULL: "The disk is full.",
    Reason.DENIED: typeset("It couldn't be written to the disk."),
}


def refusal_text(reason: Reason) -> str:
    """What a person is told when the engine refused something in the meeting."""
    match reason:
        case Reason.DENIED | Reason.REFUSED:
            return typeset("The meeting doesn't allow it.")
        case Reason.NO_ROUTE | Reason.TIMEOUT:
            return "The meeting did not answer. Try again in a moment."
        case _:
            return "Try again in a moment."


def joined_text(names: list[str]) -> str:
    """One sentence for everybody who came in together."""
    if len(names) == 1:
        return f"{names[0]} joined the meeting"
    if len(names) == 2:
        return f"{names[0]} and {names[1]} joined the meeting"
    return f"{names[0]} and {len(names) - 1} others joined the meeting"


def missing_text(kinds: set[DeviceKind]) -> tuple[str, str]:
    """Title and sentence for devices that this computer does not have."""
    names = [word for kind, word in _PLAIN_DEVICES.items() if kind in kinds]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
    unheard, unseen = DeviceKind.MICROPHONE in kinds, DeviceKind.CAMERA in kinds
    deaf = DeviceKind.SPEAKER in kinds
    verbs = [verb for verb, lost in (("hear", unheard), ("see", unseen)) if lost]
    parts = [f"others can't {' or '.join(verbs)} you"] if verbs else []
    if deaf:
        parts.append("you can't hear them" if verbs else "you can't hear others")
    sentence = " and ".join(parts)
    return f"No {listed} found", typeset(
        f"{sentence[0].upper()}{sentence[1:]}. Chat and files work."
    )


class Notices(QObject):
    """Shows toasts and announces them on behalf of `page`."""

    def __init__(self, page: QWidget, toasts: ToastArea) -> None:
        super().__init__(page)
        self._page = page
        self._toasts = toasts
        self._newcomers: list[str] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(JOINS_BATCHED_MS)
        self._timer.timeout.connect(self._tell_newcomers)
        self._missing: set[DeviceKind] = set()
        self._missing_timer = QTimer(self)
        self._missing_timer.setSingleShot(True)
        self._missing_timer.setInterval(MISSING_BATCHED_MS)
        self._missing_timer.timeout.connect(self._tell_missing)

    def announce(self, text: str) -> None:
        """Have it read aloud, where something reads."""
        if QAccessible.isActive():
            QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self._page, text))

    def tell_joined(self, name: str) -> None:
        """Somebody came in; told with whoever follows within two seconds."""
        self._newcomers.append(name)
        if not self._timer.isActive():
            self._timer.start()

    def tell_reconnecting(self) -> None:
        """The banner is on screen; this is for those who cannot see it."""
        self.announce("Reconnecting. Your connection dropped.")

    def tell_back(self) -> None:
        """The connection holds again."""
        self._toasts.show_toast("reconnected", typeset("You're back"), tone="success")
        self.announce(typeset("You're back"))

    def tell_refused(self, reason: Reason) -> None:
        """Something that was asked for was refused."""
        title = typeset("That didn't work")
        self._toasts.show_toast("refused", title, refusal_text(reason), tone="warn")

    def tell_chat_refused(self, reason: Reason) -> None:
        """A line could not be sent; it is back in the field."""
        title = typeset("Your message wasn't sent")
        self._toasts.show_toast("chat", title, refusal_text(reason), tone="warn")

    def tell_file_refused(self, name: str, reason: Reason) -> None:
        """A file could not even be started."""
        text = failure_text(reason, "")
        self._toasts.show_toast("file_refused", name, text, tone="danger", stays=True)

    def tell_paste_refused(self, reason: Reason) -> None:
        """A picture on the clipboard cannot go with the message."""
        title = typeset("The picture can't be pasted")
        text = _PASTE_WORDS.get(reason, "The clipboard holds nothing that can be sent.")
        self._toasts.show_toast("paste_refused", title, text, tone="warn")
        self.announce(f"{title}. {text}")

    def tell_nobody_receives(self) -> None:
        """A file for an empty meeting."""
        title, text = "Nobody else is here yet", "Send the file again when somebody has joined."
        self._toasts.show_toast("file_refused", title, text, tone="warn")
        self.announce(f"{title}. {text}")

    def tell_device_failed(self, kind: DeviceKind, reason: Reason, name: str) -> None:
        """A device is missing, busy, or was unplugged."""
        if reason is Reason.DEVICE_GONE and not name:
            self._missing.add(kind)
            self._missing_timer.start()
            return
        title, text = _DEVICES[kind], device_words(kind.value, reason)
        # What is wrong is the title; what to do about it stands below.
        what, dash, then = text.partition(" \u2013 ")
        if reason is Reason.DEVICE_GONE:
            text = f"{name} was unplugged."
        elif dash:
            title, text = what, f"{then[:1].upper()}{then[1:]}"
        self._toasts.show_toast(f"device_{kind.value}", title, text, tone="warn", stays=True)

    def tell_device_replaced(self, kind: DeviceKind, name: str, other: str) -> None:
        """A device was unplugged and another one goes on in its place."""
        text = typeset(f"{name} was unplugged. Using {other}.")
        self._toasts.show_toast(f"device_{kind.value}", _DEVICES[kind], text, tone="info")
        self.announce(text)

    def stop(self) -> None:
        """The meeting is over: what waits is not told any more."""
        self._timer.stop()
        self._missing_timer.stop()

    def _tell_missing(self) -> None:
        missing, self._missing = self._missing, set()
        if missing:
            title, text = missing_text(missing)
            # It does not stay: the button goes on showing what is missing.
            self._toasts.show_toast("devices_missing", title, text, tone="warn")
            self.announce(f"{title}. {text}")

    def _tell_newcomers(self) -> None:
        names, self._newcomers = self._newcomers, []
        if names:
            text = joined_text(names)
            self._toasts.show_toast("joined", text, tone="joined")
            self.announce(text)
