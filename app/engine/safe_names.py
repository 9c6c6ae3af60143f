"""Turn a file name that a peer chose into one that is safe to write on this computer.

The name is what is left after the last slash or backslash, without control and direction
marks, without the characters and device names that Windows reserves, not hidden, not too long.
Rules of every platform hold on every platform: a folder may be synchronised to another one.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

_MAX_NAME_BYTES = 200
_MAX_DEPTH = 16
_RESERVED_CHARACTERS = re.compile(r'[<>:"|?*]')
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$|clock\$)\Z")
_FALLBACK = "file"


def safe_file_name(name: str) -> str:
    """Return a plain file name, never empty, `.` or `..`, and never one with a folder in it."""
    name = unicodedata.normalize("NFC", name.replace("\\", "/").rpartition("/")[2])
    # Cc, Cf: control and direction marks ("gpj.exe" shown backwards); Cs: lone surrogates;
    # Zl, Zp: line breaks.
    kept = (c for c in name if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    name = _RESERVED_CHARACTERS.sub("_", "".join(kept))
    # Leading dots hide a file; Windows drops trailing dots and spaces on its own.
    name = name.strip().lstrip(".").rstrip(". ").strip()
    stem, suffix = _split(name)
    # "nul.tar.gz" is the device as well: what counts is the part before the first dot.
    if _DEVICE.match(name.split(".")[0].rstrip()):
        stem = "_" + stem
    stem = _shorten(stem, _MAX_NAME_BYTES - len(suffix.encode()))
    return (stem or _FALLBACK) + suffix


def safe_relative_path(path: str) -> Path:
    """Return a path that stays below wherever it is put: every part is a safe name.

    `..`, drives and leading slashes are parts like any other and come out as plain names.
    """
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    kept = parts[-_MAX_DEPTH:] or [_FALLBACK]
    return Path(*(safe_file_name(part) for part in kept))


def free_path(folder: Path, name: str) -> Path:
    """Return `folder/name`, or with " (2)", " (3)" … when that exists. `name` is safe already."""
    path = folder / name
    stem, suffix = _split(name)
    number = 2
    while path.exists() or path.is_symlink():
        path = folder / f"{stem} ({number}){suffix}"
        number += 1
    return path


def _split(name: str) -> tuple[str, str]:
    """Split off the extension, with `.tar` before it; an overlong one belongs to the stem."""
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem or len(extension.encode()) > 20:
        return name, ""
    if stem.lower().endswith(".tar") and len(stem) > 4:
        return stem[:-4], stem[-4:] + dot + extension
    return stem, dot + extension


def _shorten(text: str, size_bytes: int) -> str:
    # Cut on bytes, drop what is left of a split character.
    return text.encode()[:size_bytes].decode("utf-8", "ignore").rstrip(". ")
