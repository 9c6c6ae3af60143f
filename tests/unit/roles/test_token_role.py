"""The `token` role prints a token that the server accepts, or says what is missing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from app.protocol.token import verify_token
from app.roles import token
from app.roles.keys import DEV_KEY, DEV_SECRET, NoKeyError, find_keys, parse_key_pairs
from app.runtime.paths import Paths

SECRET = "s" * 32
ARGUMENTS = ["--room", "r", "--identity", "ada"]


@pytest.fixture(autouse=True)
def _no_keys_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIVEKIT_KEYS", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "LANAI_API_SECRET"):
        monkeypatch.delenv(name, raising=False)


def test_only_the_token_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--api-key", "k", "--api-secret", SECRET, "--name", "Ada", "--admin", "--ttl", "60"]
    assert token.main([*ARGUMENTS, *flags]) == 0
    out = capsys.readouterr().out
    claims = verify_token(out.strip(), {"k": SECRET}, now_s=time.time())
    assert out.count("\n") == 1
    assert (claims.identity, claims.name, claims.video.room) == ("ada", "Ada", "r")
    assert claims.video.room_admin
    assert claims.video.room_create


def test_the_development_key_needs_asking(capsys: pytest.CaptureFixture[str]) -> None:
    assert token.main(ARGUMENTS) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert token.main([*ARGUMENTS, "--dev"]) == 0
    claims = verify_token(capsys.readouterr().out.strip(), {DEV_KEY: DEV_SECRET}, now_s=time.time())
    assert not claims.video.room_admin


def test_what_the_app_hosts_here_is_entered_with_the_apps_own_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANAI_HOME", str(tmp_path))
    file = Paths.default().config / "server-key"
    file.parent.mkdir(parents=True)
    file.write_text(f"own:{SECRET}\n")
    monkeypatch.setenv("LIVEKIT_KEYS", f"other: {'o' * 32}")

    assert token.main([*ARGUMENTS, "--hosted"]) == 0
    printed = capsys.readouterr().out.strip()
    assert verify_token(printed, {"own": SECRET}, now_s=time.time()).identity == "ada"

    assert token.main([*ARGUMENTS, "--hosted", "--api-key", "k", "--api-secret", "x" * 32]) == 0
    verify_token(capsys.readouterr().out.strip(), {"k": "x" * 32}, now_s=time.time())


def test_flags_win_over_the_environment() -> None:
    environment = {"LIVEKIT_KEYS": f"a: {SECRET}\nb:{SECRET}", "LIVEKIT_API_KEY": "b"}
    keys = find_keys(api_key="", api_secret="", dev=True, environment=environment)
    assert list(keys) == ["b", "a"]
    keys = find_keys(api_key="c", api_secret="x", dev=False, environment=environment)
    assert next(iter(keys.items())) == ("c", "x")


def test_half_a_pair_is_said_clearly() -> None:
    with pytest.raises(NoKeyError, match="no secret"):
        find_keys(api_key="k", api_secret="", dev=True, environment={})
    with pytest.raises(NoKeyError, match="no API key"):
        find_keys(api_key="", api_secret="s", dev=True, environment={})
    with pytest.raises(NoKeyError):
        parse_key_pairs("no-colon")
