"""The program as a process: it starts, takes a second start's link, and leaves on SIGTERM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from app.runtime.paths import Paths
from app.ui.single_instance import SingleInstance

ROOT = Path(__file__).parents[3]
DEADLINE_S = 30.0


@pytest.fixture
def program(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`main.py` with a configuration of its own."""
    process = start(tmp_path)
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate(timeout=DEADLINE_S)


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "main.py"), *arguments],
        env={**os.environ, "LANAI_HOME": str(home), "QT_QPA_PLATFORM": "offscreen"},
        cwd=home,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_until_it_listens(home: Path) -> None:
    probe = SingleInstance(Paths.under(home).config)
    deadline = time.monotonic() + DEADLINE_S
    while not probe.hand_over(""):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_second_start_ends_at_once_and_the_first_leaves_on_sigterm(
    program: subprocess.Popen[str], qapp: QApplication, tmp_path: Path
) -> None:
    wait_until_it_listens(tmp_path)

    second = start(tmp_path, "not a link")
    assert second.wait(timeout=DEADLINE_S) == 0
    _, complaint = second.communicate()
    assert "Traceback" not in complaint
    program.send_signal(signal.SIGTERM)
    out, complaint = program.communicate(timeout=DEADLINE_S)

    assert program.returncode == 0, complaint
    assert out == ""
    assert "Traceback" not in complaint
