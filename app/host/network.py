"""Which address this computer has for others, and which pair of ports is free."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Sequence

LOOPBACK = "127.0.0.1"
_PAIR_STEP = 4
_PAIRS = 64


def lan_address() -> str | None:
    """The IPv4 address by which others on the network reach this computer, or None.

    Connecting a UDP socket sends nothing; it only asks the routing table which address a
    packet would leave by. Without a default route the host name's own addresses are tried.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # TEST-NET-2: an address that nobody owns.
            probe.connect(("198.51.100.1", 9))
            candidates = [str(probe.getsockname()[0])]
        except OSError:
            candidates = []
    try:
        entries = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    except OSError:
        entries = []
    candidates += [str(entry[4][0]) for entry in entries]
    return next((address for address in candidates if _is_for_others(address)), None)


def port_pairs(port: int, rtc_port: int) -> Iterator[tuple[int, int]]:
    """Yield pairs to try: the wanted one, then further up in steps; 0 asks for any, once."""
    yield port, rtc_port
    if port == 0 or rtc_port == 0:
        return
    for step in range(1, _PAIRS):
        pair = port + step * _PAIR_STEP, rtc_port + step * _PAIR_STEP
        if max(pair) < 65_536:
            yield pair


def is_pair_free(addresses: Sequence[str], port: int, rtc_port: int) -> bool:
    """Whether both ports can be bound on every address right now.

    Somebody may still take one before the server does; it then says so and the next pair is tried.
    """
    return all(
        _can_bind(address, port, socket.SOCK_STREAM)
        and _can_bind(address, rtc_port, socket.SOCK_DGRAM)
        for address in addresses
    )


def _can_bind(address: str, port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind is socket.SOCK_STREAM:
            # As the server does: a port whose last connections are still fading is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _is_for_others(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    return not (ip.is_loopback or ip.is_unspecified or ip.is_link_local or ip.is_multicast)
