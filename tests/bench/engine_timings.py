"""Times our engine against our server, an official SDK being the other participant.

`python -m tests.bench.engine_timings` prints one JSON object: medians in milliseconds of
connect() and of connect() to the first frame of a track the SDK has published already, the round
trip of a reliable data packet to the SDK and back (p50, p99), and megabytes per second of a file
in each direction.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from app.engine import rtc
from tests.support.engine_server import ServerUnderTest, our_server
from tests.support.sdk_peer import SdkPeer

CONNECTS = 20
FIRST_FRAMES = 7
ROUND_TRIPS = 300
FILE_BYTES = 20_000_000
# A server passes on one keyframe request a second: closer joins would time that throttle.
BETWEEN_JOINS_S = 1.2


async def time_connects(server: ServerUnderTest) -> list[float]:
    """Milliseconds of `connect`."""
    times = []
    for number in range(CONNECTS):
        room = rtc.Room()
        started_s = time.perf_counter()
        await room.connect(server.url, server.token(f"engine{number}"))
        times.append((time.perf_counter() - started_s) * 1000)
        await room.disconnect()
    return times


async def time_first_frames(server: ServerUnderTest) -> list[float]:
    """Milliseconds from `connect` to the first picture."""
    times = []
    for number in range(FIRST_FRAMES):
        await asyncio.sleep(BETWEEN_JOINS_S)
        room = rtc.Room()
        subscribed: asyncio.Future[rtc.Track] = asyncio.get_running_loop().create_future()
        room.on("track_subscribed", subscribed.set_result)
        started_s = time.perf_counter()
        await room.connect(server.url, server.token(f"viewer{number}"))
        stream = rtc.VideoStream(await subscribed)
        await anext(stream)
        times.append((time.perf_counter() - started_s) * 1000)
        await stream.aclose()
        await room.disconnect()
    return times


async def time_round_trips(server: ServerUnderTest, sdk: SdkPeer) -> list[float]:
    """Milliseconds of a reliable packet to the SDK and back."""
    await sdk.call("echo")
    room = rtc.Room()
    await room.connect(server.url, server.token("pinger"))
    answers: asyncio.Queue[bytes] = asyncio.Queue()
    room.on("data_received", lambda packet: answers.put_nowait(packet.data))
    times = []
    for number in range(ROUND_TRIPS):
        started_s = time.perf_counter()
        await room.local_participant.publish_data(str(number), topic="ping")
        await answers.get()
        times.append((time.perf_counter() - started_s) * 1000)
    await room.disconnect()
    return times


async def time_files(server: ServerUnderTest, sdk: SdkPeer) -> tuple[float, float]:
    """Megabytes per second to the SDK and from it."""
    await sdk.call("listen", topic="files")
    room = rtc.Room()
    await room.connect(server.url, server.token("sender"))
    me = room.local_participant
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.bin"
        path.write_bytes(os.urandom(FILE_BYTES))
        started_s = time.perf_counter()
        await me.send_file(str(path), topic="files")
        await sdk.call("wait_inbox", count=1, within_s=120, deadline_s=125)
        there = FILE_BYTES / 1e6 / (time.perf_counter() - started_s)
    done = asyncio.Event()
    reading: list[asyncio.Task[None]] = []

    async def read(reader: rtc.ByteStreamReader) -> None:
        async for _ in reader:
            pass
        done.set()

    def handle(reader: rtc.ByteStreamReader) -> None:
        reading.append(asyncio.get_running_loop().create_task(read(reader)))

    room.register_byte_stream_handler("files", lambda reader, who: handle(reader))
    started_s = time.perf_counter()
    await sdk.call("send_file", size=FILE_BYTES, topic="files", deadline_s=120)
    await done.wait()
    back = FILE_BYTES / 1e6 / (time.perf_counter() - started_s)
    await room.disconnect()
    return there, back


async def main() -> None:
    """Measure and print."""
    async with our_server() as server, SdkPeer("sdk") as sdk:
        await sdk.connect(server.url, server.token("sdk"))
        connects = await time_connects(server)
        trips = sorted(await time_round_trips(server, sdk))
        there, back = await time_files(server, sdk)
        await sdk.call("publish_video", colour=[200, 40, 40], size=[640, 360], fps=30)
        frames = await time_first_frames(server)
    result = {
        "connect_ms": round(statistics.median(connects), 1),
        "first_frame_ms": round(statistics.median(frames), 1),
        "round_trip_p50_ms": round(trips[len(trips) // 2], 2),
        "round_trip_p99_ms": round(trips[int(len(trips) * 0.99)], 2),
        "file_to_sdk_mb_per_s": round(there, 2),
        "file_from_sdk_mb_per_s": round(back, 2),
        "load_average": os.getloadavg()[0],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    asyncio.run(main())
