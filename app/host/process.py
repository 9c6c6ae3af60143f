"""The server process and its watchman.

The child gets its configuration as one JSON line on stdin and answers with one JSON line when it
accepts connections. Its stdin stays open as long as this process lives: end of file tells it
that the parent is gone. When it dies without having been asked to, it is started again with the
ports it had, the same keys and rooms; clients then rejoin with the tokens they hold.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

import structlog

from app.runtime.errors import Reason, WorldError

log = structlog.get_logger(__name__)

_READY_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 8.0
_RESTART_WAITS_S = (0.0, 0.25, 0.5, 1.0, 2.0)
_HEALTHY_S = 30.0
_EXIT_PORT_TAKEN = 2
_LOG_BYTES = 2_000_000


class ServerState(StrEnum):
    """What the watchman tells about the process."""

    RUNNING = "running"
    RESTARTING = "restarting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Ready:
    """The ready line: where the server listens."""

    url: str
    rtc_port: int
    pid: int

    @property
    def port(self) -> int:
        """The signalling port out of the address."""
        return int(self.url.rsplit(":", 1)[1].split("/")[0])


def server_command() -> list[str]:
    """How the server starts: this interpreter with main.py, or the bundle with a role."""
    if getattr(sys, "frozen", False):
        return [sys.executable, "serve", "--config-stdin"]
    main = Path(__file__).resolve().parents[2] / "main.py"
    return [sys.executable, str(main), "serve", "--config-stdin"]


class ServerProcess:
    """Runs the server and keeps it running; every method blocks, none belongs to a loop.

    `on_state` is called on the watching thread.
    """

    def __init__(
        self,
        config: Mapping[str, object],
        *,
        log_file: Path | None = None,
        on_state: Callable[[ServerState], None] | None = None,
        command: list[str] | None = None,
    ) -> None:
        self._config = dict(config)
        self._log_file = log_file
        self._on_state = on_state
        self._command = command or server_command()
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._watchman: threading.Thread | None = None
        self.restarts = 0

    @property
    def pid(self) -> int:
        """The process now running."""
        child = self._child
        return child.pid if child is not None else 0

    def start(self) -> Ready:
        """Start and wait for the ready line; PORT_TAKEN, SERVER_DIED, TIMEOUT."""
        ready = self._launch()
        # A restarted server must be found where the first one was.
        self._config["port"] = ready.port
        self._config["rtc_port"] = ready.rtc_port
        self._watchman = threading.Thread(target=self._watch, name="server-watch", daemon=True)
        self._watchman.start()
        return ready

    def stop(self) -> None:
        """Close its stdin, which asks it to drain and exit; kill it if it does not."""
        self._stopping.set()
        with self._lock:
            child = self._child
        if child is not None:
            _end(child)
        watchman = self._watchman
        if watchman is not None and watchman is not threading.current_thread():
            watchman.join(_STOP_TIMEOUT_S)

    def _launch(self) -> Ready:
        child = self._spawn()
        line = _read_line(child, _READY_TIMEOUT_S)
        ready = None if line is None else _parse_ready(line)
        if ready is not None:
            return ready
        # A child that has closed stdout may take a moment longer to be gone: `_end` waits.
        _end(child)
        status = child.returncode
        # Not more than information: a port that is taken only moves on to the next pair.
        log.info("server did not start", status=status)
        if line is None:
            raise WorldError(Reason.TIMEOUT, detail="the server did not say that it is ready")
        if status == _EXIT_PORT_TAKEN:
            raise WorldError(Reason.PORT_TAKEN, retry=True)
        raise WorldError(Reason.SERVER_DIED, detail=f"server ended with status {status}")

    def _spawn(self) -> subprocess.Popen[bytes]:
        stderr = self._open_log()
        try:
            with self._lock:
                if self._stopping.is_set():
                    raise WorldError(Reason.SERVER_DIED, detail="stopped while starting")
                self._child = child = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    # An interrupt typed in the terminal is for the app, which then stops us.
                    start_new_session=sys.platform != "win32",
                )
        except OSError as error:
            raise WorldError(Reason.SERVER_DIED, detail=str(error)) from error
        finally:
            if stderr is not None:
                stderr.close()
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(self._config).encode() + b"\n")
            child.stdin.flush()
        except OSError:
            # It died at once; the missing ready line tells the rest.
            log.warning("server refused its configuration")
        return child

    def _watch(self) -> None:
        failures = 0
        while True:
            child = self._child
            assert child is not None
            started_s = time.monotonic()
            status = child.wait()
            _close_pipes(child)
            if self._stopping.is_set():
                return
            lived_s = time.monotonic() - started_s
            failures = 0 if lived_s >= _HEALTHY_S else failures + 1
            log.error("server process died", status=status, lived_s=round(lived_s, 1))
            self._tell(ServerState.RESTARTING)
            if not self._relaunch(failures):
                return

    def _relaunch(self, failures: int) -> bool:
        for wait_s in _RESTART_WAITS_S[max(0, failures - 1) :]:
            if self._stopping.wait(wait_s):
                return False
            try:
                self._launch()
            except WorldError as error:
                log.warning("server restart failed", reason=str(error.reason))
                continue
            self.restarts += 1
            self._tell(ServerState.RUNNING)
            return True
        if not self._stopping.is_set():
            self._tell(ServerState.FAILED)
        return False

    def _tell(self, state: ServerState) -> None:
        if self._on_state is not None:
            self._on_state(state)

    def _open_log(self) -> IO[bytes] | None:
        if self._log_file is None:
            return None
        try:
            self._log_file.parent.mkdir(parents=True, exist_ok=True)
            is_long = self._log_file.exists() and self._log_file.stat().st_size > _LOG_BYTES
            return self._log_file.open("wb" if is_long else "ab")
        except OSError as error:
            log.warning("server log not writable", error=type(error).__name__)
            return None


def _read_line(child: subprocess.Popen[bytes], timeout_s: float) -> bytes | None:
    """Read one line from the child's stdout, b"" at its end, None after `timeout_s`."""
    lines: list[bytes] = []
    stdout = child.stdout
    assert stdout is not None
    reader = threading.Thread(target=lambda: lines.append(stdout.readline()), daemon=True)
    reader.start()
    reader.join(timeout_s)
    return lines[0] if lines else None


def _parse_ready(line: bytes) -> Ready | None:
    try:
        raw = json.loads(line)
        return Ready(str(raw["url"]), int(raw["rtc_port"]), int(raw["pid"]))
    except (ValueError, KeyError, TypeError):
        return None


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.stdin is not None:
        try:
            child.stdin.close()
        except OSError:
            log.debug("server's stdin was closed already")
    try:
        child.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        log.warning("server did not drain in time")
        child.kill()
        child.wait()
    _close_pipes(child)


def _close_pipes(child: subprocess.Popen[bytes]) -> None:
    for pipe in (child.stdin, child.stdout):
        if pipe is not None and not pipe.closed:
            try:
                pipe.close()
            except OSError:
                log.debug("pipe was broken already")
