"""Cut a text or a sequence of bytes into the packets of one stream.

Every chunk of text decodes on its own, because receivers decode chunk by chunk. Chunks count
from 0 without holes. The envelope repeats the destinations on every packet: the server routes
each packet alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from livekit.protocol.models import DataPacket, DataStream

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


class TextSplitter(_Splitter):
    """The packets of one text stream."""

    def open(
        self,
        *,
        reply_to_stream_id: str = "",
        attached_stream_ids: Sequence[str] = (),
    ) -> DataPacket:
        """Make the header."""
        packet = self._header()
        text = DataStream.TextHeader(
            operation_type=DataStream.OperationType.CREATE,
            reply_to_stream_id=reply_to_stream_id,
            attached_stream_ids=attached_stream_ids,
        )
        packet.stream_header.text_header.CopyFrom(text)
        return _checked(packet)

    def write(self, text: str) -> Iterator[DataPacket]:
        """Yield the chunks of `text`; the empty text has none."""
        for piece in split_text(text, CHUNK_BYTES):
            yield self._chunk(piece)


class ByteSplitter(_Splitter):
    """The packets of one byte stream."""

    def open(self, *, name: str) -> DataPacket:
        """Make the header."""
        packet = self._header()
        packet.stream_header.byte_header.name = name
        packet.stream_header.byte_header.SetInParent()
        return _checked(packet)

    def write(self, data: bytes | bytearray | memoryview) -> Iterator[DataPacket]:
        """Yield the chunks of `data`; empty data has none."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), CHUNK_BYTES):
            yield self._chunk(bytes(view[start : start + CHUNK_BYTES]))


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
