"""A room of transfers without sockets: calls, packets and streams go over in memory, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.engine.events import Event, Transfer, TransferChanged, TransferState
from app.engine.transfer_wire import (
    Incoming,
    NoSuchCallError,
    Sink,
    StreamBrokenError,
    StreamHead,
)
from app.engine.transfers import ReceivePolicy, Transfers
from app.protocol.errors import ProtocolError
from app.runtime.errors import Reason, WorldError

DEADLINE_S = 30.0


@dataclass
class Plain:
    """Somebody whose program is no Lanai app: it takes streams and answers no call."""

    identity: str
    files: list[tuple[str, bytes, str, dict[str, str]]] = field(default_factory=list)


class Person:
    """Transfers with a place to save, and what they told."""

    def __init__(self, room: TransferRoom, identity: str, folder: Path) -> None:
        self.room = room
        self.identity = identity
        self.policy = ReceivePolicy(folder)
        self.told: list[Transfer] = []
        self._changed = asyncio.Event()
        self.stay_id = f"{identity}-1"
        self.transfers = Transfers(
            post=self._post, wire=Wire(room, self), policy=lambda: self.policy
        )

    @property
    def folder(self) -> Path:
        return self.policy.folder

    def files(self) -> list[str]:
        return sorted(p.name for p in self.folder.iterdir()) if self.folder.exists() else []

    def _post(self, event: Event) -> None:
        assert isinstance(event, TransferChanged)
        self.told.append(event.transfer)
        self._changed.set()

    async def until(
        self, *states: TransferState, test: Callable[[Transfer], bool] = lambda _: True
    ) -> Transfer:
        """Return the first report of such a state since the last `forget`."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                for told in self.told:
                    if told.state in states and test(told):
                        return told
                self._changed.clear()
                await self._changed.wait()

    async def ended(self) -> Transfer:
        return await self.until(*(state for state in TransferState if state.is_over))

    def forget(self) -> None:
        self.told.clear()


class TransferRoom:
    """Who is there, and what happens on the way. `on_block` and `on_write` (with its
    size) are called before each block sent."""

    def __init__(self) -> None:
        self.people: dict[str, Person | Plain] = {}
        self.heads: list[StreamHead] = []
        self.calls: list[tuple[str, str, str]] = []
        self.on_block: Callable[[], None] = lambda: None
        self.on_write: Callable[[int], None] = lambda _size_bytes: None
        self.silent: set[str] = set()
        self.slow: set[str] = set()
        self.streams: list[_Stream] = []

    def add(self, identity: str, folder: Path) -> Person:
        person = Person(self, identity, folder)
        self.people[identity] = person
        return person

    def add_plain(self, identity: str) -> Plain:
        plain = Plain(identity)
        self.people[identity] = plain
        return plain

    def others(self, identity: str) -> tuple[str, ...]:
        return tuple(each for each in self.people if each != identity)

    def person(self, identity: str) -> Person:
        person = self.people[identity]
        assert isinstance(person, Person)
        return person

    async def leave(self, identity: str) -> None:
        """Somebody is gone: its streams break, the others are told, its desk closes."""
        person = self.person(identity)
        del self.people[identity]
        for stream in self.streams:
            if stream.sender == identity:
                stream.break_off("")
        for other in list(self.people.values()):
            if isinstance(other, Person):
                other.transfers.handle_person_left(identity)
        await person.transfers.aclose()

    async def close(self) -> None:
        for person in list(self.people.values()):
            if isinstance(person, Person):
                await person.transfers.aclose()


class Wire:
    """`TransferWire` of one person."""

    room = "jam"

    def __init__(self, room: TransferRoom, me: Person) -> None:
        self._room = room
        self._me = me

    def stay(self) -> str:
        return self._me.stay_id

    def name_of(self, identity: str) -> str:
        return identity.split("-")[0].title()

    def others(self) -> tuple[str, ...]:
        return self._room.others(self._me.identity)

    async def call(self, identity: str, method: str, payload: str) -> str:
        await asyncio.sleep(0)
        self._room.calls.append((identity, method, payload))
        other = self._room.people.get(identity)
        if other is None or identity in self._room.silent:
            raise WorldError(Reason.PEER_GONE)
        if identity in self._room.slow:
            raise WorldError(Reason.TIMEOUT)
        if isinstance(other, Plain):
            raise NoSuchCallError
        try:
            return await other.transfers.handle_call(self._me.identity, method, payload)
        except ProtocolError as error:
            raise WorldError(Reason.PEER_GONE, detail=error.reason) from error

    async def tell(self, identity: str, data: bytes) -> None:
        await asyncio.sleep(0)
        other = self._room.people.get(identity)
        if isinstance(other, Person):
            other.transfers.handle_packet(self._me.identity, data)

    async def open(self, head: StreamHead) -> Sink:
        self._room.heads.append(head)
        readers = {}
        for identity in head.to:
            other = self._room.people.get(identity)
            if other is None:
                continue
            stream = _Stream(self._me.identity)
            self._room.streams.append(stream)
            readers[identity] = stream
            if isinstance(other, Plain):
                stream.take_whole(other, head.name)
            else:
                other.transfers.receive(stream.incoming(head))
        return _Sink(self._room, readers)


class _Sink:
    def __init__(self, room: TransferRoom, readers: dict[str, _Stream]) -> None:
        self._room = room
        self._readers = readers

    async def write(self, data: bytes, to: Collection[str]) -> None:
        self._room.on_block()
        self._room.on_write(len(data))
        for identity in to:
            self._readers[identity].put(data)
        await asyncio.sleep(0)

    async def aclose(
        self, to: Collection[str], *, reason: str = "", attributes: Mapping[str, str] | None = None
    ) -> None:
        for identity in to:
            if reason:
                self._readers[identity].break_off(reason)
            else:
                self._readers[identity].end(attributes or {})


class _Stream:
    def __init__(self, sender: str) -> None:
        self.sender = sender
        self._queue: asyncio.Queue[bytes | StreamBrokenError | None] = asyncio.Queue()
        self._attributes: dict[str, str] = {}
        self._is_over = False
        self._plain: tuple[Plain, str] | None = None
        self._data = b""

    def incoming(self, head: StreamHead) -> Incoming:
        return Incoming(
            name=head.name,
            size_bytes=head.size_bytes,
            identity=self.sender,
            label=head.label,
            chunks=self._read(),
            attributes=lambda: self._attributes,
            close=self._close,
        )

    def take_whole(self, plain: Plain, name: str) -> None:
        self._plain = (plain, name)

    def put(self, data: bytes) -> None:
        if self._is_over:
            return
        if self._plain is not None:
            self._data += data
            return
        for start in range(0, len(data), 15_000):
            self._queue.put_nowait(data[start : start + 15_000])

    def end(self, attributes: Mapping[str, str]) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._attributes.update(attributes)
        if self._plain is not None:
            plain, name = self._plain
            plain.files.append((name, self._data, "", dict(attributes)))
        self._queue.put_nowait(None)

    def break_off(self, reason: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._plain is not None:
            plain, name = self._plain
            plain.files.append((name, self._data, reason or "broken", {}))
        self._queue.put_nowait(StreamBrokenError(reason))

    def _close(self) -> None:
        self._is_over = True
        self._queue.put_nowait(None)

    async def _read(self) -> AsyncIterator[bytes]:
        while (item := await self._queue.get()) is not None:
            if isinstance(item, StreamBrokenError):
                raise item
            yield item
