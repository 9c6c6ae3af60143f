"""Text and byte streams as a script handles them: writers, readers, and what is known of each.

A writer cuts through `protocol/streams`; a reader is filled by the room's assembler. A reader
holds what arrived until it is read: the sender is not slowed down by a slow reader, so one that
has 128 MB waiting is given up. What came compressed stays so while a megabyte waits.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from livekit.protocol.models import DataPacket

from app.protocol.data_packet import PacketTooLargeError
from app.protocol.streams.assembler import IncomingStream
from app.protocol.streams.splitter import (
    ByteSplitter,
    HeaderTooLargeError,
    StreamDescription,
    TextFacts,
    TextSplitter,
)
from app.runtime.errors import WorldError

if TYPE_CHECKING:
    from app.engine.local_participant import LocalParticipant

T = TypeVar("T", str, bytes)

TOO_SLOW = "The reader is too slow"
MAX_WAITING = 128_000_000
ROOM_BELOW = 1 << 20


class StreamError(ConnectionError):
    """A stream broke off, or could not be sent."""

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description


@dataclass
class BaseStreamInfo:
    """What is known of a stream of either kind. `timestamp` is in Unix milliseconds."""

    stream_id: str
    mime_type: str
    topic: str
    timestamp: int
    size: int | None
    attributes: dict[str, str] | None


@dataclass
class TextStreamInfo(BaseStreamInfo):
    """What is known of a text stream."""

    attachments: list[str]


@dataclass
class ByteStreamInfo(BaseStreamInfo):
    """What is known of a byte stream."""

    name: str


class _Reader(Generic[T]):
    def __init__(
        self,
        header: IncomingStream,
        attributes: dict[str, str],
        on_close: Callable[[], None] | None,
    ) -> None:
        self._header = header
        self._attributes = attributes
        self._on_close = on_close
        self._pieces: deque[T] = deque()
        self._waiting = 0
        self._received_bytes = 0
        self._ready = asyncio.Event()
        self._ended = False
        self._closed = False
        self._error: StreamError | None = None
        self.on_room: Callable[[], object] | None = None

    @property
    def has_room(self) -> bool:
        """Whether so little waits that more may be unpacked."""
        return self._waiting < ROOM_BELOW

    def handle_piece(self, piece: T) -> None:
        """Take what arrived."""
        if self._closed or self._ended:
            return
        self._received_bytes += len(piece if isinstance(piece, bytes) else piece.encode())
        self._waiting += len(piece)
        if self._waiting > MAX_WAITING:
            self._finish(StreamError(TOO_SLOW))
            if self._on_close is not None:
                self._on_close()
            return
        self._pieces.append(piece)
        self._ready.set()

    @property
    def header(self) -> IncomingStream:
        """All that the stream's header said."""
        return self._header

    @property
    def progress(self) -> float | None:
        """How much has arrived, 0 to 1; None while nobody knows."""
        total = self._header.total_bytes
        return self._received_bytes / total if total else None

    def handle_end(self, attributes: dict[str, str]) -> None:
        """Take the regular end."""
        self._attributes.update(attributes)
        self._finish(None)

    def handle_failure(self, description: str) -> None:
        """Take the other end: readers get what arrived, then the error."""
        self._finish(StreamError(description))

    def _finish(self, error: StreamError | None) -> None:
        if not self._ended:
            self._ended = True
            self._error = error
            self._ready.set()

    async def _next(self) -> T:
        while not self._pieces:
            if self._ended:
                self._close()
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        piece = self._pieces.popleft()
        self._waiting -= len(piece)
        if self.on_room is not None and self.has_room:
            asked, self.on_room = self.on_room, None
            asked()
        return piece

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._pieces.clear()
        self._finish(None)
        if self._on_close is not None:
            self._on_close()

    def close(self) -> None:
        """Stop reading; the rest of the stream is dropped."""
        self._close()

    async def aclose(self) -> None:
        """Stop reading; the rest of the stream is dropped."""
        self._close()


class TextStreamReader(_Reader[str]):
    """An incoming text, piece by piece as it arrives."""

    def __init__(
        self, owned_info: IncomingStream, *, on_close: Callable[[], None] | None = None
    ) -> None:
        attributes = dict(owned_info.attributes)
        super().__init__(owned_info, attributes, on_close)
        self._info = TextStreamInfo(
            stream_id=owned_info.stream_id,
            mime_type=owned_info.mime_type,
            topic=owned_info.topic,
            timestamp=owned_info.timestamp_ms,
            size=owned_info.total_bytes or 0,
            attributes=attributes,
            attachments=list(owned_info.attached_stream_ids),
        )

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        return await self._next()

    @property
    def info(self) -> TextStreamInfo:
        """What is known; attributes grow when the stream ends."""
        return self._info

    async def read_all(self) -> str:
        """Wait for the end and return the whole text."""
        return "".join([piece async for piece in self])


class ByteStreamReader(_Reader[bytes]):
    """Incoming bytes, piece by piece as they arrive. `capacity` has no effect."""

    def __init__(
        self,
        owned_info: IncomingStream,
        capacity: int = 0,
        *,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        attributes = dict(owned_info.attributes)
        super().__init__(owned_info, attributes, on_close)
        self._info = ByteStreamInfo(
            stream_id=owned_info.stream_id,
            mime_type=owned_info.mime_type,
            topic=owned_info.topic,
            timestamp=owned_info.timestamp_ms,
            size=owned_info.total_bytes or 0,
            attributes=attributes,
            name=owned_info.name,
        )

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await self._next()

    @property
    def info(self) -> ByteStreamInfo:
        """What is known; attributes grow when the stream ends."""
        return self._info


class BaseStreamWriter:
    """An outgoing stream. Writes wait while too much is on its way already."""

    def __init__(self, local_participant: LocalParticipant) -> None:
        self._local_participant = local_participant
        self._write_lock = asyncio.Lock()
        self._is_open = False
        self._closed = False

    async def _send(self, packets: Iterable[DataPacket]) -> None:
        try:
            for packet in packets:
                await self._local_participant.send_packet(packet)
        except (WorldError, PacketTooLargeError, HeaderTooLargeError) as error:
            raise StreamError(str(error)) from error

    def _check_writable(self) -> None:
        if self._closed:
            raise RuntimeError("Cannot write after stream is closed")
        if not self._is_open:
            raise RuntimeError("Stream is not open")

    def _trailer(self, reason: str, attributes: dict[str, str] | None) -> DataPacket:
        raise NotImplementedError("the kind of stream decides")

    async def aclose(self, *, reason: str = "", attributes: dict[str, str] | None = None) -> None:
        """End the stream; a `reason` tells readers that it is incomplete."""
        async with self._write_lock:
            if self._closed:
                raise RuntimeError("Stream already closed")
            if not self._is_open:
                raise RuntimeError("Stream is not open")
            self._closed = True
            await self._send([self._trailer(reason, attributes)])


def describe_stream(
    local_participant: LocalParticipant,
    *,
    topic: str,
    attributes: dict[str, str] | None,
    stream_id: str | None,
    total_size: int | None,
    mime_type: str,
    destination_identities: list[str] | None,
    sender_identity: str | None = None,
) -> StreamDescription:
    """Say what the header of an outgoing stream says, now."""
    return StreamDescription(
        stream_id=stream_id or str(uuid.uuid4()),
        topic=topic,
        timestamp_ms=int(time.time() * 1000),
        mime_type=mime_type,
        total_bytes=total_size,
        attributes=dict(attributes or {}),
        destinations=tuple(destination_identities or ()),
        sender_identity=sender_identity or local_participant.identity,
    )


class TextStreamWriter(BaseStreamWriter):
    """An outgoing text."""

    def __init__(
        self,
        local_participant: LocalParticipant,
        *,
        topic: str = "",
        attributes: dict[str, str] | None = None,
        stream_id: str | None = None,
        total_size: int | None = None,
        reply_to_id: str | None = None,
        destination_identities: list[str] | None = None,
        sender_identity: str | None = None,
    ) -> None:
        super().__init__(local_participant)
        description = describe_stream(
            local_participant,
            topic=topic,
            attributes=attributes,
            stream_id=stream_id,
            total_size=total_size,
            mime_type="text/plain",
            destination_identities=destination_identities,
            sender_identity=sender_identity,
        )
        self._reply_to_id = reply_to_id or ""
        self._splitter = TextSplitter(description)
        self._info = TextStreamInfo(
            stream_id=description.stream_id,
            mime_type=description.mime_type,
            topic=topic,
            timestamp=description.timestamp_ms,
            size=total_size or 0,
            attributes=dict(description.attributes),
            attachments=[],
        )

    async def send_header(self) -> None:
        """Open the stream on the wire."""
        header = self._open_packet()
        await self._send([header])
        self._is_open = True

    def _open_packet(self) -> DataPacket:
        try:
            return self._splitter.open(TextFacts(reply_to_stream_id=self._reply_to_id))
        except HeaderTooLargeError as error:
            raise StreamError(str(error)) from error

    async def write(self, text: str) -> None:
        """Send more text."""
        async with self._write_lock:
            self._check_writable()
            await self._send(self._splitter.write(text))

    def _trailer(self, reason: str, attributes: dict[str, str] | None) -> DataPacket:
        return self._splitter.close(reason=reason, attributes=attributes)

    @property
    def info(self) -> TextStreamInfo:
        """What the header says."""
        return self._info


class ByteStreamWriter(BaseStreamWriter):
    """Outgoing bytes."""

    def __init__(
        self,
        local_participant: LocalParticipant,
        *,
        name: str,
        topic: str = "",
        attributes: dict[str, str] | None = None,
        stream_id: str | None = None,
        total_size: int | None = None,
        mime_type: str = "application/octet-stream",
        destination_identities: list[str] | None = None,
    ) -> None:
        super().__init__(local_participant)
        description = describe_stream(
            local_participant,
            topic=topic,
            attributes=attributes,
            stream_id=stream_id,
            total_size=total_size,
            mime_type=mime_type,
            destination_identities=destination_identities,
        )
        self._splitter = ByteSplitter(description)
        self._info = ByteStreamInfo(
            stream_id=description.stream_id,
            mime_type=mime_type,
            topic=topic,
            timestamp=description.timestamp_ms,
            size=total_size or 0,
            attributes=dict(description.attributes),
            name=name,
        )

    async def send_header(self) -> None:
        """Open the stream on the wire."""
        try:
            header = self._splitter.open(name=self._info.name)
        except HeaderTooLargeError as error:
            raise StreamError(str(error)) from error
        await self._send([header])
        self._is_open = True

    async def write(self, data: bytes) -> None:
        """Send more bytes."""
        async with self._write_lock:
            self._check_writable()
            await self._send(self._splitter.write(data))

    def _trailer(self, reason: str, attributes: dict[str, str] | None) -> DataPacket:
        return self._splitter.close(reason=reason, attributes=attributes)

    @property
    def info(self) -> ByteStreamInfo:
        """What the header says."""
        return self._info


TextStreamHandler = Callable[[TextStreamReader, str], None]
ByteStreamHandler = Callable[[ByteStreamReader, str], None]
