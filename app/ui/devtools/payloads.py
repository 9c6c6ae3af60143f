"""Bytes, rates and sizes as a person reads them."""

from __future__ import annotations

SHOWN_CHARS = 160
SHOWN_BYTES = 48


def describe_payload(data: bytes, size_bytes: int) -> str:
    """Show text as text and everything else in hexadecimal, shortened."""
    if not size_bytes:
        return ""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        # A character may be cut where the engine cut the payload.
        is_cut = len(data) < size_bytes and error.start >= len(data) - 3
        text = data[: error.start].decode() if is_cut else ""
    if text and all(char.isprintable() or char in "\n\t" for char in text):
        shown = " ".join(text[:SHOWN_CHARS].split())
        is_whole = len(text) <= SHOWN_CHARS and len(data) >= size_bytes
        return shown if is_whole else f"{shown}…"
    shown = data[:SHOWN_BYTES].hex(" ")
    return shown if size_bytes <= SHOWN_BYTES else f"{shown} …"


def describe_size(size_bytes: float) -> str:
    """Name a size in the unit that fits it."""
    if size_bytes < 1_000:
        return f"{size_bytes:.0f} B"
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1_000:.1f} kB"
    return f"{size_bytes / 1_000_000:.1f} MB"


def describe_rate(frames_per_s: float, bytes_per_s: float) -> str:
    """Name how much comes a second."""
    return f"{frames_per_s:.1f} frames/s · {describe_size(bytes_per_s)}/s"
