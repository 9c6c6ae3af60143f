"""Data channels by label: opened in band (RFC 8832), each on a stream of its own (RFC 8831).

Sits on an association and speaks its language: bytes in, packets and facts out. What a peer sends
on a stream without a channel is dropped. A second channel with a known label takes the label over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from struct import Struct
from typing import Literal

from app.protocol.errors import ProtocolError
from app.rtc.sctp.association import (
    Association,
    Ended,
    Established,
    State,
    StreamsClosed,
    StreamsReset,
)

DCEP, STRING, BINARY, STRING_EMPTY, BINARY_EMPTY = 50, 51, 53, 56, 57
OPEN_ACK, OPEN = 2, 3
RELIABLE, RETRANSMITS, LIFETIME, UNORDERED_BIT = 0, 1, 2, 0x80

MAX_CHANNELS = 32
MAX_OPEN_BYTES = 1_024
# What one channel keeps of its name: both lengths are 16 bits.
_OPEN = Struct("!BBHIHH")


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """What a peer wants a channel to be."""

    label: str
    protocol: str
    ordered: bool
    max_resends: int | None


def parse_open(data: bytes) -> OpenRequest:
    """Parse DATA_CHANNEL_OPEN; ProtocolError when it is none."""
    if len(data) < _OPEN.size or len(data) > MAX_OPEN_BYTES:
        raise ProtocolError("data channel open length")
    _, kind, _, parameter, label_bytes, protocol_bytes = _OPEN.unpack_from(data)
    end = _OPEN.size + label_bytes
    if len(data) < end + protocol_bytes:
        raise ProtocolError("data channel open length")
    try:
        label = data[_OPEN.size : end].decode()
        protocol = data[end : end + protocol_bytes].decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("data channel label") from error
    reliability = kind & ~UNORDERED_BIT
    if reliability not in (RELIABLE, RETRANSMITS, LIFETIME):
        raise ProtocolError("data channel type")
    # A life time becomes "once": what is late is not worth repeating.
    resends = {RELIABLE: None, RETRANSMITS: min(parameter, 0xFFFF), LIFETIME: 0}[reliability]
    return OpenRequest(label, protocol, not kind & UNORDERED_BIT, resends)


def open_message(label: str, *, ordered: bool, max_resends: int | None) -> bytes:
    """Build DATA_CHANNEL_OPEN."""
    kind = (RELIABLE if max_resends is None else RETRANSMITS) | (0 if ordered else UNORDERED_BIT)
    name = label.encode()
    return _OPEN.pack(OPEN, kind, 0, max_resends or 0, len(name), 0) + name


class ChannelState(Enum):
    """The life of a channel, as WebRTC names it."""

    CONNECTING = "connecting"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class Channel:
    """One data channel of ours or the peer's."""

    __slots__ = ("is_reset", "label", "max_resends", "ordered", "state", "stream_id")

    def __init__(self, label: str, *, ordered: bool, max_resends: int | None) -> None:
        self.label, self.ordered, self.max_resends = label, ordered, max_resends
        self.stream_id = -1
        self.state = ChannelState.CONNECTING
        self.is_reset = False


class Channels:
    """The channels of one association. Callbacks run inside `process`.

    `on_message(channel, data)` is for binary messages: LiveKit's channels carry no others.
    """

    def __init__(
        self,
        association: Association,
        *,
        role: Literal["client", "server"],
        on_message: Callable[[Channel, bytes], None],
        on_open: Callable[[Channel], None],
        on_closed: Callable[[Channel], None],
    ) -> None:
        self.association = association
        self._on_message, self._on_open, self._on_closed = on_message, on_open, on_closed
        # The DTLS client takes the even streams (RFC 8832 §6).
        self._next_stream = 0 if role == "client" else 1
        self._by_label: dict[str, Channel] = {}
        self._by_stream: dict[int, Channel] = {}
        self._unopened: list[Channel] = []
        self._closing: set[int] = set()

    def get(self, label: str) -> Channel | None:
        """Return the channel with this label."""
        return self._by_label.get(label)

    def stream_ids(self) -> dict[str, int]:
        """Return the streams of the open channels, by label."""
        channels = self._by_label.items()
        return {label: c.stream_id for label, c in channels if c.state is ChannelState.OPEN}

    def create(self, label: str, *, ordered: bool = True, max_resends: int | None = None) -> None:
        """Open a channel, now or as soon as there is an association."""
        channel = Channel(label, ordered=ordered, max_resends=max_resends)
        self._by_label[label] = channel
        self._unopened.append(channel)
        if self.association.state is State.ESTABLISHED:
            self._open_ours()

    def close(self, label: str) -> None:
        """Close a channel; what is buffered leaves first."""
        channel = self._by_label.get(label)
        if channel is None or channel.state not in (ChannelState.OPEN, ChannelState.CONNECTING):
            return
        if channel.stream_id < 0:
            self._unopened.remove(channel)
            self._set_closed(channel)
            return
        channel.state = ChannelState.CLOSING
        self._closing.add(channel.stream_id)
        self._reset_what_is_empty()

    def buffered(self, channel: Channel) -> int:
        """Bytes of a channel that have not left."""
        outbound = self.association.outbound
        return outbound.buffered(channel.stream_id) if outbound is not None else 0

    def send(self, channel: Channel, data: bytes) -> None:
        """Queue a message on an open channel."""
        self.association.send(
            channel.stream_id,
            BINARY if data else BINARY_EMPTY,
            data or b"\0",
            ordered=channel.ordered,
            max_resends=channel.max_resends,
        )

    def process(self) -> None:
        """Act on what the association has received. Hot path."""
        association = self.association
        if not (association.has_news or self._closing):
            return
        for event in association.take_events():
            match event:
                case Established(is_restart):
                    if is_restart:
                        self._close_all()
                    self._open_ours()
                case Ended():
                    self._close_all()
                case StreamsReset(streams):
                    self._deliver()
                    self._handle_reset(streams)
                case StreamsClosed(streams):
                    for stream_id in streams:
                        self._handle_closed(stream_id)
        self._deliver()
        if self._closing:
            self._reset_what_is_empty()

    def end(self) -> None:
        """Everything is over."""
        self._close_all()

    # --- inside

    def _deliver(self) -> None:
        if self.association.state is State.COOKIE_ECHOED:
            # The peer is ahead of us: what it opens can be answered in a moment.
            return
        by_stream = self._by_stream
        for stream_id, protocol, data in self.association.take_messages():
            channel = by_stream.get(stream_id)
            if protocol == DCEP:
                self._handle_dcep(stream_id, channel, data)
            elif channel is None:
                continue
            elif protocol == BINARY:
                self._on_message(channel, data)
            elif protocol == BINARY_EMPTY:
                self._on_message(channel, b"")

    def _handle_dcep(self, stream_id: int, channel: Channel | None, data: bytes) -> None:
        if self.association.state is not State.ESTABLISHED:
            return
        kind = data[0]
        if kind == OPEN_ACK:
            if channel is not None and channel.state is ChannelState.CONNECTING:
                channel.state = ChannelState.OPEN
                self._on_open(channel)
            return
        if kind != OPEN:
            self.association.malformed += 1
            return
        try:
            request = parse_open(data)
        except ProtocolError:
            self.association.malformed += 1
            return
        if channel is not None or len(self._by_stream) >= MAX_CHANNELS:
            self.association.malformed += 1
            return
        channel = Channel(request.label, ordered=request.ordered, max_resends=request.max_resends)
        channel.stream_id = stream_id
        channel.state = ChannelState.OPEN
        self._by_stream[stream_id] = channel
        self._by_label[request.label] = channel
        self.association.send(stream_id, DCEP, bytes((OPEN_ACK,)))
        self._on_open(channel)

    def _open_ours(self) -> None:
        unopened, self._unopened = self._unopened, []
        for channel in unopened:
            while self._next_stream in self._by_stream:
                self._next_stream += 2
            if self._next_stream >= self.association.outbound_streams:
                self._set_closed(channel)
                continue
            channel.stream_id = self._next_stream
            self._next_stream += 2
            self._by_stream[channel.stream_id] = channel
            request = open_message(
                channel.label, ordered=channel.ordered, max_resends=channel.max_resends
            )
            self.association.send(channel.stream_id, DCEP, request)

    def _handle_reset(self, streams: tuple[int, ...]) -> None:
        for stream_id in streams:
            channel = self._by_stream.get(stream_id)
            if channel is None:
                continue
            if channel.state is not ChannelState.CLOSING:
                # The peer closes: so do we (RFC 8831 §6.7).
                channel.state = ChannelState.CLOSING
                self._closing.add(stream_id)
            if channel.is_reset:
                self._forget(channel)
            else:
                channel.is_reset = True

    def _handle_closed(self, stream_id: int) -> None:
        channel = self._by_stream.get(stream_id)
        if channel is None:
            return
        if channel.is_reset:
            self._forget(channel)
        else:
            channel.is_reset = True

    def _reset_what_is_empty(self) -> None:
        outbound = self.association.outbound
        for stream_id in list(self._closing):
            if outbound is not None and not outbound.buffered(stream_id):
                self._closing.discard(stream_id)
                self.association.reset_stream(stream_id)

    def _forget(self, channel: Channel) -> None:
        self._by_stream.pop(channel.stream_id, None)
        self._set_closed(channel)

    def _set_closed(self, channel: Channel) -> None:
        channel.state = ChannelState.CLOSED
        if self._by_label.get(channel.label) is channel:
            del self._by_label[channel.label]
        self._on_closed(channel)

    def _close_all(self) -> None:
        channels = [*self._by_stream.values(), *self._unopened]
        self._by_stream.clear()
        self._unopened = []
        self._closing.clear()
        for channel in channels:
            self._set_closed(channel)
