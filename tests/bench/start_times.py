"""How long a person waits: process start to first window, Join pressed to own tile and invite.

    .venv/bin/python tests/bench/start_times.py [--runs 5] > start_times.json

Each run is a fresh process on the offscreen platform with generated media; wall clock, median.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STARTED = "LANAI_BENCH_STARTED"


def child() -> None:
    """Be the app: open the window, host, and say when what was on screen."""
    started_s = float(os.environ[STARTED])
    from qasync import QEventLoop  # type: ignore[import-untyped]  # ships no types

    from app.runtime.paths import Paths
    from app.ui.application import Desktop, DesktopOptions, make_application

    app = make_application()
    loop = QEventLoop(app)

    async def play(folder: Path) -> dict[str, float]:
        from app.engine.client import GeneratedMedia
        from app.runtime.settings import SettingsStore

        paths = Paths.under(folder)
        SettingsStore(paths).update(name="Ada", host_port=0, host_rtc_port=0, host_on_network=False)
        options = DesktopOptions(paths=paths, generated=GeneratedMedia(), use_keyring=False)
        desktop = Desktop(options)
        painted: list[float] = []
        desktop.window.firstPainted.connect(lambda: painted.append(time.time()))
        desktop.show()
        await desktop.start()
        from app.ui.home.destination import Destination, HostPlan

        desktop.show_prejoin(Destination(host=HostPlan("jam", on_network=False)))
        while desktop.prejoin_page.preview.painted_frames == 0:  # noqa: ASYNC110 - paints raise no event
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        pressed_s = time.time()
        desktop.prejoin_page.join_button.click()
        while not _has_own_tile(desktop):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)
        own_s = time.time()
        await desktop.aclose()
        return {"first_window_s": painted[0] - started_s, "own_tile_s": own_s - pressed_s}

    with tempfile.TemporaryDirectory() as folder, loop:
        print(json.dumps(loop.run_until_complete(play(Path(folder)))))


def _has_own_tile(desktop: object) -> bool:
    page = desktop.meeting_page  # type: ignore[attr-defined]
    server = desktop.server  # type: ignore[attr-defined]
    if page is None or page.roster.me is None or server is None or server.room is None:
        return False
    shown = desktop.window.pages.currentWidget() is page  # type: ignore[attr-defined]
    return shown and page.stage.record_of(page.roster.me.identity).frames > 0


def main() -> None:
    """Run children and print the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--child", action="store_true")
    options = parser.parse_args()
    if options.child:
        child()
        return
    runs = []
    for number in range(options.runs + 1):
        environment = {
            **os.environ,
            STARTED: str(time.time()),
            "QT_QPA_PLATFORM": "offscreen",
            "PYTHONPATH": str(ROOT),
        }
        output = subprocess.run(
            [sys.executable, __file__, "--child"],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        # The first one only warms the file cache.
        if number:
            runs.append(json.loads(output.splitlines()[-1]))
    medians = {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]}
    print(json.dumps({**medians, "runs": runs, "load": os.getloadavg()}, indent=1))


if __name__ == "__main__":
    main()
