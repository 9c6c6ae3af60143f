"""Data channels over SCTP over DTLS, by label: what drives `app.rtc.sctp`.

Everything that one turn of the loop receives and sends leaves together: acknowledgements once per
turn rather than once per packet, small messages bundled, packets encrypted in one go and handed to
the kernel as a burst. A receiver can hold reliable messages back (`hold`): they then wait here, and
close the window that the peer sees, so that it is the sender who waits.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable

import structlog

from app.protocol.errors import ProtocolError
from app.rtc.dtls import DtlsEndpoint
from app.rtc.sctp.association import Association, State
from app.rtc.sctp.channels import Channel, Channels, ChannelState
from app.rtc.sctp.inbound import KEEPING_BYTES

log = structlog.get_logger(__name__)

LOCAL_SCTP_PORT = 5000
LOCAL_MAX_MESSAGE_BYTES = 65_535
MAX_SEND_BYTES = 64_000
# A peer that does not say how much it takes (RFC 8841).
_UNSAID_BYTES = 65_536
# What one turn of the loop may send before others have theirs.
PACKETS_PER_TURN = 64
# Of what was held back: the same.
MESSAGES_PER_TURN = 64


class DataChannels:
    """All data channels of one peer connection. Lives on the loop that started it.

    `on_message(label, data)` and `on_open(label)` are called on the loop. A second channel
    with a known label replaces the first one.
    """

    def __init__(
        self,
        dtls: DtlsEndpoint,
        *,
        on_message: Callable[[str, bytes], None],
        on_open: Callable[[str], None],
        max_send_bytes: int = MAX_SEND_BYTES,
    ) -> None:
        self._dtls = dtls
        self._on_message = on_message
        self._association = Association(
            LOCAL_SCTP_PORT,
            max_message_bytes=LOCAL_MAX_MESSAGE_BYTES,
            secret=secrets.token_bytes(32),
            random_u32=lambda: secrets.randbits(32),
        )
        self._channels = Channels(
            self._association,
            role=dtls.role,
            on_message=self._take,
            on_open=lambda channel: on_open(channel.label),
            on_closed=lambda _channel: self._wake(),
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._max_send_bytes = max_send_bytes
        self._flushing: asyncio.Handle | None = None
        self._timer: asyncio.Handle | None = None
        self._timer_at_s = 0.0
        self._waiters: list[tuple[str, int, Callable[[], None]]] = []
        self._inbox: deque[tuple[str, bytes]] = deque()
        self._delivering: asyncio.Handle | None = None
        self._is_holding = False
        self._is_closed = False

    def start(self, remote_port: int, remote_max_message_size: int) -> None:
        """Start the association; DTLS has to be connected. A second call does nothing."""
        if self._loop is not None or self._is_closed:
            return
        self._loop = asyncio.get_running_loop()
        self._max_send_bytes = min(remote_max_message_size or _UNSAID_BYTES, self._max_send_bytes)
        self._association.start(remote_port, self._loop.time())
        self._dtls.receive_with(self._receive)
        self._flush()

    def create(
        self, label: str, *, ordered: bool = True, max_retransmits: int | None = None
    ) -> None:
        """Open a channel of ours, before or after `start`."""
        self._channels.create(label, ordered=ordered, max_resends=max_retransmits)
        self._schedule_flush()

    def is_open(self, label: str) -> bool:
        """Whether `send` would be accepted now."""
        channel = self._channels.get(label)
        return channel is not None and channel.state is ChannelState.OPEN

    def channel_ids(self) -> dict[str, int]:
        """Return the stream ids of the open channels, by label."""
        return self._channels.stream_ids()

    def buffered_amount(self, label: str) -> int:
        """Return the bytes of this channel that have not left yet."""
        channel = self._channels.get(label)
        return self._channels.buffered(channel) if channel is not None else 0

    def send(self, label: str, data: bytes) -> None:
        """Queue one binary message; it leaves in this turn of the loop if the window allows.

        ProtocolError when it is larger than the peer takes, ConnectionError when the
        channel is not open. Hot path.
        """
        channel = self._channels.get(label)
        if channel is None or channel.state is not ChannelState.OPEN:
            raise ConnectionError(f"data channel {label} is not open")
        if len(data) > self._max_send_bytes:
            raise ProtocolError("message larger than the peer accepts")
        self._channels.send(channel, data)
        if self._flushing is None:
            self._schedule_flush()

    async def drain(self, label: str, below: int) -> None:
        """Wait until at most `below` bytes are buffered, or the channel has closed."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not waiter.done():
                waiter.set_result(None)

        self.when_below(label, below, wake)
        await waiter

    def when_below(self, label: str, below: int, callback: Callable[[], None]) -> None:
        """Call back once, as soon as at most `below` bytes are buffered or the channel is shut."""
        if not self.is_open(label) or self.buffered_amount(label) <= below:
            callback()
        else:
            self._waiters.append((label, below, callback))

    def hold(self) -> None:
        """Keep reliable messages back until `release`; lossy ones pass."""
        self._is_holding = True

    def release(self) -> None:
        """Hand over what was held back, from the next turn of the loop on."""
        self._is_holding = False
        if self._inbox and self._delivering is None and self._loop is not None:
            self._delivering = self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._delivering = None
        inbox, inbound = self._inbox, self._association.inbound
        for _ in range(MESSAGES_PER_TURN):
            if self._is_holding or not inbox or self._is_closed:
                break
            label, data = inbox.popleft()
            if inbound is not None:
                inbound.inbox_bytes -= len(data) + KEEPING_BYTES
            self._on_message(label, data)
        if inbox and not (self._is_holding or self._is_closed):
            self.release()
        self._association.note_consumed()
        self._schedule_flush()

    def close_channel(self, label: str) -> None:
        """Close one channel; what is buffered leaves first."""
        self._channels.close(label)
        self._schedule_flush()

    async def close(self) -> None:
        """Abort the association. Idempotent."""
        if self._is_closed:
            return
        if self._loop is not None:
            self._flush()
            self._association.abort()
            self._send_packets()
        self._is_closed = True
        refused = (
            0 if self._association.inbound is None else self._association.inbound.refused_messages
        )
        if refused:
            log.warning("data messages too large for us dropped", count=refused)
        self._inbox.clear()
        for handle in (self._flushing, self._timer, self._delivering):
            if handle is not None:
                handle.cancel()
        self._channels.end()
        self._wake()

    # --- what arrives

    def _receive(self, packet: bytes) -> None:
        """Take one packet from DTLS. Hot path."""
        if self._is_closed or self._loop is None:
            return
        association = self._association
        try:
            association.handle_packet(packet, self._loop.time())
        except ProtocolError as error:
            association.malformed += 1
            if association.malformed == 1:
                log.warning("malformed data packets dropped", reason=error.reason)
        self._channels.process()
        if self._flushing is None:
            # Three packets of a transfer in four need no answer.
            if association.wants_to_speak:
                self._schedule_flush()
            else:
                self._arm()

    def _take(self, channel: Channel, data: bytes) -> None:
        is_reliable = channel.max_resends is None
        if is_reliable and (self._is_holding or self._inbox):
            self._inbox.append((channel.label, data))
            inbound = self._association.inbound
            if inbound is not None:
                inbound.inbox_bytes += len(data) + KEEPING_BYTES
        else:
            self._on_message(channel.label, data)

    # --- what leaves

    def _schedule_flush(self) -> None:
        if self._flushing is None and self._loop is not None and not self._is_closed:
            self._flushing = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Send what may leave, once per turn of the loop. Hot path."""
        self._flushing = None
        if self._is_closed:
            return
        if self._send_packets():
            self._schedule_flush()
        if self._waiters:
            self._wake()
        self._arm()

    def _send_packets(self) -> bool:
        assert self._loop is not None
        packets, has_more = self._association.take_packets(self._loop.time(), PACKETS_PER_TURN)
        if packets:
            self._dtls.send_data(packets)
        return has_more

    def _wake(self) -> None:
        waiting, self._waiters = self._waiters, []
        for label, below, callback in waiting:
            if self.is_open(label) and self.buffered_amount(label) > below:
                self._waiters.append((label, below, callback))
            else:
                callback()

    # --- time

    def _arm(self) -> None:
        """Wake up in time; a timer that comes too early is left alone."""
        deadline_s = self._association.deadline_s
        if deadline_s is None or self._loop is None:
            return
        timer = self._timer
        if timer is not None:
            # Its time is kept here: uvloop gives a handle without one when it is due already.
            if self._timer_at_s <= deadline_s:
                return
            timer.cancel()
        self._timer_at_s = deadline_s
        self._timer = self._loop.call_at(deadline_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._is_closed or self._loop is None:
            return
        # A timer may fire a trifle before its time.
        now_s = self._loop.time()
        deadline_s = self._association.deadline_s
        if deadline_s is not None and deadline_s - now_s < 0.001:
            self._association.handle_deadline(max(now_s, deadline_s))
        if self._association.state is State.OVER:
            return
        self._flush()
