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
import secrets
import signal
import sys
import threading
from collections.abc import Callable

from app.protocol.errors import ProtocolError
from app.roles.keys import DEV_KEY, DEV_SECRET, NoKeyError, find_keys, parse_key_pairs
from app.runtime.errors import Reason, WorldError
from app.runtime.log import configure_logging
from app.server.config import ServerConfig, config_from_json, config_from_values
from app.server.config_file import LOG_LEVELS, MAX_FILE_BYTES, FileSettings, read_settings
from app.server.service import SfuService

MIN_SECRET_CHARS = 32


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="main.py serve",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run the server alone.\n\n"
        "Flags win over the environment, that over the file (--config), that over defaults.\n"
        "Environment: LIVEKIT_CONFIG (the file's content), LIVEKIT_KEYS (`key: secret` lines),\n"
        "LIVEKIT_API_KEY with LIVEKIT_API_SECRET or LANAI_API_SECRET, UDP_PORT.\n"
        "The file is YAML with LiveKit's names (port, bind_addresses, rtc.udp_port, keys,\n"
        "key_file, webhook.*, room.*, logging.*, prometheus.*) and ours under `lanai`\n"
        "(door, rooms, state_file, prometheus_bind). Unknown keys are errors.",
    )
    parser.add_argument("--config", metavar="FILE", help="settings file (YAML)")
    parser.add_argument("--config-body", metavar="YAML", help="settings as a text")
    parser.add_argument(
        "--bind", action="append", metavar="ADDRESS", help="default 127.0.0.1; may be repeated"
    )
    parser.add_argument("--port", type=int, help="signalling, TCP; default 7880, 0 takes any")
    parser.add_argument(
        "--rtc-port",
        "--udp-port",
        type=int,
        dest="rtc_port",
        help="media, UDP; default 7882, 0 takes any",
    )
    parser.add_argument("--api-key", default="")
    parser.add_argument("--api-secret", default="")
    parser.add_argument("--keys", default="", help="`key: secret`, several between commas")
    parser.add_argument("--key-file", metavar="FILE", help="file of `key: secret` lines, mode 0600")
    parser.add_argument(
        "--webhook", action="append", metavar="URL", help="report room events there"
    )
    parser.add_argument("--dev", action="store_true", help="development key; loopback only")
    parser.add_argument("--door", action="store_true", help="let people in without a token")
    parser.add_argument(
        "--prometheus-port",
        type=int,
        metavar="PORT",
        help="serve /metrics there, on 127.0.0.1 unless the file says otherwise; off when unset",
    )
    parser.add_argument(
        "--config-stdin",
        action="store_true",
        help="read the configuration as one JSON line on stdin; its end stops the server",
    )
    parser.add_argument(
        "--generate-keys", action="store_true", help="print a new pair of key and secret, and exit"
    )
    parser.add_argument("--log-json", action="store_true", help="JSON lines on stderr")
    parser.add_argument("--log-level", choices=LOG_LEVELS, help="default info")
    return parser


def main(argv: list[str]) -> int:
    """Run until stopped."""
    options = _parser().parse_args(argv)
    if options.generate_keys:
        print(f"API Key: API{secrets.token_hex(6)}\nAPI Secret: {secrets.token_urlsafe(32)}")
        return 0
    try:
        settings = FileSettings() if options.config_stdin else _settings(options)
        configure_logging(
            json_lines=options.log_json or settings.values.pop("log_json", False),
            level=options.log_level or settings.values.pop("log_level", "info"),
        )
        settings.values.pop("log_level", None)
        config = _read_stdin() if options.config_stdin else _configure(options, settings)
    except (NoKeyError, ProtocolError) as problem:
        print(f"serve: {problem}", file=sys.stderr)
        return 2
    if settings.ignored:
        words = ", ".join(settings.ignored)
        print(f"serve: settings without a meaning here, ignored: {words}", file=sys.stderr)
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run(_run(config, watch_stdin=options.config_stdin))
    return asyncio.run(_run(config, watch_stdin=options.config_stdin))


def _read_stdin() -> ServerConfig:
    return config_from_json(sys.stdin.readline())


def _settings(options: argparse.Namespace) -> FileSettings:
    """Read the file, then what stands over it: the text of the environment or of the flag."""
    settings = FileSettings()
    if options.config:
        settings = read_settings(_read_file(options.config, "--config"))
    body = options.config_body or os.environ.get("LIVEKIT_CONFIG", "")
    return settings.overridden_by(read_settings(body)) if body else settings


def _read_file(path: str, name: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ProtocolError(f"{name}: {path}: {type(error).__name__}") from None


def _configure(options: argparse.Namespace, settings: FileSettings) -> ServerConfig:
    values = dict(settings.values)
    key_file = options.key_file or values.pop("key_file", "")
    from_file = {**values.pop("keys", {}), **_read_key_file(key_file)}
    values["keys"] = find_keys(
        api_key=options.api_key,
        api_secret=options.api_secret,
        dev=options.dev,
        environment=os.environ,
        pairs={**parse_key_pairs(options.keys)},
        fallback=from_file,
    )
    if "UDP_PORT" in os.environ:
        values["rtc_port"] = _port(os.environ["UDP_PORT"])
    flags = {
        "bind": options.bind,
        "port": options.port,
        "rtc_port": options.rtc_port,
        "webhooks": options.webhook,
        "prometheus_port": options.prometheus_port,
        "door": options.door or None,
    }
    values.update({key: value for key, value in flags.items() if value is not None})
    config = config_from_values(values)
    if options.dev:
        if not all(_is_loopback(host) for host in config.bind):
            raise ProtocolError("--dev is for loopback addresses: everybody knows its secret")
        if config.keys == {DEV_KEY: DEV_SECRET}:
            print(
                "serve: development key in use; everybody knows its secret: "
                f"{DEV_KEY} / {DEV_SECRET}",
                file=sys.stderr,
            )
    if any(len(secret) < MIN_SECRET_CHARS for secret in config.keys.values()):
        print("serve: an API secret is shorter than 32 characters", file=sys.stderr)
    return config


def _read_key_file(path: str) -> dict[str, str]:
    """Read a file of keys; one that others on this computer may read is refused."""
    if not path:
        return {}
    text = _read_file(path, "key file")
    if sys.platform != "win32" and os.stat(path).st_mode & 0o007:
        raise ProtocolError("key file: others may read it (its mode should be 0600)")
    return parse_key_pairs(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise ProtocolError("UDP_PORT is no port")
    return int(text)


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
