"""What has arrived: which numbers, which messages are whole, and whose turn it is.

Transmission numbers (TSNs) are unwrapped: they only grow. Fragments of a message have
consecutive numbers (RFC 9260 §6.9), so only one message at a time can be incomplete where the
numbers have no hole: `_run`. Beyond a hole fragments wait by number, and a message that is
whole there is delivered at once if its order allows it: what is lost on one channel does not
delay another.

Kept at most: the window and what overdraws it, `MAX_GAPPED` fragments behind holes. What exceeds
that is dropped without acknowledgement, as RFC 9260 §6.2 allows. Hot path: `handle_data`.
"""

from __future__ import annotations

from bisect import bisect_right

from app.rtc.sctp.wire import (
    FIRST_FRAGMENT,
    LAST_FRAGMENT,
    MAX_GAP_BLOCKS,
    UNORDERED,
    WHOLE,
    sack_chunk,
    unwrapped,
)

WINDOW_BYTES = 1 << 20
# Beyond the window: what a probe of an empty window carries, and what was on its way.
OVERDRAFT_BYTES = 1 << 20
MAX_GAPPED = 8_192
# A gap block cannot name what is further away (RFC 9260 §3.3.4).
MAX_DISTANCE = 0xFFFF
MAX_STREAMS = 64
MAX_DUPLICATES = 16
# Keeping anything costs this, so that tiny messages cannot fill the memory of large ones.
KEEPING_BYTES = 64
# Nobody needs more pieces for a message; a search for its ends stops here.
MAX_FRAGMENTS = 1_024

# Stream, payload protocol, content.
Message = tuple[int, int, bytes]
# Flags, stream, sequence, payload protocol, content.
Fragment = tuple[int, int, int, int, bytes]


class _Run:
    """The message that is incomplete at the end of the numbers without a hole."""

    __slots__ = ("is_overlong", "parts", "protocol", "seq", "size", "stream")

    def __init__(self, stream: int, seq: int, protocol: int) -> None:
        self.stream, self.seq, self.protocol = stream, seq, protocol
        self.parts: list[bytes] = []
        self.size = 0
        self.is_overlong = False


class _Stream:
    """Whose turn it is in one stream."""

    __slots__ = ("next_seq", "waiting")

    def __init__(self) -> None:
        self.next_seq = 0
        self.waiting: dict[int, tuple[int, bytes]] = {}


class Inbound:
    """The receiving half of an association. `messages` is taken by its owner."""

    def __init__(self, initial_tsn: int, *, max_message_bytes: int) -> None:
        self.cumulative = initial_tsn - 1
        self.messages: list[Message] = []
        # Bytes that our own application has not taken yet; they close the window too.
        self.inbox_bytes = 0
        self.dropped_chunks = 0
        self.refused_messages = 0
        self._max_message_bytes = max_message_bytes
        self._run: _Run | None = None
        self._streams: dict[int, _Stream] = {}
        # Fragments beyond a hole; None where the message has been delivered already.
        self._gapped: dict[int, Fragment | None] = {}
        # The same numbers as ranges, ascending.
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._duplicates: list[int] = []
        self._kept_bytes = 0

    @property
    def window_bytes(self) -> int:
        """What we announce: room for so much."""
        return max(0, WINDOW_BYTES - self._kept_bytes - self.inbox_bytes)

    @property
    def is_midway(self) -> bool:
        """Whether the end of a message has to follow."""
        return self._run is not None

    @property
    def has_gaps(self) -> bool:
        """Whether something is missing."""
        return bool(self._starts)

    def handle_data(self, tsn: int, fragment: Fragment) -> bool:
        """Take one DATA chunk; True when it wants to be acknowledged at once."""
        cumulative = self.cumulative
        tsn = unwrapped(tsn, cumulative)
        if tsn <= cumulative or tsn in self._gapped:
            if len(self._duplicates) < MAX_DUPLICATES:
                self._duplicates.append(tsn)
            return True
        kept = self._kept_bytes + len(fragment[4])
        if tsn != cumulative + 1:
            overdrawn = kept + self.inbox_bytes > WINDOW_BYTES + OVERDRAFT_BYTES
            is_far = tsn - cumulative > MAX_DISTANCE
            if overdrawn or is_far or len(self._gapped) >= MAX_GAPPED:
                self.dropped_chunks += 1
                return True
            self._insert(tsn)
            self._keep(tsn, fragment)
            return True
        # What fills a hole is taken as long as our own application takes what it is given.
        if kept + self.inbox_bytes > WINDOW_BYTES + OVERDRAFT_BYTES and (
            self.inbox_bytes > WINDOW_BYTES or kept > 2 * (WINDOW_BYTES + OVERDRAFT_BYTES)
        ):
            self.dropped_chunks += 1
            return True
        self.cumulative = tsn
        self._take(fragment)
        if self._starts:
            self._close_hole()
            return True
        return False

    def handle_forward_tsn(self, tsn: int, skipped: list[tuple[int, int]]) -> None:
        """Stop waiting for what the peer will not send again (RFC 3758 §3.6)."""
        tsn = unwrapped(tsn, self.cumulative)
        if tsn <= self.cumulative:
            return
        self._drop_run()
        if len(self._gapped) < tsn - self.cumulative:
            passed = sorted(number for number in self._gapped if number <= tsn)
        else:
            passed = [n for n in range(self.cumulative + 1, tsn + 1) if n in self._gapped]
        for number in passed:
            self._forget(number)
        self.cumulative = tsn
        while self._starts and self._starts[0] <= tsn:
            if self._ends[0] > tsn:
                self._starts[0] = tsn + 1
                break
            del self._starts[0], self._ends[0]
        for stream_id, seq in skipped:
            stream = self._stream(stream_id)
            if stream is not None and (seq - stream.next_seq) & 0xFFFF < 0x8000:
                for waiting in [s for s in stream.waiting if (s - seq) & 0xFFFF >= 0x8000]:
                    self._release(stream_id, stream, waiting)
                self._release(stream_id, stream, seq)
                stream.next_seq = (seq + 1) & 0xFFFF
                self._advance(stream_id, stream)
        self._close_hole()

    def reset_streams(self, streams: tuple[int, ...]) -> tuple[int, ...]:
        """Begin to count anew on these streams, or on all; returns which."""
        chosen = streams or tuple(self._streams)
        for stream_id in chosen:
            stream = self._streams.pop(stream_id, None)
            if stream is not None:
                for seq in list(stream.waiting):
                    self._lose(stream, seq)
        return chosen

    def sack(self) -> bytes:
        """Acknowledge everything that has arrived."""
        base = self.cumulative
        gaps = [
            (first - base, last - base)
            for first, last in zip(
                self._starts[:MAX_GAP_BLOCKS], self._ends[:MAX_GAP_BLOCKS], strict=True
            )
            if last - base <= 0xFFFF
        ]
        duplicates, self._duplicates = self._duplicates, []
        return sack_chunk(base, self.window_bytes, gaps, duplicates)

    # --- where numbers have no hole

    def _take(self, fragment: Fragment) -> None:
        """Take the next fragment in order."""
        flags, stream_id, seq, protocol, content = fragment
        if flags & WHOLE == WHOLE:
            self._drop_run()
            self._deliver(flags, stream_id, seq, protocol, content)
            return
        run = self._run
        if flags & FIRST_FRAGMENT:
            self._drop_run()
            run = self._run = _Run(stream_id, seq, protocol)
        elif run is None or run.stream != stream_id:
            # The rest of a message whose beginning was given up.
            return
        run.size += len(content)
        if run.size > self._max_message_bytes:
            self._overflow(run)
        if not run.is_overlong:
            run.parts.append(content)
            self._kept_bytes += len(content) + KEEPING_BYTES
        if flags & LAST_FRAGMENT:
            parts, is_overlong = run.parts, run.is_overlong
            self._drop_run()
            if is_overlong:
                self._skip(flags, stream_id, run.seq)
            else:
                self._deliver(flags, stream_id, run.seq, run.protocol, b"".join(parts))

    def _overflow(self, run: _Run) -> None:
        if not run.is_overlong:
            self.refused_messages += 1
        run.is_overlong = True
        self._kept_bytes -= sum(map(len, run.parts)) + KEEPING_BYTES * len(run.parts)
        run.parts = []

    def _skip(self, flags: int, stream_id: int, seq: int) -> None:
        """Let the messages behind one that was too long have their turn."""
        if flags & UNORDERED:
            return
        stream = self._stream(stream_id)
        if stream is not None and seq == stream.next_seq:
            stream.next_seq = (seq + 1) & 0xFFFF
            self._advance(stream_id, stream)

    def _drop_run(self) -> None:
        run = self._run
        if run is None:
            return
        self._run = None
        if run.parts:
            size = sum(map(len, run.parts))
            self._kept_bytes -= size + KEEPING_BYTES * len(run.parts)

    def _deliver(self, flags: int, stream_id: int, seq: int, protocol: int, content: bytes) -> None:
        if flags & UNORDERED:
            self.messages.append((stream_id, protocol, content))
            return
        stream = self._streams.get(stream_id) or self._stream(stream_id)
        if stream is None:
            self.refused_messages += 1
        elif seq == stream.next_seq:
            stream.next_seq = (seq + 1) & 0xFFFF
            self.messages.append((stream_id, protocol, content))
            if stream.waiting:
                self._advance(stream_id, stream)
        elif (seq - stream.next_seq) & 0xFFFF < 0x8000 and seq not in stream.waiting:
            stream.waiting[seq] = (protocol, content)
            self._kept_bytes += len(content) + KEEPING_BYTES

    def _stream(self, stream_id: int) -> _Stream | None:
        """Return a stream; None when there are too many already."""
        stream = self._streams.get(stream_id)
        if stream is None and len(self._streams) < MAX_STREAMS:
            stream = self._streams[stream_id] = _Stream()
        return stream

    def _advance(self, stream_id: int, stream: _Stream) -> None:
        while stream.next_seq in stream.waiting:
            self._release(stream_id, stream, stream.next_seq)
            stream.next_seq = (stream.next_seq + 1) & 0xFFFF

    def _release(self, stream_id: int, stream: _Stream, seq: int) -> None:
        if seq in stream.waiting:
            protocol, content = self._lose(stream, seq)
            self.messages.append((stream_id, protocol, content))

    def _lose(self, stream: _Stream, seq: int) -> tuple[int, bytes]:
        protocol, content = stream.waiting.pop(seq)
        self._kept_bytes -= len(content) + KEEPING_BYTES
        return protocol, content

    # --- beyond a hole

    def _insert(self, tsn: int) -> None:
        """Add a number to the ranges."""
        starts, ends = self._starts, self._ends
        after = bisect_right(starts, tsn)
        joins_left = after > 0 and ends[after - 1] == tsn - 1
        joins_right = after < len(starts) and starts[after] == tsn + 1
        if joins_left and joins_right:
            ends[after - 1] = ends[after]
            del starts[after], ends[after]
        elif joins_left:
            ends[after - 1] = tsn
        elif joins_right:
            starts[after] = tsn
        else:
            starts.insert(after, tsn)
            ends.insert(after, tsn)

    def _keep(self, tsn: int, fragment: Fragment) -> None:
        """Keep a fragment beyond a hole, or deliver the message that it completes."""
        gapped = self._gapped
        gapped[tsn] = fragment
        self._kept_bytes += len(fragment[4]) + KEEPING_BYTES
        first = last = tsn
        steps = 0
        while not self._flags(first) & FIRST_FRAGMENT:
            first -= 1
            steps += 1
            if steps > MAX_FRAGMENTS or gapped.get(first) is None:
                return
        while not self._flags(last) & LAST_FRAGMENT:
            last += 1
            steps += 1
            if steps > MAX_FRAGMENTS or gapped.get(last) is None:
                return
        parts: list[bytes] = []
        flags, stream_id, seq, protocol, _ = fragment
        for number in range(first, last + 1):
            piece = gapped[number]
            assert piece is not None, "looked at above"
            parts.append(piece[4])
            gapped[number] = None
        size = sum(map(len, parts))
        self._kept_bytes -= size + KEEPING_BYTES * len(parts)
        if size > self._max_message_bytes:
            self.refused_messages += 1
            self._skip(flags, stream_id, seq)
        else:
            self._deliver(flags, stream_id, seq, protocol, b"".join(parts))

    def _flags(self, tsn: int) -> int:
        fragment = self._gapped[tsn]
        return 0 if fragment is None else fragment[0]

    def _forget(self, tsn: int) -> Fragment | None:
        fragment = self._gapped.pop(tsn)
        if fragment is not None:
            self._kept_bytes -= len(fragment[4]) + KEEPING_BYTES
        return fragment

    def _close_hole(self) -> None:
        """Go on with what waited behind the hole that has just been filled."""
        if not self._starts or self._starts[0] != self.cumulative + 1:
            return
        end = self._ends[0]
        del self._starts[0], self._ends[0]
        for tsn in range(self.cumulative + 1, end + 1):
            self.cumulative = tsn
            fragment = self._forget(tsn)
            if fragment is None:
                self._drop_run()
            else:
                self._take(fragment)
