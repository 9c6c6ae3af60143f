"""How fast a file goes between two Lanai apps on this machine, alone and beside a live call.

`python -m tests.bench.data.files [--megabytes N]` prints one JSON object. Each app is an engine in
a process of its own, the server another: megabytes per second, how much the memory of each grew
while the file was on its way, CPU seconds, and how much of the sound was concealed meanwhile. The
same call without a file, measured just before, says how much of that is the machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.engine.client import EngineClient, GeneratedMedia, JoinSpec
from app.engine.events import Event, Transfer, TransferChanged, TransferState
from app.runtime.settings import Settings
from tests.bench.data.peers import cpu_s
from tests.support.engine_server import ServerUnderTest, our_server

MEGABYTES = 100
RUNS = 3
WARM_UP_S = 6.0
QUIET_S = 12.0
DEADLINE_S = 240.0


def resident_mb() -> float:
    """What this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def concealed_share(before: tuple[int, int], after: tuple[int, int]) -> float | None:
    """Of what was played between two looks; None when nothing was."""
    played, concealed = after[0] - before[0], after[1] - before[1]
    return concealed / played if played else None


# --- one app, in its own process -------------------------------------------------------------


class App:
    """An engine that sends or receives one file when told to."""

    def __init__(self, folder: Path, *, live: bool) -> None:
        self._live = live
        settings = Settings(downloads_folder=str(folder))
        self._engine = EngineClient(settings, generated=GeneratedMedia(fps=15) if live else None)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._events: list[Event] = []
        self._engine.on_events = self._on_events
        self._peak_mb = 0.0

    def _on_events(self) -> None:
        self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        self._events += self._engine.take_events()
        self._news.set()

    async def join(self, url: str, token: str) -> None:
        live = self._live
        await self._engine.join(
            JoinSpec("app", server_url=url, token=token, mic_on=live, camera_on=live)
        )

    async def listen(self, seconds: float) -> dict[str, Any]:
        """Let the call go on as it is; return what was heard."""
        heard = await self._heard()
        begun_cpu_s = time.process_time()
        await asyncio.sleep(seconds)
        return {
            "concealed": concealed_share(heard, await self._heard()),
            "cpu_s": time.process_time() - begun_cpu_s,
        }

    async def run(self, path: str) -> dict[str, Any]:
        """Send `path`, or receive when it is empty; return the figures."""
        before_mb = self._peak_mb = resident_mb()
        heard = await self._heard()
        begun_cpu_s = time.process_time()
        self._events.clear()
        started_s = time.monotonic()
        watching = asyncio.ensure_future(self._watch_memory())
        if path:
            await self._engine.send_file(Path(path))
        transfer = await self._end()
        seconds = time.monotonic() - started_s
        watching.cancel()
        return {
            "state": transfer.state,
            "sha256": transfer.sha256,
            "seconds": seconds,
            "grown_mb": self._peak_mb - before_mb,
            "cpu_s": time.process_time() - begun_cpu_s,
            "concealed": concealed_share(heard, await self._heard()),
        }

    async def _watch_memory(self) -> None:
        while True:
            self._peak_mb = max(self._peak_mb, resident_mb())
            await asyncio.sleep(0.02)

    async def _end(self) -> Transfer:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                for event in self._events:
                    if isinstance(event, TransferChanged) and event.transfer.state.is_over:
                        return event.transfer
                self._news.clear()
                await self._news.wait()

    async def _heard(self) -> tuple[int, int]:
        """Samples played and concealed so far, of all voices."""
        voices: Any = (await self._engine.stats())["voices"]
        stats = list(voices.values())
        return (
            sum(each.played_samples for each in stats),
            sum(each.concealed_samples for each in stats),
        )

    async def aclose(self) -> None:
        await self._engine.aclose()


async def be_app(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        token = await asyncio.to_thread(sys.stdin.readline)
        app = App(Path(folder), live=options.live)
        await app.join(options.url, token.strip())
        print(json.dumps({"ready": True}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            if "listen_s" in asked:
                print(json.dumps(await app.listen(asked["listen_s"])), flush=True)
            else:
                print(json.dumps(await app.run(asked["path"])), flush=True)
        await app.aclose()


# --- the whole -----------------------------------------------------------------------------


@dataclass
class Child:
    """An app's process."""

    process: asyncio.subprocess.Process

    @classmethod
    async def start(cls, server: ServerUnderTest, identity: str, *, live: bool) -> Child:
        arguments = ["-m", "tests.bench.data.files", "--url", server.url]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            *(["--live"] if live else []),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        child = cls(process)
        child.write(server.token(identity))
        assert (await child.read())["ready"]
        return child

    def write(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")

    async def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), DEADLINE_S)
        assert line, "an app has died"
        report: dict[str, Any] = json.loads(line)
        return report

    async def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.wait()


def percent(shares: list[float | None]) -> list[float]:
    """What the sender of the file and its receiver heard that was never said."""
    return [round(100 * share, 2) for share in shares if share is not None]


def middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


async def measure(path: Path, megabytes: int, *, live: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {"load": round(os.getloadavg()[0], 2)}
    async with our_server() as server:
        sender = await Child.start(server, "sender", live=live)
        receiver = await Child.start(server, "receiver", live=live)
        runs = []
        try:
            await asyncio.sleep(WARM_UP_S)
            if live:
                for child in (sender, receiver):
                    child.write(json.dumps({"listen_s": QUIET_S}))
                quiet = await asyncio.gather(sender.read(), receiver.read())
                figures["without_a_file"] = {
                    "concealed_percent": percent([each["concealed"] for each in quiet]),
                    "cpu_s": [round(each["cpu_s"], 2) for each in quiet],
                }
            cpu_before_s = cpu_s(server.pid)
            for _ in range(RUNS):
                receiver.write(json.dumps({"path": ""}))
                await asyncio.sleep(0.2)
                sender.write(json.dumps({"path": str(path)}))
                sent, got = await asyncio.gather(sender.read(), receiver.read())
                assert sent["state"] == got["state"] == TransferState.DONE, (sent, got)
                assert sent["sha256"] == got["sha256"]
                runs.append((sent, got))
            server_cpu_s = cpu_s(server.pid) - cpu_before_s
        finally:
            await asyncio.gather(sender.stop(), receiver.stop())
    rates = [round(megabytes / sent["seconds"], 2) for sent, _ in runs]
    per_mb = 1000 / megabytes
    figures |= {
        "mb_per_s": middle(rates),
        "mb_per_s_all": rates,
        "grown_mb_sender": round(max(sent["grown_mb"] for sent, _ in runs), 1),
        "grown_mb_receiver": round(max(got["grown_mb"] for _, got in runs), 1),
        "cpu_ms_per_mb": {
            "sender": round(middle([sent["cpu_s"] for sent, _ in runs]) * per_mb, 1),
            "server": round(server_cpu_s / RUNS * per_mb, 1),
            "receiver": round(middle([got["cpu_s"] for _, got in runs]) * per_mb, 1),
        },
    }
    if live:
        figures["concealed_percent"] = [
            percent([each["concealed"] for each in run]) for run in runs
        ]
    return figures


async def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.bin"
        path.write_bytes(os.urandom(options.megabytes * 1_000_000))
        result = {}
        if options.only != "call":
            result["alone"] = await measure(path, options.megabytes, live=False)
        if options.only != "alone":
            result["beside_a_call"] = await measure(path, options.megabytes, live=True)
    print(json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="")
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--megabytes", type=int, default=MEGABYTES)
    parser.add_argument("--only", choices=("alone", "call"), default="")
    parsed = parser.parse_args()
    asyncio.run(be_app(parsed) if parsed.url else main(parsed))
