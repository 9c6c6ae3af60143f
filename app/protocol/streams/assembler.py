"""Put received stream packets together, and notice when a stream cannot become whole.

Chunks are matched by stream id and by the participant sid, which the server writes: a text stream
that an agent sends on somebody's behalf has that somebody's identity on its header and the agent's
on the rest, and nobody else may put words into it. A stream whose topic
nobody handles is ignored from its header on; a handler registered later does not get the rest.

A repeated chunk is dropped, a missing one breaks the stream: what comes out is the payload from
its beginning, never something else.

One compressed packet can hold a thousand times its size. So a compressed stream gives only so
much at a time: the rest stays packed until the driver, seeing that what came is being read,
asks for more of it with `handle_room`.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from livekit.protocol.models import DataPacket, DataStream

from app.protocol.errors import ProtocolError
from app.protocol.streams.deflate import Inflater

MAX_STREAM_BYTES = 5_000_000_000
MAX_OPEN_STREAMS = 1024
MAX_OPEN_PER_SENDER = 128
MAX_IDLE_S = 600.0
STEP_BYTES = 256 * 1024
MAX_PACKED_BYTES = 64_000_000


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
    ENCODING = "the stream uses an encoding that we do not know"
    NOT_INFLATABLE = "the compressed stream is damaged"
    ENCRYPTION_CHANGED = "the stream changed its encryption"
    REVISED = "the sender revised a chunk that was delivered already"
    STALLED = "nothing came for too long"
    UNREAD = "the reader is too slow"
    DISCONNECTED = "Disconnected while receiving"


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
    operation: DataStream.OperationType = DataStream.OperationType.CREATE
    version: int = 0
    generated: bool = False


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
    """A stream between its header and its end.

    Compressed content waits in `_packed` until it is wanted; `ending` holds the attributes of a
    trailer that came meanwhile.
    """

    def __init__(self, stream: IncomingStream, *, compressed: bool, encrypted: bool) -> None:
        self.stream = stream
        self.encrypted = encrypted
        self.sender_sid = ""
        self.chunk_sender = stream.sender_identity
        self.next_index = 0
        self.received_bytes = 0
        self.touched_s = 0.0
        self.ending: dict[str, str] | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._inflater = Inflater() if compressed else None
        self._packed: deque[bytes] = deque()
        self._packed_bytes = 0
        self._unpacking: Iterator[bytes] | None = None

    @property
    def has_more(self) -> bool:
        """Whether `grow` may give something."""
        return self._unpacking is not None or bool(self._packed)

    def take(self, content: bytes) -> None:
        """Keep what arrived for `grow`; `_BrokenError` when that would be too much."""
        if not content:
            return
        self._packed.append(content)
        self._packed_bytes += len(content)
        if self._packed_bytes > MAX_PACKED_BYTES:
            raise _BrokenError(StreamFault.UNREAD)

    def grow(self, max_bytes: int) -> Iterator[TextGrew | BytesGrew]:
        """Yield a step's worth of payload; `_BrokenError` when it cannot belong to this stream."""
        end = self.received_bytes + STEP_BYTES
        try:
            while self.has_more and self.received_bytes < end:
                piece = next(self._unpack(), None)
                if piece is None:
                    self._unpacking = None
                    continue
                self._count(piece, max_bytes)
                yield from self._grown(piece)
        except ProtocolError as error:
            raise _BrokenError(StreamFault.NOT_INFLATABLE) from error
        except UnicodeDecodeError as error:
            raise _BrokenError(StreamFault.NOT_TEXT) from error

    def finish(self) -> None:
        """Check that nothing is missing at the end."""
        total = self.stream.total_bytes
        if total is not None and self.received_bytes < total:
            raise _BrokenError(StreamFault.TOO_SHORT)
        if self._inflater is not None and not self._inflater.is_complete:
            raise _BrokenError(StreamFault.TOO_SHORT)
        try:
            self._decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise _BrokenError(StreamFault.NOT_TEXT) from error

    def _unpack(self) -> Iterator[bytes]:
        """What is being unpacked now; nothing of it is made before it is asked for."""
        if self._unpacking is None:
            content = self._packed.popleft()
            self._packed_bytes -= len(content)
            inflater = self._inflater
            self._unpacking = iter((content,)) if inflater is None else inflater.push(content)
        return self._unpacking

    def _count(self, piece: bytes, max_bytes: int) -> None:
        self.received_bytes += len(piece)
        total = self.stream.total_bytes
        if total is not None and self.received_bytes > total:
            raise _BrokenError(StreamFault.TOO_LONG)
        if self.received_bytes > max_bytes:
            raise _BrokenError(StreamFault.OVERSIZED)

    def _grown(self, piece: bytes) -> Iterator[TextGrew | BytesGrew]:
        if self.stream.kind is StreamKind.BYTES:
            yield BytesGrew(self.stream.stream_id, piece)
            return
        # A chunk boundary can fall inside a character. Keep the incomplete bytes for the
        # next chunk rather than show a replacement mark that would never heal.
        text = self._decoder.decode(piece)
        if text:
            yield TextGrew(self.stream.stream_id, text)


class _BrokenError(Exception):
    def __init__(self, fault: StreamFault) -> None:
        super().__init__(fault)
        self.fault = fault


class StreamAssembler:
    """All streams that come in over one room; one per room, on the loop that receives.

    `max_bytes` bounds one stream's payload. Nothing is kept of the payload itself: each piece
    leaves as an output at once.
    """

    def __init__(self, *, max_bytes: int = MAX_STREAM_BYTES) -> None:
        self.max_bytes = max_bytes
        self._open: dict[str, _OpenStream] = {}

    def __len__(self) -> int:
        return len(self._open)

    def handle_packet(
        self, packet: DataPacket, now_s: float = 0.0, *, encrypted: bool = False
    ) -> list[Output]:
        """Take one packet of any kind; those that belong to no stream give nothing.

        `encrypted` says how it came. Raises `ProtocolError` for a header that cannot open a
        stream.
        """
        match packet.WhichOneof("value"):
            case "stream_header":
                return self._handle_header(packet, now_s, encrypted=encrypted)
            case "stream_chunk":
                found = self._find(packet.stream_chunk.stream_id, packet, now_s)
                if found is None:
                    return []
                found.chunk_sender = packet.participant_identity
                return self._handle_chunk(found, packet.stream_chunk, encrypted=encrypted)
            case "stream_trailer":
                found = self._find(packet.stream_trailer.stream_id, packet, now_s)
                if found is None:
                    return []
                return self._handle_trailer(found, packet.stream_trailer, encrypted=encrypted)
            case _:
                return []

    def has_more(self, stream_id: str) -> bool:
        """Whether more of a stream has arrived than has come out."""
        found = self._open.get(stream_id)
        return found is not None and found.has_more

    def handle_room(self, stream_id: str) -> list[Output]:
        """Give more of a compressed stream: what came out of it before is being read."""
        found = self._open.get(stream_id)
        return [] if found is None else self._advance(found)

    def ignore(self, stream_id: str) -> None:
        """Drop everything else of a stream that nobody wants."""
        self._open.pop(stream_id, None)

    def handle_disconnect(self) -> list[Output]:
        """Fail what has not arrived whole: nothing more will come."""
        cut = [stream_id for stream_id, each in self._open.items() if each.ending is None]
        return [self._fail(stream_id, StreamFault.DISCONNECTED) for stream_id in cut]

    def handle_sender_left(self, identity: str) -> list[Output]:
        """Fail what this participant has not finished sending."""
        gone = [
            stream_id
            for stream_id, open_stream in self._open.items()
            if open_stream.ending is None
            and identity in (open_stream.stream.sender_identity, open_stream.chunk_sender)
        ]
        return [self._fail(stream_id, StreamFault.SENDER_LEFT) for stream_id in gone]

    def handle_time(self, now_s: float) -> list[Output]:
        """Fail streams of which nothing has come for ten minutes."""
        idle = [
            stream_id
            for stream_id, open_stream in self._open.items()
            if now_s - open_stream.touched_s > MAX_IDLE_S and open_stream.ending is None
        ]
        return [self._fail(stream_id, StreamFault.STALLED) for stream_id in idle]

    def _find(self, stream_id: str, packet: DataPacket, now_s: float) -> _OpenStream | None:
        found = self._open.get(stream_id)
        if found is None or found.ending is not None:
            return None
        sids = (found.sender_sid, packet.participant_sid)
        # Old servers write no sid.
        if all(sids) and sids[0] != sids[1]:
            return None
        found.touched_s = now_s
        return found

    def _handle_header(self, packet: DataPacket, now_s: float, *, encrypted: bool) -> list[Output]:
        header = packet.stream_header
        self._check_header(packet)
        stream = _describe(packet)
        opened: list[Output] = [StreamOpened(stream)]
        deflated = DataStream.CompressionType.DEFLATE_RAW
        if header.compression not in (DataStream.CompressionType.NONE, deflated):
            return [*opened, StreamFailed(stream.stream_id, StreamFault.ENCODING)]
        if stream.total_bytes is not None and stream.total_bytes > self.max_bytes:
            return [*opened, StreamFailed(stream.stream_id, StreamFault.OVERSIZED)]
        compressed = header.compression == deflated
        open_stream = _OpenStream(stream, compressed=compressed, encrypted=encrypted)
        open_stream.touched_s = now_s
        open_stream.sender_sid = packet.participant_sid
        self._open[stream.stream_id] = open_stream
        if header.HasField("inline_content"):
            open_stream.ending = {}
            return opened + self._take(open_stream, header.inline_content)
        return opened

    def _check_header(self, packet: DataPacket) -> None:
        header = packet.stream_header
        if not header.stream_id:
            raise ProtocolError("stream without an id")
        if header.WhichOneof("content_header") is None:
            raise ProtocolError("stream header of no kind")
        if header.stream_id in self._open:
            raise ProtocolError("stream id in use")
        if len(self._open) >= MAX_OPEN_STREAMS:
            raise ProtocolError("too many open streams")
        sender = packet.participant_identity
        theirs = sum(each.stream.sender_identity == sender for each in self._open.values())
        if theirs >= MAX_OPEN_PER_SENDER:
            raise ProtocolError("too many open streams of one sender")

    def _handle_chunk(
        self, open_stream: _OpenStream, chunk: DataStream.Chunk, *, encrypted: bool
    ) -> list[Output]:
        if encrypted != open_stream.encrypted:
            return [self._fail(chunk.stream_id, StreamFault.ENCRYPTION_CHANGED)]
        if chunk.chunk_index < open_stream.next_index:
            # Another version of what was handed on already cannot be taken back.
            if chunk.version:
                return [self._fail(chunk.stream_id, StreamFault.REVISED)]
            return []
        if chunk.chunk_index > open_stream.next_index:
            return [self._fail(chunk.stream_id, StreamFault.CHUNK_MISSING)]
        open_stream.next_index += 1
        return self._take(open_stream, chunk.content)

    def _take(self, open_stream: _OpenStream, content: bytes) -> list[Output]:
        # Where something waits already, the driver decides when it goes on.
        waits = open_stream.has_more
        try:
            open_stream.take(content)
        except _BrokenError as broken:
            return [self._fail(open_stream.stream.stream_id, broken.fault)]
        return [] if waits else self._advance(open_stream)

    def _advance(self, open_stream: _OpenStream) -> list[Output]:
        outputs: list[Output] = []
        try:
            outputs.extend(open_stream.grow(self.max_bytes))
        except _BrokenError as broken:
            return [self._fail(open_stream.stream.stream_id, broken.fault)]
        if open_stream.ending is not None and not open_stream.has_more:
            outputs += self._end(open_stream, open_stream.ending)
        return outputs

    def _handle_trailer(
        self, open_stream: _OpenStream, trailer: DataStream.Trailer, *, encrypted: bool
    ) -> list[Output]:
        if encrypted != open_stream.encrypted:
            return [self._fail(trailer.stream_id, StreamFault.ENCRYPTION_CHANGED)]
        if trailer.reason:
            return [self._fail(trailer.stream_id, StreamFault.ABORTED, trailer.reason)]
        open_stream.ending = dict(trailer.attributes)
        return [] if open_stream.has_more else self._advance(open_stream)

    def _end(self, open_stream: _OpenStream, attributes: dict[str, str]) -> list[Output]:
        stream_id = open_stream.stream.stream_id
        try:
            open_stream.finish()
        except _BrokenError as broken:
            return [self._fail(stream_id, broken.fault)]
        del self._open[stream_id]
        return [StreamEnded(stream_id, attributes)]

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
        operation=header.text_header.operation_type,
        version=header.text_header.version,
        generated=header.text_header.generated,
    )
