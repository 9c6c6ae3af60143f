"""The settings file: LiveKit's names where they exist, ours under `lanai`.

A key that nobody knows is an error that names it, so that a misspelt one does no silent harm.
Keys of LiveKit's server that have no meaning here are accepted and said: the file of an existing
deployment works, and its owner knows what is left out. Values are checked; secrets are never
repeated in an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from app.protocol.errors import ProtocolError

MAX_FILE_BYTES = 1024 * 1024

# Where a value of the file goes: field of `ServerConfig` (or of `Settings`), and its type.
_KNOWN: dict[str, tuple[str, type]] = {
    "port": ("port", int),
    "bind_addresses": ("bind", list),
    "rtc.udp_port": ("rtc_port", int),
    "keys": ("keys", dict),
    "key_file": ("key_file", str),
    "webhook.urls": ("webhooks", list),
    "webhook.api_key": ("webhook_api_key", str),
    "webhook.filter_params.include_events": ("webhook_include", list),
    "webhook.filter_params.exclude_events": ("webhook_exclude", list),
    "room.auto_create": ("auto_create", bool),
    "room.empty_timeout": ("empty_timeout_s", int),
    "room.departure_timeout": ("departure_timeout_s", int),
    "room.max_participants": ("max_participants", int),
    "room.enable_remote_unmute": ("enable_remote_unmute", bool),
    "logging.level": ("log_level", str),
    "logging.json": ("log_json", bool),
    "log_level": ("log_level", str),
    "prometheus.port": ("prometheus_port", int),
    "prometheus.username": ("prometheus_username", str),
    "prometheus.password": ("prometheus_password", str),
    "prometheus_port": ("prometheus_port", int),
    "lanai.door": ("door", bool),
    "lanai.rooms": ("rooms", list),
    "lanai.state_file": ("state_file", str),
    "lanai.prometheus_bind": ("prometheus_bind", str),
}
# Sections of which single keys are known.
_SECTIONS = {"rtc", "webhook", "webhook.filter_params", "room", "logging", "prometheus", "lanai"}
# LiveKit's, without a meaning here.
_UNSUPPORTED = {
    "redis", "turn", "ingress", "sip", "node_selector", "region", "signal_relay", "psrpc",
    "limit", "agents", "development", "metric", "trace", "node_stats", "enable_data_tracks",
    "enable_participant_data_blob", "api", "debug_handler", "audio", "video",
    "webhook.url_notifier", "webhook.resource_url_notifier", "logging.component_levels",
    "logging.sample", "logging.pion_level", "room.enabled_codecs", "room.playout_delay",
    "room.sync_streams", "room.create_room_timeout", "room.create_room_attempts",
    "room.update_batch_target_size", "room.max_metadata_size", "room.max_room_name_length",
    "room.max_participant_identity_length", "room.room_configurations", "rtc.tcp_port",
    "rtc.port_range_start", "rtc.port_range_end", "rtc.use_external_ip", "rtc.node_ip",
    "rtc.use_ice_lite", "rtc.stun_servers", "rtc.turn_servers", "rtc.interfaces", "rtc.ips",
    "rtc.enable_loopback_candidate", "rtc.use_mdns", "rtc.strict_acks",
    "rtc.packet_buffer_size", "rtc.packet_buffer_size_video", "rtc.packet_buffer_size_audio",
    "rtc.pli_throttle", "rtc.congestion_control", "rtc.allow_tcp_fallback",
    "rtc.tcp_fallback_rtt_threshold", "rtc.allow_udp_unstable_fallback",
    "rtc.reconnect_on_publication_error", "rtc.reconnect_on_subscription_error",
    "rtc.reconnect_on_data_channel_error", "rtc.data_channel_max_buffered_amount",
    "rtc.datachannel_slow_threshold", "rtc.datachannel_lossy_target_latency",
    "rtc.datachannel_data_track_target_latency", "rtc.forward_stats",
    "rtc.enable_rtp_stream_restart_detection", "rtc.batch_io", "rtc.force_tcp",
    "rtc.external_ip_only", "rtc.node_ip_auto_generated",
}  # fmt: skip
_PORTS = ("port", "rtc_port", "prometheus_port")
LOG_LEVELS = ("debug", "info", "warn", "warning", "error")


@dataclass(frozen=True)
class FileSettings:
    """What a file says: `values` by field, and the keys that have no meaning here."""

    values: dict[str, Any] = field(default_factory=dict, repr=False)
    ignored: tuple[str, ...] = ()

    def overridden_by(self, other: FileSettings) -> FileSettings:
        """Return both, the other's word last."""
        return FileSettings({**self.values, **other.values}, (*self.ignored, *other.ignored))


def read_settings(text: str) -> FileSettings:
    """Understand a file's content; `ProtocolError` names what is wrong with it."""
    if len(text) > MAX_FILE_BYTES:
        raise ProtocolError("configuration: too long")
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        # The parser's own words quote the line, which may hold a secret.
        raise ProtocolError(f"configuration: no YAML{where}") from None
    if content is None:
        return FileSettings()
    if not isinstance(content, Mapping):
        raise ProtocolError("configuration: not a list of `key: value`")
    values: dict[str, Any] = {}
    ignored: list[str] = []
    _walk(content, "", values, ignored)
    return FileSettings(values, tuple(ignored))


def _walk(
    content: Mapping[Any, Any], prefix: str, values: dict[str, Any], ignored: list[str]
) -> None:
    for name, value in content.items():
        key = f"{prefix}{name}"
        if key in _KNOWN:
            if value is not None:
                target, kind = _KNOWN[key]
                values[target] = _checked(key, target, kind, value)
        elif key in _SECTIONS and isinstance(value, Mapping | None):
            _walk(value or {}, f"{key}.", values, ignored)
        elif key in _UNSUPPORTED:
            ignored.append(key)
        else:
            raise ProtocolError(f"configuration: unknown key {key[:100]!r}")


def _checked(key: str, target: str, kind: type[Any], value: Any) -> Any:
    if kind is int and key == "rtc.udp_port" and isinstance(value, str):
        # LiveKit allows a range; one port is all we need.
        raise ProtocolError(f"configuration: {key} is one port here, no range")
    if type(value).__name__ != kind.__name__:
        raise ProtocolError(f"configuration: {key} has the wrong type ({kind.__name__} expected)")
    if target in _PORTS and not 0 <= value <= 65_535:
        raise ProtocolError(f"configuration: {key} is no port")
    if kind is int and value < 0:
        raise ProtocolError(f"configuration: {key} is negative")
    if target == "log_level" and value not in LOG_LEVELS:
        raise ProtocolError(f"configuration: {key} is one of {', '.join(LOG_LEVELS)}")
    if target == "keys" and not all(
        isinstance(name, str) and isinstance(secret, str) and name and secret
        for name, secret in value.items()
    ):
        raise ProtocolError("configuration: keys are `key: secret`, both texts")
    return value
