"""One plaintext for everybody who can share it, sent in frame-sized batches (hot path).

A batch is what arrived until the end of a frame, 40 packets or 4 ms. Its packets are made
equally long where RTP padding of at most 64 bytes does it, laid out once with room for the
tags, and per subscriber copied, patched if need be, protected in place and handed to the
kernel as one segmented datagram.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from app.protocol.rtp.header import FIXED, HAS_PADDING
from app.sfu.history import History
from app.sfu.munger import Offsets, Place

if TYPE_CHECKING:
    from app.rtc.udp_mux import UdpMux
    from app.server.tracks.downtrack import Downtrack
    from app.server.tracks.room_media import RoomMedia

MAX_BATCH = 40
MAX_PADDING_BYTES = 64

_SEQ_TS = struct.Struct("!HI")
_PICTURE = struct.Struct("!H")

# (ext_seq, ts_rtp, plaintext, picture_id, picture_at, tl0, tl0_at); positions are relative to
# the plaintext, 0 where the field is absent.
Entry = tuple[int, int, bytes, int, int, int, int]


class Run:
    """Consecutive packets of one batch that fit into one segmented datagram."""

    __slots__ = ("entries", "octets", "sizes", "stride", "template", "wire_sizes")

    def __init__(self, entries: list[Entry], size: int, tag_bytes: int) -> None:
        self.entries = entries
        self.stride = size + tag_bytes
        room = bytes(tag_bytes)
        parts: list[bytes] = []
        last = len(entries) - 1
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
        self.template = room.join(parts) + room
        self.octets = sum(len(entry[2]) for entry in entries) - 12 * len(entries)


def split_runs(entries: list[Entry], tag_bytes: int) -> list[Run]:
    """Cut a batch into runs: equal sizes after padding, only the last packet may be shorter."""
    runs: list[Run] = []
    start = 0
    size = smallest = len(entries[0][2])
    for i in range(1, len(entries)):
        length = len(entries[i][2])
        if max(size, length) - min(smallest, length) <= MAX_PADDING_BYTES:
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
        if start < i:
            runs.append(Run(entries[start:i], size, tag_bytes))
        start = i
        size = smallest = length
    if start < len(entries):
        runs.append(Run(entries[start:], size, tag_bytes))
    return runs


class Group:
    """The subscribers of one layer that get the same bytes, save for their own offsets."""

    def __init__(
        self, room: RoomMedia, mux: UdpMux, payload_type: int, ssrc: int, tag_bytes: int
    ) -> None:
        self._room = room
        self._mux = mux
        self._payload_type = payload_type
        self._ssrc = ssrc
        self._tag_bytes = tag_bytes
        self._plain: list[Downtrack] = []
        self._patched: list[Downtrack] = []
        self._pending: list[Entry] = []
        self.history: History[Entry] = History()
        self.last: Place | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nobody is left."""
        return not self._plain and not self._patched

    def attach(self, downtrack: Downtrack) -> None:
        """Send to this subscriber from the next packet on."""
        self.flush()
        (self._plain if downtrack.offsets.are_zero else self._patched).append(downtrack)

    def detach(self, downtrack: Downtrack) -> None:
        """Stop sending to it; what is pending still goes out."""
        self.flush()
        for members in (self._plain, self._patched):
            if downtrack in members:
                members.remove(downtrack)

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
        if marker or len(pending) >= MAX_BATCH:
            self.flush()
        elif len(pending) == 1:
            self._room.flush_later(self)

    def flush(self) -> None:
        """Send what is pending to every subscriber. Hot path."""
        entries = self._pending
        if not entries:
            return
        self._pending = []
        batch, segments = self._mux.batch, self._mux.segments
        view = batch.view
        for run in split_runs(entries, self._tag_bytes):
            template, stride = run.template, run.stride
            sizes, wire_sizes = run.sizes, run.wire_sizes
            size, count, octets = len(template), len(run.sizes), run.octets
            again = False
            for members in (self._plain, self._patched):
                is_patched = members is self._patched
                for downtrack in members:
                    transport = downtrack.transport
                    destination = transport.destination
                    sender = transport.sender
                    if destination is None or sender is None or not transport.is_connected:
                        continue
                    view[:size] = template
                    if is_patched:
                        patch(view, run.entries, stride, downtrack.offsets)
                    if not batch.protect(sender, stride, sizes, again=again):
                        downtrack.refused += count
                        continue
                    again = True
                    segments.send(destination, stride, wire_sizes)
                    downtrack.packets += count
                    downtrack.octets += octets


def patch(
    view: memoryview | bytearray, entries: list[Entry], stride: int, offsets: Offsets
) -> None:
    """Add a subscriber's offsets to the packets at 0, stride, 2·stride, … Hot path."""
    seq, ts_rtp = offsets.seq, offsets.ts_rtp
    picture, tl0 = offsets.picture_id, offsets.tl0
    at = 0
    for entry in entries:
        _SEQ_TS.pack_into(view, at + 2, entry[0] + seq & 0xFFFF, entry[1] + ts_rtp & 0xFFFFFFFF)
        if picture and entry[4]:
            _PICTURE.pack_into(view, at + entry[4], 0x8000 | entry[3] + picture & 0x7FFF)
        if tl0 and entry[6]:
            view[at + entry[6]] = entry[5] + tl0 & 0xFF
        at += stride
