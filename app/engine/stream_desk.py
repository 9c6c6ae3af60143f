"""Incoming streams of a room: from packets to the readers that handlers got."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial

import structlog
from livekit.protocol import models as lk

from app.engine.streams import (
    ByteStreamHandler,
    ByteStreamReader,
    TextStreamHandler,
    TextStreamReader,
)
from app.protocol.errors import ProtocolError
from app.protocol.streams.assembler import (
    MAX_STREAM_BYTES,
    BytesGrew,
    IncomingStream,
    Output,
    StreamAssembler,
    StreamEnded,
    StreamFailed,
    StreamKind,
    StreamOpened,
    TextGrew,
)

log = structlog.get_logger(__name__)


IDLE_CHECK_S = 60.0


class StreamDesk:
    """Handlers by topic and the readers of streams that have not ended.

    Text topics that the protocol itself uses are reserved: no application sees or takes them.
    """

    def __init__(self) -> None:
        self._assembler = StreamAssembler()
        self._reserved: dict[str, TextStreamHandler] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._text_handlers: dict[str, TextStreamHandler] = {}
        self._byte_handlers: dict[str, ByteStreamHandler] = {}
        self._text_readers: dict[str, TextStreamReader] = {}
        self._byte_readers: dict[str, ByteStreamReader] = {}

    def reset(self, *, max_bytes: int = MAX_STREAM_BYTES) -> None:
        """Begin with a new room; handlers stay, and what arrived whole is still read."""
        self._assembler.max_bytes = max_bytes

    def reserve_text(self, topics: Sequence[str], handler: TextStreamHandler) -> None:
        """Keep these topics for a part of the engine."""
        self._reserved.update(dict.fromkeys(topics, handler))

    def register_text(self, topic: str, handler: TextStreamHandler) -> None:
        """Give text streams of `topic` to `handler`."""
        if topic in self._text_handlers or topic in self._reserved:
            raise ValueError(f"text stream handler for topic '{topic}' already set")
        self._text_handlers[topic] = handler

    def unregister_text(self, topic: str) -> None:
        """Ignore text streams of `topic`."""
        self._text_handlers.pop(topic, None)

    def register_bytes(self, topic: str, handler: ByteStreamHandler) -> None:
        """Give byte streams of `topic` to `handler`."""
        if topic in self._byte_handlers:
            raise ValueError(f"byte stream handler for topic '{topic}' already set")
        self._byte_handlers[topic] = handler

    def unregister_bytes(self, topic: str) -> None:
        """Ignore byte streams of `topic`."""
        self._byte_handlers.pop(topic, None)

    def handle_packet(self, packet: lk.DataPacket) -> None:
        """Take a header, a chunk or a trailer."""
        try:
            outputs = self._assembler.handle_packet(packet, time.monotonic())
        except ProtocolError as error:
            log.warning("stream packet dropped", reason=error.reason)
            return
        for output in outputs:
            self._perform(output)
        for output in outputs:
            if isinstance(output, TextGrew | BytesGrew):
                self._go_on(output.stream_id)
                break
        self._watch_idle()

    def _go_on(self, stream_id: str) -> None:
        """Unpack more of a compressed stream, as far as it is being read."""
        while self._assembler.has_more(stream_id):
            reader = self._text_readers.get(stream_id) or self._byte_readers.get(stream_id)
            if reader is None:
                return
            if not reader.has_room:
                reader.on_room = partial(self._go_on_soon, stream_id)
                return
            for output in self._assembler.handle_room(stream_id):
                self._perform(output)

    def _go_on_soon(self, stream_id: str) -> None:
        # In a turn of its own: who reads quickly does not keep everybody else waiting.
        asyncio.get_running_loop().call_soon(self._go_on, stream_id)

    def _watch_idle(self) -> None:
        if self._timer is None and len(self._assembler):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(IDLE_CHECK_S, self._handle_time)

    def _handle_time(self) -> None:
        self._timer = None
        for output in self._assembler.handle_time(time.monotonic()):
            self._perform(output)
        self._watch_idle()

    def handle_sender_left(self, identity: str) -> None:
        """Fail the streams of somebody who left."""
        for output in self._assembler.handle_sender_left(identity):
            self._perform(output)

    def handle_disconnect(self) -> None:
        """Fail all streams that have not arrived whole: nothing more will come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for output in self._assembler.handle_disconnect():
            self._perform(output)

    def _perform(self, output: Output) -> None:
        match output:
            case StreamOpened(stream):
                self._open(stream)
            case TextGrew(stream_id, text):
                if (reader := self._text_readers.get(stream_id)) is not None:
                    reader.handle_piece(text)
            case BytesGrew(stream_id, data):
                if (byte_reader := self._byte_readers.get(stream_id)) is not None:
                    byte_reader.handle_piece(data)
            case StreamEnded(stream_id, attributes):
                for ended in self._take(stream_id):
                    ended.handle_end(dict(attributes))
            case StreamFailed(stream_id, fault, detail):
                for failed in self._take(stream_id):
                    failed.handle_failure(f"{fault}: {detail}" if detail else str(fault))

    def _take(self, stream_id: str) -> list[TextStreamReader | ByteStreamReader]:
        found = [self._text_readers.pop(stream_id, None), self._byte_readers.pop(stream_id, None)]
        return [reader for reader in found if reader is not None]

    def _open(self, stream: IncomingStream) -> None:
        try:
            if stream.kind is StreamKind.TEXT:
                self._open_text(stream)
            else:
                self._open_bytes(stream)
        except Exception:
            # The handler is the application's; its fault must not end the room.
            log.exception("stream handler failed")

    def _forget(self, reader: TextStreamReader | ByteStreamReader) -> None:
        """Drop the rest of what nobody reads any more."""
        stream_id = reader.header.stream_id
        # An edit repeats its line's id, and may begin before the line has been read to its end.
        if reader in (self._text_readers.get(stream_id), self._byte_readers.get(stream_id)):
            self._assembler.ignore(stream_id)
            self._take(stream_id)

    def _open_text(self, stream: IncomingStream) -> None:
        handler = self._reserved.get(stream.topic) or self._text_handlers.get(stream.topic)
        if handler is None:
            self._assembler.ignore(stream.stream_id)
            return
        reader = TextStreamReader(stream, on_close=lambda: self._forget(reader))
        self._text_readers[stream.stream_id] = reader
        handler(reader, stream.sender_identity)

    def _open_bytes(self, stream: IncomingStream) -> None:
        handler = self._byte_handlers.get(stream.topic)
        if handler is None:
            self._assembler.ignore(stream.stream_id)
            return
        reader = ByteStreamReader(stream, on_close=lambda: self._forget(reader))
        self._byte_readers[stream.stream_id] = reader
        handler(reader, stream.sender_identity)
