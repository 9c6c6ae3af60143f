"""The key pair of this installation: made once, kept by the system's key ring.

A key ring may ask the person, or wait for a service that never answers, so it is called on a
thread of its own and given up on after a few seconds. Without one the pair goes to a file that only
the owner can read, and `KeyPair.in_keyring` lets Settings say so.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import structlog

from app.runtime.paths import Paths, write_atomically

log = structlog.get_logger(__name__)

T = TypeVar("T")

_SERVICE = "lanai"
_ENTRY = "server-key"
_KEYRING_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An API key and its secret, as the server's `keys` want them."""

    api_key: str
    api_secret: str = field(repr=False)
    in_keyring: bool = False


def load_or_make_keys(paths: Paths, *, use_keyring: bool = True) -> KeyPair:
    """Return this installation's pair; blocking, so call it off the Qt thread."""
    file = paths.config / "server-key"
    stored = _read_file(file)
    if stored is not None:
        return stored
    if use_keyring:
        pair = _in_time(_from_keyring)
        if pair is not None:
            return pair
    made = _new_pair()
    write_atomically(file, f"{made.api_key}:{made.api_secret}\n".encode(), mode=0o600)
    return made


def _from_keyring() -> KeyPair | None:
    # Imported here: its backends look for D-Bus and take their time about it.
    import keyring
    from keyring.errors import KeyringError

    try:
        pair = _parse(keyring.get_password(_SERVICE, _ENTRY) or "", in_keyring=True)
        if pair is not None:
            return pair
        made = _new_pair()
        keyring.set_password(_SERVICE, _ENTRY, f"{made.api_key}:{made.api_secret}")
    except (KeyringError, OSError, RuntimeError) as error:
        log.info("no key ring", error=type(error).__name__)
        return None
    return KeyPair(made.api_key, made.api_secret, in_keyring=True)


def _in_time(work: Callable[[], T | None]) -> T | None:
    """Run `work` on a daemon thread; None when it takes too long, whatever it does later."""
    results: list[T | None] = []

    def run() -> None:
        results.append(work())

    thread = threading.Thread(target=run, name="keyring", daemon=True)
    thread.start()
    thread.join(_KEYRING_TIMEOUT_S)
    if thread.is_alive():
        log.warning("key ring does not answer")
    return results[0] if results else None


def _read_file(file: Path) -> KeyPair | None:
    with contextlib.suppress(FileNotFoundError):
        return _parse(file.read_text("utf-8").strip(), in_keyring=False)
    return None


def _parse(text: str, *, in_keyring: bool) -> KeyPair | None:
    key, separator, secret = text.partition(":")
    if not (key and separator and len(secret) >= 32):
        return None
    return KeyPair(key, secret, in_keyring)


def _new_pair() -> KeyPair:
    return KeyPair("API" + secrets.token_hex(6), secrets.token_urlsafe(32))
