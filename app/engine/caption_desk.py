"""Captions of one room: reads what the room receives, tells the merged list when it changes.

Words come faster than anybody reads: changes close together are told once. Belongs to the loop
of the room.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from app.engine.captions import CAPTION_TOPIC, Captions
from app.engine.events import Caption
from app.engine.streams import StreamError, TextStreamReader
from app.engine.transcription import TranscriptionSegment
from app.runtime.tasks import TaskOwner, spawn

if TYPE_CHECKING:
    from app.engine.room import Room

log = structlog.get_logger(__name__)

TELL_DELAY_S = 0.05
MAX_OPEN = 64


class CaptionDesk:
    """Listens from its making until `aclose`; `on_changed` is called on the room's loop."""

    def __init__(self, room: Room, on_changed: Callable[[tuple[Caption, ...]], None]) -> None:
        self._room = room
        self._on_changed = on_changed
        self._captions = Captions()
        self._owner = TaskOwner("captions")
        self._open = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        room.register_text_stream_handler(CAPTION_TOPIC, self._on_stream)
        room.on("transcription_received", self._on_legacy)

    @property
    def captions(self) -> tuple[Caption, ...]:
        """Everything that is remembered, in the order first heard."""
        return self._captions.list()

    async def aclose(self) -> None:
        """Stop listening."""
        if self._is_closed:
            return
        self._is_closed = True
        self._room.unregister_text_stream_handler(CAPTION_TOPIC)
        self._room.off("transcription_received", self._on_legacy)
        if self._timer is not None:
            self._timer.cancel()
        await self._owner.close()

    def _on_stream(self, reader: TextStreamReader, identity: str) -> None:
        if self._is_closed or self._open >= MAX_OPEN:
            reader.close()
            return
        self._open += 1
        spawn(self._read(reader, identity), name="caption", owner=self._owner)

    async def _read(self, reader: TextStreamReader, identity: str) -> None:
        stream_id = reader.info.stream_id
        captions = self._captions
        captions.handle_stream(stream_id, identity, reader.info.attributes or {}, _now_s())
        try:
            async for piece in reader:
                if not captions.handle_piece(stream_id, piece, _now_s()):
                    reader.close()
                    break
                self._tell_soon()
            captions.handle_end(stream_id, reader.info.attributes or {}, _now_s())
        except StreamError:
            log.debug("caption broke off")
            captions.handle_break(stream_id, _now_s())
        finally:
            self._open -= 1
        self._tell_soon()

    def _on_legacy(self, segments: list[TranscriptionSegment], who: Any, publication: Any) -> None:
        if who is None:
            return
        track_sid = publication.sid if publication is not None else ""
        if self._captions.handle_legacy(who.identity, track_sid, segments, _now_s()):
            self._tell_soon()

    def _tell_soon(self) -> None:
        if self._timer is None and not self._is_closed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(TELL_DELAY_S, self._tell)

    def _tell(self) -> None:
        self._timer = None
        self._on_changed(self._captions.list())


def _now_s() -> float:
    return time.monotonic()
