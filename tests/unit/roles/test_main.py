from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import main as program

MAIN = Path(program.__file__)


def run(*arguments: str, display: bool = False) -> subprocess.CompletedProcess[str]:
    hidden = () if display else ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    return subprocess.run(
        [sys.executable, str(MAIN), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )


@pytest.mark.parametrize("role", ["", *program.ROLES])
def test_every_role_explains_itself(role: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [role, "--help"] if role else ["--help"]
    try:
        status = program.main(arguments)
    except SystemExit as ended:
        status = int(ended.code or 0)

    assert status == 0
    assert capsys.readouterr().out.startswith("usage: main.py")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
@pytest.mark.parametrize("arguments", [(), ("host", "--name", "x"), ("lanai://h/r",)])
def test_without_a_display_one_line_says_so_and_names_the_demo(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)

    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "no display" in result.stderr
    assert "demo" in result.stderr


def test_a_role_imports_no_other_role() -> None:
    code = (
        "import sys; sys.argv = ['main.py', 'token', '--help']\n"
        "import main\n"
        "try: main.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(sorted(m for m in sys.modules if m.startswith(('PySide6', 'av', 'aiortc'))))\n"
        "print(sorted(m for m in sys.modules if m.startswith('app.roles.')))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=MAIN.parent,
    )

    heavy, roles = result.stdout.splitlines()[-2:]
    assert heavy == "[]"
    assert roles == "['app.roles.keys', 'app.roles.token']"


def test_the_facade_imports_no_codec_and_no_transport() -> None:
    code = (
        "import sys, app.engine.client, app.host.hosted, app.ui.bridge\n"
        "print([m for m in ('av', 'cv2', 'aiortc', 'numpy', 'sounddevice') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=MAIN.parent,
    )

    assert result.stdout.strip() == "[]"


def test_the_demo_wants_at_least_two_people(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["demo", "--people", "1"])

    assert ended.value.code == 2
    assert "between 2 and" in capsys.readouterr().err
