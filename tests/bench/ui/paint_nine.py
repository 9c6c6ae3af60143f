"""What nine 720p people cost the window, without a network: run it in its own process.

`python -m tests.bench.ui.paint_nine [SECONDS]` decodes nine VP8 streams of 1280x720 at 30 fps with
the decode pool, scales them to 374x210 tiles and paints them in the real meeting page, offscreen.
It prints one JSON object: own CPU per painted frame in milliseconds (user + system of the whole
process), the share of the Qt thread, and the stall of the Qt thread: its own CPU time between
two returns to Qt's loop (p50, p99, most).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
from PySide6.QtCore import QAbstractEventDispatcher, QTimer
from PySide6.QtWidgets import QApplication

from app.engine.events import LocalMediaChanged
from app.media.decode.video import DecodePool, VideoDecoder
from app.media.encode.rates import LayerSpec
from app.media.encode.video import LayerEncoder
from app.media.frames import Picture
from app.protocol.rtp.encoded import EncodedVideoFrame
from app.ui.meeting_window import MeetingPage
from app.ui.theme import ThemeChoice, theme
from tests.support.fake_engine import DirectBridge, FakeEngine, joined
from tests.support.sample_faces import face

PEOPLE = 9
WIDTH, HEIGHT, FPS = 1280, 720, 30
BITRATE_BPS = 1_700_000
LOOP_FRAMES = 60
WARM_UP_S = 2.0


def encode_loop(name: str) -> list[EncodedVideoFrame]:
    """Two seconds of somebody who sways in front of a noisy camera, as VP8."""
    encoder = LayerEncoder(LayerSpec(WIDTH, HEIGHT, BITRATE_BPS, FPS), "VP8")
    still = face(name, WIDTH, HEIGHT).data.copy()
    luma = still[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH)
    noise = np.random.default_rng(7).integers(0, 5, (HEIGHT, WIDTH), dtype=np.uint8)
    frames = []
    for n in range(LOOP_FRAMES):
        data = still.copy()
        sway = round(12 * np.sin(2 * np.pi * n / LOOP_FRAMES))
        data[: WIDTH * HEIGHT] = (np.roll(luma, sway, axis=1) + np.roll(noise, n * 7)).reshape(-1)
        encoded = encoder.encode(
            encoder.scale(Picture(WIDTH, HEIGHT, data).to_frame()),
            n * 90_000 // FPS,
            force=n == 0,
            bitrate_bps=BITRATE_BPS,
            now_s=n / FPS,
        )
        if encoded is not None:
            frames.append(encoded)
    return frames


class StallMeter:
    """The Qt thread's own CPU time between two returns to Qt's loop."""

    def __init__(self, dispatcher: QAbstractEventDispatcher) -> None:
        self.stalls_ms: list[float] = []
        self.measuring = False
        self._last_s = time.thread_time()
        # The dispatcher says `awake` once in every turn of its loop.
        dispatcher.awake.connect(self._on_return)

    def _on_return(self) -> None:
        now_s = time.thread_time()
        if self.measuring:
            self.stalls_ms.append((now_s - self._last_s) * 1000)
        self._last_s = time.thread_time()


def feed(
    decoders: list[VideoDecoder], loops: list[list[EncodedVideoFrame]], stop: threading.Event
) -> None:
    """Hand every decoder a frame 30 times a second, spread over the interval."""
    number = 0
    begun_s = time.monotonic()
    while not stop.is_set():
        for index, decoder in enumerate(decoders):
            loop = loops[index % len(loops)]
            decoder.submit(loop[number % len(loop)])
            due_s = begun_s + (number + (index + 1) / len(decoders)) / FPS
            stop.wait(max(0.0, due_s - time.monotonic()))
        number += 1


def cpu_s() -> float:
    """User and system time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main(seconds: float) -> dict[str, object]:
    """Run the measurement."""
    app = QApplication.instance() or QApplication([])
    assert isinstance(app, QApplication)
    theme.apply_to(app, ThemeChoice.DARK)
    loops = [encode_loop(name) for name in ("Mia", "Kai", "Lena")]
    engine = FakeEngine()
    bridge = DirectBridge(engine)
    page = MeetingPage(engine, bridge)
    page.resize(1280, 800)
    page.show()
    engine.post(joined(PEOPLE), LocalMediaChanged(True, True))
    bridge.deliver()
    app.processEvents()
    pool = DecodePool()
    decoders = []
    for opened in engine.open_slots:
        decoder = VideoDecoder("VP8", lambda: None, pool)
        decoder.add_slot(opened.slot)
        decoders.append(decoder)
    meter = StallMeter(QAbstractEventDispatcher.instance())
    stop = threading.Event()
    feeder = threading.Thread(target=feed, args=(decoders, loops, stop))
    records = [page.stage.record_of(person.identity) for person in page.roster.people]
    at_start: dict[str, float] = {}

    def begin() -> None:
        at_start.update(
            frames=sum(record.frames for record in records),
            cpu=cpu_s(),
            thread=time.thread_time(),
            wall=time.monotonic(),
        )
        meter.measuring = True

    QTimer.singleShot(round(WARM_UP_S * 1000), begin)
    QTimer.singleShot(round((WARM_UP_S + seconds) * 1000), app.quit)
    feeder.start()
    app.exec()
    used_s = cpu_s() - at_start["cpu"]
    thread_s = time.thread_time() - at_start["thread"]
    wall_s = time.monotonic() - at_start["wall"]
    painted = sum(record.frames for record in records) - int(at_start["frames"])
    stop.set()
    feeder.join()
    for decoder in decoders:
        decoder.close()
    page.close_meeting()
    stalls = sorted(meter.stalls_ms)
    tile = page.stage.tile(page.roster.people[1].identity)
    return {
        "people": PEOPLE,
        "tile": [tile.width(), tile.height()] if tile is not None else None,
        "seconds": round(wall_s, 1),
        "painted": painted,
        "painted_per_person_fps": round(painted / PEOPLE / wall_s, 1),
        "cpu_ms_per_painted_frame": round(used_s * 1000 / max(1, painted), 2),
        "cpu_cores": round(used_s / wall_s, 2),
        "qt_thread_ms_per_painted_frame": round(thread_s * 1000 / max(1, painted), 2),
        "qt_thread_share": round(thread_s / wall_s, 3),
        "stall_p50_ms": round(stalls[len(stalls) // 2], 2),
        "stall_p99_ms": round(stalls[len(stalls) * 99 // 100], 2),
        "stall_max_ms": round(stalls[-1], 2),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "load_average": os.getloadavg()[0],
    }


if __name__ == "__main__":
    print(json.dumps(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)))
