"""Payloads read well, and the copied scripts are Python."""

from __future__ import annotations

import ast

import pytest

from app.engine.developer import RpcRequest
from app.ui.devtools.payloads import describe_payload, describe_rate, describe_size
from app.ui.devtools.snippets import attributes_script, call_script, track_script

NASTY = 'x"""\n\'{0}\\ ${y}'


@pytest.mark.parametrize(
    ("data", "size", "words"),
    [
        (b"", 0, ""),
        (b"21.5", 4, "21.5"),
        ("grün\n ja".encode(), 9, "grün ja"),
        (b"a" * 200, 200, "a" * 160 + "…"),
        ("é".encode() * 4 + b"\xc3", 4_000, "éééé…"),
        (b"\x00\x01\xff", 3, "00 01 ff"),
        (bytes(4_096), 9_000, " ".join(["00"] * 48) + " …"),
    ],
)
def test_a_payload_is_shown_as_text_or_else_in_hexadecimal(
    data: bytes, size: int, words: str
) -> None:
    assert describe_payload(data, size) == words


def test_sizes_and_rates_have_units() -> None:
    assert describe_size(999) == "999 B"
    assert describe_size(100_000) == "100.0 kB"
    assert describe_rate(49.96, 1_200) == "50.0 frames/s · 1.2 kB/s"


@pytest.mark.parametrize(
    "script",
    [
        call_script(RpcRequest(NASTY, NASTY, NASTY, 2.5)),
        track_script(NASTY, NASTY),
        attributes_script(NASTY),
    ],
)
def test_a_copied_script_is_python_with_the_values_in_it_and_no_token(script: str) -> None:
    tree = ast.parse(script)
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert NASTY in strings
    assert {"LIVEKIT_URL", "LIVEKIT_TOKEN"} <= strings
