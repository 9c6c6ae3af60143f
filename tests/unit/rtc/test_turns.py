"""Data waits for its turn: how much of it one turn takes, and whose."""

from __future__ import annotations

import asyncio

import pytest

from app.rtc import turns
from app.rtc.turns import DATAGRAMS_PER_TURN, TakingTurns


class Peer:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def take(self, datagram: bytes) -> None:
        self.got.append(datagram)


def numbers(count: int) -> list[bytes]:
    return [number.to_bytes(2, "big") for number in range(count)]


async def test_what_fits_in_a_turn_is_handed_over_at_once() -> None:
    taking, peer = TakingTurns(asyncio.get_running_loop()), Peer()
    for datagram in numbers(DATAGRAMS_PER_TURN):
        taking.add(peer.take, datagram)
    taking.run()
    assert peer.got == numbers(DATAGRAMS_PER_TURN)


async def test_a_turn_takes_so_much_and_the_next_ones_the_rest_in_order() -> None:
    taking, peer = TakingTurns(asyncio.get_running_loop()), Peer()
    wanted = numbers(3 * DATAGRAMS_PER_TURN + 1)
    for datagram in wanted:
        taking.add(peer.take, datagram)
    taking.run()
    taking.run()
    assert len(peer.got) == DATAGRAMS_PER_TURN, "the second call was in the same turn"
    turns_taken = 1
    while len(peer.got) < len(wanted):
        before = len(peer.got)
        await asyncio.sleep(0)
        assert len(peer.got) - before <= DATAGRAMS_PER_TURN
        turns_taken += 1
    assert (peer.got, turns_taken) == (wanted, 4)


async def test_a_small_message_does_not_wait_behind_the_large_ones_of_another() -> None:
    taking, bulk, small = TakingTurns(asyncio.get_running_loop()), Peer(), Peer()
    for datagram in numbers(10 * DATAGRAMS_PER_TURN):
        taking.add(bulk.take, datagram)
    taking.add(small.take, b"hello")
    taking.run()
    assert small.got == [b"hello"]
    assert len(bulk.got) == DATAGRAMS_PER_TURN - 1


async def test_who_is_gone_gets_nothing_more_not_even_within_the_turn() -> None:
    taking, other = TakingTurns(asyncio.get_running_loop()), Peer()
    got: list[bytes] = []

    def leave(datagram: bytes) -> None:
        got.append(datagram)
        taking.forget(leave)

    for datagram in numbers(5):
        taking.add(leave, datagram)
    taking.add(other.take, b"x")
    taking.run()
    await asyncio.sleep(0)
    assert got == numbers(1)
    assert other.got == [b"x"]


async def test_too_much_of_one_peer_is_lost_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOST_OF_A_PEER", 10)
    taking, bulk, other = TakingTurns(asyncio.get_running_loop()), Peer(), Peer()
    for datagram in numbers(15):
        taking.add(bulk.take, datagram)
    taking.add(other.take, b"x")
    assert taking.dropped == 5
    taking.run()
    assert (bulk.got, other.got) == (numbers(10), [b"x"])


async def test_a_closed_one_hands_over_nothing() -> None:
    taking, peer = TakingTurns(asyncio.get_running_loop()), Peer()
    for datagram in numbers(2 * DATAGRAMS_PER_TURN):
        taking.add(peer.take, datagram)
    taking.run()
    taking.close()
    await asyncio.sleep(0)
    assert len(peer.got) == DATAGRAMS_PER_TURN
