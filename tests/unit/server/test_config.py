"""The configuration line: what is missing has a default, what is wrong is said."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.errors import ProtocolError
from app.server.config import HostedRoom, config_from_json

KEYS = {"keys": {"k": "s"}}


def test_everything_but_keys_has_a_default() -> None:
    config = config_from_json(json.dumps(KEYS))
    assert (config.bind, config.port, config.rtc_port) == (("127.0.0.1",), 7880, 7882)
    assert config.signing_pair == ("k", "s")
    assert not config.door


def test_rooms_and_addresses_are_read() -> None:
    line = {**KEYS, "bind": ["127.0.0.1", "10.0.0.2"], "door": True, "port": 0}
    line["rooms"] = [
        {"name": "r", "passcode": "p", "host_name": "Ada", "max_people": 4, "lobby": True}
    ]
    config = config_from_json(json.dumps(line))
    assert config.bind == ("127.0.0.1", "10.0.0.2")
    assert config.rooms == (HostedRoom("r", "Ada", "p", 4, lobby=True),)
    assert "p" not in repr(config.rooms).replace("passcode", "").replace("people", "")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "{",
        "{}",
        json.dumps({"keys": {}}),
        json.dumps({"keys": {"k": 1}}),
        json.dumps({**KEYS, "port": "7880"}),
        json.dumps({**KEYS, "prot": 1}),
        json.dumps({**KEYS, "bind": []}),
        json.dumps({**KEYS, "bind": [1]}),
        json.dumps({**KEYS, "rooms": [{}]}),
        json.dumps({**KEYS, "rooms": [{"name": "r", "passcode": 1}]}),
        json.dumps({**KEYS, "rooms": [{"name": "r", "max_people": True}]}),
        json.dumps({**KEYS, "rooms": [{"name": "r", "lobby": 1}]}),
    ],
)
def test_a_wrong_line_is_said_clearly(line: str) -> None:
    with pytest.raises(ProtocolError):
        config_from_json(line)


@given(
    st.dictionaries(
        st.sampled_from(["keys", "bind", "port", "rooms", "door", "x"]),
        st.none() | st.integers() | st.text() | st.lists(st.integers()) | st.just({"a": "b"}),
    )
)
def test_any_object_is_a_configuration_or_an_error(values: dict[str, object]) -> None:
    try:
        config_from_json(json.dumps(values))
    except ProtocolError:
        return
