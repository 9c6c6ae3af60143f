"""ICE of the client: its sockets, its timer, and the checks behind them.

Host candidates only. Loopback is one of them whenever the server's address belongs to this
machine, so that hosting and joining work without any network. No STUN or TURN server is
contacted: a server that we can reach learns our outer address from the checks themselves.

Everything runs on the loop that opened the agent. After selection `send` is one `sendto`; what
arrives on any socket is handed over, since DTLS and SRTP prove where it comes from.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from typing import Literal

import ifaddr
import structlog

from app.protocol.errors import ProtocolError
from app.protocol.sdp import parse_candidate
from app.rtc.bursts import send_burst
from app.rtc.datagrams import can_segment
from app.rtc.ice_checklist import (
    Address,
    ConsentLost,
    Credentials,
    IceChecklist,
    Output,
    Selected,
    Transmit,
    candidate_priority,
)
from app.rtc.turns import TakingTurns
from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

MAX_LOCAL_ADDRESSES = 12
RECEIVE_BUFFER_BYTES = 2 << 20
DATAGRAM_BYTES = 2048
DRAIN_LIMIT = 128

State = Literal["new", "checking", "connected", "failed", "closed"]


def local_addresses(server_addresses: Sequence[str]) -> list[str]:
    """Return the addresses to gather on, best first, for a server with these addresses."""
    found: list[str] = []
    loopback: list[str] = []
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            text = entry.ip if isinstance(entry.ip, str) else entry.ip[0]
            ip = ipaddress.ip_address(text.partition("%")[0])
            if ip.is_loopback:
                loopback.append(str(ip))
            elif not ip.is_link_local and not ip.is_unspecified:
                found.append(str(ip))
    is_here = any(
        ipaddress.ip_address(text).is_loopback or text in found for text in server_addresses
    )
    if is_here:
        # One loopback address per family is enough, however many aliases there are.
        chosen = [a for a in ("127.0.0.1", "::1") if a in loopback]
        found = chosen + found
    # IPv4 first: servers on a LAN are named by it.
    found.sort(key=lambda text: (":" in text, not ipaddress.ip_address(text).is_loopback))
    return list(dict.fromkeys(found))[:MAX_LOCAL_ADDRESSES]


class IceAgent:
    """One ICE transport."""

    def __init__(
        self,
        *,
        is_controlling: bool,
        on_selected: Callable[[], None],
        on_lost: Callable[[], None],
        on_packet: Callable[[bytes], None],
    ) -> None:
        self._is_controlling = is_controlling
        self._on_selected = on_selected
        self._on_lost = on_lost
        self._on_packet = on_packet
        self._tie_breaker = secrets.randbits(64)
        self._sockets: list[socket.socket] = []
        self._addresses: list[str] = []
        self._tasks = TaskOwner("ice")
        self._receiving: list[asyncio.Task[None]] = []
        self._checklist = self._new_checklist()
        self._timer: asyncio.TimerHandle | None = None
        self._is_restarting = False
        self._server_addresses: tuple[str, ...] = ()
        self._way: tuple[socket.socket, Address] | None = None
        self.state: State = "new"
        self.candidates: tuple[str, ...] = ()
        self.send_errors = 0
        self._can_segment = False
        self._turns: TakingTurns | None = None

    # --- our side ----------------------------------------------------------------------------

    @property
    def ufrag(self) -> str:
        """The user name fragment of the current generation."""
        return self._checklist.credentials.ufrag

    @property
    def pwd(self) -> str:
        """The password of the current generation."""
        return self._checklist.credentials.pwd

    @property
    def round_trip_s(self) -> float:
        """The last measured round trip of a check."""
        return self._checklist.round_trip_s

    def open(self, server_addresses: Sequence[str]) -> None:
        """Bind one socket per local address; WorldError NO_ROUTE when there is none."""
        self._server_addresses = tuple(server_addresses)
        self._turns = TakingTurns(asyncio.get_running_loop())
        self._bind()
        if not self._sockets:
            raise WorldError(Reason.NO_ROUTE, retry=True, detail="no network interface")
        self._describe_locals()

    def _bind(self) -> None:
        """Bind a socket to every address that has none."""
        loop = asyncio.get_running_loop()
        for address in local_addresses(self._server_addresses):
            if address in self._addresses or len(self._sockets) >= 2 * MAX_LOCAL_ADDRESSES:
                continue
            sock = _bound_socket(address)
            if sock is None:
                continue
            index = len(self._sockets)
            self._sockets.append(sock)
            self._addresses.append(address)
            try:
                loop.add_reader(sock.fileno(), self._drain, index, sock)
            except NotImplementedError:
                # Windows' default loop has no readers; there each packet costs a task switch.
                task = spawn(self._receive(index, sock), name="receive", owner=self._tasks)
                self._receiving.append(task)

    def _new_checklist(self) -> IceChecklist:
        return IceChecklist(
            Credentials(secrets.token_hex(4), secrets.token_hex(16)),
            is_controlling=self._is_controlling,
            tie_breaker=self._tie_breaker,
            transaction_id=lambda: secrets.token_bytes(12),
        )

    def _describe_locals(self) -> None:
        lines = []
        for index, (address, sock) in enumerate(zip(self._addresses, self._sockets, strict=True)):
            priority = candidate_priority(65_535 - index)
            self._checklist.add_local(address, priority)
            lines.append(f"{index + 1} 1 udp {priority} {address} {sock.getsockname()[1]} typ host")
        self.candidates = tuple(lines)

    def restart(self) -> None:
        """Begin a new generation; media keeps its way until the new one has been selected.

        Networks may have come since the last one, so their addresses are candidates as well.
        """
        self._bind()
        self._is_restarting = True
        self._checklist = self._new_checklist()
        self._describe_locals()
        self._schedule()

    # --- the peer's side ---------------------------------------------------------------------

    def set_controlling(self, is_controlling: bool) -> None:
        """Choose the role: the offerer controls, and everybody does against a lite server."""
        self._is_controlling = is_controlling
        self._checklist.is_controlling = is_controlling

    def set_remote(self, ufrag: str, pwd: str) -> None:
        """Set the peer's credentials and start checking."""
        if self.state == "closed":
            return
        if self.state == "new":
            self.state = "checking"
        self._checklist.set_remote(Credentials(ufrag, pwd))
        self._schedule()

    def add_remote_candidate(self, line: str) -> None:
        """Add a candidate from SDP or trickle; TCP and other components are ignored."""
        try:
            candidate = parse_candidate(line)
        except ProtocolError as error:
            log.info("candidate ignored", reason=error.reason)
            return
        if candidate.transport != "udp" or candidate.component != 1:
            return
        self._checklist.add_remote(candidate.address, candidate.port, candidate.priority)
        self._schedule()

    # --- datagrams ---------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send on the selected pair. Hot path; what the network refuses is lost, as on a wire."""
        way = self._way
        if way is None:
            return
        try:
            way[0].sendto(data, way[1])
        except OSError:
            self.send_errors += 1

    def send_burst(self, data: bytes, sizes: Sequence[int]) -> None:
        """Send datagrams that lie behind one another on the selected pair. Hot path."""
        way = self._way
        if way is None:
            return
        lost, self._can_segment = send_burst(
            way[0], way[1], data, sizes, can_segment=self._can_segment
        )
        self.send_errors += lost

    async def _receive(self, index: int, sock: socket.socket) -> None:
        """Read packet by packet, where the loop has no readers."""
        loop = asyncio.get_running_loop()
        while self.state != "closed":
            try:
                data, remote = await loop.sock_recvfrom(sock, DATAGRAM_BYTES)
            except OSError:
                continue
            self._take(index, data, remote)

    def _take(self, index: int, data: bytes, remote: tuple[str, int]) -> None:
        if data and data[0] > 3:
            self._on_packet(data)
        elif data:
            self._handle_stun(index, remote, data)

    def _drain(self, index: int, sock: socket.socket) -> None:
        """Read what has arrived: media at once, data in turns (RFC 7983). Hot path."""
        turns = self._turns
        assert turns is not None
        for _ in range(DRAIN_LIMIT):
            try:
                data, remote = sock.recvfrom(DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                # An ICMP error of an earlier datagram; the checks notice a dead peer.
                continue
            if data and 20 <= data[0] < 64:
                turns.add(self._on_packet, data)
                continue
            self._take(index, data, remote)
            if self.state == "closed":
                return
        turns.run()

    def _handle_stun(self, index: int, remote: tuple[str, int], data: bytes) -> None:
        address = (remote[0].partition("%")[0], remote[1])
        self._perform(self._checklist.handle_datagram(index, address, data, time.monotonic()))
        self._schedule()

    # --- driving the checks ------------------------------------------------------------------

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline_s = self._checklist.deadline_s
        if deadline_s is None or self.state == "closed":
            return
        wait_s = max(0.0, deadline_s - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._perform(self._checklist.handle_deadline(time.monotonic()))
        self._schedule()

    def _perform(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Transmit(local, remote, data):
                    try:
                        self._sockets[local].sendto(data, remote)
                    except OSError:
                        self.send_errors += 1
                case Selected(local, remote):
                    self._way = (self._sockets[local], remote)
                    self._can_segment = can_segment(self._sockets[local])
                    was_new = self.state != "connected" or self._is_restarting
                    self.state, self._is_restarting = "connected", False
                    if was_new:
                        self._on_selected()
                case ConsentLost():
                    self.state = "failed"
                    self._on_lost()

    def close(self) -> None:
        """Close every socket. Idempotent."""
        self.state = "closed"
        self._way = None
        if self._turns is not None:
            self._turns.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        for task in self._receiving:
            task.cancel()
        for sock in self._sockets:
            if not self._receiving:
                loop.remove_reader(sock.fileno())
            sock.close()
        self._sockets.clear()


def _bound_socket(address: str) -> socket.socket | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, 0))
    except OSError:
        # An address that is going away or needs a scope: the others do.
        sock.close()
        return None
    return sock
