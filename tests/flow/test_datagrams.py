"""Batches through the kernel: segmented, one by one, and when segmenting is refused."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from app.rtc.datagrams import (
    SLOT_BYTES,
    Destination,
    ReceiveSlots,
    SegmentSender,
    can_segment,
    raw_address,
    readable_address,
)
from app.rtc.srtp import PacketArea


class Wire:
    def __init__(self, receivers: int) -> None:
        self.out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.out.bind(("127.0.0.1", 0))
        self.receivers = []
        for _ in range(receivers):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(30)
            self.receivers.append(sock)
        self.area = PacketArea(1 << 16)

    def destinations(self, *, segment: bool) -> list[Destination]:
        return [
            Destination(
                self.out, raw_address(socket.AF_INET, sock.getsockname()), can_segment=segment
            )
            for sock in self.receivers
        ]

    def close(self) -> None:
        for sock in (self.out, *self.receivers):
            sock.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire(3)
    yield wire
    wire.close()


@pytest.mark.parametrize(
    ("batched", "segment"), [(None, True), (None, False), (False, False)], ids=["gso", "mmsg", "to"]
)
def test_every_destination_gets_its_own_packets(
    wire: Wire, batched: bool | None, segment: bool
) -> None:
    sender = SegmentSender(wire.area, batched=batched)
    stride, sizes = 32, [32, 32, 20]
    for i in range(3):
        for j in range(3):
            at = (3 * i + j) * stride
            wire.area.view[at : at + stride] = bytes([16 * i + j]) * stride
    everybody = sender.prepare(wire.destinations(segment=segment and can_segment(wire.out)))

    sender.send(everybody, 0, 3, stride, sizes)

    for i, sock in enumerate(wire.receivers):
        expected = [bytes([16 * i + j]) * sizes[j] for j in range(3)]
        assert [sock.recv(100) for _ in range(3)] == expected
    # A part of them, from the middle: the area's first block is theirs now.
    sender.send(everybody, 2, 1, stride, sizes)
    assert [wire.receivers[2].recv(100) for _ in range(3)] == [
        bytes([j]) * sizes[j] for j in range(3)
    ]
    assert (sender.dropped, sender.datagrams) == (0, 12)


def test_a_destination_that_refuses_segments_gets_single_datagrams(wire: Wire) -> None:
    if not can_segment(wire.out):
        pytest.skip("the kernel does not know UDP_SEGMENT")
    sender = SegmentSender(wire.area)
    everybody = sender.prepare(wire.destinations(segment=True))
    # No kernel cuts a datagram into 200 segments: EINVAL, as from a device that cannot.
    sender.send(everybody, 0, 3, 16, [16] * 200)
    for sock in wire.receivers:
        assert [len(sock.recv(100)) for _ in range(200)] == [16] * 200
    assert sender.fallbacks == 3
    assert everybody.has_refusal
    assert sender.dropped == 0
    again = sender.prepare(everybody.destinations)
    assert again.headers is None


@pytest.mark.parametrize("batched", [None, False])
def test_slots_say_what_came_from_whom(wire: Wire, batched: bool | None) -> None:
    slots = ReceiveSlots(batched=batched)
    sink = wire.receivers[0]
    sink.setblocking(False)
    assert slots.receive(sink, sink.fileno(), 8) == 0
    for i in range(5):
        wire.out.sendto(bytes([i]) * (i + 1), sink.getsockname())
    seen: list[tuple[bytes, tuple[str, int]]] = []
    while count := slots.receive(sink, sink.fileno(), 8):
        for i in range(count):
            at = i * SLOT_BYTES
            data = bytes(slots.area.view[at : at + slots.sizes[i]])
            seen.append((data, readable_address(slots.keys[i])))
    assert seen == [(bytes([i]) * (i + 1), wire.out.getsockname()) for i in range(5)]


@pytest.mark.parametrize(
    ("family", "address"),
    [(socket.AF_INET, ("192.0.2.7", 5)), (socket.AF_INET6, ("2001:db8::7", 65_535))],
)
def test_addresses_survive_the_kernels_form(family: int, address: tuple[str, int]) -> None:
    assert readable_address(raw_address(family, address)) == address
