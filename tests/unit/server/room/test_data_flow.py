"""Budgets of senders, and patience with readers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from app.server.room.data_flow import (
    BURST,
    GONE_S,
    HIGH_BYTES,
    LARGE_COST,
    LEAST_READ_BYTES,
    LOW_BYTES,
    MOST_BYTES,
    PATIENCE_S,
    RATE,
    Bucket,
    DataFlow,
)
from app.server.room.data_router import DATA_TRACK, LOSSY, RELIABLE
from tests.support.sctp_pair import run_virtually


class Transport:
    """Data channels whose buffer the test fills."""

    def __init__(self) -> None:
        self.unread = 0
        self.is_held = False
        self.callbacks: list[tuple[int, Callable[[], None]]] = []

    def data_buffered(self, label: str) -> int:
        return self.unread

    def when_data_below(self, label: str, below: int, callback: Callable[[], None]) -> None:
        self.callbacks.append((below, callback))

    def read_down_to(self, unread: int) -> None:
        self.unread = unread
        due = [callback for below, callback in self.callbacks if unread <= below]
        self.callbacks = [item for item in self.callbacks if unread > item[0]]
        for callback in due:
            callback()

    def hold_data(self) -> None:
        self.is_held = True

    def release_data(self) -> None:
        self.is_held = False


class Person:
    """A flow, its transport, and whether it was cut off."""

    def __init__(self, sid: str) -> None:
        self.transport = Transport()
        self.is_cut_off = False
        self.has_socket = True
        self.flow = DataFlow(sid, self.transport, self.cut_off, has_socket=lambda: self.has_socket)

    def cut_off(self) -> None:
        self.is_cut_off = True


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(10.0, 5.0, 0.0)
    assert [bucket.take(1.0, 0.0) >= 0 for _ in range(7)] == [True] * 5 + [False] * 2
    assert bucket.take(0.0, 100.0) == 5.0


def test_lossy_messages_over_budget_are_dropped_and_counted() -> None:
    async def scenario() -> None:
        person = Person("PA_1")
        for label in (LOSSY, DATA_TRACK):
            admitted = sum(person.flow.admits(label, 60) for _ in range(10_000))
            assert admitted == BURST[label]
        assert person.flow.dropped == 20_000 - BURST[LOSSY] - BURST[DATA_TRACK]
        assert not person.flow.admits("another", 60)
        assert not person.transport.is_held
        person.flow.close()

    with structlog.testing.capture_logs() as entries:
        run_virtually(scenario())
    assert [entry["event"] for entry in entries] == ["data over budget dropped"]


def test_reliable_messages_over_budget_wait_and_none_is_dropped() -> None:
    async def scenario() -> float:
        person = Person("PA_1")
        loop = asyncio.get_running_loop()
        began_s, admitted = loop.time(), 0
        while admitted < 10_000:
            while person.transport.is_held:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.001)
            assert person.flow.admits(RELIABLE, 60)
            admitted += 1
        assert person.flow.dropped == 0
        took_s = loop.time() - began_s
        person.flow.close()
        return took_s

    took_s = run_virtually(scenario())
    expected_s = (10_000 - BURST[RELIABLE]) / RATE[RELIABLE]
    assert abs(took_s - expected_s) < 0.5


def test_the_pieces_of_a_transfer_cost_less() -> None:
    async def scenario() -> int:
        person = Person("PA_1")
        admitted = 0
        while not person.transport.is_held:
            person.flow.admits(RELIABLE, 15_000)
            admitted += 1
        person.flow.close()
        return admitted

    assert run_virtually(scenario()) == 1 + BURST[RELIABLE] / LARGE_COST


def test_a_message_to_many_costs_more() -> None:
    async def scenario() -> int:
        person = Person("PA_1")
        admitted = 0
        while person.flow.admits(LOSSY, 60):
            person.flow.note_receivers(LOSSY, 41)
            admitted += 1
        person.flow.close()
        return admitted

    with structlog.testing.capture_logs():
        assert run_virtually(scenario()) == 1 + BURST[LOSSY] // 6


def test_senders_wait_for_a_reader_who_has_much_unread() -> None:
    async def scenario() -> None:
        reader, first, second = Person("PA_r"), Person("PA_1"), Person("PA_2")
        reader.transport.unread = HIGH_BYTES
        reader.flow.note_sent(first.flow)
        assert not first.transport.is_held
        reader.transport.unread = HIGH_BYTES + 1
        reader.flow.note_sent(first.flow)
        reader.flow.note_sent(second.flow)
        reader.flow.note_sent(None)
        assert first.transport.is_held
        assert second.transport.is_held
        assert not reader.transport.is_held

        reader.transport.read_down_to(LOW_BYTES)

        assert [p.transport.is_held for p in (first, second)] == [False, False]
        assert not reader.is_cut_off
        for person in (reader, first, second):
            person.flow.close()

    run_virtually(scenario())


def test_a_sender_goes_on_only_when_everybody_has_read() -> None:
    async def scenario() -> None:
        sender, one, two = Person("PA_s"), Person("PA_1"), Person("PA_2")
        for reader in (one, two):
            reader.transport.unread = HIGH_BYTES + 1
            reader.flow.note_sent(sender.flow)
        one.transport.read_down_to(0)
        assert sender.transport.is_held
        # A reader who leaves is waited for no longer.
        two.flow.close()
        assert not sender.transport.is_held
        one.flow.close()
        sender.flow.close()

    run_virtually(scenario())


def test_who_hardly_reads_is_cut_off_and_who_reads_slowly_is_not() -> None:
    async def scenario() -> None:
        slow, stuck, sender = Person("PA_slow"), Person("PA_stuck"), Person("PA_s")
        for reader in (slow, stuck):
            reader.transport.unread = 4 * HIGH_BYTES
            reader.flow.note_sent(sender.flow)
        for _ in range(5):
            slow.transport.read_down_to(slow.transport.unread - LEAST_READ_BYTES - 1)
            stuck.transport.read_down_to(stuck.transport.unread - 1_000)
            await asyncio.sleep(PATIENCE_S)
        assert (slow.is_cut_off, stuck.is_cut_off) == (False, True)
        assert sender.transport.is_held
        slow.transport.read_down_to(0)
        assert not sender.transport.is_held
        slow.flow.close()
        sender.flow.close()

    with structlog.testing.capture_logs() as entries:
        run_virtually(scenario())
    assert [e["event"] for e in entries] == ["participant does not read its data"]


def test_nobody_waits_long_for_who_lost_the_socket_and_reads_nothing() -> None:
    async def scenario() -> None:
        killed, back, alive, sender = (Person(f"PA_{n}") for n in range(4))
        for reader in (killed, back, alive):
            reader.transport.unread = 4 * HIGH_BYTES
            reader.flow.note_sent(sender.flow)
            reader.has_socket = False
        for _ in range(3):
            await asyncio.sleep(GONE_S / 2)
            # Very slowly, and by media alone; and one whose socket is there again.
            alive.transport.read_down_to(alive.transport.unread - 1)
            back.has_socket = True
        assert [p.is_cut_off for p in (killed, back, alive)] == [True, False, False]
        # What the others are given stays what it was: they hardly read.
        await asyncio.sleep(PATIENCE_S - 1.5 * GONE_S - 1)
        assert not back.is_cut_off
        await asyncio.sleep(3)
        assert back.is_cut_off
        assert alive.is_cut_off
        assert not sender.transport.is_held
        sender.flow.close()

    with structlog.testing.capture_logs() as entries:
        run_virtually(scenario())
    assert [e["event"] for e in entries] == ["participant does not read its data"] * 3


def test_nobody_is_kept_more_for_than_the_limit() -> None:
    async def scenario() -> None:
        reader = Person("PA_r")
        reader.transport.unread = MOST_BYTES + 1
        reader.flow.note_sent(None)
        assert reader.is_cut_off

    with structlog.testing.capture_logs() as entries:
        run_virtually(scenario())
    assert [e["event"] for e in entries] == ["participant does not read its data"]
