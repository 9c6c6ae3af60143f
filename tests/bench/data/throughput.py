"""Reliable data from one official SDK to another: megabytes per second, server CPU per megabyte.

`python -m tests.bench.data.throughput [--url URL --key KEY --secret SECRET --pid PID]` prints one
JSON object. Without a URL our own server runs in a process of its own; with one, any server that
is there already, and `--pid` names the process whose CPU time counts. Each wheel has a process of
its own: two in one share libwebrtc's network thread and Python's lock, and measure those.

What two wheels reach says little of a server: each prints every SCTP packet in hexadecimal into a
log that nobody reads, 0.7-0.9 s of CPU a megabyte, so two cores carry about 1 MB/s whatever lies
between. `--browsers` measures `livekit-client` in two Chromiums, who print nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from livekit import rtc

from tests.bench.data.peers import add_server_options, cpu_s, server_for, wheel_token
from tests.support.browser_peer import BrowserPeer
from tests.support.child import Child, let_go, take_child

PACKET_BYTES = 15_000
WARM_UP_BYTES = 2_000_000
MEASURED_BYTES = 30_000_000
AT_ONCE = 4
DEADLINE_S = 120.0


async def send(url: str, token: str) -> None:
    """The sending wheel: for every line with a number of bytes, send them."""
    room = rtc.Room()
    await room.connect(url, token)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        numbers = iter(range(int(line) // PACKET_BYTES))

        async def send_some(numbers: Iterator[int]) -> None:
            for number in numbers:
                packet = number.to_bytes(4, "big") + bytes(PACKET_BYTES - 4)
                await room.local_participant.publish_data(packet, topic="bulk")

        await asyncio.gather(*(send_some(numbers) for _ in range(AT_ONCE)))
    await room.disconnect()


async def receive(url: str, token: str) -> None:
    """The receiving wheel: for every line with a number of bytes, say when they are there."""
    room = rtc.Room()
    arrived: asyncio.Queue[int] = asyncio.Queue()

    @room.on("data_received")
    def _on_data(packet: rtc.DataPacket) -> None:
        arrived.put_nowait(int.from_bytes(packet.data[:4], "big"))

    await room.connect(url, token)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        count = int(line) // PACKET_BYTES
        seen = [await asyncio.wait_for(arrived.get(), DEADLINE_S) for _ in range(count)]
        assert sorted(seen) == list(range(count)), "packets are missing or doubled"
        print("there", flush=True)
    await room.disconnect()


class Wheel:
    """One of them, in its process."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self.pid = child.pid

    @classmethod
    async def start(cls, role: str, url: str, token: str) -> Wheel:
        """Start one and wait until it has joined."""
        command = (sys.executable, "-m", "tests.bench.data.throughput", "--role", role)
        wheel = cls(await take_child((*command, "--url", url, "--token", token)))
        await wheel.expect("ready")
        return wheel

    async def tell(self, size: int) -> None:
        """Let it move so many bytes."""
        await self._child.write_line(str(size))

    async def expect(self, word: str) -> None:
        """Wait until it says that."""
        line = await asyncio.wait_for(self._child.read_line(), DEADLINE_S)
        assert line.decode().strip() == word, (line, self._child.words)

    async def stop(self) -> None:
        """Let it leave."""
        await let_go(self._child)


async def move(source: Wheel, sink: Wheel, size: int) -> None:
    """Send that many bytes and wait until the last one has arrived."""
    await sink.tell(size)
    await source.tell(size)
    await sink.expect("there")


async def measure(url: str, key: str, secret: str, pid: int) -> dict[str, float]:
    """Connect two wheels and move the bytes."""
    sink = await Wheel.start("receive", url, wheel_token(key, secret, "sink"))
    source = await Wheel.start("send", url, wheel_token(key, secret, "source"))
    await asyncio.sleep(0.5)
    await move(source, sink, WARM_UP_BYTES)
    pids = {"server": pid, "source": source.pid, "sink": sink.pid}
    before_s = {name: cpu_s(pid) for name, pid in pids.items()}
    begun_s = time.perf_counter()
    await move(source, sink, MEASURED_BYTES)
    took_s = time.perf_counter() - begun_s
    spent_s = {name: cpu_s(pid) - before_s[name] for name, pid in pids.items()}
    await source.stop()
    await sink.stop()
    megabytes = MEASURED_BYTES / 1e6
    cpu = {f"{name}_cpu_ms_per_mb": round(s * 1000 / megabytes, 1) for name, s in spent_s.items()}
    return {"mb_per_s": round(megabytes / took_s, 2), **cpu}


async def measure_browsers(url: str, key: str, secret: str, pid: int) -> dict[str, float]:
    """Let two Chromiums with `livekit-client` do it."""
    page = str(Path(__file__).with_name("throughput.html"))
    async with (
        BrowserPeer(url, wheel_token(key, secret, "sink"), page=page) as sink,
        BrowserPeer(url, wheel_token(key, secret, "source"), page=page),
    ):
        await sink.expect("warm", deadline_s=DEADLINE_S)
        before_s, begun_s = cpu_s(pid), time.perf_counter()
        await sink.expect("there", deadline_s=DEADLINE_S)
        took_s, spent_s = time.perf_counter() - begun_s, cpu_s(pid) - before_s
    megabytes = MEASURED_BYTES / 1e6
    return {
        "mb_per_s": round(megabytes / took_s, 2),
        "server_cpu_ms_per_mb": round(spent_s * 1000 / megabytes, 1),
    }


async def main() -> None:
    """Measure and print, or be one of the wheels."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_server_options(parser)
    parser.add_argument("--role", choices=("send", "receive"))
    parser.add_argument("--token", default="")
    parser.add_argument("--browsers", action="store_true", help="Chromium instead of wheels")
    options = parser.parse_args()
    if options.role is not None:
        await (send if options.role == "send" else receive)(options.url, options.token)
        return
    async with server_for(options) as (url, key, secret, pid):
        measuring = measure_browsers if options.browsers else measure
        print(json.dumps(await measuring(url, key, secret, pid)))


if __name__ == "__main__":
    asyncio.run(main())
