"""`serve` as a program: file, environment and flags, and which of them wins."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import aiohttp

from tests.support.child import ROOT

DEADLINE_S = 30.0
SECRET = "a-secret-that-is-long-enough-for-us"


async def serve(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run until the ready line, ask `/`, stop; `(status, ready, stderr)`."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LIVEKIT_", "LANAI_"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "main.py",
        "serve",
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**clean, **environment},
    )
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), DEADLINE_S)).decode()
    if line:
        url = json.loads(line)["url"].replace("ws", "http", 1)
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            assert (answer.status, await answer.text()) == (200, "OK")
        process.terminate()
    _, words = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode is not None
    assert SECRET not in line + words.decode()
    return process.returncode, line, words.decode()


async def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(
        f"port: 1\nbind_addresses: [127.0.0.9]\nrtc: {{udp_port: 1}}\nkeys: {{one: {SECRET}}}\n"
        "turn: {enabled: true}\nlogging: {json: true}\n"
    )
    status, line, words = await serve(
        *("--config", str(file), "--port", "0"),
        LIVEKIT_CONFIG="rtc: {udp_port: 2}",
        UDP_PORT="0",
    )
    assert status == 0, words
    ready = json.loads(line)
    assert ready["url"].startswith("ws://127.0.0.9:")
    assert ready["rtc_port"] > 2
    assert "ignored: turn" in words
    assert '"event": "server accepts connections"' in words


async def test_a_wrong_file_is_said_and_nothing_starts(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(f"keys: {{one: {SECRET}}}\nwebhoook: {{}}\n")
    status, line, words = await serve("--config", str(file))
    assert (status, line) == (2, "")
    assert "'webhoook'" in words
    missing = await serve("--config", str(tmp_path / "none.yaml"))
    assert missing[0] == 2


async def test_a_key_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"one: {SECRET}\n")
    keys.chmod(0o644)
    ports = ("--port", "0", "--rtc-port", "0")
    status, _, words = await serve("--key-file", str(keys), *ports)
    assert status == 2
    assert "others may read it" in words
    keys.chmod(0o600)
    assert (await serve("--key-file", str(keys), *ports))[0] == 0


async def test_the_secret_may_come_by_the_environment_unseen_by_other_users() -> None:
    ports = ("--port", "0", "--rtc-port", "0")
    status, line, words = await serve("--api-key", "one", *ports, LANAI_API_SECRET=SECRET)
    assert (status, bool(line)) == (0, True), words
