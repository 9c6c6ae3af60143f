from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.safe_names import free_path, safe_file_name


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        ("notes.txt", "notes.txt"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\Windows\\system.ini", "system.ini"),
        ("/etc/cron.d/job", "job"),
        ("..", "file"),
        (".", "file"),
        ("", "file"),
        ("a/", "file"),
        (".bashrc", "bashrc"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("lpt1", "_lpt1"),
        ("COM¹.doc", "_COM¹.doc"),
        ("console.log", "console.log"),
        ("a\x00b\nc.txt", "abc.txt"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("C:evil?.txt", "C_evil_.txt"),
        ("stream.txt:hidden", "stream.txt_hidden"),
        ("trailing. . ", "trailing"),
        ("e\u0301té.txt", "été.txt"),
    ],
)
def test_a_peers_file_name_becomes_a_plain_one(sent: str, written: str) -> None:
    assert safe_file_name(sent) == written


def test_a_long_name_keeps_its_extension() -> None:
    name = safe_file_name("ä" * 5000 + ".tar.gz")

    assert name.endswith("ä.tar.gz")
    assert len(name.encode()) <= 200


@given(st.text())
def test_no_name_leaves_the_folder_or_is_refused_by_a_file_system(sent: str) -> None:
    name = safe_file_name(sent)

    assert name not in ("", ".", "..")
    assert not set(name) & set('/\\<>:"|?*')
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in name)
    assert len(name.encode()) <= 210
    assert not name.startswith(".")
    assert not name.endswith((".", " "))
    assert safe_file_name(name) == name


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").touch()
    (tmp_path / "a (2).tar.gz").symlink_to(tmp_path / "nowhere")

    assert free_path(tmp_path, "a.tar.gz") == tmp_path / "a (3).tar.gz"
