"""One association: how it begins, what a packet does to it, when it wants to be called back.

Both ends of a peer connection begin at once (RFC 8841 §9.3), so INITs cross, come late, and come
again; none of that may change an association that stands (RFC 9260 §5.2). Packets are handed in
by `handle_packet`; after that, after `send` and after `handle_deadline` its owner fetches what
leaves by `take_packets`, messages by `take_messages` and facts by `take_events`.

A SACK leaves with the next packets that are fetched: at once for every second packet of data, for
every fourth while a message has not ended, for holes and repetitions, else within `SACK_DELAY_S`.
An owner that hands in many packets before it fetches saves the SACKs between; one that asks
`wants_to_speak` first saves looking for what is not there.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from struct import Struct

from app.protocol.errors import ProtocolError
from app.rtc.sctp import wire
from app.rtc.sctp.inbound import WINDOW_BYTES, Inbound, Message
from app.rtc.sctp.outbound import Outbound
from app.rtc.sctp.stream_reset import StreamResets
from app.rtc.sctp.wire import InitFacts, PacketWriter, ResetRequest

SACK_DELAY_S = 0.04
# RFC 9260 §6.2 has at least every second packet acknowledged. In the middle of a message more are
# about to come, and libwebrtc answers an acknowledgement with a burst of four.
PACKETS_PER_SACK = 2
PACKETS_PER_SACK_MIDWAY = 4
# So a batch of packets is acknowledged in steps, up to this many.
MAX_SACKS_AT_ONCE = 4
# For a sender whose window is below that burst.
SACK_DELAY_MIDWAY_S = 0.01
# Below this share of the window a sender may have stopped; when it opens again, it is told.
LOW_WINDOW_BYTES = WINDOW_BYTES // 4
FIRST_RETRY_S = 0.5
LAST_RETRY_S = 3.0
STREAMS = 65_535
# Chunks of its control that one packet of a peer can make us answer.
MAX_ANSWERS = 64

_COOKIE = Struct("!IIIIIIHH?")
_MAC_BYTES = 16


class State(Enum):
    """RFC 9260 §4, as far as we get."""

    CLOSED = "closed"
    COOKIE_WAIT = "cookie wait"
    COOKIE_ECHOED = "cookie echoed"
    ESTABLISHED = "established"
    OVER = "over"


@dataclass(frozen=True)
class Established:
    """Messages can be sent. Said again when the peer has begun anew: all channels are gone."""

    is_restart: bool = False


@dataclass(frozen=True)
class StreamsReset:
    """The peer closed these streams of its own."""

    streams: tuple[int, ...]


@dataclass(frozen=True)
class StreamsClosed:
    """These streams of ours are closed, and may be used again."""

    streams: tuple[int, ...]


@dataclass(frozen=True)
class Ended:
    """The peer ended the association."""


Event = Established | StreamsReset | StreamsClosed | Ended


class Association:
    """One end. `random_u32` gives tags and first numbers, and has to be unpredictable."""

    def __init__(
        self,
        local_port: int,
        *,
        max_message_bytes: int,
        secret: bytes,
        random_u32: Callable[[], int],
    ) -> None:
        self.state = State.CLOSED
        self.inbound: Inbound | None = None
        self.outbound: Outbound | None = None
        self.local_tag = random_u32() or 1
        self.outbound_streams = 0
        self.malformed = 0
        self._local_port = local_port
        self._remote_port = 0
        self._max_message_bytes = max_message_bytes
        self._secret = secret
        self._random_u32 = random_u32
        self._initial_tsn = random_u32()
        self._peer: InitFacts | None = None
        self._resets: StreamResets | None = None
        self._events: list[Event] = []
        self._answers: list[bytes] = []
        self._loose: list[bytes] = []
        self._unacked_packets = 0
        self._must_sack = False
        self._sack_at_s: float | None = None
        self._retry_at_s: float | None = None
        self._retry_s = FIRST_RETRY_S
        self._retried = b""
        self._announced_window = WINDOW_BYTES

    # --- what the owner asks for

    def start(self, remote_port: int, now_s: float) -> None:
        """Begin: an INIT leaves with the next packets."""
        if self.state is State.CLOSED:
            self._remote_port = remote_port
            self.state = State.COOKIE_WAIT
            self._retried = wire.init_chunk(wire.INIT, self._own_facts(self.local_tag))
            self._retry_at_s = now_s

    def send(
        self,
        stream_id: int,
        protocol: int,
        data: bytes,
        *,
        ordered: bool = True,
        max_resends: int | None = None,
    ) -> None:
        """Queue a message of at least a byte; ConnectionError before it is established."""
        if self.outbound is None or self.state is not State.ESTABLISHED:
            raise ConnectionError("no SCTP association")
        self.outbound.queue(stream_id, protocol, data, ordered=ordered, max_resends=max_resends)

    def reset_stream(self, stream_id: int) -> None:
        """Close our half of a stream that has sent everything."""
        if self._resets is not None:
            self._resets.request(stream_id)

    def note_consumed(self) -> None:
        """The inbox has got shorter: a sender that has stopped for it is told."""
        inbound = self.inbound
        if inbound is not None and self._announced_window < LOW_WINDOW_BYTES:
            self._must_sack = self._must_sack or inbound.window_bytes >= 2 * LOW_WINDOW_BYTES

    def abort(self) -> None:
        """End it: an ABORT leaves with the next packets."""
        if self.state not in (State.CLOSED, State.OVER):
            self._answers = [wire.chunk(wire.ABORT, 0)] if self._peer is not None else []
        self._end()

    @property
    def has_news(self) -> bool:
        """Whether there are messages or events to take."""
        inbound = self.inbound
        return bool(self._events or (inbound is not None and inbound.messages))

    @property
    def wants_to_speak(self) -> bool:
        """Whether `take_packets` would find something to send now, apart from timers. Hot path."""
        if self._must_sack or self._answers or self._loose:
            return True
        if self.state is not State.ESTABLISHED:
            return self._retry_at_s is not None
        outbound, resets = self.outbound, self._resets
        return (outbound is not None and outbound.is_ready) or (
            resets is not None and resets.has_request
        )

    def take_messages(self) -> list[Message]:
        """Return what is whole."""
        inbound = self.inbound
        if inbound is None or not inbound.messages:
            return []
        messages, inbound.messages = inbound.messages, []
        return messages

    def take_events(self) -> list[Event]:
        """Return what has happened."""
        events, self._events = self._events, []
        return events

    @property
    def deadline_s(self) -> float | None:
        """When `handle_deadline` wants to be called."""
        outbound, resets = self.outbound, self._resets
        earliest_s = self._sack_at_s
        for at_s in (
            self._retry_at_s,
            outbound.timer_s if outbound is not None else None,
            resets.deadline_s if resets is not None else None,
        ):
            if at_s is not None and (earliest_s is None or at_s < earliest_s):
                earliest_s = at_s
        return earliest_s

    def handle_deadline(self, now_s: float) -> None:
        """Act on the timers that are due."""
        if self._sack_at_s is not None and now_s >= self._sack_at_s:
            self._must_sack = True
        outbound = self.outbound
        if outbound is not None and outbound.timer_s is not None and now_s >= outbound.timer_s:
            outbound.handle_timer(now_s)

    def take_packets(self, now_s: float, most: int = 64) -> tuple[list[bytes], bool]:
        """Return what leaves now, and whether there is more than `most`. Hot path."""
        packets, self._loose = self._loose, []
        peer = self._peer
        is_open = self.state is State.ESTABLISHED
        if self._retry_at_s is not None and now_s >= self._retry_at_s:
            self._retry_at_s = now_s + self._retry_s
            self._retry_s = min(self._retry_s * 2, LAST_RETRY_S)
            # An INIT carries tag 0, also when the peer's is known (RFC 9260 §8.5.1).
            tag = 0 if peer is None or self.state is State.COOKIE_WAIT else peer.tag
            packets += self._packets_of([self._retried], tag)
        if peer is None:
            return packets, False
        writer = PacketWriter(self._local_port, self._remote_port, peer.tag)
        for answer in self._answers:
            writer.add(answer)
        if self._answers:
            self._answers = []
        has_more = False
        if is_open:
            outbound, resets = self.outbound, self._resets
            assert outbound is not None
            assert resets is not None
            if self._must_sack:
                writer.add(self._take_sack())
            request = resets.write(outbound.last_tsn, now_s)
            if request is not None:
                writer.add(request)
            if self._unacked_packets and outbound.is_ready:
                # The acknowledgement goes with what leaves anyway.
                writer.add(self._take_sack())
            has_more = outbound.write(writer, now_s, most)
        writer.close_packet()
        return packets + writer.packets, has_more

    # --- what the peer says

    def handle_packet(self, packet: bytes, now_s: float) -> None:
        """Take one packet; `ProtocolError` when it makes no sense. Hot path."""
        size = len(packet)
        if size < wire.HEADER_BYTES + 4:
            raise ProtocolError("SCTP packet too short")
        if not wire.is_intact(packet):
            raise ProtocolError("SCTP checksum")
        source, destination, tag = wire.HEADER.unpack_from(packet)
        if destination != self._local_port or self.state in (State.CLOSED, State.OVER):
            return
        if tag != self.local_tag and not self._is_for_us(packet, tag):
            return
        if source != self._remote_port:
            return
        at = wire.HEADER_BYTES
        has_data = False
        inbound = self.inbound
        while at + 4 <= size:
            kind, flags, length = wire.CHUNK.unpack_from(packet, at)
            end = at + length
            if length < 4 or end > size:
                raise ProtocolError("SCTP chunk length")
            if kind == wire.DATA:
                if length <= wire.DATA_HEADER_BYTES:
                    raise ProtocolError("SCTP data without data")
                if inbound is not None:
                    tsn, stream_id, seq, protocol = wire.DATA_VALUE.unpack_from(packet, at + 4)
                    content = packet[at + wire.DATA_HEADER_BYTES : end]
                    has_data = True
                    if (
                        inbound.handle_data(tsn, (flags, stream_id, seq, protocol, content))
                        or flags & wire.IMMEDIATE
                    ):
                        self._must_sack = True
            elif not self._handle_control(kind, flags, packet[at + 4 : end], now_s, tag):
                break
            else:
                inbound = self.inbound
            at = end + -length % 4
        if has_data:
            self._note_unacked(now_s)

    def _note_unacked(self, now_s: float) -> None:
        """Count a packet of data: it is acknowledged now, or soon."""
        assert self.inbound is not None
        self._unacked_packets += 1
        is_midway = self.inbound.is_midway
        if self._unacked_packets >= (PACKETS_PER_SACK_MIDWAY if is_midway else PACKETS_PER_SACK):
            peer, is_open = self._peer, self.state is State.ESTABLISHED
            if self._must_sack or len(self._loose) >= MAX_SACKS_AT_ONCE or not is_open:
                self._must_sack = True
            else:
                assert peer is not None
                self._loose += self._packets_of([self._take_sack()], peer.tag)
        elif self._sack_at_s is None:
            self._sack_at_s = now_s + (SACK_DELAY_MIDWAY_S if is_midway else SACK_DELAY_S)

    def _is_for_us(self, packet: bytes, tag: int) -> bool:
        """Whether a packet may carry another tag than ours (RFC 9260 §8.5.1)."""
        kind, flags, length = wire.CHUNK.unpack_from(packet, wire.HEADER_BYTES)
        if kind == wire.INIT:
            # Alone, and with tag 0.
            return tag == 0 and wire.HEADER_BYTES + length + -length % 4 >= len(packet)
        if kind == wire.COOKIE_ECHO:
            # The cookie says which tag was meant.
            return True
        is_reflected = kind in (wire.ABORT, wire.SHUTDOWN_COMPLETE) and flags & wire.TAG_REFLECTED
        return bool(is_reflected) and self._peer is not None and tag == self._peer.tag

    def _handle_control(self, kind: int, flags: int, value: bytes, now_s: float, tag: int) -> bool:
        """Act on a chunk that is no data; False when what follows it must be ignored."""
        outbound, inbound = self.outbound, self.inbound
        if kind == wire.SACK:
            if outbound is not None:
                outbound.handle_sack(*wire.parse_sack(value), now_s)
        elif kind == wire.FORWARD_TSN:
            tsn, skipped = wire.parse_forward_tsn(value)
            if inbound is not None:
                inbound.handle_forward_tsn(tsn, skipped)
                self._must_sack = True
        elif kind == wire.INIT:
            self._handle_init(wire.parse_init(value))
        elif kind == wire.INIT_ACK:
            self._handle_init_ack(wire.parse_init(value), now_s)
        elif kind == wire.COOKIE_ECHO:
            return self._handle_cookie(value, tag)
        elif kind == wire.COOKIE_ACK:
            if self.state is State.COOKIE_ECHOED:
                self._establish()
        elif kind == wire.HEARTBEAT:
            self._answer(wire.chunk(wire.HEARTBEAT_ACK, 0, value))
        elif kind == wire.RECONFIG:
            self._handle_reconfig(value)
        elif kind == wire.SHUTDOWN:
            self._answer(wire.chunk(wire.SHUTDOWN_ACK, 0))
        elif kind == wire.SHUTDOWN_ACK:
            self._answer(wire.chunk(wire.SHUTDOWN_COMPLETE, 0))
            self._end_by_peer()
        elif kind in (wire.ABORT, wire.SHUTDOWN_COMPLETE):
            self._end_by_peer()
            return False
        elif kind not in (wire.HEARTBEAT_ACK, wire.ERROR):
            # RFC 9260 §3.2: the highest bit says whether to go on behind what is unknown.
            return bool(kind & 0x80)
        return True

    def _handle_reconfig(self, value: bytes) -> None:
        parsed = wire.parse_reconfig(value)
        resets, inbound, outbound = self._resets, self.inbound, self.outbound
        if resets is None or inbound is None or outbound is None:
            return
        for item in parsed:
            if isinstance(item, ResetRequest):
                answer, streams = resets.handle_request(item, inbound.cumulative)
                self._answer(answer)
                if streams is not None:
                    self._events.append(StreamsReset(inbound.reset_streams(streams)))
            else:
                done = resets.handle_response(item)
                for stream_id in done:
                    outbound.restart_stream(stream_id)
                if done:
                    self._events.append(StreamsClosed(done))

    # --- the beginning

    def _own_facts(self, tag: int, cookie: bytes = b"") -> InitFacts:
        return InitFacts(tag, WINDOW_BYTES, STREAMS, STREAMS, self._initial_tsn, True, cookie)

    def _handle_init(self, facts: InitFacts) -> None:
        """Answer; nothing changes until the cookie comes back."""
        peer = self._peer
        local_tag = self.local_tag
        if self.state is State.ESTABLISHED and peer is not None and facts.tag != peer.tag:
            # The peer has begun anew (RFC 9260 §5.2.2): it will speak to another tag.
            local_tag = self._random_u32() or 1
        cookie = self._cookie(local_tag, facts)
        answer = wire.init_chunk(wire.INIT_ACK, self._own_facts(local_tag, cookie))
        if len(self._loose) < MAX_ANSWERS:
            self._loose += self._packets_of([answer], facts.tag)

    def _handle_init_ack(self, facts: InitFacts, now_s: float) -> None:
        if self.state is not State.COOKIE_WAIT:
            return
        if not facts.cookie:
            raise ProtocolError("INIT ACK without a cookie")
        self._meet(facts)
        self.state = State.COOKIE_ECHOED
        self._retried = wire.chunk(wire.COOKIE_ECHO, 0, facts.cookie)
        self._retry_s = FIRST_RETRY_S
        self._retry_at_s = now_s

    def _cookie(self, local_tag: int, facts: InitFacts) -> bytes:
        content = _COOKIE.pack(
            self.local_tag,
            local_tag,
            self._initial_tsn & wire.U32,
            facts.tag,
            facts.initial_tsn,
            facts.window_bytes,
            facts.outbound_streams,
            facts.inbound_streams,
            facts.has_forward_tsn,
        )
        return content + self._mac(content)

    def _mac(self, content: bytes) -> bytes:
        return hmac.digest(self._secret, content, hashlib.sha256)[:_MAC_BYTES]

    def _handle_cookie(self, value: bytes, tag: int) -> bool:
        """Stand by what the cookie says; False when it is none of ours."""
        content, mac = value[: _COOKIE.size], value[_COOKIE.size :]
        if len(content) < _COOKIE.size or not hmac.compare_digest(mac, self._mac(content)):
            raise ProtocolError("SCTP cookie")
        old_tag, local_tag, tsn, *facts = _COOKIE.unpack(content)
        peer_tag, peer_tsn, window, outbound, inbound, has_forward_tsn = facts
        # Also the cookie of a restart that was our last: its answer may have been lost.
        if tag != local_tag or self.local_tag not in (old_tag, local_tag):
            return False
        facts_of_peer = InitFacts(peer_tag, window, outbound, inbound, peer_tsn, has_forward_tsn)
        if self.state is State.ESTABLISHED:
            if local_tag != self.local_tag:
                self._restart(local_tag, facts_of_peer)
            elif self._peer is None or self._peer.tag != peer_tag:
                return False
        elif local_tag != self.local_tag or tsn != self._initial_tsn & wire.U32:
            return False
        else:
            if self._peer is None or self._peer.tag != peer_tag:
                self._meet(facts_of_peer)
            self._establish()
        self._answer(wire.chunk(wire.COOKIE_ACK, 0))
        return True

    def _meet(self, facts: InitFacts) -> None:
        """Know the peer: what it numbers from, and what it takes."""
        self._peer = replace(facts, cookie=b"")
        self.outbound_streams = min(STREAMS, facts.inbound_streams)
        self.inbound = Inbound(facts.initial_tsn, max_message_bytes=self._max_message_bytes)
        self.outbound = Outbound(
            self._initial_tsn,
            window_bytes=facts.window_bytes,
            has_forward_tsn=facts.has_forward_tsn,
        )
        self._resets = StreamResets(self._initial_tsn, facts.initial_tsn)

    def _establish(self, *, is_restart: bool = False) -> None:
        self.state = State.ESTABLISHED
        self._retry_at_s = None
        self._retried = b""
        self._events.append(Established(is_restart))

    def _restart(self, local_tag: int, facts: InitFacts) -> None:
        self.local_tag = local_tag
        self._meet(facts)
        self._unacked_packets = 0
        self._must_sack = False
        self._sack_at_s = None
        self._answers = []
        self._establish(is_restart=True)

    # --- the end

    def _end_by_peer(self) -> None:
        if self.state in (State.ESTABLISHED, State.COOKIE_ECHOED):
            self._end()
            self._events.append(Ended())

    def _end(self) -> None:
        self.state = State.OVER
        self._sack_at_s = self._retry_at_s = None
        self.outbound = self._resets = None

    # --- inside

    def _answer(self, chunk: bytes) -> None:
        if len(self._answers) < MAX_ANSWERS:
            self._answers.append(chunk)

    def _packets_of(self, chunks: list[bytes], tag: int) -> list[bytes]:
        writer = PacketWriter(self._local_port, self._remote_port, tag)
        for chunk in chunks:
            writer.add(chunk)
        writer.close_packet()
        return writer.packets

    def _take_sack(self) -> bytes:
        """Return the acknowledgement of everything that has arrived; none is owed after it."""
        inbound = self.inbound
        assert inbound is not None
        self._announced_window = inbound.window_bytes
        self._unacked_packets = 0
        self._must_sack = False
        self._sack_at_s = None
        return inbound.sack()
