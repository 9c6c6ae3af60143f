"""One UDP port for every participant: one socket per local address, one demux.

A datagram goes to its peer by source address; a binding request, whose source may be new, by
the user name fragment in it. Media is passed on as it is read, data takes turns (`turns`). The
reply leaves by the socket that received: a wildcard socket would answer from whatever address the
route suggests, and ICE takes that for another path.

Belongs to the loop that `open` ran on. Hot path: `_drain`.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Sequence
from typing import Protocol

import structlog

from app.protocol.errors import ProtocolError
from app.rtc.bursts import send_burst
from app.rtc.datagrams import (
    SLOT_BYTES,
    SLOTS,
    Destination,
    ReceiveSlots,
    SegmentSender,
    can_segment,
)
from app.rtc.ice_lite import host_candidate, local_ufrag_of
from app.rtc.srtp import BatchProtector
from app.rtc.stun import StunMessage, parse_stun
from app.rtc.turns import TakingTurns
from app.runtime.errors import Reason, WorldError

log = structlog.get_logger(__name__)

_BUFFER_BYTES = 4 << 20
_PORT_ATTEMPTS = 20
# Turns of the loop are shared with signalling: no drain takes more than this many batches.
_MAX_BATCHES = 4


class MuxPeer(Protocol):
    """What the demux delivers to."""

    def handle_check(self, message: StunMessage, path: Path) -> bool:
        """Answer a binding request; False when it was not authentic."""

    def holds(self, path: Path) -> bool:
        """Whether it is alive on this path, so that nobody else may have the address."""

    def handle_dtls(self, datagram: bytes) -> None:
        """Take one DTLS datagram."""

    def handle_media(self, slot: int, at: int, size: int) -> None:
        """Take SRTP or SRTCP that lies at `at` in the mux's slots."""


class Path:
    """One peer address as seen by one of our sockets."""

    __slots__ = ("destination", "key", "mux_socket")

    def __init__(self, mux_socket: MuxSocket, key: bytes) -> None:
        self.mux_socket = mux_socket
        self.key = key
        self.destination = Destination(mux_socket.sock, key, can_segment=mux_socket.can_segment)


class MuxSocket:
    """One bound address with the peers that are reached through it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.descriptor = sock.fileno()
        self.key_bytes = 28 if sock.family == socket.AF_INET6 else 8
        self.can_segment = can_segment(sock)
        self.peers: dict[bytes, MuxPeer] = {}

    def send(self, datagram: bytes, address: tuple[str, int]) -> bool:
        """Send one datagram; False when the kernel would not take it."""
        try:
            self.sock.sendto(datagram, address)
        except OSError:
            return False
        return True

    def send_burst(self, to: Destination, data: bytes, sizes: Sequence[int]) -> int:
        """Send datagrams that lie behind one another; returns how many were lost."""
        lost, to.can_segment = send_burst(
            self.sock, to.address, data, sizes, can_segment=to.can_segment
        )
        return lost


def _expand(hosts: Sequence[str]) -> list[str]:
    """Replace wildcard addresses by every address of this machine."""
    found: list[str] = []
    for host in hosts:
        if host in ("0.0.0.0", "::", ""):
            found.extend(_local_addresses(want_ipv6=host == "::"))
        else:
            found.append("127.0.0.1" if host == "localhost" else host)
    return list(dict.fromkeys(found))


def _local_addresses(*, want_ipv6: bool) -> list[str]:
    import ifaddr  # aioice depends on it; only needed for wildcards

    addresses: list[str] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if isinstance(ip.ip, str):
                addresses.append(ip.ip)
            elif want_ipv6 and not ipaddress.ip_address(ip.ip[0]).is_link_local:
                addresses.append(ip.ip[0])
    return addresses


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def _bind_all(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Bind every host to one port; port 0 asks the system for one that is free on all."""
    sockets: list[socket.socket] = []
    try:
        for host in hosts:
            sockets.append(_bind(host, port))
            port = port or sockets[0].getsockname()[1]
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


class UdpMux:
    """The media port. Open it with `open`, inside the loop that is to drain it."""

    def __init__(self, sockets: Sequence[socket.socket], addresses: Sequence[str]) -> None:
        self.addresses = tuple(addresses)
        self.port: int = sockets[0].getsockname()[1]
        self.candidates = tuple(
            host_candidate(i, host, self.port) for i, host in enumerate(self.addresses)
        )
        self.slots = ReceiveSlots()
        self.batch = BatchProtector()
        self.segments = SegmentSender(self.batch.area)
        self.unknown = 0
        self.received = 0
        self.received_bytes = 0
        # Grows whenever a peer's address or state changes: whoever keeps either looks again.
        self.version = 0
        self._peers_by_ufrag: dict[str, MuxPeer] = {}
        self._sockets = [MuxSocket(sock) for sock in sockets]
        self._loop = asyncio.get_running_loop()
        self._turns = TakingTurns(self._loop)
        for mux_socket in self._sockets:
            self._loop.add_reader(mux_socket.descriptor, self._drain, mux_socket)

    @property
    def sent(self) -> int:
        """Media datagrams handed to the kernel."""
        return self.segments.datagrams

    @property
    def sent_bytes(self) -> int:
        """Their bytes."""
        return self.segments.octets

    @property
    def dropped(self) -> int:
        """Those that it did not take."""
        return self.segments.dropped

    @classmethod
    def open(cls, hosts: Sequence[str], port: int) -> UdpMux:
        """Bind one socket per host, all to one port; WorldError PORT_TAKEN or NO_ROUTE."""
        addresses = _expand(hosts)
        attempts = _PORT_ATTEMPTS if port == 0 else 1
        for attempt in range(attempts):
            try:
                return cls(_bind_all(addresses, port), addresses)
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise WorldError(Reason.NO_ROUTE, detail=f"bind: {error}") from error
                if attempt == attempts - 1:
                    detail = f"udp port {port}: {error}"
                    raise WorldError(Reason.PORT_TAKEN, retry=True, detail=detail) from error
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Stop reading and release the port. Idempotent."""
        for mux_socket in self._sockets:
            self._loop.remove_reader(mux_socket.descriptor)
            mux_socket.sock.close()
            mux_socket.peers.clear()
        self._turns.close()
        self._sockets.clear()
        self._peers_by_ufrag.clear()

    def register(self, ufrag: str, peer: MuxPeer) -> None:
        """Deliver binding requests for `ufrag` to `peer`."""
        self._peers_by_ufrag[ufrag] = peer

    def forget(self, ufrag: str) -> None:
        """Answer no more binding requests for `ufrag`."""
        self._peers_by_ufrag.pop(ufrag, None)

    def unregister(self, peer: MuxPeer) -> None:
        """Forget every fragment and every address of `peer`."""
        self._turns.forget(peer.handle_dtls)
        for ufrag in [u for u, p in self._peers_by_ufrag.items() if p is peer]:
            del self._peers_by_ufrag[ufrag]
        for mux_socket in self._sockets:
            for key in [k for k, p in mux_socket.peers.items() if p is peer]:
                del mux_socket.peers[key]

    def _drain(self, mux_socket: MuxSocket) -> None:
        slots = self.slots
        data = slots.area.data
        peers, turns = mux_socket.peers, self._turns
        batches = _MAX_BATCHES if slots.is_batched else _MAX_BATCHES * SLOTS
        for _ in range(batches):
            count = slots.receive(mux_socket.sock, mux_socket.descriptor, mux_socket.key_bytes)
            self.received += count
            self.received_bytes += sum(slots.sizes[:count])
            at = 0
            for slot, (size, key) in enumerate(zip(slots.sizes[:count], slots.keys, strict=False)):
                first = data[at]
                if size == 0:
                    pass
                elif 128 <= first < 192:
                    peer = peers.get(key)
                    if peer is not None:
                        peer.handle_media(slot, at, size)
                    else:
                        self.unknown += 1
                elif first < 4:
                    self._handle_stun(mux_socket, bytes(data[at : at + size]), key)
                elif 20 <= first < 64:
                    peer = peers.get(key)
                    if peer is not None:
                        turns.add(peer.handle_dtls, bytes(data[at : at + size]))
                    else:
                        self.unknown += 1
                at += SLOT_BYTES
            if count < SLOTS and (slots.is_batched or count == 0):
                break
        turns.run()

    def _handle_stun(self, mux_socket: MuxSocket, datagram: bytes, key: bytes) -> None:
        try:
            message = parse_stun(datagram)
            peer = self._peers_by_ufrag.get(local_ufrag_of(message))
        except ProtocolError:
            self.unknown += 1
            return
        if peer is None:
            self.unknown += 1
            return
        path = Path(mux_socket, key)
        holder = mux_socket.peers.get(key)
        if holder is not None and holder is not peer and holder.holds(path):
            # A source address is easily forged: it must not take away another's media.
            self.unknown += 1
        elif peer.handle_check(message, path):
            mux_socket.peers[key] = peer
