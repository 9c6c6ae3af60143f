from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from app.runtime.log import configure_logging


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, config = root.handlers, root.level, structlog.get_config()
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers, root.level = handlers, level
    structlog.configure(**config)


def test_the_file_gets_json_lines_without_private_values(tmp_path: Path) -> None:
    configure_logging(file=tmp_path / "log" / "app.log")

    structlog.get_logger("x").info("joined", room="RM_1", token="eyJ.a.b", identity="ada-1")

    line = json.loads((tmp_path / "log" / "app.log").read_text())
    assert (line["event"], line["room"], line["level"]) == ("joined", "RM_1", "info")
    assert "eyJ" not in json.dumps(line)
    assert "ada" not in json.dumps(line)


def test_stderr_gets_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json_lines=True)

    structlog.get_logger("x").info("one")
    logging.getLogger("aiohttp.access").info("GET /secret-address")

    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["one"]


def test_the_file_keeps_changes_of_state_that_stderr_is_spared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(level="error", file=tmp_path / "app.log")

    structlog.get_logger("x").info("joined")

    assert capsys.readouterr().err == ""
    assert json.loads((tmp_path / "app.log").read_text())["event"] == "joined"


def test_a_traceback_shows_no_local_variables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(file=tmp_path / "app.log")

    def fail() -> None:
        hidden = "eyJ.secret.token"
        raise KeyError(len(hidden))

    try:
        fail()
    except KeyError:
        structlog.get_logger("x").exception("failed")

    written = capsys.readouterr().err + (tmp_path / "app.log").read_text()
    assert "KeyError" in written
    # Source lines are the program's own text; values are not.
    assert written.count("eyJ.secret.token") == 0
