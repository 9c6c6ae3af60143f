"""Pick a role and import only that role: `main.py ROLE …`, a link, or nothing for the app."""

from __future__ import annotations

import sys
from importlib import import_module

ROLES = {
    "desktop": "the app (what runs when no role is named)",
    "host": "the app, already hosting a meeting",
    "serve": "the server alone",
    "token": "print an access token",
    "join": "a participant without a window",
    "demo": "a meeting with made-up people; says what arrived",
}

USAGE = """\
usage: main.py [ROLE] [ARGUMENTS]
       main.py INVITE_OR_ADDRESS

Meetings on your own network. Without a role, or with an invitation, an
address or a link, the app opens.

roles (each has --help):
"""


def main(argv: list[str]) -> int:
    """Run the role that `argv` names and return its exit status."""
    if argv and argv[0] in ("-h", "--help"):
        sys.stdout.write(USAGE)
        for name, summary in ROLES.items():
            sys.stdout.write(f"  {name:<10}{summary}\n")
        return 0
    role, rest = (argv[0], argv[1:]) if argv and argv[0] in ROLES else ("desktop", argv)
    status: int = import_module(f"app.roles.{role}").main(rest)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
