"""Forwarded packets per CPU-second of the real server process, in units of the yardstick.

    python -m tests.bench.forwarding [--publishers 2] [--subscribers 20] [--seconds 20]

Y is measured in the same run: packets per CPU-second of `Session.protect` (AES-GCM) and
`sock.sendto`, 1,100 bytes, 20 destinations, in a plain loop. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pylibsrtp import Policy, Session

from tests.bench.forwarding.clients import Plan

REPOSITORY = Path(__file__).resolve().parents[3]
KEY, SECRET = "bench", "bench-secret-bench-secret-bench-secret"


def yardstick(packets: int = 60_000) -> float:
    """Return Y: protected and sent packets per CPU-second of a plain loop."""
    sinks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
    for sink in sinks:
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sink.bind(("127.0.0.1", 0))
    addresses = [sink.getsockname() for sink in sinks]
    sessions = []
    for _ in sinks:
        policy = Policy(
            key=bytes(28),
            ssrc_type=Policy.SSRC_ANY_OUTBOUND,
            srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
        )
        sessions.append(Session(policy))
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    payload = bytes(1088)
    started = time.process_time()
    for i in range(packets // 20):
        header = b"\x80\x60" + (i & 0xFFFF).to_bytes(2, "big") + bytes(4) + b"\x00\x00\x00\x07"
        packet = header + payload
        for session, address in zip(sessions, addresses, strict=True):
            out.sendto(session.protect(packet), address)
    spent_s = time.process_time() - started
    for sock in [*sinks, out]:
        sock.close()
    return packets / spent_s


def cpu_s(pid: int) -> float:
    """Return user and system time of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    """Return the resident size of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(plan: Plan) -> dict[str, Any]:
    """Run one server and one process of clients; return the figures."""
    command = [sys.executable, "main.py", "serve", "--port", "0", "--rtc-port", "0"]
    server = subprocess.Popen(
        [*command, "--api-key", KEY, "--api-secret", SECRET, "--log-level", "warning"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        plan.url = json.loads(server.stdout.readline())["url"]
        idle_mb = rss_mb(server.pid)
        clients = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.forwarding.clients"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert clients.stdin is not None
        assert clients.stdout is not None
        try:
            clients.stdin.write(json.dumps(asdict(plan)) + "\n")
            clients.stdin.flush()
            assert json.loads(clients.stdout.readline())["ready"]
            before = cpu_s(server.pid)
            result = json.loads(clients.stdout.readline())["result"]
            spent_s = cpu_s(server.pid) - before
            busy_mb = rss_mb(server.pid)
            clients.stdin.write("\n")
            clients.stdin.flush()
            clients.wait(30)
        finally:
            clients.kill()
            clients.wait()
    finally:
        server.terminate()
        server.wait(30)
    return {
        **result,
        "server_cpu_s": round(spent_s, 3),
        "per_cpu_s": round(result["forwarded"] / spent_s),
        "server_rss_idle_mb": round(idle_mb, 1),
        "server_rss_mb": round(busy_mb, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.forwarding")
    parser.add_argument("--publishers", type=int, default=2)
    parser.add_argument("--subscribers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--bursts", type=int, nargs="*", default=[10, 4])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    load_average = os.getloadavg()[0]
    yards = [yardstick() for _ in range(3)]
    runs = {}
    for burst in options.bursts:
        plan = Plan(
            url="",
            api_key=KEY,
            api_secret=SECRET,
            publishers=options.publishers,
            subscribers=options.subscribers,
            seconds=options.seconds,
            frames_per_s=28,
            packets_per_frame=10,
            packet_bytes=1112,
            burst=burst,
        )
        runs[f"burst_{burst}"] = measure(plan)
        yards += [yardstick() for _ in range(2)]
    y = statistics.median(yards)
    for run in runs.values():
        run["in_y"] = round(run["per_cpu_s"] / y, 3)
    report = {
        "bench": "forwarding",
        "publishers": options.publishers,
        "subscribers": options.subscribers,
        "seconds": options.seconds,
        "yardstick_per_cpu_s": round(y),
        "load_average_before": load_average,
        "must_reach_in_y": 0.6,
        "runs": runs,
    }
    text = json.dumps(report, indent=2)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
