"""The words for everything that can go wrong or end, in one table.

`ENDINGS` has an entry for every `Reason` and every `EndCause`; a test checks it. Templates may
name {room}, {host}, {host_possessive}, {address}, {time}, {files}, {still_hosted}; `Facts` leaves
out what is unknown. Technical causes never appear: "Copy technical details" has them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from app.engine.events import EndCause
from app.runtime.errors import Reason


class NextStep(StrEnum):
    """What a button of the end page does."""

    REJOIN = "rejoin"
    TRY_AGAIN = "try_again"
    KEEP_TRYING = "keep_trying"
    EDIT_ADDRESS = "edit_address"
    PASTE_LINK = "paste_link"
    USE_DEVICE = "use_device"
    HOST_HERE = "host_here"
    OPEN_FOLDER = "open_folder"
    BACK = "back"


STEP_TEXT: dict[NextStep, tuple[str, str]] = {
    NextStep.REJOIN: ("Rejoin", "arrow-clockwise"),
    NextStep.TRY_AGAIN: ("Try again", "arrow-clockwise"),
    NextStep.KEEP_TRYING: ("Keep trying", "arrow-clockwise"),
    NextStep.EDIT_ADDRESS: ("Edit address", ""),
    NextStep.PASTE_LINK: ("Paste new link", ""),
    NextStep.USE_DEVICE: ("Use this device", ""),
    NextStep.HOST_HERE: ("Host it here", "house-line"),
    NextStep.OPEN_FOLDER: ("Open folder", "folder-open"),
    NextStep.BACK: ("Back to start", ""),
}


@dataclass(frozen=True, slots=True)
class Ending:
    """What a person reads: the page's icon and tone, title, sentence, and what to do next."""

    title: str
    text: str
    icon: str = "warning-circle"
    tone: str = "warn"
    primary: NextStep = NextStep.BACK
    secondary: NextStep | None = None
    check_network: bool = False


_GONE = Ending(
    "You're disconnected",
    'We couldn\'t reach "{room}" for 30 seconds, so the call ended on this computer. '
    "The meeting may still be running.",
    "link-break",
    "warn",
    NextStep.REJOIN,
    NextStep.BACK,
    check_network=True,
)
_UNREACHABLE = Ending(
    "Can't reach the server",
    "Nothing answered at {address}. Check the address, and that you're on the same network "
    "as the host.",
    "link-break",
    "danger",
    NextStep.TRY_AGAIN,
    NextStep.EDIT_ADDRESS,
    check_network=True,
)

ENDINGS: dict[EndCause | Reason, Ending] = {
    EndCause.LEFT: Ending(
        "You left the meeting",
        'You were in "{room}" for {time}.{files}{still_hosted}',
        "phone-x",
        "accent",
        NextStep.REJOIN,
        NextStep.BACK,
    ),
    EndCause.LOST: _GONE,
    EndCause.REMOVED: Ending(
        "You were removed",
        'A host removed you from "{room}". Nothing you say or show reaches it now.',
        "user-minus",
        "danger",
    ),
    EndCause.DUPLICATE: Ending(
        "You joined from another device",
        "Only one device can use your seat. This one has stepped out.",
        "device-mobile",
        "accent",
        NextStep.USE_DEVICE,
        NextStep.BACK,
    ),
    EndCause.ENDED: Ending(
        "The meeting has ended",
        '{host} ended "{room}" after {time}.{files}',
        "flag",
        "accent",
        NextStep.OPEN_FOLDER,
        NextStep.BACK,
    ),
    EndCause.HOST_STOPPED: Ending(
        "The host's computer stopped",
        '"{room}" ran on {host_possessive} computer, which has closed it.',
        "power",
        "warn",
        NextStep.HOST_HERE,
        NextStep.BACK,
    ),
    Reason.NO_ROUTE: _UNREACHABLE,
    Reason.TIMEOUT: _UNREACHABLE,
    # No program listens there, or what listens is no meeting server.
    Reason.REFUSED: Ending(
        "Can't reach the server",
        "No meeting server answered at {address}. Check the address, and ask the host whether "
        "the meeting is still running.",
        "link-break",
        "danger",
        NextStep.TRY_AGAIN,
        NextStep.EDIT_ADDRESS,
    ),
    Reason.TLS: Ending(
        "This connection isn't safe",
        "The server at {address} couldn't prove that it is the one you were invited to, "
        "so we didn't connect. Ask the host for a new link.",
        "lock-simple-open",
        "danger",
        NextStep.PASTE_LINK,
        NextStep.BACK,
    ),
    Reason.EXPIRED: Ending(
        "This invite has expired",
        "Invites stop working after a while to keep meetings private. Ask the host for a new link.",
        "key",
        "warn",
        NextStep.PASTE_LINK,
        NextStep.BACK,
    ),
    Reason.FORGED: Ending(
        "This invite doesn't work",
        "Part of the link may be missing. Copy it again, or ask for a new one.",
        "key",
        "warn",
        NextStep.PASTE_LINK,
        NextStep.BACK,
    ),
    Reason.PASSCODE: Ending(
        "That passcode isn't right",
        "Check it with the host and try again.",
        "key",
        "warn",
        NextStep.TRY_AGAIN,
        NextStep.BACK,
    ),
    Reason.FULL: Ending(
        "The meeting is full",
        "\"{room}\" can't take more people now. We'll keep trying and let you in when someone "
        "leaves.",
        "users-three",
        "warn",
        NextStep.KEEP_TRYING,
        NextStep.BACK,
    ),
    Reason.LOCKED: Ending(
        "The meeting is locked",
        "The host has closed the door. Ask them to unlock it, then try again.",
        "lock-key",
        "warn",
        NextStep.TRY_AGAIN,
        NextStep.BACK,
    ),
    Reason.DENIED: Ending(
        "You weren't let in",
        "The host didn't admit you this time.",
        "prohibit",
        "danger",
    ),
    Reason.NOT_FOUND: Ending(
        "This meeting isn't running",
        'There is no meeting "{room}" at {address} right now. Check the name, or ask the host '
        "to start it.",
        "magnifying-glass",
        "warn",
        NextStep.TRY_AGAIN,
        NextStep.EDIT_ADDRESS,
    ),
    Reason.INVALID_LINK: Ending(
        "That doesn't look like a link or an address",
        "Copy the whole link again, or type the address the host gave you.",
        "link-break",
        "warn",
        NextStep.EDIT_ADDRESS,
        NextStep.BACK,
    ),
    Reason.PORT_TAKEN: Ending(
        "The meeting couldn't start",
        "Other programs on this computer use every port we tried. Close one of them, then "
        "try again.",
        "power",
        "warn",
        NextStep.TRY_AGAIN,
        NextStep.BACK,
    ),
    Reason.SERVER_DIED: Ending(
        "The meeting couldn't start",
        "The part of Lanai that runs the meeting stopped right away. Try again.",
        "warning",
        "danger",
        NextStep.TRY_AGAIN,
        NextStep.BACK,
    ),
    Reason.DEVICE_BUSY: Ending(
        "Your device is in use", "Close the other app, then try again.", "warning-circle", "danger"
    ),
    Reason.DEVICE_GONE: Ending(
        "A device was unplugged", "Plug it in again, or choose another one.", "warning", "warn"
    ),
    Reason.DEVICE_DENIED: Ending(
        "Lanai may not use this device", "Allow it in system settings.", "warning-circle", "danger"
    ),
    Reason.NO_AUDIO_BACKEND: Ending(
        "Sound isn't available",
        "This computer has no sound system we can use. You can still watch and chat.",
        "speaker-slash",
        "warn",
    ),
    Reason.DISK_FULL: Ending(
        "Disk is full", "Free some space, then try again.", "warning-circle", "danger"
    ),
    Reason.FILE_GONE: Ending(
        "The file is gone",
        "It was moved, deleted or changed before it was sent.",
        "warning-circle",
        "danger",
    ),
    Reason.DAMAGED: Ending(
        "The file arrived damaged",
        "What arrived isn't what was sent, so it was thrown away. Ask for it again.",
        "warning-circle",
        "danger",
    ),
    Reason.PEER_GONE: Ending(
        "The other person went offline",
        "They went offline before it finished.",
        "warning-circle",
        "danger",
    ),
    Reason.TOO_LARGE: Ending(
        "This is too large to send", "Send a smaller one.", "warning-circle", "danger"
    ),
}

# What stands in the pre-join page, by what failed: (kind, reason) -> one sentence.
DEVICE_WORDS: dict[tuple[str, Reason], str] = {
    ("camera", Reason.DEVICE_BUSY): "Camera is in use - close the other app, then try again.",
    ("camera", Reason.DEVICE_GONE): "No camera found. You can join without one.",
    ("camera", Reason.DEVICE_DENIED): (
        "Lanai may not use the camera. Allow it in system settings."
    ),
    ("microphone", Reason.DEVICE_BUSY): (
        "Microphone is in use - close the other app, then try again."
    ),
    ("microphone", Reason.DEVICE_GONE): "No microphone found. You can join and listen.",
    ("microphone", Reason.DEVICE_DENIED): (
        "Lanai may not use the microphone. Allow it in system settings."
    ),
    ("microphone", Reason.NO_AUDIO_BACKEND): "Sound isn't available on this computer.",
    ("speaker", Reason.NO_AUDIO_BACKEND): "Sound isn't available on this computer.",
    ("speaker", Reason.DEVICE_GONE): "No speakers found.",
    ("speaker", Reason.DEVICE_BUSY): "The speakers are in use by another app.",
}


def device_words(kind: str, reason: Reason) -> str:
    """Return one sentence about a device that could not be opened."""
    known = DEVICE_WORDS.get((kind, reason))
    if known is not None:
        return typeset(known)
    ending = ENDINGS[reason]
    return typeset(f"{ending.title}. {ending.text}")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the templates may say about the meeting; empty strings for the unknown."""

    room: str = ""
    host: str = ""
    address: str = ""
    duration_s: float = 0.0
    files_saved: int = 0
    folder: Path | None = None
    host_is_me: bool = False
    still_hosted: bool = False

    def fill(self, template: str) -> str:
        """Fill a template and set its quotation marks and dashes."""
        host = "You" if self.host_is_me else self.host or "The host"
        values = {
            "room": self.room or "the meeting",
            "host": host,
            "host_possessive": f"{self.host}\u2019s" if self.host else "the host's",
            "address": self.address or "this address",
            "time": spoken_duration(self.duration_s),
            "files": self._files(),
            "still_hosted": (
                " This computer still hosts it; quitting Lanai ends it."
                if self.still_hosted
                else ""
            ),
        }
        if not self.room:
            template = template.replace('"{room}"', "{room}")
        return _capital(typeset(template).format_map(values))

    def _files(self) -> str:
        if not self.files_saved or self.folder is None:
            return ""
        files = "1 file was" if self.files_saved == 1 else f"{self.files_saved} files were"
        folder = self.folder
        # Our own folder inside Downloads: its bare name would read like the program's.
        shown = f"{folder.parent.name}/{folder.name}" if folder.name == "Lanai" else folder.name
        return f" {files} saved to {shown}."


def typeset(text: str) -> str:
    """Use typographic quotation marks, apostrophes and dashes (source stays plain ASCII)."""
    text = re.sub(r'"([^"]*)"', "\u201c\\1\u201d", text)
    return text.replace("'", "\u2019").replace(" - ", " \u2013 ")


def spoken_duration(duration_s: float) -> str:
    """Say a duration as a person would: "less than a minute", "42 minutes", "1 h 5 min"."""
    minutes = int(duration_s // 60)
    if minutes < 1:
        return "less than a minute"
    if minutes < 60:
        return "1 minute" if minutes == 1 else f"{minutes} minutes"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def clock_duration(duration_s: float) -> str:
    """Write a duration as the meeting's clock does: 24:18, 1:02:03."""
    seconds = int(duration_s)
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def list_names(names: tuple[str, ...]) -> str:
    """Say who is there: "Mia, Kai and Lena are here"."""
    if not names:
        return "Nobody is here yet"
    if len(names) == 1:
        return f"{names[0]} is here"
    if len(names) <= 3:
        return f"{', '.join(names[:-1])} and {names[-1]} are here"
    return f"{names[0]}, {names[1]} and {len(names) - 2} others are here"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
