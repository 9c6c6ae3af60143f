"""Round trips of data packets: two engines, and RPC wheel to wheel.

`python -m tests.bench.data.echo` prints one JSON object, milliseconds, p50 and p99. Engines and
wheels have processes of their own in neither case: both ends share one loop, the server does not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

from livekit import rtc as wheel

from app.engine import rtc as engine
from tests.bench.data.peers import add_server_options, percentile, server_for, wheel_token

ROUND_TRIPS = 500
WARM_UP = 20


def figures(name: str, times: list[float]) -> dict[str, float]:
    """p50 and p99 of what followed the warm-up."""
    measured = times[WARM_UP:]
    return {
        f"{name}_p50_ms": round(percentile(measured, 0.5), 2),
        f"{name}_p99_ms": round(percentile(measured, 0.99), 2),
    }


async def time_engines(url: str, key: str, secret: str) -> list[float]:
    """Milliseconds of a reliable packet to another engine and back."""
    asker, echo = engine.Room(), engine.Room()
    answers: asyncio.Queue[bytes] = asyncio.Queue()
    echoes: set[asyncio.Task[None]] = set()

    def on_echo(packet: engine.DataPacket) -> None:
        task = asyncio.get_running_loop().create_task(
            echo.local_participant.publish_data(packet.data)
        )
        echoes.add(task)
        task.add_done_callback(echoes.discard)

    echo.on("data_received", on_echo)
    asker.on("data_received", lambda packet: answers.put_nowait(packet.data))
    await echo.connect(url, wheel_token(key, secret, "echo", "bench-engines"))
    await asker.connect(url, wheel_token(key, secret, "asker", "bench-engines"))
    await asyncio.sleep(0.5)
    times = []
    for number in range(ROUND_TRIPS + WARM_UP):
        begun_s = time.perf_counter()
        await asker.local_participant.publish_data(number.to_bytes(4, "big"))
        await asyncio.wait_for(answers.get(), 30)
        times.append((time.perf_counter() - begun_s) * 1000)
    await asker.disconnect()
    await echo.disconnect()
    return times


async def time_calls(url: str, key: str, secret: str) -> list[float]:
    """Milliseconds of an RPC with an empty payload from wheel to wheel."""
    caller, callee = wheel.Room(), wheel.Room()
    await callee.connect(url, wheel_token(key, secret, "callee", "bench-rpc"))

    async def answer(_call: wheel.RpcInvocationData) -> str:
        return ""

    callee.local_participant.register_rpc_method("empty", answer)
    await caller.connect(url, wheel_token(key, secret, "caller", "bench-rpc"))
    await asyncio.sleep(0.5)
    times = []
    for _ in range(ROUND_TRIPS + WARM_UP):
        begun_s = time.perf_counter()
        await caller.local_participant.perform_rpc(
            destination_identity="callee", method="empty", payload=""
        )
        times.append((time.perf_counter() - begun_s) * 1000)
    await caller.disconnect()
    await callee.disconnect()
    return times


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_server_options(parser)
    options = parser.parse_args()
    async with server_for(options) as (url, key, secret, _):
        result = figures("engine_packet", await time_engines(url, key, secret))
        result |= figures("wheel_rpc", await time_calls(url, key, secret))
    print(json.dumps(result))


if __name__ == "__main__":
    asyncio.run(main())
