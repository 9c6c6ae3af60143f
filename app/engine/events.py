"""What the engine tells the interface: frozen facts and snapshots, no engine objects.

Posted on the engine thread, read on the Qt thread (`ui/bridge.py`). Frames never travel here:
decoders put them into a tile's `VideoSlot`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from app.runtime.errors import Reason


class Role(StrEnum):
    """What a person may do in a room (design: host, co-host, guest)."""

    HOST = "host"
    COHOST = "cohost"
    GUEST = "guest"


class VideoKind(StrEnum):
    """Which picture of a person a tile shows."""

    CAMERA = "camera"
    SCREEN = "screen"


class Quality(StrEnum):
    """Connection quality as the server judges it."""

    EXCELLENT = "excellent"
    GOOD = "good"
    POOR = "poor"
    LOST = "lost"


class DeviceKind(StrEnum):
    """What a device is for."""

    MICROPHONE = "microphone"
    SPEAKER = "speaker"
    CAMERA = "camera"


class TransferState(StrEnum):
    """Where a file transfer stands.

    OFFERED waits for an answer: of this person when it comes in, of the others when it goes
    out. PAUSED goes on where it stopped. DECLINED ends like CANCELLED, by the receiver's word.
    """

    OFFERED = "offered"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DECLINED = "declined"

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens unless somebody asks for it."""
        return self not in (TransferState.OFFERED, TransferState.RUNNING, TransferState.PAUSED)


class ChatState(StrEnum):
    """Where a line of one's own stands; a line of somebody else's is always SENT."""

    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


class AttachmentState(StrEnum):
    """What there is of an attachment: COMING and HERE are pictures kept for the chat.

    FILE went to the transfers, MISSED was sent before one came, FAILED broke off.
    """

    COMING = "coming"
    HERE = "here"
    FILE = "file"
    MISSED = "missed"
    FAILED = "failed"


class JoinStage(StrEnum):
    """How far a join is, in order; IN_LOBBY is left out where nobody has to wait for the host."""

    FOUND_SERVER = "found_server"
    IN_LOBBY = "in_lobby"
    SIGNED_IN = "signed_in"
    MEDIA_READY = "media_ready"


class EndCause(StrEnum):
    """Why a meeting is over for this person; the interface owns the words."""

    LEFT = "left"
    LOST = "lost"
    REMOVED = "removed"
    DUPLICATE = "duplicate"
    ENDED = "ended"
    HOST_STOPPED = "host_stopped"


class PersonKind(StrEnum):
    """What is behind a participant that is nobody at a computer."""

    PERSON = "person"
    AGENT = "agent"
    PHONE = "phone"
    STREAM = "stream"
    RECORDER = "recorder"
    BRIDGE = "bridge"


@dataclass(frozen=True, slots=True)
class Person:
    """A participant as a tile or a row shows it."""

    identity: str
    name: str
    is_me: bool = False
    role: Role = Role.GUEST
    is_agent: bool = False
    agent_state: str = ""
    mic_on: bool = False
    has_mic: bool = False
    camera_on: bool = False
    quality: Quality = Quality.EXCELLENT
    joined_at_ms: int = 0
    hand_at_ms: int = 0
    """When the hand went up, by that person's clock; 0 while it is down."""
    status: str = ""
    """A few words about oneself ("back in 5 minutes")."""
    sharing: bool = False
    kind: PersonKind = PersonKind.PERSON
    is_arriving: bool = False
    """Announced, but sound and picture cannot reach them yet."""


@dataclass(frozen=True, slots=True)
class Knock:
    """Somebody who waits in the lobby, as hosts and co-hosts see it."""

    id: str
    name: str
    since_ms: int = 0


@dataclass(frozen=True, slots=True)
class Helper:
    """A host or co-host who has left and could come back as one."""

    identity: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class RoomRules:
    """What the host has decided; `passcode` says that there is one.

    `share`, `chat` and `files` are what guests may do; hosts and co-hosts always may.
    `max_people` 0 means no limit.
    """

    passcode: bool = False
    lobby: bool = False
    locked: bool = False
    max_people: int = 0
    share: bool = True
    chat: bool = True
    files: bool = True
    version: int = 0


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device: `id` is stable for settings, `os_path` what the operating system opens."""

    kind: DeviceKind
    id: str
    name: str
    os_path: str = ""
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an outgoing drop ended with one of its receivers."""

    name: str
    state: TransferState
    error: Reason | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """A drop (a file, or a folder as one) on its way. Sizes in bytes, `rate_bps` in bytes/s.

    `files` counts what a folder holds and is 1 for a file; `path` is the folder then. `to` is
    whom an outgoing one was meant for (empty: everybody), `receivers` how many of them take
    part and `received` how many have it whole; `outcomes` names those for whom it is over, one
    way or the other. `pausable` says that it can be held from here,
    `paused_by_me` who may resume; `resumable`, that a retry goes on where it stopped.
    `is_waiting` says of a paused one that the other side is gone, perhaps not for long;
    `cancelled_by` names the others who stopped it.
    `limit_bytes` is the most that was to be taken of an incoming one, 0 where none was told.
    """

    id: str
    file_name: str
    size_bytes: int
    done_bytes: int
    outgoing: bool
    peer_name: str
    state: TransferState
    rate_bps: float = 0.0
    path: Path | None = None
    sha256: str = ""
    error: Reason | None = None
    started_at_ms: int = 0
    peer_identity: str = ""
    to: tuple[str, ...] = ()
    is_folder: bool = False
    files: int = 1
    pausable: bool = False
    paused_by_me: bool = False
    is_waiting: bool = False
    resumable: bool = False
    receivers: int = 0
    received: int = 0
    outcomes: tuple[Outcome, ...] = ()
    cancelled_by: tuple[str, ...] = ()
    cancelled_by_me: bool = False
    limit_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Caption:
    """A piece of speech as text; until it is final its words may change. `name` for people."""

    id: str
    identity: str
    text: str
    is_final: bool
    name: str = ""
    track_sid: str = ""
    language: str = ""
    changed_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Event:
    """Base of everything the engine posts."""


@dataclass(frozen=True, slots=True)
class JoinProgressed(Event):
    """The join reached a stage."""

    stage: JoinStage


@dataclass(frozen=True, slots=True)
class MeetingJoined(Event):
    """This person is in; `people` holds everybody, `me` included, in join order."""

    room: str
    me: str
    host_name: str
    people: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class ReconnectStarted(Event):
    """The connection dropped; the engine is trying again."""


@dataclass(frozen=True, slots=True)
class Reconnected(Event):
    """Back in the same meeting; `people` replaces the list."""

    people: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class MeetingEnded(Event):
    """The meeting is over here. `duration_s` is this person's time in it."""

    cause: EndCause
    room: str
    host_name: str
    duration_s: float
    files_saved: int
    folder: Path
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PersonJoined(Event):
    """Somebody came in."""

    person: Person


@dataclass(frozen=True, slots=True)
class PersonChanged(Event):
    """Something about a person changed: name, mute, camera, role, quality."""

    person: Person


@dataclass(frozen=True, slots=True)
class PersonLeft(Event):
    """Somebody left."""

    identity: str
    name: str


@dataclass(frozen=True, slots=True)
class SpeakersChanged(Event):
    """Everybody who is speaking now, loudest first, level 0..1; the empty tuple is silence."""

    speakers: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class ChatQuote:
    """The line that another one answers, shortened."""

    id: str
    identity: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class ChatAttachment:
    """A picture or a file that came with a line; `path` is set once a picture is here."""

    id: str
    name: str
    size_bytes: int
    state: AttachmentState
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class ChatReaction:
    """How many people answered a line with a glyph, and whether one is among them."""

    glyph: str
    names: tuple[str, ...]
    is_mine: bool


@dataclass(frozen=True, slots=True)
class ChatReceived(Event):
    """A chat line as it is now, one's own included; a repeated `id` from the same sender replaces.

    `growing` says that its text is still coming, `broken` that its sender stopped in the middle of
    it. `private` lines went to some people alone:
    `to_names` names them for a line of one's own, and the others who got it for anybody else's.
    `is_old` marks a line that was written before one came; `told_by` names the guest on whose word
    alone it stands, and is empty for what a host or its author told.
    """

    id: str
    identity: str
    name: str
    text: str
    at_ms: int
    is_mine: bool
    state: ChatState = ChatState.SENT
    edited: bool = False
    deleted: bool = False
    growing: bool = False
    broken: bool = False
    private: bool = False
    to: tuple[str, ...] = ()
    to_names: tuple[str, ...] = ()
    quote: ChatQuote | None = None
    attachments: tuple[ChatAttachment, ...] = ()
    reactions: tuple[ChatReaction, ...] = ()
    is_old: bool = False
    told_by: str = ""


@dataclass(frozen=True, slots=True)
class ChatHistoryReceived(Event):
    """Lines from before one came, oldest first; they belong above all that were seen live.

    Posted without any when whoever was asked had nothing new to tell.
    """

    lines: tuple[ChatReceived, ...]


@dataclass(frozen=True, slots=True)
class ChatFailed(Event):
    """A line of one's own could not be sent; `retry_chat` tries again."""

    id: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class TypingChanged(Event):
    """Who is writing a message now: identities and names, in the order in which they began."""

    people: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CaptionsChanged(Event):
    """What was said lately, oldest first; the list replaces the one before."""

    captions: tuple[Caption, ...]


@dataclass(frozen=True, slots=True)
class TransferChanged(Event):
    """A transfer started, moved (at most 4 times a second), or ended."""

    transfer: Transfer


@dataclass(frozen=True, slots=True)
class LevelChanged(Event):
    """Microphone level after processing, 0..1, at about 15 Hz while it is open."""

    level: float


@dataclass(frozen=True, slots=True)
class DevicesChanged(Event):
    """The devices that exist and the chosen ids (empty: none)."""

    devices: tuple[DeviceInfo, ...]
    chosen: dict[DeviceKind, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeviceFailed(Event):
    """A device could not be opened or went away; the meeting goes on without it.

    `device_name` is given when it was unplugged while used, and `replacement` names the device
    that took its place.
    """

    kind: DeviceKind
    reason: Reason
    device_name: str = ""
    replacement: str = ""


@dataclass(frozen=True, slots=True)
class LocalMediaChanged(Event):
    """What is open now: the truth behind the Mute and Stop video buttons."""

    mic_on: bool
    camera_on: bool


@dataclass(frozen=True, slots=True)
class RoomRulesChanged(Event):
    """The rules as they are now; posted after joining too, where the server has Lanai's door."""

    rules: RoomRules


@dataclass(frozen=True, slots=True)
class KnocksChanged(Event):
    """Everybody who waits in the lobby, longest wait first; only hosts and co-hosts hear of it."""

    knocks: tuple[Knock, ...]


@dataclass(frozen=True, slots=True)
class KnockArrived(Event):
    """Somebody new waits; the `KnocksChanged` that holds it has been posted already."""

    knock: Knock


@dataclass(frozen=True, slots=True)
class HelpersAwayChanged(Event):
    """Every host and co-host who is not here; only those who are hear of it."""

    helpers: tuple[Helper, ...]


@dataclass(frozen=True, slots=True)
class ReactionReceived(Event):
    """Somebody reacted; one's own reaction comes back at once."""

    identity: str
    name: str
    emoji: str
    is_mine: bool = False


@dataclass(frozen=True, slots=True)
class MutedByHost(Event):
    """A host or co-host muted us, or stopped our camera or share; turning it on again is ours."""

    microphone: bool = False
    camera: bool = False
    share: bool = False
