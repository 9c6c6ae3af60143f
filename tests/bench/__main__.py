"""Run the benchmarks one after the other: `python -m tests.bench [NAME ...] [--out FILE]`.

Each is a process of its own that prints one JSON object; together with the load average before
it they go to `tests/bench/results/` (or FILE). Run it on a quiet machine: the figures are CPU
time and wall clock of what is measured, and a busy neighbour is in all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.support.server_process import KEY, SECRET, ServerProcess

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS: dict[str, list[str]] = {
    "forwarding": ["-m", "tests.bench.forwarding"],
    "engine": ["-m", "tests.bench.engine_timings"],
    "data_throughput": ["-m", "tests.bench.data.throughput"],
    "data_throughput_browsers": ["-m", "tests.bench.data.throughput", "--browsers"],
    "data_echo": ["-m", "tests.bench.data.echo"],
    "data_flood": ["-m", "tests.bench.data.flood"],
    "start": ["tests/bench/start_times.py"],
    "window": ["-m", "tests.bench.ui.window_nine"],
    "paint": ["-m", "tests.bench.ui.paint_nine"],
    "files": ["-m", "tests.bench.data.files"],
    "media": ["-m", "tests.bench.media.costs"],
    "data tracks": ["-m", "tests.bench.data.tracks"],
    "management": ["-m", "tests.bench.server.management"],
}
DEADLINE_S = 600


def run(arguments: list[str]) -> object:
    environment = {"QT_QPA_PLATFORM": "offscreen", **os.environ}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    return json.loads(done.stdout[done.stdout.index("{") :])


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line)


async def run_sdk() -> object:
    """The official wheel against our server, and the server's memory before anybody came."""
    async with ServerProcess() as server:
        idle_kb = resident_kb(server.pid)
        arguments = ["tests/bench/sdk_timings.py", server.url, KEY, SECRET]
        timings = await asyncio.to_thread(run, arguments)
    return {"timings": timings, "server_idle_mb": round(idle_kb / 1000, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"sdk, {', '.join(BENCHMARKS)}")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    names = options.names or ["sdk", *BENCHMARKS]
    results: dict[str, object] = {}
    for name in names:
        load = os.getloadavg()[0]
        figures = asyncio.run(run_sdk()) if name == "sdk" else run(BENCHMARKS[name])
        results[name] = {"load_before": round(load, 2), "figures": figures}
        print(json.dumps({name: results[name]}), flush=True)
    out = options.out or ROOT / "tests/bench/results" / time.strftime("%Y%m%d-%H%M%S.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
