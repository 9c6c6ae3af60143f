"""Datagrams to one address that lie behind one another, in as few system calls as possible.

What a data channel has to say leaves in bursts of packets of one size. Linux cuts them itself
(UDP_SEGMENT): one call for up to 64 of them. Elsewhere, and where a device refuses, they leave one
by one. Hot path.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from struct import pack

from app.rtc.datagrams import GSO_REFUSALS, SOL_UDP, UDP_SEGMENT

MAX_SEGMENTS = 64
MAX_BURST_BYTES = 65_000


def send_burst(
    sock: socket.socket,
    address: tuple[str, int],
    data: bytes,
    sizes: Sequence[int],
    *,
    can_segment: bool,
) -> tuple[int, bool]:
    """Send datagrams of these sizes; returns how many were lost, and whether cutting works."""
    lost = 0
    count = len(sizes)
    view = memoryview(data)
    first = start = 0
    while first < count:
        size = sizes[first]
        last, end = first + 1, start + size
        if can_segment:
            # A run of one size; a shorter one may end it.
            most = min(MAX_SEGMENTS, MAX_BURST_BYTES // size)
            while last < count and sizes[last] == size and last - first < most:
                last += 1
                end += size
            if last < count and sizes[last] < size and last - first < most:
                end += sizes[last]
                last += 1
        if last - first == 1:
            lost += not _send(sock, address, view[start:end])
        else:
            control = ((SOL_UDP, UDP_SEGMENT, pack("=H", size)),)
            try:
                sock.sendmsg((view[start:end],), control, 0, address)
            except OSError as error:
                if error.errno in GSO_REFUSALS:
                    # Try again from here, one by one.
                    can_segment = False
                    continue
                lost += last - first
        first, start = last, end
    return lost, can_segment


def _send(sock: socket.socket, address: tuple[str, int], data: memoryview) -> bool:
    try:
        sock.sendto(data, address)
    except OSError:
        return False
    return True
