"""What was said before one came, or while one was away: asked for, handed on, said again.

The host is asked, else whoever is here longest. Belongs to the engine thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from app.engine import rtc
from app.engine.chat_book import ChatBook, Entry, Key
from app.engine.chat_history import (
    HISTORY_METHOD,
    HistoryBusyError,
    HistoryKeeper,
    HistoryReader,
    vouched,
)
from app.engine.events import ChatHistoryReceived, ChatState, Event, Person, Role
from app.protocol.errors import ProtocolError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

_KEEPERS_ASKED = 4
_HISTORY_TIMEOUT_S = 8.0
_BUSY_WAIT_S = 1.5
_RESENT_WITHIN_MS = 30_000
_BUSY_CODE = 429
_BAD_REQUEST_CODE = 400


class CatchUp:
    """One meeting's history on its way in and out; `say_again` sends a line of ours once more."""

    def __init__(
        self,
        room: rtc.Room,
        book: ChatBook,
        owner: TaskOwner,
        *,
        person: Callable[[str], Person | None],
        post: Callable[[Event], None],
        say_again: Callable[[str], None],
    ) -> None:
        self._room = room
        self._book = book
        self._owner = owner
        self._person = person
        self._post = post
        self._say_again = say_again
        self._keeper = HistoryKeeper()
        self._lost_at_ms = 0

    def handle_joined(self) -> None:
        """The room let us in: learn what was said before."""
        self._begin()

    def handle_connection_lost(self) -> None:
        """The session is gone, and what was just written may be: a resume does not tell this."""
        self._lost_at_ms = time.time_ns() // 1_000_000

    def handle_reconnected(self) -> None:
        """Learn what was missed, and say again what the others missed."""
        lost_at_ms, self._lost_at_ms = self._lost_at_ms, 0
        if lost_at_ms:
            self._begin(lost_at_ms)

    def handle_left(self, identity: str) -> None:
        """Somebody left."""
        self._keeper.forget(identity)

    def _begin(self, lost_at_ms: int = 0) -> None:
        self._room.local_participant.register_rpc_method(HISTORY_METHOD, self._on_asked)
        spawn(self._fetch(lost_at_ms), name="chat history", owner=self._owner)

    async def _on_asked(self, call: rtc.RpcInvocationData) -> str:
        try:
            return self._keeper.handle_request(
                call.caller_identity,
                call.payload,
                self._book.entries,
                self._book.deleted,
                time.monotonic(),
            )
        except HistoryBusyError:
            raise rtc.RpcError(_BUSY_CODE, "asked too often") from None
        except ProtocolError as error:
            raise rtc.RpcError(_BAD_REQUEST_CODE, error.reason) from error

    async def _fetch(self, lost_at_ms: int = 0) -> None:
        """Ask the host, else whoever is here longest; people without a history say so at once."""
        for identity in self._keepers():
            try:
                async with asyncio.timeout(_HISTORY_TIMEOUT_S * 4):
                    reader = await self._ask(identity)
                entries, deleted = reader.result()
            except (rtc.RpcError, ProtocolError, TimeoutError) as error:
                log.info("no chat history", error=type(error).__name__)
                continue
            keys = {entry.key for entry in entries}
            entries, deleted = self._believe(identity, entries, deleted)
            events = self._book.handle_old(entries, deleted)
            old = tuple(event for event in events if event.is_old and not event.deleted)
            self._post(ChatHistoryReceived(old))
            for event in events:
                if event.deleted:
                    self._post(event)
            if lost_at_ms:
                self._resend_missing(keys, lost_at_ms)
            return

    async def _ask(self, identity: str) -> HistoryReader:
        reader = HistoryReader()
        may_wait = True
        while (request := reader.next_request) is not None:
            try:
                answer = await self._room.local_participant.perform_rpc(
                    destination_identity=identity,
                    method=HISTORY_METHOD,
                    payload=request,
                    response_timeout=_HISTORY_TIMEOUT_S,
                )
            except rtc.RpcError as error:
                if error.code != _BUSY_CODE or not may_wait:
                    raise
                may_wait = False
                await asyncio.sleep(_BUSY_WAIT_S)
                continue
            reader.handle_answer(answer)
        return reader

    def _believe(
        self, identity: str, entries: list[Entry], deleted: list[Key]
    ) -> tuple[list[Entry], list[Key]]:
        person = self._person(identity)
        return vouched(
            entries,
            deleted,
            keeper=identity,
            name=person.name if person is not None else identity,
            is_host=person is not None and person.role is not Role.GUEST,
        )

    def _keepers(self) -> list[str]:
        people = [
            (participant, person)
            for participant in self._room.remote_participants.values()
            if (person := self._person(participant.identity)) is not None and not person.is_agent
        ]
        rank = {Role.HOST: 0, Role.COHOST: 1, Role.GUEST: 2}
        people.sort(key=lambda pair: (rank[pair[1].role], _joined_at(pair[0])))
        return [person.identity for _, person in people[:_KEEPERS_ASKED]]

    def _resend_missing(self, keys: set[tuple[str, str]], lost_at_ms: int) -> None:
        """Say again what was written just before the connection broke and reached nobody."""
        for entry in list(self._book.entries):
            if (
                entry.is_mine
                and not entry.to
                and not entry.deleted
                and not entry.is_old
                and entry.state is ChatState.SENT
                and entry.key not in keys
                and lost_at_ms - _RESENT_WITHIN_MS <= entry.at_ms <= lost_at_ms
            ):
                self._say_again(entry.id)


def _joined_at(participant: rtc.RemoteParticipant) -> float:
    joined = participant.joined_at
    return joined.timestamp() if joined is not None else float("inf")
