from __future__ import annotations

import asyncio

import pytest
from livekit.protocol import models as lk_models

from app.engine.data_lane import LOSSY_BUFFER_BYTES, RELIABLE_BUFFER_BYTES, DataLane
from app.runtime.errors import Reason, WorldError


class Wire:
    """Data channels that keep what is queued until the test lets it go."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.buffered: dict[str, int] = {}
        self.is_drained = asyncio.Event()

    def buffered_bytes(self, label: str) -> int:
        return self.buffered.get(label, 0)

    async def drain(self, label: str, below_bytes: int) -> None:
        await self.is_drained.wait()
        self.buffered[label] = below_bytes

    def send_message(self, label: str, data: bytes) -> None:
        self.sent.append((label, data))


def lane(wire: Wire) -> tuple[DataLane, list[tuple[bytes, bool]]]:
    delivered: list[tuple[bytes, bool]] = []

    async def channels(_: str) -> Wire:
        return wire

    def deliver(packet: lk_models.DataPacket, reliable: bool) -> None:
        delivered.append((packet.user.payload, reliable))

    return DataLane(open_channel=channels, deliver=deliver), delivered


def packet(payload: bytes, *, sequence: int = 0, sid: str = "PA_1") -> lk_models.DataPacket:
    user = lk_models.UserPacket(payload=payload)
    return lk_models.DataPacket(user=user, sequence=sequence, participant_sid=sid)


def sequences(wire: Wire) -> list[int]:
    return [lk_models.DataPacket.FromString(data).sequence for _, data in wire.sent]


async def test_reliable_packets_are_numbered_from_one_and_again_after_a_restart() -> None:
    wire = Wire()
    sender, _ = lane(wire)
    await sender.send_reliable(packet(b"a"))
    await sender.send_reliable(packet(b"b"))
    sender.restart()
    await sender.send_reliable(packet(b"c"))

    assert [label for label, _ in wire.sent] == ["_reliable"] * 3
    assert sequences(wire) == [1, 2, 1]


async def test_a_full_buffer_makes_reliable_senders_wait_and_numbers_in_order() -> None:
    wire = Wire()
    wire.buffered["_reliable"] = RELIABLE_BUFFER_BYTES + 1
    sender, _ = lane(wire)
    waiting = asyncio.gather(*(sender.send_reliable(packet(b"x")) for _ in range(3)))
    await asyncio.sleep(0)
    assert wire.sent == []
    wire.is_drained.set()
    await waiting

    assert sequences(wire) == [1, 2, 3]


async def test_a_full_buffer_drops_lossy_packets_and_counts_them() -> None:
    wire = Wire()
    sender, _ = lane(wire)
    await sender.send_lossy(packet(b"a", sequence=9))
    wire.buffered["_lossy"] = LOSSY_BUFFER_BYTES + 1
    await sender.send_lossy(packet(b"b"))

    assert sequences(wire) == [0]
    assert sender.dropped_lossy == 1


async def test_too_large_packets_are_refused_and_take_no_number() -> None:
    wire = Wire()
    sender, _ = lane(wire)
    for send in (sender.send_reliable, sender.send_lossy):
        with pytest.raises(WorldError) as caught:
            await send(packet(bytes(64_001)))
        assert caught.value.reason is Reason.TOO_LARGE
    await sender.send_reliable(packet(b"small"))

    assert sequences(wire) == [1]


def test_a_repeated_reliable_packet_is_delivered_once_and_a_lossy_one_always() -> None:
    receiver, delivered = lane(Wire())
    first = packet(b"a", sequence=1).SerializeToString()
    receiver.handle_message("_reliable", first)
    receiver.handle_message("_reliable", first)
    receiver.handle_message("_lossy", packet(b"l").SerializeToString())
    receiver.handle_message("_lossy", packet(b"l").SerializeToString())
    receiver.restart()
    receiver.handle_message("_reliable", first)

    assert delivered == [(b"a", True), (b"l", False), (b"l", False), (b"a", True)]


def test_other_channels_and_broken_packets_are_dropped() -> None:
    receiver, delivered = lane(Wire())
    receiver.handle_message("_data_track", packet(b"a").SerializeToString())
    receiver.handle_message("other", packet(b"a").SerializeToString())
    receiver.handle_message("_reliable", b"\xff\xff\xff")

    assert delivered == []
