"""What the server is told at start, by flags or as one JSON line on stdin.

The line of `--config-stdin` (keys left out take the defaults below):

    {"bind": ["127.0.0.1"], "port": 7880, "rtc_port": 7882, "keys": {"key": "secret"},
     "webhooks": ["http://…"], "door": true,
     "rooms": [{"name": "standup", "host_name": "Ada", "passcode": "", "max_people": 0,
                "lobby": false, "locked": false}],
     "state_file": "", "empty_timeout_s": 300, "departure_timeout_s": 20,
     "max_participants": 0, "auto_create": true, "enable_remote_unmute": false}

Port 0 takes any free port; the ready line says which. The first key pair signs what the server
issues. `rooms` are known to the door before anybody has joined them; what hosts change of them
is kept in `state_file`, where a server that is started again finds it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from app.protocol.errors import ProtocolError


@dataclass(frozen=True)
class HostedRoom:
    """A room that the door lets people into; `max_people` 0 means no limit."""

    name: str
    host_name: str = ""
    passcode: str = field(default="", repr=False)
    max_people: int = 0
    lobby: bool = False
    locked: bool = False


@dataclass(frozen=True)
class ServerConfig:
    """Everything the server does not find out by itself."""

    keys: Mapping[str, str] = field(repr=False)
    bind: tuple[str, ...] = ("127.0.0.1",)
    port: int = 7880
    rtc_port: int = 7882
    webhooks: tuple[str, ...] = ()
    door: bool = False
    rooms: tuple[HostedRoom, ...] = ()
    state_file: str = ""
    empty_timeout_s: int = 300
    departure_timeout_s: int = 20
    # Of every room that nobody said otherwise of; 0 means no limit.
    max_participants: int = 0
    # Whether the first to join makes a room; else CreateRoom does, or a token that may.
    auto_create: bool = True
    enable_remote_unmute: bool = False
    # Which pair signs webhooks; "" is the first. Kinds of events: all but those left out, or
    # only those named.
    webhook_api_key: str = ""
    webhook_include: tuple[str, ...] = ()
    webhook_exclude: tuple[str, ...] = ()
    # Where metrics are served; None for nowhere, 0 for any free port.
    prometheus_port: int | None = None
    prometheus_bind: str = "127.0.0.1"
    # With a user name, metrics want HTTP's basic authentication.
    prometheus_username: str = ""
    prometheus_password: str = field(default="", repr=False)

    @property
    def signing_pair(self) -> tuple[str, str]:
        """The key and secret that sign refreshed tokens and webhooks."""
        return next(iter(self.keys.items()))


_TYPES: dict[str, type | tuple[type, ...]] = {
    "keys": dict,
    "bind": list,
    "port": int,
    "rtc_port": int,
    "webhooks": list,
    "door": bool,
    "rooms": list,
    "state_file": str,
    "empty_timeout_s": int,
    "departure_timeout_s": int,
    "max_participants": int,
    "auto_create": bool,
    "enable_remote_unmute": bool,
    "webhook_api_key": str,
    "webhook_include": list,
    "webhook_exclude": list,
    "prometheus_port": int,
    "prometheus_bind": str,
    "prometheus_username": str,
    "prometheus_password": str,
}


def config_from_json(line: str) -> ServerConfig:
    """Read the line of `--config-stdin`; `ProtocolError` says what is wrong with it."""
    try:
        values = json.loads(line)
    except ValueError as error:
        raise ProtocolError("the configuration is not JSON") from error
    if not isinstance(values, dict):
        raise ProtocolError("the configuration is not a JSON object")
    return config_from_values(values)


def config_from_values(values: Mapping[str, Any]) -> ServerConfig:
    """Check values by field name and make a configuration of them."""
    known = {item.name for item in fields(ServerConfig)}
    chosen: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise ProtocolError(f"unknown configuration key {key!r}")
        if not isinstance(value, _TYPES[key]):
            raise ProtocolError(f"configuration key {key!r} has the wrong type")
        chosen[key] = value
    chosen["rooms"] = tuple(_hosted_room(room) for room in chosen.get("rooms", ()))
    for key in ("bind", "webhooks", "webhook_include", "webhook_exclude"):
        if key in chosen:
            chosen[key] = _strings(key, chosen[key])
    keys = chosen.get("keys") or {}
    if not keys or not all(isinstance(secret, str) and secret for secret in keys.values()):
        raise ProtocolError("the configuration has no key pair")
    if chosen.get("webhook_api_key", "") not in ("", *keys):
        raise ProtocolError("webhook_api_key is none of the keys")
    return ServerConfig(**chosen)


def _strings(key: str, values: list[Any]) -> tuple[str, ...]:
    if not values or not all(isinstance(value, str) for value in values):
        raise ProtocolError(f"configuration key {key!r} is not a list of texts")
    return tuple(values)


def _hosted_room(values: Any) -> HostedRoom:
    if not isinstance(values, dict) or not isinstance(values.get("name"), str):
        raise ProtocolError("a room in the configuration has no name")
    known = {item.name: item.type for item in fields(HostedRoom)}
    for key, value in values.items():
        if key not in known or type(value).__name__ != known[key]:
            raise ProtocolError(f"room key {key!r} is unknown or has the wrong type")
    return HostedRoom(**values)
