"""One plaintext for everybody who can share it, sent in frame-sized batches (hot path).

A batch is what arrived until the end of a frame, 40 packets or 4 ms. Its packets are made
equally long where RTP padding of at most 64 bytes does it, and laid out with room for the
tags, once for every subscriber. Then one pass protects all of them in place and one system
call sends them, a segmented datagram each: what Python does grows with batches, hardly with
subscribers.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from app.protocol.rtp.header import FIXED, HAS_PADDING
from app.sfu.history import History
from app.sfu.munger import Offsets, Place

if TYPE_CHECKING:
    from app.rtc.datagrams import Destination
    from app.rtc.srtp import SrtpSender
    from app.rtc.udp_mux import UdpMux
    from app.server.tracks.downtrack import Downtrack
    from app.server.tracks.room_media import RoomMedia

MAX_BATCH = 40
# Padding is at most this much to level sizes, and less than 16 bytes for the spacing.
MAX_LEVELLING_BYTES = 48
STEP_BYTES = 16

_SEQ_TS = struct.Struct("!HI")
_PICTURE = struct.Struct("!H")

# (ext_seq, ts_rtp, plaintext, picture_id, picture_at, tl0, tl0_at); positions are relative to
# the plaintext, 0 where the field is absent.
Entry = tuple[int, int, bytes, int, int, int, int]


class Run:
    """Consecutive packets of one batch that fit into one segmented datagram."""

    __slots__ = ("block", "entries", "octets", "sizes", "stride", "wire_sizes")

    def __init__(self, entries: list[Entry], size: int, tag_bytes: int) -> None:
        self.entries = entries
        last = len(entries) - 1
        # The spacing is a multiple of 16. What follows another packet has to fill it.
        self.stride = stride = (size + tag_bytes + STEP_BYTES - 1) & -STEP_BYTES
        size = stride - tag_bytes
        room = bytes(tag_bytes)
        parts: list[bytes] = []
        for i, entry in enumerate(entries):
            packet = entry[2]
            missing = size - len(packet)
            if missing and i < last:
                packet = (
                    bytes((packet[0] | HAS_PADDING,))
                    + packet[1:]
                    + bytes(missing - 1)
                    + bytes((missing,))
                )
            parts.append(packet)
        self.sizes = [size] * last + [len(parts[-1])]
        self.wire_sizes = [n + tag_bytes for n in self.sizes]
        self.block = room.join(parts) + bytes(stride - len(parts[-1]))
        self.octets = sum(len(entry[2]) for entry in entries) - 12 * len(entries)


def split_runs(entries: list[Entry], tag_bytes: int) -> list[Run]:
    """Cut a batch into runs: equal sizes after padding, only the last packet may be shorter."""
    runs: list[Run] = []
    start = 0
    size = smallest = len(entries[0][2])
    for i in range(1, len(entries)):
        length = len(entries[i][2])
        if max(size, length) - min(smallest, length) <= MAX_LEVELLING_BYTES:
            size = max(size, length)
            smallest = min(smallest, length)
            continue
        if length < size:
            # Shorter than padding may bridge: it can still end this run.
            runs.append(Run(entries[start : i + 1], size, tag_bytes))
            start = i + 1
            if start < len(entries):
                size = smallest = len(entries[start][2])
            continue
        runs.append(Run(entries[start:i], size, tag_bytes))
        start = i
        size = smallest = length
    if start < len(entries):
        runs.append(Run(entries[start:], size, tag_bytes))
    return runs


class Audience:
    """Subscribers of a group whose packets leave by one socket in the same way."""

    __slots__ = ("_batch", "_patched", "_segments", "_senders", "_to", "downtracks")

    def __init__(self, mux: UdpMux, downtracks: list[Downtrack]) -> None:
        self.downtracks = downtracks
        self._batch = mux.batch
        self._segments = mux.segments
        self._senders: list[SrtpSender] = []
        destinations: list[Destination] = []
        for downtrack in downtracks:
            sender, to = downtrack.transport.sender, downtrack.transport.destination
            assert sender is not None
            assert to is not None
            self._senders.append(sender)
            destinations.append(to)
        self._to = mux.segments.prepare(destinations)
        self._patched = [
            (i, downtrack.offsets)
            for i, downtrack in enumerate(downtracks)
            if not downtrack.offsets.are_zero
        ]

    def send(self, run: Run) -> bool:
        """Send a run to everybody; False when this audience should be put together anew."""
        stride, sizes, block = run.stride, run.sizes, run.block
        everybody = len(self._senders)
        at_once = self._batch.capacity(stride, len(sizes))
        for first in range(0, everybody, at_once):
            count = min(at_once, everybody - first)
            self._batch.view[: count * len(block)] = block * count
            for i, offsets in self._patched:
                if first <= i < first + count:
                    patch(self._batch.view, run.entries, (i - first) * len(block), stride, offsets)
            senders = self._senders[first : first + count] if at_once < everybody else self._senders
            statuses = self._batch.protect(senders, stride, sizes)
            if statuses is None:
                self._segments.send(self._to, first, count, stride, run.wire_sizes)
            else:
                self._send_without_refused(run, first, statuses)
        return not self._to.has_refusal

    def _send_without_refused(self, run: Run, first: int, statuses: list[int]) -> None:
        """Leave out packets that are still in the clear, such as one that came very late."""
        count, stride = len(run.sizes), run.stride
        view, size = self._batch.view, len(run.block)
        protected = bytes(view[: size * (len(statuses) // count)])
        for number, status in enumerate(statuses):
            i, j = divmod(number, count)
            if status:
                self.downtracks[first + i].refused += 1
                continue
            view[:stride] = protected[number * stride : (number + 1) * stride]
            self._segments.send(self._to, first + i, 1, stride, run.wire_sizes[j : j + 1])


class Group:
    """The subscribers of one layer that get the same bytes, save for their own offsets.

    Video lingers for the rest of its frame; audio has nothing to wait for.
    """

    def __init__(
        self,
        room: RoomMedia,
        mux: UdpMux,
        *,
        payload_type: int,
        ssrc: int,
        tag_bytes: int,
        lingers: bool,
    ) -> None:
        self._room = room
        self._mux = mux
        self._payload_type = payload_type
        self._ssrc = ssrc
        self._tag_bytes = tag_bytes
        self._lingers = lingers
        self._members: list[Downtrack] = []
        self._audiences: list[Audience] = []
        self._version = -1
        self._pending: list[Entry] = []
        self.history: History[Entry] = History()
        self.last: Place | None = None
        # What has been sent to each member since the group exists.
        self.packets = 0
        self.octets = 0

    @property
    def is_empty(self) -> bool:
        """Whether nobody is left."""
        return not self._members

    def attach(self, downtrack: Downtrack) -> None:
        """Send to this subscriber from the next packet on."""
        self.flush()
        self._members.append(downtrack)
        self._version = -1

    def detach(self, downtrack: Downtrack) -> None:
        """Stop sending to it; what is pending still goes out."""
        self.flush()
        if downtrack in self._members:
            self._members.remove(downtrack)
            self._version = -1

    def _assemble(self) -> None:
        """Sort the members by socket, and by whether segmented datagrams reach them."""
        ways: dict[tuple[int, bool], list[Downtrack]] = {}
        for downtrack in self._members:
            transport = downtrack.transport
            to = transport.destination
            if to is not None and transport.sender is not None and transport.is_connected:
                ways.setdefault((to.descriptor, to.can_segment), []).append(downtrack)
        self._audiences = [Audience(self._mux, members) for members in ways.values()]
        self._version = self._mux.version

    def add(
        self,
        ext_seq: int,
        ts_rtp: int,
        marker: int,
        payload: bytes,
        picture: tuple[int, int, int, int],
    ) -> None:
        """Take one packet of the layer; `marker` is 0x80 or 0. Hot path."""
        packet = (
            FIXED.pack(0x80, self._payload_type | marker, ext_seq & 0xFFFF, ts_rtp, self._ssrc)
            + payload
        )
        entry = (ext_seq, ts_rtp, packet, *picture)
        self.history.store(ext_seq, entry)
        last = self.last
        if last is None or ext_seq > last.ext_seq:
            self.last = Place(ext_seq, ts_rtp, picture[0], picture[2])
        pending = self._pending
        pending.append(entry)
        if marker or not self._lingers or len(pending) >= MAX_BATCH:
            self.flush()
        elif len(pending) == 1:
            self._room.flush_later(self)

    def flush(self) -> None:
        """Send what is pending to every subscriber. Hot path."""
        entries = self._pending
        if not entries:
            return
        self._pending = []
        if self._version != self._mux.version:
            self._assemble()
        for run in split_runs(entries, self._tag_bytes):
            self.packets += len(run.sizes)
            self.octets += run.octets
            for audience in self._audiences:
                if not audience.send(run):
                    self._version = -1


def patch(
    view: memoryview | bytearray, entries: list[Entry], at: int, stride: int, offsets: Offsets
) -> None:
    """Add a subscriber's offsets to the packets at `at`, `at` + stride, … Hot path."""
    seq, ts_rtp = offsets.seq, offsets.ts_rtp
    picture, tl0 = offsets.picture_id, offsets.tl0
    for entry in entries:
        _SEQ_TS.pack_into(view, at + 2, entry[0] + seq & 0xFFFF, entry[1] + ts_rtp & 0xFFFFFFFF)
        if picture and entry[4]:
            _PICTURE.pack_into(view, at + entry[4], 0x8000 | entry[3] + picture & 0x7FFF)
        if tl0 and entry[6]:
            view[at + entry[6]] = entry[5] + tl0 & 0xFF
        at += stride
