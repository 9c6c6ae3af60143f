"""Video packets in any order in, whole frames in order out; says what is missing.

Sans-IO. A hole holds delivery back while it is asked for (NACK). What has not come after
`GIVE_UP_S` will not be in time: everything up to the next keyframe is skipped, and one is wanted.
The numbers are unwrapped sequence numbers of the media stream; resends are put in by the number
that they repair.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.protocol.errors import ProtocolError
from app.protocol.rtp.encoded import EncodedVideoFrame
from app.protocol.rtp.h264 import depacketize_h264, is_h264_keyframe
from app.protocol.rtp.vp8 import parse_vp8, vp8_keyframe_size
from app.protocol.rtp.wrap import unwrap_seq
from app.rtc.stats import ReceiverStats

# Packets overtake each other by a little on Wi-Fi: do not ask at once.
FIRST_NACK_S = 0.01
NACK_INTERVAL_S = 0.06
MAX_NACKS = 10
GIVE_UP_S = 0.5
MAX_WAITING_PACKETS = 2_048
# A jump beyond this is a new stream under an old name, not loss.
MAX_GAP_PACKETS = 1_000


@dataclass(slots=True)
class _Packet:
    ts_rtp: int
    marker: bool
    payload: bytes
    codec: str


@dataclass(slots=True)
class _Missing:
    since_s: float
    due_s: float
    asked: int = 0


class FrameAssembler:
    """One video stream's packets on their way to frames."""

    def __init__(self, stats: ReceiverStats) -> None:
        self._stats = stats
        self._waiting: dict[int, _Packet] = {}
        self._missing: dict[int, _Missing] = {}
        self._next: int | None = None
        self._highest: int | None = None
        # Up to here the frame at `_next` has no hole: a long frame is not walked for each packet.
        self._walked = 0
        self.needs_keyframe = True

    @property
    def deadline_s(self) -> float | None:
        """When something is to be asked for or given up."""
        if not self._missing:
            return None
        return min(missing.due_s for missing in self._missing.values())

    def unwrap(self, seq: int) -> int | None:
        """Return the unwrapped number of a repaired packet; None before the first packet."""
        return None if self._highest is None else unwrap_seq(self._highest, seq)

    def handle_packet(
        self,
        ext_seq: int,
        ts_rtp: int,
        marker: bool,
        payload: bytes,
        codec: str,
        now_s: float,
        *,
        is_resend: bool = False,
    ) -> list[EncodedVideoFrame]:
        """Take one packet; return the frames that are complete now."""
        if self._highest is None:
            self._highest = ext_seq - 1
        if abs(ext_seq - self._highest) > MAX_GAP_PACKETS:
            self._restart(ext_seq)
        if ext_seq in self._waiting or (self._next is not None and ext_seq < self._next):
            self._stats.duplicate_packets += 1
            return []
        if self._missing.pop(ext_seq, None) is not None and is_resend:
            self._stats.recovered_packets += 1
        for hole in range(self._highest + 1, ext_seq):
            self._missing[hole] = _Missing(now_s, now_s + FIRST_NACK_S)
        self._highest = max(self._highest, ext_seq)
        self._waiting[ext_seq] = _Packet(ts_rtp, marker, payload, codec)
        if len(self._waiting) > MAX_WAITING_PACKETS:
            self._skip()
        return self._collect()

    def _restart(self, ext_seq: int) -> None:
        self._waiting.clear()
        self._missing.clear()
        self._next = None
        self._walked = 0
        self._highest = ext_seq - 1
        self.needs_keyframe = True

    def handle_deadline(self, now_s: float) -> tuple[list[int], list[EncodedVideoFrame]]:
        """Return what to ask for now, and frames that giving up has set free."""
        frames: list[EncodedVideoFrame] = []
        oldest = min((m.since_s for m in self._missing.values()), default=now_s)
        if now_s - oldest >= GIVE_UP_S:
            for seq in [s for s, m in self._missing.items() if now_s - m.since_s >= GIVE_UP_S]:
                del self._missing[seq]
            self._skip()
            frames = self._collect()
        wanted: list[int] = []
        for seq, missing in self._missing.items():
            if missing.due_s > now_s:
                continue
            missing.due_s = now_s + NACK_INTERVAL_S
            if missing.asked < MAX_NACKS:
                missing.asked += 1
                wanted.append(seq)
        return sorted(wanted), frames

    def _skip(self) -> None:
        """Give up what is incomplete: go on with the next keyframe, here already or not."""
        self.needs_keyframe = True
        self._stats.dropped_frames += 1
        start = self._keyframe_start()
        limit = start if start is not None else (self._highest or 0) + 1
        for seq in [s for s in self._waiting if s < limit]:
            del self._waiting[seq]
        for seq in [s for s in self._missing if s < limit]:
            del self._missing[seq]
        self._next = start
        self._walked = 0

    def _keyframe_start(self) -> int | None:
        after = self._next if self._next is not None else -1
        for seq in sorted(self._waiting):
            if seq > after and _starts_keyframe(self._waiting[seq]):
                return seq
        return None

    def _collect(self) -> list[EncodedVideoFrame]:
        if self._next is None:
            self._next = self._keyframe_start()
            if self._next is None:
                self._forget_old()
                return []
            for seq in [s for s in self._waiting if s < self._next]:
                del self._waiting[seq]
            for seq in [s for s in self._missing if s < self._next]:
                del self._missing[seq]
        frames: list[EncodedVideoFrame] = []
        while (end := self._frame_end(self._next)) is not None:
            packets = [self._waiting.pop(seq) for seq in range(self._next, end + 1)]
            self._next = end + 1
            frame = self._assemble([p for p in packets if p.payload])
            if frame is not None:
                frames.append(frame)
        return frames

    def _forget_old(self) -> None:
        """Before the first keyframe nothing is worth keeping or asking for."""
        self._missing.clear()
        keep = (self._highest or 0) - 128
        for seq in [s for s in self._waiting if s < keep]:
            del self._waiting[seq]

    def _frame_end(self, start: int) -> int | None:
        """Return the last packet of the frame that begins at `start`, if all of it is here."""
        waiting = self._waiting
        seq = max(start, self._walked)
        packet = waiting.get(seq)
        while packet is not None:
            if packet.marker or not packet.payload:
                return seq
            following = waiting.get(seq + 1)
            if following is None:
                # The next packet may begin another frame: look from here again.
                self._walked = seq
                return None
            if following.ts_rtp != packet.ts_rtp:
                return seq
            seq += 1
            packet = following
        return None

    def _assemble(self, packets: list[_Packet]) -> EncodedVideoFrame | None:
        if not packets:
            return None
        try:
            frame = _frame(packets)
        except ProtocolError:
            # Nothing more is shown until the next keyframe; what was whole before it stays so.
            self._stats.dropped_frames += 1
            self.needs_keyframe = True
            return None
        if self.needs_keyframe and not frame.keyframe:
            self._stats.dropped_frames += 1
            return None
        self.needs_keyframe = False
        return frame


def _starts_keyframe(packet: _Packet) -> bool:
    if not packet.payload:
        return False
    if packet.codec.upper() == "H264":
        return is_h264_keyframe(packet.payload)
    try:
        descriptor = parse_vp8(packet.payload)
    except ProtocolError:
        return False
    return descriptor.starts_frame and not packet.payload[descriptor.size] & 1


def _frame(packets: list[_Packet]) -> EncodedVideoFrame:
    first = packets[0]
    payloads = [packet.payload for packet in packets]
    if first.codec.upper() == "H264":
        keyframe = any(is_h264_keyframe(payload) for payload in payloads)
        return EncodedVideoFrame("H264", depacketize_h264(payloads), first.ts_rtp, keyframe)
    descriptor = parse_vp8(payloads[0])
    if not descriptor.starts_frame:
        raise ProtocolError("VP8 frame without start")
    data = b"".join(payload[parse_vp8(payload).size :] for payload in payloads)
    size = vp8_keyframe_size(data)
    width, height = size or (0, 0)
    return EncodedVideoFrame("VP8", data, first.ts_rtp, not data[0] & 1, width, height)
