"""The public door has the official SDK's names, signatures, enum members and fields."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.engine import rtc
from tests.support.door_dump import describe_module

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parents[2]

# Scripts never call these: over there they take handles of native objects, here ours.
INTERNAL_CONSTRUCTORS = {
    "LocalAudioTrack",
    "LocalParticipant",
    "LocalVideoTrack",
    "RemoteAudioTrack",
    "RemoteTrackPublication",
    "RemoteVideoTrack",
    "Track",
}
# Over there only where PortAudio is installed.
OPTIONAL_NAMES = {"MediaDevices"}


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    result = subprocess.run(
        [sys.executable, "-m", "tests.support.door_dump", "livekit.rtc"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    described: dict[str, Any] = json.loads(result.stdout)
    return described


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    described: dict[str, Any] = json.loads(json.dumps(describe_module(rtc)))
    return described


def test_every_name_is_there_and_no_other(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    assert set(ours) - OPTIONAL_NAMES == set(theirs) - OPTIONAL_NAMES
    assert len(ours) == 107


def test_enums_have_the_same_members_and_numbers(
    theirs: dict[str, Any], ours: dict[str, Any]
) -> None:
    names = [name for name, described in theirs.items() if described["kind"] == "enum"]

    assert len(names) >= 24
    assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}


def test_option_messages_have_the_same_fields(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    names = [name for name, described in theirs.items() if described["kind"] == "message"]

    assert len(names) >= 20
    assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}


def test_classes_have_the_same_members_and_signatures(
    theirs: dict[str, Any], ours: dict[str, Any]
) -> None:
    differences = []
    for name, described in theirs.items():
        if described["kind"] != "class":
            continue
        if ours[name]["builtin"] != described["builtin"]:
            differences.append((name, "base", described["builtin"], ours[name]["builtin"]))
        for member, signature in described["members"].items():
            if member == "__init__" and name in INTERNAL_CONSTRUCTORS:
                continue
            mine = ours[name]["members"].get(member)
            if mine != signature:
                differences.append((name, member, signature, mine))

    assert differences == []


def test_functions_unions_and_the_rest_agree(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    rest = {n: d for n, d in theirs.items() if d["kind"] not in ("enum", "message", "class")}

    for name, described in rest.items():
        if described["kind"] == "module":
            ignored = {"DESCRIPTOR"}
            assert set(described["names"]) - ignored <= set(ours[name]["names"])
        else:
            assert ours[name] == described


def test_enums_answer_as_the_wrappers_of_the_sdk_do() -> None:
    assert rtc.TrackKind.Name(1) == "KIND_AUDIO"
    assert rtc.TrackKind.Value("KIND_VIDEO") == 2
    assert rtc.TrackKind.keys() == ["KIND_UNKNOWN", "KIND_AUDIO", "KIND_VIDEO"]
    assert rtc.TrackKind.values() == [0, 1, 2]
    assert ("KIND_AUDIO", 1) in rtc.TrackKind.items()
    assert rtc.TrackKind.ValueType is rtc.TrackKind
    assert f"{rtc.TrackKind.KIND_AUDIO}" == "1"
    with pytest.raises(ValueError, match="KIND_SMELL"):
        rtc.TrackKind.Value("KIND_SMELL")
    with pytest.raises(ValueError, match="99"):
        rtc.TrackKind.Name(99)


@pytest.mark.parametrize(
    "use",
    [
        lambda: rtc.PlatformAudio(),
        lambda: rtc.MediaDevices(),
        lambda: rtc.AudioFilter("module", "path"),
        lambda: rtc.EncodedVideoSource(640, 360),
        lambda: rtc.KeyProvider(0, rtc.KeyProviderOptions()),
        lambda: rtc.E2EEManager(0, rtc.E2EEOptions()),
    ],
)
def test_what_is_not_built_says_what_is_missing(use: Any) -> None:
    with pytest.raises(NotImplementedError, match=r"[a-z]+ [a-z]+|encryption"):
        use()


def test_our_own_code_never_loads_the_official_sdk() -> None:
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, app.engine.rtc, app.engine.client;"
            "print([m for m in sys.modules if m.startswith('livekit.rtc')])",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.stdout.strip() == "[]", result.stderr
