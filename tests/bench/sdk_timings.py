"""Times the official wheel against a LiveKit server: run in its own process.

`python sdk_timings.py URL KEY SECRET` prints one JSON object: medians in milliseconds of
connect(), of connect() to the first frame of a track already published, and the round trip of a
reliable data packet between two wheels (p50, p99).
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time

from livekit import api, rtc

CONNECTS = 20
FIRST_FRAMES = 5
ROUND_TRIPS = 300
WIDTH, HEIGHT = 640, 360


def token(key: str, secret: str, room: str, identity: str) -> str:
    grant = api.VideoGrants(room_join=True, room=room)
    return api.AccessToken(key, secret).with_identity(identity).with_grants(grant).to_jwt()


async def time_connects(url: str, key: str, secret: str) -> list[float]:
    times = []
    for n in range(CONNECTS):
        room = rtc.Room()
        begun = time.perf_counter()
        await room.connect(url, token(key, secret, "bench-connect", f"p{n}"))
        times.append((time.perf_counter() - begun) * 1000)
        await room.disconnect()
    return times


async def publish_forever(source: rtc.VideoSource) -> None:
    picture = bytearray(WIDTH * HEIGHT * 3 // 2)
    n = 0
    while True:
        n += 1
        picture[: WIDTH * HEIGHT] = bytes([16 + n % 200]) * (WIDTH * HEIGHT)
        source.capture_frame(rtc.VideoFrame(WIDTH, HEIGHT, rtc.VideoBufferType.I420, picture))
        await asyncio.sleep(1 / 30)


async def note_first_frame(track: rtc.Track, seen: asyncio.Future[float]) -> None:
    async for _ in rtc.VideoStream(track):
        seen.set_result(time.perf_counter())
        return


async def time_first_frames(url: str, key: str, secret: str) -> list[float]:
    publisher = rtc.Room()
    await publisher.connect(url, token(key, secret, "bench-frame", "publisher"))
    source = rtc.VideoSource(WIDTH, HEIGHT)
    track = rtc.LocalVideoTrack.create_video_track("camera", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=False)
    await publisher.local_participant.publish_track(track, options)
    sending = asyncio.ensure_future(publish_forever(source))
    await asyncio.sleep(3)
    times = []
    for n in range(FIRST_FRAMES):
        room = rtc.Room()
        seen: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        readers: list[asyncio.Task[None]] = []

        def on_track(
            track: rtc.Track,
            *_: object,
            seen: asyncio.Future[float] = seen,
            readers: list[asyncio.Task[None]] = readers,
        ) -> None:
            readers.append(asyncio.ensure_future(note_first_frame(track, seen)))

        room.on("track_subscribed", on_track)
        begun = time.perf_counter()
        await room.connect(url, token(key, secret, "bench-frame", f"viewer{n}"))
        times.append((await asyncio.wait_for(seen, 30) - begun) * 1000)
        await room.disconnect()
        await asyncio.sleep(1.2)  # beyond the keyframe throttle: each viewer pays its own keyframe
    sending.cancel()
    await publisher.disconnect()
    return times


async def time_round_trips(url: str, key: str, secret: str) -> list[float]:
    asker, echo = rtc.Room(), rtc.Room()
    answers: asyncio.Queue[bytes] = asyncio.Queue()
    echoes: set[asyncio.Task[None]] = set()

    @echo.on("data_received")
    def _on_echo(packet: rtc.DataPacket) -> None:
        task = asyncio.ensure_future(echo.local_participant.publish_data(packet.data))
        echoes.add(task)
        task.add_done_callback(echoes.discard)

    @asker.on("data_received")
    def _on_answer(packet: rtc.DataPacket) -> None:
        answers.put_nowait(packet.data)

    await echo.connect(url, token(key, secret, "bench-data", "echo"))
    await asker.connect(url, token(key, secret, "bench-data", "asker"))
    await asyncio.sleep(0.5)
    times = []
    for n in range(ROUND_TRIPS + 20):
        begun = time.perf_counter()
        await asker.local_participant.publish_data(n.to_bytes(4, "big"))
        await asyncio.wait_for(answers.get(), 30)
        times.append((time.perf_counter() - begun) * 1000)
    await asker.disconnect()
    await echo.disconnect()
    return times[20:]


async def main(url: str, key: str, secret: str) -> None:
    connects = await time_connects(url, key, secret)
    frames = await time_first_frames(url, key, secret)
    trips = sorted(await time_round_trips(url, key, secret))
    print(
        json.dumps(
            {
                "connect_ms": round(statistics.median(connects), 1),
                "first_frame_ms": round(statistics.median(frames), 1),
                "data_p50_ms": round(trips[len(trips) // 2], 2),
                "data_p99_ms": round(trips[len(trips) * 99 // 100], 2),
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
