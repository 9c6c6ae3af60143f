"""The settings file: LiveKit's names are read, others are named, secrets are not repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.errors import ProtocolError
from app.server.config import config_from_values
from app.server.config_file import read_settings

FULL = """
port: 7881
bind_addresses: ["127.0.0.1", "::1"]
rtc:
  udp_port: 7990
  use_external_ip: true
keys: {one: first-secret, two: second-secret}
webhook:
  urls: ["http://127.0.0.1/hook"]
  api_key: two
  filter_params: {exclude_events: [room_started]}
room:
  auto_create: false
  empty_timeout: 60
  departure_timeout: 5
  max_participants: 12
  enable_remote_unmute: true
logging: {level: warn, json: true}
prometheus: {port: 6789, username: scraper, password: hush-hush}
redis: {address: "localhost:6379"}
turn: {enabled: true}
lanai:
  door: true
  rooms: [{name: jam, lobby: true}]
"""


def test_livekits_names_are_read() -> None:
    settings = read_settings(FULL)
    assert settings.values.pop("log_level") == "warn"
    assert settings.values.pop("log_json") is True
    config = config_from_values(settings.values)
    assert (config.port, config.rtc_port, config.bind) == (7881, 7990, ("127.0.0.1", "::1"))
    assert config.webhook_api_key == "two"
    assert config.webhook_exclude == ("room_started",)
    assert (config.auto_create, config.empty_timeout_s, config.departure_timeout_s) == (
        False,
        60,
        5,
    )
    assert (config.max_participants, config.enable_remote_unmute) == (12, True)
    assert (config.prometheus_port, config.prometheus_username) == (6789, "scraper")
    assert config.rooms[0].lobby
    assert settings.ignored == ("rtc.use_external_ip", "redis", "turn")
    for secret in ("first-secret", "hush-hush"):
        assert secret not in repr(config)
        assert secret not in repr(settings)


def test_the_text_of_the_environment_stands_over_the_file() -> None:
    both = read_settings(FULL).overridden_by(read_settings("port: 1\nroom: {empty_timeout: 9}"))
    assert (both.values["port"], both.values["empty_timeout_s"]) == (1, 9)
    assert both.values["departure_timeout_s"] == 5


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("prot: 7880", "prot"),
        ("room: {emty_timeout: 1}", "room.emty_timeout"),
        ("lanai: {dor: true}", "lanai.dor"),
        ("port: '7880'", "port"),
        ("port: true", "port"),
        ("port: 70000", "port"),
        ("rtc: {udp_port: 7882-7892}", "rtc.udp_port"),
        ("room: {empty_timeout: -1}", "room.empty_timeout"),
        ("logging: {level: loud}", "logging.level"),
        ("keys: {one: 5}", "keys"),
        ("keys: [one]", "keys"),
        ("room: 7", "room"),
        ("- a", "key: value"),
        ("1: 2", "1"),
    ],
)
def test_what_is_wrong_is_named(text: str, named: str) -> None:
    with pytest.raises(ProtocolError) as raised:
        read_settings(text)
    assert named in raised.value.reason


def test_a_broken_file_is_not_quoted() -> None:
    with pytest.raises(ProtocolError) as raised:
        read_settings("keys:\n  one: my-secret-value: {\n")
    assert "my-secret" not in str(raised.value)
    assert "line 2" in raised.value.reason


@given(st.text(max_size=200))
def test_any_text_is_settings_or_an_error(text: str) -> None:
    try:
        read_settings(text)
    except ProtocolError:
        return


def test_empty_settings_are_settings() -> None:
    assert read_settings("# nothing\n").values == {}
