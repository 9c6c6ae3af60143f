"""The association over wires that lose, repeat and delay, in virtual time."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.support.sctp_pair import INIT, INIT_ACK, SctpPair, chunk_type, run_virtually

TRIP_S = 0.01


def test_it_opens_although_both_first_answers_were_lost() -> None:
    lost: list[str] = []

    def wire(sender: str, packet: bytes) -> list[float]:
        if chunk_type(packet) == INIT_ACK and sender not in lost:
            lost.append(sender)
            return []
        return [TRIP_S]

    async def scenario() -> float:
        pair = SctpPair(wire)
        took_s = await pair.open()
        await pair.close()
        return took_s

    took_s = run_virtually(scenario())

    assert sorted(lost) == ["client", "server"]
    assert took_s < 1.0


@pytest.mark.parametrize("late", ["client", "server"])
def test_a_repeated_init_does_not_set_the_receiver_back(late: str) -> None:
    def wire(sender: str, packet: bytes) -> list[float]:
        # The copy comes when data has been exchanged already.
        is_repeated = sender == late and chunk_type(packet) == INIT
        return [TRIP_S, 2.0] if is_repeated else [TRIP_S]

    async def scenario() -> tuple[int, int]:
        pair = SctpPair(wire)
        await pair.open()
        for _ in range(3):
            # More than a window, so that it takes acknowledgements to arrive.
            pair.client.channels.send("_reliable", bytes(60_000))
            pair.server.channels.send("_reliable", bytes(60_000))
            await asyncio.sleep(1.5)
        await pair.close()
        return len(pair.server.messages), len(pair.client.messages)

    assert run_virtually(scenario()) == (3, 3)


def test_answers_slower_than_the_timer_do_not_double_the_traffic() -> None:
    async def scenario() -> tuple[float, int]:
        pair = SctpPair(lambda _sender, _packet: [0.5])
        await pair.open()
        before = pair.packets
        for _ in range(32):
            pair.client.channels.send("_reliable", bytes(16_000))
        took_s = await pair.until(lambda: len(pair.server.messages) == 32, 600)
        await pair.close()
        return took_s, pair.packets - before

    took_s, packets = run_virtually(scenario())

    # 448 packets of data, and an answer to each.
    assert packets < 1_100
    assert took_s < 40


@pytest.mark.parametrize("seed", range(40))
def test_everything_arrives_in_order_whatever_the_wire_does(seed: int) -> None:
    chance = random.Random(seed)
    loss = chance.choice([0.0, 0.05, 0.2])
    late_s = chance.choice([0.05, 0.5, 2.0])

    def wire(_sender: str, _packet: bytes) -> list[float]:
        arrivals: list[float] = []
        for _ in range(2 if chance.random() < 0.05 else 1):
            if chance.random() >= loss:
                wait_s = late_s * chance.random() if chance.random() < 0.2 else 0.0
                arrivals.append(TRIP_S + wait_s)
        return arrivals

    messages = [bytes([number]) * chance.choice([1, 900, 20_000]) for number in range(6)]

    async def scenario() -> tuple[list[bytes], list[bytes]]:
        pair = SctpPair(wire)
        await pair.open()
        for message in messages:
            pair.client.channels.send("_reliable", message)
            pair.server.channels.send("_reliable", message)
        count = len(messages)
        await pair.until(lambda: len(pair.server.messages) == count, 300)
        await pair.until(lambda: len(pair.client.messages) == count, 300)
        await pair.close()
        return pair.server.messages, pair.client.messages

    print(f"seed {seed}: loss {loss}, up to {late_s} s late")
    assert run_virtually(scenario()) == (messages, messages)


class SlowReceiver:
    """A wire to the server with so much room before it: one packet at a time, the rest is lost."""

    def __init__(self, *, packets_per_s: float, room: int) -> None:
        self.lost = 0
        self.carried = 0
        self.longest_s = 0.0
        self._packet_s = 1 / packets_per_s
        self._room_s = room / packets_per_s
        self._free_at_s = 0.0

    def __call__(self, sender: str, packet: bytes) -> list[float]:
        if sender == "server" or len(packet) < 500:
            return [TRIP_S]
        now_s = asyncio.get_running_loop().time()
        begins_s = max(now_s, self._free_at_s)
        if begins_s - now_s > self._room_s:
            self.lost += 1
            return []
        self.carried += 1
        self._free_at_s = begins_s + self._packet_s
        self.longest_s = max(self.longest_s, self._free_at_s - now_s)
        return [self._free_at_s - now_s + TRIP_S]


async def _to_a_slow_receiver(wire: SlowReceiver, count: int) -> float:
    pair = SctpPair(wire)
    await pair.open()
    for _ in range(count):
        pair.client.channels.send("_reliable", bytes(15_000))
    took_s = await pair.until(lambda: len(pair.server.messages) == count, 600)
    await pair.close()
    return took_s


@pytest.mark.parametrize("room", [40, 200, 800])
def test_what_was_sent_again_is_not_sent_again_before_it_can_have_arrived(room: int) -> None:
    wire = SlowReceiver(packets_per_s=1_000, room=room)
    took_s = run_virtually(_to_a_slow_receiver(wire, 300))

    # 300 messages of 13 packets, at 1,000 packets a second.
    assert wire.carried < 3_900 * 1.02, "more was repeated than was lost"
    assert wire.lost < 3_900 * 0.1
    assert took_s < 3.9 * 1.5


def test_a_queue_before_a_slow_receiver_stays_short() -> None:
    wire = SlowReceiver(packets_per_s=1_000, room=800)
    took_s = run_virtually(_to_a_slow_receiver(wire, 300))

    assert wire.lost == 0
    assert wire.longest_s < 0.4
    assert took_s < 3.9 * 1.1


def test_a_path_that_becomes_longer_is_filled_all_the_same() -> None:
    async def scenario() -> float:
        trip_s = 0.005
        pair = SctpPair(lambda _sender, _packet: [trip_s])
        await pair.open()
        for _ in range(20):
            pair.client.channels.send("_reliable", bytes(15_000))
        await pair.until(lambda: len(pair.server.messages) == 20, 60)
        trip_s = 0.15
        for _ in range(8_000):
            pair.client.channels.send("_reliable", bytes(15_000))
        took_s = await pair.until(lambda: len(pair.server.messages) == 8_020, 600)
        await pair.close()
        return took_s

    # 120 MB: 36 s with the largest window, 130 s with the one that the short path had.
    assert run_virtually(scenario()) < 90
