"""What leaves: whose message is next, how much may be on its way, what has to leave again.

Messages wait per stream, and the streams take turns by bytes: the one that has had least is
next, so a large transfer does not starve another channel's small messages. A message that was
begun is finished first, because its fragments need consecutive numbers. Buffered is what has
not left once; what is on its way is bounded by the congestion window.

A message that may not be repeated is abandoned when one of its fragments is lost; FORWARD TSN
tells the peer not to wait for it (RFC 3758). Numbers are unwrapped. Hot path.
"""

from __future__ import annotations

from collections import deque

from app.protocol.errors import ProtocolError
from app.rtc.sctp.congestion import Congestion
from app.rtc.sctp.wire import (
    FIRST_FRAGMENT,
    FRAGMENT_BYTES,
    LAST_FRAGMENT,
    PACKET_BYTES,
    UNORDERED,
    PacketWriter,
    data_chunk,
    forward_tsn_chunk,
    unwrapped,
)

# RFC 9260 §7.2.4: three reports of a hole are a loss, fewer may be another order.
LOSS_REPORTS = 3
# A peer need not keep more behind a hole.
MAX_OUTSTANDING = 4_096
# The least that a message costs its stream: headers, and the turn itself.
TURN_BYTES = 128


class _Message:
    __slots__ = (
        "data",
        "is_abandoned",
        "max_resends",
        "offset",
        "ordered",
        "protocol",
        "seq",
        "stream_id",
        "tsns",
    )

    def __init__(
        self, stream_id: int, protocol: int, data: bytes, ordered: bool, max_resends: int | None
    ) -> None:
        self.stream_id, self.protocol, self.data = stream_id, protocol, data
        self.ordered, self.max_resends = ordered, max_resends
        self.offset = 0
        self.seq = 0
        self.is_abandoned = False
        self.tsns: list[int] = []


class _Chunk:
    __slots__ = (
        "content",
        "followed_by",
        "is_acked",
        "is_lost",
        "message",
        "reports",
        "resends",
        "size",
    )

    def __init__(self, content: bytes, message: _Message) -> None:
        self.content, self.message = content, message
        self.size = len(content)
        # What was sent again is lost again only if something that left later has arrived: counting
        # every report sent a slow receiver each packet twice (26,572 repetitions for 133 losses).
        self.followed_by = 0
        self.resends = 0
        self.reports = 0
        self.is_acked = False
        self.is_lost = False


class _Queue:
    """What waits on one stream."""

    __slots__ = ("buffered", "messages", "next_seq", "served")

    def __init__(self) -> None:
        self.messages: deque[_Message] = deque()
        self.buffered = 0
        self.next_seq = 0
        # Bytes that this stream has had, on the scale of all streams.
        self.served = 0


class Outbound:
    """The sending half of an association."""

    def __init__(self, initial_tsn: int, *, window_bytes: int, has_forward_tsn: bool) -> None:
        self.congestion = Congestion()
        self.timer_s: float | None = None
        self.resent_chunks = 0
        self.abandoned_messages = 0
        self._next_tsn = initial_tsn
        self._acked = initial_tsn - 1
        self._advanced = initial_tsn - 1
        self._must_forward = False
        self._has_forward_tsn = has_forward_tsn
        self._peer_window = window_bytes
        self._outstanding: dict[int, _Chunk] = {}
        self._lost: list[int] = []
        self._flight = 0
        self._recover_until: int | None = None
        self._is_first_resend = False
        self._timed_tsn: int | None = None
        self._timed_at_s = 0.0
        self._queues: dict[int, _Queue] = {}
        self._active: list[int] = []
        self._current: _Message | None = None

    @property
    def last_tsn(self) -> int:
        """The number given out last."""
        return self._next_tsn - 1

    @property
    def is_idle(self) -> bool:
        """Whether everything has been sent and acknowledged."""
        return not (self._active or self._outstanding or self._current)

    @property
    def is_ready(self) -> bool:
        """Whether something waits that the window lets leave."""
        if self._must_forward or (self._lost and self._is_first_resend):
            return True
        waits = self._current is not None or self._active or self._lost
        return bool(waits) and self._flight < self.congestion.window_bytes

    def buffered(self, stream_id: int) -> int:
        """Bytes of a stream that have not left once."""
        queue = self._queues.get(stream_id)
        return queue.buffered if queue is not None else 0

    def queue(
        self, stream_id: int, protocol: int, data: bytes, *, ordered: bool, max_resends: int | None
    ) -> None:
        """Let a message wait for its turn."""
        if not self._has_forward_tsn:
            max_resends = None
        queue = self._queues.get(stream_id)
        if queue is None:
            queue = self._queues[stream_id] = _Queue()
        if not queue.messages:
            # Silence earns no claim on the others' turns.
            others = [self._queues[other].served for other in self._active]
            queue.served = max(queue.served, min(others, default=queue.served))
            self._active.append(stream_id)
        queue.messages.append(_Message(stream_id, protocol, data, ordered, max_resends))
        queue.buffered += len(data)

    def restart_stream(self, stream_id: int) -> None:
        """Begin to count the stream's messages anew."""
        queue = self._queues.get(stream_id)
        if queue is not None:
            queue.next_seq = 0

    # --- what the peer says

    def handle_sack(
        self, tsn: int, window_bytes: int, gaps: list[tuple[int, int]], now_s: float
    ) -> None:
        """Take an acknowledgement; `ProtocolError` for what we never sent."""
        acked_before = self._acked
        tsn = unwrapped(tsn, acked_before)
        if tsn < acked_before:
            return
        if tsn + (gaps[-1][1] if gaps else 0) >= self._next_tsn:
            raise ProtocolError("acknowledgement of what was not sent")
        was_full = self._flight + PACKET_BYTES > self.congestion.window_bytes
        acked_bytes = 0
        was_needless = False
        outstanding = self._outstanding
        for number in range(acked_before + 1, tsn + 1):
            chunk = outstanding.pop(number)
            if not chunk.is_acked:
                # Counted as lost and not sent again yet: what was sent first has arrived.
                was_needless = was_needless or (chunk.is_lost and self._recover_until is None)
                acked_bytes += self._note_acked(number, chunk, now_s)
        self._acked = tsn
        if tsn > self._advanced:
            self._advanced = tsn
        highest = 0
        for first, last in gaps:
            for number in range(tsn + first, tsn + last + 1):
                chunk = outstanding[number]
                if not chunk.is_acked:
                    acked_bytes += self._note_acked(number, chunk, now_s)
                    chunk.is_acked = True
                    highest = number
        if self._recover_until is not None and tsn >= self._recover_until:
            self._recover_until = None
        if was_needless:
            self.congestion.handle_needless_timeout()
        elif tsn > acked_before:
            self.congestion.handle_progress()
        if tsn > acked_before:
            self.timer_s = now_s + self.congestion.rto_s if outstanding else None
        if acked_bytes and tsn > acked_before and self._recover_until is None:
            self.congestion.handle_acknowledged(acked_bytes, was_full=was_full)
        if gaps:
            if self._recover_until is not None and tsn > acked_before:
                highest = tsn + gaps[-1][1]
            self._report_holes(tsn, highest)
        self._peer_window = window_bytes - self._flight
        self._advance()

    def _note_acked(self, number: int, chunk: _Chunk, now_s: float) -> int:
        if not (chunk.is_lost or chunk.message.is_abandoned):
            self._flight -= chunk.size
        chunk.is_lost = False
        if number == self._timed_tsn:
            self._timed_tsn = None
            self.congestion.handle_round_trip(now_s - self._timed_at_s, now_s)
        return chunk.size

    def _report_holes(self, tsn: int, highest: int) -> None:
        """Count the report against everything missing below `highest`."""
        is_new = False
        for number in range(tsn + 1, highest):
            chunk = self._outstanding[number]
            if chunk.is_acked or chunk.is_lost or chunk.message.is_abandoned:
                continue
            if highest < chunk.followed_by:
                continue
            chunk.reports += 1
            if chunk.reports >= LOSS_REPORTS:
                is_new = self._lose(number, chunk) or is_new
        if is_new:
            self._lost.sort()
            if self._recover_until is None:
                self._recover_until = self._next_tsn - 1
                self._is_first_resend = True
                self.congestion.handle_loss()

    def _lose(self, number: int, chunk: _Chunk) -> bool:
        """Take a chunk out of flight; it will be sent again, or its message given up."""
        self._flight -= chunk.size
        chunk.reports = 0
        chunk.is_lost = True
        if number == self._timed_tsn:
            self._timed_tsn = None
        limit = chunk.message.max_resends
        if limit is not None and chunk.resends >= limit:
            self._abandon(chunk.message)
        else:
            self._lost.append(number)
        return True

    def _abandon(self, message: _Message) -> None:
        message.is_abandoned = True
        self.abandoned_messages += 1
        for number in message.tsns:
            chunk = self._outstanding.get(number)
            if chunk is not None and not (chunk.is_acked or chunk.is_lost):
                self._flight -= chunk.size
        if message is self._current:
            # Its end never leaves: the peer skips it by number.
            self._finish_current()

    def _advance(self) -> None:
        """Find out how far the peer need not wait (RFC 3758 §3.5)."""
        advanced = self._advanced
        while True:
            chunk = self._outstanding.get(advanced + 1)
            if chunk is None or not chunk.message.is_abandoned:
                break
            advanced += 1
        if advanced > self._advanced:
            self._advanced = advanced
            self._must_forward = True

    def handle_timer(self, now_s: float) -> None:
        """Nothing has arrived for too long: everything on its way counts as lost."""
        self.congestion.handle_timeout()
        self._recover_until = None
        first = self._outstanding.get(self._acked + 1)
        if first is not None and first.is_acked:
            # The peer has dropped what it had acknowledged beyond a hole (RFC 9260 §6.2.1).
            for chunk in self._outstanding.values():
                if chunk.is_acked:
                    chunk.is_acked = False
                    if not chunk.message.is_abandoned:
                        self._flight += chunk.size
        for number, chunk in self._outstanding.items():
            if not (chunk.is_acked or chunk.is_lost or chunk.message.is_abandoned):
                self._lose(number, chunk)
        self._lost.sort()
        self._advance()
        self._must_forward = self._must_forward or self._advanced > self._acked
        self.timer_s = now_s + self.congestion.rto_s if self._outstanding else None

    # --- what leaves

    def write(self, writer: PacketWriter, now_s: float, most_packets: int) -> bool:
        """Write what may leave now; True when there would be more than `most_packets`."""
        window = self.congestion.window_bytes
        packets = writer.packets
        if self._must_forward:
            self._must_forward = False
            if self._advanced > self._acked:
                writer.add(forward_tsn_chunk(self._advanced, self._skipped()))
        if self._lost:
            self._write_lost(writer, window, most_packets)
        while self._flight < window and len(self._outstanding) < MAX_OUTSTANDING:
            message = self._current
            if message is None:
                if not self._active:
                    break
                message = self._choose()
            if len(packets) >= most_packets:
                return True
            data = message.data
            offset = message.offset
            size = len(data) - offset
            flags = 0 if message.ordered else UNORDERED
            if offset == 0:
                flags |= FIRST_FRAGMENT
            if size <= FRAGMENT_BYTES:
                flags |= LAST_FRAGMENT
                piece = data[offset:] if offset else data
            else:
                size = FRAGMENT_BYTES
                piece = data[offset : offset + size]
            # One fragment may always be on its way: it finds out that a window has opened.
            if size > self._peer_window and self._flight:
                break
            tsn = self._next_tsn
            content = data_chunk(
                flags, tsn, message.stream_id, message.seq, message.protocol, piece
            )
            chunk = _Chunk(content, message)
            self._outstanding[tsn] = chunk
            self._next_tsn = tsn + 1
            self._flight += chunk.size
            self._peer_window -= chunk.size
            if message.max_resends is not None:
                message.tsns.append(tsn)
            if self._timed_tsn is None:
                self._timed_tsn, self._timed_at_s = tsn, now_s
            writer.add(content)
            message.offset = offset + size
            queue = self._queues[message.stream_id]
            queue.buffered -= size
            if flags & LAST_FRAGMENT:
                self._finish_current()
        if self.timer_s is None and self._outstanding:
            self.timer_s = now_s + self.congestion.rto_s
        return False

    def _choose(self) -> _Message:
        """Begin the message of the stream that has had least."""
        active, queues = self._active, self._queues
        stream_id = (
            active[0]
            if len(active) == 1
            else min(active, key=lambda stream_id: queues[stream_id].served)
        )
        queue = queues[stream_id]
        message = self._current = queue.messages[0]
        message.seq = queue.next_seq
        if message.ordered:
            queue.next_seq = (queue.next_seq + 1) & 0xFFFF
        return message

    def _finish_current(self) -> None:
        message = self._current
        assert message is not None, "somebody's turn"
        self._current = None
        queue = self._queues[message.stream_id]
        queue.messages.popleft()
        queue.buffered -= max(0, len(message.data) - message.offset)
        queue.served += max(len(message.data), TURN_BYTES)
        message.data = b""
        if not queue.messages:
            self._active.remove(message.stream_id)

    def _write_lost(self, writer: PacketWriter, window: int, most_packets: int) -> None:
        packets, done = writer.packets, 0
        for number in self._lost:
            chunk = self._outstanding.get(number)
            if chunk is not None and chunk.is_lost and not chunk.message.is_abandoned:
                # RFC 9260 §7.2.4: the first packet of a recovery leaves whatever the window.
                is_free = self._flight == 0 or self._is_first_resend
                has_room = self._flight < window and chunk.size <= self._peer_window
                if len(packets) >= most_packets or not (is_free or has_room):
                    break
                self._is_first_resend = False
                chunk.is_lost = False
                chunk.resends += 1
                chunk.followed_by = self._next_tsn
                self.resent_chunks += 1
                self._flight += chunk.size
                self._peer_window -= chunk.size
                writer.add(chunk.content)
            done += 1
        del self._lost[:done]

    def _skipped(self) -> dict[int, int]:
        """The last sequence of each ordered stream among what the peer shall not wait for."""
        skipped: dict[int, int] = {}
        for number in range(self._acked + 1, self._advanced + 1):
            message = self._outstanding[number].message
            if message.ordered:
                skipped[message.stream_id] = message.seq
        return skipped
