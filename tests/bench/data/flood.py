"""A flood of 5,000 small packets a second beside a call: what it does to the others.

`python -m tests.bench.data.flood` prints one JSON object. An engine in a process of its own (a
wheel does not get that far) floods a room with lossy and then with reliable packets to everybody;
meanwhile a pair of wheels, who get the flood too, time their reliable round trip.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

from livekit import rtc as wheel

from app.engine import rtc as engine
from tests.bench.data.peers import (
    add_server_options,
    cpu_s,
    percentile,
    server_for,
    wheel_token,
)

PACKETS_PER_S = 5_000
SECONDS = 10.0
ROOM = "bench-flood"
TICK_S = 0.002


async def flood(url: str, token: str, *, reliable: bool) -> None:
    """Send until the time is over, and say how many went out."""
    room = engine.Room()
    await room.connect(url, token)
    begun_s, sent = time.perf_counter(), 0
    while (elapsed_s := time.perf_counter() - begun_s) < SECONDS:
        try:
            async with asyncio.timeout(SECONDS - elapsed_s):
                while sent < elapsed_s * PACKETS_PER_S:
                    await room.local_participant.publish_data(bytes(60), reliable=reliable)
                    sent += 1
                await asyncio.sleep(TICK_S)
        except TimeoutError:
            break
    print(json.dumps({"sent_per_s": round(sent / SECONDS)}), flush=True)
    await room.disconnect()


class Pair:
    """Two wheels that play ping-pong."""

    def __init__(self) -> None:
        self.asker, self.echo = wheel.Room(), wheel.Room()
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._echoes: set[asyncio.Task[None]] = set()
        self.echo.on("data_received", self._on_echo)
        self.asker.on("data_received", self._on_answer)

    def _on_echo(self, packet: wheel.DataPacket) -> None:
        if packet.topic == "ping":
            task = asyncio.ensure_future(
                self.echo.local_participant.publish_data(
                    packet.data, topic="pong", destination_identities=["asker"]
                )
            )
            self._echoes.add(task)
            task.add_done_callback(self._echoes.discard)

    def _on_answer(self, packet: wheel.DataPacket) -> None:
        if packet.topic == "pong":
            self.answers.put_nowait(packet.data)

    async def time_until(self, end_s: float) -> list[float]:
        """Milliseconds of each round trip, until then."""
        times = []
        while time.perf_counter() < end_s:
            begun_s = time.perf_counter()
            await self.asker.local_participant.publish_data(
                b"x", topic="ping", destination_identities=["echo"]
            )
            await asyncio.wait_for(self.answers.get(), 30)
            times.append((time.perf_counter() - begun_s) * 1000)
            await asyncio.sleep(0.02)
        return times


async def measure(url: str, key: str, secret: str, pid: int, *, reliable: bool) -> dict[str, float]:
    """One flood."""
    pair = Pair()
    await pair.echo.connect(url, wheel_token(key, secret, "echo", ROOM))
    await pair.asker.connect(url, wheel_token(key, secret, "asker", ROOM))
    await asyncio.sleep(1)
    command = [sys.executable, "-m", "tests.bench.data.flood", "--flood", url]
    command += [wheel_token(key, secret, "flooder", ROOM)]
    process = await asyncio.create_subprocess_exec(
        *command, *(["--reliable"] if reliable else []), stdout=asyncio.subprocess.PIPE
    )
    cpu_before_s, begun_s = cpu_s(pid), time.perf_counter()
    times = await pair.time_until(begun_s + SECONDS)
    busy = (cpu_s(pid) - cpu_before_s) / (time.perf_counter() - begun_s)
    stdout, _ = await process.communicate()
    sent = json.loads(stdout)["sent_per_s"]
    await pair.asker.disconnect()
    await pair.echo.disconnect()
    return {
        "flood_sent_per_s": sent,
        "round_trip_p50_ms": round(percentile(times, 0.5), 2),
        "round_trip_p99_ms": round(percentile(times, 0.99), 2),
        "server_cpu_share": round(busy, 2),
    }


async def main() -> None:
    """Measure and print, or be the flooder."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_server_options(parser)
    parser.add_argument("--flood", nargs=2, metavar=("URL", "TOKEN"))
    parser.add_argument("--reliable", action="store_true")
    options = parser.parse_args()
    if options.flood:
        await flood(*options.flood, reliable=options.reliable)
        return
    async with server_for(options) as (url, key, secret, pid):
        result = {
            "lossy": await measure(url, key, secret, pid, reliable=False),
            "reliable": await measure(url, key, secret, pid, reliable=True),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    asyncio.run(main())
