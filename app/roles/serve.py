"""`serve`: the server alone, until SIGTERM or until whoever started it is gone.

stdout carries exactly one JSON line, written when connections are accepted: `url`, `rtc_port`,
`pid`. Everything else goes to stderr. Exit status 0 after a stop, 2 when it cannot start.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import ipaddress
import json
import os
import signal
import sys
import threading
from collections.abc import Callable

from app.protocol.errors import ProtocolError
from app.roles.keys import NoKeyError, find_keys
from app.runtime.errors import Reason, WorldError
from app.runtime.log import configure_logging
from app.server.config import ServerConfig, config_from_json
from app.server.service import SfuService

MIN_SECRET_CHARS = 32


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="main.py serve",
        description="Run the server alone. Keys come from the flags, from LIVEKIT_API_KEY with "
        "LIVEKIT_API_SECRET or LANAI_API_SECRET, from LIVEKIT_KEYS, or --dev.",
    )
    parser.add_argument(
        "--bind", action="append", metavar="ADDRESS", help="default 127.0.0.1; may be repeated"
    )
    parser.add_argument("--port", type=int, default=7880, help="signalling, TCP; 0 takes any")
    parser.add_argument("--rtc-port", type=int, default=7882, help="media, UDP; 0 takes any")
    parser.add_argument("--api-key", default="")
    parser.add_argument("--api-secret", default="")
    parser.add_argument(
        "--webhook", action="append", metavar="URL", help="report room events there"
    )
    parser.add_argument("--dev", action="store_true", help="development key; loopback only")
    parser.add_argument("--door", action="store_true", help="let people in without a token")
    parser.add_argument(
        "--config-stdin",
        action="store_true",
        help="read the configuration as one JSON line on stdin; its end stops the server",
    )
    parser.add_argument("--log-json", action="store_true", help="JSON lines on stderr")
    parser.add_argument("--log-level", default="info")
    return parser


def main(argv: list[str]) -> int:
    """Run until stopped."""
    options = _parser().parse_args(argv)
    configure_logging(json_lines=options.log_json, level=options.log_level)
    try:
        config = _read_stdin() if options.config_stdin else _from_flags(options)
    except (NoKeyError, ProtocolError) as problem:
        print(f"serve: {problem}", file=sys.stderr)
        return 2
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run(_run(config, watch_stdin=options.config_stdin))
    return asyncio.run(_run(config, watch_stdin=options.config_stdin))


def _read_stdin() -> ServerConfig:
    return config_from_json(sys.stdin.readline())


def _from_flags(options: argparse.Namespace) -> ServerConfig:
    bind = tuple(options.bind or ["127.0.0.1"])
    keys = find_keys(
        api_key=options.api_key,
        api_secret=options.api_secret,
        dev=options.dev,
        environment=os.environ,
    )
    if options.dev:
        if not all(_is_loopback(host) for host in bind):
            raise ProtocolError("--dev is for loopback addresses: everybody knows its secret")
        print(
            "serve: development key in use; everybody knows its secret: "
            + ", ".join(f"{key} / {secret}" for key, secret in list(keys.items())[:1]),
            file=sys.stderr,
        )
    if any(len(secret) < MIN_SECRET_CHARS for secret in keys.values()):
        print("serve: an API secret is shorter than 32 characters", file=sys.stderr)
    return ServerConfig(
        keys=keys,
        bind=bind,
        port=options.port,
        rtc_port=options.rtc_port,
        webhooks=tuple(options.webhook or ()),
        door=options.door,
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _run(config: ServerConfig, *, watch_stdin: bool) -> int:
    service = SfuService(config)
    try:
        await service.start()
    except WorldError as error:
        words = "the port is in use" if error.reason is Reason.PORT_TAKEN else "cannot listen"
        print(f"serve: {words} ({error.detail})", file=sys.stderr)
        return 2
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Windows has no signal handlers in a loop; there the parent closes stdin.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopping.set)
    if watch_stdin:
        _watch_stdin(lambda: loop.call_soon_threadsafe(stopping.set))
    # What start has made lives until the end: keep the collector out of it.
    gc.collect()
    gc.freeze()
    ready = {"url": service.url, "rtc_port": service.rtc_port, "pid": os.getpid()}
    print(json.dumps(ready), flush=True)
    await stopping.wait()
    await service.stop()
    return 0


def _watch_stdin(on_end: Callable[[], object]) -> None:
    """Call `on_end` when whoever started us is gone and with it the other end of stdin."""

    def wait() -> None:
        with contextlib.suppress(OSError, RuntimeError):
            while os.read(0, 4096):
                pass
            on_end()

    threading.Thread(target=wait, name="stdin-watch", daemon=True).start()
