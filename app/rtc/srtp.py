"""SRTP contexts over memory that both the sockets and libsrtp see (hot path).

The only file that touches `pylibsrtp._binding`. Its `Session` copies every packet twice and
makes an `int *` per call; here packets are protected and opened where they lie. Where the
binding cannot be imported the same classes fall back to `Session` and copy.

A context belongs to one thread: the engine thread, or the server's loop.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import pylibsrtp
from pylibsrtp import Policy, Session

try:  # private: the contract test says which names are needed
    from pylibsrtp import _binding

    _ffi: Any = _binding.ffi
    _lib: Any = _binding.lib
except ImportError:  # pragma: no cover - depends on the wheel
    _ffi = None
    _lib = None

NATIVE: bool = _lib is not None

# What libsrtp may append: 16 bytes of tag; SRTCP also 4 bytes of index.
RTP_OVERHEAD_BYTES = 16
RTCP_OVERHEAD_BYTES = 20
MAX_PACKET_BYTES = 2048

# The sender's window only has to cover what is resent under its old number; resends go by
# RTX wherever it was negotiated. 8,192 costs 0.8 µs a packet more than 128.
TX_WINDOW = 128
RX_WINDOW = 1024


@dataclass(frozen=True)
class SrtpProfile:
    """One protection profile, by its names in DTLS and in libsrtp."""

    name: str
    libsrtp_profile: int
    key_bytes: int
    salt_bytes: int
    tag_bytes: int


AEAD_AES_128_GCM = SrtpProfile(
    "SRTP_AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12, 16
)
AES128_CM_SHA1_80 = SrtpProfile(
    "SRTP_AES128_CM_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14, 10
)


@dataclass(frozen=True, repr=False)
class SrtpKeys:
    """What a DTLS handshake agreed on: profile and master key ‖ salt of either direction."""

    profile: SrtpProfile
    tx_key: bytes
    rx_key: bytes


class PacketArea:
    """A fixed piece of memory for packets, addressable by Python, libsrtp and the kernel."""

    def __init__(self, size_bytes: int) -> None:
        self.data = bytearray(size_bytes)
        self.view = memoryview(self.data)
        self._owner: Any = _ffi.from_buffer("char[]", self.data) if _ffi is not None else None
        self.address: int = int(_ffi.cast("uintptr_t", self._owner)) if _ffi is not None else 0

    def pointer(self, offset: int) -> Any:
        """Return libsrtp's pointer to `offset`, or the offset itself without the binding."""
        return self._owner + offset if self._owner is not None else offset


def _session(keys: SrtpKeys, key: bytes, ssrc_type: int, window: int) -> Session:
    policy = Policy(key=bytes(key), ssrc_type=ssrc_type, srtp_profile=keys.profile.libsrtp_profile)
    policy.allow_repeat_tx = True
    policy.window_size = window
    return Session(policy)


class SrtpSender:
    """Protects what one peer is to receive."""

    def __init__(self, keys: SrtpKeys, *, window: int = TX_WINDOW) -> None:
        self._session = _session(keys, keys.tx_key, Policy.SSRC_ANY_OUTBOUND, window)
        self.tag_bytes = keys.profile.tag_bytes
        self.handle: Any = None
        if _ffi is not None:
            self.handle = self._session._srtp[0]
            self._scratch = _ffi.new("char[]", MAX_PACKET_BYTES + 256)
            self._buffer = _ffi.buffer(self._scratch)
            self._length = _ffi.new("int *")

    def protect(self, packet: bytes | bytearray | memoryview) -> bytes:
        """Return the packet protected; ValueError when libsrtp refuses it."""
        return self._process(packet, rtcp=False)

    def protect_rtcp(self, packet: bytes | bytearray | memoryview) -> bytes:
        """Return the compound packet protected; ValueError when libsrtp refuses it."""
        return self._process(packet, rtcp=True)

    def _process(self, packet: bytes | bytearray | memoryview, *, rtcp: bool) -> bytes:
        size = len(packet)
        if size > MAX_PACKET_BYTES:
            raise ValueError("packet too long")
        if _lib is None:
            try:
                data = bytes(packet)
                session = self._session
                return session.protect_rtcp(data) if rtcp else session.protect(data)
            except pylibsrtp.Error as error:
                raise ValueError(str(error)) from error
        self._length[0] = size
        self._buffer[0:size] = packet
        call = _lib.srtp_protect_rtcp if rtcp else _lib.srtp_protect
        status = call(self.handle, self._scratch, self._length)
        if status:
            raise ValueError(f"libsrtp status {status}")
        return bytes(self._buffer[0 : self._length[0]])


class SrtpReceiver:
    """Opens what one peer sends. Replays and forgeries come back as None."""

    def __init__(self, keys: SrtpKeys, *, window: int = RX_WINDOW) -> None:
        self._session = _session(keys, keys.rx_key, Policy.SSRC_ANY_INBOUND, window)
        if _ffi is not None:
            self._handle = self._session._srtp[0]
            self._scratch = _ffi.new("char[]", MAX_PACKET_BYTES)
            self._buffer = _ffi.buffer(self._scratch)
            self._length = _ffi.new("int *")

    def unprotect(self, packet: bytes | bytearray | memoryview) -> bytes | None:
        """Return the RTP packet in the clear, or None when it is not authentic or a replay."""
        return self._process(packet, rtcp=False)

    def unprotect_rtcp(self, packet: bytes | bytearray | memoryview) -> bytes | None:
        """Return the RTCP compound in the clear, or None."""
        return self._process(packet, rtcp=True)

    def unprotect_at(self, area: PacketArea, pointer: Any, size: int, *, rtcp: bool) -> int:
        """Open the packet where it lies and return its new length, or -1. Hot path."""
        if _lib is not None:
            length = self._length
            length[0] = size
            if rtcp:
                status = _lib.srtp_unprotect_rtcp(self._handle, pointer, length)
            else:
                status = _lib.srtp_unprotect(self._handle, pointer, length)
            return -1 if status else length[0]
        plain = self._process(area.view[pointer : pointer + size], rtcp=rtcp)
        if plain is None:
            return -1
        area.view[pointer : pointer + len(plain)] = plain
        return len(plain)

    def _process(self, packet: bytes | bytearray | memoryview, *, rtcp: bool) -> bytes | None:
        size = len(packet)
        if size > MAX_PACKET_BYTES or size < 12 - 4 * rtcp:
            return None
        if _lib is None:
            try:
                data = bytes(packet)
                session = self._session
                return session.unprotect_rtcp(data) if rtcp else session.unprotect(data)
            except (pylibsrtp.Error, ValueError):
                return None
        self._length[0] = size
        self._buffer[0:size] = packet
        call = _lib.srtp_unprotect_rtcp if rtcp else _lib.srtp_unprotect
        if call(self._handle, self._scratch, self._length):
            return None
        return bytes(self._buffer[0 : self._length[0]])


class BatchProtector:
    """Scratch memory in which one batch is protected for many subscribers (hot path).

    The caller lays out, for each subscriber, the same number of equally spaced plaintexts
    with room for the tag behind each; `protect` works on all of them in one pass, so that
    Python's share does not grow with subscribers. One per process is enough: it is empty
    between calls.
    """

    STEP_BYTES = 16
    """Spacings are multiples of this: one list of pointers serves them all."""

    MAX_SENDERS = 256

    def __init__(self, size_bytes: int = 1 << 18) -> None:
        self.area = PacketArea(size_bytes)
        self.view = self.area.view
        self.size_bytes = size_bytes
        steps = size_bytes // self.STEP_BYTES
        self._pointers = [self.area.pointer(i * self.STEP_BYTES) for i in range(steps)]
        self._capacity = 1024
        if _ffi is not None:
            self._lengths = _ffi.new("int[]", self._capacity)
            self._length_pointers = [self._lengths + i for i in range(self._capacity)]

    def capacity(self, stride: int, count: int) -> int:
        """Return for how many subscribers a batch of this shape fits, at least one."""
        fitting = min(self.size_bytes // (stride * count), self._capacity // count)
        return max(1, min(fitting, self.MAX_SENDERS))

    def protect(
        self, senders: Sequence[SrtpSender], stride: int, sizes: Sequence[int]
    ) -> list[int] | None:
        """Protect `sizes` packets for each sender where they lie.

        The packet j of sender i starts at `(i * len(sizes) + j) * stride`. Returns None when
        all went well, else one status per packet; what has another status than 0 is still
        in the clear and must not leave.
        """
        count = len(sizes)
        total = count * len(senders)
        if _lib is None:
            return self._protect_by_session(senders, stride, sizes)
        lengths = array("i", sizes) * len(senders)
        _ffi.memmove(self._lengths, lengths, 4 * total)
        step = stride // self.STEP_BYTES
        statuses = list(
            map(
                _lib.srtp_protect,
                chain.from_iterable(map(repeat, [s.handle for s in senders], repeat(count))),
                self._pointers[: total * step : step],
                self._length_pointers,
            )
        )
        return statuses if any(statuses) else None

    def _protect_by_session(
        self, senders: Sequence[SrtpSender], stride: int, sizes: Sequence[int]
    ) -> list[int] | None:
        statuses: list[int] = []
        at = 0
        for sender in senders:
            for size in sizes:
                try:
                    data = sender.protect(self.view[at : at + size])
                    self.view[at : at + len(data)] = data
                    statuses.append(0)
                except ValueError:
                    statuses.append(1)
                at += stride
        return statuses if any(statuses) else None
