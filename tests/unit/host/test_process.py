from __future__ import annotations

import os
import queue
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from app.host.process import ServerProcess, ServerState
from app.runtime.errors import Reason, WorldError

DEADLINE_S = 30.0

# Stands in for the server: says what it was told, then waits for the end of its stdin.
CHILD = """
import json, os, sys
config = json.loads(sys.stdin.readline())
if config.get("exit") is not None:
    sys.exit(config["exit"])
with open(config["journal"], "a") as journal:
    print(json.dumps(config), file=journal)
port = config["port"] or 40001
rtc_port = config["rtc_port"] or 40002
print(json.dumps({"url": f"ws://127.0.0.1:{port}", "rtc_port": rtc_port, "pid": os.getpid()}))
sys.stdout.flush()
sys.stdin.read()
with open(config["journal"], "a") as journal:
    print('"drained"', file=journal)
"""


@pytest.fixture
def states() -> queue.SimpleQueue[ServerState]:
    return queue.SimpleQueue()


@pytest.fixture
def server(tmp_path: Path, states: queue.SimpleQueue[ServerState]) -> Iterator[ServerProcess]:
    config = {"port": 0, "rtc_port": 0, "journal": str(tmp_path / "journal"), "rooms": ["jam"]}
    process = ServerProcess(config, command=[sys.executable, "-c", CHILD], on_state=states.put)
    yield process
    process.stop()


def journal(tmp_path: Path) -> list[str]:
    return (tmp_path / "journal").read_text().splitlines()


def test_closing_its_stdin_lets_the_server_drain(server: ServerProcess, tmp_path: Path) -> None:
    ready = server.start()

    assert (ready.port, ready.rtc_port, ready.pid) == (40001, 40002, server.pid)
    server.stop()
    assert journal(tmp_path)[-1] == '"drained"'


def test_a_killed_server_comes_back_with_the_same_ports_and_rooms(
    server: ServerProcess, states: queue.SimpleQueue[ServerState], tmp_path: Path
) -> None:
    first = server.start()

    with structlog.testing.capture_logs():
        os.kill(first.pid, signal.SIGKILL)
        seen = [states.get(timeout=DEADLINE_S), states.get(timeout=DEADLINE_S)]

    assert seen == [ServerState.RESTARTING, ServerState.RUNNING]
    assert server.restarts == 1
    assert server.pid != first.pid
    assert '"port": 40001, "rtc_port": 40002' in journal(tmp_path)[1]
    assert '"rooms": ["jam"]' in journal(tmp_path)[1]


@pytest.mark.parametrize(("status", "reason"), [(2, Reason.PORT_TAKEN), (1, Reason.SERVER_DIED)])
def test_a_server_that_does_not_start_says_why(status: int, reason: Reason) -> None:
    process = ServerProcess({"exit": status}, command=[sys.executable, "-c", CHILD])

    with structlog.testing.capture_logs(), pytest.raises(WorldError) as raised:
        process.start()

    assert raised.value.reason is reason


def test_a_missing_program_is_told() -> None:
    process = ServerProcess({}, command=["/nowhere/python"])

    with pytest.raises(WorldError) as raised:
        process.start()

    assert raised.value.reason is Reason.SERVER_DIED


def test_secrets_are_not_on_the_command_line(server: ServerProcess) -> None:
    ready = server.start()

    arguments = Path(f"/proc/{ready.pid}/cmdline")
    if not arguments.exists():
        pytest.skip("no /proc here")
    assert b"jam" not in arguments.read_bytes()
