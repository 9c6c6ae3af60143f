"""Data packets of one session: numbers, back-pressure, and each reliable packet once.

Numbers and duplicates belong to a participant sid, so a rejoin begins both anew (`restart`).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog
from livekit.protocol import models as lk_models

from app.protocol.data_packet import (
    PacketTooLargeError,
    ReliableInbox,
    ReliableOutbox,
    encode_lossy,
    parse_packet,
)
from app.protocol.errors import ProtocolError
from app.runtime.errors import Reason, WorldError

log = structlog.get_logger(__name__)

RELIABLE = "_reliable"
LOSSY = "_lossy"
RELIABLE_BUFFER_BYTES = 2 << 20
LOSSY_BUFFER_BYTES = 64 << 10


class Channels(Protocol):
    """The data channels of a connection."""

    def buffered_bytes(self, label: str) -> int:
        """Bytes that wait for the network."""

    async def drain(self, label: str, below_bytes: int) -> None:
        """Wait until at most that many bytes wait."""

    def send_message(self, label: str, data: bytes) -> None:
        """Queue a message."""


class DataLane:
    """Sends and receives `DataPacket`s on `_reliable` and `_lossy`.

    `open_channel` waits until a channel of the current connection takes data.
    """

    def __init__(
        self,
        *,
        open_channel: Callable[[str], Awaitable[Channels]],
        deliver: Callable[[lk_models.DataPacket, bool], None],
    ) -> None:
        self._open_channel = open_channel
        self._deliver = deliver
        self._outbox = ReliableOutbox()
        self._inbox = ReliableInbox()
        self.dropped_lossy = 0

    def restart(self) -> None:
        """Begin anew under a new participant sid."""
        self._outbox = ReliableOutbox()
        self._inbox = ReliableInbox()

    def resend(self, channels: Channels, last_received: int) -> int:
        """Send again, under the old numbers, what the server does not have yet; return how many.

        Without a pause, so that no newer packet comes between: the server takes rising numbers.
        """
        packets = self._outbox.unacknowledged(last_received)
        for data in packets:
            channels.send_message(RELIABLE, data)
        return len(packets)

    def receive_states(self) -> list[tuple[str, int]]:
        """Return the newest number of each sender."""
        return self._inbox.receive_states(time.monotonic())

    async def send_reliable(self, packet: lk_models.DataPacket) -> None:
        """Number and send; waits while 2 MiB are buffered."""
        channels = await self._open_channel(RELIABLE)
        while channels.buffered_bytes(RELIABLE) > RELIABLE_BUFFER_BYTES:
            await channels.drain(RELIABLE, RELIABLE_BUFFER_BYTES // 2)
            channels = await self._open_channel(RELIABLE)
        try:
            data = self._outbox.number(packet)
        except PacketTooLargeError as error:
            raise WorldError(Reason.TOO_LARGE, detail=str(error)) from error
        channels.send_message(RELIABLE, data)
        self._outbox.trim(channels.buffered_bytes(RELIABLE))

    async def send_lossy(self, packet: lk_models.DataPacket) -> None:
        """Send, or drop and count when the network does not keep up."""
        channels = await self._open_channel(LOSSY)
        try:
            data = encode_lossy(packet)
        except PacketTooLargeError as error:
            raise WorldError(Reason.TOO_LARGE, detail=str(error)) from error
        if channels.buffered_bytes(LOSSY) > LOSSY_BUFFER_BYTES:
            self.dropped_lossy += 1
            return
        channels.send_message(LOSSY, data)

    def handle_message(self, label: str, data: bytes) -> None:
        """Take a message of any channel; what is no data packet is dropped."""
        if label not in (RELIABLE, LOSSY):
            return
        try:
            packet = parse_packet(data)
        except ProtocolError as error:
            log.info("data packet dropped", reason=error.reason)
            return
        if label == LOSSY or self._inbox.is_new(packet, time.monotonic()):
            self._deliver(packet, label == RELIABLE)
