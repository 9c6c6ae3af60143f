"""Data channels over SCTP over DTLS, by label.

aiortc's `RTCSctpTransport` does the protocol, as `sctp.Association` corrects it. Messages are
queued and flushed in the same call instead of in a task of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import WEBRTC_BINARY, RTCSctpCapabilities

from app.protocol.errors import ProtocolError
from app.rtc.dtls import PEER_FAULTS, DtlsEndpoint, run_now
from app.rtc.sctp import Association
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

LOCAL_SCTP_PORT = 5000
LOCAL_MAX_MESSAGE_BYTES = 65_535
MAX_SEND_BYTES = 64_000


class DataChannels:
    """All data channels of one peer connection. Lives on the loop that made it.

    `on_message(label, data)` and `on_open(label)` are called on the loop. A second channel
    with a known label replaces the first one.
    """

    def __init__(
        self,
        dtls: DtlsEndpoint,
        *,
        on_message: Callable[[str, bytes], None],
        on_open: Callable[[str], None],
    ) -> None:
        self._dtls = dtls
        self._on_message = on_message
        self._on_open = on_open
        self._channels: dict[str, RTCDataChannel] = {}
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._tasks = TaskOwner("data-channels")
        self._is_started = False
        self._is_closed = False
        self._sctp = Association(dtls.transport, LOCAL_SCTP_PORT)
        self._sctp.on("datachannel", self._adopt)

    def start(self, remote_port: int, remote_max_message_size: int) -> None:
        """Start the association; DTLS has to be connected. A second call does nothing."""
        if self._is_started or self._is_closed:
            return
        self._is_started = True
        limit = min(remote_max_message_size or MAX_SEND_BYTES, MAX_SEND_BYTES)
        spawn(self._start(remote_port, limit), name="start", owner=self._tasks)

    async def _start(self, remote_port: int, limit: int) -> None:
        try:
            await self._sctp.start(RTCSctpCapabilities(maxMessageSize=limit), remote_port)
            early = self._dtls.transport.early
            while early:
                await self._sctp._handle_data(early.popleft())
        except PEER_FAULTS as error:
            log.warning("data channels did not start", error=type(error).__name__)

    def create(
        self, label: str, *, ordered: bool = True, max_retransmits: int | None = None
    ) -> None:
        """Open a channel of ours, before or after `start`."""
        parameters = RTCDataChannelParameters(
            label=label, ordered=ordered, maxRetransmits=max_retransmits
        )
        self._watch(RTCDataChannel(self._sctp, parameters))

    def _adopt(self, channel: RTCDataChannel) -> None:
        self._watch(channel)
        self._on_open(channel.label)

    def _watch(self, channel: RTCDataChannel) -> None:
        label = channel.label
        self._channels[label] = channel

        @channel.on("message")
        def on_message(data: bytes | str) -> None:
            # LiveKit's channels carry binary messages only.
            if isinstance(data, bytes):
                self._on_message(label, data)

        @channel.on("open")
        def on_open() -> None:
            self._on_open(label)

        @channel.on("bufferedamountlow")
        def on_low() -> None:
            self._wake(label)

        @channel.on("close")
        def on_close() -> None:
            self._wake(label)

    def is_open(self, label: str) -> bool:
        """Whether `send` would be accepted now."""
        channel = self._channels.get(label)
        return channel is not None and channel.readyState == "open"

    def channel_ids(self) -> dict[str, int]:
        """Return the stream ids of the open channels, by label."""
        return {
            label: channel.id
            for label, channel in self._channels.items()
            if channel.readyState == "open" and channel.id is not None
        }

    def buffered_amount(self, label: str) -> int:
        """Return the bytes that wait for the network on this channel."""
        channel = self._channels.get(label)
        return channel.bufferedAmount if channel is not None else 0

    def send(self, label: str, data: bytes) -> None:
        """Queue one binary message and send what the window allows.

        ProtocolError when it is larger than the peer takes, ConnectionError when the
        channel is not open.
        """
        channel = self._channels.get(label)
        if channel is None or channel.readyState != "open":
            raise ConnectionError(f"data channel {label} is not open")
        sctp = self._sctp
        limit = sctp._remote_max_message_size
        if limit and len(data) > limit:
            raise ProtocolError("message larger than the peer accepts")
        if not data:
            channel.send(data)
            return
        channel._addBufferedAmount(len(data))
        sctp._data_channel_queue.append((channel, WEBRTC_BINARY, data))
        # With chunks outstanding the SACK handler flushes the queue.
        if not sctp._outbound_queue:
            try:
                run_now(sctp._data_channel_flush())
            except ConnectionError:
                log.debug("data channel write on a closed transport")

    async def drain(self, label: str, below: int) -> None:
        """Wait until at most `below` bytes are buffered, or the channel has closed."""
        while self.is_open(label) and self.buffered_amount(label) > below:
            channel = self._channels[label]
            channel.bufferedAmountLowThreshold = below
            waiter = asyncio.get_running_loop().create_future()
            waiters = self._waiters.setdefault(label, set())
            waiters.add(waiter)
            try:
                await waiter
            finally:
                waiters.discard(waiter)

    def _wake(self, label: str) -> None:
        for waiter in self._waiters.get(label, ()):
            if not waiter.done():
                waiter.set_result(None)

    async def close(self) -> None:
        """Abort the association. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._tasks.close()
        if self._is_started:
            await self._sctp.stop()
        for label in self._waiters:
            self._wake(label)
