"""What a meeting of nine senders costs the app, network included: run it in its own process.

`python -m tests.bench.ui.window_nine [SECONDS]` starts the real server process and a process with
nine headless senders of recorded 1280x720 VP8 at 30 fps, joins with the real engine and window
(offscreen, wide enough for tiles of 374x210 beside one's own) and prints one JSON object: own
CPU per painted frame in milliseconds (user + system of the app's process), the Qt thread's
share, its stall (own CPU time between two returns to Qt's loop), and the memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import structlog
from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.protocol.token import VideoGrant, issue_token

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

ROOT = Path(__file__).resolve().parents[3]
SENDERS = 9
WINDOW = (1550, 800)
KEY, SECRET = "bench", "bench-secret-of-at-least-32-bytes"
FPS = 30
WARM_UP_S = 4.0
DEADLINE_S = 60.0


def token(identity: str) -> str:
    """A token for the server of this run."""
    grant = VideoGrant(room_join=True, room="bench", can_update_own_metadata=True)
    return issue_token(
        api_key=KEY,
        api_secret=SECRET,
        identity=identity,
        name=identity.title(),
        now_s=time.time(),
        grant=grant,
    )


# -- the senders ----------------------------------------------------------------------------


class Deaf:
    """Hears nothing of what a session reports."""

    def __getattr__(self, _name: str) -> object:
        return lambda *_args, **_kwargs: None


async def send(url: str) -> None:
    """Nine sessions that repeat two seconds of video each, until stdin ends."""
    from app.engine.session import Session, SessionOptions, VideoRtpSender
    from tests.bench.ui.paint_nine import BITRATE_BPS, encode_loop

    loops = [encode_loop(name) for name in ("Mia", "Kai", "Lena")]
    senders: list[VideoRtpSender] = []
    sessions = []
    for number in range(SENDERS):
        session = Session(Deaf())  # type: ignore[arg-type]  # answers to every name
        options = SessionOptions(auto_subscribe=False)
        await session.connect(url, token(f"sender-{number}"), options)
        request = lk_rtc.AddTrackRequest(
            name="cam", type=lk_models.VIDEO, source=lk_models.CAMERA, width=1280, height=720
        )
        request.layers.add(
            quality=lk_models.VideoQuality.HIGH, width=1280, height=720, bitrate=BITRATE_BPS
        )
        _, sender = await session.publish(request, codec="VP8", layers=[])
        assert isinstance(sender, VideoRtpSender)
        sessions.append(session)
        senders.append(sender)
    print("ready", flush=True)
    end = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    begun_s, number = time.monotonic(), 0
    while not end.done():
        for index, sender in enumerate(senders):
            frame = loops[index % 3][number % len(loops[index % 3])]
            sender.send(0, replace(frame, ts_rtp=number * 90_000 // FPS & 0xFFFFFFFF))
            due_s = begun_s + (number + (index + 1) / SENDERS) / FPS
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        number += 1
    for session in sessions:
        await session.close()


# -- the app --------------------------------------------------------------------------------


async def watch(url: str, folder: Path, seconds: float) -> dict[str, object]:
    """Join, wait for everybody's pictures, measure."""
    from PySide6.QtCore import QAbstractEventDispatcher

    from app.engine.client import EngineClient, JoinSpec
    from app.runtime.settings import Settings
    from app.ui.bridge import Bridge
    from app.ui.collector import Collector
    from app.ui.meeting_window import MeetingPage
    from tests.bench.ui.paint_nine import StallMeter, cpu_s

    engine = EngineClient(Settings(name="Noa", downloads_folder=str(folder)))
    bridge = Bridge(engine)
    page = MeetingPage(engine, bridge)
    page.resize(*WINDOW)
    page.show()
    meter = StallMeter(QAbstractEventDispatcher.instance())
    # As the desktop does: the stalls of collecting garbage are stalls too.
    collector = Collector()
    collector.start()
    try:
        spec = JoinSpec("Noa", server_url=url, token=token("noa"), mic_on=False, camera_on=False)
        await engine.join(spec)
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            records = [page.stage.record_of(person.identity) for person in page.roster.others]
            if len(records) == SENDERS and all(record.frames > 10 for record in records):
                break
            assert time.monotonic() < deadline_s, [record.frames for record in records]
            await asyncio.sleep(0.1)
        await asyncio.sleep(WARM_UP_S)
        painted = -sum(record.frames for record in records)
        used_s, thread_s, wall_s = -cpu_s(), -time.thread_time(), -time.monotonic()
        before_s = threads_s()
        meter.measuring = True
        await asyncio.sleep(seconds)
        meter.measuring = False
        painted += sum(record.frames for record in records)
        used_s, thread_s = used_s + cpu_s(), thread_s + time.thread_time()
        wall_s += time.monotonic()
        after_s = threads_s()
        tile = page.stage.tile(page.roster.others[0].identity)
        size = [tile.width(), tile.height()] if tile is not None else None
        await engine.leave()
    finally:
        collector.stop()
        page.close_meeting()
        await bridge.aclose()
        await engine.aclose()
        page.close()
    stalls = sorted(meter.stalls_ms)
    return {
        "senders": SENDERS,
        "tile": size,
        "seconds": round(wall_s, 1),
        "painted": painted,
        "painted_per_person_fps": round(painted / SENDERS / wall_s, 1),
        "cpu_ms_per_painted_frame": round(used_s * 1000 / max(1, painted), 2),
        "cpu_cores": round(used_s / wall_s, 2),
        "qt_thread_ms_per_painted_frame": round(thread_s * 1000 / max(1, painted), 2),
        "threads_ms_per_painted_frame": {
            name: round((spent_s - before_s.get(name, 0.0)) * 1000 / max(1, painted), 2)
            for name, spent_s in sorted(after_s.items())
        },
        "stall_p50_ms": round(stalls[len(stalls) // 2], 2),
        "stall_p99_ms": round(stalls[len(stalls) * 99 // 100], 2),
        "stall_max_ms": round(stalls[-1], 2),
        "rss_mb": rss_mb(),
        "load_average": os.getloadavg()[0],
    }


def threads_s() -> dict[str, float]:
    """CPU time of every thread by its name, where the system tells (Linux)."""
    ticks = os.sysconf("SC_CLK_TCK")
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    times: dict[str, float] = {}
    tasks = Path("/proc/self/task")
    for task in tasks.iterdir() if tasks.exists() else ():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        name = names.get(int(task.name), "others")
        times[name] = times.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / ticks
    return times


def rss_mb() -> int:
    """Resident memory now, else its highest value."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main(seconds: float) -> dict[str, object]:
    """Start server and senders, run the app, end everything."""
    from PySide6.QtWidgets import QApplication
    from qasync import QEventLoop  # type: ignore[import-untyped]  # ships no stubs

    from app.ui.theme import ThemeChoice, theme

    serve = [sys.executable, str(ROOT / "main.py"), "serve", "--port", "0", "--rtc-port", "0"]
    server = subprocess.Popen(
        [*serve, "--api-key", KEY, "--api-secret", SECRET],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    senders: subprocess.Popen[str] | None = None
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        senders = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.ui.window_nine", "send", url],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert senders.stdout is not None
        assert senders.stdout.readline().strip() == "ready"
        app = QApplication([])
        theme.apply_to(app, ThemeChoice.DARK)
        loop = QEventLoop(app)
        with tempfile.TemporaryDirectory() as folder, loop:
            result: dict[str, object] = loop.run_until_complete(watch(url, Path(folder), seconds))
            return result
    finally:
        if senders is not None and senders.stdin is not None:
            senders.stdin.close()
            senders.wait(20)
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    # stdout is for the result.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    if sys.argv[1:2] == ["send"]:
        asyncio.run(send(sys.argv[2]))
    else:
        print(json.dumps(main(float(sys.argv[1]) if len(sys.argv) > 1 else 15.0)))
