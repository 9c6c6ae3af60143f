"""`host`: the app, already hosting a meeting."""

from __future__ import annotations

import argparse

from app.roles.desktop import run


def main(argv: list[str]) -> int:
    """Open the window and host at once; 2 without a display."""
    parser = argparse.ArgumentParser(
        prog="main.py host", description="Open the app and host a meeting on this computer."
    )
    parser.add_argument("--name", default="", metavar="MEETING", help="what the meeting is called")
    options = parser.parse_args(argv)
    return run(host=True, room_name=options.name)
