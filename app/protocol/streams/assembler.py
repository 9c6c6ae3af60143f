"""Put received stream packets together, and notice when a stream cannot become whole.

Chunks are matched by stream id alone: a text stream that an agent sends on somebody's behalf
has that somebody's identity on its header and the agent's on the rest. A stream whose topic
nobody handles is ignored from its header on; a handler registered later does not get the rest.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from livekit.protocol.models import DataPacket, DataStream

from app.protocol.errors import ProtocolError

MAX_STREAM_BYTES = 5_000_000_000
MAX_OPEN_STREAMS = 1024


class StreamKind(StrEnum):
    """What a stream carries; handlers are found by kind and topic."""

    TEXT = "text"
    BYTES = "bytes"


class StreamFault(StrEnum):
    """Why a stream broke off."""

    CHUNK_MISSING = "a chunk is missing"
    TOO_LONG = "more bytes arrived than were announced"
    TOO_SHORT = "the stream ended before all announced bytes arrived"
    OVERSIZED = "the stream exceeds the accepted size"
    NOT_TEXT = "the text is not valid UTF-8"
    ABORTED = "the sender broke the stream off"
    SENDER_LEFT = "the sender left before the stream ended"
    ENCODING = "the stream uses an encoding that was not negotiated"


@dataclass(frozen=True, slots=True)
class IncomingStream:
    """What the header said. `total_bytes` is None when the sender did not know."""

    stream_id: str
    kind: StreamKind
    topic: str
    timestamp_ms: int
    mime_type: str
    total_bytes: int | None
    sender_identity: str
    attributes: Mapping[str, str]
    name: str = ""
    reply_to_stream_id: str = ""
    attached_stream_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """A header arrived."""

    stream: IncomingStream


@dataclass(frozen=True, slots=True)
class TextGrew:
    """Text arrived, whole characters only."""

    stream_id: str
    text: str


@dataclass(frozen=True, slots=True)
class BytesGrew:
    """Bytes arrived."""

    stream_id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The stream is whole; `attributes` of the trailer add to the header's."""

    stream_id: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """The stream will never be whole. `detail` is the sender's own reason, when it gave one."""

    stream_id: str
    fault: StreamFault
    detail: str = ""


Output = StreamOpened | TextGrew | BytesGrew | StreamEnded | StreamFailed


class _OpenStream:
    def __init__(self, stream: IncomingStream) -> None:
        self.stream = stream
        self.chunk_sender = stream.sender_identity
        self.next_index = 0
        self.received_bytes = 0
        self.decoder = codecs.getincrementaldecoder("utf-8")()


class StreamAssembler:
    """All streams that come in over one room; one per room, on the loop that receives.

    `max_bytes` bounds one stream's payload. Nothing is kept of the payload itself: each piece
    leaves as an output at once.
    """

    def __init__(self, *, max_bytes: int = MAX_STREAM_BYTES) -> None:
        self._max_bytes = max_bytes
        self._open: dict[str, _OpenStream] = {}

    def __len__(self) -> int:
        return len(self._open)

    def handle_packet(self, packet: DataPacket) -> list[Output]:
        """Take one packet of any kind; those that belong to no stream give nothing.

        Raises `ProtocolError` for a header that cannot open a stream.
        """
        match packet.WhichOneof("value"):
            case "stream_header":
                return self._handle_header(packet)
            case "stream_chunk":
                return self._handle_chunk(packet.stream_chunk, packet.participant_identity)
            case "stream_trailer":
                return self._handle_trailer(packet.stream_trailer)
            case _:
                return []

    def ignore(self, stream_id: str) -> None:
        """Drop everything else of a stream that nobody wants."""
        self._open.pop(stream_id, None)

    def handle_sender_left(self, identity: str) -> list[Output]:
        """Fail what this participant has not finished sending."""
        gone = [
            stream_id
            for stream_id, open_stream in self._open.items()
            if identity in (open_stream.stream.sender_identity, open_stream.chunk_sender)
        ]
        return [self._fail(stream_id, StreamFault.SENDER_LEFT) for stream_id in gone]

    def _handle_header(self, packet: DataPacket) -> list[Output]:
        header = packet.stream_header
        if not header.stream_id:
            raise ProtocolError("stream without an id")
        which = header.WhichOneof("content_header")
        if which is None:
            raise ProtocolError("stream header of no kind")
        if header.stream_id in self._open:
            raise ProtocolError("stream id in use")
        if len(self._open) >= MAX_OPEN_STREAMS:
            raise ProtocolError("too many open streams")
        stream = _describe(packet)
        opened: list[Output] = [StreamOpened(stream)]
        if header.HasField("inline_content") or header.compression:
            # Only sent to those who announce it, which we do not.
            return [*opened, StreamFailed(stream.stream_id, StreamFault.ENCODING)]
        if stream.total_bytes is not None and stream.total_bytes > self._max_bytes:
            return [*opened, StreamFailed(stream.stream_id, StreamFault.OVERSIZED)]
        self._open[stream.stream_id] = _OpenStream(stream)
        return opened

    def _handle_chunk(self, chunk: DataStream.Chunk, sender: str) -> list[Output]:
        open_stream = self._open.get(chunk.stream_id)
        if open_stream is None:
            return []
        if chunk.chunk_index != open_stream.next_index:
            return [self._fail(chunk.stream_id, StreamFault.CHUNK_MISSING)]
        open_stream.next_index += 1
        open_stream.chunk_sender = sender
        open_stream.received_bytes += len(chunk.content)
        total = open_stream.stream.total_bytes
        if total is not None and open_stream.received_bytes > total:
            return [self._fail(chunk.stream_id, StreamFault.TOO_LONG)]
        if open_stream.received_bytes > self._max_bytes:
            return [self._fail(chunk.stream_id, StreamFault.OVERSIZED)]
        if open_stream.stream.kind is StreamKind.BYTES:
            return [BytesGrew(chunk.stream_id, chunk.content)] if chunk.content else []
        # A chunk boundary can fall inside a character. Keep the incomplete bytes for the
        # next chunk rather than show a replacement mark that would never heal.
        try:
            text = open_stream.decoder.decode(chunk.content)
        except UnicodeDecodeError:
            return [self._fail(chunk.stream_id, StreamFault.NOT_TEXT)]
        return [TextGrew(chunk.stream_id, text)] if text else []

    def _handle_trailer(self, trailer: DataStream.Trailer) -> list[Output]:
        open_stream = self._open.get(trailer.stream_id)
        if open_stream is None:
            return []
        if trailer.reason:
            return [self._fail(trailer.stream_id, StreamFault.ABORTED, trailer.reason)]
        total = open_stream.stream.total_bytes
        if total is not None and open_stream.received_bytes < total:
            return [self._fail(trailer.stream_id, StreamFault.TOO_SHORT)]
        try:
            open_stream.decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return [self._fail(trailer.stream_id, StreamFault.NOT_TEXT)]
        del self._open[trailer.stream_id]
        return [StreamEnded(trailer.stream_id, dict(trailer.attributes))]

    def _fail(self, stream_id: str, fault: StreamFault, detail: str = "") -> StreamFailed:
        del self._open[stream_id]
        return StreamFailed(stream_id, fault, detail)


def _describe(packet: DataPacket) -> IncomingStream:
    header = packet.stream_header
    is_text = header.HasField("text_header")
    return IncomingStream(
        stream_id=header.stream_id,
        kind=StreamKind.TEXT if is_text else StreamKind.BYTES,
        topic=header.topic,
        timestamp_ms=header.timestamp,
        mime_type=header.mime_type,
        total_bytes=header.total_length if header.HasField("total_length") else None,
        sender_identity=packet.participant_identity,
        attributes=dict(header.attributes),
        name=header.byte_header.name,
        reply_to_stream_id=header.text_header.reply_to_stream_id,
        attached_stream_ids=tuple(header.text_header.attached_stream_ids),
    )
