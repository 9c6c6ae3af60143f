"""Pictures that others send with their lines, from the stream to the line that shows them.

A picture may come before its line was read, or without one. Belongs to the engine thread.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable

import structlog

from app.engine import rtc
from app.engine.chat import ChatLine, is_id
from app.engine.chat_book import ChatBook
from app.engine.chat_images import ChatImages
from app.engine.events import AttachmentState, ChatAttachment, ChatReceived
from app.protocol.errors import ProtocolError
from app.runtime.errors import WorldError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

_AWAITED_KEPT = 256


class ChatPictures:
    """The pictures of one meeting's chat.

    `take_line` shows a line that is nothing but pictures; `take_file` gets what is none.
    """

    def __init__(
        self,
        book: ChatBook,
        owner: TaskOwner,
        *,
        tell: Callable[[ChatReceived | None], None],
        take_line: Callable[[ChatLine, str, list[ChatAttachment]], None],
        take_file: Callable[[rtc.ByteStreamReader, str], None],
    ) -> None:
        self._book = book
        self._owner = owner
        self._tell = tell
        self._take_line = take_line
        self._take_file = take_file
        self._images = ChatImages()
        self._awaited: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._early: OrderedDict[tuple[str, str], ChatAttachment] = OrderedDict()

    async def aclose(self) -> None:
        """Delete the pictures."""
        await self._images.aclose()

    def expect(self, identity: str, stream_id: str, line_id: str) -> None:
        """A line has announced this stream."""
        self._awaited[identity, stream_id] = line_id
        while len(self._awaited) > _AWAITED_KEPT:
            self._awaited.popitem(last=False)

    def handle_stream(self, reader: rtc.ByteStreamReader, identity: str) -> None:
        """Take a byte stream of the chat's topic: a picture, or a file like any other."""
        info = reader.info
        line_id = self._awaited.pop((identity, info.stream_id), "")
        name = info.name[:256]
        if not self._images.takes(info.mime_type, info.size):
            if line_id:
                self._tell_attachment(
                    identity,
                    line_id,
                    ChatAttachment(info.stream_id, name, info.size or 0, AttachmentState.FILE),
                )
            self._take_file(reader, identity)
            return
        coming = ChatAttachment(info.stream_id, name, info.size or 0, AttachmentState.COMING)
        if line_id:
            self._tell_attachment(identity, line_id, coming)
        elif is_id(info.stream_id):
            # A picture that no line announced is a line by itself.
            line_id = info.stream_id
            line = ChatLine(line_id, "", max(0, info.timestamp))
            self._take_line(line, identity, [coming])
        spawn(
            self._save_picture(reader, identity, line_id, coming),
            name="chat picture",
            owner=self._owner,
        )

    async def _save_picture(
        self,
        reader: rtc.ByteStreamReader,
        identity: str,
        line_id: str,
        coming: ChatAttachment,
    ) -> None:
        state, path = AttachmentState.FAILED, None
        try:
            path = await self._images.save(
                _chunks(reader), reader.info.mime_type, coming.size_bytes
            )
            state = AttachmentState.HERE
        except (ProtocolError, WorldError) as error:
            log.info("chat picture not kept", reason=str(error.reason))
        finally:
            reader.close()
        self._tell_attachment(
            identity,
            line_id,
            ChatAttachment(coming.id, coming.name, coming.size_bytes, state, path),
        )

    def _tell_attachment(self, identity: str, line_id: str, attachment: ChatAttachment) -> None:
        if self._book.get(identity, line_id) is None:
            # It was quicker than its line, which takes it along when it is shown.
            self._early[identity, attachment.id] = attachment
            while len(self._early) > _AWAITED_KEPT:
                self._early.popitem(last=False)
            return
        self._tell(self._book.handle_attachment(identity, line_id, attachment))

    def announced(self, identity: str, ids: Iterable[str]) -> list[ChatAttachment]:
        """What is known of the attachments of a line that is about to be shown."""
        return [
            self._early.get((identity, each), ChatAttachment(each, "", 0, AttachmentState.COMING))
            for each in ids
        ]


async def _chunks(reader: rtc.ByteStreamReader) -> AsyncIterator[bytes]:
    try:
        async for chunk in reader:
            yield chunk
    except rtc.StreamError:
        raise ProtocolError("chat: picture broke off") from None
