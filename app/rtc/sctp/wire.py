"""SCTP's bytes: what chunks look like (RFC 9260 §3, RFC 3758 §3, RFC 6525 §3), both ways.

Parsers take the bytes of one chunk's value and return a value or raise `ProtocolError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from google_crc32c import extend as crc32c_extend

from app.protocol.errors import ProtocolError

DATA, INIT, INIT_ACK, SACK, HEARTBEAT, HEARTBEAT_ACK, ABORT, SHUTDOWN = range(8)
SHUTDOWN_ACK, ERROR, COOKIE_ECHO, COOKIE_ACK = range(8, 12)
SHUTDOWN_COMPLETE = 14
RECONFIG = 130
FORWARD_TSN = 192

LAST_FRAGMENT, FIRST_FRAGMENT, UNORDERED, IMMEDIATE = 1, 2, 4, 8
WHOLE = FIRST_FRAGMENT | LAST_FRAGMENT
TAG_REFLECTED = 1

STATE_COOKIE = 7
SUPPORTED_EXTENSIONS = 0x8008
FORWARD_TSN_SUPPORTED = 0xC000
OUTGOING_RESET = 13
RESET_RESPONSE = 16

U32 = 0xFFFFFFFF
HALF = 1 << 31

HEADER = Struct("!HHI")
CHUNK = Struct("!BBH")
DATA_HEADER = Struct("!BBHIHHI")
DATA_VALUE = Struct("!IHHI")
SACK_VALUE = Struct("!IIHH")
INIT_VALUE = Struct("!IIHHI")
PARAMETER = Struct("!HH")
PAIR = Struct("!HH")
RESET_VALUE = Struct("!III")
RESPONSE_VALUE = Struct("!II")

HEADER_BYTES = 12
DATA_HEADER_BYTES = 16
# What one SCTP packet may have: with DTLS, UDP and IPv6 it stays below 1,280 bytes.
PACKET_BYTES = 1_200
FRAGMENT_BYTES = PACKET_BYTES - HEADER_BYTES - DATA_HEADER_BYTES
# More gap blocks than these do not fit beside other chunks; what they leave out comes next time.
MAX_GAP_BLOCKS = 200

_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
_NO_CHECKSUM = bytes(4)


def unwrapped(number: int, near: int) -> int:
    """Return the number without end whose lower 32 bits are `number`, closest to `near`."""
    forward = (number - near) & U32
    return near + (forward if forward < HALF else forward - U32 - 1)


def packet_checksum(packet: bytes) -> int:
    """CRC32c of a packet, its own field taken as zero."""
    return int(crc32c_extend(0, packet[:8] + _NO_CHECKSUM + packet[12:]))


def is_intact(packet: bytes) -> bool:
    """Whether the checksum is right."""
    return packet_checksum(packet) == int.from_bytes(packet[8:12], "little")


class PacketWriter:
    """Bundles chunks into packets; a chunk that does not fit begins the next one."""

    def __init__(self, source_port: int, remote_port: int, tag: int) -> None:
        self._header = HEADER.pack(source_port, remote_port, tag)
        self._seed = int(crc32c_extend(0, self._header + _NO_CHECKSUM))
        self._parts: list[bytes] = []
        self._room = PACKET_BYTES - HEADER_BYTES
        self.packets: list[bytes] = []

    def add(self, chunk: bytes) -> None:
        """Append a padded chunk."""
        size = len(chunk)
        if size > self._room:
            self.close_packet()
        self._parts.append(chunk)
        self._room -= size

    def close_packet(self) -> None:
        """Let the next chunk begin a packet."""
        parts = self._parts
        if not parts:
            return
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        checksum = crc32c_extend(self._seed, body)
        self.packets.append(self._header + checksum.to_bytes(4, "little") + body)
        self._parts = []
        self._room = PACKET_BYTES - HEADER_BYTES


def chunk(kind: int, flags: int, value: bytes = b"") -> bytes:
    """Build a padded chunk."""
    size = len(value)
    return CHUNK.pack(kind, flags, 4 + size) + value + _PADDING[size % 4]


def data_chunk(
    flags: int, tsn: int, stream_id: int, stream_seq: int, protocol: int, payload: bytes
) -> bytes:
    """Build a padded DATA chunk."""
    size = len(payload)
    header = DATA_HEADER.pack(
        DATA, flags, DATA_HEADER_BYTES + size, tsn & U32, stream_id, stream_seq & 0xFFFF, protocol
    )
    return header + payload + _PADDING[size % 4]


def parameter(kind: int, value: bytes) -> bytes:
    """Build a padded parameter."""
    return PARAMETER.pack(kind, 4 + len(value)) + value + _PADDING[len(value) % 4]


def parse_parameters(value: bytes) -> list[tuple[int, bytes]]:
    """Return type and value of each parameter."""
    found: list[tuple[int, bytes]] = []
    at, end = 0, len(value)
    while at + 4 <= end:
        kind, size = PARAMETER.unpack_from(value, at)
        if size < 4 or at + size > end:
            raise ProtocolError("SCTP parameter length")
        found.append((kind, value[at + 4 : at + size]))
        at += size + -size % 4
    return found


@dataclass(frozen=True, slots=True)
class InitFacts:
    """What an end says of itself in INIT and INIT ACK."""

    tag: int
    window_bytes: int
    outbound_streams: int
    inbound_streams: int
    initial_tsn: int
    has_forward_tsn: bool = False
    cookie: bytes = b""


def parse_init(value: bytes) -> InitFacts:
    """Parse the value of INIT or INIT ACK."""
    if len(value) < INIT_VALUE.size:
        raise ProtocolError("SCTP INIT too short")
    tag, window, outbound, inbound, tsn = INIT_VALUE.unpack_from(value)
    if not (tag and outbound and inbound):
        raise ProtocolError("SCTP INIT with a zero")
    has_forward_tsn, cookie = False, b""
    for kind, content in parse_parameters(value[INIT_VALUE.size :]):
        if kind == FORWARD_TSN_SUPPORTED:
            has_forward_tsn = True
        elif kind == SUPPORTED_EXTENSIONS:
            has_forward_tsn = has_forward_tsn or FORWARD_TSN in content
        elif kind == STATE_COOKIE:
            cookie = content
    return InitFacts(tag, window, outbound, inbound, tsn, has_forward_tsn, cookie)


def init_chunk(kind: int, facts: InitFacts) -> bytes:
    """Build INIT or INIT ACK."""
    value = INIT_VALUE.pack(
        facts.tag,
        facts.window_bytes,
        facts.outbound_streams,
        facts.inbound_streams,
        facts.initial_tsn & U32,
    )
    value += parameter(FORWARD_TSN_SUPPORTED, b"")
    value += parameter(SUPPORTED_EXTENSIONS, bytes((FORWARD_TSN, RECONFIG)))
    if facts.cookie:
        value += parameter(STATE_COOKIE, facts.cookie)
    return chunk(kind, 0, value)


def parse_sack(value: bytes) -> tuple[int, int, list[tuple[int, int]]]:
    """Return cumulative TSN, window and gap blocks; duplicates are of no use to us."""
    if len(value) < SACK_VALUE.size:
        raise ProtocolError("SACK too short")
    tsn, window, blocks, _ = SACK_VALUE.unpack_from(value)
    if not blocks:
        return tsn, window, []
    end = SACK_VALUE.size + 4 * blocks
    if len(value) < end:
        raise ProtocolError("SACK too short")
    gaps = list(PAIR.iter_unpack(value[SACK_VALUE.size : end]))
    last = 0
    for first, stop in gaps:
        if first <= last or stop < first:
            raise ProtocolError("SACK gap blocks")
        last = stop
    return tsn, window, gaps


def sack_chunk(
    tsn: int, window_bytes: int, gaps: list[tuple[int, int]], duplicates: list[int]
) -> bytes:
    """Build SACK; gap blocks count from `tsn`."""
    value = SACK_VALUE.pack(tsn & U32, window_bytes, len(gaps), len(duplicates))
    if gaps:
        value += b"".join([PAIR.pack(first, last) for first, last in gaps])
    if duplicates:
        value += b"".join([(tsn & U32).to_bytes(4, "big") for tsn in duplicates])
    return chunk(SACK, 0, value)


def parse_forward_tsn(value: bytes) -> tuple[int, list[tuple[int, int]]]:
    """Return the new cumulative TSN, and stream and sequence of what is skipped."""
    if len(value) < 4 or len(value) % 4:
        raise ProtocolError("FORWARD TSN length")
    return int.from_bytes(value[:4], "big"), list(PAIR.iter_unpack(value[4:]))


def forward_tsn_chunk(tsn: int, skipped: dict[int, int]) -> bytes:
    """Build FORWARD TSN; `skipped` is sequence by stream."""
    value = (tsn & U32).to_bytes(4, "big")
    value += b"".join([PAIR.pack(stream, seq & 0xFFFF) for stream, seq in skipped.items()])
    return chunk(FORWARD_TSN, 0, value)


@dataclass(frozen=True, slots=True)
class ResetRequest:
    """The peer resets streams of its own (RFC 6525 §4.1); none named are all."""

    number: int
    last_tsn: int
    streams: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ResetResponse:
    """The answer to a request of ours (RFC 6525 §4.4)."""

    number: int
    result: int


def parse_reconfig(value: bytes) -> list[ResetRequest | ResetResponse]:
    """Return the parameters that we know."""
    found: list[ResetRequest | ResetResponse] = []
    for kind, content in parse_parameters(value):
        if kind == OUTGOING_RESET:
            if len(content) < RESET_VALUE.size or len(content) % 2:
                raise ProtocolError("stream reset length")
            number, _, last_tsn = RESET_VALUE.unpack_from(content)
            streams = tuple(
                int.from_bytes(content[at : at + 2], "big")
                for at in range(RESET_VALUE.size, len(content), 2)
            )
            found.append(ResetRequest(number, last_tsn, streams))
        elif kind == RESET_RESPONSE:
            if len(content) < RESPONSE_VALUE.size:
                raise ProtocolError("stream reset response length")
            found.append(ResetResponse(*RESPONSE_VALUE.unpack_from(content)))
    return found


def reset_request_chunk(
    number: int, answered: int, last_tsn: int, streams: tuple[int, ...]
) -> bytes:
    """Build RE-CONFIG with an outgoing reset request."""
    value = RESET_VALUE.pack(number & U32, answered & U32, last_tsn & U32)
    value += b"".join([stream.to_bytes(2, "big") for stream in streams])
    return chunk(RECONFIG, 0, parameter(OUTGOING_RESET, value))


def reset_response_chunk(number: int, result: int) -> bytes:
    """Build RE-CONFIG with an answer."""
    return chunk(RECONFIG, 0, parameter(RESET_RESPONSE, RESPONSE_VALUE.pack(number & U32, result)))
