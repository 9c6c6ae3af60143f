"""`demo`: a meeting with made-up people; says what arrived.

`flows.py` judges, `people.py` runs the other people as processes, `story.py` drives the real
window from start page to end page, `cameraman.py` takes the screenshots.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from app.roles.desktop import has_display

MOST_PEOPLE = 7


def main(argv: list[str]) -> int:
    """Play the demo; 0 when every flow arrived, 1 when one is missing."""
    parser = argparse.ArgumentParser(
        prog="main.py demo",
        description="Host a meeting on this computer, let made-up people join it, and check that "
        "every picture, tone, line and file arrives. Works without a display.",
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to look and listen")
    parser.add_argument("--people", type=int, default=4, help="this window included (2 to 7)")
    parser.add_argument("--screenshots", type=Path, metavar="DIR", help="save pictures there")
    parser.add_argument("--log-level", default="error")
    options = parser.parse_args(argv)
    if not 2 <= options.people <= MOST_PEOPLE:
        parser.error(f"--people is between 2 and {MOST_PEOPLE}")
    if not has_display():
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
        print("demo: no display here, so the window is drawn in memory", file=sys.stderr)
    # Qt and the engine are imported only now: --help and a wrong flag cost nothing.
    from app.roles.demo.story import play
    from app.runtime.log import configure_logging

    configure_logging(level=options.log_level)
    return play(options.people, options.seconds, options.screenshots)
