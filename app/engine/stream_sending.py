"""Send a payload that is whole already: a text, bytes, a file, a text with files.

What is whole may travel in the newer forms, in one packet or compressed, when everybody who gets
it reads them. A file is read, and deflated, bit by bit on a worker thread.
"""

from __future__ import annotations

import asyncio
import mimetypes
import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from livekit.protocol.models import DataPacket

from app.engine.streams import ByteStreamInfo, StreamError, TextStreamInfo, describe_stream
from app.protocol.data_packet import PacketTooLargeError
from app.protocol.streams.deflate import Deflater
from app.protocol.streams.negotiation import StreamForm
from app.protocol.streams.splitter import (
    CHUNK_BYTES,
    ByteSplitter,
    HeaderTooLargeError,
    TextFacts,
    bytes_packets,
    split_bytes,
    text_packets,
)
from app.runtime.errors import WorldError
from app.runtime.opening import open_off_loop

if TYPE_CHECKING:
    from app.engine.local_participant import LocalParticipant

FILE_BLOCK_BYTES = 256 * 1024
OnProgress = Callable[[float], None]


async def send_text(
    me: LocalParticipant,
    text: str,
    *,
    topic: str = "",
    attributes: Mapping[str, str] | None = None,
    destinations: Sequence[str] = (),
    stream_id: str | None = None,
    facts: TextFacts | None = None,
    compress: bool = True,
) -> TextStreamInfo:
    """Send a whole text; `facts` are what only a text's header says."""
    facts = facts or TextFacts()
    about = describe_stream(
        me,
        topic=topic,
        attributes=dict(attributes or {}),
        stream_id=stream_id,
        total_size=len(text.encode(errors="replace")),
        mime_type="text/plain",
        destination_identities=list(destinations),
    )
    form = _form(me, destinations, compress=compress)
    await _send(me, text_packets(about, text, form=form, facts=facts))
    return TextStreamInfo(
        stream_id=about.stream_id,
        mime_type=about.mime_type,
        topic=topic,
        timestamp=about.timestamp_ms,
        size=about.total_bytes,
        attributes=dict(about.attributes),
        attachments=list(facts.attached_stream_ids),
    )


async def send_bytes(
    me: LocalParticipant,
    data: bytes,
    *,
    name: str,
    topic: str = "",
    mime_type: str = "application/octet-stream",
    attributes: Mapping[str, str] | None = None,
    destinations: Sequence[str] = (),
    stream_id: str | None = None,
    compress: bool = True,
) -> ByteStreamInfo:
    """Send whole bytes."""
    about = describe_stream(
        me,
        topic=topic,
        attributes=dict(attributes or {}),
        stream_id=stream_id,
        total_size=len(data),
        mime_type=mime_type,
        destination_identities=list(destinations),
    )
    form = _form(me, destinations, compress=compress)
    await _send(me, bytes_packets(about, data, name=name, form=form))
    return _bytes_info(
        about.stream_id, about.timestamp_ms, name, topic, mime_type, len(data), attributes
    )


async def send_file(
    me: LocalParticipant,
    path: Path,
    *,
    topic: str = "",
    attributes: Mapping[str, str] | None = None,
    destinations: Sequence[str] = (),
    stream_id: str | None = None,
    compress: bool = True,
    on_progress: OnProgress | None = None,
) -> ByteStreamInfo:
    """Send a file. One that shrinks, grows or vanishes meanwhile breaks the stream off."""
    mime_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    try:
        file = await open_off_loop(path, "rb")
    except OSError as error:
        raise StreamError(f"cannot open file: {error.strerror}") from error
    with file:
        size_bytes = os.fstat(file.fileno()).st_size
        about = describe_stream(
            me,
            topic=topic,
            attributes=dict(attributes or {}),
            stream_id=stream_id,
            total_size=size_bytes,
            mime_type=mime_type,
            destination_identities=list(destinations),
        )
        compressed = _form(me, destinations, compress=compress).deflate
        splitter = ByteSplitter(about)
        source = _FileSource(file, size_bytes, deflated=compressed)
        await _send_made(me, lambda: splitter.open(name=path.name, compressed=compressed))
        try:
            while pieces := await asyncio.to_thread(source.read):
                await _send(me, splitter.cut(pieces))
                if on_progress is not None and size_bytes:
                    on_progress(source.read_bytes / size_bytes)
        except OSError as error:
            if isinstance(error, StreamError):
                raise
            await _send(me, [splitter.close(reason="error")])
            raise StreamError(f"cannot read file: {error.strerror}") from error
        if source.read_bytes != size_bytes:
            await _send(me, [splitter.close(reason="error")])
            raise StreamError("the file changed while it was sent")
        await _send(me, [splitter.close()])
    if on_progress is not None:
        on_progress(1.0)
    return _bytes_info(
        about.stream_id, about.timestamp_ms, path.name, topic, mime_type, size_bytes, attributes
    )


async def send_text_with_files(
    me: LocalParticipant,
    text: str,
    paths: Sequence[Path],
    *,
    topic: str = "",
    attributes: Mapping[str, str] | None = None,
    destinations: Sequence[str] = (),
    stream_id: str | None = None,
    facts: TextFacts | None = None,
    on_progress: OnProgress | None = None,
) -> TextStreamInfo:
    """Send a text and the files it names, which follow on the same topic.

    `on_progress` gets the mean over the text and every file.
    """
    file_ids = tuple(str(uuid.uuid4()) for _ in paths)
    parts = [0.0] * (1 + len(paths))

    def note(index: int) -> OnProgress:
        def note_part(fraction: float) -> None:
            parts[index] = fraction
            if on_progress is not None:
                on_progress(sum(parts) / len(parts))

        return note_part

    info = await send_text(
        me,
        text,
        topic=topic,
        attributes=attributes,
        destinations=destinations,
        stream_id=stream_id,
        facts=replace(facts or TextFacts(), attached_stream_ids=file_ids),
    )
    note(0)(1.0)
    for index, (path, file_id) in enumerate(zip(paths, file_ids, strict=True), start=1):
        await send_file(
            me,
            path,
            topic=topic,
            destinations=destinations,
            stream_id=file_id,
            on_progress=note(index),
        )
    return info


class _FileSource:
    """Blocks of a file as pieces of chunks; its methods block."""

    def __init__(self, file: BinaryIO, size_bytes: int, *, deflated: bool) -> None:
        self._file = file
        self._left = size_bytes
        self._deflater = Deflater(CHUNK_BYTES) if deflated else None
        self._is_over = False
        self.read_bytes = 0

    def read(self) -> list[bytes]:
        """Return the next pieces, none at the end."""
        while not self._is_over:
            # One byte more than announced is enough to see that the file grew.
            block = self._file.read(FILE_BLOCK_BYTES)
            self.read_bytes += len(block)
            self._left -= len(block)
            if not block or self._left < 0:
                self._is_over = True
                return self._deflater.finish() if self._deflater is not None else []
            if self._deflater is None:
                return list(split_bytes(block, CHUNK_BYTES))
            if pieces := self._deflater.push(block):
                return pieces
        return []


def _form(me: LocalParticipant, destinations: Sequence[str], *, compress: bool) -> StreamForm:
    form = me.stream_form(destinations)
    return form if compress else replace(form, deflate=False)


async def _send(me: LocalParticipant, packets: Iterable[DataPacket]) -> None:
    try:
        for packet in packets:
            await me.send_packet(packet)
    except (WorldError, PacketTooLargeError, HeaderTooLargeError) as error:
        raise StreamError(str(error)) from error


async def _send_made(me: LocalParticipant, make: Callable[[], DataPacket]) -> None:
    try:
        packet = make()
    except HeaderTooLargeError as error:
        raise StreamError(str(error)) from error
    await _send(me, [packet])


def _bytes_info(
    stream_id: str,
    timestamp_ms: int,
    name: str,
    topic: str,
    mime_type: str,
    size_bytes: int,
    attributes: Mapping[str, str] | None,
) -> ByteStreamInfo:
    return ByteStreamInfo(
        stream_id=stream_id,
        mime_type=mime_type,
        topic=topic,
        timestamp=timestamp_ms,
        size=size_bytes,
        attributes=dict(attributes or {}),
        name=name,
    )
