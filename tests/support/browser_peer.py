"""`livekit-client` in headless Chromium as a participant: an oracle with a browser's WebRTC.

The page is served on loopback, joins, publishes Chromium's generated devices, and posts one JSON
report per fact: connected, published, subscribed, tone, frames, text, disconnected, error.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from aiohttp import web

HERE = Path(__file__).parent
PACKAGE = HERE.parent.parent / "packaging" / "browser"
CLIENT = PACKAGE / "node_modules" / "livekit-client" / "dist" / "livekit-client.umd.js"


def missing_browser() -> str:
    """What keeps a browser test from running here, or an empty string."""
    if shutil.which("chromium") is None:
        return "chromium is not installed"
    if not CLIENT.is_file():
        return "npm's livekit-client is not installed (npm ci --prefix packaging/browser)"
    return ""


class BrowserPeer:
    """One Chromium with one page; `expect` waits for a report."""

    def __init__(self, url: str, token: str, *, page: str = "browser_peer.html") -> None:
        self._page = HERE / page
        self._query = urlencode({"url": url, "token": token})
        self._reports: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._seen: list[dict[str, Any]] = []
        self._past: list[dict[str, Any]] = []
        self._profile = tempfile.TemporaryDirectory(
            prefix="lanai-chromium-", ignore_cleanup_errors=True
        )
        self._process: asyncio.subprocess.Process | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/", self._on_page)
        app.router.add_get("/livekit-client.umd.js", self._on_script)
        app.router.add_post("/report", self._on_report)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self._process = await asyncio.create_subprocess_exec(
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--autoplay-policy=no-user-gesture-required",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--user-data-dir={self._profile.name}",
            f"http://127.0.0.1:{port}/?{self._query}",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            await self._process.wait()
        if self._runner is not None:
            await self._runner.cleanup()
        self._profile.cleanup()

    async def _on_page(self, _: web.Request) -> web.FileResponse:
        return web.FileResponse(self._page)

    async def _on_script(self, _: web.Request) -> web.FileResponse:
        return web.FileResponse(CLIENT)

    async def _on_report(self, request: web.Request) -> web.Response:
        self._reports.put_nowait(json.loads(await request.text()))
        return web.Response()

    def forget(self) -> None:
        """Expect only what is reported from now on; `saw` remembers."""
        self._past += self._seen
        self._seen.clear()

    def saw(self, *kinds: str) -> list[dict[str, Any]]:
        """Return what has been reported of these kinds so far."""
        return [report for report in [*self._past, *self._seen] if report["kind"] in kinds]

    async def expect(self, kind: str, *, deadline_s: float = 45.0, **facts: Any) -> dict[str, Any]:
        """The first report of `kind` with these facts; an error report fails at once."""

        def matches(report: dict[str, Any]) -> bool:
            return report["kind"] == kind and all(report.get(k) == v for k, v in facts.items())

        for report in self._seen:
            if matches(report):
                return report
        async with asyncio.timeout(deadline_s):
            while True:
                report = await self._reports.get()
                self._seen.append(report)
                assert report["kind"] != "error", report
                if matches(report):
                    return report
