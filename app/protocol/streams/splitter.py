"""Cut a text or a sequence of bytes into the packets of one stream.

Every chunk of text decodes on its own, because receivers decode chunk by chunk. Chunks count
from 0 without holes. The envelope repeats the destinations on every packet: the server routes
each packet alone. `text_packets` and `bytes_packets` choose the shortest form of a whole payload
that its recipients can read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from livekit.protocol.models import DataPacket, DataStream

from app.protocol.streams.deflate import deflate
from app.protocol.streams.negotiation import StreamForm

CHUNK_BYTES = 15_000
MAX_HEADER_BYTES = 15_000


class HeaderTooLargeError(ValueError):
    """Topic, attributes and names together do not fit the one packet a header has."""


class StreamClosedError(RuntimeError):
    """The stream's trailer has been made already."""


@dataclass(frozen=True, slots=True)
class StreamDescription:
    """What the header of a stream says, whichever kind it is.

    `total_bytes` counts the payload (UTF-8 for text), None when it is not known beforehand.
    """

    stream_id: str
    topic: str
    timestamp_ms: int
    mime_type: str
    total_bytes: int | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    destinations: Sequence[str] = ()
    sender_identity: str = ""


@dataclass(frozen=True, slots=True)
class TextFacts:
    """What only the header of a text says. `operation` is an `OperationType` of the protocol."""

    reply_to_stream_id: str = ""
    attached_stream_ids: Sequence[str] = ()
    operation: DataStream.OperationType = DataStream.OperationType.CREATE
    version: int = 0
    generated: bool = False


NEW_TEXT = TextFacts()


class _Splitter:
    def __init__(self, description: StreamDescription) -> None:
        self.description = description
        self._next_index = 0
        self._closed = False

    def _envelope(self) -> DataPacket:
        return DataPacket(
            participant_identity=self.description.sender_identity,
            destination_identities=self.description.destinations,
        )

    def _header(self) -> DataPacket:
        about = self.description
        packet = self._envelope()
        header = packet.stream_header
        header.stream_id = about.stream_id
        header.timestamp = about.timestamp_ms
        header.topic = about.topic
        header.mime_type = about.mime_type
        if about.total_bytes is not None:
            header.total_length = about.total_bytes
        header.attributes.update(about.attributes)
        return packet

    def cut(self, pieces: Iterable[bytes]) -> Iterator[DataPacket]:
        """Yield a chunk for each piece that somebody else has cut, as compressed ones are."""
        for piece in pieces:
            yield self._chunk(piece)

    def _chunk(self, content: bytes) -> DataPacket:
        if self._closed:
            raise StreamClosedError("stream is closed")
        packet = self._envelope()
        packet.stream_chunk.stream_id = self.description.stream_id
        packet.stream_chunk.chunk_index = self._next_index
        packet.stream_chunk.content = content
        self._next_index += 1
        return packet

    def close(self, *, reason: str = "", attributes: Mapping[str, str] | None = None) -> DataPacket:
        """Make the trailer; a `reason` tells the receiver that the stream is broken."""
        if self._closed:
            raise StreamClosedError("stream is closed")
        self._closed = True
        packet = self._envelope()
        packet.stream_trailer.stream_id = self.description.stream_id
        packet.stream_trailer.reason = reason
        packet.stream_trailer.attributes.update(attributes or {})
        return packet


def _checked(packet: DataPacket) -> DataPacket:
    if packet.ByteSize() > MAX_HEADER_BYTES:
        raise HeaderTooLargeError(f"stream header exceeds {MAX_HEADER_BYTES} bytes")
    return packet


def _mark(packet: DataPacket, *, compressed: bool) -> None:
    if compressed:
        packet.stream_header.compression = DataStream.CompressionType.DEFLATE_RAW


class TextSplitter(_Splitter):
    """The packets of one text stream."""

    def open(self, facts: TextFacts = NEW_TEXT, *, compressed: bool = False) -> DataPacket:
        """Make the header."""
        return _checked(self.header(facts, compressed=compressed))

    def header(self, facts: TextFacts, *, compressed: bool) -> DataPacket:
        """Make a header that is still to be filled or checked."""
        packet = self._header()
        text = DataStream.TextHeader(
            operation_type=facts.operation,
            version=facts.version,
            reply_to_stream_id=facts.reply_to_stream_id,
            attached_stream_ids=facts.attached_stream_ids,
            generated=facts.generated,
        )
        packet.stream_header.text_header.CopyFrom(text)
        _mark(packet, compressed=compressed)
        return packet

    def write(self, text: str) -> Iterator[DataPacket]:
        """Yield the chunks of `text`; the empty text has none."""
        yield from self.cut(split_text(text, CHUNK_BYTES))


class ByteSplitter(_Splitter):
    """The packets of one byte stream."""

    def open(self, *, name: str, compressed: bool = False) -> DataPacket:
        """Make the header."""
        return _checked(self.header(name, compressed=compressed))

    def header(self, name: str, *, compressed: bool) -> DataPacket:
        """Make a header that is still to be filled or checked."""
        packet = self._header()
        packet.stream_header.byte_header.name = name
        packet.stream_header.byte_header.SetInParent()
        _mark(packet, compressed=compressed)
        return packet

    def write(self, data: bytes | bytearray | memoryview) -> Iterator[DataPacket]:
        """Yield the chunks of `data`; empty data has none."""
        yield from self.cut(split_bytes(memoryview(data).cast("B"), CHUNK_BYTES))


def text_packets(
    description: StreamDescription,
    text: str,
    *,
    form: StreamForm,
    facts: TextFacts = NEW_TEXT,
    attributes_at_end: Mapping[str, str] | None = None,
) -> Iterator[DataPacket]:
    """Yield the packets of a whole text: one if it fits a header, compressed if that is shorter.

    A text with attachments is never put into its header: nobody would wait for them.
    """
    data = text.encode("utf-8", errors="replace")
    packed = deflate(data) if form.deflate else data
    is_shorter = len(packed) < len(data)
    splitter = TextSplitter(description)
    header = splitter.header(facts, compressed=is_shorter)
    if form.inline and not facts.attached_stream_ids and not attributes_at_end:
        header.stream_header.inline_content = packed if is_shorter else data
        if header.ByteSize() <= MAX_HEADER_BYTES:
            yield header
            return
        header.stream_header.ClearField("inline_content")
    yield _checked(header)
    yield from (
        splitter.cut(split_bytes(packed, CHUNK_BYTES)) if is_shorter else splitter.write(text)
    )
    yield splitter.close(attributes=attributes_at_end)


def bytes_packets(
    description: StreamDescription, data: bytes, *, name: str, form: StreamForm
) -> Iterator[DataPacket]:
    """Yield the packets of whole bytes, under the same rules."""
    packed = deflate(data) if form.deflate else data
    is_shorter = len(packed) < len(data)
    content = packed if is_shorter else data
    splitter = ByteSplitter(description)
    header = splitter.header(name, compressed=is_shorter)
    if form.inline:
        header.stream_header.inline_content = content
        if header.ByteSize() <= MAX_HEADER_BYTES:
            yield header
            return
        header.stream_header.ClearField("inline_content")
    yield _checked(header)
    yield from splitter.cut(split_bytes(content, CHUNK_BYTES))
    yield splitter.close()


def split_bytes(data: bytes | memoryview, limit: int) -> Iterator[bytes]:
    """Yield `data` in pieces of at most `limit`."""
    for start in range(0, len(data), limit):
        yield bytes(data[start : start + limit])


def split_text(text: str, limit: int) -> Iterator[bytes]:
    """Yield the UTF-8 bytes of `text` in pieces of at most `limit`, cut between characters."""
    data = text.encode("utf-8", errors="replace")
    start = 0
    while start < len(data):
        end = min(start + limit, len(data))
        # A byte 10xxxxxx continues a character: step back to where that character begins.
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        yield data[start:end]
        start = end
