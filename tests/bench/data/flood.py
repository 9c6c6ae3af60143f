"""A flood of 5,000 small packets a second beside a call: what it does to the others.

`python -m tests.bench.data.flood` prints one JSON object. An engine in a process of its own (a
wheel does not get that far) floods a room with lossy and then with reliable packets to everybody;
meanwhile a pair of wheels, who get the flood too, time their reliable round trip. A second pair,
in its own process, speaks and listens: how much of the sound the jitter buffer had to make up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

import numpy as np
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
TONE_HZ, RATE_HZ, FRAME_SAMPLES = 440.0, 48_000, 480
SOUND_SETTLES_S = 2.0


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


async def hear(url: str, tokens: list[str]) -> None:
    """Speak and listen; say when it is heard, and at the end how much was made up."""
    speaker, listener = wheel.Room(), wheel.Room()
    arrived: asyncio.Queue[wheel.RemoteAudioTrack] = asyncio.Queue()

    @listener.on("track_subscribed")
    def on_track(track: wheel.Track, *_: object) -> None:
        if isinstance(track, wheel.RemoteAudioTrack):
            arrived.put_nowait(track)

    await listener.connect(url, tokens[1])
    await speaker.connect(url, tokens[0])
    source = wheel.AudioSource(RATE_HZ, 1)
    track = wheel.LocalAudioTrack.create_audio_track("tone", source)
    await speaker.local_participant.publish_track(track)
    singing = asyncio.ensure_future(_sing(source))
    heard = await asyncio.wait_for(arrived.get(), 30)
    draining = asyncio.ensure_future(_drain(heard))
    await asyncio.sleep(SOUND_SETTLES_S)
    before = await _samples(heard)
    print(json.dumps("heard"), flush=True)
    await asyncio.sleep(SECONDS)
    after = await _samples(heard)
    percent = 100 * (after[1] - before[1]) / (after[0] - before[0])
    print(json.dumps(round(percent, 2)), flush=True)
    for task in (singing, draining):
        task.cancel()
    await speaker.disconnect()
    await listener.disconnect()


async def _sing(source: wheel.AudioSource) -> None:
    at, number = np.arange(FRAME_SAMPLES), 0
    while True:
        phase = 2 * np.pi * TONE_HZ * (at + number * FRAME_SAMPLES) / RATE_HZ
        samples = (8_000 * np.sin(phase)).astype(np.int16)
        await source.capture_frame(wheel.AudioFrame(samples.tobytes(), RATE_HZ, 1, FRAME_SAMPLES))
        number += 1


async def _drain(track: wheel.RemoteAudioTrack) -> None:
    async for _ in wheel.AudioStream(track):
        pass


async def _samples(track: wheel.RemoteAudioTrack) -> tuple[int, int]:
    """Samples played and made up so far."""
    for report in await track.get_stats():
        if report.HasField("inbound_rtp"):
            stream = report.inbound_rtp.inbound
            return stream.total_samples_received, stream.concealed_samples
    raise RuntimeError("no report on the sound")


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

    def token(identity: str) -> str:
        return wheel_token(key, secret, identity, ROOM)

    sound = await _itself("--hear", url, token("speaker"), token("listener"))
    assert sound.stdout is not None
    await asyncio.wait_for(sound.stdout.readline(), 60)
    kind = ["--reliable"] if reliable else []
    process = await _itself("--flood", url, token("flooder"), *kind)
    cpu_before_s, begun_s = cpu_s(pid), time.perf_counter()
    times = await pair.time_until(begun_s + SECONDS)
    busy = (cpu_s(pid) - cpu_before_s) / (time.perf_counter() - begun_s)
    stdout, _ = await process.communicate()
    sent = json.loads(stdout)["sent_per_s"]
    concealed_percent = json.loads((await sound.communicate())[0])
    await pair.asker.disconnect()
    await pair.echo.disconnect()
    return {
        "concealed_percent": concealed_percent,
        "flood_sent_per_s": sent,
        "round_trip_p50_ms": round(percentile(times, 0.5), 2),
        "round_trip_p99_ms": round(percentile(times, 0.99), 2),
        "server_cpu_share": round(busy, 2),
    }


async def _itself(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.data.flood", *arguments, stdout=asyncio.subprocess.PIPE
    )


async def main() -> None:
    """Measure and print, or be the flooder."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_server_options(parser)
    parser.add_argument("--flood", nargs=2, metavar=("URL", "TOKEN"))
    parser.add_argument("--hear", nargs=3, metavar=("URL", "TOKEN", "TOKEN"))
    parser.add_argument("--reliable", action="store_true")
    options = parser.parse_args()
    if options.flood:
        await flood(*options.flood, reliable=options.reliable)
        return
    if options.hear:
        await hear(options.hear[0], options.hear[1:])
        return
    async with server_for(options) as (url, key, secret, pid):
        result = {
            "lossy": await measure(url, key, secret, pid, reliable=False),
            "reliable": await measure(url, key, secret, pid, reliable=True),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    asyncio.run(main())
