"""What two Lanai apps say to each other about a file, beside the stream that carries it.

The sender offers (a call, so that any other program answers "no such method" and gets a plain
stream), the receiver says from which byte it wants the rest. Pausing, going on and cancelling are
calls in either direction; how much has arrived is a packet on a topic of its own, so that no more
is under way than the receiver keeps up with. Unmodified SDKs ignore all of it. Sans-IO.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.protocol.errors import ProtocolError

TOPIC = "lanai.transfer"
OFFER = "lanai.transfer.offer"
RESUME = "lanai.transfer.resume"
PAUSE = "lanai.transfer.pause"
CANCEL = "lanai.transfer.cancel"
METHODS = (OFFER, RESUME, PAUSE, CANCEL)

FILE_ID_ATTRIBUTE = "lanai.file_id"
OFFSET_ATTRIBUTE = "lanai.offset"
SHA256_ATTRIBUTE = "lanai.sha256"

PAUSED = "paused"
CANCELLED = "cancelled"

MAX_FILES = 2_000
MAX_MESSAGE_CHARS = 1_000_000
MAX_NAME_CHARS = 1_024
MAX_SIZE_BYTES = 1 << 50
_FILE_ID = re.compile(r"[0-9a-zA-Z-]{8,64}\Z")
_SHA256 = re.compile(r"([0-9a-f]{64})?\Z")


class Answer(StrEnum):
    """What a receiver says to an offer."""

    ACCEPT = "accept"
    ASK = "ask"
    PAUSED = "paused"
    DONE = "done"
    DECLINE = "decline"


class Refusal(StrEnum):
    """Why a receiver takes no more of a file."""

    DECLINED = "declined"
    CANCELLED = "cancelled"
    TOO_LARGE = "too_large"
    DISK_FULL = "disk_full"
    DAMAGED = "damaged"
    BUSY = "busy"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class FileOffer:
    """A file, or a folder's files one after the other as one sequence of bytes.

    `files` is empty for a file, else relative path (with `/`) and size of each.
    """

    file_id: str
    name: str
    size_bytes: int
    files: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class OfferAnswer:
    """From which byte the rest is wanted, and what the bytes before it hash to."""

    answer: Answer
    offset: int = 0
    prefix_sha256: str = ""
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """A receiver wants the rest of a file now."""

    file_id: str
    offset: int = 0
    prefix_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """One side pauses or cancels; `refusal` only where the receiver cancels."""

    file_id: str
    refusal: Refusal = Refusal.CANCELLED


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the receiver is, in bytes that lie on its disk; `done` when all was right."""

    file_id: str
    got_bytes: int
    done: bool = False


@dataclass(frozen=True, slots=True)
class StreamLabel:
    """What the header of a byte stream between Lanai apps says; id "" is anybody's stream."""

    file_id: str = ""
    offset: int = 0


def file_id_of(text: str) -> str:
    """Check an id: it becomes part of a file name."""
    if not _FILE_ID.match(text):
        raise ProtocolError("transfer: bad file id")
    return text


def encode_offer(offer: FileOffer) -> str:
    """Write an offer."""
    about: dict[str, object] = {
        "id": offer.file_id,
        "name": offer.name,
        "size": offer.size_bytes,
    }
    if offer.files:
        about["files"] = [list(each) for each in offer.files]
    return json.dumps(about)


def parse_offer(text: str) -> FileOffer:
    """Read an offer; ProtocolError."""
    raw = _object(text)
    size_bytes = _integer(raw, "size")
    files: list[tuple[str, int]] = []
    listed = raw.get("files", [])
    if not isinstance(listed, list) or len(listed) > MAX_FILES:
        raise ProtocolError("transfer: bad list of files")
    for each in listed:
        if not isinstance(each, list) or len(each) != 2:
            raise ProtocolError("transfer: bad list of files")
        path, size = each
        if not isinstance(path, str) or not 0 < len(path) <= MAX_NAME_CHARS:
            raise ProtocolError("transfer: bad path")
        if type(size) is not int or not 0 <= size <= MAX_SIZE_BYTES:
            raise ProtocolError("transfer: bad size")
        files.append((path, size))
    if files and sum(size for _, size in files) != size_bytes:
        raise ProtocolError("transfer: sizes do not add up")
    return FileOffer(_id(raw), _text(raw, "name"), size_bytes, tuple(files))


def encode_answer(answer: OfferAnswer) -> str:
    """Write an answer."""
    about: dict[str, object] = {"answer": answer.answer, "offset": answer.offset}
    if answer.prefix_sha256:
        about["sha256"] = answer.prefix_sha256
    if answer.refusal is not None:
        about["reason"] = answer.refusal
    return json.dumps(about)


def parse_answer(text: str) -> OfferAnswer:
    """Read an answer; ProtocolError."""
    raw = _object(text)
    try:
        answer = Answer(_text(raw, "answer"))
    except ValueError as error:
        raise ProtocolError("transfer: unknown answer") from error
    return OfferAnswer(answer, _integer(raw, "offset", 0), _sha256(raw), _refusal(raw, None))


def encode_resume(resume: Resume) -> str:
    """Write it."""
    about = {"id": resume.file_id, "offset": resume.offset, "sha256": resume.prefix_sha256}
    return json.dumps(about)


def parse_resume(text: str) -> Resume:
    """Read it; ProtocolError."""
    raw = _object(text)
    return Resume(_id(raw), _integer(raw, "offset", 0), _sha256(raw))


def encode_stop(stop: Stop) -> str:
    """Write it."""
    return json.dumps({"id": stop.file_id, "reason": stop.refusal})


def parse_stop(text: str) -> Stop:
    """Read it; an unknown reason is a cancel."""
    raw = _object(text)
    return Stop(_id(raw), _refusal(raw, Refusal.CANCELLED) or Refusal.CANCELLED)


def encode_progress(progress: Progress) -> bytes:
    """Write it."""
    about: dict[str, object] = {"id": progress.file_id, "got": progress.got_bytes}
    if progress.done:
        about["done"] = True
    return json.dumps(about).encode()


def parse_progress(data: bytes) -> Progress:
    """Read it; ProtocolError."""
    try:
        raw = _object(data.decode())
    except UnicodeDecodeError as error:
        raise ProtocolError("transfer: not text") from error
    return Progress(_id(raw), _integer(raw, "got"), raw.get("done") is True)


def label_of(attributes: Mapping[str, str]) -> StreamLabel:
    """Read the attributes of a byte stream; what makes no sense is anybody's stream."""
    file_id, offset = attributes.get(FILE_ID_ATTRIBUTE, ""), attributes.get(OFFSET_ATTRIBUTE, "0")
    if not _FILE_ID.match(file_id) or not offset.isascii() or not offset.isdigit():
        return StreamLabel()
    if len(offset) > 16:
        return StreamLabel()
    return StreamLabel(file_id, int(offset))


def attributes_of(label: StreamLabel) -> dict[str, str]:
    """Write them."""
    return {FILE_ID_ATTRIBUTE: label.file_id, OFFSET_ATTRIBUTE: str(label.offset)}


@dataclass(frozen=True, slots=True)
class PartialFile:
    """What lies beside a half-received file, so that another run of the app can go on."""

    offer: FileOffer
    sender: str
    room: str
    offset: int = 0
    prefix_sha256: str = ""
    at_ms: int = 0


def encode_partial(partial: PartialFile) -> bytes:
    """Write it."""
    about = {
        "offer": json.loads(encode_offer(partial.offer)),
        "sender": partial.sender,
        "room": partial.room,
        "offset": partial.offset,
        "sha256": partial.prefix_sha256,
        "at_ms": partial.at_ms,
    }
    return json.dumps(about).encode()


def parse_partial(data: bytes) -> PartialFile:
    """Read it; ProtocolError: somebody else may have written it."""
    try:
        raw = _object(data.decode())
        offer = parse_offer(json.dumps(raw.get("offer")))
    except UnicodeDecodeError as error:
        raise ProtocolError("transfer: not text") from error
    return PartialFile(
        offer,
        _text(raw, "sender"),
        _text(raw, "room"),
        _integer(raw, "offset", 0),
        _sha256(raw),
        _integer(raw, "at_ms", 0),
    )


def _object(text: str) -> dict[str, object]:
    if len(text) > MAX_MESSAGE_CHARS:
        raise ProtocolError("transfer: message too large")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("transfer: no JSON") from error
    if not isinstance(raw, dict):
        raise ProtocolError("transfer: no object")
    return raw


def _id(raw: Mapping[str, object]) -> str:
    return file_id_of(_text(raw, "id"))


def _text(raw: Mapping[str, object], key: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or len(value) > MAX_NAME_CHARS:
        raise ProtocolError(f"transfer: bad {key}")
    return value


def _integer(raw: Mapping[str, object], key: str, otherwise: int | None = None) -> int:
    value = raw.get(key, otherwise)
    if type(value) is not int or not 0 <= value <= MAX_SIZE_BYTES:
        raise ProtocolError(f"transfer: bad {key}")
    return value


def _sha256(raw: Mapping[str, object]) -> str:
    value = raw.get("sha256", "")
    if not isinstance(value, str) or not _SHA256.match(value):
        raise ProtocolError("transfer: bad hash")
    return value


def _refusal(raw: Mapping[str, object], otherwise: Refusal | None) -> Refusal | None:
    value = raw.get("reason")
    if isinstance(value, str) and value in list(Refusal):
        return Refusal(value)
    return otherwise
