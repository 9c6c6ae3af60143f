"""The chat of one meeting at work: sends, receives, says who is writing.

Decisions sit in `chat_book` (who may change what), `chat_flood` (how much is shown) and
`typing_notices`; here they meet the room. `chat_pictures` takes what comes with lines and
`chat_catch_up` asks for those of before. Belongs to the engine thread. Reading order: the
commands, then what arrives.
"""

from __future__ import annotations

import asyncio
import mimetypes
import time
import uuid
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog
from livekit.protocol import models as lk

from app.engine import rtc
from app.engine.chat import (
    CHAT_TOPIC,
    LANAI_TOPIC,
    LEGACY_TOPIC,
    MAX_ATTACHMENTS,
    MAX_TEXT_CHARS,
    ChatLine,
    Deed,
    HeaderNote,
    Operation,
    OutgoingLine,
    deed_payload,
    glyph_of,
    is_id,
    packets_of,
    parse_deed,
    parse_legacy,
    read_header,
)
from app.engine.chat_book import ChatBook, Entry
from app.engine.chat_catch_up import CatchUp
from app.engine.chat_flood import FloodGuard, Growth
from app.engine.chat_images import MAX_IMAGE_BYTES
from app.engine.chat_pictures import ChatPictures
from app.engine.events import (
    AttachmentState,
    ChatAttachment,
    ChatFailed,
    ChatReceived,
    ChatState,
    Event,
    Person,
    Role,
    TypingChanged,
)
from app.engine.local_participant import PublishDataError
from app.engine.typing_notices import TYPING_TOPIC, TypingBoard, TypingSender, parse_notice
from app.protocol.data_packet import PacketTooLargeError
from app.protocol.errors import ProtocolError
from app.protocol.streams.splitter import HeaderTooLargeError
from app.runtime.errors import Reason, WorldError
from app.runtime.opening import open_off_loop
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

_GROWING_EACH = 4
_NOTES_KEPT = 1_024
_BLOCK_BYTES = 64 * 1024


class ChatDesk:
    """Everything about the chat of one meeting."""

    def __init__(
        self,
        *,
        room: rtc.Room,
        post: Callable[[Event], None],
        person: Callable[[str], Person | None],
        connected: asyncio.Event,
        typing_wished: Callable[[], bool],
        take_file: Callable[[rtc.ByteStreamReader, str], None],
    ) -> None:
        self._room = room
        self._post = post
        self._person = person
        self._connected = connected
        self._typing_wished = typing_wished
        self._owner = TaskOwner("chat")
        self._book = ChatBook(self._name_of)
        self._pictures = ChatPictures(
            self._book,
            self._owner,
            tell=self._tell,
            take_line=lambda line, who, pictures: self._take_line(line, who, attachments=pictures),
            take_file=take_file,
        )
        self._catch_up = CatchUp(
            room,
            self._book,
            self._owner,
            person=person,
            post=post,
            say_again=self._start_sending,
        )
        self._typing = TypingSender()
        self._board = TypingBoard()
        self._board_task: asyncio.Task[None] | None = None
        self._notes: OrderedDict[str, HeaderNote] = OrderedDict()
        self._files: dict[str, tuple[Path, ...]] = {}
        self._floods = FloodGuard()
        self._growing: Counter[str] = Counter()

    # -- life -------------------------------------------------------------------------------

    def listen(self) -> None:
        """Register with the room, before it connects."""
        self._room.register_text_stream_handler(CHAT_TOPIC, self._on_text_stream)
        self._room.register_byte_stream_handler(CHAT_TOPIC, self._pictures.handle_stream)
        self._room.on("data_received", self._on_data)

    def handle_joined(self) -> None:
        """The room let us in: learn what was said before."""
        self._book.me = self._room.local_participant.identity
        self._catch_up.handle_joined()

    def handle_connection_lost(self) -> None:
        """The session is gone: a resume does not tell this."""
        self._catch_up.handle_connection_lost()

    def handle_reconnected(self) -> None:
        """Learn what was missed, and say again what the others missed."""
        self._catch_up.handle_reconnected()

    def handle_left(self, identity: str) -> None:
        """Somebody left."""
        self._catch_up.handle_left(identity)
        self._floods.forget(identity)
        self._show_typing(self._board.handle_gone(identity))

    async def aclose(self) -> None:
        """End what runs and delete the pictures."""
        await self._owner.close()
        await self._pictures.aclose()

    # -- commands ---------------------------------------------------------------------------

    async def send(
        self,
        text: str,
        *,
        to: tuple[str, ...] = (),
        reply_to: str = "",
        files: tuple[Path, ...] = (),
    ) -> str:
        """Send a line in the background; returns its id. TOO_LARGE, FILE_GONE for its pictures."""
        if len(text) > MAX_TEXT_CHARS:
            raise WorldError(Reason.TOO_LARGE, detail="chat line")
        attachments = await asyncio.to_thread(_look_at, files[:MAX_ATTACHMENTS])
        line = ChatLine(str(uuid.uuid4()), text, _now_ms())
        note = HeaderNote(reply_to=reply_to, to=to)
        self._tell(
            self._book.handle_line(
                line,
                self._book.me,
                note,
                now_ms=line.at_ms,
                attachments=attachments,
                state=ChatState.SENDING,
            )
        )
        self._typing.handle_stop()  # The line itself says that one stopped.
        self._files[line.id] = files[:MAX_ATTACHMENTS]
        self._start_sending(line.id)
        return line.id

    async def retry(self, line_id: str) -> None:
        """Send a failed line again under its id."""
        entry = self._book.get(self._book.me, line_id)
        if entry is not None and entry.state is ChatState.FAILED and not entry.deleted:
            self._start_sending(line_id)

    async def edit(self, line_id: str, text: str) -> None:
        """Change a line of one's own; DENIED for any other, TOO_LARGE, REFUSED when empty."""
        entry = self._own(line_id)
        self._require_right()
        if len(text) > MAX_TEXT_CHARS:
            raise WorldError(Reason.TOO_LARGE, detail="chat line")
        if not text.strip():
            raise WorldError(Reason.REFUSED, detail="an empty line")
        line = ChatLine(line_id, text, entry.at_ms)
        news = self._book.handle_line(line, entry.identity, now_ms=_now_ms())
        if news is None:
            return
        self._tell(news)
        if entry.state is not ChatState.SENT:
            return  # It goes out with its new text.
        await self._send_operation(
            OutgoingLine(line, Operation.UPDATE, reply_to=entry.reply_to, to=entry.to)
        )

    async def delete(self, author: str, line_id: str) -> None:
        """Delete a line: one's own, or as a host anybody's; DENIED otherwise."""
        me = self._book.me
        self._require_right()
        entry = self._book.get(author, line_id)
        if author != me and not self._moderates(me):
            raise WorldError(Reason.DENIED, detail="somebody else's line")
        if entry is None or entry.deleted:
            return
        to = entry.to
        self._tell(self._book.handle_delete(author, line_id, by=me, may_moderate=True))
        if author != me:
            await self._send_deed(Deed(author, line_id), self._others_of(entry))
        elif entry.state is ChatState.SENT:
            receivers = self._people_who_read(to)
            if receivers is not None:
                line = ChatLine(line_id, "", entry.at_ms)
                await self._send_operation(OutgoingLine(line, Operation.DELETE, to=receivers))

    async def react(self, author: str, line_id: str, glyph: str, on: bool) -> None:
        """Answer a line with a glyph, or take that back."""
        entry = self._book.get(author, line_id)
        if entry is None:
            return
        self._require_right()
        me = self._book.me
        self._tell(self._book.handle_reaction(author, line_id, by=me, glyph=glyph, on=on))
        await self._send_deed(Deed(author, line_id, glyph, on), self._others_of(entry))

    async def set_typing(self, is_typing: bool, to: tuple[str, ...]) -> None:
        """Somebody here writes, or stopped; the setting decides whether others are told."""
        if not self._connected.is_set():
            return
        if is_typing and self._typing_wished():
            notices = self._typing.handle_typing(to, time.monotonic())
        else:
            notices = self._typing.handle_stop()
        for payload, receivers in notices:
            await self._send_data(payload, TYPING_TOPIC, receivers, reliable=False)

    # -- sending ----------------------------------------------------------------------------

    def _start_sending(self, line_id: str) -> None:
        self._tell(self._book.handle_state(line_id, ChatState.SENDING))
        spawn(self._send_line(line_id), name="chat line", owner=self._owner)

    async def _send_line(self, line_id: str) -> None:
        # While reconnecting a line waits: it was written, it shall arrive.
        await self._connected.wait()
        entry = self._book.get(self._book.me, line_id)
        if entry is None or entry.deleted:
            return
        text = entry.text
        attachments = tuple(entry.attachments.values())
        try:
            await self._send_packets(_outgoing(entry))
            for attachment, path in zip(attachments, self._files.get(line_id, ()), strict=False):
                await self._send_picture(attachment, path, entry.to)
        except WorldError as error:
            log.info("chat line not sent", reason=str(error.reason))
            self._tell(self._book.handle_state(line_id, ChatState.FAILED))
            self._post(ChatFailed(line_id, error.reason))
            return
        self._tell(self._book.handle_state(line_id, ChatState.SENT))
        await self._send_later_change(entry, text)

    async def _send_later_change(self, entry: Entry, sent: str) -> None:
        """A line may have been changed or deleted while it was on its way."""
        line = ChatLine(entry.id, entry.text, entry.at_ms)
        if entry.deleted:
            await self._send_quietly(OutgoingLine(line, Operation.DELETE, to=entry.to))
        elif entry.text != sent:
            await self._send_quietly(OutgoingLine(line, Operation.UPDATE, to=entry.to))

    async def _send_packets(self, outgoing: OutgoingLine) -> None:
        me = self._room.local_participant
        try:
            for packet in packets_of(outgoing, me.identity):
                await me.send_packet(packet)
        except (PacketTooLargeError, HeaderTooLargeError) as error:
            raise WorldError(Reason.TOO_LARGE, detail=str(error)) from error

    async def _send_operation(self, outgoing: OutgoingLine) -> None:
        await self._connected.wait()
        await self._send_packets(outgoing)

    async def _send_quietly(self, outgoing: OutgoingLine) -> None:
        try:
            await self._send_operation(outgoing)
        except WorldError as error:
            log.info("chat change not sent", reason=str(error.reason))

    async def _send_picture(
        self, attachment: ChatAttachment, path: Path, to: tuple[str, ...]
    ) -> None:
        try:
            writer = await self._room.local_participant.stream_bytes(
                attachment.name,
                topic=CHAT_TOPIC,
                total_size=attachment.size_bytes,
                mime_type=mimetypes.guess_type(path.name)[0] or "application/octet-stream",
                stream_id=attachment.id,
                destination_identities=list(to) or None,
            )
            left = attachment.size_bytes
            with await open_off_loop(path, "rb") as file:
                while left > 0:
                    block = await asyncio.to_thread(file.read, min(left, _BLOCK_BYTES))
                    if not block:
                        break
                    await writer.write(block)
                    left -= len(block)
            await writer.aclose(reason="error" if left else "")
        except rtc.StreamError as error:
            raise _reason_of(error) from error
        except OSError as error:
            raise WorldError(Reason.FILE_GONE, detail=type(error).__name__) from error
        if left:
            raise WorldError(Reason.FILE_GONE, detail="the picture became shorter")

    async def _send_deed(self, deed: Deed, to: tuple[str, ...]) -> None:
        await self._connected.wait()
        await self._send_data(deed_payload(deed), LANAI_TOPIC, to, reliable=True)

    async def _send_data(
        self, payload: bytes, topic: str, to: Iterable[str], *, reliable: bool
    ) -> None:
        try:
            await self._room.local_participant.publish_data(
                payload, reliable=reliable, destination_identities=list(to), topic=topic
            )
        except PublishDataError as error:
            if reliable:
                raise _reason_of(error) from error

    def _require_right(self) -> None:
        """Before anything is changed here that would stay unknown to everybody else."""
        if not self._room.local_participant.may_publish_data:
            raise WorldError(Reason.DENIED, detail="no permission to publish data")

    # -- what arrives -----------------------------------------------------------------------

    def handle_packet(self, packet: lk.DataPacket) -> None:
        """See a packet before the room does: headers say more than a reader tells."""
        if packet.HasField("chat_message"):
            self._on_chat_message(packet.chat_message, packet.participant_identity)
            return
        header = packet.stream_header
        if not packet.HasField("stream_header") or header.topic != CHAT_TOPIC:
            return
        if header.HasField("text_header"):
            self._notes[header.stream_id] = read_header(packet)
            while len(self._notes) > _NOTES_KEPT:
                self._notes.popitem(last=False)

    def _on_text_stream(self, reader: rtc.TextStreamReader, identity: str) -> None:
        note = self._notes.pop(reader.info.stream_id, HeaderNote())
        if not is_id(reader.info.stream_id):
            reader.close()
            return
        attachments = []
        if note.operation in (Operation.CREATE, Operation.UPDATE):
            attachments = [each for each in reader.info.attachments if is_id(each)]
        # Now, not in the task: the pictures may follow in this very turn.
        for each in attachments[:MAX_ATTACHMENTS]:
            self._pictures.expect(identity, each, reader.info.stream_id)
        spawn(
            self._read_line(reader, identity, note, attachments[:MAX_ATTACHMENTS]),
            name="chat line",
            owner=self._owner,
        )

    async def _read_line(
        self,
        reader: rtc.TextStreamReader,
        identity: str,
        note: HeaderNote,
        attachments: list[str],
    ) -> None:
        info = reader.info
        known = self._book.get(identity, info.stream_id) is not None
        grows = note.operation is Operation.CREATE and not known
        grows = grows and self._growing[identity] < _GROWING_EACH
        self._growing[identity] += 1
        try:
            await self._follow_line(reader, identity, note, attachments, grows=grows)
        finally:
            self._growing[identity] -= 1
            self._growing += Counter()  # forgets who has none

    async def _follow_line(
        self,
        reader: rtc.TextStreamReader,
        identity: str,
        note: HeaderNote,
        attachments: list[str],
        *,
        grows: bool,
    ) -> None:
        info = reader.info
        growth = Growth(
            lambda text: (
                self._take_line(
                    ChatLine(info.stream_id, text, max(0, info.timestamp)),
                    identity,
                    note,
                    growing=True,
                    attachments=self._pictures.announced(identity, attachments),
                )
                if grows
                else None
            )
        )
        try:
            async for piece in reader:
                if growth.add(piece):
                    log.info("chat line cut")
                    reader.close()
                    break
        except rtc.StreamError:
            log.info("chat line broke off")
            growth.stop()
            if grows and growth.shown:
                self._tell(self._book.handle_end_of_growth(identity, info.stream_id, broken=True))
            return
        growth.stop()
        text = growth.text
        line = ChatLine(info.stream_id, text, max(0, info.timestamp))
        match note.operation:
            case Operation.DELETE:
                self._tell(
                    self._book.handle_delete(identity, line.id, by=identity, may_moderate=False)
                )
            case Operation.REACTION:
                self._take_reaction(identity, note, text)
            case _:
                known = self._pictures.announced(identity, attachments)
                self._take_line(line, identity, note, attachments=known)
                self._tell(self._book.handle_end_of_growth(identity, line.id))

    def _take_reaction(self, identity: str, note: HeaderNote, text: str) -> None:
        glyph = glyph_of(text[:16])
        if glyph and note.reply_to:
            self._tell(
                self._book.handle_reaction("", note.reply_to, by=identity, glyph=glyph, on=True)
            )

    def _take_line(
        self,
        line: ChatLine,
        identity: str,
        note: HeaderNote = HeaderNote(),  # noqa: B008 - frozen
        *,
        growing: bool = False,
        attachments: Iterable[ChatAttachment] = (),
    ) -> None:
        if identity == self._book.me:
            return  # Our own words come from us alone.
        if not growing and not self._floods.allows(identity, time.monotonic()):
            return
        self._show_typing(self._board.handle_gone(identity))
        self._tell(
            self._book.handle_line(
                line,
                identity,
                note,
                now_ms=_now_ms(),
                growing=growing,
                attachments=attachments,
            )
        )

    def _on_data(self, packet: rtc.DataPacket) -> None:
        if packet.participant is None or packet.topic not in _TOPICS:
            return
        identity = packet.participant.identity
        try:
            match packet.topic:
                case "lk-chat-topic":
                    line = parse_legacy(packet.data)
                    if line is not None:
                        self._take_line(line, identity)
                case "lanai.chat":
                    self._take_deed(parse_deed(packet.data), identity)
                case _:
                    now_s = time.monotonic()
                    changed = self._board.handle_notice(identity, parse_notice(packet.data), now_s)
                    self._show_typing(changed)
        except ProtocolError as error:
            log.info("chat packet dropped", reason=error.reason)

    def _take_deed(self, deed: Deed, by: str) -> None:
        if not self._floods.allows(by, time.monotonic()):
            return
        if deed.glyph:
            self._tell(
                self._book.handle_reaction(
                    deed.author, deed.line_id, by=by, glyph=deed.glyph, on=deed.on
                )
            )
        else:
            self._tell(
                self._book.handle_delete(
                    deed.author, deed.line_id, by=by, may_moderate=self._moderates(by)
                )
            )

    def _on_chat_message(self, message: lk.ChatMessage, identity: str) -> None:
        """Take a line in its oldest form."""
        if not is_id(message.id) or identity not in self._room.remote_participants:
            return
        if message.deleted:
            self._tell(
                self._book.handle_delete(identity, message.id, by=identity, may_moderate=False)
            )
            return
        line = ChatLine(message.id, message.message, max(0, message.timestamp))
        self._take_line(line, identity)

    # -- small things -----------------------------------------------------------------------

    def _tell(self, event: ChatReceived | None) -> None:
        if event is not None:
            self._post(event)

    def _show_typing(self, changed: bool) -> None:
        if changed:
            people = tuple((i, self._name_of(i)) for i in self._board.people)
            self._post(TypingChanged(people))
        if self._board.deadline_s is not None and (
            self._board_task is None or self._board_task.done()
        ):
            self._board_task = spawn(self._watch_board(), name="typing", owner=self._owner)

    async def _watch_board(self) -> None:
        while (deadline_s := self._board.deadline_s) is not None:
            await asyncio.sleep(max(0.05, deadline_s - time.monotonic()))
            if self._board.handle_deadline(time.monotonic()):
                self._show_typing(True)

    def _name_of(self, identity: str) -> str:
        person = self._person(identity)
        return person.name if person is not None else identity

    def _moderates(self, identity: str) -> bool:
        person = self._person(identity)
        return person is not None and person.role in (Role.HOST, Role.COHOST)

    def _others_of(self, entry: Entry) -> tuple[str, ...]:
        """Everybody else who has a line; empty when that is the whole room."""
        return tuple({entry.identity, *entry.to} - {self._book.me}) if entry.to else ()

    def _own(self, line_id: str) -> Entry:
        entry = self._book.get(self._book.me, line_id)
        if entry is None or entry.deleted:
            raise WorldError(Reason.DENIED, detail="no line of one's own")
        return entry

    def _people_who_read(self, to: tuple[str, ...]) -> tuple[str, ...] | None:
        """Receivers of a deletion: an agent would take the empty text for something said.

        Empty for everybody; None when nobody is left.
        """
        everybody = list(self._room.remote_participants)
        agents = {i for i in everybody if (p := self._person(i)) is not None and p.is_agent}
        if not agents.intersection(to or everybody):
            return to
        people = tuple(i for i in (to or everybody) if i not in agents)
        return people or None


_TOPICS = (LEGACY_TOPIC, LANAI_TOPIC, TYPING_TOPIC)


def _outgoing(entry: Entry) -> OutgoingLine:
    return OutgoingLine(
        ChatLine(entry.id, entry.text, entry.at_ms),
        reply_to=entry.reply_to,
        to=entry.to,
        attachments=tuple(entry.attachments),
    )


def _look_at(files: tuple[Path, ...]) -> list[ChatAttachment]:
    found = []
    for path in files:
        try:
            size_bytes = path.stat().st_size
        except OSError as error:
            raise WorldError(Reason.FILE_GONE, detail=type(error).__name__) from error
        if size_bytes > MAX_IMAGE_BYTES:
            raise WorldError(Reason.TOO_LARGE, detail="chat picture")
        found.append(
            ChatAttachment(str(uuid.uuid4()), path.name, size_bytes, AttachmentState.HERE, path)
        )
    return found


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _reason_of(error: Exception) -> WorldError:
    """What made a script's call fail, in the interface's words."""
    if isinstance(error.__cause__, WorldError):
        return error.__cause__
    return WorldError(Reason.PEER_GONE, retry=True, detail=str(error))
