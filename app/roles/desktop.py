"""The app: start page, or straight to the meeting of an invitation."""

from __future__ import annotations

import argparse
import os
import sys

DISPLAY_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")


def main(argv: list[str]) -> int:
    """Open the window; 2 without a display."""
    parser = argparse.ArgumentParser(
        prog="main.py",
        description="Open the app. Other roles: main.py --help.",
    )
    parser.add_argument(
        "link", nargs="*", help="an invitation, an address, or a server's address and a token"
    )
    options = parser.parse_args(argv)
    return run(link=" ".join(options.link))


def run(*, link: str = "", host: bool = False, room_name: str = "") -> int:
    """Open the window on whatever was asked for."""
    if not has_display():
        print("lanai: there is no display here; `main.py demo` runs without one", file=sys.stderr)
        return 2
    from app.runtime.log import configure_logging
    from app.runtime.paths import Paths
    from app.ui.application import DesktopOptions, run_desktop

    paths = Paths.default()
    configure_logging(level="warning", file=paths.logs / "lanai.log")
    return run_desktop(DesktopOptions(link=link, host=host, room_name=room_name, paths=paths))


def has_display() -> bool:
    """Whether Qt would find a screen: always on macOS and Windows."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(os.environ.get(name) for name in DISPLAY_VARIABLES)
