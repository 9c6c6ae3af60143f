"""Transfers in a real room: the room's calls, packets and streams as `TransferWire`.

While somebody is seen or heard, a file keeps little in the reliable channel: what waits there
holds up chat and calls, and the packets it becomes compete with sound and pictures.
"""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import replace

import structlog

from app.engine import rtc
from app.engine.events import Event
from app.engine.local_participant import PublishDataError
from app.engine.pacing import Pace
from app.engine.streams import describe_stream
from app.engine.transfer_wire import (
    Incoming,
    NoSuchCallError,
    Sink,
    StreamBrokenError,
    StreamHead,
)
from app.engine.transfers import CALLS, FILE_TOPIC, ReceivePolicy, Transfers
from app.protocol.data_packet import PacketTooLargeError
from app.protocol.errors import ProtocolError
from app.protocol.streams.assembler import StreamFault
from app.protocol.streams.negotiation import RPC_STREAMS_PROTOCOL
from app.protocol.streams.splitter import ByteSplitter, HeaderTooLargeError
from app.protocol.transfers import TOPIC, attributes_of, label_of
from app.runtime.errors import Reason, WorldError

log = structlog.get_logger(__name__)

_CALL_TIMEOUT_S = 20.0
_MIME = "application/octet-stream"

RegisterCall = Callable[[str, Callable[[rtc.RpcInvocationData], Awaitable[str]]], None]


class RoomTransfers:
    """The transfers of one room, and the hooks by which they hear of it."""

    def __init__(
        self,
        room: rtc.Room,
        *,
        post: Callable[[Event], None],
        policy: Callable[[], ReceivePolicy],
        connected: asyncio.Event,
        name_of: Callable[[str], str],
        register_call: RegisterCall,
    ) -> None:
        self._room = room
        self._wire = RoomWire(room, connected, name_of)
        self._stay = ""
        self.transfers = Transfers(post=post, wire=self._wire, policy=policy)
        for method in CALLS:
            register_call(method, self._handle_call)
        room.register_byte_stream_handler(FILE_TOPIC, self.handle_stream)
        room.on("data_received", self._handle_data)
        room.on(
            "participant_connected",
            lambda participant: self.transfers.handle_person_joined(participant.identity),
        )
        room.on(
            "participant_disconnected",
            lambda participant, *_: self.transfers.handle_person_left(participant.identity),
        )

    def handle_joined(self) -> None:
        """The room is joined."""
        self._stay = self._wire.stay()
        self.transfers.handle_joined_room()

    def handle_reconnected(self) -> None:
        """The connection is back, perhaps by joining anew."""
        if self._stay != self._wire.stay():
            self._stay = self._wire.stay()
            self.transfers.handle_rejoined()

    async def _handle_call(self, data: rtc.RpcInvocationData) -> str:
        try:
            return await self.transfers.handle_call(data.caller_identity, data.method, data.payload)
        except ProtocolError as error:
            log.info("transfer call refused", reason=error.reason)
            raise rtc.RpcError(404, "no such transfer") from error

    def _handle_data(self, packet: rtc.DataPacket) -> None:
        if packet.topic != TOPIC or packet.participant is None:
            return
        try:
            self.transfers.handle_packet(packet.participant.identity, packet.data)
        except ProtocolError as error:
            log.info("transfer packet dropped", reason=error.reason)

    def handle_stream(self, reader: rtc.ByteStreamReader, identity: str) -> None:
        """Take a byte stream that is a file, whatever its topic."""
        info = reader.info
        attributes: Mapping[str, str] = info.attributes or {}
        self.transfers.receive(
            Incoming(
                name=info.name,
                size_bytes=info.size or None,
                identity=identity,
                label=label_of(attributes),
                chunks=_chunks(reader),
                attributes=lambda: attributes,
                close=reader.close,
            )
        )


class RoomWire:
    """`TransferWire` over a room of the public door."""

    def __init__(
        self, room: rtc.Room, connected: asyncio.Event, name_of: Callable[[str], str]
    ) -> None:
        self._room = room
        self._connected = connected
        self._name_of = name_of
        self._pace = Pace(room)

    @property
    def room(self) -> str:
        """The room's name."""
        return self._room.name

    def stay(self) -> str:
        """The sid of this stay."""
        return self._room.local_participant.sid

    def name_of(self, identity: str) -> str:
        """How people call somebody."""
        return self._name_of(identity)

    def others(self) -> tuple[str, ...]:
        """Everybody else."""
        return tuple(self._room.remote_participants)

    async def call(self, identity: str, method: str, payload: str) -> str:
        """Ask."""
        await self._connected.wait()
        if not self._room.local_participant.may_publish_data:
            raise WorldError(Reason.DENIED, detail="no permission to publish data")
        person = self._room.remote_participants.get(identity)
        if person is None:
            raise WorldError(Reason.PEER_GONE)
        try:
            return await self._room.local_participant.perform_rpc(
                destination_identity=identity,
                method=method,
                payload=payload,
                response_timeout=_CALL_TIMEOUT_S,
            )
        except rtc.RpcError as error:
            code = rtc.RpcError.ErrorCode
            is_old = person.info.client_protocol < RPC_STREAMS_PROTOCOL
            if error.code == code.UNSUPPORTED_METHOD or (
                is_old and error.code in (code.CONNECTION_TIMEOUT, code.REQUEST_PAYLOAD_TOO_LARGE)
            ):
                raise NoSuchCallError from error
            is_late = error.code in (code.CONNECTION_TIMEOUT, code.RESPONSE_TIMEOUT)
            reason = Reason.TIMEOUT if is_late else Reason.PEER_GONE
            raise WorldError(reason, detail=f"rpc {int(error.code)}") from error

    async def tell(self, identity: str, data: bytes) -> None:
        """Send a packet."""
        try:
            await self._room.local_participant.publish_data(
                data, topic=TOPIC, destination_identities=[identity]
            )
        except PublishDataError as error:
            raise WorldError(Reason.PEER_GONE, detail=str(error)) from error

    async def open(self, head: StreamHead) -> Sink:
        """Open a byte stream."""
        await self._connected.wait()
        about = describe_stream(
            self._room.local_participant,
            topic=FILE_TOPIC,
            attributes=attributes_of(head.label) if head.label.file_id else {},
            stream_id=None,
            total_size=head.size_bytes,
            mime_type=_mime_of(head.name),
            destination_identities=list(head.to),
        )
        splitter = ByteSplitter(about)
        try:
            header = splitter.open(name=head.name)
        except HeaderTooLargeError as error:
            raise WorldError(Reason.TOO_LARGE, detail="name") from error
        await self._room.local_participant.send_packet(header)
        return _RoomSink(self._room, splitter, self._pace)


class _RoomSink:
    """A byte stream whose receivers may become fewer."""

    def __init__(self, room: rtc.Room, splitter: ByteSplitter, pace: Pace) -> None:
        self._me = room.local_participant
        self._splitter = splitter
        self._pace = pace

    async def write(self, data: bytes, to: Collection[str]) -> None:
        """Cut and send."""
        self._aim(to)
        try:
            for packet in self._splitter.write(data):
                await self._pace.wait()
                await self._me.send_packet(packet)
        except PacketTooLargeError as error:
            raise WorldError(Reason.TOO_LARGE, detail=str(error)) from error

    async def aclose(
        self, to: Collection[str], *, reason: str = "", attributes: Mapping[str, str] | None = None
    ) -> None:
        """Send the trailer, if there is anybody to read it."""
        if to:
            self._aim(to)
            await self._me.send_packet(self._splitter.close(reason=reason, attributes=attributes))

    def _aim(self, to: Collection[str]) -> None:
        about = self._splitter.description
        if tuple(about.destinations) != tuple(to):
            self._splitter.description = replace(about, destinations=tuple(to))


def _mime_of(name: str) -> str:
    return mimetypes.guess_type(name)[0] or _MIME


async def _chunks(reader: rtc.ByteStreamReader) -> AsyncIterator[bytes]:
    try:
        async for chunk in reader:
            yield chunk
    except rtc.StreamError as error:
        fault = f"{StreamFault.ABORTED}: "
        said = error.description
        reason = said.removeprefix(fault) if said.startswith(fault) else ""
        raise StreamBrokenError(reason) from None
