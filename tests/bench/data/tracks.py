"""Frames of a data track: how many a second, and what each costs the server.

    python -m tests.bench.data.tracks

Two engines and a server, each in a process of its own. Sizes are those of a sensor (64 bytes),
a pose (1 kB) and a picture (64 kB, five packets). The sender pushes as fast as it is let, in
bursts of what its queue takes. Server CPU comes from `/proc`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from app.engine import rtc
from app.protocol.data_track.depacketizer import Depacketizer
from app.protocol.data_track.packet import parse_packet, with_handle
from app.protocol.data_track.packetizer import Packetizer
from app.server.room.data_downlink import ChannelPace, DataDownlink
from tests.support.server_process import ServerProcess, token_for

SECONDS = 5.0
SIZES = {"64 B": 64, "1 kB": 1_000, "64 kB": 64_000}
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


async def receive(url: str, token: str) -> None:
    """Count the frames of every track that is announced; the parent closes our stdin to end."""
    room = rtc.Room()
    tasks = []
    counts: dict[str, int] = {}

    async def read(track: rtc.RemoteDataTrack) -> None:
        counts[track.info.name] = 0
        async for _ in track.subscribe(buffer_size=10_000):
            counts[track.info.name] += 1

    def on_published(track: rtc.RemoteDataTrack) -> None:
        tasks.append(asyncio.ensure_future(read(track)))

    room.on("data_track_published", on_published)
    await room.connect(url, token)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(counts), flush=True)
    await room.disconnect()


async def measure() -> dict[str, object]:
    figures: dict[str, object] = {"pure": pure_costs()}
    async with ServerProcess() as server:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.bench.data.tracks",
            server.url,
            token_for("reader"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        await child.stdout.readline()
        room = rtc.Room()
        await room.connect(server.url, token_for("writer"))
        sent: dict[str, tuple[int, int, float, float]] = {}
        for name, size in SIZES.items():
            track = await room.local_participant.publish_data_track(name=name)
            await asyncio.sleep(0.5)
            sent[name] = await push(room, track, size, server.pid)
            await track.unpublish()
        await asyncio.sleep(1.0)
        child.stdin.close()
        counts = json.loads(await child.stdout.readline())
        await room.disconnect()
        await child.wait()
    for name, (pushed, left, server_cpu_s, own_cpu_s) in sent.items():
        arrived = max(1, counts.get(name, 0))
        figures[name] = {
            "pushed_per_s": round(pushed / SECONDS),
            "left_per_s": round(left / SECONDS),
            "arrived_per_s": round(arrived / SECONDS),
            "arrived_of_left": round(arrived / max(1, left), 3),
            "server_us_per_frame": round(server_cpu_s / arrived * 1e6),
            "writer_us_per_frame": round(own_cpu_s / max(1, left) * 1e6),
        }
    return figures


async def push(
    room: rtc.Room, track: rtc.LocalDataTrack, size: int, server_pid: int
) -> tuple[int, int, float, float]:
    assert room.session is not None
    sender = room.session.data_tracks.sender
    before, own, server = sender.sent_frames, time.process_time(), cpu_s(server_pid)
    frame = rtc.DataTrackFrame(bytes(size))
    until_s = time.monotonic() + SECONDS
    pushed = 0
    while time.monotonic() < until_s:
        for _ in range(4):
            track.try_push(frame)
            pushed += 1
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.5)
    left = sender.sent_frames - before
    return pushed, left, cpu_s(server_pid) - server, time.process_time() - own


class Nowhere:
    """Data channels that take everything at once."""

    def send_data(self, label: str, data: bytes) -> bool:
        return True

    def data_buffered(self, label: str) -> int:
        return 0


def pure_costs() -> dict[str, float]:
    """Microseconds a frame for splitting, forwarding to one subscriber and joining, no network."""
    costs = {}
    for name, size in SIZES.items():
        rounds = 20_000 if size < 10_000 else 2_000
        packetizer, depacketizer = Packetizer(1, base=0), Depacketizer()
        downlink = DataDownlink(ChannelPace(Nowhere(), time.monotonic), 7)
        payload = bytes(size)
        started = time.process_time()
        frames = [packetizer.packetize(payload, n / 1_000) for n in range(rounds)]
        split = time.process_time()
        for packets in frames:
            for data in packets:
                with_handle(data, b"\0\7")
        exchanged = time.process_time()
        for packets in frames:
            for data in packets:
                if downlink.has_room(data[0]):
                    downlink.send(with_handle(data, downlink.wire_handle))
        forwarded = time.process_time()
        for packets in frames:
            for data in packets:
                depacketizer.push(parse_packet(data))
        joined = time.process_time()
        costs[f"split {name}"] = round((split - started) / rounds * 1e6, 2)
        costs[f"exchange handle {name}"] = round((exchanged - split) / rounds * 1e6, 2)
        costs[f"forward {name}"] = round((forwarded - exchanged) / rounds * 1e6, 2)
        costs[f"join {name}"] = round((joined - forwarded) / rounds * 1e6, 2)
    return costs


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(receive(sys.argv[1], sys.argv[2]))
    else:
        print(json.dumps(asyncio.run(measure()), indent=2))
