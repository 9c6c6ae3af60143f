"""Reliable data from one official SDK to another: megabytes per second, server CPU per megabyte.

`python -m tests.bench.data.throughput [--url URL --key KEY --secret SECRET --pid PID]` prints one
JSON object. Without a URL our own server runs in a process of its own; with one, any server that
is there already, and `--pid` names the process whose CPU time counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

from livekit import rtc

from tests.bench.data.peers import add_server_options, cpu_s, server_for, wheel_token

PACKET_BYTES = 15_000
WARM_UP_BYTES = 2_000_000
MEASURED_BYTES = 30_000_000
AT_ONCE = 4


async def move(source: rtc.Room, arrived: asyncio.Queue[int], total: int) -> None:
    """Send that many bytes and wait until the last one has arrived; order is checked."""
    count = total // PACKET_BYTES
    numbers = iter(range(count))

    async def send() -> None:
        for number in numbers:
            packet = number.to_bytes(4, "big") + bytes(PACKET_BYTES - 4)
            await source.local_participant.publish_data(packet, topic="bulk")

    senders = [asyncio.ensure_future(send()) for _ in range(AT_ONCE)]
    seen = [await asyncio.wait_for(arrived.get(), 60) for _ in range(count)]
    await asyncio.gather(*senders)
    assert sorted(seen) == list(range(count)), "packets are missing or doubled"


async def measure(url: str, key: str, secret: str, pid: int) -> dict[str, float]:
    """Connect two wheels and move the bytes."""
    source, sink = rtc.Room(), rtc.Room()
    arrived: asyncio.Queue[int] = asyncio.Queue()

    @sink.on("data_received")
    def _on_data(packet: rtc.DataPacket) -> None:
        arrived.put_nowait(int.from_bytes(packet.data[:4], "big"))

    await sink.connect(url, wheel_token(key, secret, "sink"))
    await source.connect(url, wheel_token(key, secret, "source"))
    await asyncio.sleep(0.5)
    await move(source, arrived, WARM_UP_BYTES)
    cpu_before_s, begun_s = cpu_s(pid), time.perf_counter()
    await move(source, arrived, MEASURED_BYTES)
    took_s, spent_s = time.perf_counter() - begun_s, cpu_s(pid) - cpu_before_s
    await source.disconnect()
    await sink.disconnect()
    megabytes = MEASURED_BYTES / 1e6
    return {
        "mb_per_s": round(megabytes / took_s, 2),
        "server_cpu_ms_per_mb": round(spent_s * 1000 / megabytes, 1),
    }


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_server_options(parser)
    options = parser.parse_args()
    async with server_for(options) as (url, key, secret, pid):
        print(json.dumps(await measure(url, key, secret, pid)))


if __name__ == "__main__":
    asyncio.run(main())
