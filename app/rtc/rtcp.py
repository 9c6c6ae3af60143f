"""RTCP compounds: parse what peers report, build what we report (RFC 3550, 4585, 5104).

Also REMB (draft-alvestrand-rmcat-remb) and transport-wide feedback
(draft-holmer-rmcat-transport-wide-cc-extensions-01). Pure functions over bytes; every parser
gives a value or ProtocolError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.protocol.errors import ProtocolError

SR = 200
RR = 201
SDES = 202
BYE = 203
RTPFB = 205
PSFB = 206
XR = 207

FMT_NACK = 1
FMT_TRANSPORT_CC = 15
FMT_PLI = 1
FMT_FIR = 4
FMT_APP = 15

NTP_EPOCH_OFFSET_S = 2_208_988_800

_HEAD = struct.Struct("!BBH")
_BLOCK = struct.Struct("!IIIIII")


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver says about one of our streams; `fraction_lost` is 0-255."""

    ssrc: int
    fraction_lost: int
    cumulative_lost: int
    highest_ext_seq: int
    jitter: int
    last_sr: int
    delay_since_last_sr: int


@dataclass(frozen=True, slots=True)
class SenderReport:
    """A sender's clock pair and counters; `ntp` is 64-bit NTP time."""

    ssrc: int
    ntp: int
    ts_rtp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """Report blocks without a sender part."""

    ssrc: int
    blocks: tuple[ReportBlock, ...]


@dataclass(frozen=True, slots=True)
class Nack:
    """Sequence numbers that the receiver misses."""

    media_ssrc: int
    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KeyframeRequest:
    """PLI or FIR: the receiver cannot decode until a keyframe comes."""

    media_ssrc: int


@dataclass(frozen=True, slots=True)
class Remb:
    """Receiver's estimate of the path's capacity."""

    bitrate_bps: int
    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TransportFeedback:
    """Arrival times by transport-wide number; None for a packet that did not arrive.

    `arrivals_us[i]` belongs to `base_seq + i` and counts from the feedback's reference time,
    which wraps after 12 days.
    """

    base_seq: int
    feedback_count: int
    arrivals_us: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Goodbye:
    """BYE: these sources have stopped."""

    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReferenceTime:
    """XR receiver reference time (RFC 3611 §4.4): wants a DLRR block back."""

    ssrc: int
    ntp: int


RtcpItem = (
    SenderReport
    | ReceiverReport
    | Nack
    | KeyframeRequest
    | Remb
    | TransportFeedback
    | Goodbye
    | ReferenceTime
)


def parse_rtcp(data: bytes) -> list[RtcpItem]:
    """Return what a compound says. Unknown packets are skipped; ProtocolError if malformed."""
    items: list[RtcpItem] = []
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise ProtocolError("RTCP cut off")
        first, kind, words = _HEAD.unpack_from(data, at)
        end = at + 4 + 4 * words
        if first >> 6 != 2 or end > len(data):
            raise ProtocolError("RTCP length or version")
        body_end = end
        if first & 0x20:
            padding = data[end - 1]
            if padding == 0 or padding > end - at - 4:
                raise ProtocolError("RTCP padding")
            body_end -= padding
        try:
            items.extend(_parse_packet(kind, first & 31, data[at + 4 : body_end]))
        except (struct.error, IndexError) as error:
            raise ProtocolError("RTCP packet too short") from error
        at = end
    return items


def _parse_packet(kind: int, count: int, body: bytes) -> Iterable[RtcpItem]:
    match kind:
        case 200:
            ssrc, ntp, ts_rtp, packets, octets = struct.unpack_from("!IQIII", body)
            blocks = _parse_blocks(body, 24, count)
            return (SenderReport(ssrc, ntp, ts_rtp, packets, octets, blocks),)
        case 201:
            (ssrc,) = struct.unpack_from("!I", body)
            return (ReceiverReport(ssrc, _parse_blocks(body, 4, count)),)
        case 203:
            return (Goodbye(struct.unpack_from(f"!{count}I", body)),)
        case 205 if count == FMT_NACK:
            return (_parse_nack(body),)
        case 205 if count == FMT_TRANSPORT_CC:
            return (_parse_transport_feedback(body),)
        case 206 if count == FMT_PLI:
            return (KeyframeRequest(struct.unpack_from("!II", body)[1]),)
        case 206 if count == FMT_FIR:
            struct.unpack_from("!II", body)
            entries = range(8, len(body) - 7, 8)
            return tuple(KeyframeRequest(struct.unpack_from("!I", body, i)[0]) for i in entries)
        case 206 if count == FMT_APP and body[8:12] == b"REMB":
            return (_parse_remb(body),)
        case 207:
            return _parse_extended(body)
        case _:
            return ()


def _parse_blocks(body: bytes, at: int, count: int) -> tuple[ReportBlock, ...]:
    blocks: list[ReportBlock] = []
    for i in range(count):
        ssrc, loss, highest, jitter, lsr, dlsr = _BLOCK.unpack_from(body, at + 24 * i)
        lost = loss & 0xFFFFFF
        lost -= (lost & 0x800000) << 1
        blocks.append(ReportBlock(ssrc, loss >> 24, lost, highest, jitter, lsr, dlsr))
    return tuple(blocks)


def _parse_nack(body: bytes) -> Nack:
    media_ssrc = struct.unpack_from("!II", body)[1]
    seqs: list[int] = []
    for at in range(8, len(body) - 3, 4):
        pid, mask = struct.unpack_from("!HH", body, at)
        seqs.append(pid)
        if mask:
            seqs.extend((pid + 1 + bit) & 0xFFFF for bit in range(16) if mask >> bit & 1)
    return Nack(media_ssrc, tuple(seqs))


def _parse_remb(body: bytes) -> Remb:
    count = body[12]
    word = int.from_bytes(body[13:16], "big")
    bitrate = (word & 0x3FFFF) << (word >> 18)
    return Remb(bitrate, struct.unpack_from(f"!{count}I", body, 16))


def _parse_extended(body: bytes) -> list[RtcpItem]:
    (ssrc,) = struct.unpack_from("!I", body)
    items: list[RtcpItem] = []
    at = 4
    while at + 4 <= len(body):
        kind = body[at]
        size = 4 + 4 * (body[at + 2] << 8 | body[at + 3])
        if kind == 4 and size == 12:
            items.append(ReferenceTime(ssrc, struct.unpack_from("!Q", body, at + 4)[0]))
        at += size
    return items


def _parse_transport_feedback(body: bytes) -> TransportFeedback:
    _, _, base, count, word = struct.unpack_from("!IIHHI", body)
    statuses: list[int] = []
    at = 16
    while len(statuses) < count:
        (chunk,) = struct.unpack_from("!H", body, at)
        at += 2
        if not chunk & 0x8000:
            run = min(chunk & 0x1FFF, count - len(statuses))
            statuses.extend([chunk >> 13 & 3] * run)
            if run == 0:
                raise ProtocolError("RTCP empty status run")
        elif chunk & 0x4000:
            statuses.extend(chunk >> shift & 3 for shift in range(12, -1, -2))
        else:
            statuses.extend(chunk >> shift & 1 for shift in range(13, -1, -1))
    arrivals: list[int | None] = []
    now_us = 0
    for status in statuses[:count]:
        if status == 1:
            now_us += 250 * body[at]
            at += 1
        elif status == 2:
            now_us += 250 * struct.unpack_from("!h", body, at)[0]
            at += 2
        elif status == 3:
            raise ProtocolError("RTCP reserved status")
        arrivals.append(now_us if status else None)
    reference_us = (word >> 8) * 64_000
    return TransportFeedback(
        base,
        word & 0xFF,
        tuple(None if a is None else reference_us + a for a in arrivals),
    )


# --- building


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEAD.pack(0x80 | count, kind, len(body) // 4) + body


def _blocks(blocks: Sequence[ReportBlock]) -> bytes:
    return b"".join(
        _BLOCK.pack(
            block.ssrc,
            (block.fraction_lost & 0xFF) << 24 | block.cumulative_lost & 0xFFFFFF,
            block.highest_ext_seq & 0xFFFFFFFF,
            block.jitter & 0xFFFFFFFF,
            block.last_sr,
            block.delay_since_last_sr & 0xFFFFFFFF,
        )
        for block in blocks
    )


def build_sender_report(report: SenderReport) -> bytes:
    """Return one SR packet; at most 31 blocks."""
    head = struct.pack(
        "!IQIII",
        report.ssrc,
        report.ntp,
        report.ts_rtp & 0xFFFFFFFF,
        report.packets & 0xFFFFFFFF,
        report.octets & 0xFFFFFFFF,
    )
    return _packet(SR, len(report.blocks), head + _blocks(report.blocks))


def build_receiver_report(ssrc: int, blocks: Sequence[ReportBlock]) -> bytes:
    """Return as many RR packets as the blocks need, at least one."""
    packets = [
        _packet(RR, len(part), ssrc.to_bytes(4, "big") + _blocks(part))
        for part in (blocks[i : i + 31] for i in range(0, len(blocks), 31))
    ]
    return b"".join(packets) or _packet(RR, 0, ssrc.to_bytes(4, "big"))


def build_cname(ssrc: int, cname: str) -> bytes:
    """Return an SDES packet with one CNAME."""
    text = cname.encode()[:255]
    chunk = ssrc.to_bytes(4, "big") + bytes((1, len(text))) + text + b"\x00"
    return _packet(SDES, 1, chunk + bytes(-len(chunk) % 4))


def build_bye(ssrcs: Sequence[int]) -> bytes:
    """Return a BYE for at most 31 sources."""
    return _packet(BYE, len(ssrcs), b"".join(s.to_bytes(4, "big") for s in ssrcs))


def build_nack(sender_ssrc: int, media_ssrc: int, seqs: Sequence[int]) -> bytes:
    """Return a generic NACK for these numbers, which must ascend modulo 65,536."""
    body = struct.pack("!II", sender_ssrc, media_ssrc)
    i = 0
    while i < len(seqs):
        pid = seqs[i] & 0xFFFF
        mask = 0
        i += 1
        while i < len(seqs) and 0 < ((seqs[i] - pid) & 0xFFFF) <= 16:
            mask |= 1 << (((seqs[i] - pid) & 0xFFFF) - 1)
            i += 1
        body += struct.pack("!HH", pid, mask)
    return _packet(RTPFB, FMT_NACK, body)


def build_pli(sender_ssrc: int, media_ssrc: int) -> bytes:
    """Return a picture loss indication."""
    return _packet(PSFB, FMT_PLI, struct.pack("!II", sender_ssrc, media_ssrc))


def build_fir(sender_ssrc: int, media_ssrc: int, number: int) -> bytes:
    """Return a full intra request; `number` grows by one with every new request."""
    return _packet(PSFB, FMT_FIR, struct.pack("!IIIB3x", sender_ssrc, 0, media_ssrc, number & 0xFF))


def build_remb(sender_ssrc: int, bitrate_bps: int, ssrcs: Sequence[int]) -> bytes:
    """Return a receiver estimate for these sources."""
    exponent = max(0, bitrate_bps.bit_length() - 18)
    word = exponent << 18 | bitrate_bps >> exponent
    head = struct.pack("!II4sB", sender_ssrc, 0, b"REMB", len(ssrcs)) + word.to_bytes(3, "big")
    return _packet(PSFB, FMT_APP, head + struct.pack(f"!{len(ssrcs)}I", *ssrcs))


def build_transport_feedback(
    sender_ssrc: int,
    media_ssrc: int,
    base_seq: int,
    arrivals_us: Sequence[int | None],
    feedback_count: int,
) -> bytes:
    """Return the arrival times of `base_seq`, `base_seq` + 1, …; None marks a missing one.

    The first must have arrived. Deltas that do not fit 16 bits (8 s) end the report early.
    """
    first = arrivals_us[0]
    if first is None:
        raise ValueError("a feedback starts with a packet that arrived")
    reference = first // 64_000
    previous = reference * 64_000
    statuses: list[int] = []
    deltas = bytearray()
    for arrival in arrivals_us:
        if arrival is None:
            statuses.append(0)
            continue
        # Round against the sum of what was sent, so that errors do not add up.
        ticks = (arrival - previous + 125) // 250
        if 0 <= ticks <= 255:
            statuses.append(1)
            deltas.append(ticks)
        elif -32_768 <= ticks <= 32_767:
            statuses.append(2)
            deltas += struct.pack("!h", ticks)
        else:
            break
        previous += 250 * ticks
    chunks = bytearray()
    at = 0
    while at < len(statuses):
        run = 1
        while at + run < len(statuses) and statuses[at + run] == statuses[at] and run < 0x1FFF:
            run += 1
        if run >= 7:
            chunks += struct.pack("!H", statuses[at] << 13 | run)
            at += run
            continue
        part = statuses[at : at + 7]
        word = 0xC000
        for i, status in enumerate(part):
            word |= status << (12 - 2 * i)
        chunks += struct.pack("!H", word)
        at += 7
    head = struct.pack(
        "!IIHHI",
        sender_ssrc,
        media_ssrc,
        base_seq & 0xFFFF,
        len(statuses),
        (reference & 0xFFFFFF) << 8 | feedback_count & 0xFF,
    )
    body = head + bytes(chunks) + bytes(deltas)
    return _packet(RTPFB, FMT_TRANSPORT_CC, body + bytes(-len(body) % 4))


def build_dlrr(ssrc: int, peer_ssrc: int, last_rr: int, delay: int) -> bytes:
    """Answer a receiver reference time (RFC 3611 §4.5); the delay counts 1/65,536 s."""
    block = struct.pack("!BBHIII", 5, 0, 3, peer_ssrc, last_rr & 0xFFFFFFFF, delay & 0xFFFFFFFF)
    return _packet(XR, 0, ssrc.to_bytes(4, "big") + block)


def ntp_of(unix_s: float) -> int:
    """Return 64-bit NTP time of a Unix time."""
    return int((unix_s + NTP_EPOCH_OFFSET_S) * (1 << 32))


def ntp_middle(ntp: int) -> int:
    """Return the middle 32 bits, as LSR fields carry them."""
    return ntp >> 16 & 0xFFFFFFFF
