"""aiortc's own SCTP as the other end."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from aiortc import rtcsctptransport
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport

from tests.support.sctp_pair import SctpEnd

DEADLINE_S = 30.0


class _Wire:
    """What aiortc's SCTP needs of DTLS, joined to an end of ours."""

    state = "connected"

    def __init__(self, role: str, loss: float, seed: int) -> None:
        self._role = role
        self._chance = random.Random(seed)
        self._loss = loss
        self._receiver: Any = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.ours = SctpEnd("client" if role == "server" else "server", self.to_theirs)

    def _register_data_receiver(self, receiver: Any) -> None:
        self._receiver = receiver

    def _unregister_data_receiver(self, receiver: Any) -> None:
        self._receiver = None

    async def _send_data(self, data: bytes) -> None:
        if self._chance.random() >= self._loss:
            asyncio.get_running_loop().call_soon(self.ours.transport.feed, data)

    def to_theirs(self, data: bytes) -> None:
        if self._receiver is not None and self._chance.random() >= self._loss:
            task = asyncio.ensure_future(self._receiver._handle_data(data))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


class Meeting:
    """Our end and aiortc's."""

    def __init__(self, role: str, loss: float, seed: int) -> None:
        self.wire = _Wire(role, loss, seed)
        self.ours = self.wire.ours
        self.theirs = RTCSctpTransport(self.wire, 5000)  # type: ignore[arg-type]  # see _Wire
        self.channels: dict[str, RTCDataChannel] = {}
        self.messages: list[bytes | str] = []
        self.theirs.on("datachannel", self.adopt)

    def adopt(self, channel: RTCDataChannel) -> None:
        self.channels[channel.label] = channel
        channel.on("message", self.messages.append)

    async def open(self) -> None:
        self.ours.start()
        await self.theirs.start(RTCSctpCapabilities(maxMessageSize=65_535), 5000)

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - aiortc tells nobody
                await asyncio.sleep(0.005)

    async def close(self) -> None:
        await self.ours.channels.close()
        await self.theirs.stop()
        await asyncio.gather(*self.wire._tasks, return_exceptions=True)


@pytest.fixture(autouse=True)
def _short_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtcsctptransport, "SCTP_RTO_INITIAL", 0.1)
    monkeypatch.setattr(rtcsctptransport, "SCTP_RTO_MIN", 0.1)


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("loss", [0.0, 0.03])
async def test_messages_of_all_sizes_go_both_ways(role: str, loss: float) -> None:
    meeting = Meeting(role, loss, seed=3)
    meeting.ours.channels.create("_reliable")
    await meeting.open()
    await meeting.until(
        lambda: meeting.ours.channels.is_open("_reliable") and "_reliable" in meeting.channels
    )
    sent = [bytes([number]) * size for number, size in enumerate([1, 1_172, 1_173, 9_000, 60_000])]
    for message in sent:
        meeting.ours.channels.send("_reliable", message)
        meeting.channels["_reliable"].send(message)
    await meeting.until(lambda: len(meeting.messages) == len(meeting.ours.messages) == len(sent))
    assert meeting.messages == meeting.ours.messages == sent
    await meeting.close()


async def test_a_channel_of_theirs_opens_is_used_and_is_closed_by_them() -> None:
    meeting = Meeting("client", 0.0, seed=4)
    await meeting.open()
    channel = RTCDataChannel(
        meeting.theirs,
        RTCDataChannelParameters(label="theirs", ordered=False, maxRetransmits=0),
    )
    meeting.adopt(channel)
    await meeting.until(lambda: meeting.ours.channels.is_open("theirs"))
    await meeting.until(lambda: channel.readyState == "open")
    channel.send(b"hello")
    meeting.ours.channels.send("theirs", b"answer")
    await meeting.until(lambda: meeting.messages and meeting.ours.messages)
    assert (meeting.messages, meeting.ours.messages) == ([b"answer"], [b"hello"])

    channel.close()

    await meeting.until(lambda: channel.readyState == "closed")
    assert not meeting.ours.channels.is_open("theirs")
    await meeting.close()


async def test_a_channel_of_ours_is_closed_by_us() -> None:
    meeting = Meeting("server", 0.0, seed=5)
    meeting.ours.channels.create("ours")
    await meeting.open()
    await meeting.until(lambda: meeting.ours.channels.is_open("ours"))
    meeting.ours.channels.send("ours", bytes(60_000))

    meeting.ours.channels.close_channel("ours")

    await meeting.until(lambda: meeting.channels["ours"].readyState == "closed")
    assert meeting.messages == [bytes(60_000)]
    assert not meeting.ours.channels.is_open("ours")
    await meeting.close()


async def test_what_may_not_be_repeated_is_given_up_on_both_sides() -> None:
    meeting = Meeting("server", 0.0, seed=6)
    meeting.ours.channels.create("_lossy", ordered=False, max_retransmits=0)
    meeting.ours.channels.create("_reliable")
    await meeting.open()
    await meeting.until(lambda: len(meeting.channels) == 2)
    await meeting.until(lambda: meeting.ours.channels.is_open("_reliable"))
    await meeting.until(lambda: all(c.readyState == "open" for c in meeting.channels.values()))
    meeting.wire._loss = 0.2
    for number in range(200):
        meeting.ours.channels.send("_lossy", bytes([number]) * 300)
        meeting.channels["_lossy"].send(bytes([number]) * 300)
        if number % 10 == 0:
            await asyncio.sleep(0.002)
    meeting.wire._loss = 0.0
    meeting.ours.channels.send("_reliable", b"end")
    meeting.channels["_reliable"].send("text is not for us")
    meeting.channels["_reliable"].send(b"end")
    await meeting.until(lambda: b"end" in meeting.messages and b"end" in meeting.ours.messages)
    for received in (meeting.messages, meeting.ours.messages):
        assert 20 < len(received) < 202
        assert len(set(received)) == len(received)
    await meeting.close()
